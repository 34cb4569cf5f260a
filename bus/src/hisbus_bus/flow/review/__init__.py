"""Review: agents' assessments become proposals, and people decide on them."""

from hisbus_bus.flow.review.decide import decide
from hisbus_bus.flow.review.errors import (
    AlreadyDecided,
    BadCodes,
    Changed,
    Closed,
    Invalid,
    NotDecided,
    NotYours,
    PreconditionRequired,
    Sent,
    Unknown,
)
from hisbus_bus.flow.review.proposals import body, refresh
from hisbus_bus.flow.review.step import Review
from hisbus_bus.flow.review.takeover import take_over
from hisbus_bus.flow.review.undo import undo

__all__ = [
    "AlreadyDecided",
    "BadCodes",
    "Changed",
    "Closed",
    "Invalid",
    "NotDecided",
    "NotYours",
    "PreconditionRequired",
    "Review",
    "Sent",
    "Unknown",
    "body",
    "decide",
    "refresh",
    "take_over",
    "undo",
]
