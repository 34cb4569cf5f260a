"""Reconciling, pure: an assessment is complete, so what it says is compared with what stands for its agent and stay."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Row

from hisbus.errors import BadMessage
from hisbus_bus.flow.review import proposals
from hisbus_bus.flow.review.proposals import APPROVED, DECIDED, LIVE
from hisbus_schemas import Assessed, Proposal


@dataclass(frozen=True, slots=True)
class Update:
    """A proposal that stands changes."""

    row: Row[Any]
    values: dict[str, Any]
    """Columns by their names."""
    told: str = ""
    """What history and audit say of it; empty: nothing."""


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


def reconcile(answer: Assessed, standing: Iterable[Row[Any]], newer: bool) -> Changes:
    """Return what an assessment changes: most often nothing.

    Args:
        answer: the assessment.
        standing: every revision of every proposal of its agent and encounter.
        newer: it is of a newer chart than the last one; else it may be that one, delivered again.

    Raises:
        BadMessage: it gives two proposals one key.
    """
    said = {proposal.key: proposal for proposal in answer.assessment.proposals}
    if len(said) != len(answer.assessment.proposals):
        raise BadMessage("An agent gave two proposals one key. Its author must mend it.", code="key_twice")
    revisions: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in sorted(standing, key=lambda row: row.revision):
        revisions[row.key].append(row)
    changes = Changes()
    for key, proposal in said.items():
        _say(changes, answer, proposal, revisions[key], newer)
    for key, rows in revisions.items():
        if key not in said:
            changes.updates += _missed(answer, rows)
    return changes


def _say(changes: Changes, answer: Assessed, proposal: Proposal, revisions: list[Row[Any]], newer: bool) -> None:
    """Open what is new; leave what stands; a fingerprint that a person answered stays answered."""
    fingerprint = proposal.stamp()
    live = next((row for row in revisions if row.status in LIVE), None)
    if live is not None:
        if live.fingerprint == fingerprint:
            changes.updates += _renewed(answer, proposal, live, newer)
            return
        changes.updates.append(_turn(live, "superseded"))
    decided = [row for row in revisions if row.status in DECIDED and row.fingerprint == fingerprint]
    changes.updates += (_rectify(row, False) for row in decided if row.rectified)
    if not decided:
        changes.opens.append(Open(answer, proposal, fingerprint, revisions[-1].revision + 1 if revisions else 1))


def _missed(answer: Assessed, revisions: list[Row[Any]]) -> Iterator[Update]:
    """Close what the agent no longer says, where it could look."""
    for row in revisions:
        if row.rule not in answer.assessment.evaluated:
            continue
        if row.status in LIVE:
            yield _turn(row, "resolved")
        elif row.status in APPROVED and not row.rectified:
            yield _rectify(row, True)


def _renewed(answer: Assessed, proposal: Proposal, row: Row[Any], newer: bool) -> Iterator[Update]:
    """Open a stale one again, and let an open one rest on what the agent has read now.

    With the same reads an open one is not touched, whatever its words. A redelivery changes nothing.
    """
    moved = from_json(row.body).get("reads", []) != proposal.reads
    again = row.status == "stale" and (newer or moved)
    if not (moved or again):
        return
    body = proposal.model_dump_json().encode()
    values = {
        "body": body,
        "etag": proposals.etag(body, row.revision),
        "version": answer.version,
        "event": answer.event,
        "release": answer.release,
    }
    yield _turn(row, "open", **values) if again else Update(row, values)


def _turn(row: Row[Any], status: str, **values: Any) -> Update:
    return Update(row, {"status": status, **values}, status)


def _rectify(row: Row[Any], rectified: bool) -> Update:
    """Note whether an approved finding is still in the record; it follows the newest assessment, sent or not."""
    return Update(row, {"rectified": rectified}, "rectified" if rectified else "not_rectified")
