"""What every log promises, as a class to inherit; and what the embedded one promises besides."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hisbus.errors import BadMessage, ConfigError, RetryLater
from hisbus_bus.kernel.log import Log, NewRecord, Record, Subscription
from hisbus_bus.kernel.log.kafka import KafkaLog
from hisbus_bus.kernel.log.kafka_cluster import Cluster
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_bus.kernel.settings import LogSettings
from hisbus_bus.kernel.topics import TOPICS

OpenLog = Callable[[], Awaitable[Log]]


def new(number: int, *, key: str = "k", topic: Any = "events", value: bytes | None = None) -> NewRecord:
    return NewRecord(topic, key, str(number).encode() if value is None else value, {"number": str(number), "名": "值"})


def numbers(records: Iterable[Record | NewRecord]) -> list[int]:
    return [int(record.headers["number"]) for record in records]


class Group:
    """Joins a group and remembers what it was told."""

    def __init__(self, known: Mapping[int, int] | None = None) -> None:
        self.known = known or {}
        self.told: list[tuple[str, set[int]]] = []

    async def assigned(self, partitions: Iterable[int]) -> Mapping[int, int]:
        self.told.append(("assigned", set(partitions)))
        return self.known

    async def revoked(self, partitions: Iterable[int]) -> None:
        self.told.append(("revoked", set(partitions)))

    async def join(self, log: Log, name: str = "g", *, topic: Any = "events", start: str = "begin") -> Subscription:
        return await log.subscribe(topic, name, assigned=self.assigned, revoked=self.revoked, start=start)


async def take(subscription: Subscription, count: int) -> list[Record]:
    """Fetch until there are ``count`` records."""
    records: list[Record] = []
    async with asyncio.timeout(10):
        while len(records) < count:
            records += await subscription.fetch(count - len(records), 5)
    return records


def after(records: Sequence[Record]) -> dict[int, int]:
    """Return what to commit once all of these are done."""
    return {record.partition: record.offset + 1 for record in records}


def run(script: str, *args: str) -> str:
    """Run a Python script in a process of its own and return what it printed."""
    process = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    return process.stdout


class LogContract:
    """The promises of a log. Inherit it and give ``open_log``: each call opens the same log again."""

    @pytest.fixture
    async def log(self, open_log: OpenLog) -> AsyncIterator[Log]:
        log = await open_log()
        yield log
        await log.close()

    async def test_a_record_comes_back_as_it_was_appended(self, log: Log) -> None:
        before = datetime.now(UTC)
        await log.append([NewRecord("raw", "key", b"\x00\xff|", {"ce_id": "1", "name": "张"})])
        [record] = await take(await Group().join(log, topic="raw"), 1)
        assert (record.topic, record.key, record.value) == ("raw", "key", b"\x00\xff|")
        assert dict(record.headers) == {"ce_id": "1", "name": "张"}
        assert before - timedelta(seconds=5) < record.time < datetime.now(UTC) + timedelta(seconds=5)

    async def test_the_records_of_a_key_come_in_the_order_of_their_appends(self, log: Log) -> None:
        for start in range(0, 30, 3):
            await log.append([new(start), new(start + 1), new(start + 2)])
        assert numbers(await take(await Group().join(log), 30)) == list(range(30))

    async def test_concurrent_appends_are_all_kept_and_offsets_rise_by_one(self, log: Log) -> None:
        await asyncio.gather(*(log.append([new(n), new(n + 100)]) for n in range(50)))
        records = await take(await Group().join(log), 100)
        assert sorted(numbers(records)) == sorted([*range(50), *range(100, 150)])
        assert [record.offset for record in records] == list(range(100))
        assert await log.ends("events") == {records[0].partition: 100} | {
            partition: 0 for partition in await log.ends("events") if partition != records[0].partition
        }

    async def test_an_empty_append_is_nothing(self, log: Log) -> None:
        await log.append([])
        assert set((await log.ends("events")).values()) == {0}

    async def test_topics_do_not_mix(self, log: Log) -> None:
        await log.append([new(1, topic="raw"), new(2, topic="events"), new(3, topic="raw")])
        assert numbers(await take(await Group().join(log, topic="raw"), 2)) == [1, 3]
        assert numbers(await take(await Group().join(log, topic="events"), 1)) == [2]

    async def test_a_waiting_fetch_is_woken_by_an_append(self, log: Log) -> None:
        subscription = await Group().join(log)
        fetch = asyncio.create_task(subscription.fetch(10, 60))
        await asyncio.sleep(0)
        await log.append([new(1)])
        assert numbers(await asyncio.wait_for(fetch, 10)) == [1]

    async def test_a_fetch_gives_up_after_its_timeout(self, log: Log) -> None:
        assert await (await Group().join(log)).fetch(10, 0.01) == []

    async def test_a_fetch_returns_no_more_than_asked(self, log: Log) -> None:
        await log.append([new(n) for n in range(5)])
        subscription = await Group().join(log)
        assert len(await subscription.fetch(2, 5)) <= 2

    async def test_every_group_gets_every_record(self, log: Log) -> None:
        await log.append([new(1), new(2)])
        assert numbers(await take(await Group().join(log, "a"), 2)) == [1, 2]
        assert numbers(await take(await Group().join(log, "b"), 2)) == [1, 2]

    async def test_what_was_not_committed_is_delivered_again(self, log: Log, open_log: OpenLog) -> None:
        await log.append([new(n) for n in range(5)])
        subscription = await Group().join(log)
        records = await take(subscription, 5)
        await subscription.commit(after(records[:2]))
        await log.close()
        reopened = await open_log()
        assert numbers(await take(await Group().join(reopened), 3)) == [2, 3, 4]
        await reopened.close()

    async def test_a_commit_is_seen_and_never_goes_backwards(self, log: Log) -> None:
        await log.append([new(n) for n in range(5)])
        subscription = await Group().join(log)
        records = await take(subscription, 5)
        await subscription.commit(after(records))
        await subscription.commit(after(records[:1]))
        assert (await log.committed("events", "g"))[records[0].partition] == 5

    async def test_a_group_without_position_starts_where_it_says(self, log: Log) -> None:
        await log.append([new(1)])
        subscription = await Group().join(log, start="end")
        await log.append([new(2)])
        assert numbers(await take(subscription, 1)) == [2]

    async def test_a_group_that_started_at_the_end_loses_nothing_by_a_crash_before_its_first_commit(
        self, log: Log, open_log: OpenLog
    ) -> None:
        await log.append([new(1)])
        await take_nothing(await Group().join(log, start="end"))
        await log.append([new(2)])
        await log.close()
        reopened = await open_log()
        assert numbers(await take(await Group().join(reopened, start="end"), 1)) == [2]
        await reopened.close()

    async def test_assigned_is_called_before_the_first_record(self, log: Log) -> None:
        await log.append([new(1)])
        group = Group()
        [record] = await take(await group.join(log), 1)
        assert group.told[0][0] == "assigned"
        assert record.partition in group.told[0][1]

    async def test_assigned_is_called_before_the_groups_first_offset_is_committed(self, log: Log) -> None:
        """A database that knows no partition of a group that has an offset was restored: so it must know it first."""
        found: list[Mapping[int, int]] = []

        class Looking(Group):
            async def assigned(self, partitions: Iterable[int]) -> Mapping[int, int]:
                found.append(await log.committed("events", "g"))
                return await super().assigned(partitions)

        await log.append([new(1)])
        await take(await Looking().join(log), 1)
        assert found[0] == {}

    async def test_a_group_starts_at_the_lower_of_its_own_and_the_committed_position(self, log: Log) -> None:
        await log.append([new(n) for n in range(10)])
        first = await Group().join(log)
        records = await take(first, 10)
        partition = records[0].partition
        await first.commit(after(records[:6]))
        await first.close()
        behind = await Group({partition: 3}).join(log)
        assert numbers(await take(behind, 1)) == [3]
        await behind.close()
        ahead = await Group({partition: 9}).join(log)
        assert numbers(await take(ahead, 1)) == [6]

    async def test_a_position_of_a_group_that_never_committed_skips_nothing(self, log: Log) -> None:
        await log.append([new(n) for n in range(3)])
        assert numbers(await take(await Group(dict.fromkeys(await log.ends("events"), 2)).join(log), 3)) == [0, 1, 2]

    async def test_a_paused_subscription_fetches_nothing_until_it_is_resumed(self, log: Log) -> None:
        subscription = await Group().join(log)
        subscription.pause()
        await log.append([new(1)])
        assert await subscription.fetch(10, 0.05) == []
        subscription.resume()
        assert numbers(await take(subscription, 1)) == [1]

    async def test_resuming_wakes_a_waiting_fetch(self, log: Log) -> None:
        await log.append([new(1)])
        subscription = await Group().join(log)
        subscription.pause()
        fetch = asyncio.create_task(subscription.fetch(10, 60))
        await asyncio.sleep(0)
        subscription.resume()
        assert numbers(await asyncio.wait_for(fetch, 10)) == [1]

    async def test_the_next_member_goes_on_from_what_the_last_committed(self, log: Log) -> None:
        await log.append([new(n) for n in range(4)])
        first, heir = Group(), Group()
        subscription = await first.join(log)
        records = await take(subscription, 4)
        await subscription.commit(after(records[:3]))
        await subscription.close()
        assert numbers(await take(await heir.join(log), 1)) == [3]

    async def test_read_finds_a_record_outside_of_any_group(self, log: Log) -> None:
        await log.append([new(n) for n in range(4)])
        [record] = await take(await Group().join(log), 1)
        assert numbers(await log.read("events", record.partition, 1, 2)) == [1, 2]
        assert await log.read("events", record.partition, 99) == []

    async def test_the_log_begins_with_its_first_record(self, log: Log) -> None:
        await log.append([new(1)])
        assert set((await log.begins("events")).values()) == {0}

    async def test_a_group_that_is_not_known_has_committed_nothing(self, log: Log) -> None:
        assert await log.committed("events", "nobody") == {}

    async def test_a_record_larger_than_its_topic_allows_is_refused(self, log: Log) -> None:
        with pytest.raises(BadMessage) as refused:
            await log.append([new(1, topic="charted", value=bytes(TOPICS["charted"].max_bytes + 1))])
        assert refused.value.code == "too_large"

    async def test_a_record_as_large_as_its_topic_allows_is_stored(self, log: Log) -> None:
        largest = bytes(TOPICS["charted"].max_bytes)
        await log.append([new(1, topic="charted", value=largest)])
        assert (await take(await Group().join(log, topic="charted"), 1))[0].value == largest

    async def test_a_closed_log_takes_nothing_and_says_to_come_again(self, log: Log) -> None:
        await log.close()
        with pytest.raises(RetryLater):
            await log.append([new(1)])

    async def test_a_log_that_works_has_nothing_to_complain_of(self, log: Log) -> None:
        assert await log.check() == []


async def take_nothing(subscription: Subscription) -> None:
    assert await subscription.fetch(1, 0.01) == []


class TestEmbeddedLog(LogContract):
    """The embedded log keeps the promises."""

    @pytest.fixture
    def open_log(self, tmp_path: Path) -> OpenLog:
        return lambda: SqliteLog.open(tmp_path / "log.db")


@pytest.mark.kafka
class TestKafkaLog(LogContract):
    """So does a real broker."""

    @pytest.fixture
    async def open_log(self, kafka: str) -> OpenLog:
        settings = LogSettings(url=f"kafka://{kafka}", durability="single-broker", partitions=2)
        site = f"contract-{uuid4().hex[:8]}"
        await Cluster(settings, site).apply()
        return lambda: KafkaLog.open(settings, site)


class TestSqliteLog:
    """What the embedded log promises besides."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "deep" / "log.db"

    @pytest.fixture
    async def log(self, path: Path) -> AsyncIterator[SqliteLog]:
        log = await SqliteLog.open(path)
        yield log
        await log.close()

    async def test_the_second_member_of_a_group_gets_nothing_before_the_first_closes(self, log: SqliteLog) -> None:
        await log.append([new(n) for n in range(4)])
        first, second = Group(), Group()
        owner, heir = await first.join(log), await second.join(log)
        await owner.commit(after(await take(owner, 2)))
        assert await heir.fetch(1, 0.01) == []
        assert second.told == []
        waiting = asyncio.create_task(heir.fetch(10, 60))
        await asyncio.sleep(0)
        await owner.close()
        assert numbers(await asyncio.wait_for(waiting, 10)) == [2, 3]
        assert second.told == [("assigned", {0})]

    async def test_only_its_owner_may_read_the_file(self, log: SqliteLog, path: Path) -> None:
        await log.append([new(1)])
        assert {file.name: oct(file.stat().st_mode & 0o077) for file in path.parent.glob("log.db*")}.items() >= {
            "log.db": "0o0", "log.db-wal": "0o0", "log.db-shm": "0o0",
        }.items()  # fmt: skip

    async def test_an_append_is_forced_to_the_disk_before_it_is_confirmed(self, log: SqliteLog) -> None:
        """As the connection that writes tells it: in WAL mode only ``synchronous=FULL`` syncs with every commit."""

        def modes(writer: sqlite3.Connection, names: list[str]) -> list[Any]:
            return [writer.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

        assert await log._writer.submit(modes, "journal_mode") == "wal"
        assert await log._writer.submit(modes, "synchronous") == 2

    async def test_a_second_process_is_refused_with_the_pid_of_the_first(self, log: SqliteLog, path: Path) -> None:
        script = f"""
import asyncio
from pathlib import Path
from hisbus.errors import ConfigError
from hisbus_bus.kernel.log.sqlite import SqliteLog
try:
    asyncio.run(SqliteLog.open(Path({str(path)!r})))
except ConfigError as error:
    print(error)
"""
        said = await asyncio.to_thread(run, script)
        assert f"in use by process {os.getpid()}." in said

    async def test_a_log_can_be_opened_again_once_it_is_closed(self, log: SqliteLog, path: Path) -> None:
        with pytest.raises(ConfigError):
            await SqliteLog.open(path)
        await log.close()
        await (await SqliteLog.open(path)).close()

    async def test_a_log_that_cannot_be_made_is_the_operators_to_mend(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError):
            await SqliteLog.open(tmp_path / "file" / "log.db")

    async def test_a_log_of_a_newer_version_is_refused(self, path: Path) -> None:
        await (await SqliteLog.open(path)).close()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(ConfigError):
            await SqliteLog.open(path)

    async def test_a_file_that_is_no_log_is_an_outage_and_not_overwritten(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(b"something else" * 1000)
        with pytest.raises(RetryLater):
            await SqliteLog.open(path)
        assert path.read_bytes() == b"something else" * 1000

    async def test_commits_are_kept_when_the_log_is_closed_at_once(self, log: SqliteLog, path: Path) -> None:
        await log.append([new(n) for n in range(3)])
        subscription = await Group().join(log)
        commit = asyncio.ensure_future(subscription.commit(after(await take(subscription, 3))))
        await asyncio.sleep(0)
        await log.close()
        await commit
        reopened = await SqliteLog.open(path)
        assert await reopened.committed("events", "g") == {0: 3}
        await reopened.close()

    async def test_a_full_log_refuses_whole_appends_and_recovers_when_there_is_room(self, path: Path) -> None:
        log = await SqliteLog.open(path, max_mb=1)
        stored = 0
        with pytest.raises(RetryLater) as full:
            while True:
                await log.append([new(stored, value=bytes(50_000)), new(stored + 1, value=bytes(50_000))])
                stored += 2
        assert full.value.code == "log_full"
        assert await log.ends("events") == {0: stored}
        assert len(await log.read("events", 0, 0, 1000)) == stored > 0
        with pytest.raises(RetryLater):
            await log.append([new(0, value=bytes(900_000))])
        await log.expire(now=datetime.now(UTC) + timedelta(days=31))
        await log.append([new(stored, value=bytes(50_000))])
        assert numbers(await log.read("events", 0, stored)) == [stored]
        await log.close()

    async def test_an_append_that_does_not_fit_fails_no_other_of_its_group(self, path: Path) -> None:
        log = await SqliteLog.open(path, max_mb=1)
        outcomes = await asyncio.gather(
            log.append([new(1)]), log.append([new(2, value=bytes(2_000_000))]), log.append([new(3)]),
            return_exceptions=True,
        )  # fmt: skip
        assert [getattr(outcome, "code", outcome) for outcome in outcomes] == [None, "log_full", None]
        assert numbers(await log.read("events", 0, 0, 10)) == [1, 3]
        await log.close()

    async def test_retention_deletes_what_is_old_and_done_by_every_group(self, log: SqliteLog) -> None:
        await log.append([new(n) for n in range(1200)])
        for name, done in (("a", 1100), ("b", 700)):
            subscription = await Group().join(log, name)
            await subscription.commit({0: done})
        assert await log.expire() == 0
        later = datetime.now(UTC) + timedelta(days=31)
        assert await log.expire(now=later) == 700
        assert await log.begins("events") == {0: 700}
        assert numbers(await log.read("events", 0, 0, 1)) == [700]
        await subscription.commit({0: 1200})
        assert await log.expire(now=later) == 400
        await log.append([new(1200)])
        assert await log.ends("events") == {0: 1201}

    async def test_a_log_that_lost_its_old_records_counts_on(self, log: SqliteLog, path: Path) -> None:
        await log.append([new(1), new(2)])
        assert await log.expire(now=datetime.now(UTC) + timedelta(days=31)) == 2
        await log.close()
        reopened = await SqliteLog.open(path)
        assert (await reopened.begins("events"), await reopened.ends("events")) == ({0: 2}, {0: 2})
        await reopened.append([new(3)])
        assert (await take(await Group().join(reopened), 1))[0].offset == 2
        await reopened.close()

    async def test_a_position_that_is_no_longer_kept_stops_with_an_alarm(self, log: SqliteLog) -> None:
        await log.append([new(n) for n in range(3)])
        subscription = await Group().join(log)
        await subscription.commit({0: 2})
        await subscription.close()
        await log.expire(now=datetime.now(UTC) + timedelta(days=31))
        with pytest.raises(ConfigError, match="offset 1"):
            await Group({0: 1}).join(log)
        assert numbers(await take(await Group().join(log), 1)) == [2]

    async def test_a_fetch_ends_before_it_holds_too_much(self, log: SqliteLog) -> None:
        for n in range(4):
            await log.append([new(n, topic="raw", value=bytes(10_000_000))])
        subscription = await Group().join(log, topic="raw")
        assert numbers(await subscription.fetch(100, 5)) == [0, 1]

    async def test_an_append_that_nobody_waits_for_any_more_is_not_half_there(self, log: SqliteLog) -> None:
        given_up = asyncio.create_task(log.append([new(1), new(2)]))
        await asyncio.sleep(0)
        given_up.cancel()
        await log.append([new(3)])
        assert numbers(await log.read("events", 0, 0, 10)) in ([3], [1, 2, 3])

    async def test_an_append_that_takes_too_long_is_given_up(self, path: Path) -> None:
        log = await SqliteLog.open(path, append_deadline_s=0.05)
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(RetryLater) as late:
            await log.append([new(1)])
        assert late.value.code == "log"
        blocker.execute("COMMIT")
        blocker.close()
        await log.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.log.sqlite import SqliteLog

async def one(log, name):
    for n in range(100000):
        pair = [NewRecord("events", name, b"x" * 500, {"number": str(n), "half": half}) for half in "ab"]
        await log.append(pair)
        print(name, n, flush=True)

async def main():
    log = await SqliteLog.open(Path(sys.argv[1]))
    await asyncio.gather(*(one(log, name) for name in "stuvwxyz"))

asyncio.run(main())
"""


def confirmed_before_a_kill(path: Path, count: int) -> list[list[str]]:
    """Start the writer, kill it after ``count`` confirmations, and return them all: key and number."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(count)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    return [line.split() for line in lines if line.endswith("\n")]


@pytest.mark.parametrize("count", [1, 40, 333])
async def test_what_an_append_confirmed_survives_a_kill(tmp_path: Path, count: int) -> None:
    path = tmp_path / "log.db"
    confirmed = await asyncio.to_thread(confirmed_before_a_kill, path, count)
    assert len(confirmed) >= count
    log = await SqliteLog.open(path)
    stored = await log.read("events", 0, 0, 1_000_000)
    pairs = [(record.key, record.headers["number"], record.headers["half"]) for record in stored]
    assert {(name, number, half) for name, number in confirmed for half in "ab"} <= set(pairs)
    assert [half for _, _, half in pairs] == ["a", "b"] * (len(pairs) // 2)
    assert len(pairs) == len(set(pairs))
    assert [record.offset for record in stored] == list(range(len(stored)))
    await log.append([new(1)])
    await log.close()


DISK = """
import asyncio, resource, sys
from pathlib import Path
from hisbus.errors import RetryLater
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.log.sqlite import SqliteLog

def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main():
    log = await SqliteLog.open(Path(sys.argv[1]))
    pair = [NewRecord("events", "k", b"x" * 5_000, {"half": half}) for half in "ab"]
    room(1_500_000)
    stored = refused = 0
    while refused < 5:  # the first refusals make room in the write-ahead log
        try:
            await log.append(pair)
            stored, refused = stored + 2, 0
        except RetryLater as error:
            assert error.code in {"log", "log_full"}, error.code
            refused += 1
    assert stored > 0
    assert await log.check() != []
    assert await log.ends("events") == {0: stored}
    assert len(await log.read("events", 0, 0, 1000)) == stored
    room(resource.RLIM_INFINITY)
    await log.append(pair)
    assert await log.check() == []
    records = await log.read("events", 0, 0, 1000)
    assert [record.headers["half"] for record in records] == ["a", "b"] * (stored // 2 + 1)
    await log.close()

asyncio.run(main())
"""


def test_a_full_disk_refuses_appends_and_the_log_recovers_by_itself(tmp_path: Path) -> None:
    run(DISK, str(tmp_path / "log.db"))
