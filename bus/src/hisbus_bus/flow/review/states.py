"""The one table of what may become of a proposal. Whatever moves one asks here, and nothing else moves one."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from hisbus_bus.kernel.states import PERSON, STEP, TOPIC, Proposed, Transitions

Event = Literal[
    "said",  # the agent says it: for the first time, again, or after it was gone
    "unsaid",  # the agent looked, and says it no more
    "replaced",  # a newer revision has taken its place
    "disconnected",  # what its rule needs does not reach this site
    "changed",  # the chart has changed in what it reads
    "holds",  # the chart reads again as it did
    "accept",
    "edit",
    "reject",
    "undo",  # the decision is taken back
]
Answered = Literal["accept", "edit", "reject"]


class State(NamedTuple):
    """Where a proposal stands."""

    status: str
    rectified: bool = False
    """Approved, and gone from a later assessment: the record was corrected."""


NEW = State(Proposed.NEW)
OPEN = State(Proposed.OPEN)
STALE = State(Proposed.STALE)
ACCEPTED, EDITED, REJECTED = State(Proposed.ACCEPTED), State(Proposed.EDITED), State(Proposed.REJECTED)
ACCEPTED_RECTIFIED, EDITED_RECTIFIED = State(Proposed.ACCEPTED, True), State(Proposed.EDITED, True)
SUPERSEDED, RESOLVED, WITHDRAWN = State(Proposed.SUPERSEDED), State(Proposed.RESOLVED), State(Proposed.WITHDRAWN)

_LIVE = (OPEN, STALE)
_DECIDED = (ACCEPTED, EDITED, REJECTED, ACCEPTED_RECTIFIED, EDITED_RECTIFIED)
_UNANSWERED = (NEW, OPEN, STALE, SUPERSEDED, RESOLVED, WITHDRAWN)

TABLE = Transitions(
    ((NEW, STALE, WITHDRAWN), "said", STEP, OPEN),
    (_LIVE, "unsaid", STEP, RESOLVED),
    (_LIVE, "replaced", STEP, SUPERSEDED),
    (_LIVE, "disconnected", STEP, WITHDRAWN),
    ((OPEN,), "changed", STEP, STALE),
    ((STALE,), "holds", STEP, OPEN),
    ((OPEN,), "accept", PERSON, ACCEPTED),
    ((OPEN,), "edit", PERSON, EDITED),
    ((OPEN,), "reject", PERSON, REJECTED),
    (_DECIDED, "undo", PERSON, OPEN),
    ((ACCEPTED,), "unsaid", STEP, ACCEPTED_RECTIFIED),
    ((EDITED,), "unsaid", STEP, EDITED_RECTIFIED),
    ((ACCEPTED_RECTIFIED,), "said", STEP, ACCEPTED),
    ((EDITED_RECTIFIED,), "said", STEP, EDITED),
    # After a restore the topic holds what the table has lost, whatever has become of the proposal since.
    (_UNANSWERED, "accept", TOPIC, ACCEPTED),
    (_UNANSWERED, "edit", TOPIC, EDITED),
    (_UNANSWERED, "reject", TOPIC, REJECTED),
    (_DECIDED, "undo", TOPIC, OPEN),
)


WHY: Mapping[str, str] = {"disconnected": "not_connected"}
"""The reason that history and audit give for what no person did, where the new status does not say it."""


def told(before: State, event: Event, now: State) -> str:
    """Return what history and audit call a transition: the new status, where that says it."""
    if event == "undo":
        return "undone"
    if before.rectified != now.rectified:
        return "rectified" if now.rectified else "not_rectified"
    return now.status
