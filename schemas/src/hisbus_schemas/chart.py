"""The chart: everything known about one encounter, built from its events."""

from collections.abc import Iterator
from typing import Any, Literal

from hisbus_schemas.contract import Contract, Instant
from hisbus_schemas.entry import (
    ChartAdministration,
    ChartAllergy,
    ChartCharge,
    ChartDiagnosis,
    ChartDocument,
    ChartMove,
    ChartOrder,
    ChartProcedure,
    ChartReading,
    ChartUnknown,
    Entry,
    Patient,
)
from hisbus_schemas.event import Location, Person, VisitId
from hisbus_schemas.moment import Moment
from hisbus_schemas.parts import LISTS, PARTS
from hisbus_schemas.words import PatientClass

Status = Literal["preadmitted", "registered", "admitted", "discharged", "cancelled"]


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
    patient_class: PatientClass | Literal[""] = ""
    location: Location = Location()
    attending: Person | None = None
    department: str = ""
    admitted: Moment | None = None
    discharged: Moment | None = None
    disposition: str = ""
    """``died``; any other as its source sent it."""
    died: bool = False
    """The disposition says so, or the patient is dead."""
    backfill: bool = False
    """Nothing of the stay came as it happened: it was read in later, and no agent is called for it."""
    live_from: Instant | None = None
    """Of a stay that was read in later and goes on: the source time of the first message that came as it happened.
    Nobody is held to deadlines of before. None: it was never read in later, or has not gone on."""
    documents: list[ChartDocument] = []
    diagnoses: list[ChartDiagnosis] = []
    procedures: list[ChartProcedure] = []
    orders: list[ChartOrder] = []
    results: list[ChartReading] = []
    vitals: list[ChartReading] = []
    charges: list[ChartCharge] = []
    allergies: list[ChartAllergy] = []
    administrations: list[ChartAdministration] = []
    moves: list[ChartMove] = []
    """Wards, departments and classes one after the other, by what the ADT said."""
    unknown: list[ChartUnknown] = []
    """Codes that nobody has answered yet; always there, for no agent may judge by what they hide."""

    def entries(self) -> Iterator[Entry]:
        """Yield every row of the chart."""
        for part in LISTS:
            yield from getattr(self, part.name)

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
        hidden = (part for part in PARTS if part.granted and part.name not in grants)
        empty: dict[str, Any] = {part.name: None if part.entry is None else [] for part in hidden}
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
    backfill: Literal["", "all", "ends"] = ""
    """``all``: nothing of the stay came as it happened, and no agent is called. ``ends``: with this it goes on, and all
    are, for what came before was told to none."""
