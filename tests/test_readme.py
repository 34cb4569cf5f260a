"""The README says what is so: its blocks are run, its commands exist."""

import re
from pathlib import Path
from typing import Any

import typer

from hisbus.testing import make_case, make_chart, make_document, run
from hisbus_bus.command.main import app
from hisbus_bus.kernel.settings import load

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


async def test_the_first_plugin_finds_the_empty_note_and_only_that() -> None:
    (source,) = blocks("python")
    scope: dict[str, Any] = {}
    exec(source, scope)
    registered: list[Any] = []
    scope["register_agents"](registered.append)
    (agent,) = registered
    notes = [
        make_document("C0038", number="D1", text=" "),
        make_document("C0038", number="D2", text="患者今日诉胸痛缓解。"),
    ]
    answer = await run(agent, make_case(make_chart(documents=notes)))
    assert [(found.rule, found.reads) for found in answer.proposals] == [("empty-note", [notes[0].ref])]
    assert agent.name == "empty-notes"


def test_both_configurations_are_valid(tmp_path: Path) -> None:
    read = []
    for text in blocks("toml"):
        path = tmp_path / "hisbus.toml"
        path.write_text(text, encoding="utf-8")
        read.append(load(path))
    first_feed, many_machines = read
    assert first_feed.connectors[0]["clock"] == "wall"
    assert many_machines.log.partitions == 6 and many_machines.log.replicas == 3


def test_every_command_that_is_named_exists() -> None:
    known = typer.main.get_command(app)
    for words in re.findall(
        r"hisbus ((?:[a-z]+ ?){1,2})", "\n".join(blocks("sh")) + "".join(re.findall("`.*?`", README))
    ):
        first = words.split()[0]
        assert first in known.commands, first  # type: ignore[attr-defined]


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z-]+)", "\n".join(blocks("sh")) + "".join(re.findall("`.*?`", README)))):
        assert f"\n{target}:" in makefile, target


def test_every_room_that_is_linked_exists() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
