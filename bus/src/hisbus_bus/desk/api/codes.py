"""``/codes``: codes that no table of a profile has, and what people say they are."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor, Items, Limit
from hisbus_bus.desk.read import codes
from hisbus_bus.desk.security import Integrator, SiteOf
from hisbus_bus.desk.words import Note, Word
from hisbus_bus.kernel.codes import Key

router = APIRouter(prefix="/codes", tags=["codes"])


class CodeBody(BaseModel):
    """A code that no table of its connector's profile has."""

    id: str
    connector: str
    sender: str
    """As the connector names it; empty: any."""
    table: str
    """Of the profile."""
    code: str
    """As sent, as are system and text."""
    system: str
    text: str
    item: str
    """What is not judged while it is open."""
    message: str
    """In which it was seen first; empty: it was answered beforehand."""
    seen: datetime
    word: str | None
    """The answer: a word of ours, or ``none``; null: it has none of its own."""
    standing: str
    """What it is read with: its own answer, else the one for any sender; empty: it is open."""
    who: str
    answered: datetime | None
    pending: bool
    """Its messages are still to be read again."""
    stays: int
    """That wait for an answer."""
    messages: int
    words: list[str]
    """What may be answered."""

    @classmethod
    def of(cls, one: codes.Open) -> "CodeBody":
        """Return a code as the API shows it."""
        counted = {"stays": one.stays, "messages": one.messages, "words": list(one.words)}
        return cls(**{name: getattr(one.row, name) for name in cls.model_fields.keys() - counted.keys()}, **counted)


class AnswerBody(BaseModel):
    """What a code is. It need not have been seen yet."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    connector: Word
    table: Word
    code: Note
    word: Word
    """One of ``words``; empty takes the answer back."""
    sender: Note = ""
    """Empty: whoever sends it."""


@router.get("")
async def list_codes(
    request: Request,
    site: SiteOf,
    user: Integrator,
    status: Annotated[str, Query(pattern="^(|open|answered)$")] = "",
    connector: Word = "",
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Items[CodeBody]:
    """List codes from the newest to the oldest."""
    asks: codes.By = codes.asked_by(request.app.state.mappings)
    found, following = await codes.listed(site, asks, status, connector, limit, cursors.read(cursor))
    return Items(items=[CodeBody.of(one) for one in found], next_cursor=following.word() if following else None)


@router.post("")
async def answer_code(request: Request, site: SiteOf, user: Integrator, body: AnswerBody) -> CodeBody:
    """Say what a code is. The messages that looked it up are read again."""
    key = Key(body.connector, body.sender, body.table, body.code)
    return CodeBody.of(await codes.answer(site, user, codes.asked_by(request.app.state.mappings), key, body.word))
