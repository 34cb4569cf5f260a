"""Whatever stands in a message comes out of it or is listed as unread, and nothing takes another's place."""

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hisbus import Translation
from hisbus_bus.flow.chart import entries
from hisbus_mapping import losses_of
from hisbus_mapping.collisions import COLLISION, KEYS
from hisbus_schemas import Document, Event, Fact, Position, Report

from .conftest import RECEIVED

NUMBERS = ("", "N1", "N1^LIS", "N2")
CODES = ("", "K", "NA", "8310-5")
TEXTS = ("", "Potassium", "Sodium")
SYSTEMS = ("", "L", "LN")
TIMES = ("", "20260302083000", "20260302090000")
SUBS = ("", "1", "^4^1", "^4^2")
TYPES = ("NM", "TX", "FT", "ST", "CWE", "SN", "ED", "RP")
TOOK = ("PID|1||{}^^^HOSP^MR", "PV1|1|I|W1||||||||||||||||V{}^^^HOSP")

Pick = Callable[[Any], Any]


class Writer:
    """Writes a message segment by segment, with a mark in each that no other has."""

    def __init__(self, data: st.DataObject, type: str) -> None:
        self._pick: Pick = lambda from_: data.draw(st.sampled_from(from_))
        self._number: Pick = lambda most: data.draw(st.integers(0, most))
        self._marks = count(1)
        self.lines = [rf"MSH|^~\&|HIS|HOSP|HISBUS|QC|20260302100000||{type}|1|P|2.5", "EVN||20260302100000"]
        self.marks: dict[str, tuple[str, str]] = {}
        """Whose each is, and in which segment."""
        self.patient = ""

    @property
    def body(self) -> bytes:
        return "\r".join(self.lines).encode()

    def pick(self, *from_: str) -> str:
        return str(self._pick(from_))

    def times(self, most: int, least: int = 0) -> range:
        return range(least + self._number(most - least))

    def mark(self, segment: str) -> str:
        mark = f"m{next(self._marks)}m"
        self.marks[mark] = (self.patient, segment)
        return mark

    def add(self, name: str, **fields: str) -> None:
        given = {int(key[1:]): value for key, value in fields.items()}
        self.lines.append("|".join([name, *(given.get(number, "") for number in range(1, max(given) + 1))]))

    def person(self) -> None:
        self.patient = self.pick("P1", "P2")
        self.lines += [line.format(self.patient) for line in TOOK]

    def coded(self, text: str = "") -> str:
        first = f"{self.pick(*CODES)}^{text or self.pick(*TEXTS)}^{self.pick(*SYSTEMS)}"
        other = f"{self.pick(*CODES)}^^{self.pick(*SYSTEMS)}"
        return self.pick(first, f"{first}^{other}", f"^^^{other}" if not text else first).rstrip("^")

    def notes(self) -> None:
        for _ in self.times(2):
            self.add("NTE", _1="1", _3=self.mark("NTE"))

    def observations(self, *, coded: bool = True) -> None:
        for _ in self.times(4):
            value = self.mark("OBX")
            type = self.pick(*TYPES)
            value = {"CWE": f"C1^{value}" if coded else value, "SN": f"^{value}"}.get(type, value)
            self.add("OBX", _2=type, _3=self.coded(), _4=self.pick(*SUBS), _5=value, _14=self.pick(*TIMES))
            self.notes()

    def requests(self, least: int = 1) -> None:
        if self.pick("ORC", ""):
            self.add("ORC", _1=self.pick("NW", "CA", "ZZ"), _2=self.pick(*NUMBERS), _3=self.pick(*NUMBERS))
        for _ in self.times(3, least):
            self.add(
                "OBR", _2=self.pick(*NUMBERS), _3=self.pick(*NUMBERS), _4=self.coded(), _7=self.pick(*TIMES)
            )  # fmt: skip
            self.notes()
            self.observations()


def results(to: Writer) -> None:
    for _ in to.times(3, 1):
        to.person()
        to.requests()
        for _ in to.times(1):
            to.add("SPM", _2="S1", _4="BLD")
            to.observations()


def specimens(to: Writer) -> None:
    for _ in to.times(2, 1):
        to.person()
        for _ in to.times(2, 1):
            to.add("SPM", _2="S1", _4="BLD")
            to.observations()
            to.requests()


def orders(to: Writer) -> None:
    to.person()
    for _ in to.times(3, 1):
        to.add("ORC", _1=to.pick("NW", "CA", "DC", "ZZ"), _2=to.pick(*NUMBERS), _3=to.pick(*NUMBERS))
        detail, field = to.pick("OBR 4", "RXE 2", "RXO 1").split()
        for _ in to.times(2):
            numbers = {"_2": to.pick(*NUMBERS), "_3": to.pick(*NUMBERS)} if detail == "OBR" else {}
            to.add(detail, **numbers, **{f"_{field}": to.coded(to.mark(detail))})
            to.notes()
            to.observations()


def documents(to: Writer) -> None:
    to.person()
    to.add("TXA", _1="1", _2=to.pick("C0037", "C0032", "LOCAL"), _12="D1^EMR", _17=to.pick("LA", "IP"))
    to.observations(coded=False)


def admissions(to: Writer) -> None:
    to.person()
    states(to)


def states(to: Writer) -> None:
    for _ in to.times(8):
        match to.pick("DG1", "PR1", "AL1", "IAM", "OBX", "ZXX"):
            case "DG1":
                for _ in to.times(4, 1):
                    to.add("DG1", _3=to.coded(to.mark("DG1")), _6=to.pick("ZZ", "", "A", "F"), _15=to.pick("", "1"))
            case "PR1":
                to.add("PR1", _3=to.coded(to.mark("PR1")), _5=to.pick(*TIMES), _19=to.pick("", *NUMBERS))
            case "AL1" | "IAM" as name:
                to.add(name, _3=to.coded(), _5=to.mark(name))
            case name:
                to.add(name, _5=to.mark(name))


def charges(to: Writer) -> None:
    to.person()
    for _ in to.times(4, 1):
        to.add("FT1", _2=to.pick(*NUMBERS), _4=to.pick(*TIMES), _7=to.coded(to.mark("FT1")))
    states(to)


def doses(to: Writer) -> None:
    to.person()
    to.add("ORC", _1="RE", _2=to.pick(*NUMBERS), _3=to.pick(*NUMBERS))
    for _ in to.times(4, 1):
        to.add("RXA", _2=to.pick("", "1"), _3=to.pick(*TIMES), _5=to.coded(to.mark("RXA")))
        to.notes()


KINDS: dict[str, Callable[[Writer], None]] = {
    "ORU^R01": results,
    "OUL^R22": specimens,
    "ORM^O01": orders,
    "OML^O21": orders,
    "RDE^O11": orders,
    "MDM^T02": documents,
    "MDM^T10": documents,
    "ADT^A01": admissions,
    "ADT^A08": admissions,
    "BAR^P01": admissions,
    "DFT^P03": charges,
    "RAS^O17": doses,
}


def whose(fact: Fact) -> str:
    return fact.patient.number if fact.patient is not None else ""


def identities(fact: Fact) -> list[tuple[Any, ...]]:
    """Return what each entry of a fact is known by."""
    data = fact.data
    if isinstance(data, Report):
        timed = fact.kind == "vitals.recorded"
        return [
            (
                whose(fact), data.number, data.service.identity, one.item.identity, one.sub, one.ordinal,
                one.time if timed else None,
            )
            for one in data.readings
        ]  # fmt: skip
    field = KEYS.get(type(data), "")
    return [(whose(fact), type(data), getattr(data, field))] if field else []


def numbered(translation: Translation) -> bool:
    """Tell whether an entry was told apart by its ordinal."""
    reports = [fact.data for fact in translation.facts if isinstance(fact.data, Report)]
    fields = [name for fact in translation.facts if isinstance(fact.data, Document) for name in fact.data.fields]
    names = [str(identity[-1]) for fact in translation.facts for identity in identities(fact)]
    return any(one.ordinal for report in reports for one in report.readings) or any(
        "#" in one for one in names + fields
    )


@pytest.mark.parametrize("type", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_property_what_stands_in_a_message_comes_out_or_is_listed(
    type: str, data: st.DataObject, translate: Any
) -> None:
    to = Writer(data, type)
    KINDS[type](to)
    translation: Translation = translate.read(to.body)
    apart: Any = {"segments": True, "data": {"key"}}  # a key may be made of what is read besides
    read = [(whose(fact), fact.model_dump_json(exclude=apart)) for fact in translation.facts]
    kept = "\r".join(segment for fact in translation.facts for segment in fact.segments)
    for mark, (patient, segment) in to.marks.items():
        found = Counter({owner: text.count(mark) for owner, text in read if mark in text})
        if found:
            assert found == {patient: 1}, "read once, and as his"
        else:
            assert segment in translation.unmapped and (mark in kept or not translation.facts), "lost"


@pytest.mark.parametrize("type", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_property_nothing_has_the_identity_of_another(type: str, data: st.DataObject, translate: Any) -> None:
    to = Writer(data, type)
    KINDS[type](to)
    translation: Translation = translate.read(to.body)
    known = Counter(identity for fact in translation.facts for identity in identities(fact))
    assert [identity for identity, times in known.items() if times > 1] == []
    assert (COLLISION in translation.flags) == numbered(translation) == (translation.collided > 0)


def stamped(translation: Translation) -> list[Event]:
    """Return the facts as the bus would fold them."""
    position = Position(recorded=RECEIVED, partition=0, offset=0)
    given = {"message": "m", "revision": 1, "connector": "his", "position": position}
    facts = enumerate(translation.facts)
    return [Event(**dict(fact), id=f"e{number}", ordinal=number, **given) for number, fact in facts]


def told(event: Event) -> str:
    """Return what an event says that a chart has a place for: the notes of a report stand with its readings."""
    bare = isinstance(event.data, Report) and not event.data.readings
    data: set[str] = {"key", "number"} | ({"notes"} if bare else set())
    return event.data.model_dump_json(exclude=data) if event.data is not None else ""


@pytest.mark.parametrize("type", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_property_in_the_chart_nothing_takes_the_place_of_another_of_its_message(
    type: str, data: st.DataObject, translate: Any
) -> None:
    to = Writer(data, type)
    KINDS[type](to)
    touching: dict[tuple[str, entries.Key], list[Event]] = {}
    said: dict[str, str] = {}
    for event in stamped(translate.read(to.body)):
        said[whose(event)] = said.get(whose(event), "") + told(event)
        for key in entries.touched(event):
            touching.setdefault((whose(event), key), []).append(event)
    charts: dict[str, str] = {}
    for (owner, key), events in touching.items():
        items = entries.fold("e", key, events).items
        text = "".join(item.model_dump_json(exclude={"id", "key", "number"}) for item in items)
        charts[owner] = charts.get(owner, "") + text
    for mark in to.marks:
        for owner, text in said.items():
            assert mark not in text or mark in charts[owner], "another of its message took its place"


@pytest.mark.parametrize("type", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_property_what_came_is_counted_as_read_or_as_left(type: str, data: st.DataObject, translate: Any) -> None:
    to = Writer(data, type)
    KINDS[type](to)
    translation: Translation = translate.read(to.body)
    found = losses_of(translation)
    assert found.parts == len(to.lines)
    assert found.read + sum(found.unread.values()) == found.values
    texts = [fact.model_dump_json(exclude={"segments"}) for fact in translation.facts]
    for mark, (_, segment) in to.marks.items():
        if not any(mark in text for text in texts):
            assert any(place.partition("-")[0] == segment for place in found.unread), "left, and not counted"
