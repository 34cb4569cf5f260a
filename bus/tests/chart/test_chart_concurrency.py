"""Several chart steps at once, on a server that lets them."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from hisbus.errors import RetryLater
from hisbus_bus.kernel import tables
from hisbus_schemas import Translated


def conversation(ward: Any) -> list[Translated]:
    """Three numbers of one patient, two stays, and what comes with and without a visit number."""
    return [
        ward.adt("admitted", 1, "P3", "V1", name="A"),
        ward.document(2, "D1", who="P3"),
        ward.document(3, "D2", who="P2", stay=None),
        ward.merge(4, "P3", "P2"),
        ward.document(5, "D3", "replace", "P2", parent="D1"),
        ward.adt("discharged", 6, "P2", "V1"),
        ward.merge(7, "P2", "P1"),
        ward.merge(8, "P1", "P3"),
        ward.adt("admitted", 9, "P1", "V2", name="B"),
        ward.document(10, "D4", who="P3", stay=None),
        ward.move(11, "V2", "P4", "P1"),
        ward.document(12, "D5", who="P4", stay="V2"),
        ward.adt("discharge_cancelled", 13, "P2", "V1"),
        ward.document(14, "D6", who="P5", stay="V1"),
        ward.adt("updated", 15, "P4", "V2", name="C"),
    ]


async def deliver(ward: Any, messages: Sequence[Translated]) -> None:
    for message in messages:
        while True:
            try:
                await ward.deliver(message)
            except RetryLater:  # a deadlock: the server chose this one to go again
                continue
            break


async def forget(ward: Any) -> None:
    async with ward.site.database.write() as connection:
        for name, writer in tables.WRITER.items():
            if writer == "chart":
                await connection.execute(tables.metadata.tables[name].delete())


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_steps_that_work_at_once_make_the_same_charts(ward: Any) -> None:
    messages = conversation(ward)
    await deliver(ward, messages)
    expected = await ward.said(("V1", "V2"))
    shuffle = random.Random(7)
    for _ in range(4):
        await forget(ward)
        shuffle.shuffle(messages)
        await asyncio.gather(*(deliver(ward, messages[worker::4]) for worker in range(4)))
        assert await ward.said(("V1", "V2")) == expected
