"""What every step is given: the site's settings, keys, log and database."""

import os
import re
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hisbus.errors import ConfigError
from hisbus_bus.kernel import topics
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.paths import unmade
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.topics import Keys

if TYPE_CHECKING:  # with the metrics; what opens the database alone counts nothing
    from hisbus_bus.kernel.log import Log

SECRET_BYTES = 32
"""Of the site's secret, at least; a file of hex digits has twice as many of them."""


@dataclass(frozen=True)
class Site:
    """One site, opened."""

    settings: Settings
    keys: Keys
    log: "Log"
    database: Database

    @property
    def name(self) -> str:
        """The site's short name."""
        return self.settings.site

    def group(self, step: str) -> str:
        """Return a step's consumer group."""
        return topics.group_name(self.name, step)

    def headers(self, *, id: str, type: str, source: str, time: datetime, **more: Any) -> dict[str, str]:
        """Return a record's headers (``topics.headers``), recorded now."""
        return topics.headers(
            id=id,
            type=type,
            source=source,
            time=time,
            site=self.name,
            keyid=self.keys.id,
            recorded=datetime.now(UTC),
            **more,
        )


def envelope(settings: Settings) -> Callable[..., dict[str, str]]:
    """Return what makes headers as ``Site.headers`` does, for who opens the database alone.

    Raises:
        ConfigError: the secret cannot be read.
    """
    about: dict[str, Any] = {"site": settings.site, "keyid": Keys(load_secret(settings)).id}
    return lambda **more: topics.headers(**about, recorded=datetime.now(UTC), **more)


def open_database(settings: Settings, *, direct: bool = False) -> Database:
    """Return the configured database. Raises ConfigError where its password cannot be read.

    ``direct`` is for a command that does one thing after the other.
    """
    url = settings.database.url
    if settings.database.password_file is not None:
        try:
            password = settings.database.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                "database.password_file: it cannot be read as text. Check its path, its owner and that it is in UTF-8."
            ) from error
        scheme, _, rest = url.partition("://")
        user, at, host = rest.partition("@")
        if not at:
            raise ConfigError("database.url needs a user (postgresql://USER@HOST/NAME) for database.password_file.")
        url = f"{scheme}://{user}:{quote(password, safe='')}@{host}"
    return Database(url, direct=direct)


async def open_log(settings: Settings) -> "Log":
    """Open the configured log.

    Raises:
        ConfigError: only an operator can mend it.
        RetryLater: its disk or its brokers are away.
    """
    log = settings.log
    path = file_of(settings.log.url)
    if path is not None:
        from hisbus_bus.kernel.log.sqlite import SqliteLog  # what opens the database alone needs neither log

        return await SqliteLog.open(
            path, max_mb=log.max_mb, append_deadline_s=log.append_deadline_s, retention_days=log.retention_days
        )
    from hisbus_bus.kernel.log.kafka import KafkaLog  # a client for a server that most trials do not have

    return await KafkaLog.open(log, settings.site, settings.remote)


async def open_reader(settings: Settings) -> "Log":
    """Open the configured log beside the process that may hold it. Commands read it and write to the outbox.

    Raises:
        ConfigError: nothing was stored yet, or only an operator can mend it.
        RetryLater: its brokers are away.
    """
    path = file_of(settings.log.url)
    if path is None:
        return await open_log(settings)
    from hisbus_bus.kernel.log.sqlite_reader import SqliteReader

    return SqliteReader(path)


def file_of(url: str) -> Path | None:
    """Return the file of an embedded log or database; None where a server is configured."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def load_secret(settings: Settings) -> bytes:
    """Return the site's secret; on the embedded log it is made at the first start, readable by its owner only.

    Raises:
        ConfigError: it cannot be read or guessed too easily, or Kafka is configured and no file is named.
    """
    embedded = file_of(settings.log.url)
    path = _secret_path(settings)
    if path is None:
        raise ConfigError(
            f"secret_file is missing. Every process of a site on Kafka needs the same secret: {_made('site.secret')}."
        )
    try:
        return _strong(path.read_bytes(), settings, path)
    except FileNotFoundError as error:
        if settings.secret_file is not None:
            new = "" if embedded and embedded.exists() else f" For a new site, make it: {_made(path)}."
            raise ConfigError(
                f"secret_file: {path} does not exist. Restore it: with another, no key fits.{new}"
            ) from error
    except NotADirectoryError as error:
        raise ConfigError(f"log.url: nothing can be stored in {path.parent}. {unmade(error)}") from error
    except OSError as error:
        raise ConfigError(f"The site's secret {path} cannot be read. Check its owner.") from error
    if embedded is not None and embedded.exists():
        raise ConfigError(f"The site's secret {path} is gone, and the log was written with it. Restore the file.")
    secret = secrets.token_hex(SECRET_BYTES).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"log.url: nothing can be stored in {path.parent}. {unmade(error)}") from error
    return secret


def exposed_secret(settings: Settings) -> str:
    """Return a sentence where others than its owner may read the site's secret; empty where none may."""
    path = _secret_path(settings)
    try:
        mode = path.stat().st_mode if path is not None else 0
    except OSError:
        return ""  # `load_secret` says what is wrong with it
    if not mode & (stat.S_IRGRP | stat.S_IROTH):
        return ""
    return f"{_called(settings, path)} can be read by others than its owner: chmod 600 {path}"


def _secret_path(settings: Settings) -> Path | None:
    embedded = file_of(settings.log.url)
    return settings.secret_file or (embedded.with_name("site.secret") if embedded else None)


def _strong(secret: bytes, settings: Settings, path: Path) -> bytes:
    """Return a secret that nobody guesses.

    Raises:
        ConfigError: it is too short, as an empty file or a word is.
    """
    text = secret.strip()
    bits = 4 if re.fullmatch(rb"[0-9A-Fa-f]*", text) else 8
    if len(text) * bits >= SECRET_BYTES * 8:
        return secret
    raise ConfigError(
        f"{_called(settings, path)} is {'too short' if text else 'empty'}: patients' numbers could be guessed from the"
        f" keys. Restore it, {2 * SECRET_BYTES} hex digits; for a new site, make it: {_made(path)}."
    )


def _called(settings: Settings, path: Path | None) -> str:
    return f"The site's secret {path}" if settings.secret_file is None else f"secret_file: {path}"


def _made(path: Path | str) -> str:
    return f"`(umask 077; head -c {SECRET_BYTES} /dev/urandom | xxd -p -c 64 > {path})`"
