"""Messages refused when they arrived, judged again once a setting was mended: by the command and by the API."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

HEAD = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|{time}+0800||{type}|{id}|P|2.5\rEVN||{time}+0800\r"
STAY = "PID|1||P1^^^HOSP^MR||{name}\rPV1|1|I|{ward}||||||||||||||||V1^^^HOSP\r"


def message(id: str, hour: int, type: str = "ADT^A08", name: str = "王^建国", ward: str = "呼吸一区") -> bytes:
    """Return a message in GBK that does not say so."""
    head = HEAD.format(time=f"202603020{hour}0000", type=type, id=id)
    return (head + STAY.format(name=name, ward=ward)).encode("gbk")


ADMISSION, MOVED = message("1", 8, "ADT^A01"), message("2", 9, "ADT^A02", ward="呼吸二区")
ASCII = message("3", 7, "ADT^A08", name="WANG^JIAN", ward="W1")
LARGE = message("4", 9) + b"NTE|" + b"x" * 70_000 + b"\r"


@pytest.fixture
def hisbus(backbone: dict[str, Any], tmp_path: Path) -> Any:
    """Run the command beside the bus, with the same settings; return its exit code and what it says."""
    config = tmp_path / "beside.toml"
    config.write_text('site = "test"\n')

    async def run(bus: Any, *arguments: str) -> tuple[int | None, str]:
        settings = bus.app.settings
        environment = {
            **os.environ,
            "HISBUS_SITE": settings.site,
            "HISBUS_LOG": settings.log.model_dump_json(),
            "HISBUS_DATABASE": settings.database.model_dump_json(),
            "HISBUS_CONNECTORS": json.dumps(settings.connectors),
            **({"HISBUS_SECRET_FILE": str(settings.secret_file)} if settings.secret_file else {}),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hisbus_bus", "--config", str(config), "replay", *arguments),
            env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    return run


async def parked(bus: Any) -> dict[str, str]:
    """Return the ids of what is parked, by control id."""
    messages = {one["id"]: one["control_id"] for one in await bus.everything("messages")}
    rows = await bus.everything("parked", status="parked")
    return {messages[f"{row['partition']}.{row['offset']}"]: row["id"] for row in rows}


async def stay(bus: Any) -> dict[str, Any]:
    (listed,) = (await bus.post("charts/search", {"visit": "V1"})).json()["items"]
    chart: dict[str, Any] = await bus.get(f"charts/{listed['id']}")
    return chart


async def keys(bus: Any) -> set[str]:
    """Return the keys of all messages in ``raw`` that were not refused."""
    log = bus.app.site.log
    found = [
        one
        for partition, end in (await log.ends("raw")).items()
        for one in await log.read("raw", partition, 0, end)
        if "verdict" not in one.headers
    ]
    return {one.key for one in found}


async def refused(hospital: Any, *messages: bytes, **settings: Any) -> None:
    """Send messages to a site that takes them for UTF-8, and stop it."""
    async with hospital(user="before", **settings) as bus:
        await bus.send(messages)
        await bus.idle()


@pytest.mark.long
async def test_a_setting_is_mended_and_what_was_refused_is_read_in_its_place(hospital: Any, hisbus: Any) -> None:
    await refused(hospital, ADMISSION, MOVED)
    async with hospital(charset="GBK") as bus:
        waiting = await parked(bus)
        assert waiting.keys() == {"1", "2"}
        await bus.send([ASCII])
        # The later one first: the fold puts it behind the other all the same.
        for id in ("2", "1"):
            assert await hisbus(bus, waiting[id]) == (0, f"{waiting[id]}: accepted and read (mapped): 1 events.\n")
        await bus.idle()
        chart = await stay(bus)
        assert (chart["patient"]["name"], chart["location"]["ward"], chart["status"]) == (
            *("王建国", "呼吸二区", "admitted"),
        )
        assert len(await keys(bus)) == 1, "all are of one patient"
        assert {row["status"] for row in await bus.everything("parked")} == {"closed"}
        messages = {one["control_id"]: one for one in await bus.everything("messages")}
        assert {(one["status"], one["type"], one["reason"]) for one in messages.values()} == {
            ("mapped", "ADT^A01", ""), ("mapped", "ADT^A02", ""), ("mapped", "ADT^A08", ""),
        }  # fmt: skip
        code, said = await hisbus(bus, waiting["1"])
        assert code == 2 and "Not parked (any more)" in said
        actions = [item["action"] for item in await bus.everything("audit")]
        assert actions.count("parked.replayed") == 2


async def test_what_cannot_be_read_still_stays_parked_and_what_was_cut_is_never_read(
    hospital: Any, hisbus: Any
) -> None:
    await refused(hospital, b"MSH|^~\\&|no more\xff", LARGE, max_mb=0.06)
    async with hospital(charset="GBK", max_mb=1) as bus:
        rows = {row["reason"]: row["id"] for row in await bus.everything("parked")}
        assert rows.keys() == {"undecodable", "too_large"}
        code, said = await hisbus(bus, "--all")
        assert code == 1 and sorted(said.splitlines()) == sorted(
            [
                f"{rows['undecodable']}: refused still: undecodable.",
                f"{rows['too_large']}: refused still: too_large. Only its first 64 KiB were kept. Raise max_mb, and let"
                " the sender repeat it.",
            ]
        )
        assert {row["status"] for row in await bus.everything("parked")} == {"parked"}
        answer = await bus.api.post(f"/api/v1/parked/{rows['too_large']}/replay")
        assert (answer.status_code, answer.json()["outcome"], answer.json()["said"]) == (200, "refused", "too_large")


async def test_a_sender_that_repeats_it_closes_it(hospital: Any) -> None:
    await refused(hospital, ADMISSION)
    async with hospital(charset="GBK") as bus:
        await bus.send([ADMISSION])
        await bus.idle()
        assert [row["status"] for row in await bus.everything("parked")] == ["closed"]
        assert sorted(one["status"] for one in await bus.everything("messages")) == ["duplicate", "mapped"]
        assert (await stay(bus))["patient"]["name"] == "王建国"


async def test_one_in_whose_place_its_sender_has_sent_another_is_named_and_wants_force(
    hospital: Any, hisbus: Any
) -> None:
    await refused(hospital, ADMISSION)
    async with hospital(charset="GBK") as bus:
        (waiting,) = (await parked(bus)).values()
        await bus.send([message("1", 8, "ADT^A01", ward="呼吸三区")])
        await bus.idle()
        other = next(one["id"] for one in await bus.everything("messages", status="mapped"))
        code, said = await hisbus(bus, waiting)
        assert code == 1 and f"message {other} under the same control id. Add --force" in said
        answer = await bus.api.post(f"/api/v1/parked/{waiting}/replay")
        assert (answer.status_code, answer.json()["code"]) == (409, "overtaken") and other in answer.json()["title"]
        code, said = await hisbus(bus, "--connector", "his", "--from", "2026-01-01")
        assert code == 0 and f"({other}). Add --force to read them, too." in said
        forced = (await bus.api.post(f"/api/v1/parked/{waiting}/replay", params={"force": "true"})).json()
        assert (forced["outcome"], forced["said"], forced["events"], forced["status"]) == (
            "read",
            "mapped",
            1,
            "closed",
        )
        assert (await stay(bus))["location"]["ward"] == "呼吸三区", "it is the older of the two"


async def test_many_are_judged_again_at_once_and_read_anew_by_any_later_replay(hospital: Any, hisbus: Any) -> None:
    await refused(hospital, ADMISSION, MOVED, b"MSH|^~\\&|no more\xff")
    span = ("--connector", "his", "--from", "2026-01-01")
    async with hospital(charset="GBK") as bus:
        code, said = await hisbus(bus, *span, "--dry-run")
        assert code == 0 and "2 parked would be mapped" in said and "1 are refused still: undecodable." in said
        code, said = await hisbus(bus, *span)
        assert said.splitlines() == [
            "2 messages are read again.",
            "2 of them were refused when they arrived, and are accepted now.",
            "1 are refused still: undecodable.",
        ]
        await bus.idle()
        assert (await stay(bus))["location"]["ward"] == "呼吸二区"
    async with hospital(charset="GBK", timezone="Asia/Tokyo", user="later") as bus:
        code, said = await hisbus(bus, *span)
        assert code == 0 and "2 messages are read again." in said
        await bus.idle()
        assert {one["status"] for one in await bus.everything("messages")} == {"mapped", "parked"}
        assert len(await keys(bus)) == 1
