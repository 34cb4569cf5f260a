"""The documents say what is so: their configurations load, what they name exists, and both READMEs say the same."""

import re
from pathlib import Path

import pytest
import typer

from hisbus_bus.command.main import app
from hisbus_bus.kernel.settings import load

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "*/README.md", "*/*/README.md")
    for path in ROOT.glob(pattern)
    if ".venv" not in path.parts
)


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(document), re.DOTALL | re.MULTILINE)


def shown(document: str) -> str:
    """Return what a document shows of commands: its shell blocks and its words in backticks."""
    return "\n".join(blocks(document, "sh")) + "\n" + "\n".join(re.findall("`[^`\n]+`", text_of(document)))


def test_both_configurations_are_valid(tmp_path: Path) -> None:
    read = []
    for text in (blocks("connectors/README.md", "toml")[0], blocks("ops/README.md", "toml")[0]):
        path = tmp_path / "hisbus.toml"
        path.write_text(text, encoding="utf-8")
        read.append(load(path))
    first_feed, many_machines = read
    assert first_feed.connectors[0]["clock"] == "wall"
    assert many_machines.log.partitions == 6 and many_machines.log.replicas == 3


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_is_named_exists(document: str) -> None:
    known = typer.main.get_command(app)
    for words in re.findall(r"(?:^|`|bin/)hisbus ((?:[a-z]+ ?){1,2})", shown(document), re.MULTILINE):
        first = words.split()[0]
        assert first in known.commands, first  # type: ignore[attr-defined]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_is_named_exists(document: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z-]+)", shown(document))):
        assert f"\n{target}:" in makefile, target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_place_that_is_linked_exists(document: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(document)):
        assert ((ROOT / document).parent / link).exists(), link


def test_both_readmes_say_the_same() -> None:
    english, chinese = text_of("README.md"), text_of("README.zh.md")
    for what in (r"^## ", r"^\d\. ", r"^- ", r"^\| "):
        assert len(re.findall(what, english, re.M)) == len(re.findall(what, chinese, re.M)), what
    links = r"\]\(((?!README)[^)]+)\)"
    assert set(re.findall(links, english)) == set(re.findall(links, chinese))
    assert blocks("README.md", "sh")[0].split("#")[0] == blocks("README.zh.md", "sh")[0].split("#")[0]


def test_the_walk_of_a_message_names_what_is_there() -> None:
    """Each file exists in the room or member that its line names, and holds the names beside it."""
    walk = text_of("bus/README.md").partition("## One message")[2]
    rooms = ROOT / "bus/src/hisbus_bus"
    members = {"connectors/hl7v2": ROOT / "connectors/hl7v2/src/hisbus_hl7v2", "sdk": ROOT / "bus/sdk/src/hisbus"}
    home = rooms
    for line in [line for line in walk.splitlines() if line.startswith("| `")]:
        where = line.split(" | ")[0].removeprefix("| ")
        words = re.findall(r"`([^`]+)`", where)
        if words[0] in members:
            home = members[words[0]]
        elif "/" in words[0]:
            home = rooms
        file: Path | None = None
        for word in words:
            if word.endswith(".py"):
                near = home if "/" in word or file is None else file.parent
                file = near / word
                assert file.exists(), f"{line}: {file}"
            elif file is not None:
                source = file.read_text(encoding="utf-8")
                for part in word.split("."):
                    assert re.search(rf"(?:def|class) {part}\b", source), f"{line}: {word} is not in {file.name}"
