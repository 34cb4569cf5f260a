"""Taking decisions in: each accepted or edited one becomes a queued row, once."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.connector import Connector
from hisbus_bus.flow.writeback import ledger
from hisbus_bus.flow.writeback.states import NEW, TABLE
from hisbus_bus.kernel import audit, charts, tables
from hisbus_bus.kernel.bulk import write
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.positions import position
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import STEP
from hisbus_bus.kernel.topics import Name, digest
from hisbus_schemas import Decision


class WriteBackStep:
    """The write-back step: it only inserts rows; the sender works them off."""

    name = "writeback"
    topic: Name = "decisions"
    start = "begin"
    stores = True
    latest_only = False

    def __init__(self, site: Site, connectors: Iterable[Connector]) -> None:
        self._site = site
        self._writers = frozenset(connector.name for connector in connectors if connector.writes)
        self._committed: Mapping[int, int] | None = None
        self.group = site.group(self.name)
        self.inserted = asyncio.Event()
        """Set when there are new rows; give it to the sender."""

    def wants(self, record: Record) -> bool:
        """Take every decision."""
        return True

    async def handle(self, batch: Batch) -> None:
        """Insert a row for each decision that approves something. Nothing is appended.

        Raises:
            RetryLater: log or database is away.
        """
        if self._committed is None:
            self._committed = await self._site.log.committed(self.topic, self.group)
        made = [(record, Decision.model_validate_json(record.value)) for record in batch.records]
        approved = [(record, decision) for record, decision in made if decision.decision in {"accept", "edit"}]
        async with self._site.database.write() as connection:
            for record, decision in approved:
                await self._insert(connection, decision, self._done_before(record, self._committed))
            await write(connection, position(self.group, self.topic, batch.offsets))
        if approved:
            self.inserted.set()

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        """Audit that a decision was set aside: nothing leaves for it."""
        await audit.record(
            connection,
            actor=ledger.ACTOR,
            action="writeback.parked",
            object=record.headers.get("ce_id", ""),
            encounter=record.key,
            reason=reason,
        )

    @staticmethod
    def _done_before(record: Record, committed: Mapping[int, int]) -> bool:
        """Tell whether the group was past a decision when it started; a replay counts as the record it is a copy of.

        Such a decision without a row was lost with the table: it may have been sent.
        """
        partition, offset = record.headers.get("origin", f"{record.partition}:{record.offset}").split(":")
        return int(offset) < committed.get(int(partition), 0)

    async def _insert(self, connection: AsyncConnection, decision: Decision, lost: bool) -> None:
        known = select(ledger.table.c.id).where(ledger.table.c.decision == decision.id)
        if await connection.scalar(known) is not None:
            return
        chart = await charts.chart(connection, decision.encounter)
        # A stay without chart is one that a restored table lacks; the sender looks again once it is there.
        connector = chart.connector if chart else ""
        if chart and connector not in self._writers:
            await audit.record(
                connection,
                actor=ledger.ACTOR,
                action="writeback.impossible",
                object=decision.id,
                encounter=decision.encounter,
                connector=connector,
            )
            return
        now = datetime.now(UTC)
        row: dict[str, Any] = {
            "id": digest("writeback", decision.id)[:20],  # what fits into an HL7 v2 control id
            "decision": decision.id,
            "proposal": decision.proposal,
            "encounter": decision.encounter,
            "connector": connector,
            "document": await self._document(connection, decision),
            "status": TABLE.after(NEW, "lost" if lost else "taken", STEP),
            "attempts": 0,
            "failures": 0,
            "not_before": decision.decided,
            "lease": "",
            "lease_until": None,
            "code": "restored" if lost else "",
            "said": "",
            "control_id": "",
            "created": now,
            "changed": now,
            "note": "",
            "resolved_by": "",
            "body": b"",
        }
        await connection.execute(ledger.table.insert(), row)
        await ledger.tell(
            connection, row["id"], row["proposal"], row["encounter"], row["status"], row["code"], ledger.ACTOR
        )

    @staticmethod
    async def _document(connection: AsyncConnection, decision: Decision) -> str:
        """Return the proposal's identity: its revisions leave in order."""
        proposals = tables.proposals
        identity = await connection.scalar(select(proposals.c.identity).where(proposals.c.id == decision.proposal))
        return identity or decision.proposal
