"""``ops/README.md`` as an operator types it, with a real Kafka and PostgreSQL: a site of many processes, and around it.

What needs root, a container engine or a model's server is not typed here; ``test_documents`` lets it be parsed.
"""

import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psycopg
import pytest
from tests.test_documents import Reader
from tests.test_readme import ROOT, blocks, text_of

from hisbus_bus.kernel.log.kafka_cluster import Cluster
from hisbus_bus.kernel.settings import load

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(900)]

OPS = "ops/README.md"
GROUPS = {"hisbus user", "hisbus evaluate"}
"""What the document calls by name only."""
ELSEWHERE = {
    "hisbus --config /etc/hisbus/hisbus.toml up",
    "hisbus up",
    "hisbus evaluate coding LABELS --texts FOLDER --out DIR",
    "hisbus evaluate indicators FILE...",
}
"""The embedded site, which the first feed of ``connectors/README.md`` runs, and what tests of evaluation give files."""
WAITS = "sh -c 'echo $HISBUS_TEST_KAFKA $HISBUS_TEST_POSTGRES; cat > /dev/null; exit 7'"
"""A command to have servers around: says where they are, and ends when its input does."""
READY_S = 240.0
GARBAGE = b"\x0bhello, is this HL7?\x1c\r"


def written(*words: str) -> list[str]:
    """Return the lines of the one shell block of the document that has these words."""
    (block,) = [block for block in blocks(OPS, "sh") if all(word in block for word in words)]
    return block.splitlines()


def named() -> Iterator[str]:
    """Yield the commands that the document's sentences name, in its order, with all their words."""
    prose = re.sub(r"^```.*?^```$", "", text_of(OPS), flags=re.DOTALL | re.MULTILINE)
    for words in re.findall(r"`(hisbus [^`]+)`", prose):
        command = " ".join(words.split())
        if command not in GROUPS | ELSEWHERE:
            yield command


def until(what: str, holds: Callable[[], bool], running: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + READY_S
    while not holds():
        assert all(process.poll() is None for process in running), f"a process ended before {what}"
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@contextmanager
def servers(reader: Reader, line: str) -> Iterator[tuple[str, str]]:
    """Type the line that has servers around a command; the block may use them, and the command ends with it."""
    assert line.partition("#")[0].rstrip().endswith(" COMMAND")
    with subprocess.Popen(
        reader.shell("exec " + line.replace(" COMMAND", f" {WAITS}")), cwd=reader.folder, env=reader.environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.readline().split()
        assert len(said) == 2, "no servers came"
        yield said[0], said[1]
    assert process.returncode == 7, "the exit status is the command's"


def prepared(reader: Reader, kafka: str, postgres: str) -> str:
    """Make the site's secrets, database and configuration as the document has them; return the database's address."""
    reader.types(written("openssl")[0])
    assert {(reader.folder / "var" / name).stat().st_mode & 0o777 for name in ("site.secret", "database.secret")} == {
        0o600
    }
    with psycopg.connect(postgres, autocommit=True) as connection:
        password = (reader.folder / "var/database.secret").read_text().strip()
        connection.execute(f"CREATE ROLE hisbus LOGIN PASSWORD '{password}'")
        connection.execute("CREATE DATABASE hisbus OWNER hisbus")
    text = blocks(OPS, "toml")[0]
    for shown, here in (
        ("kafka-1:9092,kafka-2:9092,kafka-3:9092", kafka),
        ("hisbus@db/", f"hisbus@{postgres.partition('@')[2].partition('/')[0]}/"),
        ("/etc/hisbus/", f"{reader.folder}/var/"),
    ):
        assert shown in text
        text = text.replace(shown, here)
    feed = blocks("connectors/README.md", "toml")[0]
    text += reader.mine(feed[feed.index("[[connectors]]") :])
    (reader.folder / "hisbus.toml").write_text(text, encoding="utf-8")
    return f"{postgres.rpartition('/')[0]}/hisbus"


async def are_as_the_comment_says(configuration: Path, line: str) -> None:
    """Compare the topics with what the document says of them, and with what the site asks for."""
    from aiokafka.admin import AIOKafkaAdminClient

    partitions, replicas, _ = map(int, re.findall(r"\d+", line.partition("#")[2]))
    settings = load(configuration)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.log.url.removeprefix("kafka://"))
    await admin.start()
    try:
        made = [topic for topic in await admin.describe_topics() if topic["topic"].startswith("demo.")]
    finally:
        await admin.close()
    assert made
    for topic in made:
        spread = [len(partition["replicas"]) for partition in topic["partitions"]]
        assert spread == [replicas] * partitions, topic["topic"]
    cluster = Cluster(settings.log, settings.site, settings.remote)
    await cluster.open()
    try:
        assert await cluster.mistakes() == [], "as many in sync as the site needs"
    finally:
        await cluster.close()


@contextmanager
def steps(reader: Reader, lines: list[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start the steps that the document starts, and those that its comment names; end them in order."""
    typed = [line.partition("#")[0].strip() for line in lines]
    others = re.findall(r"[a-z]+", lines[-1].partition("#")[2].partition(":")[0])
    typed += [line for step in others if (line := f".venv/bin/hisbus run {step}") not in typed]
    with ExitStack() as stack:
        running = []
        for line in typed:
            log = stack.enter_context((reader.folder / f"{line.rpartition(' ')[2]}.log").open("wb"))
            process = subprocess.Popen(
                reader.shell("exec " + line), cwd=reader.folder, env=reader.environment, stdout=log, stderr=log
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            running.append(process)
        yield running
        for process in running:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in running] == [0] * len(running)


def a_feed_comes_in(reader: Reader, database: str, running: list[subprocess.Popen[bytes]]) -> None:
    """Send a ward's messages and one that cannot be read; wait until they are charted and set aside."""
    page = f"http://{reader.ports['127.0.0.1:8080']}/readyz"

    def answers() -> bool:
        try:
            return httpx.get(page).status_code == 200
        except httpx.TransportError:
            return False

    until("the page is ready", answers, running)
    reader.types(".venv/bin/hisbus-simulator send --to 127.0.0.1:2575 --patients 1")
    host, _, port = reader.ports["127.0.0.1:2575"].partition(":")
    with socket.create_connection((host, int(port))) as sender:
        sender.sendall(GARBAGE)
        assert b"|AR|" in sender.recv(65536)

    def stored(table: str) -> bool:
        with psycopg.connect(database) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return row is not None and row[0] > 0

    for table in ("encounters", "parked", "audit_seals"):
        until(f"there are {table}", lambda table=table: stored(table), running)  # type: ignore[misc]


class Operator:
    """Types what the document's sentences name, with names and ids of this site for what stands in capitals."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.token = self.parked = ""

    def types(self, command: str) -> str:
        # What the feed has sent is no HL7, whatever is mended: it stays refused, and the command says so.
        return self.reader.types(f".venv/bin/{command}", int(command.startswith("hisbus replay")))

    def filled(self, command: str) -> str:
        if "token revoke" in command:
            command = command.replace(
                "ID", re.findall(r"\b[0-9a-f]{8}\b", self.types("hisbus user token list alice"))[0]
            )
        if command == "hisbus replay ID":
            command = command.replace("ID", re.findall(r"\b[0-9a-f]{32}\b", self.types("hisbus parked"))[0])
        if "hisbus staff import FILE.csv" in command:
            (self.reader.folder / "FILE.csv").write_text("number,name,authority\nD101,Li,HIS\n", encoding="utf-8")
            command += " --yes"  # nobody can be asked here
        return command.replace("NAME", "alice").replace("TARGET", "step:timers")


@pytest.mark.usefixtures("kafka", "postgres")
async def test_a_site_of_many_machines_works_as_it_is_written(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.environment |= {"COLUMNS": "300"}
    around = next(line for line in written("hisbus_servers run") if "COMMAND" in line)
    apply, *run = written("topics apply")
    with servers(reader, around) as (kafka, postgres):
        database = prepared(reader, kafka, postgres)
        reader.types(apply)
        await are_as_the_comment_says(tmp_path / "hisbus.toml", apply)
        with steps(reader, run) as running:
            a_feed_comes_in(reader, database, running)
            add = written("docker compose")[-1].partition("hisbus.toml ")[2]
            assert add.startswith("user add alice")
            operator = Operator(reader)
            operator.types(f"hisbus {add}")
            for command in named():
                operator.types(operator.filled(command))
            listed = operator.types("hisbus user list")
            assert "alice" in listed and "disabled" in listed and "HIS/D101" in listed and "Li" in listed
            assert "run" in operator.types("hisbus controls")
        assert "rows are as they were sealed" in operator.types("hisbus audit verify")


@pytest.mark.usefixtures("kafka", "postgres")
def test_servers_for_a_trial_are_up_until_ctrl_c_and_print_the_lines_of_the_configuration() -> None:
    with TemporaryDirectory(prefix="hisbus-servers-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's own user walks through
        reader = Reader(folder)
        assert written("make servers")[0].startswith("make servers ")
        # What make runs, in a folder of ours: in the checkout's own somebody's servers may be running.
        (recipe,) = subprocess.run(
            ["make", "-n", "--no-print-directory", "servers"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.splitlines()[-1:]
        (folder / "var").mkdir()
        (folder / "var").chmod(0o711)
        (folder / "var/servers").mkdir()
        (folder / "var/servers").chmod(0o711)
        with subprocess.Popen(
            reader.shell("exec " + recipe), cwd=folder, env=reader.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                printed = "".join(process.stdout.readline() for _ in range(5))
                secret = folder / "site.secret"
                secret.write_text("s" * 64)
                (folder / "hisbus.toml").write_text(f'site = "demo"\nsecret_file = "{secret}"\n{printed}')
                assert load(folder / "hisbus.toml").log.single_broker, "as the document says of one broker"
                reader.types(".venv/bin/hisbus topics apply")
                reader.types(".venv/bin/hisbus user add alice")
            finally:
                process.send_signal(signal.SIGINT)
        assert process.returncode == 128 + signal.SIGINT


def test_a_machine_that_has_the_servers_lacks_nothing(kafka: str, postgres: str, tmp_path: Path) -> None:
    (line,) = [line for line in written("lacking") if "lacking" in line]
    assert Reader(tmp_path).types(line) == ""


def test_the_tests_with_servers_are_those_that_make_names() -> None:
    """Typed it would run this test once more."""
    assert any(line.startswith("make test-servers ") for line in written("make servers"))
    made = subprocess.run(
        ["make", "-n", "--no-print-directory", "test-servers"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    words = shlex.split(made.splitlines()[-1])
    assert words[1:4] == ["-m", "hisbus_servers", "run"] and words[words.index("pytest") :][-1] == (
        "kafka or postgres or long"
    )
