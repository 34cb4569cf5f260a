"""Write-backs: what goes back to the HIS after a decision, and what it replied."""

from datetime import date
from typing import Literal

from hisbus_schemas.contract import Contract, Instant
from hisbus_schemas.event import Code, Location, PatientId, Section, VisitId
from hisbus_schemas.words import PatientClass, Sex


class WriteBack(Contract):
    """One document for the HIS, complete: a connector needs nothing else to send it."""

    id: str
    """The idempotency key: the same for every attempt (HL7 v2 TXA-12, MSH-10)."""
    connector: str
    proposal: str
    decision: str
    visit: VisitId
    patient: PatientId
    patient_name: str = ""
    birth_date: date | None = None
    sex: Sex | Literal[""] = ""
    patient_class: PatientClass | Literal[""] = ""
    location: Location = Location()
    document: Code = Code()
    """The type of the document that it is (WS/T 500). Empty: a notice of what was found."""
    sections: list[Section] = []
    """Sections of a document or of a set of codes, for who can place them; ``lines`` say the same."""
    lines: list[str]
    """Rule, message, quoted evidence, who decided; or the text of a document."""
    decided: Instant


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


Effect = Literal["applied", "not_applied", "unknown"]
"""What ``find`` answers about an earlier attempt."""
