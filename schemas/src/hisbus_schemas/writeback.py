"""Write-backs: what goes back to the HIS after a decision, and what it replied."""

from datetime import date
from typing import Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from hisbus_schemas.assessment import Evidence, Proposal, Text
from hisbus_schemas.contract import Contract, Instant
from hisbus_schemas.event import Code, Location, NameParts, PatientId, VisitId
from hisbus_schemas.words import PatientClass, Sex

Language = Literal["zh", "en"]


class Ground(Contract):
    """A piece of evidence as a doctor reads it: what says so, and when."""

    evidence: Evidence
    what: Text
    """The document or the fact by its name."""
    at: Instant | None = None
    """When the document was signed, or the fact observed."""
    words: str
    """What is quoted, or the value; times in the zone of the stay."""


class WriteBack(Contract):
    """What a person approved, for the HIS, complete: a connector needs nothing else to send it."""

    id: str
    """The idempotency key: the same for every attempt (HL7 v2 TXA-12, MSH-10)."""
    connector: str
    proposal: str
    decision: str
    approved: Proposal
    """Exactly what was approved: kind, rule, payload, what it rests on, in both languages."""
    agent: str
    """Which agent proposed it."""
    user: str
    """Who decided."""
    decided: Instant
    user_name: str = ""
    """Full name and department of that person. Empty: nobody entered them."""
    note: str = ""
    """What that person wrote beside it."""
    title: Text = Text(zh="", en="")
    """What was found, in a few words. Empty: its rule has no title."""
    grounds: list[Ground] = []
    """What it rests on: one for each piece of evidence that the chart has."""
    languages: list[Language] = ["zh"]
    """What its text leaves in: those that the site wants, without one in which the text is older than an edit."""
    visit: VisitId
    """As received; so is the patient's number."""
    patient: PatientId
    number_type: str = ""
    """Of which type the patient's number was received. Empty: its source said none."""
    patient_name: str = ""
    name_parts: NameParts = NameParts()
    """The name as it was received; all empty: it came in one piece only."""
    birth_date: date | None = None
    sex: Sex | Literal[""] = ""
    patient_class: PatientClass | Literal[""] = ""
    location: Location = Location()
    timezone: str = "UTC"
    """IANA zone of the stay."""
    document: Code = Code()
    """The type of the document that it is (WS/T 500). Empty: a notice of what was found."""
    out: dict[str, str] = {}
    """Header fields and codes, by the connector's own names, as the profile says that they leave."""


Outcome = Literal["applied", "rejected", "temporary", "unknown"]


class Receipt(Contract):
    """What the HIS replied.

    ``applied``: it has it. ``rejected``: it refuses for good. ``temporary``: it says try again, and has not applied it.
    ``unknown``: it may or may not have it.
    """

    writeback: str
    outcome: Outcome
    code: str = ""
    """A stable word for what happened: ``AA``, ``AR``, ``silence``, ``wrong_msa2`` ...."""
    received: Instant
    said: SkipJsonSchema[str] = Field("", exclude=True, repr=False)
    """What the HIS said besides, for the operator's eyes only: it may quote a patient. It is kept in the database, and
    left out wherever a receipt is written: it never travels."""


Effect = Literal["applied", "not_applied", "unknown"]
"""What ``find`` answers about an earlier attempt."""
