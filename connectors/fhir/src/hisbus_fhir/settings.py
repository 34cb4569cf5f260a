"""The connector's table in the configuration."""

import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hisbus import ConfigError
from hisbus.addresses import address
from hisbus.zones import UnknownZoneError, zone


class Settings(BaseModel):
    """One table ``[[connectors]]`` of type ``fhir``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, description="give the connector a name")
    type: Literal["fhir"] = Field("fhir", description='"fhir"')
    listen: str | None = Field(None, description='where bundles are taken in, "HOST:PORT"')
    token_file: Path | None = Field(None, description="a file with the bearer token that senders show")
    authority: str = Field("", description="whose numbers those are that name no system, such as the hospital's own")
    profile: Path | None = Field(None, description="a file that is laid over the shipped profile: what this HIS does")
    timezone: str = Field("UTC", description='an IANA zone such as "Asia/Shanghai", for times without offset')
    clock: Literal["wall", "feed"] = Field("wall", description='"wall", or "feed" to take the time from the messages')
    backfill: bool = Field(
        False, description="true while messages of before the site was connected are read in; they are marked"
    )
    max_mb: float = Field(8, gt=0, le=32, description="largest message, MiB, above 0, at most 32")
    idle_s: float = Field(60, gt=0, description="seconds without a request after which a connection is closed")
    request_s: float = Field(60, gt=0, description="seconds within which a request that has begun must end")
    max_connections: int = Field(64, ge=1, description="most connections at a time, at least 1")
    tls_certificate_file: Path | None = Field(None, description="our certificate for listen, with its chain, PEM")
    tls_key_file: Path | None = Field(None, description="the key of tls_certificate_file, PEM without a password")
    allow_plaintext: bool = Field(
        False, description="true to let messages travel unencrypted from other machines; it is shown"
    )

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None:
            address(value)
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        zone(value)
        return value

    @property
    def max_bytes(self) -> int:
        """The largest message, bytes."""
        return int(self.max_mb * 1024 * 1024)

    @property
    def plaintext(self) -> list[str]:
        """The key ``listen`` where messages are read by anyone on the way."""
        open_ = self.listen and self.tls_certificate_file is None and not _is_loopback(self.listen)
        return ["listen"] if open_ else []


def read_settings(table: dict[str, Any]) -> Settings:
    """Check one table of the configuration.

    Raises:
        ConfigError: names every wrong key and what belongs there.
    """
    try:
        settings = Settings.model_validate(table)
    except ValidationError as error:
        wrong = {str(item["loc"][0]): item for item in error.errors(include_input=False, include_url=False)}
        sentences = [_hint(key, item.get("ctx", {}).get("error")) for key, item in wrong.items()]
    else:
        sentences = _contradictions(settings)
        if not sentences:
            return settings
    raise ConfigError("\n".join(sentences))


def token(file: Path) -> bytes:
    """Return the token of a file.

    Raises:
        ConfigError: it cannot be read, or holds none that is worth having.
    """
    try:
        found = file.read_bytes().strip()
    except OSError as error:
        raise ConfigError("token_file: it cannot be read. Check its path and owner.") from error
    if len(found) < 16 or len(found.split()) != 1:
        raise ConfigError("token_file: write one token of 16 or more characters into it, without blanks.")
    return found


def tls(settings: Settings) -> ssl.SSLContext | None:
    """Return what TLS is spoken with; None: it is not.

    Raises:
        ConfigError: the files cannot be used.
    """
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file, password=lambda: b"")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError("tls_certificate_file, tls_key_file: they are no certificate with its key, PEM.") from error
    return context


def _contradictions(settings: Settings) -> list[str]:
    """Return what does not go together, one sentence for each."""
    wrong = []
    if settings.listen and settings.token_file is None:
        wrong.append("token_file: it is needed where the connector listens, so that not everyone can send.")
    for key, other in (("tls_certificate_file", "tls_key_file"), ("tls_key_file", "tls_certificate_file")):
        if getattr(settings, key) and not getattr(settings, other):
            wrong.append(f"{key}: it needs {other} as well.")
    if settings.plaintext and not settings.allow_plaintext:
        wrong.append("listen: messages would travel unencrypted. Set tls_certificate_file, or allow_plaintext = true.")
    return wrong


def _is_loopback(text: str) -> bool:
    host, _ = address(text)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _hint(key: str, said: object) -> str:
    if isinstance(said, UnknownZoneError):
        return f"{key}: {said}"
    known = Settings.model_fields.get(key)
    return f"{key}: {known.description}." if known else f"{key}: no key of this connector."
