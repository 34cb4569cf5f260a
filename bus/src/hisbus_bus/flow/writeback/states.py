"""The one table of what may become of a write-back. Whatever moves one asks here, and nothing else moves one."""

from typing import Literal

from hisbus_bus.kernel.states import HIS, PERSON, STEP, Transitions, WrittenBack

Event = Literal[
    "taken",  # its decision has come
    "lost",  # nobody knows any more whether it left: its sender is gone, or its row was
    "begun",  # its first byte is about to leave
    "withheld",  # it may not leave any more
    "refused",  # the connector will never send it as it is
    "unanswered",  # it has left, as far as anybody knows, and no answer came
    # what the HIS says, at once or when asked for it later
    "applied",
    "rejected",
    "temporary",
    "unknown",
    # what a person found out, besides ``applied``
    "not_applied",
]

NEW = WrittenBack.NEW
QUEUED, SENDING, UNDECIDED = WrittenBack.QUEUED, WrittenBack.SENDING, WrittenBack.UNDECIDED
APPLIED, REJECTED, STALE = WrittenBack.APPLIED, WrittenBack.REJECTED, WrittenBack.STALE

_ASKED = (SENDING, UNDECIDED)
_FOR_A_PERSON = (UNDECIDED, STALE, REJECTED)

TABLE: Transitions[str] = Transitions(
    ((NEW,), "taken", STEP, QUEUED),
    ((NEW, SENDING), "lost", STEP, UNDECIDED),
    ((QUEUED,), "begun", STEP, SENDING),
    ((QUEUED,), "withheld", STEP, STALE),
    ((QUEUED,), "refused", STEP, REJECTED),
    ((QUEUED, SENDING), "unanswered", STEP, UNDECIDED),
    (_ASKED, "applied", HIS, APPLIED),
    (_ASKED, "rejected", HIS, REJECTED),
    (_ASKED, "temporary", HIS, QUEUED),
    (_ASKED, "unknown", HIS, UNDECIDED),
    (_FOR_A_PERSON, "applied", PERSON, APPLIED),
    (_FOR_A_PERSON, "not_applied", PERSON, QUEUED),
)
