"""Pages of a list: where one ended is an opaque word that the next begins after."""

import base64
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, and_, or_

from hisbus_bus.desk.problems import Problem

Item = TypeVar("Item")

LIMIT = 50
MOST = 500

Limit = Annotated[int, Query(ge=1, le=MOST, description="Most items in an answer.")]
Cursor = Annotated[str | None, Query(max_length=300, description="The `next_cursor` of the page before.")]


class Items(BaseModel, Generic[Item]):
    """A page of a list."""

    model_config = ConfigDict(hide_input_in_errors=True)

    items: list[Item]
    next_cursor: str | None = None


class Place(NamedTuple):
    """A place in a list that runs from the newest to the oldest: its time, and an id among equals."""

    time: datetime
    id: str

    def word(self) -> str:
        """Return it as a cursor."""
        return word_of(self.time.isoformat(), self.id)

    def before(self, time: ColumnElement[Any], id: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return the condition that a row is older, so comes later in the list."""
        return or_(time < self.time, and_(time == self.time, id < self.id))


def word_of(*parts: str) -> str:
    """Return the cursor for a place that these parts name."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def parts_of(word: str, count: int) -> list[str]:
    """Return the parts that a cursor was made from.

    Raises:
        Problem: it is not a cursor of ours.
    """
    try:
        parts = json.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
    except (ValueError, RecursionError) as error:
        raise Problem("bad_cursor") from error
    if not isinstance(parts, list) or len(parts) != count or not all(isinstance(part, str) for part in parts):
        raise Problem("bad_cursor")
    return parts


def read(word: str | None) -> Place | None:
    """Return the place that a cursor names; none for the beginning. Raises Problem for a foreign cursor."""
    if not word:
        return None
    time, id = parts_of(word, 2)
    try:
        return Place(datetime.fromisoformat(time).astimezone(UTC), id)
    except (ValueError, OverflowError) as error:
        raise Problem("bad_cursor") from error


def number(word: str | None) -> int | None:
    """Return the number that a cursor names; none for the beginning. Raises Problem for a foreign cursor."""
    if not word:
        return None
    (digits,) = parts_of(word, 1)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise Problem("bad_cursor")
    return int(digits)
