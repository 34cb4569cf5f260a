"""Writing what assessments change: few statements, however many there are."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.flow.review import drafts, proposals
from hisbus_bus.flow.review.proposals import ACTOR, Note
from hisbus_bus.flow.review.reconcile import Changes, Open
from hisbus_bus.flow.review.states import NEW, TABLE, State
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel.bulk import given, within
from hisbus_bus.kernel.hot import Asked, Hot, inserted
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import STEP, TOPIC, Decided
from hisbus_schemas import Decision

_DECISIONS = Hot(
    select(tables.decisions.c.proposal, tables.decisions.c.body).where(
        within(tables.decisions.c.proposal, given("ids")), tables.decisions.c.state == Decided.STANDS
    )
)


async def applied(site: Site, connection: AsyncConnection, changes: Sequence[Changes]) -> list[Asked]:
    """Return what writes changes, with history and audit. The rows that they change are locked."""
    updates = [each for change in changes for each in change.updates]
    opens = [each for change in changes for each in change.opens]
    rows = await _rows(site, connection, opens) if opens else []
    notes = [Note(one.row.id, one.row.encounter, one.told, one.why) for one in updates if one.told]
    notes += (Note(row["id"], row["encounter"], row["status"]) for row in rows)
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in updates:
        alike[tuple(one.values)].append({"its_id": one.row.id, **one.values})
    return [
        *(_updated(columns).each(its) for columns, its in alike.items()),
        *([inserted(tables.proposals, rows)] if rows else []),
        *proposals.noted(ACTOR, notes),
    ]


@cache
def _updated(columns: tuple[str, ...]) -> Hot:
    its = tables.proposals.c.id == bindparam("its_id")
    return Hot(update(tables.proposals).where(its).values({name: bindparam(name) for name in columns}))


@dataclass(frozen=True, slots=True)
class _Taken:
    state: State
    fingerprint: str


async def _rows(site: Site, connection: AsyncConnection, opens: Sequence[Open]) -> list[dict[str, Any]]:
    departments = await charts.departments(connection, {_stay(one) for one in opens})
    rows: list[dict[str, Any]] = []
    waiting = [(one, one.revision) for one in opens]
    while waiting:
        ids = {proposals.revision_id(_identity(site, one), revision) for one, revision in waiting}
        decided = await _decided(connection, ids)
        passed = []
        for one, revision in waiting:
            taken = decided.get(proposals.revision_id(_identity(site, one), revision))
            if taken is not None and taken.fingerprint != one.fingerprint:
                passed.append((one, revision + 1))
            else:
                state = taken.state if taken else TABLE.after(NEW, "said", STEP)
                rows.append(_row(site, one, revision, state, departments.get(_stay(one), "")))
        waiting = passed
    return rows


async def _decided(connection: AsyncConnection, ids: set[str]) -> Mapping[str, _Taken]:
    """Return the decisions on revisions that are only now opened: taken over from the topic after a restore."""
    found: dict[str, _Taken] = {}
    for row in await _DECISIONS.rows(connection, ids=sorted(ids)):
        decision = Decision.model_validate_json(row.body)
        fingerprint = decision.approved.stamp() if decision.approved else ""
        found[row.proposal] = _Taken(TABLE.after(NEW, decision.decision, TOPIC), fingerprint)
    return found


def _stay(one: Open) -> str:
    return one.answer.encounter


def _identity(site: Site, one: Open) -> str:
    return proposals.identity(
        site.name, one.answer.agent, one.answer.encounter, one.proposal.key, shadow=one.answer.shadow
    )


def _row(site: Site, one: Open, revision: int, state: State, department: str) -> dict[str, Any]:
    answer, proposal, identity = one.answer, one.proposal, _identity(site, one)
    body = proposal.model_dump_json().encode()
    return {
        "id": proposals.revision_id(identity, revision),
        "identity": identity,
        "revision": revision,
        "agent": answer.agent,
        "agent_version": answer.agent_version,
        "encounter": answer.encounter,
        "key": proposal.key,
        "kind": proposal.kind,
        "rule": proposal.rule,
        "state": proposal.state,
        "severity": proposal.severity,
        "points": proposal.points,
        "department": department,
        "author": drafts.author_of(proposal),
        "fingerprint": one.fingerprint,
        "status": state.status,
        "rectified": state.rectified,
        "version": answer.version,
        "event": answer.event,
        "opened": datetime.now(UTC),
        "due": proposal.due,
        "body": body,
        "etag": proposals.etag(body, revision),
        "release": answer.release,
        "shadow": answer.shadow,
    }
