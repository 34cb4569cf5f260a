"""Alive, ready, and how far behind."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from hisbus.errors import RetryLater
from hisbus_bus.desk import AgentState, create_app
from hisbus_bus.flow.lag import lag
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.site import Site

STEPS = {"translate", "chart", "dispatch.qc", "timers", "review", "writeback", "outbox"}


async def test_a_process_says_that_it_is_alive_and_shows_its_metrics(client: Any) -> None:
    assert (await client().get("/healthz")).json() == {"alive": True}
    answer = await client().get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")


async def test_lag_counts_what_waits_in_topics(client: Any, site: Site) -> None:
    answer = (await client().get("/readyz")).json()
    assert set(answer["lag"]) == STEPS
    assert answer["lag"]["translate"] == 1
    assert (answer["ready"], answer["durability"]) == (True, "embedded")
    running = {"name": "qc", "status": "running", "plugin": "qc", "version": "1"}
    assert answer["agents"] == [running | {"reason": "", "waits_for": "", "asks": False}]
    assert answer["model"] == {"status": "none", "name": "", "reason": ""}
    await site.log.append([NewRecord("charted", "e1", b"{}"), NewRecord("charted", "e1", b"{}")])
    await site.log.append([NewRecord("decisions", "e1", b"{}")])
    behind = (await client().get("/readyz")).json()["lag"]
    assert (behind["dispatch.qc"], behind["writeback"], behind["chart"]) == (2, 1, 0)


async def test_lag_counts_what_waits_in_tables(site: Site, rows: Any) -> None:
    now = datetime.now(UTC)
    wake = {"agent": "qc", "encounter": "e1", "key": "k", "fired": False}
    async with site.database.write() as connection:
        for name, due, clock, fired in (
            ("past", now - timedelta(minutes=1), "wall", False),
            ("future", now + timedelta(hours=1), "wall", False),
            ("fired", now - timedelta(hours=1), "wall", True),
            ("feed-past", datetime(2026, 3, 1, tzinfo=UTC), "feed", False),
            ("feed-future", datetime(2026, 3, 3, tzinfo=UTC), "feed", False),
        ):
            await connection.execute(
                tables.wakes.insert(), wake | {"name": name, "due": due, "clock": clock, "fired": fired}
            )
        await connection.execute(tables.clock.insert(), {"id": 1, "time": datetime(2026, 3, 2, tzinfo=UTC)})
        await rows.put_writeback(connection, "p1", "e1", status="queued")
        await rows.put_writeback(connection, "p2", "e1", status="sending")
        out = {"topic": "raw", "key": "k", "headers": "{}", "value": b"", "created": now}
        await connection.execute(tables.outbox.insert(), out)
    behind = await lag(site, ["qc"])
    assert (behind["timers"], behind["writeback"], behind["outbox"]) == (2, 2, 1)


async def test_lag_is_read_again_while_the_log_moves(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = site.log.ends
    calls = 0

    async def moving(topic: Any) -> Mapping[int, int]:
        nonlocal calls
        calls += 1
        if calls == 8:  # of the second round of six topics: a record arrived between the two readings
            await site.log.append([NewRecord("events", "k", b"{}")])
        return await real(topic)

    monkeypatch.setattr(site.log, "ends", moving)
    assert (await lag(site, ["qc"]))["chart"] == 1
    assert calls == 24


async def test_a_log_that_never_rests_is_told_at_its_worst(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = site.log.ends

    async def restless(topic: Any) -> Mapping[int, int]:
        if topic == "events":
            await site.log.append([NewRecord("events", "k", b"{}")])
        return await real(topic)

    monkeypatch.setattr(site.log, "ends", restless)
    assert (await lag(site, ["qc"]))["chart"] == 9


async def test_ready_needs_every_agent_that_is_called(client: Any, site: Site, rows: Any, app: FastAPI) -> None:
    app.state.process = rows.Agents([AgentState("qc", "quarantined")])
    answer = (await client().get("/readyz")).json()
    assert (answer["ready"], answer["agents"][0]["status"]) == (False, "quarantined")


async def test_ready_cannot_be_said_without_the_database(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_self: Any) -> Any:
        raise RetryLater

    monkeypatch.setattr(Database, "read", away)
    answer = await client().get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "retry_later")


def test_an_application_without_agents_stands_alone(site: Site) -> None:
    assert create_app(site).title == "hisbus"
