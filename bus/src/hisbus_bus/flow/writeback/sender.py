"""Sending: one worker for each connector, at most one effect for each decision.

The order is: lease, check, connect, check again and commit ``sending``, first byte, answer. A crash before the commit
leaves the row queued; after it the row is undecided until the HIS or a person says what became of it.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Iterable, Mapping
from datetime import timedelta
from typing import Any

from hisbus.connector import Connector
from hisbus.errors import RetryLater, reason_code
from hisbus_bus.flow.writeback import document, ledger
from hisbus_bus.flow.writeback.document import Approved, Withheld
from hisbus_bus.flow.writeback.outgoing import Outgoing
from hisbus_bus.flow.writeback.states import QUEUED, UNDECIDED
from hisbus_bus.kernel import charts
from hisbus_bus.kernel.controls import Part
from hisbus_bus.kernel.database import now
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import logger
from hisbus_mapping import Mapping as Meaning
from hisbus_schemas import Receipt, WriteBack

POLL_S = 1.0
LONGEST_RETRY_S = 300.0
LONGEST_LOOK_UP_S = 3600.0

_random = secrets.SystemRandom()
log = logger(step="writeback")


class Sender:
    """Works the queued rows off. Any number may run; leases keep them apart."""

    def __init__(
        self,
        site: Site,
        connectors: Iterable[Connector],
        wake: asyncio.Event | None = None,
        parts: Mapping[str, Part] | None = None,
        mappings: Mapping[str, Meaning] | None = None,
    ) -> None:
        """Take what it sends through.

        Args:
            site: the site.
            connectors: those that do not write are left out.
            wake: the step's ``inserted``, to start at once; without it a row waits up to a second.
            parts: by connector, what an operator asks of the way out.
            mappings: by connector, whose profile says how write-backs leave.
        """
        self._site = site
        self._connectors = [connector for connector in connectors if connector.writes]
        self._wake = wake or asyncio.Event()
        self._parts = parts or {}
        self._mappings = mappings or {}
        settings = site.settings.writeback
        self._within_s = settings.attempt_s
        self._lease_s = self._within_s + 60
        self._retry_s = settings.retry_s

    async def run(self) -> None:
        """Send until cancelled. While the database is away it waits."""
        if self._site.database.sqlite:
            await self._end_leases()
        async with asyncio.TaskGroup() as workers:
            for connector in self._connectors:
                workers.create_task(self._work(connector))

    async def _end_leases(self) -> None:
        """End every lease: the embedded database has one process, so whoever holds one now is dead."""
        while True:
            try:
                async with self._site.database.write() as connection:
                    await ledger.end_leases(connection)
            except RetryLater as error:
                log.warning("write-back waits", code=error.code)
                await asyncio.sleep(POLL_S)
            else:
                return

    async def once(self) -> bool:
        """Take one turn for every connector. Tell whether there was anything to do."""
        return any([await self._turn(connector) for connector in self._connectors])

    async def _work(self, connector: Connector) -> None:
        part = self._parts.get(connector.name) or Part(f"connector:{connector.name}")
        part.attach(self._wake.set)
        while True:
            self._wake.clear()
            try:
                with part:
                    while part.starts and await self._turn(connector):
                        pass
            except RetryLater as error:
                log.warning("write-back waits", connector=connector.name, code=error.code)
            try:
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            except TimeoutError:
                continue

    async def _turn(self, connector: Connector) -> bool:
        async with self._site.database.read() as connection:
            if not await ledger.stir(connection):
                return False
        await self._tidy()
        for status, do in ((UNDECIDED, self._look_up), (QUEUED, self._send)):
            async with self._site.database.write() as connection:
                row = await ledger.claim(connection, status, connector.name, self._lease_s)
            if row is not None:
                await self._guarded(do(connector, row), row)
                return True
        return False

    async def _guarded(self, work: Coroutine[Any, Any, None], row: Outgoing) -> None:
        """Put a row off that something of ours fails on, so that the others leave. A begun one stays as it is."""
        try:
            await work
        except RetryLater:
            raise
        except Exception as error:
            log.exception("a write-back failed", writeback=row.id)
            await self._put_off(row, reason_code(error), LONGEST_RETRY_S)

    async def _tidy(self) -> None:
        """Find what a lost sender left, and give a home to rows that came before their chart."""
        async with self._site.database.write() as connection:
            await ledger.reclaim(connection)
            for row in await ledger.homeless(connection):
                chart = await charts.chart(connection, row.encounter)
                if chart is None:
                    continue
                if row.status == QUEUED and chart.connector not in {one.name for one in self._connectors}:
                    await ledger.set_aside(connection, row, "withheld", "no_connector")
                else:
                    await ledger.house(connection, row, chart.connector)

    async def _send(self, connector: Connector, row: Outgoing) -> None:
        try:
            async with self._site.database.read() as connection:
                approved = await document.load(connection, row)
                await document.check(connection, row, approved)
        except Withheld as reason:
            await self._withhold(row, reason.code)
            return
        except RetryLater as error:
            await self._put_off(row, error.code, LONGEST_RETRY_S)
            return
        attempt = _Attempt(self._site, row, self._composed(row, approved))
        receipt, code = await attempt.make(connector, self._within_s)
        if attempt.begun and receipt is not None:
            await self._settle(row, receipt)
        elif not attempt.begun and receipt is not None and receipt.outcome == "rejected":
            await self._refuse(row, receipt)
        elif attempt.begun or (receipt is not None and receipt.outcome != "temporary"):
            # Sent, and no answer; or sent by a connector that did not ask whether it may.
            async with self._site.database.write() as connection:
                await ledger.set_aside(connection, row, "unanswered", code or "not_begun")
        elif attempt.withheld:
            await self._withhold(row, attempt.withheld)
        else:
            await self._put_off(row, receipt.code if receipt else code, LONGEST_RETRY_S)

    async def _settle(self, row: Outgoing, receipt: Receipt) -> None:
        async with self._site.database.write() as connection:
            values: dict[str, Any] = {"failures": 0}
            if receipt.outcome == "temporary":
                wait = timedelta(seconds=self._wait(row.failures, LONGEST_RETRY_S))
                values = {"failures": row.failures + 1, "not_before": await now(connection) + wait}
            await ledger.settle(self._site, connection, row, receipt, **values)

    async def _refuse(self, row: Outgoing, receipt: Receipt) -> None:
        """Give back what the connector will never send as it is: nothing left, and the reviewer must decide anew."""
        async with self._site.database.write() as connection:
            if await ledger.set_aside(connection, row, "refused", receipt.code, said=ledger.heard(receipt)):
                await ledger.send_receipt(self._site, connection, row, receipt)

    async def _look_up(self, connector: Connector, row: Outgoing) -> None:
        """Ask the HIS what became of an earlier attempt. Where it cannot say, a person must.

        The row keeps its code, which says why nobody knows: asking in vain is no new reason.
        """
        try:
            sent = await self._as_sent(row)
            async with asyncio.timeout(self._within_s):
                effect = await connector.find(sent)
        except (Withheld, RetryLater) as error:
            await self._put_off(row, row.code or error.code, LONGEST_RETRY_S)
            return
        except Exception as error:
            log.warning("look-up failed", connector=connector.name, writeback=row.id, exc_info=True)
            await self._put_off(row, row.code or reason_code(error), LONGEST_LOOK_UP_S)
            return
        if effect == "applied":
            await self._settle(row, ledger.receipt(row, "applied", "found"))
        elif effect == "not_applied":
            await self._again(row, "not_found")
        elif connector.his_drops_duplicates:
            await self._again(row, "sent_blindly")
        else:
            await self._put_off(row, row.code, LONGEST_LOOK_UP_S)

    async def _as_sent(self, row: Outgoing) -> WriteBack:
        if row.body:
            return WriteBack.model_validate_json(row.body)
        async with self._site.database.read() as connection:
            return self._composed(row, await document.load(connection, row))

    def _composed(self, row: Outgoing, approved: Approved) -> WriteBack:
        writeback = document.compose(row, approved, self._site.settings.writeback.languages)
        mapping = self._mappings.get(row.connector)
        return writeback if mapping is None else mapping.leaving(writeback)

    async def _again(self, row: Outgoing, code: str) -> None:
        await self._settle(row, ledger.receipt(row, "temporary", code))

    async def _withhold(self, row: Outgoing, code: str) -> None:
        async with self._site.database.write() as connection:
            await ledger.set_aside(connection, row, "withheld", code)

    async def _put_off(self, row: Outgoing, code: str, longest_s: float) -> None:
        async with self._site.database.write() as connection:
            await ledger.put_off(connection, row, code, self._wait(row.failures, longest_s))

    def _wait(self, failures: int, longest_s: float) -> float:
        """Return seconds: twice as long after each failure, half of it by chance."""
        wait: float = min(self._retry_s * 2 ** min(failures, 20), longest_s)
        return wait * _random.uniform(0.5, 1.0)


class _Attempt:
    """One attempt to send, and how far it came."""

    def __init__(self, site: Site, row: Outgoing, writeback: WriteBack) -> None:
        self._site = site
        self._row = row
        self._writeback = writeback
        self.begun = False
        self.withheld = ""

    async def make(self, connector: Connector, within_s: float) -> tuple[Receipt | None, str]:
        """Return the receipt, or why there is none."""
        try:
            async with asyncio.timeout(within_s):
                return await connector.write(self._writeback, self._begin), ""
        except RetryLater as error:
            return None, error.code
        except TimeoutError:
            return None, "timeout"
        except Exception as error:
            if not self.withheld:
                log.warning("sending failed", connector=connector.name, writeback=self._row.id, exc_info=True)
            return None, reason_code(error)

    async def _begin(self) -> None:
        """Commit ``sending``, if it may still leave: the last moment at which nothing has."""
        async with self._site.database.write() as connection:
            try:
                approved = await document.load(connection, self._row)
                await document.check(connection, self._row, approved, lock=True)
            except Withheld as reason:
                self.withheld = reason.code
                raise
            if not await ledger.begin(connection, self._row, self._writeback.model_dump_json().encode()):
                raise RetryLater("Another sender has taken this over.", code="lease_lost")
        self.begun = True
