"""Decisions: what a person answered."""

from typing import Literal

from hisbus_schemas.assessment import Proposal
from hisbus_schemas.contract import Contract, Instant

Answer = Literal["accept", "edit", "reject"]
Reason = Literal["wrong", "not_relevant", "already_fixed", "duplicate", "rule_outdated"]


class Decision(Contract):
    """One answer to one revision of one proposal."""

    id: str
    proposal: str
    revision: int
    agent: str
    rule: str
    encounter: str
    decision: Answer
    reason: Reason | None = None
    note: str = ""
    user: str
    decided: Instant
    etag: str
    """Of exactly what the person saw."""
    approved: Proposal | None = None
    """Exactly what was decided on, with the person's changes; lets a restored table take the decision over."""
    release: str = ""
    """The release that the agent went by when it proposed it."""
    shadow: bool = False
    """Always false: what is tried unseen is not decided on."""
