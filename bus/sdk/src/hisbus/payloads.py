"""What the payload of a proposal holds, where it has the form of the contract: a draft, a set of codes, a question."""

from typing import Any, TypeVar

from pydantic import ValidationError

from hisbus_schemas import Coded, CodeSet, Contract, Draft, Drafted, Proposal, Query, Text

T = TypeVar("T", bound=Contract)


def drafted(proposal: Proposal) -> Drafted | None:
    """Return the document that a proposal holds; None for what is no draft, or one of a shape of its own."""
    return _read(Drafted, proposal.payload) if isinstance(proposal, Draft) else None


def coded(proposal: Proposal) -> Coded | None:
    """Return the codes that a proposal holds; None for what is no set of codes, or one of a shape of its own."""
    return _read(Coded, proposal.payload) if isinstance(proposal, CodeSet) else None


def query(proposal: Proposal) -> Query | None:
    """Return the question to the clinician that a proposal holds; None where it holds none."""
    return _read(Query, proposal.payload["query"]) if "query" in proposal.payload else None


def title(proposal: Proposal) -> Text:
    """Return what was found, in a few words; empty where the proposal has no title."""
    return _read(Text, proposal.payload.get("title")) or Text(zh="", en="")


def _read(form: type[T], payload: Any) -> T | None:
    try:
        return form.model_validate(payload)
    except ValidationError:
        return None
