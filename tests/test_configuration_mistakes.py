"""What a person can get wrong in the first minutes, and the sentence with which ``hisbus check`` names it.

No sentence is a library's, none quotes a secret, and none comes with a traceback.
"""

# ruff: noqa: E501 - sentences are written as they are printed

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from typer.testing import CliRunner

from hisbus.errors import ConfigError
from hisbus_bus.command.check import check
from hisbus_bus.command.example import example
from hisbus_bus.command.main import app
from hisbus_bus.kernel.settings import load
from hisbus_servers.kafka import Kafka
from hisbus_servers.postgres import Postgres

PASSWORD = "pw-nobody-may-see"
OFF = "".join(f"[plugins.{name}]\nenabled = false\n" for name in ("qc", "coding", "documentation"))
"""Plugins whose processes the sentence does not need."""
HIS = '[[connectors]]\nname = "his"\ntype = "hl7v2"\nlisten = "127.0.0.1:0"\n'
WEB = '[web]\nlisten = "127.0.0.1:0"\n'

GONE = "Start the server there, or correct the address."
UNKNOWN = "Correct the name, or make this machine's DNS know it."
NO_KEYS = "`hisbus config example` lists all that there are."

TABLE: dict[str, tuple[str, str]] = {
    "a file without a site": (HIS, "1: site: it is missing. Short name of the site: lower-case letters, digits, hyphens. Names topics."),
    "a file without connectors": (
        'site = "t"\n' + WEB,
        "connectors: there is none, so no message can come in. Add a table [[connectors]]: `hisbus config example` shows one.",
    ),
    "a table that there is none of": ('site = "t"\n[lgo]\n' + HIS, "2: lgo: there is no such key. Did you mean log?"),
    "a key that there is none of": (
        'site = "t"\n[web]\nport = 80\n' + HIS, "3: web.port: there is no such key. Known here: listen, secure_cookies, session_hours, idle_minutes.",
    ),
    "a table that is like no other": ('site = "t"\n[mail]\n' + HIS, f"2: mail: there is no such key. {NO_KEYS}"),
    "a key spelled wrongly": (
        'site = "t"\n[agents.qc]\ndeadline = 3\n' + HIS, "3: agents.qc.deadline: there is no such key. Did you mean deadline_s?",
    ),
    "a number for a text": (
        'site = "t"\n[web]\nlisten = 8080\n' + HIS,
        "3: web.listen: it must be a text in quotes. Address and port. Put a TLS proxy in front of any other address.",
    ),
    "a text for a number": (
        'site = "t"\n[agents.qc]\ndeadline_s = "soon"\n' + HIS,
        "3: agents.qc.deadline_s: it must be a number. Seconds after which a call is ended and its process killed.",
    ),
    "a number out of its bounds": (
        'site = "t"\n[retry]\nattempts = 0\n' + HIS,
        "3: retry.attempts: it must be at least 1. Attempts before a message or a call is parked.",
    ),
    "a word that is none of a few": (
        'site = "t"\n[telemetry]\nlevel = "loud"\n' + HIS,
        "3: telemetry.level: it must be one of 'debug', 'info', 'warning' or 'error'. Least level that is logged.",
    ),
    "a log of another kind": (
        'site = "t"\n[log]\nurl = "redis://h"\n' + HIS, '3: log.url: use "sqlite:///FILE" or "kafka://HOST:PORT,...".',
    ),
    "a database of another kind": (
        'site = "t"\n[database]\nurl = "mysql://h/x"\n' + HIS,
        '3: database.url: use "sqlite:///FILE" or "postgresql://USER@HOST/NAME".',
    ),
    "too few replicas": (
        'site = "t"\n[log]\nurl = "kafka://k"\nreplicas = 1\n' + HIS,
        '4: log.replicas: fewer than 3 need durability = "single-broker", which says that a lost disk may lose messages.',
    ),
    "a port of the page that is taken": (
        'site = "t"\n[web]\nlisten = "{taken}"\n' + HIS,
        "3: web.listen: {taken} is taken by another process. Stop that one, or choose another port.",
    ),
    "an address of the page that is none": (
        'site = "t"\n[web]\nlisten = "8080"\n' + HIS,
        "3: web.listen: '8080' is no address. Write \"HOST:PORT\", for example \"127.0.0.1:8080\".",
    ),
    "a port that there is none of": (
        'site = "t"\n' + WEB + HIS.replace("127.0.0.1:0", "127.0.0.1:99999"),
        "7: connectors.his.listen: 127.0.0.1:99999: there is no port 99999; the largest is 65535. Choose another.",
    ),
    "a key of a connector spelled wrongly": (
        'site = "t"\n' + HIS + 'charst = "UTF-8"\n',
        "6: connectors.his.charst: no key of this connector. Did you mean charset?",
    ),
    "two connectors at one address": (
        'site = "t"\n' + HIS.replace(":0", ":2575") + HIS.replace("his", "lab").replace("127.0.0.1:0", "0.0.0.0:2575"),
        "9: connectors.lab.listen: connectors.his.listen listens at 127.0.0.1:2575, too. Choose another port for one of them.",
    ),
    "a connector at the address of the page": (
        'site = "t"\n[web]\nlisten = "localhost:8081"\n' + HIS.replace(":0", ":8081"),
        "7: connectors.his.listen: web.listen listens at localhost:8081, too. Choose another port for one of them.",
    ),
    "one file for log and database": (
        'site = "t"\n[log]\nurl = "sqlite:///var/one.db"\n[database]\nurl = "sqlite:///var/../var/one.db"\n' + HIS,
        "5: database.url: {folder}/var/../var/one.db is the file of log.url. Give each a file of its own.",
    ),
    "one file for database and code systems": (
        'site = "t"\nterms_file = "var/hisbus.db"\n' + HIS,
        "2: terms_file: {folder}/var/hisbus.db is the file of database.url. Give each a file of its own.",
    ),
    "an anchor in a folder that is not there": (
        'site = "t"\nanchor_file = "gone/anchor"\n' + HIS,
        "2: anchor_file: there is no folder {folder}/gone. Make it, or choose another.",
    ),
    "an anchor in a folder that is a file": (
        'site = "t"\nanchor_file = "file/anchor"\n' + HIS,
        "2: anchor_file: nothing can be stored in {folder}/file/anchor. A part of this path is a file. Choose another folder.",
    ),
    "an anchor that is a folder": (
        'site = "t"\nanchor_file = "."\n' + HIS,
        "2: anchor_file: nothing can be stored in {folder}. Choose another folder.",
    ),
    "an address that another machine has": (
        'site = "t"\n[web]\nlisten = "192.0.2.1:80"\n' + HIS,
        "3: web.listen: this machine has no such address as in 192.0.2.1:80. Use one that it has, or 0.0.0.0 for all of them.",
    ),
    "a port of MLLP that is taken": (
        'site = "t"\n' + WEB + HIS.replace("127.0.0.1:0", "{taken}"),
        "7: connectors.his.listen: {taken} is taken by another process. Stop that one, or choose another port.",
    ),
    "a HIS that does not listen": (
        'site = "t"\n' + WEB + HIS + 'send = "127.0.0.1:1"\n',
        "8: connectors.his.send: nobody takes connections at 127.0.0.1:1.",
    ),
    "a folder of the log that cannot be made": (
        'site = "t"\n[log]\nurl = "sqlite:///file/log.db"\n' + HIS,
        "3: log.url: nothing can be stored in {folder}/file. A part of this path is a file. Choose another folder.",
    ),
    "a folder of the database that cannot be made": (
        'site = "t"\n[database]\nurl = "sqlite:///file/h.db"\n' + HIS,
        "3: database.url: {folder}/file/h.db cannot be opened. A part of this path is a file. Choose another folder.",
    ),
    "a secret that is not there": (
        'site = "t"\nsecret_file = "gone"\n' + HIS,
        "2: secret_file: {folder}/gone does not exist. Restore it: with another, no key fits. For a new site, make it:"
        " `(umask 077; head -c 32 /dev/urandom | xxd -p -c 64 > {folder}/gone)`.",
    ),
    "a secret that is empty": (
        'site = "t"\nsecret_file = "file"\n' + HIS,
        "2: secret_file: {folder}/file is empty: patients' numbers could be guessed from the keys. Restore it, 64 hex"
        " digits; for a new site, make it: `(umask 077; head -c 32 /dev/urandom | xxd -p -c 64 > {folder}/file)`.",
    ),
    "a secret that is short": (
        'site = "t"\nsecret_file = "short"\n' + HIS,
        "2: secret_file: {folder}/short is too short: patients' numbers could be guessed from the keys. Restore it, 64 hex"
        " digits; for a new site, make it: `(umask 077; head -c 32 /dev/urandom | xxd -p -c 64 > {folder}/short)`.",
    ),
    "a plugin that is not installed": (
        'site = "t"\n[plugins.qcc]\n' + HIS,
        "2: plugins.qcc: no such plugin is installed. Known: coding, documentation, qc."
        " One that is installed in an interpreter of its own needs plugins.qcc.python.",
    ),
    "an agent that no plugin has": (
        'site = "t"\n[agents.nobody]\n' + HIS,
        "2: agents.nobody: no installed plugin has this agent. Known: none.",
    ),
    "a remote agent on the embedded log": (
        'site = "t"\n[remote.far]\nkinds = ["document.filed"]\n' + HIS,
        "remote: agents that are services of their own need Kafka (log.url).",
    ),
    "a remote agent that is given no kinds": (
        'site = "t"\n[remote.far]\n' + HIS, "2: remote.far.kinds: it is missing. Kinds of events that it is woken by.",
    ),
    "a type of connector that is not installed": (
        'site = "t"\n[[connectors]]\nname = "his"\ntype = "hl8"\n',
        "4: connectors.his.type: there is no type 'hl8'. Known: hl7v2.",
    ),
    "a zone that means several": (
        'site = "t"\n' + HIS + 'timezone = "CST"\n',
        "6: connectors.his.timezone: 'CST' may mean several zones."
        " Write the one that is meant: Asia/Shanghai or America/Chicago or America/Havana.",
    ),
    "a zone spelled wrongly": (
        'site = "t"\n' + HIS + 'timezone = "Asia/Shanghei"\n',
        "6: connectors.his.timezone: there is no IANA zone 'Asia/Shanghei'. Did you mean Asia/Shanghai?",
    ),
    "a PostgreSQL that does not run": (
        f'site = "t"\n[database]\nurl = "postgresql://hisbus:{PASSWORD}@127.0.0.1:1/h"\n' + HIS,
        f"3: database.url: nobody takes connections at 127.0.0.1:1. {GONE}",
    ),
    "a PostgreSQL on a host that is not known": (
        f'site = "t"\n[database]\nurl = "postgresql://hisbus:{PASSWORD}@no-such-host.invalid/h"\n' + HIS,
        f"3: database.url: no host of the name in no-such-host.invalid:5432 is known. {UNKNOWN}",
    ),
    "a Kafka that does not run": (
        'site = "t"\nsecret_file = "secret"\n[log]\nurl = "kafka://127.0.0.1:1"\n' + HIS,
        f"4: log.url: nobody takes connections at 127.0.0.1:1. {GONE}",
    ),
    "a Kafka on a host that is not known": (
        'site = "t"\nsecret_file = "secret"\n[log]\nurl = "kafka://no-such-host.invalid"\n' + HIS,
        f"4: log.url: no host of the name in no-such-host.invalid:9092 is known. {UNKNOWN}",
    ),
    "a Kafka that is something else": (
        'site = "t"\nsecret_file = "secret"\n[log]\nurl = "kafka://{mute}"\n' + HIS,
        "4: log.url: {mute}: connections are taken, and nobody answers as Kafka does without TLS (log.tls_ca_file is"
        " not set). Correct the addresses and log.tls_*.",
    ),
}  # fmt: skip
"""What is wrong: the file, and the sentence (after the file's name, where it begins with a line)."""

VARIABLES: dict[str, tuple[dict[str, str], str]] = {
    "a number out of its bounds": (
        {"HISBUS_RETRY__ATTEMPTS": "0"},
        "HISBUS_RETRY__ATTEMPTS: retry.attempts: it must be at least 1. Attempts before a message or a call is parked.",
    ),
    "a text for a number": (
        {"HISBUS_LOG__MAX_MB": "much"},
        "HISBUS_LOG__MAX_MB: log.max_mb: it must be a whole number. Largest size of the embedded log, MiB. 0: as large as the disk.",
    ),
    "a name that no topic can have": (
        {"HISBUS_SITE": "Ward 1"}, "HISBUS_SITE: site: use lower-case letters, digits and hyphens only.",
    ),
    "a key that there is none of": (
        {"HISBUS_WEB__LISTENS": "127.0.0.1:1"}, "HISBUS_WEB__LISTENS: web.listens: there is no such key. Did you mean listen?",
    ),
    "a table that there is none of": (
        {"HISBUS_DATABSE__URL": "sqlite:///h.db"}, "HISBUS_DATABSE__URL: databse: there is no such key. Did you mean database?",
    ),
    "a list that is no JSON": (
        {"HISBUS_CONNECTORS": "his " + PASSWORD}, "HISBUS_CONNECTORS: connectors: it must be JSON, a list in brackets.",
    ),
    "a table that is no JSON": (
        {"HISBUS_LOG__RETENTION_DAYS": "raw=90"},
        "HISBUS_LOG__RETENTION_DAYS: log.retention_days: it must be JSON, a table in braces.",
    ),
    "two keys that do not go together": (
        {"HISBUS_LLM__URL": "http://10.0.0.9:8000", "HISBUS_LLM__MODEL": "m"},
        "HISBUS_LLM__MODEL, HISBUS_LLM__URL: llm: use https, or accept with allow_plaintext = true that charts travel unencrypted.",
    ),
    "a table of variables that lacks a key": (
        {"HISBUS_REMOTE__FAR__ANSWER_MB": "4"},
        "HISBUS_REMOTE__FAR__ANSWER_MB: remote.far.kinds: it is missing. Kinds of events that it is woken by.",
    ),
    "an address of the page that is none": (
        {"HISBUS_WEB__LISTEN": "8080"},
        "HISBUS_WEB__LISTEN: web.listen: '8080' is no address. Write \"HOST:PORT\", for example \"127.0.0.1:8080\".",
    ),
    "a secret that is not there": (
        {"HISBUS_SECRET_FILE": "gone"},
        "HISBUS_SECRET_FILE: secret_file: {folder}/gone does not exist. Restore it: with another, no key fits. For a new"
        " site, make it: `(umask 077; head -c 32 /dev/urandom | xxd -p -c 64 > {folder}/gone)`.",
    ),
    "a PostgreSQL that does not run": (
        {"HISBUS_DATABASE__URL": f"postgresql://hisbus:{PASSWORD}@127.0.0.1:1/h"},
        f"HISBUS_DATABASE__URL: database.url: nobody takes connections at 127.0.0.1:1. {GONE}",
    ),
    "a port of MLLP that is taken": (
        {"HISBUS_CONNECTORS": '[{"name": "his", "type": "hl7v2", "listen": "{taken}"}]'},
        "HISBUS_CONNECTORS: connectors.his.listen: {taken} is taken by another process. Stop that one, or choose another port.",
    ),
    "a plugin that is not installed": (
        {"HISBUS_PLUGINS__QCC__ENABLED": "false"},
        "HISBUS_PLUGINS__QCC__ENABLED: plugins.qcc: no such plugin is installed. Known: coding, documentation, qc."
        " One that is installed in an interpreter of its own needs plugins.qcc.python.",
    ),
}  # fmt: skip
"""What is wrong: the variables, and the sentence."""


@pytest.fixture
def taken() -> Iterator[str]:
    """An address at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        yield f"127.0.0.1:{somebody.getsockname()[1]}"


@pytest.fixture
async def mute() -> AsyncIterator[str]:
    """An address at which somebody takes connections and hangs up."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def said(path: Path) -> list[str]:
    """Return what ``hisbus check`` prints of a file."""
    try:
        return (await check(load(path), path)).mistakes
    except ConfigError as error:
        return str(error).splitlines()


def no_library_speaks(sentences: list[str]) -> None:
    whole = "\n".join(sentences)
    assert PASSWORD not in whole
    assert not re.search(r"Traceback|pydantic|Input should|Extra inputs|Field required|Errno|sqlalche|psycopg", whole)


@pytest.mark.parametrize("what", TABLE)
async def test_each_mistake_is_named_in_words_that_say_what_to_do(
    what: str, tmp_path: Path, taken: str, mute: str
) -> None:
    text, expected = (
        part.replace("{taken}", taken).replace("{mute}", mute).replace("{folder}", str(tmp_path))
        for part in TABLE[what]
    )
    (tmp_path / "file").touch()
    (tmp_path / "secret").write_text("s" * 64)
    (tmp_path / "short").write_text("0123456789abcdef" * 3 + "\n")
    path = tmp_path / "hisbus.toml"
    if "[web]" not in text:
        text += WEB
    path.write_text(text + OFF, encoding="utf-8")
    sentences = await said(path)
    assert (f"{path}:{expected}" if expected[0].isdigit() else expected) in sentences
    no_library_speaks(sentences)


@pytest.mark.parametrize("what", VARIABLES)
async def test_a_variable_that_is_wrong_is_named_instead_of_a_line(
    what: str, tmp_path: Path, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, expected = VARIABLES[what]
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("{taken}", taken))
    path = tmp_path / "hisbus.toml"
    path.write_text('site = "t"\n' + WEB + HIS + OFF, encoding="utf-8")
    sentences = await said(path)
    assert expected.replace("{taken}", taken).replace("{folder}", str(tmp_path)) in sentences
    assert not [sentence for sentence in sentences if str(path) in sentence], "the file is well"
    no_library_speaks(sentences)


async def test_a_mistake_of_the_file_keeps_its_line_beside_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HISBUS_WEB__LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("HISBUS_LOG", '{"max_mb": 5}')
    path = tmp_path / "hisbus.toml"
    path.write_text('site = "t"\n[web]\nidle_minutes = 0\n[log]\npartitions = 0\n', encoding="utf-8")
    assert [sentence.split(": ")[0] for sentence in await said(path)] == [f"{path}:5", f"{path}:3"]


def test_the_annotated_configuration_is_well_wherever_the_command_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    site.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    text = example()
    for line in ('# listen = "127.0.0.1:8080"', 'listen = "127.0.0.1:2575"'):  # others use these ports on this machine
        assert line in text
        text = text.replace(line, 'listen = "127.0.0.1:0"')
    (site / "hisbus.toml").write_text(text, encoding="utf-8")
    done = CliRunner().invoke(app, ["--config", str(site / "hisbus.toml"), "check"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "All is well.")
    assert {path.name for path in (site / "var").iterdir()} >= {"log.db", "hisbus.db", "site.secret"}
    assert list(elsewhere.iterdir()) == []


async def test_a_secret_that_others_may_read_is_noted(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "hisbus.toml"
    secret.write_text("0123456789abcdef" * 4)
    path.write_text('site = "t"\nsecret_file = "secret"\n' + WEB + HIS + OFF, encoding="utf-8")
    for mode, notes in (
        (0o600, []),
        (0o644, [f"secret_file: {secret} can be read by others than its owner: chmod 600 {secret}"]),
    ):
        secret.chmod(mode)
        found = await check(load(path), path)
        assert (found.mistakes, found.notes) == ([], notes)


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("user", "password", "name", "cause"),
    [
        ("hisbus", PASSWORD, "postgres", "it refuses the password"),
        ("nobody", PASSWORD, "postgres", "it refuses the password"),
        ("hisbus", "right", "gone", "it has no such database"),
        ("hisbus", "right", "template1", "its pg_hba.conf does not let that user in from this machine"),
    ],
)
async def test_a_postgresql_that_refuses_us_is_named_with_the_cause(
    walled: Postgres, tmp_path: Path, user: str, password: str, name: str, cause: str
) -> None:
    path = tmp_path / "hisbus.toml"
    (tmp_path / "password").write_text(password)
    database = f'[database]\nurl = "postgresql://{user}@127.0.0.1:{walled.port}/{name}"\npassword_file = "password"\n'
    path.write_text('site = "t"\n' + database + WEB + HIS + OFF)
    sentences = await said(path)
    assert sentences == [
        f"{path}:3: database.url: 127.0.0.1:{walled.port}, as user {user!r} to database {name!r}: {cause}."
    ]
    no_library_speaks(sentences)


@pytest.fixture(scope="module")
def walled() -> Iterator[Postgres]:
    """A PostgreSQL that asks for passwords, and lets nobody else into ``template1``.

    It does not lie in pytest's folder: each session that begins shuts that to all other users, and the server is one.
    """
    with TemporaryDirectory(prefix="hisbus-postgres-") as folder:
        Path(folder).chmod(0o711)  # the server's own user walks through
        server = Postgres(Path(folder) / "server")
        (Path(folder) / "server").chmod(0o711)
        server.start()
        try:
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute("CREATE ROLE hisbus LOGIN PASSWORD 'right'")
                lines = ("postgres postgres 127.0.0.1/32 trust", "gone,postgres all 127.0.0.1/32 scram-sha-256")
                rules = connection.execute("SHOW hba_file").fetchone()
                assert rules is not None
                Path(rules[0]).write_text("".join(f"host {line}\n" for line in lines))
                connection.execute("SELECT pg_reload_conf()")
            yield server
        finally:
            server.stop()


async def answers(address: str) -> None:
    """Wait until somebody takes connections there: a broker's listeners come up one after the other."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


@pytest.mark.kafka
async def test_a_kafka_that_refuses_us_is_named_with_what_to_check(tmp_path: Path) -> None:
    broker = Kafka(tmp_path / "kafka", sasl={"hisbus": "right"})
    broker.start()
    try:
        await answers(broker.sasl_bootstrap)
        (tmp_path / "secret").write_text("s" * 64)
        (tmp_path / "password").write_text(PASSWORD)
        path = tmp_path / "hisbus.toml"
        path.write_text(
            f'site = "t"\nsecret_file = "secret"\n[log]\nurl = "kafka://{broker.sasl_bootstrap}"\n'
            'durability = "single-broker"\nsasl_mechanism = "SCRAM-SHA-512"\nsasl_user = "hisbus"\n'
            'sasl_password_file = "password"\n' + WEB + HIS + OFF
        )
        sentences = await said(path)
    finally:
        broker.stop()
    refused = "Kafka refuses us. Check log.sasl_*, log.tls_* and the rights of that user."
    assert sentences == [f"{path}:4: log.url: {broker.sasl_bootstrap}: {refused}"]
    no_library_speaks(sentences)
