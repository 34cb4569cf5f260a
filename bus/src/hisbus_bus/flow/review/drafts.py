"""A drafted document: who may answer it, and what may leave."""

from hisbus_bus.flow.review.errors import Incomplete, Invalid, NoDocument
from hisbus_bus.kernel.people import Object
from hisbus_schemas import Draft, Drafted, Proposal


def object_of(proposal: Proposal, department: str) -> Object:
    """Return what a decision is about: a draft is its author's, everything else the reviewers'."""
    if isinstance(proposal, Draft):
        return Object("draft", department=department, author=proposal.author)
    return Object("proposal", department=department)


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
