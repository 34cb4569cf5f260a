"""Review: agents' assessments become proposals, and people decide on them."""

from hisbus.review.decide import decide
from hisbus.review.errors import (
    AlreadyDecided,
    BadCodes,
    Changed,
    Closed,
    Invalid,
    PreconditionRequired,
    Unknown,
)
from hisbus.review.proposals import body, refresh
from hisbus.review.step import Review
from hisbus.review.takeover import take_over

__all__ = [
    "AlreadyDecided",
    "BadCodes",
    "Changed",
    "Closed",
    "Invalid",
    "PreconditionRequired",
    "Review",
    "Unknown",
    "body",
    "decide",
    "refresh",
    "take_over",
]
