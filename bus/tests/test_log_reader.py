"""The embedded log, read beside the process that holds it."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hisbus.errors import ConfigError
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_bus.kernel.log.sqlite_reader import SqliteReader
from hisbus_bus.kernel.log.sqlite_records import first_offset


async def test_what_another_holds_is_read_as_it_grows_and_never_written(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log #1.db")
    reader = SqliteReader(tmp_path / "log #1.db")
    assert (await reader.ends("raw"), await reader.begins("raw"), await reader.read("raw", 0, 0)) == (
        {0: 0},
        {0: 0},
        [],
    )
    await log.append([NewRecord("raw", "k", value) for value in (b"1", b"2", b"3")])
    await log.place("raw", "g", {0: 2})
    assert [record.value for record in await reader.read("raw", 0, 1, 5)] == [b"2", b"3"]
    assert await reader.read("raw", 1, 0) == []
    assert (await reader.ends("raw"), await reader.committed("raw", "g")) == ({0: 3}, {0: 2})
    assert (await reader.committed("raw", "nobody"), await reader.check()) == ({}, [])
    for refused in (reader.append([]), reader.place("raw", "g", {0: 3}), reader.subscribe("raw", "g")):
        with pytest.raises(ConfigError, match="to be read"):
            await refused
    await log.close()
    assert await reader.ends("raw") == {0: 3}, "also when nobody holds it any more"
    await reader.close()


def test_a_log_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing was stored yet"):
        SqliteReader(tmp_path / "log.db")
    assert not (tmp_path / "log.db").exists()


async def test_a_record_that_comes_while_a_topic_s_beginning_is_read_is_not_skipped(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    writer = sqlite3.connect(tmp_path / "log.db", isolation_level=None)

    class Meanwhile:
        """A connection between whose statements somebody appends."""

        def __init__(self) -> None:
            self.reader = sqlite3.connect(tmp_path / "log.db", isolation_level=None)

        def execute(self, *statement: Any) -> Any:
            found = self.reader.execute(*statement).fetchall()
            row = (tmp_path.name, "k", "{}", b"1")
            writer.execute("INSERT INTO records SELECT ?, count(*), 0, ?, ?, ? FROM records", row)
            writer.execute("INSERT OR REPLACE INTO ends SELECT ?, count(*) FROM records", row[:1])
            return type("Found", (), {"fetchone": lambda _: found[0] if found else None})()

    busy: Any = Meanwhile()
    assert first_offset(busy, tmp_path.name) == 0
    assert first_offset(busy, tmp_path.name) == 0
    busy.reader.close()
    writer.close()
    await log.close()
