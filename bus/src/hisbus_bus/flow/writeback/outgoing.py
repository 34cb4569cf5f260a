"""One write-back as its table has it: what travels between the sender's modules."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One write-back, as it was read."""

    id: str
    decision: str
    proposal: str
    encounter: str
    connector: str
    """Empty: its stay's chart was not there yet."""
    status: str
    attempts: int
    failures: int
    lease: str
    code: str
    """Of the last receipt."""
    changed: datetime
    body: bytes
    """The document as last sent, JSON; empty until then."""

    @classmethod
    def of(cls, row: Row[Any]) -> "Outgoing":
        """Return what a row of ``writebacks`` says."""
        return cls(**{name: getattr(row, name) for name in cls.__slots__})
