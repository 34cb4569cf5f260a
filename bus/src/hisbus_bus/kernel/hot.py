"""What every batch asks the database: the text of a statement is made once, and several share one round trip.

SQLAlchemy says what a statement is and how it is spelled, as everywhere. Run by it, one costs some 200 us of CPU and a
wait of its own, about as much as the rest of what a step does for an event. On PostgreSQL these go to the driver
directly, in the transaction that SQLAlchemy has begun, and their rows come as its own would; on SQLite it runs them.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

from sqlalchemy import Dialect, Table, bindparam

if TYPE_CHECKING:  # it takes a tenth of a second to import
    from sqlalchemy.ext.asyncio import AsyncConnection

_numbers = count()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as PostgreSQL prepares it."""

    name: bytes
    text: bytes
    _parameters: Sequence[tuple[str, Any, Callable[[Any], Any] | None]]
    _make: Callable[[Sequence[Any]], Any]
    _columns: Sequence[tuple[int, Callable[[Any], Any]]]
    """Those whose values are not yet what they are to be."""

    def values(self, given: Mapping[str, Any]) -> list[Any]:
        """Return its parameters as the driver takes them, in their order."""
        taken = ((given.get(name, default), process) for name, default, process in self._parameters)
        return [value if process is None else process(value) for value, process in taken]

    def rows(self, found: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the rows of what the driver found."""
        if not self._columns:
            return list(map(self._make, found))
        rows = []
        for each in found:
            values = list(each)
            for at, process in self._columns:
                values[at] = process(values[at])
            rows.append(self._make(values))
        return rows


class Hot:
    """A statement that is run often. It is told by its parameters alone: none of its text depends on a value."""

    def __init__(self, statement: Any) -> None:
        """Take a statement of SQLAlchemy's core."""
        self.statement = statement

    def __call__(self, **values: Any) -> "Asked":
        """Return it with the values of its parameters, for ``ask``."""
        return Asked(self, (values,))

    def each(self, rows: Sequence[Mapping[str, Any]]) -> "Asked":
        """Return it with the values of its parameters for each time that it is to be run; it finds no rows."""
        return Asked(self, rows)

    async def rows(self, connection: "AsyncConnection", **values: Any) -> list[Any]:
        """Run it alone; see ``ask``."""
        [rows] = await ask(connection, self(**values))
        return rows

    @cached_property
    def prepared(self) -> Prepared:
        """It as PostgreSQL prepares it."""
        dialect = _dialect()
        compiled = self.statement.compile(dialect=dialect)
        known, processes = compiled.params, compiled._bind_processors
        parameters = [(name, known[name], processes.get(name)) for name in compiled.positiontup]
        columns = list(getattr(self.statement, "exported_columns", ()))
        results = [each.type.dialect_impl(dialect).result_processor(dialect, None) for each in columns]
        row = namedtuple("Row", [str(each.key) for each in columns], rename=True)  # type: ignore[misc]
        return Prepared(
            b"hisbus_%d" % next(_numbers),
            str(compiled).encode(),
            parameters,
            row._make,
            [(at, process) for at, process in enumerate(results) if process is not None],
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement, and the values of its parameters each time that it is run."""

    hot: Hot
    values: Sequence[Mapping[str, Any]]


async def ask(connection: "AsyncConnection", *asked: Asked, last: bool = False) -> list[list[Any]]:
    """Run statements, one after the other, and return the rows of each: tuples whose columns have names.

    Args:
        connection: of a transaction.
        asked: the statements.
        last: nothing follows in the transaction, so it may be committed in the same go.

    Raises:
        DBAPIError: as SQLAlchemy raises it.
    """
    if connection.dialect.is_async and connection.dialect.name == "postgresql":
        from hisbus_bus.kernel import pipeline  # a driver that a site on SQLite does not need

        return await pipeline.ask(connection, asked, last=last)
    return [await _rows(connection, one) for one in asked]


def inserted(table: Table, rows: Sequence[Mapping[str, Any]]) -> Asked:
    """Ask for rows to be inserted, all with the same columns; the others have their defaults."""
    return _inserted(table, tuple(rows[0])).each(rows)


@cache
def _inserted(table: Table, columns: tuple[str, ...]) -> Hot:
    return Hot(table.insert().inline().values({name: bindparam(name) for name in columns}))


async def _rows(connection: "AsyncConnection", one: Asked) -> list[Any]:
    """Have SQLAlchemy run a statement; run one time alone it may find rows."""
    if not one.values:
        return []  # SQLAlchemy takes no values for one time without parameters
    rows = await connection.execute(one.hot.statement, one.values[0] if len(one.values) == 1 else one.values)
    return list(rows) if rows.returns_rows else []


def _dialect() -> Dialect:
    from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg

    dialect: Dialect = PGDialectAsync_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
    return dialect
