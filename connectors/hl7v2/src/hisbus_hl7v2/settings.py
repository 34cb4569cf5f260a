"""The connector's table in the configuration."""

import difflib
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hisbus import ConfigError
from hisbus.addresses import address, unbound
from hisbus.zones import UnknownZoneError, zone
from hisbus_hl7v2 import charset
from hisbus_hl7v2.senders import Client
from hisbus_hl7v2.tls import Files


class NotAnAddressError(ValueError):
    """Says what belongs there."""


class Settings(BaseModel):
    """One table ``[[connectors]]`` of type ``hl7v2``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, description="give the connector a name")
    type: Literal["hl7v2"] = Field("hl7v2", description='"hl7v2"')
    listen: str | None = Field(None, description='where messages are taken in, "HOST:PORT"')
    send: str | None = Field(None, description='where write-backs go, "HOST:PORT"')
    authority: str = Field("", description="whose numbers those are that name no authority, such as the hospital's own")
    authority_by_sender: dict[str, str] = Field(
        {}, description='whose the numbers of a sender are, "MSH-3^MSH-4" = "..." or "MSH-3" = "..."; else authority'
    )
    processing_ids: tuple[str, ...] = Field(
        ("P",), min_length=1, description='the values of MSH-11 that count, ["P"]; others are stored and say nothing'
    )
    profile: Path | None = Field(None, description="a file that is laid over the shipped profile: what this HIS does")
    charset: str = Field("UTF-8", description="a name of HL7 table 0211, where MSH-18 names none")
    charset_wins: bool = Field(False, description="true where charset is right, whatever MSH-18 names")
    timezone: str = Field("UTC", description='an IANA zone such as "Asia/Shanghai", for times without offset')
    clock: Literal["wall", "feed"] = Field("wall", description='"wall", or "feed" to take the time from the messages')
    backfill: bool = Field(
        False, description="true while messages of before the site was connected are read in; they are marked"
    )
    max_mb: float = Field(32, gt=0, le=32, description="largest message, MiB, above 0, at most 32")
    idle_s: float = Field(3600, gt=0, description="seconds without a message after which a connection is closed")
    end_of_frame: Literal["FS CR", "FS"] = Field(
        "FS CR", description='"FS CR", or "FS" where a sender leaves the CR out and waits for its answer'
    )
    frame_s: float = Field(60, gt=0, description="seconds within which a message that has begun must end")
    retry_s: float = Field(2, ge=0, description="seconds for which reading stops after a message could not be stored")
    max_connections: int = Field(64, ge=1, description="most connections at a time, at least 1")
    max_connections_per_peer: int = Field(64, ge=1, description="most connections from one address, at least 1")
    accept_ack_never: Literal["answer", "silent"] = Field(
        "answer", description='how MSH-15 "NE" is read: "answer" as in the original mode, or "silent"'
    )
    connect_s: float = Field(5, gt=0, description="seconds to wait for a connection to the HIS")
    answer_s: float = Field(15, gt=0, description="seconds to wait for the HIS's acknowledgement")
    his_drops_duplicates: bool = Field(
        False, description="true only where the HIS is known to drop a second message with the same MSH-10"
    )
    tls_certificate_file: Path | None = Field(None, description="our certificate for listen, with its chain, PEM")
    tls_key_file: Path | None = Field(None, description="the key of tls_certificate_file, PEM without a password")
    tls_client_ca_file: Path | None = Field(None, description="the CA that the certificates of senders must be of, PEM")
    clients: tuple[Client, ...] = Field(
        (),
        description='tables [[connectors.clients]] with certificate = "its CN or a subjectAltName", '
        'senders = ["MSH-3^MSH-4", ...] and perhaps types = ["ADT^A01", ...]; "*" stands for any part',
    )
    send_tls_ca_file: Path | None = Field(None, description="the CA that the HIS's certificate must be of, PEM")
    send_server_name: str | None = Field(
        None, min_length=1, description="the name in the HIS's certificate where it is not the host of send"
    )
    send_certificate_file: Path | None = Field(None, description="our certificate for send, with its chain, PEM")
    send_key_file: Path | None = Field(None, description="the key of send_certificate_file, PEM without a password")
    allow_plaintext: bool = Field(
        False, description="true to let messages travel unencrypted to and from other machines; it is shown"
    )

    @field_validator("listen", "send")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                address(value)
        except ValueError as error:
            raise NotAnAddressError(unbound(error, str(value))) from error
        return value

    @field_validator("authority_by_sender")
    @classmethod
    def _are_senders(cls, values: dict[str, str]) -> dict[str, str]:
        if not all(key and key.count("^") < 2 and value for key, value in values.items()):
            raise ValueError
        return values

    @field_validator("processing_ids")
    @classmethod
    def _are_processing_ids(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if not all(value.isalnum() and value.isupper() for value in values):
            raise ValueError
        return values

    @field_validator("charset")
    @classmethod
    def _is_a_charset(cls, value: str) -> str:
        if charset.codec(value) is None:
            raise ValueError
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        zone(value)
        return value

    @property
    def codec(self) -> str:
        """The Python codec of ``charset``."""
        return charset.codec(self.charset) or "utf-8"

    @property
    def max_bytes(self) -> int:
        """The largest message, bytes."""
        return int(self.max_mb * 1024 * 1024)

    @property
    def listen_files(self) -> Files | None:
        """What TLS of the listening side is made from; None: it has none."""
        if self.tls_certificate_file is None:
            return None
        return self._files("server", "tls_certificate_file", "tls_key_file", "tls_client_ca_file")

    @property
    def send_files(self) -> Files | None:
        """What TLS of the sending side is made from; None: it has none."""
        if self.send_tls_ca_file is None:
            return None
        return self._files("client", "send_certificate_file", "send_key_file", "send_tls_ca_file")

    def _files(self, side: Literal["server", "client"], *keys: str) -> Files:
        return Files(side, *((key, getattr(self, key)) if getattr(self, key) else None for key in keys))

    @property
    def plaintext(self) -> list[str]:
        """The keys, ``listen`` and ``send``, whose messages are read by anyone on the way."""
        sides = (("listen", self.listen, self.listen_files), ("send", self.send, self.send_files))
        return [key for key, where, files in sides if where and files is None and not _is_loopback(where)]


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


_NEEDS = (
    ("tls_certificate_file", "tls_key_file"),
    ("tls_key_file", "tls_certificate_file"),
    ("tls_client_ca_file", "tls_certificate_file"),
    ("clients", "tls_client_ca_file"),
    ("send_server_name", "send_tls_ca_file"),
    ("send_certificate_file", "send_tls_ca_file"),
    ("send_certificate_file", "send_key_file"),
    ("send_key_file", "send_certificate_file"),
)


def _contradictions(settings: Settings) -> list[str]:
    """Return what does not go together, one sentence for each."""
    wrong = [
        f"{key}: it needs {other} as well."
        for key, other in _NEEDS
        if getattr(settings, key) and not getattr(settings, other)
    ]
    if not settings.allow_plaintext:
        files = {"listen": "tls_certificate_file", "send": "send_tls_ca_file"}
        wrong += [
            f"{key}: messages would travel unencrypted. Set {files[key]}, or allow_plaintext = true."
            for key in settings.plaintext
        ]
    return wrong


def _is_loopback(text: str) -> bool:
    host, _ = address(text)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _hint(key: str, said: object) -> str:
    if isinstance(said, (UnknownZoneError, NotAnAddressError)):
        return f"{key}: {said}"
    if known := Settings.model_fields.get(key):
        return f"{key}: {known.description}."
    near = difflib.get_close_matches(key, Settings.model_fields, 1)
    return f"{key}: no key of this connector.{f' Did you mean {near[0]}?' if near else ''}"
