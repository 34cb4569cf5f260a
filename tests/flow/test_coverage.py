"""Nobody is accused for want of data: a site learns what its feeds bring, and a person has the last word."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hisbus_bus.command.main import app as command
from hisbus_bus.command.replay import replay_stays
from hisbus_bus.kernel import coverage, rules, tables
from hisbus_schemas import Assessed

HEAD = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|{time}+0800||{type}|{visit}-{time}|P|2.5||||||UNICODE UTF-8\rEVN||{time}+0800\r"
STAY = "PID|1||P{visit}^^^HOSP^MR||Wang^X\rPV1|1|I|W3||||||||||||||||{visit}^^^HOSP"
NOTE = (
    "TXA|1|C0034|TX|{time}+0800|||||D100^Li^M|||D{visit}|||||AU||AV|||D100^Li^M^^^^^^^^^^^^{time}+0800\r"
    "OBX|1|TX|TEXT||主诉：胸痛3小时。||||||F\r"
)
BLAMED = "BLAMED"
"""A stay that gets no admission record."""
QC = {"qc": {"settings": {"only": ["R01"]}}}


def message(type: str, visit: str, time: str, rest: str = "") -> bytes:
    return (HEAD + STAY + rest).format(type=type, visit=visit, time=time).encode()


def admitted(visit: str, time: str = "20260302083000") -> bytes:
    return message("ADT^A01^ADT_A01", visit, time, "|||||||||||||||||||||||||{time}+0800\r")


def documented(visit: str, time: str = "20260302103000") -> bytes:
    return message("MDM^T02^MDM_T02", visit, time, "\r" + NOTE)


def later() -> bytes:
    """A message of the next day: the record of those who were admitted the day before is overdue."""
    return admitted("LATER", "20260304083000")


@pytest.fixture
def observing(backbone: dict[str, Any]) -> dict[str, Any]:
    """The site learns what its feeds bring."""
    backbone["coverage"] = {"default": "observed"}
    return backbone


async def findings(bus: Any, status: str = "open", **more: str) -> set[tuple[str, str]]:
    return {(one["visit"], one["rule"]) for one in await bus.everything("proposals", status=status, **more)}


async def version(bus: Any) -> int:
    async with bus.app.site.database.read() as connection:
        return (await coverage.read(connection)).version


async def test_where_everything_counts_as_connected_a_missing_record_is_found_at_once(hospital: Any) -> None:
    async with hospital(agents=QC) as bus:
        await bus.send([admitted(BLAMED), later()])
        await bus.idle()
        assert await findings(bus) == {(BLAMED, "R01")}
        assert await version(bus) == 0


@pytest.mark.usefixtures("observing")
async def test_a_site_that_never_got_a_record_accuses_nobody_and_after_the_twentieth_it_does(hospital: Any) -> None:
    async with hospital(agents=QC) as bus:
        others = [f"V{number:02}" for number in range(20)]
        await bus.send([admitted(BLAMED), *map(admitted, others), *map(documented, others[:19]), later()])
        await bus.idle()
        assert await findings(bus) == set()
        (listed,) = (await bus.post("charts/search", {"visit": BLAMED})).json()["items"]
        (said,) = (await bus.get(f"charts/{listed['id']}/assessments"))["items"]
        assert [(one["rule"], one["reason"]) for one in said["unevaluated"]] == [("R01", "not_connected")]

        before = await version(bus)
        await bus.send([documented(others[19], "20260304093000")])  # late, but it comes
        await bus.idle()
        assert await version(bus) == before + 1
        assert await findings(bus) == {(BLAMED, "R01"), (others[19], "R01")}


@pytest.mark.usefixtures("observing")
async def test_backfill_teaches_a_site_what_its_feeds_bring_and_is_held_to_nothing(hospital: Any) -> None:
    past = [f"V{number:02}" for number in range(20)]
    async with hospital(agents=QC, backfill=True) as bus:
        await bus.send([*(admitted(one, "20050302083000") for one in past), *(documented(one) for one in past)])
        await bus.idle()
        assert await version(bus) > 1
    async with hospital(agents=QC, user="another") as bus:
        await bus.send([admitted(BLAMED), later()])
        await bus.idle()
        assert await findings(bus) == {(BLAMED, "R01")}


@pytest.fixture
def hisbus(tmp_path: Path, embedded: dict[str, Any]) -> Any:
    """Type a command against the site of the test while it runs."""
    config = tmp_path / "hisbus.toml"
    urls = f'[log]\nurl = "{embedded["log"]["url"]}"\n[database]\nurl = "{embedded["database"]["url"]}"\n'
    config.write_text(f'site = "test"\n{urls}', encoding="utf-8")

    async def run(*words: str) -> str:
        done = await asyncio.to_thread(CliRunner().invoke, command, ["--config", str(config), "coverage", *words])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    return run


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)  # the command is given the embedded files
async def test_a_persons_word_withdraws_what_is_open_and_gives_it_back(hospital: Any, hisbus: Any) -> None:
    async with hospital(agents=QC) as bus:
        await bus.send([admitted(BLAMED), later()])
        await bus.idle()
        assert await findings(bus) == {(BLAMED, "R01")}
        await hisbus("set", "document:C0034", "not_connected")
        await bus.idle()
        assert await findings(bus) == set()
        ((visit, rule),) = await findings(bus, "withdrawn")
        assert (visit, rule) == (BLAMED, "R01")
        (one,) = await bus.everything("proposals", status="withdrawn")
        history = (await bus.get(f"proposals/{one['id']}"))["history"]
        assert [(change["status"], change["actor"], change["detail"]) for change in history][-1] == (
            "withdrawn",
            "step:review",
            "not_connected",
        )
        page = await hisbus("list", "document:C0034", "--missing")
        assert "document:C0034" in page and "qc R01" in page
        await hisbus("set", "document:C0034", "connected")
        await bus.idle()
        assert await findings(bus) == {(BLAMED, "R01")}


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)  # as the command
async def test_a_dry_run_goes_by_the_coverage_of_the_site(hospital: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async with hospital(agents=QC) as bus:
        await bus.send([admitted(BLAMED), later()])
        await bus.idle()
        word = {"item": "document:C0034", "department": "", "state": "not_connected", "who": "user:qc", "version": 1}
        async with bus.app.site.database.write() as connection:  # by hand, so that nobody is told of it
            await connection.execute(tables.coverage.insert(), word | {"time": datetime.now(UTC)})
        await replay_stays(bus.app.settings, "qc", closed=False, dry_run=True)
        lines = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
        assert [[cell.strip() for cell in line] for line in lines] == [["R01", "0", "0", "0", "1", "0"]]
        assert await findings(bus) == {(BLAMED, "R01")}, "nothing was written"


@pytest.mark.usefixtures("observing")
async def test_every_assessment_names_the_coverage_that_it_was_judged_by(hospital: Any) -> None:
    async with hospital(agents=QC) as bus:
        await bus.send([admitted("V01")])
        await bus.idle()
        log, answers = bus.app.site.log, []
        for partition, end in (await log.ends("assessments")).items():
            answers += await log.read("assessments", partition, 0, end)
        said = [Assessed.model_validate_json(record.value) for record in answers]
        assert said and {one.coverage for one in said} == {await version(bus)} == {1}


async def test_the_rules_that_the_agents_declare_stand_on_the_page(hospital: Any) -> None:
    async with hospital(agents=QC) as bus:
        async with bus.app.site.database.read() as connection:
            declared = await rules.read(connection)
        assert {rule.agent for rule in declared} == {"qc"}
        assert [rule.rule for rule in declared if rule.enabled] == ["R01"], "as the settings say"
        assert {need.item for rule in declared for need in rule.needs} >= {"class", "document:C0034"}
