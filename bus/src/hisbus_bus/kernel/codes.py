"""Codes that no table of a profile has, and what people have said they are: a word of ours, or none of ours.

Translate enters a code the first time that it looks one up in vain. While it is open, what hangs on it is not judged.
Once a person has answered, ``hisbus_bus.lab.answered`` has the messages read again that looked it up, and no others.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update

from hisbus.connector import LookedUp
from hisbus.errors import Refused
from hisbus_bus.kernel import audit, tables
from hisbus_bus.kernel.bulk import Rows, within, write
from hisbus_bus.kernel.topics import digest
from hisbus_mapping import Answers, Asks

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

LOCK = 4711003
"""Number of the advisory lock: an answer waits until what is being read without it is entered."""
LONGEST = 200
"""Characters of what stood beside a code that are kept."""


class UnknownCode(Refused):
    """There is no such code. Reload the list."""

    code = "unknown_code"
    status = 404


class UnknownTable(Refused):
    """The profile of this connector asks nobody about this table. `hisbus codes list` shows what is asked."""

    code = "unknown_table"
    status = 422


class BadWord(Refused):
    """This is none of the words that this table knows."""

    code = "bad_word"
    status = 422


class Key(NamedTuple):
    """What a code is told apart by."""

    connector: str
    sender: str
    """As the connector names it; empty: any."""
    table: str
    """Of the connector's profile."""
    code: str
    """As sent."""

    @property
    def id(self) -> str:
        """The id of its row."""
        return digest("code", *self)

    @property
    def common(self) -> "Key":
        """The same code, whoever sends it."""
        return self._replace(sender="")


class Looked(NamedTuple):
    """A message that looked a code up."""

    message: str
    received: datetime
    key: Key
    said: LookedUp


class Answered:
    """What people have said, as translate goes by it.

    It is read once, and again where a message is found to have gone by another answer than the one that stands.
    """

    def __init__(self) -> None:
        self._said: Mapping[str, Answers] | None = None

    async def known(self, connection: "AsyncConnection") -> Mapping[str, Answers]:
        """Return the answers by connector."""
        if self._said is None:
            self._said = await answers(connection)
        return self._said

    async def hold(self, connection: "AsyncConnection", looked: Sequence[Looked]) -> bool:
        """Enter the codes that are open, and keep the answers as they are until the transaction ends.

        Returns:
            False: somebody has answered meanwhile. What was read must be read again, in this transaction.
        """
        if not looked:
            return True
        await _locked(connection, shared=True)
        own = {one.key: one for one in reversed(looked)}
        code = tables.codes.c
        ids = {key.id for one in own for key in (one, one.common)}
        found = await connection.execute(select(code.id, code.word).where(within(code.id, ids)))
        words: dict[str, str | None] = {row.id: row.word for row in found}
        new = [_row(one) for key, one in own.items() if key.id not in words and not words.get(key.common.id)]
        await write(connection, Rows(tables.codes, new, existing="keep"))
        standing = {key: words.get(key.id) or words.get(key.common.id) or "" for key in own}
        if all(standing[one.key] == one.said.answer for one in looked):
            return True
        self._said = await answers(connection)
        return False


async def answers(connection: "AsyncConnection") -> dict[str, Answers]:
    """Return what people have said, by connector; for a sender his own answers before those for any."""
    code = tables.codes.c
    said = select(code.connector, code.sender, code.table, code.code, code.word).where(code.word.is_not(None))
    found: dict[str, dict[str, dict[tuple[str, str], str]]] = {}
    for row in await connection.execute(said):
        of_sender = found.setdefault(row.connector, {"": {}}).setdefault(row.sender, {})
        of_sender[row.table, row.code] = row.word
    return {
        connector: {sender: {**senders[""], **words} for sender, words in senders.items()}
        for connector, senders in found.items()
    }


def trace(looked_up: Iterable[LookedUp]) -> str:
    """Return what tells one set of answers from another; empty: nothing was answered."""
    said = sorted((one.table, one.code.code, one.answer) for one in looked_up if one.answer)
    return digest("answers", *(part for each in said for part in each)) if said else ""


def stale(id: str) -> "Select[Any]":
    """Return the query for the messages that looked a code up and went by another answer than the one that stands.

    Args:
        id: of the code; where it is for any sender, those count that have no answer of their own.
    """
    looked, own, common = tables.lookups.c, tables.codes.alias("own"), tables.codes.alias("common")
    joined = tables.lookups.outerjoin(own, own.c.id == looked.code).outerjoin(common, common.c.id == looked.common)
    standing = func.coalesce(own.c.word, common.c.word, "")
    mine = (looked.code == id) | (looked.common == id)
    return select(looked.message).select_from(joined).where(mine, looked.answer != standing)


async def answer(
    connection: "AsyncConnection",
    key: Key,
    word: str,
    *,
    asks: Mapping[str, Asks],
    who: str,
    system: str = "",
    text: str = "",
) -> bool:
    """Say which word of ours a code is, and have the messages read again that looked it up.

    Args:
        connection: of a transaction that may write.
        key: the code; it need not have been seen yet.
        word: one of ``asks``; empty takes the answer back.
        asks: what the connector's profile asks of people.
        who: as the audit names them.
        system: of a code that was not seen yet.
        text: beside a code that was not seen yet.

    Returns:
        False: this was said already, and nothing changed.

    Raises:
        Refused: the table or the word is none of the profile's.
    """
    ask = allowed(key, word, asks)
    await _locked(connection)
    code = tables.codes.c
    row = (await connection.execute(select(code.word).where(code.id == key.id))).one_or_none()
    if (row.word or "" if row else "") == word:
        return False
    now = datetime.now(UTC)
    said = {"word": word or None, "who": who, "answered": now, "pending": True}
    if row is None:
        seen = {"item": ask.item, "system": system[:LONGEST], "text": text[:LONGEST], "message": "", "seen": now}
        await connection.execute(tables.codes.insert(), _named(key) | seen | said)
    else:
        await connection.execute(update(tables.codes).where(code.id == key.id).values(**said))
    about = {"connector": key.connector, "table": key.table, "word": word}
    await audit.record(connection, actor=who, action="code.answered", object=key.id, **about)
    return True


def allowed(key: Key, word: str, asks: Mapping[str, Asks]) -> Asks:
    """Return what is asked about a code's table. Raises Refused where nothing is, or the word is none of its."""
    ask = asks.get(key.table)
    if ask is None:
        raise UnknownTable
    if word and word not in ask.words:
        raise BadWord(f"This is none of the words of the table {key.table}. Choose one of: {', '.join(ask.words)}.")
    return ask


async def one(connection: "AsyncConnection", id: str) -> Key:
    """Return the code of an id. Raises UnknownCode where there is none."""
    code = tables.codes.c
    query = select(code.connector, code.sender, code.table, code.code).where(code.id == id)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise UnknownCode
    return Key(*row)


def listed() -> "Select[Any]":
    """Return the query for all codes: their columns, and ``standing``, the answer that they are read with."""
    return select(tables.codes, standing().label("standing"))


def standing() -> "ColumnElement[str]":
    """Return the answer that a row of ``codes`` is read with: its own, else the one for any sender; empty: none."""
    common = tables.codes.alias("common_codes")
    of_any = select(common.c.word).where(common.c.id == tables.codes.c.common).scalar_subquery()
    return func.coalesce(tables.codes.c.word, of_any, "")


def unanswered() -> "ColumnElement[bool]":
    """Return what singles out codes that wait: no answer, and a message looked them up when it was read last.

    What a profile has come to know is looked up no more once its messages are read again.
    """
    looked, id = tables.lookups.c, tables.codes.c.id
    looked_up = (select(looked.message).where(mine == id).exists() for mine in (looked.code, looked.common))
    return and_(standing() == "", or_(*looked_up))


async def hanging(connection: "AsyncConnection", id: str) -> tuple[int, int]:
    """Return how many stays and messages wait for a code's answer."""
    looked, event = tables.lookups.c, tables.events.c
    joined = tables.lookups.outerjoin(tables.events, event.message == looked.message)
    counts = select(func.count(event.encounter.distinct()), func.count(looked.message.distinct()))
    mine = (looked.code == id) | (looked.common == id)
    stays, messages = (await connection.execute(counts.select_from(joined).where(mine, looked.answer == ""))).one()
    return stays, messages


async def waiting(connection: "AsyncConnection") -> int:
    """Return how many answers were given whose messages are not on their way yet."""
    return await connection.scalar(select(func.count()).where(tables.codes.c.pending)) or 0


def _row(one: Looked) -> dict[str, Any]:
    sent = one.said.code
    return _named(one.key) | {
        "system": sent.system[:LONGEST],
        "text": sent.text[:LONGEST],
        "item": one.said.item,
        "message": one.message,
        "seen": one.received,
        "word": None,
        "who": "",
        "answered": None,
        "pending": False,
    }


def _named(key: Key) -> dict[str, Any]:
    return {"id": key.id, "common": key.common.id, **key._asdict()}


async def _locked(connection: "AsyncConnection", *, shared: bool = False) -> None:
    """Let answers wait for whoever goes by them. On SQLite one transaction writes at a time anyway."""
    if connection.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        await connection.execute(select(lock(LOCK)))
