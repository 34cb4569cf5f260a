"""The floor of the flow: its hops and records on the same Kafka and PostgreSQL, and nothing of what hisbus does there.

MLLP in -> [raw] -> [events] -> chart row -> [charted] -> (child process) -> [assessments] -> proposal row and, as a
second reader, a wake row. One process on uvloop, five consumer groups, one transaction a batch with the position beside
the rows; tables first, then the append, then the offset, as hisbus has it. Left out: reading HL7, the ledger's rules,
folding, versions, identities, grants, rules, reconciling, audit, outbox, timers that fire, metrics, the page.

``python -m tests.bench.floor_flow PORT BOOTSTRAP DATABASE SITE``, on the topics and the empty database of a site
"""

import asyncio
import hashlib
import json
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from tests.bench.floor_kafka import END, LIMIT, accept

from hisbus_bus.kernel.topics import topic_name

PARTITIONS = 6
GATHER_S = 0.05
"""Longest wait between two fetches: under load each takes more."""
COMMIT_S = 0.2
ENTRY = 400
"""Characters of a message that its chart keeps: one of thirty messages is then some 12 KB, about as hisbus's."""
TABLES = """
CREATE TABLE ledger (id text PRIMARY KEY, key text, part int, "offset" bigint, status text, meta text);
CREATE TABLE events (id text PRIMARY KEY, encounter text, "order" text, body text);
CREATE INDEX events_encounter ON events (encounter);
CREATE TABLE charts (id text PRIMARY KEY, version int, body text);
CREATE TABLE proposals (id text PRIMARY KEY, version int, body text);
CREATE TABLE wakes (id text PRIMARY KEY, version int, body text);
CREATE TABLE offsets (grp text, part int, next bigint, PRIMARY KEY (grp, part));
"""
ROW = "(id text, version int, body text)"
ONLY_NEW = "ON CONFLICT (id) DO NOTHING"
NEWEST = "ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body"
POSITION = """, p AS (INSERT INTO offsets
SELECT * FROM json_to_recordset(%s::json) AS r(grp text, part int, next bigint)
ON CONFLICT (grp, part) DO UPDATE SET next = excluded.next WHERE offsets.next < excluded.next) SELECT 1"""
LEDGER = f"""WITH l AS (INSERT INTO ledger SELECT * FROM json_to_recordset(%s::json)
AS r(id text, key text, part int, "offset" bigint, status text, meta text) {ONLY_NEW}){POSITION}"""
CHART = f"""WITH e AS (INSERT INTO events SELECT * FROM json_to_recordset(%s::json)
AS r(id text, encounter text, "order" text, body text) {ONLY_NEW}),
c AS (INSERT INTO charts SELECT * FROM json_to_recordset(%s::json) AS r{ROW} {NEWEST}){POSITION}"""
KEEP = "WITH u AS (INSERT INTO {0} SELECT * FROM json_to_recordset(%s::json) AS r{1} {2}){3}"
PROPOSALS, WAKES = (KEEP.format(table, ROW, NEWEST, POSITION) for table in ("proposals", "wakes"))
READ = "SELECT id, version, body FROM charts WHERE id = ANY(%s)"

Headers = list[tuple[str, bytes]]
Out = tuple[str, bytes, Headers]
"""Key, value and headers of a record."""
Work = Callable[[Any, Sequence[Any], str], Awaitable[list[Out]]]
"""With a connection, records and the new position: writes its rows, returns what is appended to the next topic."""


def digest(*parts: object) -> str:
    """Return an id."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]


def headers(id: str, **more: str) -> Headers:
    """Return headers of about hisbus's size."""
    base = {
        "ce_specversion": "1.0",
        "ce_source": "floor",
        "ce_type": "floor.record",
        "ce_id": id,
        "ce_time": "2026-03-02T08:30:00+08:00",
        "content-type": "application/json",
        "keyid": "0123456789abcdef",
    }
    return [(name, value.encode()) for name, value in (base | more).items()]


def packed(what: object) -> bytes:
    """Return JSON."""
    return json.dumps(what, ensure_ascii=False).encode()


# --- what each hop does -----------------------------------------------------------------------------------------------


def taken(frame: bytes) -> tuple[Out, bytes]:
    """Return what is stored of a message, and its acknowledgement."""
    control_id, answer = accept(frame)
    body = frame[1:-2]
    at = body.find(b"\rPV1|")
    pv1 = body[at + 1 : body.find(b"\r", at + 1)].split(b"|") if at >= 0 else []
    visit = (pv1[19].split(b"^")[0] if len(pv1) > 19 else control_id).decode()
    id, msgtype = digest(body), body.split(b"|", 9)[8].decode()
    told = headers(id, message=id, control_id=control_id.decode(), visit=visit, msgtype=msgtype)
    return (digest(visit), body, told), answer


async def translate(connection: Any, records: Sequence[Any], position: str) -> list[Out]:
    """Enter messages in the ledger; tell each as an event."""
    rows, out = [], []
    for record in records:
        its, key = {name: value.decode() for name, value in record.headers}, record.key.decode()
        id, at = its["ce_id"], [record.partition, record.offset]
        row = {"id": id, "key": key, "part": at[0], "offset": at[1], "status": "mapped", "meta": its["msgtype"]}
        said = {"message": id, "revision": 1, "visit": its["visit"], "position": at}
        text = record.value.decode("gb18030", "replace")
        rows.append(row)
        out.append((key, packed({**said, "text": text}), headers(digest(id, 1), message=id, revision="1")))
    await connection.execute(LEDGER, (json.dumps(rows), position), prepare=True)
    return out


async def chart(connection: Any, records: Sequence[Any], position: str) -> list[Out]:
    """Keep events, and every stay's chart with them."""
    cursor = await connection.execute(READ, (list({record.key.decode() for record in records}),), prepare=True)
    now = {id: (version, body) for id, version, body in await cursor.fetchall()}
    events, changed, out = [], {}, []
    for record in records:
        id, said = record.key.decode(), json.loads(record.value)
        version, body = now.get(id, (0, ""))
        now[id] = version, body = version + 1, f"{body}{said['text'][:ENTRY]}\n"
        changed[id] = {"id": id, "version": version, "body": body}
        event, order = said["message"], str(said["position"])
        events.append({"id": event, "encounter": id, "order": order, "body": packed(said).decode()})
        told = {"id": digest("charted", event), "encounter": id, "version": version, "event": event, "key": id}
        about = {"kind": "document.filed", "agent": "", "by": ""}
        out.append((id, packed(told | about), headers(told["id"], kind="document.filed", encounter=id)))
    await connection.execute(CHART, (json.dumps(events), json.dumps([*changed.values()]), position), prepare=True)
    return out


def dispatch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Work:
    """Return what reads the charts of a batch and asks the child process about them."""

    async def work(connection: Any, records: Sequence[Any], position: str) -> list[Out]:
        told = [json.loads(record.value) for record in records]
        cursor = await connection.execute(READ, (list({one["encounter"] for one in told}),), prepare=True)
        stored = {id: {"version": version, "chart": body} for id, version, body in await cursor.fetchall()}
        frame = packed([{**stored[one["encounter"]], **{at: one[at] for at in ("event", "encounter")}} for one in told])
        writer.write(struct.pack(">I", len(frame)) + frame)
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        answers = json.loads(await reader.readexactly(length))
        return [
            (one["encounter"], packed(one), headers(one["id"], agent="floor", encounter=one["encounter"]))
            for one in answers
        ]

    return work


def keep(statement: str) -> Work:
    """Return what writes the newest answer about each stay."""

    async def work(connection: Any, records: Sequence[Any], position: str) -> list[Out]:
        newest = {}
        for record in records:
            said = json.loads(record.value)
            body = packed(said["proposals"]).decode()
            newest[said["encounter"]] = {"id": said["encounter"], "version": said["version"], "body": body}
        await connection.execute(statement, (json.dumps([*newest.values()]), position), prepare=True)
        return []

    return work


def judge(case: dict[str, Any]) -> dict[str, Any]:
    """Stand in for an agent: reads the chart's text once, says one thing."""
    message = {"zh": "首次病程记录应在入院后八小时内完成。", "en": "First note within 8 hours."}
    found = {"key": "R02", "rule": "R02", "lines": case["chart"].count("\n"), "message": message}
    about = {name: case[name] for name in ("encounter", "version", "event")}
    rules = ["R01", "R02", "R10", "R13", "R27", "R45", "R48"]
    return {
        "id": digest("assessed", case["event"]),
        "agent": "floor",
        "evaluated": rules,
        "proposals": [found],
        **about,
    }


def child(descriptor: int) -> None:
    """Answer until the pipe ends."""
    with socket.socket(fileno=descriptor) as ours, ours.makefile("rwb") as pipe:
        while head := pipe.read(4):
            frame = packed([judge(case) for case in json.loads(pipe.read(struct.unpack(">I", head)[0]))])
            pipe.write(struct.pack(">I", len(frame)) + frame)
            pipe.flush()


# --- what joins them --------------------------------------------------------------------------------------------------


async def serve(port: int, bootstrap: str, database: str, site: str) -> None:
    """Take messages until killed."""

    def topic(name: Any) -> str:
        return topic_name(site, name)

    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_batch_size=1 << 20, max_request_size=LIMIT
    )
    await producer.start()

    async def append(name: str, records: Sequence[Out]) -> None:
        sent = [
            await producer.send(topic(name), value, key.encode(), zlib.crc32(key.encode()) % PARTITIONS, headers=its)
            for key, value, its in records
        ]
        for one in sent:
            await one

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                record, answer = taken(await reader.readuntil(END))
                await append("raw", [record])
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def hop(group: str, reads: str, work: Work, writes: str) -> None:
        consumer = AIOKafkaConsumer(
            topic(reads),
            bootstrap_servers=bootstrap,
            group_id=f"{site}.{group}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_bytes=16 << 20,
        )
        await consumer.start()
        connection = await psycopg.AsyncConnection.connect(database, autocommit=True)
        committed = 0.0
        while True:
            found = await consumer.getmany(timeout_ms=1000, max_records=500)
            records = [record for each in found.values() for record in each]
            if not records:
                continue
            rows = [{"grp": group, "part": at.partition, "next": each[-1].offset + 1} for at, each in found.items()]
            await append(writes, await work(connection, records, json.dumps(rows)))
            if time.monotonic() - committed > COMMIT_S:
                committed = time.monotonic()
                await consumer.commit()
            await asyncio.sleep(min(GATHER_S, GATHER_S / 25 * len(records)))

    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(TABLES)
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "tests.bench.floor_flow", "child", str(theirs.fileno())]
    subprocess.Popen(command, pass_fds=(theirs.fileno(),))  # noqa: ASYNC220 - before anything waits
    theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=1 << 20)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hop("translate", "raw", translate, "events"))
        tasks.create_task(hop("chart", "events", chart, "charted"))
        tasks.create_task(hop("dispatch", "charted", dispatch(reader, writer), "assessments"))
        tasks.create_task(hop("review", "assessments", keep(PROPOSALS), ""))
        tasks.create_task(hop("timers", "assessments", keep(WAKES), ""))
        server = await asyncio.start_server(attend, "127.0.0.1", port, limit=LIMIT)
        tasks.create_task(server.serve_forever())


if __name__ == "__main__":
    if sys.argv[1] == "child":
        child(int(sys.argv[2]))
    else:
        uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:]))
