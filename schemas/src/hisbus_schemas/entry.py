"""What the parts of a chart hold: the patient, and one model for the entries of each list.

Every entry names the event that last touched it (``version``), and so its ``ref`` changes exactly when it does.
"""

from datetime import date
from typing import Literal

from hisbus_schemas.contract import Contract, Instant
from hisbus_schemas.event import Attachment, Code, PatientId, Person, Section
from hisbus_schemas.moment import Moment
from hisbus_schemas.words import DiagnosisStatus, ResultStatus, Sex


def called(code: Code) -> str:
    """Return what a code is called: its text, else the code itself."""
    return code.text or code.code


class Patient(Contract):
    """The patient of a stay, aliases resolved."""

    id: PatientId
    name: str = ""
    birth_date: date | None = None
    sex: Sex | Literal[""] = ""
    id_card: str = ""
    marital_status: str = ""
    dead: bool = False
    died: Moment | None = None


class Entry(Contract):
    """One row of a chart."""

    id: str
    """Stable within the encounter, opaque."""
    version: str
    """Id of the event that last touched it."""

    @property
    def ref(self) -> str:
        """Name the entry in this version, for ``reads``."""
        return f"{self.id}@{self.version}"

    @property
    def title(self) -> str:
        """Return what it is called in the hospital's own words: the text of its code, else the code."""
        raise NotImplementedError

    @property
    def value(self) -> str | None:
        """Return what evidence quotes that names the entry and no field of it: its title, for most. None: nothing."""
        return self.title

    @property
    def counts(self) -> bool:
        """Tell whether it stands: it was neither withdrawn nor replaced."""
        return True


class ChartDocument(Entry):
    """A document in its newest version."""

    number: str
    type: Code
    status: Literal["draft", "signed", "replaced", "withdrawn"]
    parent: str = ""
    replaced_by: str = ""
    about: Moment | None = None
    author: Person | None = None
    signed: Moment | None = None
    signed_inferred: bool = False
    received: Instant
    """When we stored the message that carried this version."""
    filed: Moment
    """Source time of that message."""
    sections: list[Section] = []
    fields: dict[str, str] = {}
    attachments: list[Attachment] = []

    @property
    def text(self) -> str:
        """Return the sections' texts, joined with line ends."""
        return "\n".join(section.text for section in self.sections)

    @property
    def title(self) -> str:
        """Return what its type is called."""
        return called(self.type)

    @property
    def value(self) -> None:
        """Return nothing: a document is quoted, or one of its fields is named."""
        return

    @property
    def counts(self) -> bool:
        """Tell whether rules may judge it: neither replaced nor withdrawn."""
        return self.status in {"draft", "signed"}


class ChartDiagnosis(Entry):
    """One diagnosis of the newest set of its status."""

    status: DiagnosisStatus | Literal[""]
    code: Code
    time: Moment | None = None
    rank: int | None = None

    @property
    def title(self) -> str:
        """Return what it is called."""
        return called(self.code)


class ChartProcedure(Entry):
    """A procedure; without ``end`` it has started and not ended."""

    key: str
    code: Code
    start: Moment | None = None
    end: Moment | None = None
    operation: bool = False
    surgeon: Person | None = None

    @property
    def title(self) -> str:
        """Return what it is called."""
        return called(self.code)


class ChartOrder(Entry):
    """An order in its newest state."""

    key: str
    placer: str = ""
    filler: str = ""
    status: Literal["placed", "changed", "cancelled"]
    what: Code
    time: Moment | None = None

    @property
    def title(self) -> str:
        """Return what what was ordered is called."""
        return called(self.what)


class ChartReading(Entry):
    """A result or vital sign in its newest state; what is withdrawn stays visible."""

    report: str
    service: Code
    item: Code
    sub: str = ""
    values: list[str] = []
    unit: str = ""
    range: str = ""
    flags: list[str] = []
    status: ResultStatus | Literal[""] = ""
    time: Moment | None = None
    withdrawn: bool = False
    """Its source took it back."""

    @property
    def title(self) -> str:
        """Return what the item is called."""
        return called(self.item)

    @property
    def value(self) -> str:
        """Return its values, as a person would read them."""
        return ", ".join(self.values)

    @property
    def counts(self) -> bool:
        """Tell whether its source still stands by it."""
        return not self.withdrawn


class ChartCharge(Entry):
    """A charge."""

    key: str
    code: Code
    type: str = ""
    time: Moment | None = None
    quantity: str = ""
    amount: str = ""

    @property
    def title(self) -> str:
        """Return what what was charged is called."""
        return called(self.code)


class ChartUnknown(Entry):
    """A code of this stay that nobody has answered yet: what hangs on it cannot be judged."""

    item: str
    """What it stands for, as a ``Need`` names it: ``document:*``, ``class``, ``vital:*`` ...."""
    entry: str = ""
    """Id of the entry that has it; empty: the stay itself."""
    code: Code
    """As it was sent."""
