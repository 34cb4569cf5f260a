"""The step: events in, charts written, versions out."""

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import BadMessage
from hisbus_bus.flow.chart.change import Change, given
from hisbus_bus.flow.chart.counting import Counting
from hisbus_bus.flow.chart.store import Encounter, Patient, Store, Taken
from hisbus_bus.kernel import parked, wakes
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.positions import position
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Name
from hisbus_schemas import Charted, Due, Translated

Stay = tuple[Encounter, Patient | None]

_OUTPUTS = TypeAdapter(list[Charted])


class ChartStep:
    """Builds charts. A message is taken in once; its next copy is answered with the same output."""

    name = "chart"
    topic: Name = "events"
    start = "begin"
    stores = True
    latest_only = False

    def __init__(self, site: Site) -> None:
        self._site = site
        self._counting = Counting(site)
        self.group = site.group(self.name)

    def wants(self, record: Record) -> bool:
        """Tell whether the record concerns this step: every one does."""
        return True

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        """Note that a record was parked: its row says everything."""

    async def handle(self, batch: Batch) -> None:
        """Take a batch in with one transaction, then append what came of it.

        Raises:
            BadMessage: a record is not what ``events`` carries, or is for a stay that does not exist.
            RetryLater: the database or the log is away.
        """
        messages = [(record, _read(record)) for record in batch.records]
        async with self._site.database.write() as connection:
            store = Store(connection)
            records, stays = await self._take_in(store, messages)
            uncounted = await self._counting.uncounted(connection, stays)
            await store.flush(position(self.group, self.topic, batch.offsets), last=not uncounted)
            await self._counting.count(connection, uncounted, store.saved)
        self._counting.committed()
        await self._site.log.append(records)

    async def _take_in(
        self, store: Store, messages: Sequence[tuple[Record, Translated]]
    ) -> tuple[list[NewRecord], list[Stay]]:
        """Return what is to be appended, and the stays that were changed."""
        concerned = {id for _, message in messages for id in (message.message, *given(message))}
        known = {id: Taken() for id in concerned} | await store.taken(concerned)
        records: list[NewRecord] = []
        stays: list[Stay] = []
        fresh: list[tuple[Record, Translated]] = []
        for record, message in messages:
            if (due := _passes(message)) is not None:
                key, *rest = due.through
                onward = due.model_copy(update={"through": rest})
                records.append(wakes.on_its_way(self._site, self.name, key, onward))
                continue
            taken = known[message.message]
            if message.revision > taken.revision:
                fresh.append((record, message))
            elif message.revision == taken.revision:
                records += self._records(message, _OUTPUTS.validate_json(taken.outputs))
                if parked.REPLAY in record.headers and await store.circular(message.message):
                    await self._park(store.connection, record)
        if fresh:
            change = Change(store, self._site.keys, [message for _, message in fresh], known)
            made = await change.run()
            stays = change.stays
            for _, message in fresh:
                taken = known[message.message]
                taken.revision, taken.outputs = message.revision, _OUTPUTS.dump_json(made[message.message]).decode()
            store.keep_taken({id: known[id] for id in change.concerned})
            for record, message in fresh:
                records += self._records(message, made[message.message])
                if message.message in change.circular:
                    await self._park(store.connection, record)
        return records, stays

    async def _park(self, connection: AsyncConnection, record: Record) -> None:
        # The event is stored, so that the fold knows it should a mended merge let it apply; a person still must look.
        await parked.park(connection, self.name, record, BadMessage(code="circular_merge"), 1)

    def _records(self, message: Translated, outputs: Sequence[Charted]) -> list[NewRecord]:
        happened = message.events[0].time.at if message.events else message.position.recorded
        return [
            NewRecord(
                "charted",
                output.encounter,
                output.model_dump_json().encode(),
                self._site.headers(
                    id=output.id,
                    type="encounter.charted",
                    source=self.name,
                    time=happened,
                    correlation=output.encounter,
                    causation=output.event,
                    kind=output.kind,
                    agent=output.agent,
                    by=output.by,
                    backfill=output.backfill,
                ),
                output,
            )
            for output in outputs
        ]


def _passes(message: Translated) -> Due | None:
    """Return the wake that a message is, where it has not passed all that is stored of its stay."""
    due = message.events[0].data if len(message.events) == 1 else None
    return due if isinstance(due, Due) and due.through else None


def _read(record: Record) -> Translated:
    try:
        return record.read(Translated)
    except ValidationError as error:
        raise BadMessage("The record is not a translated message.", code="malformed") from error
