"""A ward's week: messages in the order of time, and what must be found at the end of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from hisbus_simulator import oracle, people, speech
from hisbus_simulator.defects import planted
from hisbus_simulator.facts import Fact, Filed, Measured, Place, Registered
from hisbus_simulator.oracle import Expected
from hisbus_simulator.people import PEOPLE
from hisbus_simulator.plan import Plan, formerly, plans
from hisbus_simulator.scribe import Cast, story
from hisbus_simulator.sites import SITES, Kind, expected
from hisbus_simulator.stay import Stay, birthday

START = date(2026, 3, 2)
"""A Monday."""
ZONE = ZoneInfo("Asia/Shanghai")
STAYS, PAST = 31, 200
"""Of the week, and of what the site has read in before it."""

_CHARSETS = {
    "utf-8": ("UNICODE UTF-8",),
    "gb18030": ("GB 18030-2000",),
    "both": ("UNICODE UTF-8", "GB 18030-2000"),
}
CHARSETS = tuple(_CHARSETS)
_PAST, _NEXT = 50_000, 60_000
"""Numbers of what lies before the week, and of what follows it, begin so much higher."""
_AFTERWARDS = timedelta(days=2)
"""How long after the week the last message comes: every deadline of the week has passed then."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the feed."""

    at: datetime
    """Its source time."""
    control_id: str
    visit: str
    fact: Fact
    text: str
    """Segments ended by CR."""
    charset: str
    """As MSH-18 names it."""

    @property
    def body(self) -> bytes:
        """Return the bytes that are sent."""
        return self.text.encode(speech.CHARSETS[self.charset])


@dataclass(frozen=True, slots=True)
class Week:
    """The feed and its truth."""

    messages: tuple[Message, ...]
    expected: tuple[Expected, ...]
    """What is open once everything has been taken."""
    clock: datetime
    """The greatest source time sent."""
    contexts: Mapping[str, speech.Context]
    """By visit: who and where, as it was at the end."""


def ward_week(
    seed: int = 1, patients: int = STAYS, start: date = START, charset: str = "both", site: Kind = "full"
) -> Week:
    """Return a ward's week. The same arguments give the same bytes.

    Args:
        patients: stays; outpatients come besides.
        charset: ``utf-8``, ``gb18030``, or ``both``: then half of the patients each.
        site: which kind of hospital sends it.
    """
    return _tell(seed, plans(patients), start, charset, site)


def onward(seed: int = 1, start: date = START, site: Kind = "full") -> Week:
    """Return the next week of the same ward, which begins when the last deadline of this one has passed."""
    return _tell(seed + _NEXT, plans(STAYS), start + timedelta(days=9), "both", site, first=_NEXT)


def signed(seed: int, patients: int, visit: str, type: str, site: Kind = "full") -> Message | None:
    """Return the message that tells a document of a stay as it is when nothing is wrong with it; None: there is none.

    It is signed when it should have been, and comes after everything else of the week.
    """
    right = [
        replace(plan, variants={}) if _visit(START, n) == visit else plan for n, plan in enumerate(plans(patients))
    ]
    told = _tell(seed, right, START, "both", site)
    there = [(message, message.fact) for message in told.messages if message.visit == visit]
    found = [(message, fact) for message, fact in there if isinstance(fact, Filed) and fact.type == type]
    if not found:
        return None
    message, fact = found[-1]
    late, id = replace(fact, at=told.clock, number=f"{visit}-{type}"), f"{visit}-{type}"
    return _message(id, late, told.contexts[visit], message.charset)


def past(seed: int = 1, stays: int = PAST, start: date = START, site: Kind = "full") -> Week:
    """Return what a site reads in before the week begins: a month earlier, other people, nothing wrong on purpose.

    Of the vital signs the archive hands over the first of each stay.
    """
    told = _tell(seed + _PAST, formerly(stays), start - timedelta(weeks=4), "both", site, first=_PAST)
    seen: set[str] = set()
    kept = []
    for message in told.messages:
        if isinstance(message.fact, Measured) and message.visit in seen:
            continue
        if isinstance(message.fact, Measured):
            seen.add(message.visit)
        kept.append(message)
    return replace(told, messages=tuple(kept))


def _tell(seed: int, planned: Sequence[Plan], start: date, charset: str, site: Kind, first: int = 0) -> Week:
    rng = Random(seed)  # noqa: S311 - a story, not a secret
    end = datetime.combine(start + timedelta(days=7), time(), ZONE)
    told: list[tuple[Fact, speech.Context, str]] = []
    wrong: list[Expected] = []
    contexts: dict[str, speech.Context] = {}
    speaks = _CHARSETS[charset]
    for n, plan in enumerate(planned):
        cast, provisional = _cast(plan, n, start, rng, first)
        context = speech.Context(
            cast.patient, cast.place, _department(cast), cast.doctor, cast.surgeon, provisional=provisional
        )
        wrong += oracle.planted(cast.visit, plan)
        for fact in sorted(Stay(cast, plan, rng).facts(end), key=lambda fact: fact.at):
            told.append((fact, context, speaks[n % len(speaks)]))
            context = context.after(fact)
        contexts[cast.visit] = context
    told += [(fact, context, speaks[0]) for fact, context in _outpatients(start, end + _AFTERWARDS, rng, first)]
    told.sort(key=lambda row: row[0].at)
    clock = told[-1][0].at
    truth = sorted([*oracle.judge((fact for fact, _, _ in told), clock), *wrong])
    shown = ((SITES[site].told(fact), context, speaks) for fact, context, speaks in told)
    sent = [(fact, context, speaks) for fact, context, speaks in shown if fact is not None]
    messages = tuple(_message(f"{seed}-{n:05}", *row) for n, row in enumerate(sent, 1))
    return Week(messages, expected(site, truth), clock, contexts)


def _message(control_id: str, fact: Fact, context: speech.Context, charset: str) -> Message:
    text = speech.say(fact, context, control_id, charset)
    return Message(fact.at, control_id, fact.visit, fact, text, charset)


def _cast(plan: Plan, n: int, start: date, rng: Random, first: int) -> tuple[Cast, str]:
    """Return who takes part, and the number that the patient goes by before a merge."""
    told = story(plan.story)
    day = start + timedelta(days=plan.day)
    turns = birthday(plan, day)
    if plan.variant("R48") == "birthday":  # just past midnight: in UTC it is still the day before
        clock = time(0, 20, rng.randrange(60))
    else:
        clock = time(rng.randint(8, 15), rng.randrange(60), rng.randrange(60))
    cast = Cast(
        visit=_visit(start, first + n),
        patient=people.patient(
            rng,
            f"{800001 + first + n}",
            tuple(told["ages"]),
            day,
            turns,
            male=False if any(defect.woman for defect in planted(plan)) else None,
        ),
        doctor=people.doctor(f"D{rng.randint(101, 149)}"),
        surgeon=people.doctor(f"D{rng.randint(201, 219)}"),
        place=Place(told["ward"], f"{told['ward'][1:]}{n // 3 % 30 + 1:02}", str(n % 3 + 1)),
        admitted=datetime.combine(day, clock, ZONE),
    )
    return cast, f"TMP{first + n + 1:05}" if "merge" in plan.events else ""


def _visit(start: date, n: int) -> str:
    return f"ZY{start:%y%m}{n + 1:05}"


def _department(cast: Cast) -> str:
    department: str = PEOPLE["wards"][cast.place.ward]["department"]
    return department


def _outpatients(start: date, last: datetime, rng: Random, first: int) -> Iterable[tuple[Fact, speech.Context]]:
    """Yield some visits a day, and one at the very end that moves the time on."""
    moments = [
        datetime.combine(start + timedelta(days=day), time(hour, rng.randrange(60), rng.randrange(60)), ZONE)
        for day in range(7)
        for hour in (9, 15)
    ]
    for n, at in enumerate([*moments, last], 1):
        patient = people.patient(rng, f"{900000 + first + n}", (18, 80), start)
        doctor = people.doctor(f"D{rng.randint(301, 309)}")
        context = speech.Context(patient, Place("OPD", "", ""), "OPD", doctor, doctor)
        yield Registered(at=at, visit=f"MZ{start:%y%m}{first + n:05}"), context
