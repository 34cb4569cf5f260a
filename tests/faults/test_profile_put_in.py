"""Profiles are put in by command while a hospital sends: nothing is lost, and all processes read by the live one."""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.faults.harness import Backbone, Site, embedded, servers, site
from tests.faults.load import Load, numbered
from tests.faults.oracle import findings_are_those_of, judge

from hisbus_bus.host.registry import connectors
from hisbus_mapping import Mapping
from hisbus_simulator.his import His

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PACE = 15.0
TEXTS = ('[codes.class.words]\nA1 = "inpatient"\n', '[codes.class.words]\nA2 = "inpatient"\n')
"""Two profiles that read what the hospital sends alike."""


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.kafka, pytest.mark.postgres])])
def backbone(request: pytest.FixtureRequest, tmp_path: Path) -> Backbone:
    if request.param == "embedded":
        return embedded(tmp_path)
    return servers(request.getfixturevalue("kafka"), request.getfixturevalue("postgres_url"))


async def use(hospital: Site, file: Path) -> datetime:
    """Put a profile in as an engineer does, beside what runs; return when that was done."""
    command = (sys.executable, "-m", "hisbus_bus", "--config", str(hospital.config), "profile", "use", str(file))
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return datetime.now(UTC)


async def test_every_process_reads_by_what_was_put_in_and_nothing_is_lost(tmp_path: Path, backbone: Backbone) -> None:
    files = [tmp_path / "one.toml", tmp_path / "other.toml"]
    for file, text in zip(files, TEXTS, strict=True):
        file.write_text(text)
    own = tmp_path / "our-his.toml"
    own.write_text(TEXTS[0])
    load = Load(numbered(41, 8))
    parts = load.parts(4)[::-1]
    async with His() as his, site(tmp_path, backbone, his, f'profile = "{own}"\n') as hospital:
        (connector,) = connectors(hospital.settings)
        names = [Mapping(connector, text=text).name for text in TEXTS]
        mllp = [hospital.mllp] if backbone.embedded else [hospital.mllp, hospital.second_mllp]
        if backbone.embedded:
            await hospital.keep("up")
            await hospital.until_logged("started")
        else:
            await hospital.keep_every_step(2)
        await hospital.until_agents_have_their_place()
        used: list[datetime] = []
        async with hospital.person() as person:
            async with person.deciding():
                for turn in (1, 0, 1):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(load.feed(mllp, 6, PACE, parts.pop()))
                        used.append(await use(hospital, files[turn]))
                    assert own.read_text() == TEXTS[turn]
                    killed = next(life for life in hospital.kept() if life.name in {"translate", "up"})
                    await killed.end(signal.SIGKILL)
                await load.feed(mllp, 6, PACE, parts.pop())
            await person.settle()
            metrics = await person.metrics()
        await hospital.stop()
        query = "SELECT mapping, received FROM messages WHERE first AND mapping <> ''"
        read = [(mapping, _utc(received)) for mapping, received in hospital.rows(query)]
        last = [mapping for mapping, received in read if received > used[-1]]
        assert {mapping for mapping, _ in read} == set(names)
        assert last and set(last) == {names[1]}, "after the command ended, a message was read by what was before"
        await judge(hospital, load, least=len(load.sent), observed=hospital.restarts.total() >= 3, metrics=metrics)
        findings_are_those_of(hospital, load)


def _utc(received: datetime | str) -> datetime:
    time = datetime.fromisoformat(received) if isinstance(received, str) else received
    return time if time.tzinfo else time.replace(tzinfo=UTC)
