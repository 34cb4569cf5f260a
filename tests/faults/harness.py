"""A site of real processes that can be killed: on the embedded log and database, or on Kafka and PostgreSQL."""

import asyncio
import json
import os
import re
import secrets
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from hisbus_bus.kernel import migrations
from hisbus_bus.kernel import people as users
from hisbus_bus.kernel.log import Log, Record
from hisbus_bus.kernel.settings import Settings, load
from hisbus_bus.kernel.site import open_database, open_reader
from hisbus_bus.kernel.topics import FLOW, TOPICS, Name, group_name
from hisbus_servers.process import free_ports
from hisbus_simulator.his import His
from hisbus_simulator.oracle import JUDGED

KILLER = Path(__file__).with_name("killer.py")
DEADLINE_S = 240.0
"""Longest wait for any one thing. Beside busy loops it takes half a minute at most; a machine may have a quarter of the
speed, and a consumer that fell silent begins anew after a minute (``hisbus_bus.kernel.watchdog``)."""
PARTITIONS = 3
RESTART_S = 0.3

CONFIGURATION = """\
site = "{name}"
secret_file = "{folder}/site.secret"
{backbone}
[web]
listen = "127.0.0.1:{web}"
[retry]
first_s = 0.05
longest_s = 0.5
[writeback]
retry_s = 0.2
attempt_s = 5
[plugins.coding]
enabled = false
[plugins.documentation]
enabled = false
[agents.qc-text]
enabled = false
[agents.qc.settings]
only = {rules}
[[connectors]]
name = "his"
type = "hl7v2"
listen = "127.0.0.1:{mllp}"
send = "127.0.0.1:{his}"
timezone = "Asia/Shanghai"
clock = "feed"
answer_s = 2
retry_s = 0.2
max_connections_per_peer = 64
"""


@dataclass(frozen=True)
class Backbone:
    """Log and database of a site."""

    log: Mapping[str, Any]
    database: str
    """As in ``database.url``."""

    @property
    def embedded(self) -> bool:
        return self.database.startswith("sqlite:")

    def toml(self) -> str:
        log = "\n".join(f"{name} = {json.dumps(value)}" for name, value in self.log.items())
        return f'[log]\nappend_deadline_s = 3\n{log}\n[database]\nurl = "{self.database}"'


def embedded(folder: Path) -> Backbone:
    return Backbone({"url": f"sqlite:///{folder}/log.db"}, f"sqlite:///{folder}/hisbus.db")


def servers(bootstrap: str, database: str, *, partitions: int = PARTITIONS) -> Backbone:
    """Take brokers and an empty database; three brokers replicate, one is a single broker."""
    log: dict[str, Any] = {"url": f"kafka://{bootstrap}", "partitions": partitions}
    return Backbone(log if bootstrap.count(",") >= 2 else log | {"durability": "single-broker"}, database)


@dataclass(eq=False)
class Life:
    """One process."""

    tag: str
    name: str
    pid: int = 0
    status: int | None = None
    """Its exit status, negative for a signal."""
    heard: bool = True
    """Whether it had taken over its signals when it was last told something."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, number: int) -> None:
        with suppress(ProcessLookupError, FileNotFoundError):
            self.heard = catches(self.pid, signal.SIGTERM)
            os.kill(self.pid, number)

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.tell(number)
        return await self.over()

    @property
    def stopped_well(self) -> bool:
        """Whether it ended as it should on SIGTERM, which one that has hardly begun does not hear yet."""
        return self.status == 0 or (self.status == -signal.SIGTERM and not self.heard)

    async def over(self, within_s: float = DEADLINE_S) -> int:
        """Wait until it has ended and return its exit status."""
        async with asyncio.timeout(within_s):
            await self.ended.wait()
        assert self.status is not None
        return self.status


class Site:
    """A site, its processes, and what they leave behind. Open it with ``site``."""

    def __init__(self, folder: Path, backbone: Backbone, his: His, more: str = "", secret: str = "") -> None:
        self.folder = folder
        self.backbone = backbone
        self.his = his
        self.name = f"fault-{secrets.token_hex(3)}"
        self.web_port, self.mllp, self.second_mllp, self.second_web = free_ports(4)
        self.config = folder / "hisbus.toml"
        (folder / "site.secret").write_text(secret or secrets.token_hex(32))
        self.config.write_text(
            CONFIGURATION.format(
                name=self.name, folder=folder, backbone=backbone.toml(), web=self.web_port, mllp=self.mllp,
                his=his.address[1], rules=json.dumps(JUDGED),
            )
            + more
        )  # fmt: skip
        self.settings: Settings = load(self.config)
        self.log = folder / "hisbus.log"
        self.lives: dict[str, Life] = {}
        self.quick_session = True
        self.agents = ["qc"]
        self.restarts: Counter[str] = Counter()
        """By step: how often a process that had ended by itself was started again."""
        self._kept: dict[asyncio.Task[None], Life] = {}
        self._begun: dict[str, asyncio.Future[int]] = {}
        self._count = 0
        self._killer: asyncio.subprocess.Process
        self._listening: asyncio.Task[None]
        self.token = ""

    async def open(self) -> None:
        """Make topics, tables and a reviewer; get ready to live."""
        if not self.backbone.embedded:
            from hisbus_bus.kernel.log.kafka_cluster import Cluster

            await Cluster(self.settings.log, self.name).apply()
        database = open_database(self.settings)
        await migrations.upgrade(database)
        await users.add(database, "tester", "reviewer")
        self.token = await users.token(database, "tester")
        await database.close()
        with (self.folder / "killer.log").open("ab") as log:
            self._killer = await asyncio.create_subprocess_exec(
                sys.executable, str(KILLER),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        self._let_go()
        for life in self.running():
            await life.end(signal.SIGKILL)
        assert self._killer.stdin is not None
        self._killer.stdin.close()
        await self._killer.wait()
        await self._listening

    async def _listen(self) -> None:
        assert self._killer.stdout is not None
        async for line in self._killer.stdout:
            tag, word, number = line.decode().split()
            life = self.lives[tag]
            if word == "begun":
                life.pid = int(number)
                self._begun.pop(tag).set_result(life.pid)
            else:
                life.status = int(number)
                life.ended.set()

    # --- processes

    async def start(self, *argv: str, gap: str = "never", second: bool = False, clock_s: float | None = None) -> Life:
        """Start ``hisbus ARGV``; a second one of those that listen gets the other address."""
        self._count += 1
        tag = f"{'.'.join(argv)}.{self._count}"
        life = self.lives[tag] = Life(tag, argv[-1])
        self._begun[tag] = asyncio.get_running_loop().create_future()
        order = {
            "tag": tag, "argv": ["--config", str(self.config), *argv], "log": str(self.log), "gap": gap,
            "env": self._second() if second else {}, "clock_s": clock_s,
            "quick_session": self.quick_session,
        }  # fmt: skip
        assert self._killer.stdin is not None
        begun = self._begun[tag]
        self._killer.stdin.write(json.dumps(order).encode() + b"\n")
        await begun
        return life

    def _second(self) -> dict[str, str]:
        connectors = [{**one, "listen": f"127.0.0.1:{self.second_mllp}"} for one in self.settings.connectors]
        return {"HISBUS_CONNECTORS": json.dumps(connectors), "HISBUS_WEB__LISTEN": f"127.0.0.1:{self.second_web}"}

    async def keep(self, *argv: str, second: bool = False) -> None:
        """Start a process, and start it again whenever it ends, as a supervisor does."""
        life = await self.start(*argv, second=second)

        async def keep() -> None:
            nonlocal life
            while True:
                await life.ended.wait()
                self.restarts[life.name] += 1
                await asyncio.sleep(RESTART_S)
                life = self._kept[task] = await self.start(*argv, second=second)

        task = asyncio.create_task(keep())
        self._kept[task] = life

    async def keep_every_step(self, times: int) -> None:
        """Keep one or two processes of each step."""
        for n in range(times):
            for step in (*FLOW, "web"):
                await self.keep("run", step, second=n > 0)

    async def until_agents_have_their_place(self) -> None:
        """Wait until each agent's group has its first position: what is charted before is left to its first look."""
        async with self.reader() as log, asyncio.timeout(DEADLINE_S):
            for agent in self.agents:
                while not await log.committed("charted", group_name(self.name, f"dispatch.{agent}")):
                    await asyncio.sleep(0.05)

    async def keep_third(self) -> None:
        """Keep one more of each step that does not listen."""
        for step in FLOW:
            if step != "intake":
                await self.keep("run", step)

    def _let_go(self) -> None:
        for task in self._kept:
            task.cancel()
        self._kept.clear()

    def kept(self) -> list[Life]:
        """Return the processes that are kept and live now."""
        return [life for life in self._kept.values() if life.pid and not life.ended.is_set()]

    def running(self) -> list[Life]:
        return [life for life in self.lives.values() if life.pid and not life.ended.is_set()]

    async def stop(self) -> None:
        """Stop every process in order, as an operator does: each must end with 0."""
        self._let_go()
        lives = self.running()
        for life in lives:
            life.tell(signal.SIGTERM)
        badly = {life.tag: await life.over() for life in lives if await life.over() and not life.stopped_well}
        assert not badly, (badly, self.said()[-3000:])

    def rss_mb(self) -> dict[str, float]:
        """Return what each process holds, MiB."""
        return {life.tag: psutil.Process(life.pid).memory_info().rss / 2**20 for life in self.running()}

    def said(self) -> str:
        """Return what all processes have logged."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def lines(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the log lines of an event with these fields."""
        found = [json.loads(line) for line in self.said().splitlines() if f'"{event}"' in line]
        return [one for one in found if one["event"] == event and fields.items() <= one.items()]

    async def until_logged(self, event: str, count: int = 1, within_s: float = DEADLINE_S, **fields: Any) -> None:
        async with asyncio.timeout(within_s):
            while len(self.lines(event, **fields)) < count:
                await asyncio.sleep(0.05)

    # --- what is stored

    def rows(self, query: str) -> list[Any]:
        if self.backbone.embedded:
            path = self.backbone.database.removeprefix("sqlite:///")
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                return database.execute(query).fetchall()
        with psycopg.connect(self.backbone.database) as connection:
            return connection.execute(query.encode()).fetchall()

    def let_leases_end(self) -> None:
        """Let the minute pass in which a lost sender's lease runs out; the embedded database does so itself.

        A lease begins with 65 s (``attempt_s`` and a minute) and no living sender holds one for longer than 5 s.
        """
        if not self.backbone.embedded:
            with psycopg.connect(self.backbone.database) as connection:
                connection.execute(
                    "UPDATE writebacks SET lease_until = now() - interval '1 s'"
                    " WHERE lease <> '' AND lease_until < now() + interval '58 s'"
                )

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Log]:
        log = await open_reader(self.settings)
        try:
            yield log
        finally:
            await log.close()

    async def records(self, log: Log, topic: Name) -> list[Record]:
        """Return everything a topic holds, partition by partition."""
        begins = await log.begins(topic)
        found: list[Record] = []
        for partition, end in sorted((await log.ends(topic)).items()):
            offset = begins.get(partition, 0)
            while offset < end:
                chunk = await log.read(topic, partition, offset, 1000)
                found += chunk
                offset = chunk[-1].offset + 1
        return found

    async def everything(self) -> dict[Name, list[Record]]:
        async with self.reader() as log:
            return {name: await self.records(log, name) for name in TOPICS}

    async def behind(self) -> dict[str, int]:
        """Return how many records wait for each group, by the log and by what the database stores of its position."""
        groups: dict[str, Name] = {
            "translate": "raw", "chart": "events", "timers": "assessments", "review": "assessments",
            "writeback": "decisions", **{f"dispatch.{agent}": "charted" for agent in self.agents},
        }  # fmt: skip
        query = 'SELECT "group", "partition", next FROM offsets'
        stored = {(group, partition): next for group, partition, next in self.rows(query)}
        async with self.reader() as log:
            waiting: Counter[str] = Counter()
            for step, topic in groups.items():
                group = f"{self.name}.{step}"
                done = await log.committed(topic, group)
                for partition, end in (await log.ends(topic)).items():
                    places = [done.get(partition, 0)]
                    if not step.startswith("dispatch."):
                        places.append(stored.get((group, partition), 0))
                    waiting[step] += end - min(places)
            return waiting

    # --- its page

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in (self.web_port, self.second_web)]

    @asynccontextmanager
    async def person(self) -> AsyncIterator["Person"]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(headers=headers, timeout=60) as client:
            yield Person(self, client)


class Person:
    """A reviewer, who comes back after every crash. Speaks to whichever page answers."""

    def __init__(self, site: Site, client: httpx.AsyncClient) -> None:
        self._site = site
        self._client = client
        self.decided = 0

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask one page after the other. Raises httpx.TransportError where none answers."""
        for url in self._site.urls[:-1]:
            with suppress(httpx.ConnectError):
                return await self._client.request(method, f"{url}{path}", **more)
        return await self._client.request(method, f"{self._site.urls[-1]}{path}", **more)

    async def accept_everything(self) -> None:
        with suppress(httpx.TransportError):
            listed = await self.ask("GET", "/api/v1/proposals", params={"status": "open", "limit": 500})
            if listed.status_code != 200:
                return
            for proposal in listed.json()["items"]:
                path = f"/api/v1/proposals/{proposal['id']}"
                seen = await self.ask("GET", path)
                if seen.status_code != 200:
                    continue
                answer = await self.ask(
                    "POST", f"{path}/decision", json={"decision": "accept"}, headers={"If-Match": seen.headers["ETag"]}
                )
                assert answer.status_code in {200, 201, 409, 412, 503}, (answer.status_code, answer.text)
                self.decided += answer.status_code < 300

    @asynccontextmanager
    async def deciding(self) -> AsyncIterator[None]:
        """Accept whatever is open, as long as the block lasts."""

        async def decide() -> None:
            while True:
                await self.accept_everything()
                await asyncio.sleep(0.2)

        task = asyncio.create_task(decide())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def look_into_the_his(self) -> int:
        """Answer, as a person would, what nobody else can know. Return how many there were."""
        listed = (await self.ask("GET", "/api/v1/writebacks", params={"status": "undecided", "limit": 500})).json()
        for item in listed["items"]:
            there = item["id"] in self._site.his.effects
            answer = {"resolution": "applied" if there else "not_applied", "note": "looked it up"}
            resolved = await self.ask("POST", f"/api/v1/writebacks/{item['id']}/resolution", json=answer)
            assert resolved.status_code == 200, resolved.text
        return len(listed["items"])

    async def lag(self) -> dict[str, int] | None:
        """Return what waits for each step; None while no page can tell."""
        with suppress(httpx.TransportError):
            answer = await self.ask("GET", "/readyz")
            if answer.status_code == 200:
                lag: dict[str, int] = answer.json()["lag"]
                return lag
        return None

    async def until_idle(self, within_s: float = DEADLINE_S) -> None:
        lag: dict[str, int] | None = None
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self._site.let_leases_end()
                    lag = await self.lag()
                    if lag is not None and not any(lag.values()):
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"still to do after {within_s} s: {lag}\n{self._site.said()[-3000:]}") from None

    async def settle(self) -> int:
        """Bring everything to its end: decide what is open, answer what is undecided. Return how many those were."""
        await self.until_idle()
        await self.accept_everything()
        await self.until_idle()
        undecided = await self.look_into_the_his()
        await self.until_idle()
        return undecided

    async def metrics(self) -> str:
        return (await self.ask("GET", "/metrics")).text


@asynccontextmanager
async def site(folder: Path, backbone: Backbone, his: His, more: str = "", secret: str = "") -> AsyncIterator[Site]:
    """Make a site; whatever happens, none of its processes stays. A secret of the test's own fixes all partitions."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Site(folder, backbone, his, more, secret)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


def catches(pid: int, number: int) -> bool:
    """Tell whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    [caught] = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(caught >> (number - 1) & 1)


def words_of(texts: Sequence[str]) -> set[str]:
    """Return what names a patient in HL7 messages: names, patient ids, identity cards, visit numbers."""
    words: set[str] = set()
    for text in texts:
        for line in text.split("\r"):
            fields = line.split("|")
            if fields[0] == "PID":
                words |= {part.split("^")[0] for part in fields[3].split("~")}
                words |= {fields[5].replace("^", ""), fields[5].split("^")[-1]}
            if fields[0] == "PV1" and len(fields) > 19:
                words.add(fields[19].split("^")[0])
    return {word for word in words if len(re.sub(r"\W", "", word)) >= 2}
