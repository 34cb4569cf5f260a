"""What happens in the hospital. The messages say it (speech.py), the oracle judges it (oracle.py)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Place:
    """A bed."""

    ward: str
    room: str
    bed: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that ended."""

    number: str
    code: str
    name: str
    start: datetime
    minutes: int
    kind: str = "O"
    """PR1-6: ``O`` an operation, ``D`` a diagnostic or therapeutic procedure at the bed."""

    @property
    def end(self) -> datetime:
        """Return when it ended."""
        return self.start + timedelta(minutes=self.minutes)


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured value; `low` and `high` bound what is normal."""

    code: str
    name: str
    value: float
    unit: str
    low: float
    high: float
    digits: int = 0
    alarm: str = ""
    """How the analyser flags it, where that is more than low or high: ``LL``, ``HH``."""
    note: str = ""
    """What the laboratory says of it: that it was reported as a critical value."""

    @property
    def flag(self) -> str:
        """Return the abnormal flag."""
        return self.alarm or ("L" if self.value < self.low else "H" if self.value > self.high else "N")

    @property
    def text(self) -> str:
        """Return the value as it is written."""
        return f"{self.value:.{self.digits}f}"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document."""

    code: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something happened: `at` is the source time."""

    at: datetime
    visit: str
    part: str = ""
    """What its story calls it, so that a plan can leave it out; no message says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted(Fact):
    """A stay began.

    `diagnoses`: pairs of code and text, the principal one first. `allergies`: pairs of kind (``DA`` a drug, ``FA`` a
    food) and name.
    """

    admitted: datetime
    diagnoses: tuple[tuple[str, str], ...] = ()
    allergies: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(Fact):
    """An outpatient came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionCancelled(Fact):
    """The stay was booked by mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred(Fact):
    """The patient lies elsewhere now."""

    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated(Fact):
    """Working diagnoses and operations became known."""

    diagnoses: tuple[tuple[str, str], ...] = ()
    operations: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Discharged(Fact):
    """The stay ended."""

    discharged: datetime
    died: bool = False
    diagnoses: tuple[tuple[str, str], ...] = ()
    operations: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DischargeCancelled(Fact):
    """The stay goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged(Fact):
    """A provisional patient turned out to be somebody known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Fact):
    """Vital signs."""

    number: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered(Fact):
    """An order was given, at `ordered`."""

    number: str
    code: str
    name: str
    ordered: datetime
    medicine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged(Fact):
    """The stay was charged for: code, name and amount of each item."""

    items: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported(Fact):
    """A laboratory or imaging report: `readings` or `sections`."""

    number: str
    service: tuple[str, str]
    ordered: datetime
    readings: tuple[Reading, ...] = ()
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed(Fact):
    """A document arrived; `signed` is None for a draft, `replaces` names the number it takes the place of."""

    number: str
    type: str
    title: str
    about: datetime
    signed: datetime | None
    sections: tuple[Section, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)
    replaces: str = ""
    by: str = "doctor"
    """Who wrote it: ``doctor`` or ``surgeon``."""

    @property
    def text(self) -> str:
        """Return all sections' texts."""
        return "\n".join(section.text for section in self.sections)
