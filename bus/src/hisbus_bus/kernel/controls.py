"""Controls: what an operator asked of a part of the site, and how the parts of a process come to know of it.

A target is ``step:NAME``, ``connector:NAME`` or ``agent:NAME``. Nothing on a message's path reads the table: beside it
a task does, every two seconds, and while the database is away what was known last goes on.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import and_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import Refused, RetryLater
from hisbus_bus.kernel import audit, tables
from hisbus_bus.kernel.bulk import Rows, write
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.signals import Signals
from hisbus_bus.kernel.telemetry import logger
from hisbus_bus.kernel.topics import FLOW

Wanted = Literal["run", "pause", "drain"]
"""``pause``: start nothing; what runs is finished and committed. ``drain``: take nothing new in, finish what is in
hand. ``run``: go on."""

Now = Literal["running", "stopping", "paused", "drained", "resuming"]
"""``stopping``: no process has said yet that it came to rest; ``resuming``: none that it goes on."""

EVERY_S = 2.0
"""How often a process reads the controls, seconds."""

_WEAKEST_FIRST: tuple[Wanted, ...] = ("run", "drain", "pause")
_AT_REST: dict[str, Now] = {"pause": "paused", "drain": "drained"}
_NAME = re.compile(r"(step|connector|agent):[A-Za-z0-9_.-]{1,64}")

log = logger(step="controls")


class UnknownTarget(Refused):
    """Name a part of this site: step:NAME, connector:NAME or agent:NAME."""

    code = "unknown_target"
    status = 422


@dataclass(frozen=True, slots=True)
class Control:
    """What was asked of one target, and what it does now."""

    target: str
    wanted: Wanted
    who: str
    """``user:NAME``, or ``command:NAME`` with the operating system's name."""
    changed: datetime
    reason: str
    now: Now


def check(settings: Settings, target: str) -> None:
    """Refuse what cannot be a part of the site. Which agents there are, only a process that calls them knows.

    Raises:
        UnknownTarget: it says what is known.
    """
    kind, _, name = target.partition(":")
    if not _NAME.fullmatch(target):
        raise UnknownTarget
    known = {"step": list(FLOW), "connector": [str(table.get("name", "")) for table in settings.connectors]}
    if kind in known and name not in known[kind]:
        raise UnknownTarget(f"There is no {target}. Known: {', '.join(known[kind]) or 'none'}.")


async def ask(connection: AsyncConnection, target: str, wanted: Wanted, *, who: str, reason: str = "") -> None:
    """Ask something of a target that ``check`` let pass; audited in the same transaction."""
    row = {"target": target, "wanted": wanted, "who": who, "changed": datetime.now(UTC), "reason": reason}
    await write(connection, Rows(tables.controls, [row]))
    await audit.record(connection, actor=who, action=f"control.{wanted}", object=target, reason=reason)


async def read(connection: AsyncConnection) -> list[Control]:
    """Return everything that was asked, by target, also of what runs again."""
    asked, held = tables.controls, tables.signals
    rests = and_(held.c.part == asked.c.target, held.c.kind == "held", held.c.ended.is_(None))
    query = select(asked, held.c.detail).select_from(asked.outerjoin(held, rests)).order_by(asked.c.target)
    return [
        Control(row.target, row.wanted, row.who, row.changed, row.reason, _now(row.wanted, row.detail))
        for row in await connection.execute(query)
    ]


def _now(wanted: Wanted, held: str | None) -> Now:
    if wanted == "run":
        return "resuming" if held else "running"
    return _AT_REST[wanted] if held == wanted else "stopping"


class Part:
    """One part of this process: what is asked of it now, and what it says of itself."""

    def __init__(self, name: str, *also: str, signals: Signals | None = None) -> None:
        """Take the target that it is named by, and those that it obeys besides: an agent also ``step:dispatch``."""
        self.name = name
        self.targets = (name, *also)
        self.wanted: Wanted = "run"
        self._signals = signals
        self._working = 0
        self._wakes: list[Callable[[], None]] = []
        self._rests: list[Callable[[], bool]] = []

    @property
    def takes(self) -> bool:
        """Whether it may take something new in."""
        return self.wanted == "run"

    @property
    def starts(self) -> bool:
        """Whether it may start anything, also what it has in hand."""
        return self.wanted != "pause"

    @property
    def at_rest(self) -> bool:
        """Whether nothing goes on in it that was asked to end."""
        return not self._working and all(rests() for rests in self._rests)

    def attach(self, wake: Callable[[], None], rests: Callable[[], bool] = lambda: True) -> None:
        """Let a loop belong to it.

        Args:
            wake: called when something else is asked.
            rests: whether the loop has come to what is asked now.
        """
        self._wakes.append(wake)
        self._rests.append(rests)

    def __enter__(self) -> None:
        """Count as at work while the block lasts."""
        self._working += 1

    def __exit__(self, *_: object) -> None:
        """One block less."""
        self._working -= 1

    def hear(self, asked: dict[str, Wanted]) -> None:
        """Take what is asked by target; of several the strictest counts."""
        wanted = max((asked.get(target, "run") for target in self.targets), key=_WEAKEST_FIRST.index)
        if wanted != self.wanted:
            log.info("control", part=self.name, status=wanted)
            self.wanted = wanted
            for wake in self._wakes:
                wake()

    def waits(self, code: str) -> None:
        """Say that it waits for what it depends on."""
        if self._signals is not None:
            self._signals.begins(self.name, "outage", code)

    def goes_on(self) -> None:
        """Say that it waits no more."""
        if self._signals is not None:
            self._signals.ends(self.name, "outage")


class Watcher:
    """Reads the controls, and tells the parts of this process."""

    def __init__(self, database: Database, signals: Signals) -> None:
        self._database = database
        self._signals = signals
        self._parts: list[Part] = []
        self._asked: dict[str, Wanted] = {}
        self._unsaid: set[str] = set()
        self._looked = asyncio.Event()

    def part(self, name: str, *also: str, speaks: bool = True) -> Part:
        """Make a part of this process, and tell it from now on what is asked of it.

        Args:
            name: its target.
            also: the targets that it obeys besides.
            speaks: whether this process says for ``name`` that it came to rest; else another does, with the rest of it.
        """
        part = Part(name, *also, signals=self._signals)
        if not speaks:
            self._unsaid.add(name)
        part.hear(self._asked)
        self._parts.append(part)
        return part

    async def first_look(self) -> None:
        """Wait until the controls were read once, so that what is paused starts paused; no longer than one round."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._looked.wait(), EVERY_S)

    async def run(self) -> None:
        """Read and tell until cancelled."""
        away = False
        while True:
            try:
                await self.look()
                away = False
            except (RetryLater, SQLAlchemyError) as error:  # beside intake the tables may not be there yet
                if not away:
                    log.warning("controls unread", code=getattr(error, "code", ""))
                away = True
            self._looked.set()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Read the controls once, tell the parts, and say which targets have come to rest.

        Raises:
            RetryLater: the database is away; the parts go on with what they heard last.
        """
        table = tables.controls.c
        async with self._database.read() as connection:
            rows = await connection.execute(select(table.target, table.wanted))
            self._asked = {row.target: row.wanted for row in rows}
        for part in self._parts:
            part.hear(self._asked)
        for target in {target for part in self._parts for target in part.targets} - self._unsaid:
            self._tell(target, [part for part in self._parts if target in part.targets])

    def _tell(self, target: str, parts: Iterable[Part]) -> None:
        wanted = self._asked.get(target, "run")
        if wanted == "run":
            self._signals.ends(target, "held")
        elif all(part.at_rest for part in parts):
            self._signals.begins(target, "held", wanted)
