"""What the parts of a chart hold: the patient, and one model for the entries of each list.

Every entry names the event that last touched it (``version``), and so its ``ref`` changes exactly when it does.
"""

from datetime import date
from typing import Literal

from hisbus_schemas.contract import Contract, Instant
from hisbus_schemas.event import Attachment, Code, Location, NameParts, PatientId, Person, Section
from hisbus_schemas.moment import Moment
from hisbus_schemas.words import (
    AdministrationStatus,
    AllergyKind,
    AllergyStatus,
    DiagnosisStatus,
    OrderClass,
    PatientClass,
    ResultStatus,
    Severity,
    Sex,
)


def called(code: Code) -> str:
    """Return what a code is called: its text, else the alternate's, else the code itself, else the alternate."""
    return code.text or code.alternate_text or code.code or code.alternate_code


class Patient(Contract):
    """The patient of a stay, aliases resolved."""

    id: PatientId
    name: str = ""
    name_parts: NameParts = NameParts()
    """The same as it was received, for write-backs."""
    number_type: str = ""
    """Of which type its source says the number is, for write-backs."""
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
    completion: str = ""
    """How far it is, as its source says it."""
    received: Instant
    """When we stored the message that filed it last."""
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
    suspected: bool = False
    """It is not certain: its source or its text says so (疑似, 待查, ``?``, rule out)."""

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
    status: Literal["placed", "changed", "stopped", "cancelled"]
    what: Code
    time: Moment | None = None
    order_class: OrderClass | Literal[""] = ""
    dose: str = ""
    unit: str = ""
    route: Code = Code()
    frequency: str = ""
    start: Moment | None = None
    stop: Moment | None = None
    """Until when it is to run."""
    stopped: Moment | None = None
    """Until when it ran."""
    notes: list[str] = []

    @property
    def title(self) -> str:
        """Return what the ordered thing is called."""
        return called(self.what)

    @property
    def counts(self) -> bool:
        """Tell whether it ran, or is to run: what was stopped counts for its time, what was cancelled never ran."""
        return self.status != "cancelled"


class ChartReading(Entry):
    """A result or vital sign in its newest state; what is withdrawn stays visible."""

    report: str
    service: Code
    item: Code
    sub: str = ""
    ordinal: int = 0
    """Its place among those of one message that nothing else tells apart."""
    values: list[str] = []
    unit: str = ""
    range: str = ""
    flags: list[str] = []
    status: ResultStatus | Literal[""] = ""
    time: Moment | None = None
    """When it was observed."""
    reported: Moment | None = None
    """When its report was made, or changed."""
    withdrawn: bool = False
    """Its source took it back."""
    notes: list[str] = []
    report_notes: list[str] = []
    """On the report that brought it."""

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
        """Return what the charged thing is called."""
        return called(self.code)


class ChartAllergy(Entry):
    """An allergy or intolerance in its newest state; what is withdrawn stays visible."""

    key: str
    what: Code
    kind: AllergyKind | Literal[""] = ""
    severity: Severity | Literal[""] = ""
    reactions: list[str] = []
    status: AllergyStatus | Literal[""] = ""
    time: Moment | None = None
    """When it was found, or began."""
    withdrawn: bool = False
    """Its source took it back."""

    @property
    def title(self) -> str:
        """Return what he is allergic to."""
        return called(self.what)

    @property
    def counts(self) -> bool:
        """Tell whether its source still stands by it."""
        return not self.withdrawn


class ChartAdministration(Entry):
    """A dose of a drug, given or not, in its newest state; what is withdrawn stays visible."""

    key: str
    order: str = ""
    """Key of the order that it belongs to."""
    what: Code
    time: Moment | None = None
    end: Moment | None = None
    amount: str = ""
    unit: str = ""
    route: Code = Code()
    site: Code = Code()
    status: AdministrationStatus | Literal[""] = ""
    by: Person | None = None
    notes: list[str] = []

    @property
    def title(self) -> str:
        """Return what the drug is called."""
        return called(self.what)

    @property
    def counts(self) -> bool:
        """Tell whether its source still stands by it."""
        return self.status != "withdrawn"


class ChartMove(Entry):
    """From when the patient lay where, in which department and class; it lasted until the next one."""

    since: Moment
    kind: str
    """Of the event that said so: ``encounter.admitted``, ``encounter.transferred`` ...."""
    location: Location = Location()
    department: str = ""
    patient_class: PatientClass | Literal[""] = ""
    cancelled: bool = False
    """The transfer, or the whole stay until then, was cancelled."""

    @property
    def title(self) -> str:
        """Return the ward, else the department, else the class."""
        return self.location.ward or self.department or self.patient_class

    @property
    def counts(self) -> bool:
        """Tell whether it took place."""
        return not self.cancelled


class ChartUnknown(Entry):
    """A code of this stay that has no word of ours: what hangs on it cannot be judged.

    It goes when what it was said of is said again with a known one.
    """

    item: str
    """What it stands for, as a ``Need`` names it: ``document:*``, ``class``, ``vital:*`` ...."""
    entry: str = ""
    """Id of the entry that has it; empty: the stay itself."""
    code: Code
    """As it was sent."""

    @property
    def title(self) -> str:
        """Return what the code is called."""
        return called(self.code)
