"""Reconciling, pure: an assessment is complete, so what it says is compared with what stands for its agent and stay."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from hisbus.errors import BadMessage
from hisbus_bus.flow.review import drafts, proposals, states
from hisbus_bus.flow.review.proposals import Standing
from hisbus_bus.flow.review.states import TABLE, Event
from hisbus_bus.kernel.states import STEP, Proposed
from hisbus_schemas import Assessed, Proposal

NOT_CONNECTED = states.WHY["disconnected"]
"""Of a rule that was not judged: what it needs does not reach this site."""


@dataclass(frozen=True, slots=True)
class Update:
    """A proposal that stands changes."""

    row: Standing
    values: dict[str, Any]
    """Columns by their names."""
    told: str = ""
    """What history and audit say of it; empty: nothing."""
    why: str = ""
    """And for what reason, a stable code."""


@dataclass(frozen=True, slots=True)
class Open:
    """A revision opens; the first that nobody has decided in another sense."""

    answer: Assessed
    proposal: Proposal
    fingerprint: str
    revision: int


@dataclass(slots=True)
class Changes:
    """What assessments change."""

    updates: list[Update] = field(default_factory=list)
    opens: list[Open] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.updates or self.opens)

    @property
    def told(self) -> bool:
        """Tell whether another would say that something changed: what merely rests on newer entries did not."""
        return bool(self.opens) or any(update.told for update in self.updates)


def reconcile(answer: Assessed, standing: Iterable[Standing], newer: bool, parted: Collection[str] = ()) -> Changes:
    """Return what an assessment changes: most often nothing.

    Args:
        answer: the assessment.
        standing: every revision of every proposal of its agent and encounter.
        newer: it is of a newer chart than the last one; else it may be that one, delivered again.
        parted: rules that lack a part by the coverage of this assessment, and did not by that of the last one.

    Raises:
        BadMessage: it gives two proposals one key.
    """
    said = {proposal.key: proposal for proposal in answer.assessment.proposals}
    if len(said) != len(answer.assessment.proposals):
        raise BadMessage("An agent gave two proposals one key. Its author must mend it.", code="key_twice")
    revisions: dict[str, list[Standing]] = defaultdict(list)
    for row in sorted(standing, key=lambda row: row.revision):
        revisions[row.key].append(row)
    changes = Changes()
    for key, proposal in said.items():
        _say(changes, answer, proposal, revisions[key], newer)
    for key, rows in revisions.items():
        if key not in said:
            changes.updates += _missed(answer, rows, parted)
    return changes


def _say(changes: Changes, answer: Assessed, proposal: Proposal, revisions: list[Standing], newer: bool) -> None:
    """Open what is new, or was withdrawn; leave what stands; a fingerprint that a person answered stays answered."""
    fingerprint = proposal.stamp()
    live = next((row for row in revisions if row.status in Proposed.LIVE), None)
    if live is not None:
        if live.fingerprint == fingerprint:
            changes.updates += _renewed(answer, proposal, live, newer)
            return
        changes.updates.append(_turn(live, "replaced"))
    elif revisions and revisions[-1].status == Proposed.WITHDRAWN and revisions[-1].fingerprint == fingerprint:
        changes.updates.append(_again(answer, proposal, revisions[-1]))
        return
    decided = [row for row in revisions if row.status in Proposed.DECIDED and row.fingerprint == fingerprint]
    changes.updates += (_turn(row, "said") for row in decided if row.rectified)
    if not decided:
        changes.opens.append(Open(answer, proposal, fingerprint, revisions[-1].revision + 1 if revisions else 1))


def _missed(answer: Assessed, revisions: list[Standing], parted: Collection[str]) -> Iterator[Update]:
    """Close what the agent no longer says, where it could look; what was approved follows the newest assessment.

    What its rule, or a part of it, needs does not come, and a person has not answered: that is withdrawn.
    """
    unheard = {*parted, *(one.rule for one in answer.assessment.unevaluated if one.reason == NOT_CONNECTED)}
    for row in revisions:
        live, looked = row.status in Proposed.LIVE, row.rule in answer.assessment.evaluated
        if live and row.rule in unheard:
            yield _turn(row, "disconnected")
        elif looked and (live or (row.status in Proposed.APPROVED and not row.rectified)):
            yield _turn(row, "unsaid")


def _renewed(answer: Assessed, proposal: Proposal, row: Standing, newer: bool) -> Iterator[Update]:
    """Open a stale one again, and let an open one rest on what the agent has read now.

    With the same reads an open one is not touched, whatever its words. A redelivery changes nothing.
    """
    moved = from_json(row.body).get("reads", []) != proposal.reads
    if row.status == Proposed.STALE and (newer or moved):
        yield _again(answer, proposal, row)
    elif moved:
        yield Update(row, _as_said_now(answer, proposal, row))


def _again(answer: Assessed, proposal: Proposal, row: Standing) -> Update:
    """Open a revision that was open before, with its history."""
    return _turn(row, "said", **_as_said_now(answer, proposal, row))


def _as_said_now(answer: Assessed, proposal: Proposal, row: Standing) -> dict[str, Any]:
    body = proposal.model_dump_json().encode()
    return {
        "body": body,
        "etag": proposals.etag(body, row.revision),
        "author": drafts.author_of(proposal),
        "version": answer.version,
        "event": answer.event,
        "release": answer.release,
    }


def _turn(row: Standing, event: Event, /, **values: Any) -> Update:
    now = TABLE.after(row.state, event, STEP)
    return Update(row, {**now._asdict(), **values}, states.told(row.state, event, now), states.WHY.get(event, ""))
