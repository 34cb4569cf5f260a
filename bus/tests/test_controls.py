"""What an operator asks of a part of the site, and how the parts of a process obey."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import select

from hisbus.errors import RetryLater
from hisbus_bus.kernel import controls, signals, tables
from hisbus_bus.kernel.controls import Part, Wanted, Watcher
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.signals import Signals

HIS = {"name": "his", "type": "hl7v2"}


@pytest.fixture
def said(database: Database) -> Signals:
    return Signals(database)


@pytest.fixture
def watcher(database: Database, said: Signals) -> Watcher:
    return Watcher(database, said)


async def ask(database: Database, target: str, wanted: Wanted, reason: str = "") -> None:
    async with database.write() as connection:
        await controls.ask(connection, target, wanted, who="user:ann", reason=reason)


async def shown(database: Database) -> dict[str, tuple[str, str]]:
    async with database.read() as connection:
        return {one.target: (one.wanted, one.now) for one in await controls.read(connection)}


async def test_what_is_asked_is_kept_once_a_target_and_audited_each_time(database: Database) -> None:
    await ask(database, "step:chart", "pause", "a new disk")
    await ask(database, "step:chart", "run")
    async with database.read() as connection:
        (control,) = await controls.read(connection)
        audited = (await connection.execute(select(tables.audit).order_by(tables.audit.c.id))).all()
    assert (control.target, control.wanted, control.who, control.reason) == ("step:chart", "run", "user:ann", "")
    assert [(row.actor, row.action, row.object) for row in audited] == [
        ("user:ann", "control.pause", "step:chart"),
        ("user:ann", "control.run", "step:chart"),
    ]
    assert json.loads(audited[0].detail) == {"reason": "a new disk"}


@pytest.mark.parametrize("target", ["step:chart", "step:intake", "connector:his", "agent:qc", "agent:vendor-1.x"])
def test_a_part_of_the_site_may_be_asked(target: str) -> None:
    controls.check(Settings(site="test", connectors=[HIS]), target)


@pytest.mark.parametrize(
    "target, hint",
    [
        ("chart", "step:NAME"),
        ("agent:", "step:NAME"),
        ("plugin:qc", "step:NAME"),
        ("agent:a b", "step:NAME"),
        ("step:charts", "Known: intake, translate, chart"),
        ("connector:lis", "Known: his"),
    ],
)
def test_what_the_site_does_not_have_is_refused_with_what_it_has(target: str, hint: str) -> None:
    with pytest.raises(controls.UnknownTarget, match=hint):
        controls.check(Settings(site="test", connectors=[HIS]), target)


async def test_a_part_obeys_the_strictest_of_its_targets_and_is_woken_when_that_changes(
    database: Database, watcher: Watcher
) -> None:
    part = watcher.part("agent:qc", "step:dispatch")
    woken: list[Wanted] = []
    part.attach(lambda: woken.append(part.wanted))
    for target, wanted in (("agent:qc", "drain"), ("step:dispatch", "pause"), ("agent:coding", "pause")):
        await ask(database, target, wanted)
        await watcher.look()
    await ask(database, "step:dispatch", "run")
    await watcher.look()
    assert woken == ["drain", "pause", "drain"]
    assert not part.takes and part.starts
    late = watcher.part("agent:coding", "step:dispatch")
    assert late.wanted == "pause", "a part that comes later knows it from its first moment"


async def test_who_only_writes_back_through_a_connector_does_not_say_that_it_takes_nothing_in(
    database: Database, watcher: Watcher, said: Signals
) -> None:
    way_out = watcher.part("connector:his", "step:writeback", speaks=False)
    for target in ("connector:his", "step:writeback"):
        await ask(database, target, "pause")
    await watcher.look()
    await said.write()
    assert way_out.wanted == "pause"
    assert await shown(database) == {"connector:his": ("pause", "stopping"), "step:writeback": ("pause", "paused")}


async def test_a_target_is_shown_at_rest_once_all_its_parts_are(
    database: Database, watcher: Watcher, said: Signals
) -> None:
    way_in, way_out = watcher.part("connector:his", "step:intake"), watcher.part("connector:his", "step:writeback")
    busy = True
    way_in.attach(lambda: None, lambda: not busy)
    await ask(database, "connector:his", "pause")

    async def look() -> tuple[str, str]:
        await watcher.look()
        await said.write()
        return (await shown(database))["connector:his"]

    assert await look() == ("pause", "stopping")
    busy = False
    with way_out:
        assert await look() == ("pause", "stopping")
    assert await look() == ("pause", "paused")
    await ask(database, "connector:his", "drain")
    assert (await shown(database))["connector:his"] == ("drain", "stopping")
    assert await look() == ("drain", "drained")
    await ask(database, "connector:his", "run")
    assert (await shown(database))["connector:his"] == ("run", "resuming")
    assert await look() == ("run", "running")
    async with database.read() as connection:
        held = await signals.newest(connection, 10)
    assert [(one.part, one.kind, one.detail, one.ended is None) for one in held] == [
        ("connector:his", "held", "drain", False),
        ("connector:his", "held", "pause", False),
    ]


async def test_while_the_database_is_away_the_last_that_was_known_goes_on(
    database: Database, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = watcher.part("step:chart")
    await ask(database, "step:chart", "pause")
    await watcher.look()
    asked = asyncio.Event()

    @asynccontextmanager
    async def away() -> Any:
        asked.set()
        raise RetryLater(code="database")
        yield

    monkeypatch.setattr(database, "read", away)
    monkeypatch.setattr(controls, "EVERY_S", 0.01)
    watching = asyncio.create_task(watcher.run())
    async with asyncio.timeout(10):
        for _ in range(3):
            asked.clear()
            await asked.wait()
        assert part.wanted == "pause"
        monkeypatch.undo()
        await ask(database, "step:chart", "run")
        monkeypatch.setattr(controls, "EVERY_S", 0.01)
        while not part.takes:
            await asyncio.sleep(0.01)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


async def test_beside_a_database_without_tables_everything_runs(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    watcher = Watcher(database, Signals(database))
    part = watcher.part("connector:his", "step:intake")
    watching = asyncio.create_task(watcher.run())
    await watcher.first_look()
    assert part.takes and not watching.done()
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    await database.close()


def test_a_part_of_which_nobody_asks_anything_runs() -> None:
    part = Part("step:chart")
    part.waits("database")
    part.goes_on()
    assert part.takes and part.starts and part.at_rest
