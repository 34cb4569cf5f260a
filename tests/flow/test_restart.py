"""Stopping, starting again, and a database that is not the log's."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hisbus.errors import ConfigError

pytestmark = pytest.mark.long

ADMISSION = (
    b"MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|%s|P|2.5||||||UNICODE UTF-8\r"
    b"EVN||20260302083000+0800\rPID|1||P1^^^HOSP^MR||Wang^X\rPV1|1|I|W3||||||||||||||||V1^^^HOSP\r"
)


async def test_a_stopped_site_goes_on_where_it_was(hospital: Any) -> None:
    async with hospital() as bus:
        await bus.send([ADMISSION % b"1"])
    async with hospital(user="again") as bus:
        await bus.idle()
        assert [message["status"] for message in await bus.everything("messages")] == ["mapped"]
        assert len((await bus.post("charts/search", {"visit": "V1"})).json()["items"]) == 1


async def test_steps_run_alone_and_hand_over_through_the_log(hospital: Any) -> None:
    async with hospital(steps=("intake", "web")) as bus:
        (ack,) = await bus.send([ADMISSION % b"1"])
        assert b"MSA|AA|1" in ack
        assert [message["status"] for message in await bus.everything("messages")] == ["stored"]
    for n, steps in enumerate(
        (("translate", "web"), ("chart", "web"), ("dispatch", "web"), ("review", "timers", "web"))
    ):
        async with hospital(steps=steps, user=f"user{n}") as bus:
            async with asyncio.timeout(30):
                while True:
                    lag = (await bus.api.get("/readyz")).json()["lag"]
                    if not any(count for name, count in lag.items() if name.split(".")[0] in steps):
                        break
                    await asyncio.sleep(0.02)
    async with hospital(user="last") as bus:
        await bus.idle()
        assert [message["status"] for message in await bus.everything("messages")] == ["mapped"]
        assert len((await bus.post("charts/search", {"visit": "V1"})).json()["items"]) == 1


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_an_empty_database_beside_a_used_log_is_refused(tmp_path: Path, hospital: Any) -> None:
    async with hospital() as bus:
        await bus.send([ADMISSION % b"1"])
        await bus.idle()
    for path in tmp_path.glob("hisbus.db*"):
        await asyncio.to_thread(path.unlink)
    with pytest.raises(ConfigError, match="Restore"):
        async with hospital():
            pass
