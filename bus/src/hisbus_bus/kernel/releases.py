"""Releases: what an agent goes by, as data with a version. The same content is the same release, whoever starts it.

A release is registered before anything is said by it, and every assessment, proposal and decision names it, so that a
write-back leads to what it was made by.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.answer import hash_of
from hisbus.frames import AgentInfo
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import Rows, write
from hisbus_bus.kernel.topics import digest

Kind = Literal["agent", "profile", "scenario", "rubric", "adapter"]
State = Literal["draft", "shadow", "live", "retired"]

_table = tables.releases.c


@dataclass(frozen=True, slots=True)
class Release:
    """One version of what a part of the site goes by."""

    kind: Kind
    name: str
    version: str
    """As its author calls it; what tells two releases apart is the hash."""
    content: str
    """What it is, JSON with sorted keys."""

    @property
    def hash(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    @property
    def id(self) -> str:
        """The same wherever the same content goes by the same name."""
        return digest("release", self.kind, self.name, self.hash)


def of_agent(info: AgentInfo, settings: Mapping[str, Any]) -> Release:
    """Return what an agent goes by: what it declares, its package's files, its settings and the files these name.

    It reads those files, so it is no work for the event loop. A file that cannot be read counts as one without content.

    Args:
        info: what the agent declares.
        settings: the operator's for it.
    """
    files = {str(path): hash_of(path) for path in sorted(set(_named(settings)))}
    unordered = {name: sorted(getattr(info, name)) for name in ("kinds", "grants")}
    content = {"agent": info.model_dump(mode="json") | unordered, "settings": settings, "files": files}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return Release("agent", info.name, info.version, text)


async def register(
    connection: AsyncConnection, release: Release, *, author: str, made_from: str, state: State = "live"
) -> None:
    """Keep a release, once: one that is known stays as it is.

    Args:
        connection: of a transaction that writes.
        release: what to keep. The newest live one of its kind and name is its parent.
        author: who made it, as the audit names actors.
        made_from: where it came from.
        state: what it is to be used for.
    """
    if await connection.scalar(select(_table.id).where(_table.id == release.id)) is not None:
        return
    its = (_table.kind == release.kind) & (_table.name == release.name) & (_table.state == "live")
    parent = await connection.scalar(select(_table.id).where(its).order_by(_table.created.desc(), _table.id).limit(1))
    now = datetime.now(UTC)
    row = {
        "id": release.id,
        "kind": release.kind,
        "name": release.name,
        "version": release.version,
        "content": release.content,
        "hash": release.hash,
        "parent": parent or "",
        "author": author,
        "made_from": made_from,
        "state": state,
        "evaluation": "",
        "approvals": "[]",
        "created": now,
        "changed": now,
    }
    await write(connection, Rows(tables.releases, [row], "keep"))


def _named(value: Any) -> Iterator[Path]:
    """Yield the files that settings name by their whole path, and those in the folders that they name."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _named(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _named(each)
    elif isinstance(value, str | Path) and Path(value).is_absolute():
        path = Path(value)
        if path.is_dir():
            yield from (file for file in path.rglob("*") if file.is_file())
        elif path.is_file():
            yield path
