import os
import stat
from pathlib import Path

import pytest

from hisbus.errors import ConfigError
from hisbus_bus.command.example import example
from hisbus_bus.kernel.mistakes import line_of
from hisbus_bus.kernel.settings import AgentSettings, PluginSettings, Settings, load
from hisbus_bus.kernel.site import exposed_secret, load_secret, open_database

SMALLEST = """\
site = "demo"
[log]
url = "sqlite:///var/log.db"
[database]
url = "sqlite:///var/hisbus.db"
[web]
listen = "127.0.0.1:8080"
[[connectors]]
name = "his"
type = "hl7v2"
listen = "127.0.0.1:2575"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "hisbus.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_smallest_useful_configuration_is_read(tmp_path: Path) -> None:
    settings = load(write(tmp_path, SMALLEST))
    assert settings.site == "demo"
    assert settings.connectors == [{"name": "his", "type": "hl7v2", "listen": "127.0.0.1:2575"}]


def test_the_printed_example_is_valid_and_names_every_key(tmp_path: Path) -> None:
    text = example()
    load(write(tmp_path, text))
    for model in (Settings, AgentSettings, PluginSettings):
        for name, field in model.model_fields.items():
            assert f"{name} = " in text or f"[{name}" in text, name
            assert field.description is None or field.description in text, name


def test_every_default_in_the_example_is_the_model_s_own(tmp_path: Path) -> None:
    uncommented = [
        line.removeprefix("# ") if line.startswith("# ") and " = " in line and '= ""' not in line else line
        for line in example().splitlines()
    ]
    given = load(write(tmp_path, "\n".join(uncommented)))
    plain = load(write(tmp_path, SMALLEST))
    for table in ("log", "database", "web", "retry", "writeback", "llm", "telemetry"):
        assert getattr(given, table) == getattr(plain, table)
    assert given.agents["qc"] == AgentSettings()


def test_a_variable_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISBUS_WEB__LISTEN", "127.0.0.1:9999")
    assert load(write(tmp_path, SMALLEST)).web.listen == "127.0.0.1:9999"


def test_variables_give_keys_of_tables_numbers_lists_and_tables_in_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "HISBUS_SITE": "ward",
        "hisbus_retry__attempts": "7",
        "HISBUS_WEB__SECURE_COOKIES": "true",
        "HISBUS_DATABASE__PASSWORD_FILE": "db.secret",
        "HISBUS_LOG": '{"max_mb": 5, "retention_days": {"raw": 9}}',
        "HISBUS_LOG__MAX_MB": "6",
        "HISBUS_AGENTS__QC__DEADLINE_S": "3",
        "HISBUS_AGENTS__QC__SETTINGS__PROFILE": "strict",
        "HISBUS_AGENTS__QC__SETTINGS__RULES": '["R01"]',
        "HISBUS_REMOTE": '{"far": {"kinds": ["document.filed"]}}',
        "HISBUS_TEST_KAFKA": "of somebody else",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load(write(tmp_path, SMALLEST + '[agents.qc]\nmax_proposals = 9\n[agents.qc.settings]\nprofile = "p"\n'))
    assert (settings.site, settings.retry.attempts, settings.web.secure_cookies) == ("ward", 7, True)
    assert settings.database.password_file == tmp_path / "db.secret"
    assert (settings.log.max_mb, settings.log.retention_days) == (6, {"raw": 9})
    qc = settings.agent("qc")
    assert (qc.deadline_s, qc.max_proposals, qc.settings) == (3.0, 9, {"profile": "strict", "rules": ["R01"]})
    assert settings.remote["far"].kinds == {"document.filed"}


def test_each_mistake_is_named_with_key_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, SMALLEST + '[web2]\nx = 1\n[agents.qc]\ndeadline_s = "soon"\n[retry]\nattempts = 0\n')
    with pytest.raises(ConfigError) as raised:
        load(path)
    text = str(raised.value)
    assert f"{path}:12: web2" in text
    assert f"{path}:15: agents.qc.deadline_s" in text
    assert f"{path}:17: retry.attempts" in text


def test_relative_paths_are_relative_to_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    write(
        tmp_path,
        """
        site = "demo"
        secret_file = "site.secret"
        terms_file = "/srv/terms.db"
        log = {url = "sqlite:///var/log.db", tls_ca_file = "ca.pem"}
        database = {url = "postgresql://hisbus@db/hisbus", password_file = "db.secret"}
        plugins.brevity = {python = "brevity/.venv/bin/python"}
        agents.qc.settings = {rules_folder = "rules", profile = "rules"}
        connectors = [{name = "his", type = "x", tls_key_file = "k", clients = [{card_file = "a.pem"}], send = "h:1"}]
        """,
    )
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = load(Path("../hisbus.toml"))
    home = tmp_path / "elsewhere" / ".."
    assert (settings.secret_file, settings.terms_file) == (home / "site.secret", Path("/srv/terms.db"))
    assert (settings.log.url, settings.log.tls_ca_file) == (f"sqlite:///{home}/var/log.db", home / "ca.pem")
    assert settings.database.url == "postgresql://hisbus@db/hisbus"
    assert settings.database.password_file == home / "db.secret"
    assert settings.plugin("brevity").python == home / "brevity/.venv/bin/python"
    assert settings.agent("qc").settings == {"rules_folder": f"{home}/rules", "profile": "rules"}
    (his,) = settings.connectors
    assert (his["tls_key_file"], his["clients"], his["send"]) == (
        f"{home}/k", [{"card_file": f"{home}/a.pem"}], "h:1",
    )  # fmt: skip


def test_a_single_broker_needs_no_number_of_replicas(tmp_path: Path) -> None:
    log = 'site = "demo"\n[log]\nurl = "kafka://k:9092"\n'
    assert load(write(tmp_path, log)).log.replicas == 3
    assert load(write(tmp_path, log + 'durability = "single-broker"\n')).log.replicas == 1


def test_a_variable_that_is_no_json_is_named_without_its_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISBUS_CONNECTORS", "secret words")
    with pytest.raises(ConfigError, match="must be JSON") as raised:
        load(write(tmp_path, SMALLEST))
    assert "secret words" not in str(raised.value)


def test_a_file_that_is_missing_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hisbus config example"):
        load(tmp_path / "hisbus.toml")


def test_a_file_in_another_encoding_is_named_with_the_line_and_one_with_a_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hisbus.toml"
    path.write_bytes(b"\n# \xb2\xa1\xc0\xfa\n" + SMALLEST.encode())
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert str(raised.value) == f"{path}:2: it is not in UTF-8. Save the file as UTF-8."
    path.write_bytes(b"\xef\xbb\xbf" + SMALLEST.encode())  # as an editor of Windows writes it
    assert load(path).site == "demo"
    path.write_bytes(b"\xef\xbb\xbfsight = 1\n" + SMALLEST.encode())
    with pytest.raises(ConfigError, match=rf"^{path}:1: sight: "):
        load(path)


def test_a_password_that_is_no_text_is_refused_in_a_sentence(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_bytes(b"\xff\xfe")
    database = {"url": "postgresql://hisbus@db/hisbus", "password_file": secret}
    with pytest.raises(ConfigError, match=r"database\.password_file: it cannot be read as text"):
        open_database(Settings(site="demo", database=database))


def test_a_folder_for_a_file_is_answered_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path)
    assert str(raised.value) == f"{tmp_path} is a folder. Name the file: --config {tmp_path}/hisbus.toml"


def test_the_line_of_a_key_in_the_second_of_two_equal_tables_is_found() -> None:
    text = '[[connectors]]\nname = "a"\n\n[[connectors]]\nname = "b"\n'
    assert line_of(text, ["connectors", 0, "name"]) == 2
    assert line_of(text, ["connectors", 1, "name"]) == 5


def test_the_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    settings = Settings(site="demo", log={"url": f"sqlite:///{tmp_path}/log.db"})
    secret = load_secret(settings)
    path = tmp_path / "site.secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_uid == os.getuid()
    assert load_secret(settings) == secret


def test_a_lost_secret_is_never_replaced_while_the_log_needs_it(tmp_path: Path) -> None:
    (tmp_path / "log.db").touch()
    with pytest.raises(ConfigError, match="Restore"):
        load_secret(Settings(site="demo", log={"url": f"sqlite:///{tmp_path}/log.db"}))


@pytest.mark.parametrize(
    ("secret", "strong"),
    [
        (b"", False), (b"\n", False), (b"secret", False), (b"0" * 63 + b"\n", False), (b"x" * 31, False),
        (b"0123456789abcdef" * 4 + b"\n", True), (bytes(range(100, 132)), True),
    ],
)  # fmt: skip
def test_a_secret_that_can_be_guessed_is_refused_wherever_it_lies(secret: bytes, strong: bool, tmp_path: Path) -> None:
    log = {"url": f"sqlite:///{tmp_path}/log.db"}
    path = tmp_path / "site.secret"
    path.write_bytes(secret)
    for settings in (Settings(site="demo", log=log), Settings(site="demo", log=log, secret_file=path)):
        if strong:
            assert load_secret(settings) == secret
            continue
        with pytest.raises(ConfigError, match=r"Restore it, 64 hex digits; for a new site, make it: `") as raised:
            load_secret(settings)
        assert str(path) in str(raised.value)


def test_a_secret_that_others_may_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    settings = Settings(site="demo", log={"url": f"sqlite:///{tmp_path}/log.db"})
    assert exposed_secret(settings) == ""
    load_secret(settings)
    assert exposed_secret(settings) == ""
    path = tmp_path / "site.secret"
    path.chmod(0o640)
    assert exposed_secret(settings) == (
        f"The site's secret {path} can be read by others than its owner: chmod 600 {path}"
    )
