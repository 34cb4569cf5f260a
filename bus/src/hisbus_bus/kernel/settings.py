"""The configuration: one TOML file, every value also as ``HISBUS_...`` variable, secrets only as files.

Nested names are joined with two underscores: ``HISBUS_WEB__LISTEN``.
"""

import os
import random
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from hisbus.errors import ConfigError
from hisbus.names import Grants, Item, Kind, Word
from hisbus_bus.kernel import variables
from hisbus_bus.kernel.mistakes import Source, sentences
from hisbus_bus.kernel.paths import located
from hisbus_bus.kernel.topics import Name

SAFE_REPLICAS = 3
"""One broker may be lost, and a second one be down meanwhile, without losing what was acknowledged."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


class LogSettings(_Table):
    """Where records are stored."""

    url: str = Field("sqlite:///var/log.db", description='The embedded log, or "kafka://HOST:PORT,...".')
    append_deadline_s: float = Field(
        10.0, gt=0, description="Seconds after which a message that could not be stored is refused (AE or CE)."
    )
    max_mb: int = Field(0, ge=0, description="Largest size of the embedded log, MiB. 0: as large as the disk.")
    retention_days: dict[Name, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description='Days that topics keep records, where other than the default: {"raw" = 90}.'
    )
    durability: Literal["replicated", "single-broker"] = Field(
        "replicated",
        description='Kafka: three replicas, two in sync; "single-broker": one, and a lost disk may lose messages.',
    )
    partitions: int = Field(
        6, ge=1, description="Kafka: partitions of each topic, the most processes a step can use. Fixed once made."
    )
    replicas: int = Field(
        0,
        ge=0,
        validate_default=True,
        description="Kafka: replicas of each topic that `hisbus topics apply` makes. 0: three, of a single broker one.",
    )
    tls_ca_file: Path | None = Field(None, description="Kafka: CA of the brokers; set, it means TLS.")
    tls_certificate_file: Path | None = Field(None, description="Kafka: our certificate, for mutual TLS.")
    tls_key_file: Path | None = Field(None, description="Kafka: key of our certificate.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="Kafka: how we log in."
    )
    sasl_user: str | None = Field(None, description="Kafka: who we log in as.")
    sasl_password_file: Path | None = Field(None, description="Kafka: file with the password.")

    @property
    def single_broker(self) -> bool:
        """Whether the operator accepted that a lost disk may lose messages."""
        return self.durability == "single-broker"

    @field_validator("replicas")
    @classmethod
    def _are_safe(cls, value: int, info: ValidationInfo) -> int:
        single = info.data.get("durability") == "single-broker"
        if 0 < value < SAFE_REPLICAS and not single:
            raise ValueError(
                f'fewer than {SAFE_REPLICAS} need durability = "single-broker", which says that a lost disk may lose'
                " messages"
            )
        return value or (1 if single else SAFE_REPLICAS)

    @field_validator("url")
    @classmethod
    def _is_a_known_log(cls, value: str) -> str:
        if not value.startswith(("sqlite:///", "kafka://")):
            raise ValueError('use "sqlite:///FILE" or "kafka://HOST:PORT,..."')
        return value


class DatabaseSettings(_Table):
    """Where charts, proposals and the audit are stored."""

    url: str = Field("sqlite:///var/hisbus.db", description='The embedded database, or "postgresql://USER@HOST/NAME".')
    password_file: Path | None = Field(None, description="File with the database password.")

    @field_validator("url")
    @classmethod
    def _is_a_known_database(cls, value: str) -> str:
        try:
            known = value.startswith("sqlite:///") or (
                value.startswith("postgresql://") and urlsplit(value).port != 0  # raises where it is no number
            )
        except ValueError:
            known = False
        if not known:
            raise ValueError('use "sqlite:///FILE" or "postgresql://USER@HOST/NAME"')
        return value


class WebSettings(_Table):
    """The page and the API."""

    listen: str = Field(
        "127.0.0.1:8080", description="Address and port. Put a TLS proxy in front of any other address."
    )
    secure_cookies: bool = Field(False, description="True behind TLS: cookies then travel over TLS only.")
    session_hours: float = Field(12.0, gt=0, description="Longest life of a log-in, hours.")
    idle_minutes: float = Field(30.0, gt=0, description="A log-in ends after this long without a request, minutes.")


class RetrySettings(_Table):
    """How often what fails is tried again before it is parked."""

    attempts: int = Field(4, ge=1, description="Attempts before a message or a call is parked.")
    first_s: float = Field(
        0.5, ge=0, description="Seconds before the second attempt; each further wait is twice as long."
    )
    longest_s: float = Field(30.0, ge=0, description="Longest wait between attempts, seconds.")

    def wait_s(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row, seconds; with jitter, so that many do not align."""
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30)) * random.uniform(0.5, 1.0)  # noqa: S311


class ReviewSettings(_Table):
    """How people decide."""

    grace_s: float = Field(
        0.0, ge=0, description="Seconds a decision waits before it leaves; as long it can be taken back."
    )


class CoverageSettings(_Table):
    """What is judged: all that rules need, or what the feeds have been seen to bring of it."""

    default: Literal["connected", "observed"] = Field(
        "connected",
        description='"observed": a rule judges once this site was seen to bring what it needs; "connected": at once.',
    )
    stays: int = Field(20, ge=1, description="Observed: on so many stays it must have come,")
    share: float = Field(0.3, ge=0, le=1, description="and on so many of those whose admission, operation ... asks it.")
    items: dict[Item, Literal["connected", "not_connected"]] = Field(
        default_factory=dict, description='By hand, whatever was seen: {"document:C0026" = "not_connected"}.'
    )


class WriteBackSettings(_Table):
    """How write-backs leave."""

    attempt_s: float = Field(
        60.0, gt=0, description="Seconds one attempt may take, connection and answer together; then it is undecided."
    )
    retry_s: float = Field(5.0, gt=0, description="Seconds between attempts while the HIS is away; grows with jitter.")
    languages: list[Literal["zh", "en"]] = Field(
        ["zh"], min_length=1, description="What leaves as text is in these languages, in this order."
    )


class LLMSettings(_Table):
    """The model's server: one vLLM, or none."""

    url: str = Field("", description='Address of the vLLM server: "https://HOST:PORT". Empty: there is no model.')
    model: str = Field("", description="Name under which the server serves the model.")
    api_key_file: Path | None = Field(None, description="File with the server's API key.")
    tls_ca_file: Path | None = Field(None, description="CA of the server, where it is the hospital's own.")
    allow_plaintext: bool = Field(
        False, description="True: http to another machine, over which charts then travel unencrypted."
    )
    concurrency: int = Field(8, ge=1, description="Questions at the server at a time; the others wait here.")
    deadline_s: float = Field(120.0, gt=0, description="Seconds one answer of the server may take.")
    breaker_failures: int = Field(3, ge=1, description="Failures in a row after which the server is left alone.")
    breaker_pause_s: float = Field(10.0, gt=0, description="Seconds before one question tries it again.")
    context_tokens: int = Field(16384, ge=256, description="Tokens of prompt and answer together that it takes.")
    max_tokens: int = Field(1024, ge=16, description="Tokens of the longest answer.")
    temperature: float = Field(0.0, ge=0, le=2, description="0: the likeliest answer.")
    template: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of the model's chat template: {enable_thinking = false}."
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value:
            return value
        try:
            parts = urlsplit(value)
            known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            known = False
        if not known or parts.username or parts.query or parts.fragment:
            raise ValueError('use "https://HOST:PORT", without user, question mark and hash')
        return value.rstrip("/").removesuffix("/v1")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.url and not self.model:
            raise ValueError("name the model that the server serves")
        if self.max_tokens >= self.context_tokens:
            raise ValueError("max_tokens leaves no room for a prompt in context_tokens")
        if self.plaintext and not self.allow_plaintext:
            raise ValueError("use https, or accept with allow_plaintext = true that charts travel unencrypted")
        return self

    @property
    def plaintext(self) -> bool:
        """Whether charts leave this machine unencrypted."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}


class PluginSettings(_Table):
    """How the child process of one plugin runs."""

    enabled: bool = Field(True, description="False: not started; its agents' open proposals stay.")
    python: Path | None = Field(None, description="Interpreter with the plugin installed. Default: ours.")
    memory_mb: int = Field(1024, ge=64, description="Address space the process may use, MiB.")
    answer_mb: int = Field(8, ge=1, description="Largest answer, MiB.")


class AgentSettings(_Table):
    """How one agent is called."""

    enabled: bool = Field(True, description="False: not called; its open proposals stay.")
    deadline_s: float = Field(30.0, gt=0, description="Seconds after which a call is ended and its process killed.")
    latest_only: bool | None = Field(
        None, description="Call once with the newest chart when several events wait. Left out: as the agent says."
    )
    max_proposals: int = Field(500, ge=1, description="An answer with more proposals is refused.")
    model: str = Field("", description="What it asks on the LLM server, such as a LoRA adapter. Empty: llm.model.")
    settings: dict[str, Any] = Field(default_factory=dict, description="The agent's own settings.")


class RemoteSettings(_Table):
    """An agent that is a service of its own and answers on the Kafka of ``log.url``. What it may see is said here."""

    kinds: Annotated[frozenset[Kind], Field(min_length=1)] = Field(description="Kinds of events that it is woken by.")
    grants: Grants = Field(frozenset(), description="Parts of the chart that it may see, where it asks for them.")
    answer_mb: int = Field(8, ge=1, le=15, description="Largest answer, MiB.")
    silence_s: float = Field(15.0, gt=0, description="Seconds without a sign of life until its calls wait for it.")


NEEDS_KAFKA = "remote: agents that are services of their own need Kafka (log.url)."


class TelemetrySettings(_Table):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    json_lines: bool = Field(True, description="JSON lines; false: for reading in a terminal.")


class Settings(_Table):
    """The whole configuration."""

    site: str = Field(description="Short name of the site: lower-case letters, digits, hyphens. Names topics.")
    secret_file: Path | None = Field(
        None,
        description="File with the site's secret, 64 hex digits; it must be there. Left out, the embedded log makes one"
        " beside itself at its first start; Kafka needs one.",
    )
    anchor_file: Path | None = Field(
        None, description="File to which the audit's daily anchor is appended; keep it on another machine."
    )
    terms_file: Path = Field(
        Path("var/terms.db"), description="Code systems that `hisbus terms load` fills and agents read."
    )
    log: LogSettings = LogSettings()
    database: DatabaseSettings = DatabaseSettings()
    web: WebSettings = WebSettings()
    retry: RetrySettings = RetrySettings()
    review: ReviewSettings = ReviewSettings()
    coverage: CoverageSettings = CoverageSettings()
    writeback: WriteBackSettings = WriteBackSettings()
    llm: LLMSettings = LLMSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    connectors: list[dict[str, Any]] = Field(
        default_factory=list, description="One table for each outside system; name and type are required."
    )
    plugins: dict[str, PluginSettings] = Field(
        default_factory=dict, description="How the child process of one plugin runs, by the plugin's name."
    )
    agents: dict[str, AgentSettings] = Field(
        default_factory=dict, description="How one agent is called, by the agent's name."
    )
    remote: dict[Word, RemoteSettings] = Field(
        default_factory=dict,
        description="Agents that are services of their own, by the agent's name: see plugins/README.md.",
    )

    @field_validator("site")
    @classmethod
    def _site_names_a_topic(cls, value: str) -> str:
        if not value or not all(c.isascii() and (c.islower() or c.isdigit() or c == "-") for c in value):
            raise ValueError("use lower-case letters, digits and hyphens only")
        return value

    def agent(self, name: str) -> AgentSettings:
        """Return an agent's settings, the defaults where none are given."""
        return self.agents.get(name, AgentSettings())

    def plugin(self, name: str) -> PluginSettings:
        """Return a plugin's settings, the defaults where none are given."""
        return self.plugins.get(name, PluginSettings())


def load(path: Path) -> Settings:
    """Read the configuration. Relative paths in it are relative to its folder, wherever the command is started.

    Raises:
        ConfigError: names every mistake with its key, and its line or its variable.
    """
    try:
        content = path.read_bytes()
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder. Name the file: --config {path / 'hisbus.toml'}") from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read. Make it with `hisbus config example > {path.name}`, or name another with --config."
        ) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: it is not in UTF-8. Save the file as UTF-8.") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    given = variables.read(Settings, os.environ)
    found = list(given.mistakes)
    try:
        settings = Settings(**given.over(tables))
    except ValidationError as error:
        found += sentences(error, Settings, Source(path, text, tables, given))
        raise ConfigError("\n".join(found)) from error
    if found:
        raise ConfigError("\n".join(found))
    return located(settings, path.absolute().parent)
