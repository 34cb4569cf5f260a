"""Where a step stands: the offset committed in the log, and the one stored beside what it wrote. The lower counts.

The log's is lower after a crash before the append, the database's after a restore from a backup. A step with tables has
a row for each of its partitions before the first record of it, so that every backup says how far it is. Where there is
no row, the database knows nothing of that partition, however far the log's offset is: the step stands at its beginning.
"""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import select

from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import Rows, write
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Name

BEGINNING = 0
"""The first offset of every partition, kept or not."""


def position(group: str, topic: Name, offsets: Mapping[int, int]) -> Rows:
    """Return a step's position, to be written beside what it writes; it never goes backwards."""
    rows = [
        {"group": group, "topic": topic, "partition": partition, "next": next}
        for partition, next in sorted(offsets.items())
    ]
    return Rows(tables.offsets, rows, rising="next")


async def stored(site: Site, topic: Name, group: str) -> dict[int, int]:
    """Return a group's position by what is stored beside what it wrote.

    Raises:
        RetryLater: the database is away.
    """
    at = tables.offsets.c
    query = select(at.partition, at.next).where(at.group == group, at.topic == topic)
    async with site.database.read() as connection:
        return {row.partition: row.next for row in await connection.execute(query)}


async def taken(site: Site, topic: Name, group: str, partitions: Iterable[int]) -> dict[int, int]:
    """Return where the database stands in these partitions, and give those a row that have none.

    To be awaited before the log's first offset of the group is committed: one that is there without a row means that
    the database was restored.

    Raises:
        RetryLater: log or database is away.
    """
    known = await stored(site, topic, group)
    absent = set(partitions) - known.keys()
    if absent:
        committed, begins = await site.log.committed(topic, group), await site.log.begins(topic)
        first = {partition: BEGINNING if partition in committed else begins[partition] for partition in absent}
        async with site.database.write() as connection:
            await write(connection, position(group, topic, first))
        known |= first
    return {partition: known[partition] for partition in partitions}


async def reached(site: Site, topic: Name, group: str, partitions: Collection[int], *, stores: bool) -> dict[int, int]:
    """Return below which offset everything is done, in the log and, where the group stores its position, there, too.

    Raises:
        RetryLater: log or database is away.
    """
    committed = await site.log.committed(topic, group)
    begins = {} if set(partitions) <= committed.keys() else await site.log.begins(topic)
    done = {partition: committed.get(partition, begins.get(partition, BEGINNING)) for partition in partitions}
    if stores:
        known = dict.fromkeys(committed, BEGINNING) | await stored(site, topic, group)
        done = {partition: min(offset, known.get(partition, offset)) for partition, offset in done.items()}
    return done


async def lag(site: Site, topic: Name, group: str, *, stores: bool, ends: Mapping[int, int] | None = None) -> int:
    """Return how many records of a topic wait for a group or are being worked on, also again after a restore.

    Args:
        site: whose.
        topic: what the group reads.
        group: the group.
        stores: whether the database keeps its position, too.
        ends: the topic's ends, where they were read before.

    Raises:
        RetryLater: the log or the database is away.
    """
    ends = await site.log.ends(topic) if ends is None else ends
    done = await reached(site, topic, group, ends.keys(), stores=stores)
    return sum(max(0, end - done[partition]) for partition, end in ends.items())
