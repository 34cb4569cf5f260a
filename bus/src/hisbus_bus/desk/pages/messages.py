"""Messages: where is mine, and what became of it?"""

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor
from hisbus_bus.desk.pages.frame import Reader, Viewer, posted, render
from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.read import messages as ledger
from hisbus_bus.desk.read import traces
from hisbus_bus.desk.read.messages import Wanted
from hisbus_bus.desk.security import SiteOf, actor
from hisbus_bus.desk.views import viewed
from hisbus_bus.desk.words import Word
from hisbus_bus.kernel.people import User

router = APIRouter(prefix="/messages")

FIELDS = ("control_id", "patient", "visit", "text")
STATES = ("stored", "mapped", "unmapped", "not_production", "duplicate", "parked")


@router.get("")
async def latest(
    request: Request, site: SiteOf, user: Viewer, status: Word = "", connector: Word = "", cursor: Cursor = None
) -> Response:
    """Show the latest messages."""
    wanted = Wanted(status=status if status in STATES else "", connector=connector)
    found = await ledger.listing(site, wanted, LIMIT, cursors.read(cursor))
    return _list(request, user, found, wanted, searching=False)


@router.post("/search")
async def search(request: Request, site: SiteOf, user: Reader) -> Response:
    """Find messages. What is searched for travels in the body and is not kept."""
    fields = await posted(request, user)
    given = {name: fields.get(name, "").strip() for name in FIELDS}
    if not any(given.values()):
        return _list(request, user, ledger.Found([], None, 0), Wanted(), searching=True, empty=True)
    wanted = Wanted(control_id=given["control_id"], patient=given["patient"], visit=given["visit"], text=given["text"])
    found = await ledger.listing(site, wanted, LIMIT, cursors.read(fields.get("cursor")))
    by = [name for name in FIELDS if given[name]]
    await viewed(site, actor(user), "message.searched", by=by, found=len(found.items))
    return _list(request, user, found, wanted, searching=True)


@router.get("/{id}")
async def message(request: Request, site: SiteOf, user: Reader, id: Word) -> Response:
    """Show one message: its original, its acknowledgement, and what became of it."""
    copy = await ledger.find(site, id)
    if copy is None:
        raise Problem("not_found")
    trace = await traces.of_message(site, copy)
    body = await ledger.body_of(site, id)
    await viewed(site, actor(user), "message.viewed", id)
    return render(
        request,
        "message.html",
        user,
        copy=copy,
        trace=trace,
        raw=None if body is None else lines(ledger.decoded(body)),
        ack=lines(copy.ack),
        events=[json.dumps(json.loads(item.model_dump_json()), ensure_ascii=False, indent=2) for item in trace.events],
    )


def lines(text: str) -> list[str]:
    """Return a message's segments, however they end."""
    return text.replace("\r\n", "\r").replace("\n", "\r").strip("\r").split("\r")


def _list(
    request: Request,
    user: User,
    found: ledger.Found,
    wanted: Wanted,
    *,
    searching: bool,
    empty: bool = False,
) -> Response:
    about: dict[str, Any] = {"searching": searching, "empty": empty, "states": STATES, "fields": FIELDS}
    following = found.next.word() if found.next else ""
    return render(
        request,
        "messages.html",
        user,
        http=422 if empty else 200,
        found=found,
        wanted=wanted,
        following=following,
        **about,
    )
