"""The review step: assessments in, proposals opened, superseded and resolved. It decides nothing."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import case, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.flow.review import notes, opinions, parted
from hisbus_bus.flow.review.apply import applied
from hisbus_bus.flow.review.parted import Head
from hisbus_bus.flow.review.proposals import ACTOR, Standing
from hisbus_bus.flow.review.reconcile import Changes, reconcile
from hisbus_bus.kernel import audit, changed, tables
from hisbus_bus.kernel.bulk import Rows, given, within, write
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.hot import Asked, Hot, ask
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.positions import position
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import Proposed
from hisbus_bus.kernel.topics import Name
from hisbus_schemas import Assessed

Place = tuple[str, str, bool]
"""Agent and encounter, and whether the agent's release is tried unseen: what it says then stands apart."""

_known, _proposal = tables.assessment_heads.c, tables.proposals.c
_HEADS = Hot(
    select(_known.agent, _known.encounter, _known.shadow, _known.version, _known.coverage).where(
        within(_known.encounter, given("ids")), within(_known.agent, given("agents"))
    )
)
# What is decided or closed is compared by its fingerprint; its body, which may be long, is not.
_body = case((or_(*(_proposal.status == live for live in sorted(Proposed.LIVE))), _proposal.body), else_=b"")
_standing = (
    select(*(_body.label("body") if each.name == "body" else _proposal[each.name] for each in fields(Standing)))
    .where(within(_proposal.encounter, given("ids")), within(_proposal.agent, given("agents")))
    .order_by(_proposal.id)
)
_STANDING, _LOCKED = Hot(_standing), Hot(_standing.with_for_update())


class Review:
    """Reconciles; most assessments change nothing, and of these only the version is written."""

    name = "review"
    topic: Name = "assessments"
    start = "begin"
    stores = True
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
        answers = [record.read(Assessed) for record in batch.records]
        heard = {
            _place(answer): int(record.headers[changed.ANNOUNCE])
            for answer, record in zip(answers, batch.records, strict=True)
            if changed.ANNOUNCE in record.headers
        }
        async with self._site.database.write() as connection:
            its = _its(answers)
            known, standing = await ask(connection, _HEADS(**its), _STANDING(**its))
            heads = {(row.agent, row.encounter, row.shadow): Head(row.version, row.coverage) for row in known}
            before = [(answer, heads.get(_place(answer), Head())) for answer in answers]
            current = [(answer, head) for answer, head in before if answer.version >= head.version]
            lost = await parted.of(connection, current)
            changing = _changes(standing, current, lost)
            writes: list[Asked] = []
            if changing:
                # Only what changes is locked. A decision of the same moment takes changes away and brings none.
                again = [(answer, head) for answer, head, _ in changing]
                rows = await _LOCKED.rows(connection, **_its([answer for answer, _ in again]))
                locked = _changes(rows, again, lost)
                writes = await applied(self._site, connection, [changes for *_, changes in locked])
                news = [
                    (said, heard[_place(said)])
                    for said, _, its in locked
                    if its.told and _place(said) in heard and not said.shadow
                ]
                await changed.send(connection, self._site, self.name, news)
            newer = (answer for answer, head in current if answer.version > head.version)
            await audit.records(connection, [_together(answer) for answer in newer if answer.since])
            heads_now = Rows(tables.assessment_heads, [_head(answer) for answer, _ in current])
            reached = position(self.group, self.topic, batch.offsets)
            await write(connection, heads_now, reached, before=writes, last=True)

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


def _changes(
    rows: Iterable[Any], answers: Sequence[tuple[Assessed, Head]], lost: Mapping[str, frozenset[str]]
) -> list[tuple[Assessed, Head, Changes]]:
    """Return what the answers change, those that change anything.

    Args:
        rows: what stands, as ``_STANDING`` has it.
        answers: what is said now, each with what was reconciled before it.
        lost: which rules lack something that they did not lack before, by the id of an assessment.
    """
    standing: dict[Place, list[Standing]] = defaultdict(list)
    for row in rows:
        standing[row.agent, row.encounter, row.shadow].append(Standing(*row))
    compared = (
        (
            answer,
            head,
            reconcile(answer, standing[_place(answer)], answer.version > head.version, lost.get(answer.id, ())),
        )
        for answer, head in answers
    )
    return [(answer, head, changes) for answer, head, changes in compared if changes]


def _its(answers: Sequence[Assessed]) -> dict[str, list[str]]:
    return {"ids": sorted({one.encounter for one in answers}), "agents": sorted({one.agent for one in answers})}


def _place(answer: Assessed) -> Place:
    return answer.agent, answer.encounter, answer.shadow


def _together(answer: Assessed) -> dict[str, Any]:
    """Audit that events which waited were judged together: what passed in between was put before nobody."""
    versions = {"since": answer.since, "version": answer.version}
    return audit.entry(
        actor=ACTOR,
        action="assessment.together",
        object=answer.id,
        encounter=answer.encounter,
        agent=answer.agent,
        **versions,
    )


def _head(answer: Assessed) -> dict[str, Any]:
    return {
        "agent": answer.agent,
        "encounter": answer.encounter,
        "shadow": answer.shadow,
        "version": answer.version,
        "coverage": answer.coverage,
        "release": answer.release,
        "evaluated": json.dumps(sorted(answer.assessment.evaluated)),
        "opinions": opinions.stored(answer.assessment.opinions),
        "notes": notes.stored(answer.assessment),
        "time": answer.now,
    }
