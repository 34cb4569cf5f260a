"""The examples beside the rule files: a stay written down in a few lines, and what its rule says of it.

``R03.examples.toml`` lies beside ``R03.toml``; a hospital writes such examples for its own rules, and tests run them.
"""

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hisbus import ConfigError
from hisbus.terms import Release, store, table
from hisbus_schemas import (
    Chart,
    ChartAllergy,
    ChartCharge,
    ChartDiagnosis,
    ChartDocument,
    ChartOrder,
    ChartProcedure,
    ChartReading,
    Code,
    Location,
    Moment,
    Patient,
    PatientId,
    Person,
    Section,
    VisitId,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
"""The zone of every example."""
KINDS = frozenset({"positive", "negative", "near"})
"""What an example can be."""


@dataclass(frozen=True)
class RuleExample:
    """One example: ``positive`` finds what ``expects`` names; ``negative`` is clean, ``near`` all but a defect."""

    rule: str
    name: str
    kind: str
    expects: tuple[str, ...]
    settings: dict[str, Any]
    chart: Chart
    drugs: str = ""
    """A table of drugs that the hospital loaded, as CSV."""

    def terms(self, folder: Path) -> Path | None:
        """Write the file of terminologies that the example is judged with; None: there is none."""
        if not self.drugs:
            return None
        file, loaded = folder / "terms.db", "2026-03-01T00:00:00+00:00"
        release = Release("DRUGS", "drug", "1", "drugs.csv", "0" * 64, loaded, "made up")
        store.load(file, release, table.read(self.drugs.encode()).rows)
        return file


def read(rules: Path | None = None) -> list[RuleExample]:
    """Return every example of every rule: of a folder, or of the plugin.

    Raises:
        ConfigError: an example is not whole.
    """
    there = rules.iterdir() if rules else files("hisbus_qc").joinpath("rules").iterdir()
    folder = sorted(there, key=lambda item: item.name)
    return [
        rule_example(file.name.removesuffix(".examples.toml"), one)
        for file in folder
        if file.name.endswith(".examples.toml")
        for one in tomllib.loads(file.read_text(encoding="utf-8"))["example"]
    ]


def at(text: str) -> datetime:
    """Return a time of 2026, ``MM-DD HH:MM[:SS]``, on the clock of Shanghai."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=SHANGHAI).astimezone(UTC)


def moment(text: str | None) -> Moment | None:
    """Return it as a source gave it."""
    return Moment(at=at(text), offset=480) if text else None


def rule_example(rule: str, table: dict[str, Any]) -> RuleExample:
    """Return an example from its table."""
    expects = tuple(sorted(table.pop("expects", ())))
    about = {name: table.pop(name, {} if name == "settings" else "") for name in ("name", "kind", "settings", "drugs")}
    if about["kind"] not in KINDS or (about["kind"] == "positive") != bool(expects):
        raise ConfigError(f"{rule}: the example “{about['name']}” is positive with what it expects, negative or near")
    return RuleExample(rule, about["name"], about["kind"], expects, about["settings"], chart(table), about["drugs"])


def chart(table: dict[str, Any]) -> Chart:
    """Return the chart of an inpatient admitted on 2 March 2026 at 08:30; the table says what is there."""
    now = at(table.pop("now", "03-02 09:00"))
    discharged = moment(table.pop("discharged", None))
    patient = Patient(
        id=PatientId(authority="HOSP", number="P1"),
        name=table.pop("name_of_patient", "王建国"),
        sex=table.pop("sex", "male"),
        birth_date=date.fromisoformat(table.pop("born", "1960-05-04")),
    )
    parts = {part: [make(n, **item) for n, item in enumerate(table.pop(part, []), 1)] for part, make in PARTS.items()}
    made = Chart(
        encounter="enc",
        version=1,
        now=now,
        timezone="Asia/Shanghai",
        visit=VisitId(authority="HOSP", number="V1"),
        patient=patient,
        status="discharged" if discharged else "admitted",
        patient_class=table.pop("class", "inpatient"),
        location=Location(ward=table.pop("ward", "W3")),
        department=table.pop("department", ""),
        admitted=moment(table.pop("admitted", "03-02 08:30")),
        discharged=discharged,
        died=table.pop("died", False),
        **parts,
    )
    if table:
        raise ConfigError(f"an example has an unknown key {min(table)}")
    return made


def person(text: str) -> Person | None:
    """Return staff written as ``D200 张华``."""
    id, _, name = text.partition(" ")
    return Person(id=id, name=name) if text else None


def coded(text: str, system: str = "") -> Code:
    """Return a code written as ``CODE name``, or a name alone in quotes of its own: `` name``."""
    code, _, name = text.partition(" ")
    return Code(code=code, text=name, system=system)


def document(n: int, type: str, signed: str = "", **item: Any) -> ChartDocument:
    """Return a document, signed where a time says so."""
    received = item.pop("filed", signed or "03-02 09:00")
    filed = Moment(at=at(received), offset=480)
    sections = [Section(name=name, text=text) for name, text in item.pop("sections", {}).items()]
    text = item.pop("text", "患者一般情况可。")
    return ChartDocument(
        id=f"D{n}",
        version=f"d{n}",
        number=f"D{n}",
        type=Code(code=type),
        status=item.pop("status", "signed" if signed else "draft"),
        signed=moment(signed),
        about=moment(item.pop("about", None)),
        author=person(item.pop("author", "")),
        received=filed.at,
        filed=filed,
        fields={f"FP.{name}": value for name, value in item.pop("page", {}).items()} | item.pop("fields", {}),
        sections=sections or ([Section(name="TEXT", text=text)] if text else []),
        **item,
    )


def diagnosis(n: int, what: str, status: str = "final", rank: int | None = None, time: str = "") -> ChartDiagnosis:
    """Return a diagnosis, a final one if nothing else is said."""
    return ChartDiagnosis(id=f"G{n}", version=f"g{n}", status=status, code=coded(what), rank=rank, time=moment(time))


def procedure(n: int, start: str, end: str = "", what: str = "47.0100 腹腔镜阑尾切除术", **item: Any) -> ChartProcedure:
    """Return an operation, or with ``operation = false`` another procedure."""
    return ChartProcedure(
        id=f"OP{n}",
        version=f"p{n}",
        key=f"OP{n}",
        code=coded(what),
        start=moment(start),
        end=moment(end),
        operation=item.pop("operation", True),
        surgeon=person(item.pop("surgeon", "")),
        **item,
    )


def order(n: int, what: str, time: str, **item: Any) -> ChartOrder:
    """Return a placed order."""
    fields = {"placer": f"A{n}", "status": "placed"} | item
    what_ = Code(text=what)
    return ChartOrder(id=f"O{n}", version=f"o{n}", key=fields["placer"], what=what_, time=moment(time), **fields)


def reading(n: int, item: str, value: str, time: str = "", service: str = "", **more: Any) -> ChartReading:
    """Return a result or vital sign."""
    fields = {"report": f"B{n}", "status": "final"} | more
    return ChartReading(
        id=f"V{n}", version=f"v{n}", service=coded(service), item=coded(item, "LN"), values=[value],
        time=moment(time), **fields,
    )  # fmt: skip


def charge(n: int, what: str, time: str = "03-03 10:00") -> ChartCharge:
    """Return a charge."""
    return ChartCharge(id=f"C{n}", version=f"c{n}", key=f"C{n}", code=coded(what), time=moment(time))


def allergy(n: int, what: str, time: str = "", **item: Any) -> ChartAllergy:
    """Return a recorded allergy, to a drug if nothing else is said."""
    kind = item.pop("kind", "drug")
    return ChartAllergy(
        id=f"A{n}", version=f"a{n}", key=f"A{n}", what=coded(what), kind=kind, time=moment(time), **item
    )


PARTS: dict[str, Any] = {
    "documents": document,
    "diagnoses": diagnosis,
    "procedures": procedure,
    "orders": order,
    "results": reading,
    "vitals": reading,
    "charges": charge,
    "allergies": allergy,
}
"""The parts of a chart, and what makes one entry of each from its number and table."""
