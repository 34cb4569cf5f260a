"""`hisbus play`: a hospital's own conversations against its own configuration."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hisbus.errors import ConfigError
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.lab.conversations import read, read_all
from hisbus_bus.play import play, play_all, stage
from hisbus_hl7v2 import Hl7v2Connector

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
README = (ROOT / "connectors/README.md").read_text(encoding="utf-8")
HIS = {"name": "his", "type": "hl7v2", "listen": "127.0.0.1:1", "send": "127.0.0.1:1", "timezone": "Asia/Shanghai"}
SPLIT = Hl7v2Connector(HIS).split


def block(language: str) -> str:
    text, *_ = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(text)


def settings(folder: Path, connectors: list[dict[str, Any]] | None = None, **agents: Any) -> Settings:
    """Return the configuration of a site that exists nowhere."""
    return Settings(
        site="test",
        log={"url": f"sqlite:///{folder}/site/log.db"},
        database={"url": f"sqlite:///{folder}/site/hisbus.db"},
        connectors=[HIS] if connectors is None else connectors,
        agents=agents,
    )


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The README's conversation, in a folder of its own."""
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "no-first-note.hl7").write_text(block("hl7"), encoding="utf-8")
    (folder / "no-first-note.json").write_text(block("json"), encoding="utf-8")
    return folder


def change(folder: Path, **said: Any) -> None:
    """Expect something else after the last message."""
    path = folder / "no-first-note.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    written["steps"][-1] |= said
    path.write_text(json.dumps(written), encoding="utf-8")


def command(folder: Path, *arguments: str) -> Any:
    config = folder / "hisbus.toml"
    config.write_text(block("toml"), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "hisbus_bus", "--config", str(config), "play", *arguments],
        capture_output=True, text=True, cwd=folder, timeout=120, check=False,
    )  # fmt: skip


def test_the_conversation_of_the_readme_ends_as_written_and_a_wrong_one_is_named(own: Path, tmp_path: Path) -> None:
    done = command(tmp_path, str(own))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "1 conversations, 0 failed."
    assert not (tmp_path / "var").exists(), "the site's own log and database are left alone"

    change(own, open=["V1 R01"], chart={"ward": "W9", "name": "Somebody Else"})
    done = command(tmp_path, str(own))
    assert done.returncode == 1
    first, *differences, last = done.stdout.splitlines()
    assert first.split()[:2] == ["FAIL", "no-first-note"]
    assert [line.strip() for line in differences] == [
        "after 2: V1 R01 was expected and is not open",
        "after 2: V1 R02 is open and was not expected (absent, due 2026-03-02T16:30+08:00)",
        "after 2: chart of V1: name is another",
        "after 2: chart of V1: ward is W3, expected W9",
    ]
    assert last == "1 conversations, 1 failed."


def test_a_conversation_that_cannot_be_read_is_a_mistake_of_the_operator(tmp_path: Path) -> None:
    done = command(tmp_path, str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "NAME.hl7 with NAME.json" in done.stderr and "Traceback" not in done.stderr


async def test_the_site_s_own_rules_and_mapping_are_played(own: Path, tmp_path: Path) -> None:
    case = read(own / "no-first-note.json", SPLIT)
    async with stage(settings(tmp_path, qc={"settings": {"rules": {"R02": {"limit_hours": 24}}}})) as on:
        assert await play(on, case) == ["after 2: V1 R02 was expected and is not open"]
    async with stage(settings(tmp_path, qc={"enabled": False})) as on:
        assert await play(on, case) == ["after 2: V1 R02 was expected and is not open"]
    assert not (tmp_path / "site").exists()


async def test_the_hand_written_cases_end_as_written_also_where_the_site_runs_by_the_wall_clock(tmp_path: Path) -> None:
    cases = read_all([ROOT / "tests" / "cases" / f"{name}.json" for name in ("11-merge", "15-everything-twice")], SPLIT)
    async with stage(settings(tmp_path, [{**HIS, "clock": "wall"}])) as on:
        assert [(case.name, lines) async for case, lines in play_all(on, cases)] == [(case.name, []) for case in cases]


async def test_acknowledgements_and_duplicates_are_compared(own: Path, tmp_path: Path) -> None:
    spoken = own / "no-first-note.hl7"
    first, second = spoken.read_text(encoding="utf-8").split("\n\n")
    spoken.write_text("\n\n".join([first, "not HL7", first, second]), encoding="utf-8")
    change(own, after=4, acks=["AR", "AA", "AE"], duplicates=2)
    async with stage(settings(tmp_path)) as on:
        assert await play(on, read(own / "no-first-note.json", SPLIT)) == [
            "after 4: message 4 was answered AA, expected AE",
            "after 4: 1 duplicates, expected 2",
        ]


@pytest.mark.parametrize(
    "connectors, chosen, hint",
    [
        ([HIS, {**HIS, "name": "lis"}], "", "Say with --connector .* his, lis"),
        ([HIS], "lis", "No connector 'lis'"),
        ([], "", "Known: none"),
    ],
)
async def test_it_must_be_clear_which_connector_takes_the_messages(
    connectors: list[dict[str, Any]], chosen: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=hint):
        async with stage(settings(tmp_path, connectors), chosen):
            pass


async def test_settings_that_an_agent_refuses_stop_it_before_the_first_conversation(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"agents\.qc\.settings: rules\.R02\.limit_hours"):
        async with stage(settings(tmp_path, qc={"settings": {"rules": {"R02": {"limit_hours": "soon"}}}})):
            pass
