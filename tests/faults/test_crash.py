"""The process is killed with SIGKILL in every gap of the flow, while a hospital feeds it and a person decides.

One life ends in each gap; the next begins where the log says. At the end the oracle asks: is anything lost, doubled,
out of order, unapproved or unaudited?
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from hisbus import audit, migrations
from hisbus.review import users
from hisbus.settings import load
from hisbus.site import open_database
from hisbus_schemas import Assessed, Decision
from hisbus_simulator import ward_week
from hisbus_simulator.his import His
from hisbus_simulator.sender import Sender, feed

KILLER = Path(__file__).with_name("killer.py")
DEADLINE_S = 60

GAPS = [
    "intake:begun:3", "intake:tables:2", "intake:appended:2",
    "translate:begun:2", "translate:tables:2", "translate:appended:3", "translate:committed:2",
    "chart:begun:2", "chart:tables:2", "chart:appended:2", "chart:committed:2",
    "dispatch:begun:2", "dispatch:tables:2", "dispatch:appended:2", "dispatch:committed:2",
    "timers:begun:2", "timers:tables:2", "timers:committed:2",
    "relay:tables:1", "relay:appended:1",
    "review:begun:1", "review:tables:1", "review:committed:1",
    "writeback:begun:1", "writeback:tables:1", "writeback:committed:1",
    "sender:begun:1", "sender:tables:1", "sender:appended:1",
]  # fmt: skip

LOAD = ["intake:appended:30", "translate:tables:8", "chart:appended:8", "dispatch:tables:6", "review:tables:5"]
"""Deeper into a load of several senders, where batches hold many patients."""

CONFIGURATION = """\
site = "test"
[log]
url = "sqlite:///{folder}/log.db"
[database]
url = "sqlite:///{folder}/hisbus.db"
[web]
listen = "127.0.0.1:{web}"
[retry]
first_s = 0.05
longest_s = 0.5
[writeback]
retry_s = 0.2
[[connectors]]
name = "his"
type = "hl7v2"
listen = "127.0.0.1:{mllp}"
send = "127.0.0.1:{his}"
timezone = "Asia/Shanghai"
clock = "feed"
"""


class Site:
    """A site whose process dies and is started again."""

    def __init__(self, folder: Path, web: int, mllp: int, his: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{web}"
        self.config = folder / "hisbus.toml"
        self.config.write_text(CONFIGURATION.format(folder=folder, web=web, mllp=mllp, his=his))
        self.log = folder / "hisbus.log"
        self.pid = 0
        self.killer: asyncio.subprocess.Process

    async def open(self) -> str:
        """Make a reviewer and return the token; get ready to live."""
        database = open_database(load(self.config))
        await migrations.upgrade(database)
        await users.add(database, "tester", "reviewer")
        token = await users.token(database, "tester")
        await database.close()
        with self.log.open("ab") as log:
            self.killer = await asyncio.create_subprocess_exec(
                sys.executable, str(KILLER), str(self.config),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        return token

    async def begin(self, gap: str) -> None:
        assert self.killer.stdin is not None and self.killer.stdout is not None
        self.killer.stdin.write(f"{gap}\n".encode())
        self.pid = int(await self.killer.stdout.readline())

    async def ended(self) -> int:
        assert self.killer.stdout is not None
        return int(await self.killer.stdout.readline())

    async def die_in(self, gaps: Sequence[str]) -> None:
        """Live once for each gap, and then once more."""
        for gap in gaps:
            await self.begin(gap)
            try:
                async with asyncio.timeout(DEADLINE_S):
                    assert await self.ended() == -signal.SIGKILL, (gap, self.log.read_text()[-2000:])
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                pytest.fail(f"nothing ever came to {gap}")
        await self.begin("never")

    async def close(self) -> None:
        """Stop in order: the last life must end well, and the audit must hold."""
        os.kill(self.pid, signal.SIGTERM)
        assert await self.ended() == 0
        assert self.killer.stdin is not None
        self.killer.stdin.close()
        await self.killer.wait()
        database = open_database(load(self.config))
        verdict = await audit.verify(database)
        await database.close()
        assert verdict.sound and verdict.sealed and not verdict.unsealed, str(verdict)

    def rows(self, query: str) -> list[Any]:
        with sqlite3.connect(f"file:{self.folder}/hisbus.db?mode=ro", uri=True) as database:
            return database.execute(query).fetchall()

    def records(self, topic: str) -> Iterator[bytes]:
        with sqlite3.connect(f"file:{self.folder}/log.db?mode=ro", uri=True) as log:
            for (value,) in log.execute('SELECT value FROM records WHERE topic = ? ORDER BY "offset"', (topic,)):
                yield value


async def idle(api: httpx.AsyncClient) -> None:
    lag: dict[str, int] = {}
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with suppress(httpx.TransportError):
                    lag = (await api.get("/readyz")).json()["lag"]
                    if not any(lag.values()):
                        return
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"still to do after {DEADLINE_S} s: {lag}")


async def accept_everything(api: httpx.AsyncClient) -> None:
    """A reviewer who accepts whatever is open, and comes back after every crash."""
    with suppress(httpx.TransportError):
        page = (await api.get("/api/v1/proposals", params={"status": "open", "limit": 500})).json()
        for proposal in page.get("items", ()):
            path = f"/api/v1/proposals/{proposal['id']}"
            tag = (await api.get(path)).headers["ETag"]
            answer = await api.post(f"{path}/decision", json={"decision": "accept"}, headers={"If-Match": tag})
            assert answer.status_code in {200, 201, 409, 412, 503}, answer.text


async def look_into_the_his(api: httpx.AsyncClient, his: His) -> int:
    """Answer, as a person would, what nobody else can know. Return how many there were."""
    page = (await api.get("/api/v1/writebacks", params={"status": "undecided", "limit": 500})).json()
    for item in page["items"]:
        answer = {"resolution": "applied" if item["id"] in his.effects else "not_applied", "note": "looked it up"}
        resolved = await api.post(f"/api/v1/writebacks/{item['id']}/resolution", json=answer)
        assert resolved.status_code == 200, resolved.text
    return len(page["items"])


async def keep_deciding(api: httpx.AsyncClient) -> None:
    while True:
        await accept_everything(api)
        await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "gaps, lanes, patients",
    [(GAPS[::2], 1, 5), (GAPS[1::2], 1, 5), (LOAD, 6, 10)],
    ids=["half of them", "the others", "during a load"],
)
async def test_sigkill_in_every_gap_loses_nothing_and_doubles_nothing(
    tmp_path: Path, unused_tcp_port_factory: Any, gaps: Sequence[str], lanes: int, patients: int
) -> None:
    week = ward_week(seed=7, patients=patients)
    mllp = unused_tcp_port_factory()
    async with His() as his:
        site = Site(tmp_path, unused_tcp_port_factory(), mllp, his.address[1])
        headers = {"Authorization": f"Bearer {await site.open()}"}
        senders = [Sender("127.0.0.1", mllp, answer_s=5, give_up_s=DEADLINE_S) for _ in range(lanes)]
        async with httpx.AsyncClient(base_url=site.url, headers=headers, timeout=10) as api:
            deciding = asyncio.create_task(keep_deciding(api))
            dying = asyncio.create_task(site.die_in(gaps))
            await feed(week.messages, senders)
            await dying
            await idle(api)
            deciding.cancel()
            with suppress(asyncio.CancelledError):
                await deciding
            await accept_everything(api)
            await idle(api)
            undecided = await look_into_the_his(api, his)
            await idle(api)
        await site.close()
    nothing_is_lost(site, [message.control_id for message in week.messages])
    every_finding_is_there_once(site, {(one.visit, one.rule, one.state) for one in week.expected})
    lost = sum(gap in {"sender:tables:1", "sender:appended:1"} for gap in gaps)
    assert lost <= undecided <= len(gaps), "a life that ended between `sending` and the receipt leaves it to a person"
    nothing_took_effect_twice_or_unapproved(site, his)
    order_is_kept(site)
    every_change_is_audited_once(site)
    no_patient_is_named(site, week)


def nothing_is_lost(site: Site, sent: list[str]) -> None:
    ledger = site.rows("SELECT control_id, status FROM messages WHERE first")
    assert Counter(row[0] for row in ledger) == Counter(sent)
    assert {row[1] for row in ledger} == {"mapped"}
    assert not site.rows("SELECT * FROM parked")
    assert not site.rows("SELECT * FROM outbox")


def every_finding_is_there_once(site: Site, expected: set[tuple[str, str, str]]) -> None:
    rows = site.rows(
        "SELECT p.identity, e.number, p.rule, p.state, p.status FROM proposals p "
        "JOIN encounters e ON e.id = p.encounter "
        "WHERE p.status IN ('open', 'accepted') AND NOT p.rectified ORDER BY p.revision"
    )
    newest = {identity: (visit, rule, state) for identity, visit, rule, state, _ in rows}
    assert set(newest.values()) == expected
    assert len(newest) == len(expected)
    assert max(Counter(row[0] for row in rows if row[4] == "open").values(), default=1) == 1


def nothing_took_effect_twice_or_unapproved(site: Site, his: His) -> None:
    assert max(his.effects.values()) == 1
    rows = site.rows("SELECT w.id, w.status, d.decided FROM writebacks w JOIN decisions d ON d.id = w.decision")
    status = {row[0]: row[1] for row in rows}
    assert his.effects.keys() <= status.keys(), "an effect that nobody decided on"
    assert {id for id, is_now in status.items() if is_now == "applied"} == his.effects.keys()
    assert set(status.values()) <= {"applied", "stale"}
    assert len(status) == len(list(site.rows("SELECT id FROM decisions"))), "a decision without its write-back"


def order_is_kept(site: Site) -> None:
    newest: dict[str, int] = {}
    seen: set[str] = set()
    for value in site.records("assessments"):
        answer = Assessed.model_validate_json(value)
        if answer.id not in seen:
            assert answer.version >= newest.get(answer.encounter, 0)
            newest[answer.encounter] = answer.version
        seen.add(answer.id)
    assert {Decision.model_validate_json(value).id for value in site.records("decisions")} == {
        row[0] for row in site.rows("SELECT id FROM decisions")
    }


def every_change_is_audited_once(site: Site) -> None:
    changes = Counter(site.rows("SELECT proposal, status FROM proposal_history"))
    proposal_of = dict(site.rows("SELECT id, proposal FROM writebacks"))
    told: Counter[tuple[str, str]] = Counter()
    for object, action in site.rows("SELECT object, action FROM audit"):
        if action.startswith("writeback."):
            told[proposal_of[object], action] += 1
        elif action.startswith("proposal.") and action != "proposal.viewed":
            told[object, action.removeprefix("proposal.")] += 1
    assert told == changes
    assert len(site.rows("SELECT * FROM audit_seals")) == len(site.rows("SELECT * FROM audit"))


def no_patient_is_named(site: Site, week: Any) -> None:
    said = site.log.read_text(encoding="utf-8")
    for line in said.splitlines():
        json.loads(line)
    names = {
        line.split("|")[5].replace("^", "") for m in week.messages for line in m.text.split("\r") if line[:4] == "PID|"
    }
    assert not [name for name in names if name and name in said]
