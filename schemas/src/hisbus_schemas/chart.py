"""The chart: everything known about one encounter, built from its events.

Every entry names the event that last touched it (``version``), and so its ``ref`` changes exactly when it does.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, Literal

from hisbus_schemas.contract import Contract, Instant
from hisbus_schemas.event import (
    Attachment,
    Code,
    Location,
    PatientId,
    Person,
    Section,
    VisitId,
)
from hisbus_schemas.moment import Moment

Status = Literal["registered", "admitted", "discharged", "cancelled"]


class Patient(Contract):
    """The patient of a stay, aliases resolved."""

    id: PatientId
    name: str = ""
    birth_date: date | None = None
    sex: str = ""
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
    def counts(self) -> bool:
        """Tell whether rules may judge it: neither replaced nor withdrawn."""
        return self.status in {"draft", "signed"}


class ChartDiagnosis(Entry):
    """One diagnosis of the newest set of its type."""

    type: str
    code: Code
    time: Moment | None = None
    rank: int | None = None


class ChartProcedure(Entry):
    """A procedure; without ``end`` it has started and not ended."""

    key: str
    code: Code
    start: Moment | None = None
    end: Moment | None = None
    operation: bool = False
    surgeon: Person | None = None


class ChartOrder(Entry):
    """An order in its newest state."""

    key: str
    placer: str = ""
    filler: str = ""
    status: Literal["placed", "changed", "cancelled"]
    what: Code
    time: Moment | None = None


class ChartReading(Entry):
    """A result or vital sign in its newest state; ``withdrawn`` ones stay visible."""

    report: str
    service: Code
    item: Code
    sub: str = ""
    values: list[str] = []
    unit: str = ""
    range: str = ""
    flags: list[str] = []
    status: str = ""
    time: Moment | None = None
    withdrawn: bool = False


class ChartCharge(Entry):
    """A charge."""

    key: str
    code: Code
    type: str = ""
    time: Moment | None = None
    quantity: str = ""
    amount: str = ""


class ChartUnknown(Entry):
    """A code of this stay that nobody has answered yet: what hangs on it cannot be judged."""

    item: str
    """What it stands for, as a ``Need`` names it: ``document:*``, ``class``, ``vital:*`` ...."""
    entry: str = ""
    """Id of the entry that has it; empty: the stay itself."""
    code: Code
    """As it was sent."""


GRANTS = ("patient", "documents", "diagnoses", "procedures", "orders", "results", "vitals", "charges")
"""Parts of a chart that an agent asks for by name. The stay itself (times, status, place) is always there."""


class Chart(Contract):
    """One encounter at one version."""

    encounter: str
    version: int
    now: Instant
    """The time that agents and rules take for the present."""
    timezone: str = "UTC"
    """IANA zone of the connector that the stay came through."""
    key: str = ""
    """Key in ``raw`` of the encounter's latest message."""
    connector: str = ""
    visit: VisitId
    patient: Patient | None = None
    status: Status
    patient_class: str = ""
    location: Location = Location()
    attending: Person | None = None
    department: str = ""
    admitted: Moment | None = None
    discharged: Moment | None = None
    disposition: str = ""
    died: bool = False
    """PV1-36 is ``20`` or the patient is dead."""
    documents: list[ChartDocument] = []
    diagnoses: list[ChartDiagnosis] = []
    procedures: list[ChartProcedure] = []
    orders: list[ChartOrder] = []
    results: list[ChartReading] = []
    vitals: list[ChartReading] = []
    charges: list[ChartCharge] = []
    unknown: list[ChartUnknown] = []
    """Codes that nobody has answered yet; always there, for no agent may judge by what they hide."""

    def entries(self) -> Iterator[Entry]:
        """Yield every row of the chart."""
        for part in (self.documents, self.diagnoses, self.procedures, self.orders, self.results, self.vitals):
            yield from part
        yield from self.charges

    def stay(self, field: str) -> str:
        """Return a fact of the stay as text, empty when unknown: ``admitted``, ``status``, ``patient.sex`` ...."""
        value: Any = self
        for name in field.split("."):
            value = getattr(value, name)
            if value is None:
                return ""
        return value.isoformat() if isinstance(value, Moment) else str(value)

    def stay_ref(self, field: str) -> str:
        """Name a fact of the stay with its present value, for ``reads``."""
        return f"stay.{field}@{self.stay(field)}"

    def holds(self, ref: str) -> bool:
        """Tell whether what a ref names is still as it was when the ref was made."""
        name, _, version = ref.partition("@")
        if name.startswith("stay."):
            return self.stay(name.removeprefix("stay.")) == version
        return any(entry.id == name and entry.version == version for entry in self.entries())

    def project(self, grants: frozenset[str]) -> "Chart":
        """Return the chart with every part that is not granted removed."""
        empty: dict[str, Any] = {part: (None if part == "patient" else []) for part in GRANTS if part not in grants}
        return self.model_copy(update=empty)


class Charted(Contract):
    """The record on ``charted``: this encounter has a new version because of this event."""

    id: str
    encounter: str
    version: int
    event: str
    kind: str
    key: str
    """Key in ``raw`` of the encounter's latest message."""
    agent: str = ""
    """Set: for this agent alone (``timer.due``)."""
    by: str = ""
    """Set: for everybody but this agent, whose own doing it is (``proposals.changed``)."""
