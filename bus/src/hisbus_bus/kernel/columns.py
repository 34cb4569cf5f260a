"""What tables are made of: where they are gathered, numbers that outgrow 2^31, instants in UTC, and partial indexes."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, DateTime, Dialect, Index, Integer, MetaData, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex

metadata = MetaData()

Big = BigInteger().with_variant(Integer, "sqlite")
"""What a busy site counts past 2^31; SQLite's integers hold it anyway, and count up by themselves only as such."""


class Instant(TypeDecorator[datetime]):
    """A point in time, aware and in UTC on both sides of the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise TypeError("a naive time was given to the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return UTC."""
        if value is None:
            return None
        stored: datetime = value
        return stored.replace(tzinfo=UTC) if stored.tzinfo is None else stored.astimezone(UTC)


class PartialIndex(Index):
    """An index over the rows that a condition holds for.

    Its condition is said once for both databases, and no dialect is imported for it before a table is made.
    """

    def __init__(self, name: str, *columns: Any, unique: bool, where: ColumnElement[bool]) -> None:
        self.where = where
        super().__init__(name, *columns, unique=unique)


@compiles(CreateIndex)
def _create(create: CreateIndex, compiler: Any, **more: Any) -> str:
    made: str = compiler.visit_create_index(create, **more)
    if not isinstance(create.element, PartialIndex):
        return made
    where = compiler.sql_compiler.process(create.element.where, include_table=False, literal_binds=True)
    return f"{made} WHERE {where}"
