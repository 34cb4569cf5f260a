"""The database is restored from an older backup while Kafka is ahead of it."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.faults.harness import Person, Site, servers, site
from tests.faults.load import Load, numbered
from tests.faults.oracle import findings_are_those_of, judge

from hisbus_bus.kernel.topics import Name
from hisbus_servers.postgres import Postgres, binaries
from hisbus_simulator.his import His

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(1800)]

PARTITIONS = 8
SECRET = "5eed" * 16
"""Decides in which partitions records lie: with this one, some that are empty at the backup are used after it."""


async def program(name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's own programs."""
    folder = binaries()
    assert folder is not None
    command = [str(folder / name), *arguments]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def writebacks(person: Person, **wanted: str) -> list[dict[str, Any]]:
    answer = await person.ask("GET", "/api/v1/writebacks", params={"limit": 500, **wanted})
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def used(hospital: Site) -> set[tuple[str, int]]:
    """Return the partitions that hold records."""
    async with hospital.reader() as log:
        topics: tuple[Name, ...] = ("raw", "events", "assessments", "decisions")
        return {(topic, at) for topic in topics for at, end in (await log.ends(topic)).items() if end}


async def test_a_restored_database_catches_up_and_sends_nothing_twice(
    tmp_path: Path, kafka: str, own_postgres: Postgres
) -> None:
    load, database = Load(numbered(31, 8)), own_postgres
    (first, second), backup = load.parts(2), tmp_path / "backup"
    await asyncio.to_thread(database.create, "fault")
    url = database.url("fault")
    backbone = servers(kafka, url, partitions=PARTITIONS)
    async with His() as his, site(tmp_path, backbone, his, secret=SECRET) as hospital, hospital.person() as person:
        life = await hospital.start("up")
        await load.feed([hospital.mllp], 6, part=first)
        await person.settle()
        await program("pg_dump", "--format=custom", f"--file={backup}", url)
        before, known = set(his.effects), await used(hospital)

        await load.feed([hospital.mllp], 6, part=second)
        await person.settle()
        after = set(his.effects) - before
        assert before and after, "nothing was decided before or after the backup"
        assert {topic for topic, _ in await used(hospital) - known} >= {"assessments", "decisions"}, "another secret"
        assert await life.end() == 0

        await asyncio.to_thread(database.drop, "fault")
        await asyncio.to_thread(database.create, "fault")
        await program("pg_restore", f"--dbname={url}", str(backup))
        assert len(hospital.rows("SELECT id FROM messages WHERE first")) == first.stop
        life = await hospital.start("up")
        await person.until_idle()
        undecided = await writebacks(person, status="undecided")
        assert {item["id"] for item in undecided} == after, "what was sent after the backup is for a person to answer"
        assert {item["code"] for item in undecided} == {"restored"}
        assert his.effects.total() == len(before) + len(after)
        assert await person.settle() == len(after)
        metrics = await person.metrics()
        await hospital.stop()
        taken = hospital.rows("SELECT object FROM audit WHERE action = 'decision.taken_over'")
        assert len(taken) == len(after), "the audit names each decision that the backup did not know"
        await judge(hospital, load, least=len(load.sent), observed=bool(taken), metrics=metrics, restored=True)
        findings_are_those_of(hospital, load)
