"""Coverage: what this site's feeds bring, as it was found by the chart step, configured, or said by people.

It is a journal: nothing in it is changed, and what holds at a version follows from its rows up to there. Whoever adds
to it holds its lock until the transaction ends; only a word by which something else is judged makes a version, and
tells every stay that still matters.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from sqlalchemy import false, func, or_, select

from hisbus_bus.kernel import audit, charts, outbox, tables
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.settings import CoverageSettings
from hisbus_bus.kernel.states import Proposed
from hisbus_bus.kernel.topics import INTERNAL, digest
from hisbus_schemas import Coverage, Due

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

KIND = "coverage.changed"
ANYTHING = "*"
"""In place of an item: whatever is named nowhere."""
FOUND, CONFIGURED = "step:chart", "configuration"
"""Who says a word, where no person does."""
LOCK = 4711005
"""Number of the advisory lock: one transaction at a time adds to the journal."""

State = Literal["connected", "not_connected", "observed"]
"""``observed``: an earlier word of theirs is taken back; what the configuration says, or what was seen, decides."""
At = tuple[str, str]
"""An item and a department; that is empty for the site."""
Head = Callable[..., dict[str, str]]
"""Makes the headers of a record: ``Site.headers``."""

_row, _stay, _proposal = tables.coverage.c, tables.encounters.c, tables.proposals.c


class Word(NamedTuple):
    """What is said of an item: of the whole site, or of a department."""

    item: str
    department: str
    state: State


class Said(NamedTuple):
    """A word of the journal."""

    word: Word
    who: str
    version: int
    time: datetime


async def stamp(connection: "AsyncConnection") -> int:
    """Return what tells one state of the journal from another."""
    return await connection.scalar(select(func.coalesce(func.max(_row.id), 0))) or 0


async def journal(connection: "AsyncConnection") -> list[Said]:
    """Return everything that was said, in its order."""
    columns = (_row.item, _row.department, _row.state, _row.who, _row.version, _row.time)
    rows = await connection.execute(select(*columns).order_by(_row.id))
    return [Said(Word(item, department, state), *more) for item, department, state, *more in rows]


async def read(connection: "AsyncConnection") -> Coverage:
    """Return what is connected now."""
    return told(await journal(connection))


class Reader:
    """Reads what is connected, anew only where something was said."""

    def __init__(self) -> None:
        self._stamp = 0
        self._known = Coverage()

    async def read(self, connection: "AsyncConnection") -> Coverage:
        """Return what is connected in a snapshot."""
        now = await stamp(connection)
        if now != self._stamp:
            self._known, self._stamp = await read(connection), now
        return self._known


def by_hand(said: Iterable[Said]) -> dict[At, Said]:
    """Return the word of a person or of the configuration that counts on each item and department: the newest.

    When either takes a word back, what the other says counts again.
    """
    standing: dict[tuple[str, str, str], Said] = {}
    for one in said:
        at = (*one.word[:2], _source(one.who))
        standing.pop(at, None)  # a newer word stands behind all older ones
        if one.word.state != _unsaid(one.word):
            standing[at] = one
    return {one.word[:2]: one for one in standing.values() if one.who != FOUND}


def told(said: Sequence[Said]) -> Coverage:
    """Return what is connected once all this was said. What a person or the configuration said goes before the found,
    and a word about a department before one about the site.
    """
    hand = {at: one.word.state for at, one in by_hand(said).items()}
    others = hand.pop((ANYTHING, ""), "connected") != "observed"
    found = {one.word[:2]: one.word.state for one in said if one.who == FOUND and not others}
    known = {at: state for at, state in found.items() if state != "observed" and (at[0], "") not in hand}
    departments: dict[str, dict[str, bool]] = {}
    for (item, department), state in sorted((known | hand).items()):
        departments.setdefault(department, {})[item] = state == "connected"
    version = said[-1].version if said else 0
    return Coverage(version=version, others=others, site=departments.pop("", {}), departments=departments)


async def lock(connection: "AsyncConnection") -> None:
    """Keep others from adding to the journal until this transaction ends. On SQLite one writes at a time anyway.

    It is taken behind the locks of patients and encounters.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(LOCK)))


async def say(connection: "AsyncConnection", head: Head, words: Sequence[Word], who: str) -> bool:
    """Add words; where something else is judged by then, under a new version, of which the stays are told.

    Args:
        connection: of a transaction that writes; the lock is taken here.
        head: makes headers.
        words: what is said.
        who: as the audit names them.

    Returns:
        False: the same was said by the same before, and nothing was added.
    """
    await lock(connection)
    said = await journal(connection)
    new = [word for word in words if _is_news(said, word, who)]
    if not new:
        return False
    before, now = told(said), datetime.now(UTC)
    version = before.version + (not _alike(before, told([*said, *(Said(word, who, 0, now) for word in new)])))
    rows = [{**word._asdict(), "who": who, "version": version, "time": now} for word in new]
    await connection.execute(tables.coverage.insert(), rows)
    entries = [audit.entry(actor=who, action=f"coverage.{one.state}", object=one.item, **_at(one)) for one in new]
    await audit.records(connection, entries)
    if version > before.version:
        await look_again(connection, head, str(version))
    return True


async def look_again(
    connection: "AsyncConnection", head: Head, what: str, also: "ColumnElement[bool] | None" = None
) -> int:
    """Tell the stays that matter that something else can be judged now, and return how many they are.

    Args:
        connection: of a transaction that writes.
        head: makes headers.
        what: names what has changed; the same again tells nobody. Beside versions of the coverage a table of codes.
        also: which other stays matter.
    """
    stays = await _stays(connection, also)
    await outbox.send(connection, *[_record(head, what, *stay) for stay in stays])
    return len(stays)


async def configure(connection: "AsyncConnection", head: Head, settings: CoverageSettings) -> None:
    """Say what the configuration says, where it did not say the same before."""
    wanted: dict[str, State] = {ANYTHING: settings.default, **settings.items}
    before = {one.word.item: one.word.state for one in await journal(connection) if one.who == CONFIGURED}
    words = [Word(item, "", wanted.get(item, "observed")) for item in sorted(wanted.keys() | before.keys())]
    changed = [word for word in words if before.get(word.item, _unsaid(word)) != word.state]
    if changed:
        await say(connection, head, changed, CONFIGURED)


def _source(who: str) -> str:
    """Return whose earlier words a new one takes the place of: the step's, the configuration's, or those of people."""
    return who if who in (FOUND, CONFIGURED) else ""


def _is_news(said: Sequence[Said], word: Word, who: str) -> bool:
    """Tell whether a word is another than the last of those who say it, or has been overruled since."""
    own = [one.word.state for one in said if one.word[:2] == word[:2] and _source(one.who) == _source(who)]
    if (own[-1] if own else _unsaid(word)) != word.state:
        return True
    counts = by_hand(said).get(word[:2])
    return who != FOUND and word.state != _unsaid(word) and (counts is None or _source(counts.who) != _source(who))


def _unsaid(word: Word) -> State:
    """Return the word that saying nothing of it amounts to."""
    return "connected" if word.item == ANYTHING else "observed"


def _alike(one: Coverage, other: Coverage) -> bool:
    """Tell whether the same is judged by both, however it is said."""
    items = {item for each in (one, other) for its in (each.site, *each.departments.values()) for item in its}
    departments = {"", *one.departments, *other.departments}
    pairs = [(item, department) for item in items for department in departments]
    return one.others == other.others and all(one.brings(*pair) == other.brings(*pair) for pair in pairs)


def _at(word: Word) -> dict[str, str]:
    return {"department": word.department} if word.department else {}


async def _stays(
    connection: "AsyncConnection", also: "ColumnElement[bool] | None" = None
) -> list[tuple[str, str, datetime]]:
    """Return the stays that are not closed, and those with something that waits for a person or was withdrawn.

    None of backfill: nobody is called for it, and once it goes on it is judged by what is known then.
    What an earlier word withdrew comes back with the next. Of each: id, key and present.
    """
    waits = select(_proposal.encounter).where(_proposal.status.in_([*sorted(Proposed.LIVE), Proposed.WITHDRAWN]))
    others = false() if also is None else also
    matters = or_(_stay.status.in_(charts.OPEN), _stay.id.in_(waits), others) & ~charts.of_backfill()
    rows = await connection.execute(select(_stay.id, _stay.key, _stay.now).where(matters).order_by(_stay.id))
    return [(id, key, now) for id, key, now in rows]


def _record(head: Head, what: str, encounter: str, key: str, now: datetime) -> NewRecord:
    id = digest("coverage", what, encounter)
    body = Due(agent="", name="coverage", due=now, encounter=encounter)
    more = {"correlation": encounter, "message": id, "connector": INTERNAL, "kind": KIND}
    headers = head(id=id, type=KIND, source="chart", time=now, **more)
    return NewRecord("raw", key, body.model_dump_json().encode(), headers)
