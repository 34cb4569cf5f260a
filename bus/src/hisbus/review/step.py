"""Reconciling: an assessment is complete, so what it says is compared with what stands for agent and encounter."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import audit, charts, tables
from hisbus.consumer import Batch, store_offsets
from hisbus.errors import BadMessage
from hisbus.log import Record
from hisbus.review import proposals
from hisbus.review.proposals import APPROVED, DECIDED, LIVE
from hisbus.site import Site
from hisbus.topics import Name
from hisbus_schemas import Assessed, Decision, Proposal

ACTOR = "step:review"


class Review:
    """The review step: opens, supersedes and resolves proposals; decides nothing."""

    name = "review"
    topic: Name = "assessments"
    start = "begin"
    latest_only = False

    def __init__(self, site: Site) -> None:
        self._site = site
        self.group = site.group(self.name)

    def wants(self, record: Record) -> bool:
        """Take every assessment."""
        return True

    async def handle(self, batch: Batch) -> None:
        """Reconcile a batch in one transaction. Nothing is appended.

        Raises:
            BadMessage: an assessment gives two proposals one key.
            RetryLater: the database is away.
        """
        answers = [Assessed.model_validate_json(record.value) for record in batch.records]
        async with self._site.database.write() as connection:
            heads = await _heads(connection, answers)
            standing = await _standing(connection, answers)
            for answer in answers:
                place = (answer.agent, answer.encounter)
                if answer.version >= heads.get(place, 0):
                    newer = answer.version > heads.get(place, 0)
                    await _Reconciliation(self._site, connection, answer, standing[place], newer).run()
            await store_offsets(connection, self.group, self.topic, batch.offsets)

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        """Audit that an assessment was set aside: what was open stays open."""
        await audit.record(
            connection,
            actor=ACTOR,
            action="assessment.parked",
            object=record.headers.get("ce_id", ""),
            encounter=record.key,
            reason=reason,
        )


async def _heads(connection: AsyncConnection, answers: list[Assessed]) -> dict[tuple[str, str], int]:
    heads = tables.assessment_heads
    places = [(answer.agent, answer.encounter) for answer in answers]
    rows = await connection.execute(select(heads).where(tuple_(heads.c.agent, heads.c.encounter).in_(places)))
    return {(row.agent, row.encounter): row.version for row in rows}


async def _standing(connection: AsyncConnection, answers: list[Assessed]) -> dict[tuple[str, str], list[Row[Any]]]:
    """Return every revision of every proposal, by agent and encounter, locked in the order of their ids."""
    table = tables.proposals
    places = [(answer.agent, answer.encounter) for answer in answers]
    wanted = select(table).where(tuple_(table.c.agent, table.c.encounter).in_(places))
    found: dict[tuple[str, str], list[Row[Any]]] = defaultdict(list)
    for row in await connection.execute(wanted.order_by(table.c.id).with_for_update()):
        found[row.agent, row.encounter].append(row)
    return found


@dataclass(frozen=True, slots=True)
class _Taken:
    status: str
    fingerprint: str


class _Reconciliation:
    """One assessment against what stands."""

    def __init__(
        self, site: Site, connection: AsyncConnection, answer: Assessed, standing: Iterable[Row[Any]], newer: bool
    ) -> None:
        self._site = site
        self._connection = connection
        self._answer = answer
        self._newer = newer
        self._revisions: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in sorted(standing, key=lambda row: row.revision):
            self._revisions[row.key].append(row)

    async def run(self) -> None:
        said = {proposal.key: proposal for proposal in self._answer.assessment.proposals}
        if len(said) != len(self._answer.assessment.proposals):
            raise BadMessage("An agent gave two proposals one key. Its author must mend it.", code="key_twice")
        for key, proposal in said.items():
            await self._say(proposal, self._revisions[key])
        for key, revisions in self._revisions.items():
            if key not in said:
                await self._miss(revisions)
        await self._store_head()

    async def _say(self, proposal: Proposal, revisions: list[Row[Any]]) -> None:
        """Open what is new; leave what stands; a fingerprint that a person answered stays answered."""
        fingerprint = proposal.stamp()
        live = next((row for row in revisions if row.status in LIVE), None)
        if live is not None:
            if live.fingerprint == fingerprint:
                await self._renew(live, proposal)
                return
            await self._turn(live, "superseded")
        decided = [row for row in revisions if row.status in DECIDED and row.fingerprint == fingerprint]
        for row in decided:
            if row.rectified:
                await self._rectify(row, False)
        if not decided:
            await self._open(proposal, fingerprint, revisions)

    async def _miss(self, revisions: list[Row[Any]]) -> None:
        """Close what the agent no longer says, where it could look."""
        for row in revisions:
            if row.rule not in self._answer.assessment.evaluated:
                continue
            if row.status in LIVE:
                await self._turn(row, "resolved")
            elif row.status in APPROVED and not row.rectified:
                await self._rectify(row, True)

    async def _renew(self, row: Row[Any], proposal: Proposal) -> None:
        """Open a stale one again, and let an open one rest on what the agent has read now.

        With the same reads an open one is not touched, whatever its words. A redelivery changes nothing.
        """
        moved = proposals.body(row).reads != proposal.reads
        again = row.status == "stale" and (self._newer or moved)
        if not (moved or again):
            return
        body = proposal.model_dump_json().encode()
        values = {
            "body": body,
            "etag": proposals.etag(body, row.revision),
            "version": self._answer.version,
            "event": self._answer.event,
        }
        if again:
            await self._turn(row, "open", **values)
        else:
            table = tables.proposals
            await self._connection.execute(update(table).where(table.c.id == row.id).values(**values))

    async def _open(self, proposal: Proposal, fingerprint: str, revisions: list[Row[Any]]) -> None:
        answer = self._answer
        identity = proposals.identity(self._site.name, answer.agent, answer.encounter, proposal.key)
        revision = revisions[-1].revision + 1 if revisions else 1
        while (taken := await self._taken(identity, revision)) is not None and taken.fingerprint != fingerprint:
            revision += 1
        status = taken.status if taken else "open"
        body = proposal.model_dump_json().encode()
        id = proposals.revision_id(identity, revision)
        row = {
            "id": id,
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
            "department": await self._department(),
            "fingerprint": fingerprint,
            "status": status,
            "rectified": False,
            "version": answer.version,
            "event": answer.event,
            "opened": datetime.now(UTC),
            "due": proposal.due,
            "body": body,
            "etag": proposals.etag(body, revision),
        }
        await self._connection.execute(tables.proposals.insert(), row)
        await proposals.note(self._connection, id, answer.encounter, status, ACTOR)

    async def _taken(self, identity: str, revision: int) -> "_Taken | None":
        """Return the decision on a revision that is only now opened: taken over from the topic after a restore."""
        decisions = tables.decisions
        wanted = select(decisions.c.body).where(decisions.c.proposal == proposals.revision_id(identity, revision))
        body = await self._connection.scalar(wanted)
        if body is None:
            return None
        decision = Decision.model_validate_json(body)
        fingerprint = decision.approved.stamp() if decision.approved else ""
        return _Taken(proposals.STATUS[decision.decision], fingerprint)

    async def _department(self) -> str:
        chart = await charts.chart(self._connection, self._answer.encounter)
        return chart.department if chart else ""

    async def _turn(self, row: Row[Any], status: str, **values: Any) -> None:
        await proposals.turn(self._connection, row, status, ACTOR, **values)

    async def _rectify(self, row: Row[Any], rectified: bool) -> None:
        """Note whether an approved finding is still in the record; it follows the newest assessment, sent or not."""
        table = tables.proposals
        await self._connection.execute(update(table).where(table.c.id == row.id).values(rectified=rectified))
        word = "rectified" if rectified else "not_rectified"
        await proposals.note(self._connection, row.id, row.encounter, word, ACTOR)

    async def _store_head(self) -> None:
        answer, heads = self._answer, tables.assessment_heads
        values = {
            "version": answer.version,
            "evaluated": json.dumps(sorted(answer.assessment.evaluated)),
            "time": answer.now,
        }
        mine = (heads.c.agent == answer.agent) & (heads.c.encounter == answer.encounter)
        if not (await self._connection.execute(update(heads).where(mine).values(**values))).rowcount:
            place = {"agent": answer.agent, "encounter": answer.encounter}
            await self._connection.execute(heads.insert(), {**place, **values})
