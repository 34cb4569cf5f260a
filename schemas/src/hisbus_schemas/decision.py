"""Decisions: what a person answered."""

from typing import Literal

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
