"""Events: what happened in the hospital, in canonical form.

A connector returns facts; the bus stamps them into events. One message makes zero or more of them.
HL7 semantics hold inside: a field that is None says nothing, a field named in ``deleted`` is emptied.
"""

from collections.abc import Container
from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from hisbus_schemas.contract import Contract, Instant
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


class PatientId(Contract):
    """A patient's number and the authority that gave it (HL7 v2 CX.1 and CX.4)."""

    authority: str
    number: str


class VisitId(Contract):
    """A visit's number and the authority that gave it (HL7 v2 PV1-19)."""

    authority: str
    number: str
    counter: str = ""
    """Which stay of that number, where its source counts them. Empty: the number names one stay, or time says which."""


class Code(Contract):
    """A coded value (HL7 v2 CWE): code, its text, its system; and the same said in another system."""

    code: str = ""
    text: str = ""
    system: str = ""
    alternate_code: str = ""
    alternate_text: str = ""
    alternate_system: str = ""

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Both of its codings that there are, as code and system: the first as sent, then the alternate."""
        both = ((self.code, self.system), (self.alternate_code, self.alternate_system))
        return tuple(coding for coding in both if coding[0])

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it from others: code and system, else the text behind two empty ones; else so of the alternate."""
        if self.code or self.text:
            return (self.code, self.system, "") if self.code else ("", "", self.text)
        if self.alternate_code:
            return (self.alternate_code, self.alternate_system, "")
        return ("", "", self.alternate_text)

    def among(self, codes: Container[str]) -> str:
        """Return which of its codes is among these, whichever place it was sent in; empty: none."""
        return next((code for code in (self.code, self.alternate_code) if code and code in codes), "")


class Unknown(Contract):
    """A code that the connector cannot say in our words: what it was to say is left empty."""

    item: str
    """What cannot be known for it: ``class``, ``document:*``, ``vital:*`` ...."""
    code: Code
    """As sent."""
    entry: str = ""
    """What it was said of: number or key of the fact's data, of a reading its item's code. Empty: the stay."""


class Person(Contract):
    """A member of staff (HL7 v2 XCN)."""

    id: str = ""
    name: str = ""
    title: str = ""
    """Prefix and degree as its source writes them: ``主任医师``, ``Dr MD`` ...."""


class Location(Contract):
    """Where the patient lies (HL7 v2 PL)."""

    ward: str = ""
    room: str = ""
    bed: str = ""


class NameParts(Contract):
    """A patient's name in its parts, each as its source wrote it (HL7 v2 XPN). A write-back says it the same way."""

    family: str = ""
    given: str = ""
    middle: str = ""
    """Further given names, or their initials."""
    suffix: str = ""
    prefix: str = ""


class Demographics(Contract):
    """What a message says about the patient. None: nothing said. ``deleted`` names fields to empty."""

    name: str | None = None
    name_parts: NameParts | None = None
    number_type: str | None = None
    """Of which type its source says the patient's number is (HL7 v2 CX.5)."""
    birth_date: date | None = None
    sex: Sex | None = None
    id_card: str | None = None
    marital_status: str | None = None
    died: Moment | None = None
    dead: bool | None = None
    deleted: list[str] = []


class Stay(Contract):
    """What a message says about the stay (HL7 v2 PV1). None: nothing said. ``deleted`` names fields to empty."""

    patient_class: PatientClass | None = None
    location: Location | None = None
    attending: Person | None = None
    department: str | None = None
    admitted: Moment | None = None
    discharged: Moment | None = None
    disposition: str | None = None
    """``died``; any other as its source sent it."""
    deleted: list[str] = []


class Diagnosis(Contract):
    """One diagnosis (HL7 v2 DG1)."""

    code: Code
    time: Moment | None = None
    rank: int | None = None
    """1 = principal (DG1-15)."""
    suspected: bool | None = None
    """None: as its text says."""
    deleted: bool = False


class Diagnoses(Contract):
    """The diagnoses of one status that a message carries."""

    body: Literal["diagnoses"] = "diagnoses"
    status: DiagnosisStatus | Literal[""]
    items: list[Diagnosis]
    whole: bool = True
    """They replace the earlier set of that status; else they are added to it."""


class Procedure(Contract):
    """One procedure (HL7 v2 PR1)."""

    body: Literal["procedure"] = "procedure"
    key: str
    """PR1-19, or PR1-1 and PR1-5."""
    code: Code
    start: Moment | None = None
    end: Moment | None = None
    operation: bool = False
    surgeon: Person | None = None
    deleted: bool = False


class Order(Contract):
    """One order (HL7 v2 ORC with OBR or RXE/RXO). What is empty is unchanged; ``deleted`` names fields to empty."""

    body: Literal["order"] = "order"
    key: str
    """Placer number, else filler number, with who gave it."""
    placer: str = ""
    filler: str = ""
    action: Literal["placed", "changed", "stopped", "cancelled"]
    """``stopped``: it ran until then, and counts for that time; ``cancelled``: it never ran."""
    what: Code
    time: Moment | None = None
    order_class: OrderClass | Literal[""] = ""
    dose: str = ""
    unit: str = ""
    """Of the dose."""
    route: Code = Code()
    frequency: str = ""
    """As its source writes it: ``BID``, ``Q8H`` ...."""
    start: Moment | None = None
    stop: Moment | None = None
    """Until when it is to run."""
    stopped: Moment | None = None
    """Until when it ran; of ``stopped``, where none is given: the source time."""
    notes: list[str] = []
    deleted: list[str] = []


class Allergy(Contract):
    """One allergy or intolerance (HL7 v2 AL1, IAM). What is empty is unchanged; ``deleted`` names fields to empty."""

    body: Literal["allergy"] = "allergy"
    key: str
    """Its own number, else system and code, else its text."""
    what: Code
    kind: AllergyKind | Literal[""] = ""
    severity: Severity | Literal[""] = ""
    reactions: list[str] = []
    status: AllergyStatus | Literal[""] = ""
    time: Moment | None = None
    """When it was found, or began."""
    withdrawn: bool = False
    """Its source took it back."""
    deleted: list[str] = []


class Administration(Contract):
    """One dose of a drug (HL7 v2 RXA with RXR). What is empty is unchanged; ``deleted`` names fields to empty."""

    body: Literal["administration"] = "administration"
    key: str
    """Of the order, with the number and the time of the dose."""
    order: str = ""
    """Key of the order that it belongs to."""
    what: Code
    time: Moment | None = None
    end: Moment | None = None
    amount: str = ""
    unit: str = ""
    route: Code = Code()
    site: Code = Code()
    """Where on the body."""
    status: AdministrationStatus | Literal[""] = ""
    by: Person | None = None
    notes: list[str] = []
    deleted: list[str] = []


class Reading(Contract):
    """One observed value (HL7 v2 OBX).

    Identified by the report's number and service, the whole of ``item`` and ``sub``, ``ordinal``, and of a vital sign
    the time. A later message's reading of the same identity takes its place; one of the same message never does.
    """

    item: Code
    sub: str = ""
    """Which of several of the item, whole (OBX-4 with all its components)."""
    ordinal: int = 0
    """Its place among those of one message that nothing else tells apart."""
    values: list[str] = []
    unit: str = ""
    range: str = ""
    flags: list[str] = []
    status: ResultStatus | Literal[""] = ""
    time: Moment | None = None
    notes: list[str] = []


class Report(Contract):
    """The readings of one service (HL7 v2 OBR with its OBX)."""

    body: Literal["report"] = "report"
    number: str
    """OBR-3, else OBR-2, with who gave it."""
    service: Code
    status: ResultStatus | Literal[""] = ""
    time: Moment | None = None
    """When it was observed, or its specimen taken (OBR-7): the time of the readings that have none of their own."""
    reported: Moment | None = None
    """When it was reported, or its status changed (OBR-22)."""
    notes: list[str] = []
    """On the whole report."""
    readings: list[Reading] = []


class Section(Contract):
    """A part of a document's text."""

    name: str
    title: str = ""
    text: str


class Attachment(Contract):
    """A part of a document that is kept and not read (OBX of type ED or RP)."""

    type: str
    title: str = ""
    content: str


class Document(Contract):
    """A clinical document (HL7 v2 TXA with OBX)."""

    body: Literal["document"] = "document"
    number: str
    """TXA-12, with who gave it."""
    action: Literal["file", "addendum", "replace", "withdraw", "status", "edit"]
    """``status``: completion, signature and author of that number are as said now, and its content where content
    comes; ``edit``: the sections and fields that come change. Nothing else of the document does. ``addendum``: a
    document of its own."""
    type: Code
    """WS/T 500 ``C0034`` ..., LOINC or a site's table (TXA-2)."""
    parent: str = ""
    about: Moment | None = None
    author: Person | None = None
    signed: Moment | None = None
    signed_inferred: bool = False
    """The signature carried no time of its own; the source time stands in."""
    completion: str = ""
    """TXA-17 as sent."""
    sections: list[Section] = []
    fields: dict[str, str] = {}
    """A front page's fields, ``FP.ID_CARD`` ...."""
    attachments: list[Attachment] = []


class Merge(Contract):
    """Two records of one patient become one (HL7 v2 A40, A34): ``prior`` ends in the event's patient."""

    body: Literal["merge"] = "merge"
    prior: PatientId
    prior_visit: VisitId | None = None


class Move(Contract):
    """A visit moves to another patient (HL7 v2 A45): from ``prior`` to the event's patient."""

    body: Literal["move"] = "move"
    prior: PatientId | None = None
    """None: from whoever has it."""
    visit: VisitId


class Charge(Contract):
    """A charge (HL7 v2 FT1)."""

    body: Literal["charge"] = "charge"
    key: str
    code: Code
    type: str = ""
    time: Moment | None = None
    quantity: str = ""
    amount: str = ""


class Due(Contract):
    """A wake whose time has come, bound for one agent; or the news that an agent's proposals changed."""

    body: Literal["due"] = "due"
    agent: str
    """Who is woken; of ``proposals.changed``: whose proposals changed."""
    name: str
    due: Instant
    encounter: str
    through: list[str] = []
    """Keys in ``raw`` that a wake is still to pass, so that it comes behind all that is stored of its stay."""
    depth: int = 0
    """``proposals.changed``: 1 where an event of the hospital is behind it, 2 where another such news is."""


class Assigned(Contract):
    """What a person decided: that a message belongs to a stay, whatever numbers it names, or to none in particular.

    Of several on one message the last in the order of the fold stands. It holds for every later reading of the message.
    """

    body: Literal["assigned"] = "assigned"
    message: str
    """The same for every copy and every reading of it."""
    encounter: str = ""
    """The stay; empty: the message goes where its own numbers and times lead."""
    visit: VisitId | None = None
    """Of the stay."""
    who: str
    """``user:NAME``."""
    at: Instant


Body = Annotated[
    Diagnoses
    | Procedure
    | Order
    | Report
    | Document
    | Merge
    | Move
    | Charge
    | Allergy
    | Administration
    | Due
    | Assigned,
    Field(discriminator="body"),
]


class Fact(Contract):
    """What a connector reads from a message: an event that the bus has not yet stamped."""

    kind: str
    """``encounter.admitted``, ``document.filed`` ...; the list is open."""
    time: Moment
    """When it happened, as its source says (HL7 v2 EVN-6, else EVN-2, else MSH-7)."""
    patient: PatientId | None = None
    visit: VisitId | None = None
    flags: list[str] = []
    demographics: Demographics | None = None
    stay: Stay | None = None
    data: Body | None = None
    opens: bool = False
    """It opens the stay that it names. An ``encounter.*`` always does; other facts only where a source has no ADT."""
    unknown: list[Unknown] = []
    """Codes of this fact that have no word of ours."""
    segments: list[str] = []
    """Segments kept though no rule of the mapping read them."""


class Position(Contract):
    """Where the first stored copy of a message lies in ``raw``."""

    recorded: Instant
    partition: int
    offset: int


class Event(Fact):
    """A fact with its identity. Id = hash of (message, revision, ordinal)."""

    id: str
    message: str
    revision: int
    ordinal: int
    connector: str
    position: Position
    backfill: bool = False
    """It happened before the site was connected, and was read in later."""

    @property
    def order(self) -> tuple[str, str, int, int, int]:
        """Return the place in the fold: source time, then the first stored copy, then the ordinal."""
        return (
            self.time.at.strftime("%Y%m%d%H%M%S%f"),
            self.position.recorded.strftime("%Y%m%d%H%M%S%f"),
            self.position.partition,
            self.position.offset,
            self.ordinal,
        )


class Translated(Contract):
    """The record on ``events``: all that one message says under one revision of its mapping, also when nothing."""

    message: str
    revision: int
    connector: str
    key: str
    """The message's key in ``raw``; what a timer of its stays is appended under."""
    timezone: str = "UTC"
    """IANA zone of the connector."""
    clock: Literal["wall", "feed"] = "wall"
    position: Position
    events: list[Event] = []
