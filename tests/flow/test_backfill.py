"""Messages of before the site was connected are read in: charts have them, and no agent is called for them."""

from typing import Any

import pytest
from sqlalchemy import func, select

from hisbus_bus.command.replay import replay_messages, replay_stays
from hisbus_bus.kernel import tables

HEAD = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|{time}+0800||{type}|{id}|P|2.5||||||UNICODE UTF-8\rEVN||{time}+0800\r"
STAY = "PID|1||P{visit}^^^HOSP^MR||Wang^X\rPV1|1|I|W3||||||||||||||||{visit}^^^HOSP\r"
HOT = "OBR|1||L{id}^LIS|V^Vital signs|||{time}+0800|||||||||||||||{time}+0800|||F\rOBX|1|NM|8310-5^T^LN||63|Cel|||||F\r"


def message(visit: str, id: str, time: str, type: str, rest: str = "") -> bytes:
    about = {"visit": visit, "id": id, "time": time, "type": type}
    return (HEAD + STAY + rest).format(**about).encode()


ADMISSION = message("OLD", "1", "20050302083000", "ADT^A01")
WHOLE = [
    message("WHOLE", "2", "20050402083000", "ADT^A01"),
    message("WHOLE", "3", "20050403083000", "ORU^R01", HOT),
    message("WHOLE", "4", "20050409083000", "ADT^A03"),
]


@pytest.fixture
def backbone(embedded: dict[str, Any]) -> dict[str, Any]:
    """What is read in later has nothing to do with the log."""
    return embedded


async def findings(bus: Any, **filters: str) -> list[tuple[str, str, bool]]:
    found = await bus.everything("proposals", status="open", **filters)
    return sorted((one["visit"], one["rule"], one["due"] is not None) for one in found)


async def stay(bus: Any, visit: str) -> dict[str, Any]:
    (listed,) = (await bus.post("charts/search", {"visit": visit})).json()["items"]
    chart: dict[str, Any] = await bus.get(f"charts/{listed['id']}")
    return chart


async def count(bus: Any, table: Any) -> int:
    async with bus.app.site.database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(table)) or 0


async def replayed(bus: Any, **more: str) -> None:
    await replay_messages(bus.app.settings, "his", "2001-01-01", "", dry_run=False, **more)
    await bus.idle()


async def test_for_stays_of_2005_no_agent_is_called_whoever_asks_for_another_look(hospital: Any) -> None:
    async with hospital(clock="wall", backfill=True) as bus:
        await bus.send([ADMISSION, *WHOLE])
        await bus.idle()
        await replay_stays(bus.app.settings, "qc", closed=True, dry_run=False)
        await bus.idle()
        assert await findings(bus, backfill="true") == []
        assert await count(bus, tables.assessment_heads) == await count(bus, tables.wakes) == 0
        page = await bus.api.get("/api/v1/messages")
        assert {tuple(one["flags"]) for one in page.json()["items"]} == {("backfill",)}
        assert (await stay(bus, "WHOLE"))["status"] == "discharged"


async def test_without_the_mark_they_flood_the_worklist_and_a_replay_gives_it_to_them(hospital: Any) -> None:
    async with hospital(clock="wall") as bus:
        await bus.send([ADMISSION, *WHOLE])
        await bus.idle()
        flood = await findings(bus)
        assert {visit for visit, _, due in flood if due} == {"OLD", "WHOLE"}
        await replayed(bus, as_of="2026-01-01")
        assert await findings(bus) == []
        left = await findings(bus, backfill="true")
        assert set(left) <= set(flood) and [one for one in left if one[0] == "OLD"] == [
            one for one in flood if one[0] == "OLD"
        ], "nothing was corrected, so nothing closes"
        await replayed(bus, as_of="2005-04-01")
        assert {visit for visit, *_ in await findings(bus)} == {"WHOLE"}


async def test_a_stay_that_goes_on_is_held_to_its_deadlines_from_the_first_that_came_as_it_happened(
    hospital: Any,
) -> None:
    begun = message("GOES-ON", "1", "20260302083000", "ADT^A01")
    async with hospital(backfill=True) as bus:
        await bus.send([begun, message("OTHER", "2", "20260310083000", "ADT^A01")])
        await bus.idle()
        assert await count(bus, tables.clock) == 0, "the feed's clock stands still"
    async with hospital(user="second") as bus:
        await bus.send([begun])  # a copy says nothing new
        await bus.idle()
        assert await findings(bus, backfill="true") == [] and await count(bus, tables.clock) == 0
        # The first note was due at 16:30, before the first message that came as it happened; the record is due later.
        await bus.send([message("GOES-ON", "3", "20260302200000", "ADT^A08")])
        await bus.idle()
        assert await findings(bus) == []
        await bus.send([message("GOES-ON", "4", "20260303090000", "ADT^A08")])
        await bus.idle()
        assert ("GOES-ON", "R01", True) in await findings(bus)
        assert "R02" not in {rule for _, rule, _ in await findings(bus)}
        assert {visit for visit, *_ in await findings(bus, backfill="true")} == {"GOES-ON"}


async def test_with_what_a_stay_goes_on_every_agent_is_called_whatever_it_asked_for(hospital: Any) -> None:
    async with hospital(backfill=True, agents={"coding": {}}) as bus:
        await bus.send(WHOLE)
        await bus.idle()
        assert await count(bus, tables.assessment_heads) == 0
    async with hospital(user="second", agents={"coding": {}}) as bus:
        for id, called in (("5", {"coding", "qc"}), ("6", {"qc"})):
            before = await versions(bus)
            await bus.send([message("WHOLE", id, "20050410083000", "ORU^R01", HOT)])
            await bus.idle()
            assert {agent for agent, version in (await versions(bus)).items() if version != before.get(agent)} == called


async def versions(bus: Any) -> dict[str, int]:
    """Return of the one stay which version each agent has read."""
    row = tables.assessment_heads.c
    async with bus.app.site.database.read() as connection:
        return {agent: version for agent, version in await connection.execute(select(row.agent, row.version))}


async def test_another_mapping_reads_them_again_with_their_mark(hospital: Any) -> None:
    async with hospital(clock="wall", backfill=True) as bus:
        await bus.send([ADMISSION, *WHOLE])
        await bus.idle()
    async with hospital(clock="wall", timezone="Asia/Tokyo", user="second") as bus:
        await replayed(bus)
        async with bus.app.site.database.read() as connection:
            rows = (await connection.execute(select(tables.messages.c.revision, tables.messages.c.backfill))).all()
        assert {tuple(row) for row in rows} == {(2, "all")}
        assert await findings(bus) == []
