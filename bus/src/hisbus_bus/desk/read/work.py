"""Work items: what only a person can settle. No table, but one query over what is open."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Row, Select, func, literal, literal_column, select, union_all

from hisbus_bus.desk.cursors import Place
from hisbus_bus.kernel import codes, tables
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import WrittenBack

Kind = Literal["unknown_code", "unassigned", "parked", "undecided"]
KINDS: Sequence[Kind] = get_args(Kind)

CIRCULAR = "circular_merge"
"""Flag of events that are parked as well, which is where they wait for a person."""

_code, _event, _parked, _sent = tables.codes.c, tables.events.c, tables.parked.c, tables.writebacks.c
_message, _stay = tables.messages.c, tables.encounters.c
_FIRST = tables.messages.alias("firsts")
# What partial indexes are for is said in words, not given: only so do the databases know them again.


@dataclass(frozen=True, slots=True)
class Item:
    """Something that waits for a person."""

    kind: Kind
    id: str
    """Of the code, of the message's first copy, of the parked row, of the write-back."""
    since: datetime
    connector: str
    about: str
    """A code: what it would say; a message: why no stay has it; a parked row: its reason; a write-back: its last
    receipt."""
    step: str
    """That parked it."""
    message: str
    """The first copy of the message that it is about; empty: there is none, or it was not translated."""

    @property
    def link(self) -> str:
        """Return where on the page it is settled."""
        match self.kind:
            case "unknown_code":
                return f"/codes?one={self.id}"
            case "unassigned":
                return f"/messages/{self.id}"
            case "parked":
                return f"/parked?one={self.id}"
            case "undecided":
                return f"/writebacks?one={self.id}"


async def page(
    site: Site, kind: str, connector: str, limit: int, after: Place | None
) -> tuple[list[Item], Place | None]:
    """Return what waits from the newest to the oldest, and where the next page begins.

    Args:
        site: whose.
        kind: one of ``KINDS``; empty: all.
        connector: through which it came, or would leave; empty: any.
        limit: most items.
        after: where the page before ended.
    """
    async with site.database.read() as connection:
        query = statement([kind] if kind else KINDS, connector, limit + 1, after)
        rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return [Item(**row._mapping) for row in rows[:limit]], Place(last.since, last.id) if last else None


def statement(kinds: Sequence[str], connector: str, most: int, after: Place | None) -> Select[Any]:
    """Return the query: the newest of each kind, and of these the newest."""
    found = [_newest(_ALL[kind](), connector, most, after) for kind in kinds]
    together = union_all(*found).subquery("waiting")
    return select(together).order_by(together.c.since.desc(), together.c.id.desc()).limit(most)


def _newest(query: Select[Any], connector: str, most: int, after: Place | None) -> Select[Any]:
    columns = {one.key: one for one in query.selected_columns}
    since, id = _plain(columns["since"]), _plain(columns["id"])
    if after is not None:
        query = query.where(after.before(since, id))
    if connector:
        query = query.where(_plain(columns["connector"]) == connector)
    part = query.order_by(since.desc(), id.desc()).limit(most).subquery()
    return select(part)


def _plain(column: Any) -> ColumnElement[Any]:
    """Return what a column is made of, without the name it is given: conditions go by that."""
    made: ColumnElement[Any] = getattr(column, "element", column)
    return made


def _item(
    kind: Kind, id: Any, since: Any, connector: Any, about: Any, *, step: Any = None, message: Any = None
) -> Select[Any]:
    empty = literal("")
    named = {"id": id, "since": since, "connector": connector, "about": about}
    more = {"step": empty if step is None else step, "message": empty if message is None else message}
    return select(literal(kind).label("kind"), *(column.label(name) for name, column in (named | more).items()))


def _codes() -> Select[Any]:
    of = _FIRST.c
    copy = select(of.id).where(of.message == _code.message, of.first).limit(1).scalar_subquery()
    item = _item("unknown_code", _code.id, _code.seen, _code.connector, _code.item, message=func.coalesce(copy, ""))
    return item.select_from(tables.codes).where(_code.word.is_(None), codes.unanswered())


def _unassigned() -> Select[Any]:
    flagged = select(_event.message, func.min(_event.flag).label("flag"))
    flagged = flagged.where(_event.flag != literal_column("''"), _event.flag != CIRCULAR)
    its = flagged.group_by(_event.message).subquery("flagged")
    item = _item("unassigned", _message.id, _message.received, _message.connector, its.c.flag, message=_message.id)
    joined = its.join(tables.messages, (_message.message == its.c.message) & _message.first)
    return item.select_from(joined)


def _set_aside() -> Select[Any]:
    through = func.coalesce(_FIRST.c.connector, _stay.connector, "")
    copy = func.coalesce(_FIRST.c.id, "")
    item = _item("parked", _parked.id, _parked.parked, through, _parked.reason, step=_parked.step, message=copy)
    joined = tables.parked.outerjoin(_FIRST, (_FIRST.c.message == _parked.message) & _FIRST.c.first)
    joined = joined.outerjoin(tables.encounters, _stay.id == _parked.encounter)
    return item.select_from(joined).where(_parked.status == literal_column("'parked'"))


def _undecided() -> Select[Any]:
    item = _item("undecided", _sent.id, _sent.created, _sent.connector, _sent.code)
    return item.select_from(tables.writebacks).where(_sent.status == literal_column(f"'{WrittenBack.UNDECIDED}'"))


_ALL = {"unknown_code": _codes, "unassigned": _unassigned, "parked": _set_aside, "undecided": _undecided}
