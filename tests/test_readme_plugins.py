"""``plugins/README.md`` is true: it shows what the command writes, its lines are run, its configuration is valid."""

import asyncio
import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uv

import hisbus_remote as remote
from hisbus import Case, new
from hisbus.errors import ConfigError
from hisbus.frames import Reply
from hisbus.resolve import resolves
from hisbus.testing import (
    NOW,
    AgentContract,
    FakeLLM,
    make_case,
    make_chart,
    make_document,
    make_operation,
    make_patient,
    make_vital,
    run,
)
from hisbus_bus.kernel.settings import Settings
from hisbus_schemas import GRANTS, KINDS, PROPOSALS, CodeSet, Finding, Text

ROOT = Path(__file__).parents[1]
README = (ROOT / "plugins/README.md").read_text(encoding="utf-8")
NEEDED = ("schemas", "bus/sdk", "bus/mapping", "bus", "connectors/hl7v2", "ops/simulator")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


PREPARE, START, SEND = blocks("sh")
SETTINGS, PROJECT, DECLARED = blocks("toml")
WHOLE, PACKAGE, AGENT, TEST, SECOND, SERVICE = blocks("python")
(ASKING,) = blocks("py")


async def test_the_first_plugin_finds_the_empty_note_and_only_that() -> None:
    scope: dict[str, Any] = {}
    exec(WHOLE, scope)
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


# --- ten minutes ------------------------------------------------------------------------------------------------------


class Reader:
    """Somebody who types what stands there, in a folder with nothing but an environment that has hisbus."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
            free = (f"127.0.0.1:{taken.getsockname()[1]}" for taken in (a, b))
            self.ports = dict(zip(("127.0.0.1:2575", "127.0.0.1:8080"), free, strict=True))
        self._environment = {**os.environ, "COLUMNS": "200", "HISBUS_WEB__LISTEN": self.ports["127.0.0.1:8080"]}

    def install(self) -> None:
        environment = self.folder / ".venv"
        self._uv("venv", "-q", "-p", sys.executable, "--seed", str(environment))
        members = [str(ROOT / member) for member in NEEDED]
        self._uv("pip", "install", "-q", "-p", str(environment), "-c", str(ROOT / "constraints.txt"), *members)

    def _uv(self, *arguments: str) -> None:
        subprocess.run([uv.find_uv_bin(), *arguments], check=True, cwd=self.folder)

    def types(self, line: str) -> str:
        """Run one line; return what it printed."""
        done = subprocess.run(
            self._here(line), shell=True, cwd=self.folder, env=self._environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stdout)
        return done.stdout

    @contextmanager
    def leaves_running(self, line: str) -> Iterator[None]:
        arguments = shlex.split(self._here(line), comments=True)
        running = subprocess.Popen(
            arguments, cwd=self.folder, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            running.terminate()
            running.wait()

    def writes(self, name: str, text: str) -> None:
        (self.folder / name).write_text(self._here(text), encoding="utf-8")

    def _here(self, text: str) -> str:
        for port, free in self.ports.items():
            text = text.replace(port, free)
        return text


async def worklist(address: str, password: str) -> str:
    """Log in, and return the page once it shows a finding of the plugin's rule."""
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as page:
        token = re.findall(r'name="csrf" value="([^"]+)"', (await page.get("/login")).text)[0]
        await page.post("/login", data={"csrf": token, "name": "alice", "password": password})
        while "病程记录过短。" not in (shown := (await page.get("/findings", params={"rule": "short-note"})).text):
            await asyncio.sleep(0.1)
        return shown


async def listening(address: str) -> None:
    """Wait until somebody takes connections there."""
    host, _, port = address.partition(":")
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_reader_gets_from_nothing_to_a_finding_on_the_page(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    await asyncio.to_thread(reader.install)
    for line in PREPARE.splitlines():
        said = await asyncio.to_thread(reader.types, line)
        if " plugins" in line:
            assert "hisbus-brevity" in said
    reader.writes("hisbus.toml", SETTINGS)
    check, add, up = START.splitlines()
    await asyncio.to_thread(reader.types, check)
    password = (await asyncio.to_thread(reader.types, add)).strip()
    with reader.leaves_running(up):
        async with asyncio.timeout(150):
            await listening(reader.ports["127.0.0.1:2575"])
            await asyncio.to_thread(reader.types, SEND)
            shown = await worklist(reader.ports["127.0.0.1:8080"], password)
    assert "short-note" in shown


# --- what it wrote ----------------------------------------------------------------------------------------------------


def test_it_shows_what_the_command_writes(tmp_path: Path) -> None:
    written = {path.relative_to(tmp_path / "brevity"): path for path in new.plugin("brevity", tmp_path)}
    shown = {
        "pyproject.toml": PROJECT,
        "src/hisbus_brevity/__init__.py": PACKAGE,
        "src/hisbus_brevity/agent.py": AGENT,
        "tests/test_brevity_agent.py": TEST,
    }
    assert {name: written[Path(name)].read_text(encoding="utf-8") for name in shown} == shown
    assert {str(path) for path in written} == shown.keys() | {"README.md", "src/hisbus_brevity/py.typed"}
    assert all(f"`{name}`" in README for name in shown)


def test_what_is_written_is_spelled_like_the_bundled_members(tmp_path: Path) -> None:
    new.plugin("bed-side", tmp_path)
    project = tomllib.loads((tmp_path / "bed-side/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "hisbus-bed-side"
    assert project["entry-points"]["hisbus.agents"] == {"bed-side": "hisbus_bed_side"}


@pytest.mark.parametrize("name", ["", "Brevity", "1st", "a_b", "-a", "a-", "../a", "x" * 51])
def test_a_name_that_cannot_be_a_plugins_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name"):
        new.plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "brevity").mkdir()
    with pytest.raises(ConfigError, match="there already"):
        new.plugin("brevity", tmp_path)
    assert list((tmp_path / "brevity").iterdir()) == []


# --- a second voice ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "verdict"), [("病情平稳。", "confirm"), ("病情平稳。" * 5, "dispute")])
async def test_the_second_voice_that_it_shows_speaks_of_what_it_is_shown(text: str, verdict: str) -> None:
    scope: dict[str, Any] = {}
    exec(SECOND, scope)
    chart = make_chart(documents=[make_document("C0038", text, id="d1", signed=NOW)])
    said = {"message": Text(zh="短", en="short"), "subject": "d1", "agent": "brevity"}
    shown = [
        Finding(id="p1", key="short-note:d1", rule="short-note", **said),
        Finding(id="p2", key="other", rule="other", **said),
        CodeSet(id="p3", key="short-note:d1", rule="short-note", **said),
    ]
    answer = await run(scope["Second"](), make_case(chart, kind="proposals.changed", proposals=shown))
    assert [(opinion.proposal, opinion.verdict) for opinion in answer.opinions] == [("p1", verdict)]


# --- a service of its own ---------------------------------------------------------------------------------------------


def test_the_declaration_that_it_shows_is_valid() -> None:
    tables = tomllib.loads(DECLARED)
    declared = Settings(site="north", **tables).remote["brevity"]
    assert declared.grants == {"documents"}
    shown = {name: getattr(declared, name) for name in ("answer_mb", "silence_s")}
    assert shown == {name: type(declared).model_fields[name].default for name in shown}
    assert tables["remote"]["brevity"].keys() == type(declared).model_fields.keys()


def test_the_service_that_it_shows_serves_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new.plugin("brevity", tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "brevity/src")
    served: dict[str, Any] = {}

    async def serve(agent: Any, **how: Any) -> None:
        served.update(agent=agent, **how)

    monkeypatch.setattr(remote, "serve", serve)
    exec(SERVICE, {"__name__": "__main__"})
    assert (served["agent"].name, served["site"]) == ("brevity", "north")
    assert served["log"].sasl_mechanism == "SCRAM-SHA-512"


# --- kinds and paths --------------------------------------------------------------------------------------------------


def rows(heading: str) -> list[tuple[str, str]]:
    """Return the first two columns of the table with that heading, the first one without its backticks."""
    _, _, table = README.partition(f"| {heading} |")
    lines = table.partition("\n\n")[0].splitlines()[2:]
    return [(cells[1].strip(" `"), cells[2].strip()) for cells in (line.split("|") for line in lines)]


def test_it_lists_the_kinds_of_events_that_there_are() -> None:
    assert rows("kind of event") == list(KINDS.items())


def test_the_evidence_paths_that_it_lists_lead_somewhere_and_nothing_else_does() -> None:
    chart = make_chart(
        patient=make_patient(sex="female"),
        documents=[make_document("C0037", id="ID", fields={"NAME": "x"})],
        vitals=[make_vital("8867-4", "80", id="ID")],
        procedures=[make_operation("ID", start=NOW)],
    )
    listed = [path for path, _ in rows("path")]
    assert len(listed) == 5
    for path in listed:
        assert resolves(chart, path), path
        assert not resolves(chart, f"{path}x"), path
        assert not resolves(make_chart().project(frozenset()), path) or "/" not in path, path


# --- the tables -------------------------------------------------------------------------------------------------------


def test_every_code_with_which_a_plugin_is_refused_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", README.partition("## When it does not run")[2]))
    raised: set[str] = set(Reply.model_fields["failure"].annotation.__args__) - {""}  # type: ignore[union-attr]
    host, sdk = ROOT / "bus/src/hisbus_bus/host", ROOT / "bus/sdk/src/hisbus"
    files = [host / f"{name}.py" for name in ("registry", "process", "agents", "remote")]
    for file in [*files, sdk / "load.py", sdk / "child.py"]:
        source = file.read_text(encoding="utf-8")
        raised |= set(
            re.findall(r'(?:_refused\((?:[\w.]+, )?|code=|failure=|_turn(?:\(|, )"(?:failed|silent)", )"(\w+)"', source)
        )
    assert raised - {"retry_later"} <= explained


def test_every_grant_is_named() -> None:
    (named,) = re.findall(r"are the parts of the chart that are sent: ([^.]*)\.", README)
    assert tuple(re.split(r",\s+", named)) == GRANTS
    assert all(f"`{word}`" in README for word in PROPOSALS)


def a_case(text: str) -> Case:
    return make_case(make_chart(documents=[make_document("C0038", text, signed=NOW)]))


class TestAsking(AgentContract):
    """The agent that asks the model keeps what every agent must keep."""

    made: dict[str, Any] = {}
    exec(ASKING, made)
    agent = made["Agent"]()

    def cases(self) -> list[Case]:
        said = self.made["Verdict"](
            contradiction=True, quotes=[{"document": "D1", "text": "平稳"}, {"document": "D1", "text": "危重"}]
        )
        return [replace(a_case("病情平稳。"), llm=FakeLLM(said)), a_case("")]

    def test_only_words_of_the_record_are_evidence(self) -> None:
        answer = asyncio.run(self.agent.assess(self.cases()[0]))
        assert [span.quote for finding in answer.proposals for span in finding.evidence] == ["平稳"]
        assert answer.unverified == 1
