"""Translate: says what each stored message means, and keeps the ledger of messages.

The ledger decides what is new, what is a copy, and under which revision of the mapping a message was read.
A mapping that is mended is replayed over old messages under a higher revision, and charts heal.
"""

import json
from collections import abc
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from pydantic_core import to_json
from sqlalchemy import delete, literal_column, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.connector import Raw, Translation
from hisbus.errors import BadMessage
from hisbus_bus.kernel import codes, parked, tables
from hisbus_bus.kernel.bulk import Rows, given, within, write
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.hot import Asked, Hot, ask
from hisbus_bus.kernel.live import LIVE, Live
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.positions import position
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import ALL, BACKFILL, INTERNAL, Name, digest
from hisbus_mapping import Answers, Mapping, losses_of
from hisbus_schemas import Assigned, Due, Event, Fact, Moment, Position, Translated

_Row = abc.Mapping[str, Any]
_SAID: TypeAdapter[Due | Assigned] = TypeAdapter(Annotated[Due | Assigned, Field(discriminator="body")])

REUSED = "control_id_reused"
REUSES = 500
"""Most messages looked at that share a control id with those of a batch: some senders have but a few ids, or one."""

_message = tables.messages.c
_reused = (
    select(tables.messages)
    .where(within(_message.control_id, given("controls")))
    .limit(literal_column(str(REUSES)))
    .subquery()
)
# Joined by OR, PostgreSQL would read the whole table for as long as it is small.
_CONCERNED = Hot(
    union_all(
        select(tables.messages).where(within(_message.id, given("copies"))),
        select(tables.messages).where(_message.first, within(_message.message, given("messages"))),
        select(_reused),
    )
)


class _Ledger:
    """What the ledger says about the messages of a batch, and what is to be entered."""

    def __init__(self, found: Iterable[Any]) -> None:
        rows: list[_Row] = [row._asdict() for row in found]
        self.first = {row["message"]: row for row in rows if row["first"]}
        """By message id: the row of its first stored copy."""
        self._copies = {row["id"] for row in rows}
        self._control_ids = {(row["sender"], row["control_id"]): row["message"] for row in rows if row["first"]}
        self._entered: dict[str, _Row] = {}
        self.looked: list[codes.Looked] = []
        """What people were asked for: the codes that the messages looked up."""
        self._again: set[str] = set()
        self._mended: set[str] = set()
        """Messages that were parked, and could be read now."""

    @staticmethod
    def of(records: Sequence[Record]) -> Asked:
        """Ask for what concerns a batch: first copies, the copies themselves, and who used their control ids."""
        return _CONCERNED(
            messages=[record.headers["message"] for record in records],
            copies=[_row_id(record) for record in records],
            controls=[control for record in records if (control := record.headers.get("control_id"))],
        )

    def enter(
        self,
        record: Record,
        *,
        status: str,
        reason: str = "",
        revision: int = 0,
        mapping: str = "",
        answers: str = "",
        backfill: str = "",
        flags: Sequence[str] = (),
        unmapped: Sequence[str] = (),
        losses: str = "",
    ) -> None:
        """Enter a message, or what became of its first copy by now."""
        headers = record.headers
        first = self.first.get(headers["message"])
        if first is not None and status != "duplicate":
            found = {"status": status, "reason": reason, "unmapped": json.dumps(list(unmapped)), "losses": losses}
            read = {"revision": revision, "mapping": mapping, "answers": answers} if revision else {}
            self._again |= {headers["message"]} if revision else set()
            if revision:
                self._mended |= {headers["message"]} if first["status"] == "parked" else set()
                read |= {"backfill": backfill, **self._told(headers, flags, first)}
            self._keep({**first, **found, **read})
            return
        if _row_id(record) in self._copies:
            return
        row = {
            "id": _row_id(record),
            "message": headers["message"],
            "first": first is None,
            "connector": headers["connector"],
            "sender": headers["connector"],
            "received": record.time,
            "partition": record.partition,
            "offset": record.offset,
            "status": status,
            "revision": revision,
            "mapping": mapping,
            "answers": answers,
            "backfill": backfill or headers.get(BACKFILL, ""),
            "unmapped": json.dumps(list(unmapped)),
            "losses": losses,
            "reason": reason,
            "ack": headers.get("ack", ""),
        }
        self._keep(row | self._told(headers, flags))

    def _keep(self, row: _Row) -> None:
        self._entered[row["id"]] = row
        if row["first"]:  # the batch may hold a copy under another key
            self.first[row["message"]] = row

    def _told(self, headers: abc.Mapping[str, str], flags: Sequence[str], before: _Row | None = None) -> dict[str, str]:
        """Return what is kept of how a message calls itself, and of the reservations about it.

        Args:
            headers: of its record.
            flags: of how it was read.
            before: its row, where it is read again: whether its control id was another's then is known.
        """
        control_id, message = headers.get("control_id", ""), headers["message"]
        all_flags = dict.fromkeys([*filter(None, headers.get("flags", "").split(",")), *flags])
        name = (headers["connector"], control_id)
        if before is not None and before["control_id"] == control_id:
            reused = REUSED in json.loads(before["flags"])
        else:
            reused = bool(control_id) and self._control_ids.setdefault(name, message) != message
        if reused:
            all_flags[REUSED] = None
        if BACKFILL in headers:
            all_flags[BACKFILL] = None
        return {"control_id": control_id, "type": headers.get("msgtype", ""), "flags": json.dumps(list(all_flags))}

    def look_up(self, record: Record, received: datetime, translation: Translation) -> None:
        """Enter what a message looked up."""
        message, connector = record.headers["message"], record.headers["connector"]
        for said in translation.looked_up:
            key = codes.Key(connector, translation.sender, said.table, said.code.code)
            self.looked.append(codes.Looked(message, received, key, said))

    async def write(self, connection: AsyncConnection, *others: Rows, last: bool = False) -> None:
        """Write what was entered, and more in the same go; ``last``: nothing follows in the transaction."""
        if self._mended:
            await parked.read(connection, Translate.name, self._mended)
        if self._again:  # another mapping may look other codes up, or none
            await connection.execute(delete(tables.lookups).where(within(tables.lookups.c.message, self._again)))
        looked = {(one.message, one.key.id): one for one in self.looked}
        rows = [
            {"message": message, "code": code, "common": one.key.common.id, "answer": one.said.answer}
            for (message, code), one in looked.items()
        ]
        entered = Rows(tables.messages, list(self._entered.values()))
        await write(connection, entered, Rows(tables.lookups, rows), *others, last=last)


class Translate:
    """The step from ``raw`` to ``events``."""

    name = "translate"
    topic: Name = "raw"
    start = "begin"
    stores = True
    latest_only = False

    def __init__(self, site: Site, live: Live) -> None:
        self._site = site
        self._live = live
        self._answered = codes.Answered()
        self.group = site.group(self.name)

    def wants(self, record: Record) -> bool:
        """Every record concerns this step."""
        return True

    async def handle(self, batch: Batch) -> None:
        """Translate a batch: ledger and feed clock in one transaction, then the events."""
        async with self._site.database.write() as connection:
            live, concerned = await ask(connection, LIVE(), _Ledger.of(batch.records))
            await self._live.take_up(connection, live)
            while True:
                answers = await self._answered.known(connection)
                ledger = _Ledger(concerned)
                outputs = [await self._one(connection, record, ledger, answers) for record in batch.records]
                if await self._answered.hold(connection, ledger.looked):
                    break
            reached = position(self.group, self.topic, batch.offsets)
            await ledger.write(connection, _clock(outputs), reached, last=True)
        records = [self._record(output) for output in outputs if output is not None]
        del outputs  # a large document is held once while it is appended
        await self._site.log.append(records)

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        """Enter a message that this step failed on as parked."""
        if record.headers.get("connector") == INTERNAL:
            return
        [concerned] = await ask(connection, _Ledger.of([record]))
        ledger = _Ledger(concerned)
        ledger.enter(record, status="parked", reason=reason)
        await ledger.write(connection)

    async def _one(
        self, connection: AsyncConnection, record: Record, ledger: _Ledger, answers: abc.Mapping[str, Answers]
    ) -> Translated | None:
        if record.headers["connector"] == INTERNAL:
            return _internal(record)
        first = ledger.first.get(record.headers["message"])
        if first is not None:
            copy, refused = _is_copy(record, first), bool(record.headers.get("verdict"))
            if copy:
                ledger.enter(record, status="duplicate")
            # One that is not mapped may be understood by now; one that was refused may have been read since.
            if (copy and first["status"] == "mapped") or (refused and first["revision"]):
                return None
        return await self._translate(connection, record, ledger, first, answers)

    async def _translate(
        self,
        connection: AsyncConnection,
        record: Record,
        ledger: _Ledger,
        first: _Row | None,
        answers: abc.Mapping[str, Answers],
    ) -> Translated | None:
        """Read the message and enter what became of it under the row of its first copy."""
        position = _position(record, first)
        try:
            mapping, translation = self._read(record, position.recorded, answers)
        except BadMessage as error:
            await parked.park(connection, self.name, record, error, attempts=1)
            ledger.enter(record, status="parked", reason=error.code)
            return None
        used, backfill = codes.trace(translation.looked_up), _backfill(record, first)
        revision = _revision(first, mapping.name, used, backfill)
        ledger.look_up(record, position.recorded, translation)
        ledger.enter(
            record,
            status=translation.status,
            revision=revision,
            mapping=mapping.name,
            answers=used,
            backfill=backfill,
            flags=translation.flags,
            unmapped=translation.unmapped,
            losses=losses_of(translation).written(),
        )
        message, connector = record.headers["message"], mapping.connector
        return Translated.model_construct(
            message=message,
            revision=revision,
            connector=connector.name,
            key=record.key,
            timezone=connector.timezone,
            clock=connector.clock,
            position=position,
            events=[
                _stamp(fact, message, revision, ordinal, connector.name, position, is_past(backfill, fact))
                for ordinal, fact in enumerate(translation.facts)
            ],
        )

    def _read(
        self, record: Record, received: datetime, answers: abc.Mapping[str, Answers]
    ) -> tuple[Mapping, Translation]:
        headers = record.headers
        if headers.get("verdict"):
            raise BadMessage("The message was refused when it arrived.", code=headers["verdict"])
        mapping = self._live.get(headers["connector"])
        if mapping is None:
            raise BadMessage("No connector of this name is configured. Add it, then replay.", code="no_connector")
        return mapping, mapping.translate(raw_of(record, received), answers.get(mapping.connector.name))

    def _record(self, output: Translated) -> NewRecord:
        headers = self._site.headers(
            id=digest("translated", output.message, output.revision),
            type="events.translated",
            source=self.name,
            time=output.events[0].time.at if output.events else output.position.recorded,
            causation=output.message,
            message=output.message,
            revision=str(output.revision),
        )
        return NewRecord("events", output.key, to_json(output, exclude_none=True), headers, output)


def raw_of(record: Record, received: datetime) -> Raw:
    """Return what a connector is given of a record. A replay is read as of the time when the first copy came."""
    headers = record.headers
    flags = tuple(filter(None, headers.get("flags", "").split(",")))
    return Raw(
        headers["message"],
        record.value,
        received,
        headers.get("control_id", ""),
        headers.get("msgtype", ""),
        flags,
    )


def _internal(record: Record) -> Translated:
    """Pass on what the bus itself appended (a timer, news, a decision): no ledger, for chart drops a second copy."""
    said = _SAID.validate_json(record.value)
    position = Position(recorded=record.time, partition=record.partition, offset=record.offset)
    message = record.headers["message"]
    at = said.due if isinstance(said, Due) else said.at
    fact = Fact(kind=record.headers.get("kind", "timer.due"), time=Moment(at=at), data=said)
    return Translated(
        message=message,
        revision=1,
        connector=INTERNAL,
        key=record.key,
        position=position,
        events=[_stamp(fact, message, 1, 0, INTERNAL, position)],
    )


def _stamp(
    fact: Fact, message: str, revision: int, ordinal: int, connector: str, position: Position, backfill: bool = False
) -> Event:
    # The fact was validated when the connector made it; validating it again would cost as much as reading it.
    return Event.model_construct(
        **dict(fact),
        id=digest(message, revision, ordinal),
        message=message,
        revision=revision,
        ordinal=ordinal,
        connector=connector,
        position=position,
        backfill=backfill,
    )


def _backfill(record: Record, first: _Row | None) -> str:
    """Return how a message was read in later: as its first copy was, until a replay says otherwise."""
    said = record.headers.get(BACKFILL)
    if first is None or (said is not None and parked.REPLAY in record.headers):
        return said or ""
    return str(first["backfill"])


def is_past(backfill: str, fact: Fact) -> bool:
    """Tell whether a fact is of before the site was connected, by how its message was read in."""
    return bool(backfill) and (backfill == ALL or fact.time.at < datetime.fromisoformat(backfill))


def _own_position(record: Record) -> tuple[int, int]:
    """Return where the copy lies that this record is, or that it is the replay of."""
    origin = record.headers.get("origin")
    if origin is None:
        return record.partition, record.offset
    partition, _, offset = origin.partition(":")
    return int(partition), int(offset)


def _is_copy(record: Record, first: _Row) -> bool:
    """Tell a further copy from a redelivery or replay of the first one."""
    return _own_position(record) != (first["partition"], first["offset"])


def _position(record: Record, first: _Row | None) -> Position:
    """Return the position of the first stored copy, which decides the place in the fold."""
    if first is None:
        return Position(recorded=record.time, partition=record.partition, offset=record.offset)
    return Position(recorded=first["received"], partition=first["partition"], offset=first["offset"])


def _revision(first: _Row | None, mapping: str, answers: str, backfill: str) -> int:
    """Return the number under which a message is read now: a new one whenever mapping, answers or mark are others."""
    if first is None or first["revision"] == 0:
        return 1
    changed = (first["mapping"], first["answers"], first["backfill"]) != (mapping, answers, backfill)
    return int(first["revision"]) + changed


def _row_id(record: Record) -> str:
    partition, offset = _own_position(record)
    return f"{partition}.{offset}"


def _clock(outputs: Iterable[Translated | None]) -> Rows:
    """Return the feed clock, moved on to the newest source time. None flagged as future moves it, and no backfill."""
    times = [
        event.time.at
        for output in outputs
        if output is not None and output.clock == "feed"
        for event in output.events
        if "future_time" not in event.flags and not event.backfill
    ]
    return Rows(tables.clock, [{"id": 1, "time": max(times)}] if times else [], rising="time")
