"""Statements over many rows whose text does not depend on how many: compiled once, planned once, one round trip.

The values travel as one JSON text, which both databases take apart themselves.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_json
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Dialect,
    Table,
    Text,
    TypeDecorator,
    bindparam,
    column,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from hisbus_bus.kernel.hot import Asked, Hot, ask

if TYPE_CHECKING:  # it takes a tenth of a second to import
    from sqlalchemy.ext.asyncio import AsyncConnection

Existing = Literal["replace", "keep", "refuse"]


class _Json(TypeDecorator[Any]):
    """Sends values as one JSON text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Return the text."""
        return to_json(value).decode()


def given(name: str) -> BindParameter[Any]:
    """Return a parameter for ``within`` that a statement made beforehand is given when it runs: a list of strings."""
    return bindparam(name, type_=_Json())


class within(FunctionElement[Any]):
    """Whether a text column has one of the given values. Unlike IN it has no bound and no text of its own each time."""

    inherit_cache = True
    type = NullType()  # as Boolean it would be compared with 1 on SQLite, which no index serves

    def __init__(self, which: ColumnElement[Any], values: Collection[str] | BindParameter[Any]) -> None:
        if not isinstance(values, BindParameter):
            values = bindparam(None, sorted(values), type_=_Json(), unique=True)
        super().__init__(which, values)


@compiles(within, "sqlite")
def _within_sqlite(element: within, compiler: Any, **more: Any) -> str:
    which, values = (compiler.process(clause, **more) for clause in element.clauses)
    return f"{which} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - nothing of it is data


@compiles(within, "postgresql")
def _within_postgresql(element: within, compiler: Any, **more: Any) -> str:
    which, values = (compiler.process(clause, **more) for clause in element.clauses)
    return f"{which} = ANY(ARRAY(SELECT json_array_elements_text(CAST({values} AS json))))"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows for a table, each with all its columns; no two of them have the same key."""

    table: Table
    rows: Sequence[Mapping[str, Any]]
    existing: Existing = "replace"
    """What becomes of a row that has the key already. ``refuse``: it is an error."""
    rising: str = ""
    """A column: a row that has the key already is replaced only where this rises."""


async def write(connection: "AsyncConnection", *sets: Rows, before: Sequence[Asked] = (), last: bool = False) -> None:
    """Insert rows into tables: on PostgreSQL all of them with one statement.

    Args:
        connection: of a transaction that may write.
        sets: the rows.
        before: what is to be run before, in the same go.
        last: nothing follows in the transaction, so it may be committed in the same go.
    """
    asked = [*before, *written(connection, *sets)]
    if asked:
        await ask(connection, *asked, last=last)


def written(connection: "AsyncConnection", *sets: Rows) -> list[Asked]:
    """Ask for rows to be inserted as ``write`` does it, for ``hot.ask``."""
    sets = tuple(one for one in sets if one.rows)
    if connection.dialect.name == "sqlite":
        return [_rowwise(one.table, one.existing, one.rising).each(one.rows) for one in sets]
    if not sets:
        return []
    statement = _together(tuple((one.table, one.existing, one.rising) for one in sets))
    return [statement(**{one.table.name: one.rows for one in sets})]


@cache
def _rowwise(table: Table, existing: Existing, rising: str) -> Hot:
    return Hot(_resolved(sqlite.insert(table), table, existing, rising))


@cache
def _together(sets: tuple[tuple[Table, Existing, str], ...]) -> Hot:
    *others, last = (_setwise(*one) for one in sets)
    return Hot(last.add_cte(*(other.cte(f"write_{number}") for number, other in enumerate(others))))


def _setwise(table: Table, existing: Existing, rising: str) -> Any:
    types = (column(each.name, each.type) for each in table.c)
    values = func.json_to_recordset(func.cast(given(table.name), postgresql.JSON)).table_valued(*types)
    rows = values.render_derived(name=f"{table.name}_rows", with_types=True)
    inserted = postgresql.insert(table).from_select(list(table.c.keys()), select(*rows.c))
    return _resolved(inserted, table, existing, rising)


def _resolved(statement: Any, table: Table, existing: Existing, rising: str) -> Any:
    keys = [each.name for each in table.primary_key]
    if existing == "refuse":
        return statement
    if existing == "keep":
        return statement.on_conflict_do_nothing(index_elements=keys)
    new = {each.name: statement.excluded[each.name] for each in table.c if each.name not in keys}
    higher = table.c[rising] < statement.excluded[rising] if rising else None
    return statement.on_conflict_do_update(index_elements=keys, set_=new, where=higher)
