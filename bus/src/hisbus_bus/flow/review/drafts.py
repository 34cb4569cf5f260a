"""A drafted document: who may answer it, and what may leave."""

from hisbus_bus.flow.review.errors import Incomplete, NoDocument
from hisbus_bus.kernel.people import Object
from hisbus_schemas import Draft, Drafted, Proposal


def object_of(proposal: Proposal, department: str) -> Object:
    """Return what a decision is about: a draft is its author's, everything else the reviewers'."""
    if isinstance(proposal, Draft):
        return Object("draft", department=department, author=proposal.author)
    return Object("proposal", department=department)


def check(approved: Drafted) -> None:
    """Let a document pass that may be sent as it is.

    Raises:
        NoDocument: it is a transcript.
        Incomplete: a section that it must have says nothing.
    """
    if approved.form != "document":
        raise NoDocument
    if approved.lacking():
        raise Incomplete
