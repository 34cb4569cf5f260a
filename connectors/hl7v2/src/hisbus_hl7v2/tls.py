"""TLS for both directions: contexts made from files, and made anew when these have changed."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hisbus import ConfigError
from hisbus.observe import logger

_REFUSALS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "CERTIFICATE_VERIFY_FAILED": "certificate_not_trusted",
    "UNSUPPORTED_PROTOCOL": "tls_too_old",
    "HTTP_REQUEST": "not_tls",
    "WRONG_VERSION_NUMBER": "not_tls",
}
"""OpenSSL's reasons in words of ours."""


@dataclass(frozen=True, slots=True)
class Files:
    """What a context is made from, each with the name of its key in the configuration."""

    side: Literal["server", "client"]
    certificate: tuple[str, Path] | None
    key: tuple[str, Path] | None
    ca: tuple[str, Path] | None
    """Whom the other side's certificate must come from. A server without it asks for none."""


class Context:
    """A context that follows its files: the next handshake after a change uses the new ones."""

    def __init__(self, connector: str, files: Files) -> None:
        self._files = files
        self._log = logger(connector=connector)
        self._stamp: list[tuple[int, int, int]] = []
        self._context: ssl.SSLContext | None = None

    def current(self) -> ssl.SSLContext:
        """Return the context for the next handshake. While changed files cannot be used, the one before them.

        Raises:
            ConfigError: the files cannot be used, and never could. The message begins with the key.
        """
        try:
            stamp = [_stamp(*file) for file in (self._files.certificate, self._files.key, self._files.ca) if file]
            if self._context is None or stamp != self._stamp:
                self._context, self._stamp = make(self._files), stamp
        except ConfigError as error:
            if self._context is None:
                raise
            self._log.warning("mllp.certificate_not_renewed", exc_info=error)
        return self._context


def _stamp(key: str, path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise _unreadable(key, path) from error
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def make(files: Files) -> ssl.SSLContext:
    """Return a context, TLS 1.2 at least.

    Raises:
        ConfigError: a file cannot be read, is not PEM, or key and certificate do not belong together.
    """
    for file in (files.certificate, files.key, files.ca):
        if file is not None:
            _readable(*file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if files.side == "server" else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(files.ca[1])
        except ssl.SSLError as error:
            raise ConfigError(f"{files.ca[0]}: {files.ca[1]} holds no certificate in PEM form.") from error
    if files.certificate is not None and files.key is not None:
        try:
            # Without a password of ours OpenSSL would ask for one on the terminal.
            context.load_cert_chain(files.certificate[1], files.key[1], password="")
        except ssl.SSLError as error:
            raise _unfit(files.certificate, files.key, error) from error
    return context


def _readable(key: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise _unreadable(key, path) from error


def _unreadable(key: str, path: Path) -> ConfigError:
    return ConfigError(f"{key}: {path} cannot be read. Check its path and owner.")


def _unfit(certificate: tuple[str, Path], key: tuple[str, Path], error: ssl.SSLError) -> ConfigError:
    if error.reason == "KEY_VALUES_MISMATCH":
        return ConfigError(f"{key[0]}: {key[1]} is not the key of {certificate[0]}.")
    if b"-----BEGIN CERTIFICATE-----" not in certificate[1].read_bytes():
        return ConfigError(f"{certificate[0]}: {certificate[1]} holds no certificate in PEM form.")
    return ConfigError(f"{key[0]}: {key[1]} holds no key in PEM form without a password.")


def certificate_names(transport: asyncio.BaseTransport) -> frozenset[str]:
    """Return the names in the peer's certificate: the subject's CN, and every subjectAltName."""
    certificate = transport.get_extra_info("peercert") or {}
    common = {value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"}
    return frozenset(common | {value for _, value in certificate.get("subjectAltName", ())})


def refusal(error: ssl.SSLError) -> str:
    """Return a stable word for a failed handshake."""
    return _REFUSALS.get(error.reason or "", "handshake")
