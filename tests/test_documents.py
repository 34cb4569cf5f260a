"""What the documents tell people to type: each command exists with all its words, and what can be run here is run."""

import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import typer
from tests.test_readme import DOCUMENTS, ROOT, blocks

from hisbus_bus.command.main import app as hisbus
from hisbus_bus.host.registry import connectors
from hisbus_bus.kernel.settings import load
from hisbus_hl7v2 import captured
from hisbus_hl7v2.settings import address
from hisbus_servers.cli import app as servers
from hisbus_simulator.cli import app as simulator

BIN = Path(sys.executable).parent
KNOWN = {"hisbus": hisbus, "hisbus-simulator": simulator}
STARTS_S = 60.0


def lines(document: str) -> list[str]:
    """Return the commands of a document's shell blocks, one each, comments included."""
    text = "\n".join(blocks(document, "sh")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


COMMANDS = [(document, line) for document in DOCUMENTS for line in lines(document)]


def parsed(group: typer.Typer, words: list[str]) -> None:
    """Let the command's own parser read all words; it complains of an option or a command that does not exist."""
    command: Any = typer.main.get_command(group)
    context = None
    while True:
        context = command.make_context(command.name, list(words), parent=context)
        if not isinstance(command, click.Group):
            return
        left = [*context._protected_args, *context.args]
        _, command, words = command.resolve_command(context, left)


@pytest.mark.parametrize("document, line", COMMANDS, ids=lambda value: value.partition("#")[0].strip()[:60])
def test_each_command_exists_with_all_its_words(document: str, line: str) -> None:
    words = shlex.split(re.sub(r"[()]", " ", line), comments=True)
    words = [word for word in words if word not in {"&&", ">"}]
    names = [Path(word).name for word in words]
    at = next((n for n, name in enumerate(names) if name in KNOWN), None)
    if "make" in names:
        assert f"\n{names[names.index('make') + 1]}:" in (ROOT / "Makefile").read_text()
    elif "hisbus_servers" in names:
        parsed(servers, words[names.index("hisbus_servers") + 1 :])
    elif at is not None:
        given = words[at + 1 :]
        if given[-1:] == ["hisbus.toml"] and given[:2] == ["config", "example"]:
            given = given[:-1]  # where its output goes
        if given[:1] == ["--config"]:
            given = given[2:]
        parsed(KNOWN[names[at]], given)
    else:
        assert names[0] in {"docker", "mkdir", "sudo", "export", "python", "pip"}, "nobody looks whether it exists"


class Reader:
    """Somebody who types what stands there into a shell, in a folder with nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
            free = [f"127.0.0.1:{taken.getsockname()[1]}" for taken in (a, b)]
        self.ports = dict(zip(("127.0.0.1:2575", "127.0.0.1:8080"), free, strict=True))
        self.environment = {**os.environ, "HISBUS_WEB__LISTEN": free[1]}

    def mine(self, text: str) -> str:
        """Return a text with ports that are free here."""
        for written, free in self.ports.items():
            text = text.replace(written, free)
        return text

    def shell(self, line: str) -> list[str]:
        return ["sh", "-c", self.mine(line).replace(".venv/bin/", f"{BIN}/")]

    def types(self, line: str, code: int = 0) -> str:
        """Run a line, which must end well, or with ``code``; return what it printed."""
        done = subprocess.run(
            self.shell(line), cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def starts(self, line: str) -> subprocess.Popen[bytes]:
        """Start what stays, and wait until its page answers."""
        process = subprocess.Popen(
            self.shell("exec " + line), cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        url, deadline = f"http://{self.ports['127.0.0.1:8080']}/readyz", time.monotonic() + STARTS_S
        while True:
            try:
                if httpx.get(url).status_code == 200:
                    return process
            except httpx.TransportError:
                pass
            assert process.poll() is None and time.monotonic() < deadline, f"{line} does not answer"
            time.sleep(0.2)

    @contextmanager
    def started(self, line: str) -> Iterator[None]:
        """Run what stays while the block lasts; it must end well."""
        process = self.starts(line)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0

    def tells(self, file: bytes) -> None:
        """Send the messages of a file to the site; each must be taken. Return once nothing is left to do."""
        with socket.create_connection(address(self.ports["127.0.0.1:2575"]), STARTS_S) as wire:
            for message in captured.split(file):
                wire.sendall(b"\x0b" + message + b"\x1c\r")
                answer = b""
                while not answer.endswith(b"\x1c\r"):
                    answer += wire.recv(4096)
                assert b"MSA|AA" in answer
        deadline = time.monotonic() + STARTS_S
        while any(httpx.get(f"http://{self.ports['127.0.0.1:8080']}/readyz").json()["lag"].values()):
            assert time.monotonic() < deadline, "the messages are not read"
            time.sleep(0.2)

    def live(self, line: str) -> str:
        """Run a line that lists releases; return the row of the live one, of which there may be none yet."""
        (row,) = [row for row in self.types(line).splitlines() if " live " in row] or [""]
        return row

    def stays(self) -> list[tuple[str, str]]:
        """Return number and status of every stay."""
        with closing(sqlite3.connect(self.folder / "var/hisbus.db")) as database:
            return database.execute("SELECT number, status FROM encounters ORDER BY number").fetchall()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_first_feed_works_as_it_is_written(tmp_path: Path) -> None:
    reader, document = Reader(tmp_path), "connectors/README.md"
    setup, example, check, user, up = blocks(document, "sh")[0].splitlines()
    assert setup.startswith("make setup")
    reader.types(example)
    configuration = tmp_path / "hisbus.toml"
    configuration.write_text(reader.mine(configuration.read_text()))
    reader.types(check)
    assert len(reader.types(user).strip()) >= 12, "a password is made where nobody can be asked"
    running = reader.starts(up)
    try:
        reader.types(".venv/bin/hisbus-simulator send --to 127.0.0.1:2575 --patients 2")
        conversations = tmp_path / "conversations"
        conversations.mkdir()
        (conversations / "first.hl7").write_text(blocks(document, "hl7")[0])
        (conversations / "first.json").write_text(blocks(document, "json")[0])
        for line in blocks(document, "sh")[1].splitlines():
            reader.types(line)
    finally:
        running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 0


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_his_that_does_it_differently_is_read_by_a_file_as_it_is_written(tmp_path: Path) -> None:
    reader, document = Reader(tmp_path), "connectors/README.md"
    morning = (ROOT / "tests/field/inputs/local.hl7").read_bytes()
    conversations = tmp_path / "conversations"
    conversations.mkdir()
    (conversations / "morning.hl7").write_bytes(morning)
    (conversations / "morning.json").write_text(blocks(document, "json")[1])
    ours, named, *_ = (one for one in blocks(document, "toml")[1:] if "our-his.toml" in one)
    site = reader.mine(blocks(document, "toml")[0].partition("[[connectors]]")[0] + named)
    without = site.replace('profile = "our-his.toml"\n', "")
    assert without != site
    configuration = tmp_path / "hisbus.toml"
    unread, tried, read, again, kept, shown = blocks(document, "sh")[2:8]

    configuration.write_text(without)
    with reader.started(".venv/bin/hisbus up"):
        reader.tells(morning)
    played, begun = unread.splitlines()
    assert "there is no chart of LV1" in reader.types(played, 1)
    reader.types(begun)
    assert '# "RYJL" = ""' in (tmp_path / "our-his.toml").read_text()
    (tmp_path / "our-his.toml").write_text(ours)
    checked, tells = tried.splitlines()
    assert "0 are doubtful" in reader.types(checked)
    assert "stay 1 appears" in reader.types(tells)
    configuration.write_text(site)
    for line in read.splitlines():
        reader.types(line)
    rehearsed, replayed = again.splitlines()
    with reader.started(".venv/bin/hisbus up"):
        assert "3 would change" in reader.types(rehearsed)
        assert reader.stays() == []
        reader.types(replayed)
        deadline = time.monotonic() + STARTS_S
        listed, used = kept.splitlines()
        while not (" 3 " in (live := reader.live(listed)) and reader.stays() == [("LV1", "admitted")]):
            assert time.monotonic() < deadline, "the stored messages were not all read again"
            time.sleep(0.2)
        assert "takes it up" in reader.types(used)
    assert "step:translate" in live
    reader.types(shown)
    assert b"RYJL" in (tmp_path / "shown.hl7").read_bytes()
    assert b"LP1" not in (tmp_path / "shown.hl7").read_bytes()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_an_evaluation_works_as_it_is_written(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    (tmp_path / "var").mkdir()
    (tmp_path / "hisbus.toml").write_text(blocks("connectors/README.md", "toml")[0])
    (written,) = [block for block in blocks("ops/README.md", "sh") if "evaluate run" in block]
    for line in written.splitlines():
        reader.types(line)
    assert (tmp_path / "var/qc/report.html").exists()


@pytest.mark.long
def test_code_systems_are_loaded_as_it_is_written(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    (tmp_path / "hisbus.toml").write_text(blocks("connectors/README.md", "toml")[0])
    (written,) = blocks("plugins/coding/README.md", "sh")
    diagnosis = "疾病编码,疾病名称\nK35.900,急性阑尾炎\nA01.000,伤寒\n"
    for line in written.splitlines():
        for file in re.findall(r"(\S+\.csv)", line):
            crosswalk = "源编码,目标编码\nK35.900,K35.9\n" if "crosswalk" in line else diagnosis
            (tmp_path / file).write_text(crosswalk, encoding="utf-8")
    for line in written.splitlines():
        if "crosswalk" not in line:  # its columns are the table's own; the plugin's tests load one
            reader.types(line.replace("hisbus ", ".venv/bin/hisbus ", 1))


@pytest.mark.parametrize("document", ["connectors/README.md", "plugins/README.md"])
def test_each_configuration_is_read_by_its_connectors(tmp_path: Path, document: str) -> None:
    read = 0
    for text in blocks(document, "toml"):
        if "[[connectors]]" not in text:
            continue
        path = tmp_path / "hisbus.toml"
        files = {name: tmp_path / Path(name).name for name in re.findall(r'"(/etc/hisbus/[^"]+)"', text)}
        for name, file in files.items():
            file.write_text("")
            text = text.replace(name, str(file))
        path.write_text(text if text.startswith("site") else f'site = "test"\n{text}')
        assert [connector.name for connector in connectors(load(path))] in (["his"], ["ehr"])
        read += 1
    assert read
