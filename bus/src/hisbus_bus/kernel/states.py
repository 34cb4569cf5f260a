"""Where a proposal, a decision and a write-back may stand: the words, once; and what a table of transitions is.

The tables stand with the steps whose rows they govern: ``flow/review/states.py`` and ``flow/writeback/states.py``.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Final, Generic, TypeVar

from hisbus.errors import BusError

S = TypeVar("S", bound=Hashable)

STEP: Final = "step"
"""The step itself, by what it has read."""
PERSON: Final = "person"
TOPIC: Final = "topic"
"""A topic, which after a restore knows more than the tables."""
HIS: Final = "his"


class Proposed:
    """Where a proposal stands."""

    NEW: Final = ""
    """Not stored yet."""
    OPEN: Final = "open"
    STALE: Final = "stale"
    ACCEPTED: Final = "accepted"
    EDITED: Final = "edited"
    REJECTED: Final = "rejected"
    SUPERSEDED: Final = "superseded"
    RESOLVED: Final = "resolved"
    WITHDRAWN: Final = "withdrawn"

    LIVE = frozenset({OPEN, STALE})
    """Waits for a person."""
    APPROVED = frozenset({ACCEPTED, EDITED})
    DECIDED = APPROVED | {REJECTED}
    CLOSED = frozenset({SUPERSEDED, RESOLVED, WITHDRAWN})
    """Closed without a person."""


class Decided:
    """Whether a decision counts."""

    STANDS: Final = "stands"
    UNDONE: Final = "undone"
    """Taken back before it left."""


class WrittenBack:
    """Where a write-back stands."""

    NEW: Final = ""
    """Not stored yet."""
    QUEUED: Final = "queued"
    SENDING: Final = "sending"
    APPLIED: Final = "applied"
    REJECTED: Final = "rejected_by_his"
    STALE: Final = "stale"
    UNDECIDED: Final = "undecided"

    ALL = (QUEUED, SENDING, APPLIED, REJECTED, STALE, UNDECIDED)
    LEAVING = frozenset({QUEUED, SENDING})
    """Leaves without a person's help."""
    FOR_A_PERSON = frozenset({UNDECIDED, STALE, REJECTED})


class Impossible(BusError):
    """A row was to go where its table of states does not lead. This is a mistake in hisbus; nothing was changed."""

    code = "impossible_state"


class Transitions(Generic[S]):
    """The table of what may become of a row: where it stands, what happens, who does it, where it stands then."""

    def __init__(self, *rows: tuple[Iterable[S], str, str, S]) -> None:
        """Take rows of states that share an event, the event, who, and the state that follows."""
        self.rows: Mapping[tuple[S, str, str], S] = {
            (state, event, who): to for states, event, who, to in rows for state in states
        }
        if len(self.rows) != sum(len(list(states)) for states, *_ in rows):
            raise ValueError("a transition is named twice")

    def after(self, state: S, event: str, who: str) -> S:
        """Return where a row stands after something happened.

        Raises:
            Impossible: this cannot happen there, or not by them.
        """
        try:
            return self.rows[state, event, who]
        except KeyError:
            raise Impossible(f"{state} does not take {event} by {who}; nothing was changed.") from None

    def way(self, event: str, who: str) -> tuple[frozenset[S], S]:
        """Return where something may happen, and the one state that follows.

        Raises:
            Impossible: it never happens, or leads to several states.
        """
        ways = {state: to for (state, what, by), to in self.rows.items() if (what, by) == (event, who)}
        if len(set(ways.values())) != 1:
            raise Impossible(f"{event} by {who} leads to {len(set(ways.values()))} states; nothing was changed.")
        return frozenset(ways), next(iter(ways.values()))
