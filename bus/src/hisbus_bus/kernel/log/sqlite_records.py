"""What the embedded log's file says: offsets and records, read by its writer, its members and commands."""

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.topics import MIB, Name

FETCH_BYTES = 16 * MIB
"""A fetch ends after the record that passes this."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(stored: int) -> datetime:
    """Return when a record was stored, of its column."""
    return EPOCH + timedelta(microseconds=stored)


def next_offset(connection: sqlite3.Connection, topic: str) -> int:
    """Return the offset after a topic's last record."""
    row = connection.execute("SELECT next FROM ends WHERE topic = ?", (topic,)).fetchone()
    return row[0] if row else 0


def committed_offset(connection: sqlite3.Connection, topic: str, group: str) -> Mapping[int, int]:
    """Return a group's committed offset; nothing where there is none."""
    select = 'SELECT next FROM commits WHERE topic = ? AND "group" = ?'
    row = connection.execute(select, (topic, group)).fetchone()
    return {} if row is None else {0: row[0]}


def first_offset(connection: sqlite3.Connection, topic: str) -> int:
    """Return the offset of a topic's first record that is still kept."""
    # One statement sees one state: what is appended between two would be skipped by a group that begins here.
    first, next = "SELECT min(offset) FROM records WHERE topic = ?", "SELECT next FROM ends WHERE topic = ?"
    found = connection.execute(f"SELECT coalesce(({first}), ({next}), 0)", (topic, topic)).fetchone()
    return int(found[0])


def read_records(reader: sqlite3.Connection, topic: Name, offset: int, limit: int) -> list[Record]:
    """Return up to ``limit`` records from an offset on, fewer where they are large."""
    select = (
        "SELECT offset, time, key, headers, value FROM records WHERE topic = ? AND offset >= ? ORDER BY offset LIMIT ?"
    )
    records: list[Record] = []
    size = 0
    rows = reader.execute(select, (topic, offset, limit))
    for at, stored, key, headers, value in rows:
        records.append(Record(topic, 0, at, key, value, json.loads(headers), time_of(stored)))
        size += len(value)
        if size >= FETCH_BYTES:
            break
    rows.close()
    return records
