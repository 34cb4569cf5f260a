"""What a set of codes holds: the payload of a ``CodeSet``, and of a ``Finding`` that asks the clinician."""

from typing import Annotated, Literal

from pydantic import Field

from hisbus_schemas.assessment import Evidence, Text
from hisbus_schemas.contract import Contract

CodeRole = Literal["principal", "other", "complication", "operation"]


class CodeOption(Contract):
    """A code that could be taken instead."""

    code: str
    display: str = ""
    score: float = 0
    """How likely it is, 0 to 1."""


class CodedDoubt(Contract):
    """Why a verifier takes a code for wrong, and the words it says so by."""

    reason: Text
    evidence: list[Evidence] = []


class CodedEntry(Contract):
    """One code of a set."""

    code: Annotated[str, Field(min_length=1, max_length=40)]
    system: str = ""
    version: str = ""
    """Of the table that the code was taken from."""
    display: str = ""
    role: CodeRole
    rank: int = 0
    """Its place: the principal diagnosis is the first; operations count for themselves."""
    poa: str = ""
    """``Y``: present on admission. Empty: not known."""
    evidence: list[Evidence] = []
    """Where the record bears it. Empty: a person chose it."""
    confidence: float | None = None
    """0 to 1. None: a person chose it."""
    band: str = ""
    """The same as people read it: ``high``, ``medium`` or ``low``. Empty: a person chose it."""
    method: str = ""
    """How it was found: ``recorded``, ``title``, ``alias``, ``search`` ...."""
    assumed: list[str] = []
    """What was taken beyond the words, such as the first encounter of a seventh character."""
    alternatives: list[CodeOption] = []
    verified: str = ""
    """What a verifier makes of it: ``confirmed``, ``uncertain``, ``disputed``. Empty: nothing."""
    doubt: CodedDoubt | None = None


class CodedRejected(Contract):
    """A code that was found and is not proposed, because a verifier says so. A person may take it back."""

    code: str
    display: str = ""
    evidence: list[Evidence] = []
    doubt: CodedDoubt | None = None


class CodedEdit(Contract):
    """A rule of coding that the proposed set breaks."""

    id: str
    severity: Literal["info", "warning", "critical"] = "warning"
    codes: list[str] = []
    message: Text


class CodedOpen(Contract):
    """A diagnosis that no code fits well enough: a person chooses."""

    text: str
    evidence: Evidence = Evidence()
    alternatives: list[CodeOption] = []


class Coded(Contract):
    """A set of codes for a stay."""

    codes: list[CodedEntry]
    purpose: str = ""
    """What it is for: ``front_page`` or ``settlement``. Empty: the front page."""
    candidates: list[CodedEntry] = []
    """Codes that are not sure enough to be of the set: a person may take one. None of them leaves by itself."""
    edits: list[CodedEdit] = []
    """What is wrong with the set as it was proposed."""
    unmatched: list[CodedOpen] = []
    rejected: list[CodedRejected] = []
    verified_by: str = ""
    """``model`` where a model gave its opinion of the codes."""


class Query(Contract):
    """A question to the clinician: ``query`` in the payload of a ``Finding``. It leads to no answer."""

    draft: Text
    indicators: list[Text] = []
    """What in the record calls for it."""
    options: list[Text] = []
    """What may be answered; other answers and none are always among them."""
