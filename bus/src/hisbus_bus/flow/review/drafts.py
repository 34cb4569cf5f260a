"""A drafted document: who may answer it, and what may leave."""

from hisbus_bus.flow.review.errors import Incomplete, Invalid, NoDocument
from hisbus_bus.kernel.people import Action, Object
from hisbus_schemas import Draft, Drafted, Proposal


def author_of(proposal: Proposal) -> str:
    """Return the staff number of who answers a proposal; empty: no draft, or one that nobody answers."""
    return proposal.author if isinstance(proposal, Draft) else ""


def object_of(proposal: Proposal, department: str, *, orphaned: bool = False) -> Object:
    """Return what a decision is about: a draft is its author's, everything else the reviewers'.

    Args:
        proposal: what is to be answered.
        department: of its stay.
        orphaned: the author of a draft has left.
    """
    if isinstance(proposal, Draft):
        return Object("draft", department=department, author=proposal.author, orphaned=orphaned)
    return Object("proposal", department=department)


def action_on(proposal: Proposal | None) -> Action:
    """Return what answering a proposal is called: a draft is answered, everything else decided."""
    return "answer" if isinstance(proposal, Draft) else "decide"


def check(proposed: Drafted, approved: Drafted | None) -> None:
    """Let a document pass that may be sent. A person changes what its sections say, and nothing else of it.

    Raises:
        NoDocument: it is a transcript.
        Invalid: it is no document any more, or another one, or lacks a section that was drafted.
        Incomplete: a section that it must have says nothing.
    """
    if proposed.form != "document":
        raise NoDocument
    if approved is None or _form(approved) != _form(proposed):
        raise Invalid
    if approved.lacking():
        raise Incomplete


def _form(document: Drafted) -> object:
    """Return what of a document nobody changes."""
    sections = [(one.code, one.title, one.loinc, one.element, one.required) for one in document.sections]
    return document.template, document.form, document.type, document.loinc, document.title, document.language, sections
