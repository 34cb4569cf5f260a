"""A mapping is mended or an agent looks again, while the bus runs: charts heal, findings follow, nothing doubles."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from hisbus.errors import ConfigError
from hisbus_bus.command import main as cli
from hisbus_bus.command.replay import replay_messages, replay_stays
from hisbus_bus.kernel import tables

pytestmark = pytest.mark.long

LONG_AGO = "2026-01-01"
HEAD = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|{time}+0800||{type}|{id}|P|2.5||||||UNICODE UTF-8\rEVN||{time}+0800\r"
PID = "PID|1||P{visit}^^^HOSP^MR||Wang^X\rPV1|1|I|W3||||||||||||||||{visit}^^^HOSP|||||||||||||||||||||||||{admitted}\r"
NOTE = (
    "TXA|1|C0037|TX|{signed}|||||D1^Li^M|||N{visit}|||||AU||AV|||D1^Li^M^^^^^^^^^^^^{signed}\rOBX|1|TX|T||text||||||F\r"
)

WRONG = {"timezone": "Asia/Tokyo"}
"""An hour ahead of the hospital's: every time without offset is read an hour too early."""


def admission(visit: str, admitted: str) -> bytes:
    head = HEAD.format(time="20260302083000", type="ADT^A01^ADT_A01", id=f"{visit}-1")
    return (head + PID.format(visit=visit, admitted=admitted)).encode()


def note(visit: str, admitted: str, signed: str) -> bytes:
    head = HEAD.format(time="20260302170000", type="MDM^T02^MDM_T02", id=f"{visit}-2")
    return (head + PID.format(visit=visit, admitted=admitted) + NOTE.format(visit=visit, signed=signed)).encode()


# The first course note is due 8 hours after admission. V1's is late, and in the wrong zone it looks to be in time;
# V2's is in time, and looks to be late.
V1, V2 = "20260302083000+0800", "20260302083000"
STAYS = [
    admission("V1", V1),
    note("V1", V1, "20260302170000"),
    admission("V2", V2),
    note("V2", V2, "20260302160000+0800"),
]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a replay against a site that runs, as the command does. Return what it says; of tables the cells."""
    monkeypatch.setenv("COLUMNS", "200")

    async def of(work: Any) -> tuple[str, list[list[str]]]:
        capsys.readouterr()
        await work
        told = capsys.readouterr().out
        return told, [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.splitlines() if "│" in line]

    return of


def again(bus: Any, begin: str = LONG_AGO, end: str = "", *, dry_run: bool = False) -> Any:
    return replay_messages(bus.app.settings, "his", begin, end, dry_run=dry_run)


async def findings(bus: Any) -> list[str]:
    found = await bus.everything("proposals")
    return sorted(f"{item['visit']} {item['rule']} {item['state']} {item['status']}" for item in found)


async def rows(bus: Any) -> dict[str, int]:
    """Count every table."""
    async with bus.app.site.database.read() as connection:
        return {
            name: await connection.scalar(select(func.count()).select_from(table)) or 0
            for name, table in tables.metadata.tables.items()
            if name not in {"audit_seals", "sessions"}  # sealing goes on by itself
        }


async def stored(bus: Any) -> list[tuple[Any, ...]]:
    """Return every event as it is stored, but for its revision."""
    table = tables.events.c
    async with bus.app.site.database.read() as connection:
        found = await connection.execute(select(table.message, table.kind, table.encounter, table.order, table.flag))
        return sorted(tuple(row) for row in found)


async def misread(hospital: Any) -> None:
    """Feed the stays through the wrong mapping, and stop."""
    async with hospital(**WRONG) as bus:
        await bus.send(STAYS)
        await bus.idle()
        assert await findings(bus) == ["V2 R02 late open"]


async def test_a_mended_mapping_is_rehearsed_replayed_and_heals_charts_and_findings(hospital: Any, said: Any) -> None:
    await misread(hospital)
    async with hospital(user="again") as bus:
        ids = {item["control_id"]: item["id"] for item in await bus.everything("messages")}
        before = await rows(bus), await bus.app.site.log.ends("raw"), await stored(bus)
        told, cells = await said(again(bus, dry_run=True))
        assert "4 messages were not read with this mapping yet: 3 would change.\n  3 mapped, with other events" in told
        of_documents = ", ".join(sorted([ids["V1-2"], ids["V2-2"]], key=cells[1][2].index))  # each key has its order
        assert cells == [
            ["ADT^A01", "1", ids["V2-1"]],
            ["MDM^T02", "2", of_documents],
            ["document.filed", "0", "0", "2"],
            ["encounter.admitted", "0", "0", "1"],
        ]
        assert (await rows(bus), await bus.app.site.log.ends("raw"), await stored(bus)) == before

        assert await said(again(bus)) == ("4 messages are read again.\n", [])
        await bus.idle()
        assert await findings(bus) == ["V1 R02 late open", "V2 R02 late resolved"]
        assert [item["status"] for item in await bus.everything("messages")] == ["mapped"] * 4
        after = await rows(bus)
        for name in ("messages", "events", "encounters", "patients", "entries", "parked", "outbox"):
            assert after[name] == before[0][name], name

        assert (await said(again(bus, dry_run=True)))[0].startswith("0 messages were not read with this mapping yet")
        assert await said(again(bus)) == ("0 messages are read again.\n", [])
        assert [item["action"] for item in await bus.everything("audit")].count("messages.replayed") == 1
        healed = await charts(bus)
    assert [chart["documents"] for chart in healed] == [["2026-03-02T17:00:00+08:00"], ["2026-03-02T16:00:00+08:00"]]


async def charts(bus: Any) -> list[dict[str, Any]]:
    found = []
    for visit in ("V1", "V2"):
        (listed,) = (await bus.post("charts/search", {"visit": visit})).json()["items"]
        chart = await bus.get(f"charts/{listed['id']}")
        found.append({name: chart[name] for name in ("status", "patient", "location", "admitted")})
        found[-1]["documents"] = [item["signed"] for item in chart["documents"]]
    return found


async def test_only_what_was_stored_in_the_time_that_is_named_is_read_again(hospital: Any, said: Any) -> None:
    await misread(hospital)
    async with hospital(user="again") as bus:
        received = sorted(item["received"] for item in await bus.everything("messages"))
        told, _ = await said(again(bus, received[1], received[3]))  # V1's note and V2's admission
        assert told == "2 messages are read again.\n"
        await bus.idle()
        assert await findings(bus) == ["V1 R02 late open", "V2 R02 late resolved"]


KILLED = """
import os, signal, sys
from hisbus_bus.command import main as cli
from hisbus_bus.lab import replay

replay.PAGE = 1
again, left = replay._again, 3

async def dying(*arguments):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    await again(*arguments)

replay._again = dying
cli.main()
"""
"""Dies in the third message, when two are committed."""


async def test_killed_in_the_middle_and_run_again_it_gives_the_same_state(
    hospital: Any, said: Any, tmp_path: Path
) -> None:
    await misread(hospital)
    async with hospital(user="again") as bus:
        config = tmp_path / "hisbus.toml"
        config.write_text('site = "test"\n')
        site = bus.app.settings
        environment = {
            **os.environ,
            "HISBUS_SITE": site.site,
            "HISBUS_LOG": site.log.model_dump_json(),
            "HISBUS_DATABASE": site.database.model_dump_json(),
            "HISBUS_CONNECTORS": json.dumps(site.connectors),
            **({"HISBUS_SECRET_FILE": str(site.secret_file)} if site.secret_file else {}),
        }
        arguments = ("--config", str(config), "replay", "--connector", "his", "--from", LONG_AGO)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, *arguments, env=environment)
        assert await process.wait() == -signal.SIGKILL
        await bus.idle()
        assert await findings(bus) == ["V1 R02 late open", "V2 R02 late open"], "half of it is done"
        assert (await said(again(bus)))[0] == "2 messages are read again.\n"
        await bus.idle()
        assert await findings(bus) == ["V1 R02 late open", "V2 R02 late resolved"]
        assert [item["status"] for item in await bus.everything("messages")] == ["mapped"] * 4


async def test_an_agent_judges_current_charts_again(hospital: Any, said: Any) -> None:
    async with hospital() as bus:
        await bus.send(STAYS)
        await bus.idle()
        assert await findings(bus) == ["V1 R02 late open"]
    for limit_hours, expected, told_of in (
        (6, ["V1 R02 late open", "V2 R02 late open"], ["R02", "1", "0", "0", "0", "0"]),
        (9, ["V1 R02 late resolved", "V2 R02 late resolved"], ["R02", "0", "0", "2", "0", "0"]),
    ):
        agents = {"qc": {"settings": {"rules": {"R02": {"limit_hours": limit_hours}}}}}
        async with hospital(agents=agents, user=f"user{limit_hours}") as bus:
            before = await rows(bus), await bus.app.site.log.ends("raw")
            told, cells = await said(replay_stays(bus.app.settings, "qc", closed=False, dry_run=True))
            assert told.startswith("2 stays were judged.") and cells == [told_of]
            assert (await rows(bus), await bus.app.site.log.ends("raw")) == before

            told, _ = await said(replay_stays(bus.app.settings, "qc", closed=False, dry_run=False))
            assert told == "2 stays are judged again.\n"
            await bus.idle()
            assert await findings(bus) == expected


@pytest.mark.parametrize(
    "arguments, hint",
    [
        ((), "Say what to replay"),
        (("--all", "--connector", "his", "--from", LONG_AGO), "Say what to replay"),
        (("--connector", "his"), "--from TIME"),
        (("--connector", "his", "--from", "yesterday"), "2026-03-02"),
        (("--connector", "lab", "--from", LONG_AGO), "Choose one of: his"),
        (("--agent", "nobody"), "Choose one of: coding, coding-check"),
        (("--agent", "qc", "--from", LONG_AGO), "--from and --to belong to it"),
        (("--all", "--dry-run"), "--dry-run belongs to"),
        (("--connector", "his", "--from", LONG_AGO), "nothing was stored yet"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(arguments: tuple[str, ...], hint: str, tmp_path: Path) -> None:
    config = tmp_path / "hisbus.toml"
    config.write_text(
        f'site = "test"\n[log]\nurl = "sqlite:///{tmp_path}/log.db"\n[database]\nurl = "sqlite:///{tmp_path}/h.db"\n'
        '[[connectors]]\nname = "his"\ntype = "hl7v2"\n'
    )
    result = CliRunner().invoke(cli.app, ["--config", str(config), "replay", *arguments])
    assert isinstance(result.exception, ConfigError)
    assert hint in str(result.exception)
