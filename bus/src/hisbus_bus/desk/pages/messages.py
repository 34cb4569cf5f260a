"""Messages: where is mine, and what became of it?"""

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from hisbus.errors import Refused
from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor
from hisbus_bus.desk.pages.frame import Reader, Viewer, posted, render
from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.process import Process
from hisbus_bus.desk.read import followed, traces, worklist
from hisbus_bus.desk.read import messages as ledger
from hisbus_bus.desk.read.assignments import assign, stay_of
from hisbus_bus.desk.read.messages import Wanted
from hisbus_bus.desk.security import SiteOf, actor, allow
from hisbus_bus.desk.views import message_viewed, viewed
from hisbus_bus.desk.words import Word
from hisbus_bus.kernel.people import Object, User, may
from hisbus_bus.kernel.site import Site

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
async def message(request: Request, site: SiteOf, user: Reader, id: Word, given: Word = "") -> Response:
    """Show one message: its original, its acknowledgement, and what became of it."""
    return await _show(request, site, user, id, given=given == "yes")


@router.post("/{id}/assignment")
async def assignment(request: Request, site: SiteOf, user: Reader, id: Word) -> Response:
    """Take to which stay a person gives a message: one that was offered, or by its visit number."""
    fields = await posted(request, user)
    who, visit = allow(user, "replay", Object("message")), fields.get("visit", "").strip()
    try:
        chosen = fields.get("encounter")
        stay = chosen if chosen is not None and not visit else await stay_of(site, visit)
        await assign(site, who, id, stay, force=fields.get("force") == "yes")
    except Refused as error:
        return await _show(request, site, user, id, refused=error, asked=visit)
    return RedirectResponse(f"/messages/{id}?given=yes", 303)


async def _show(
    request: Request,
    site: Site,
    user: User,
    id: str,
    *,
    given: bool = False,
    refused: Refused | None = None,
    asked: str = "",
) -> Response:
    copy = await ledger.find(site, id)
    if copy is None:
        raise Problem("not_found")
    process: Process = request.app.state.process
    trace = await traces.of_message(site, copy)
    way = await followed.of_message(site, copy, process.agents)
    mine = may(user, "replay", Object("message")) and copy.status not in {"stored", "duplicate"}
    offered = await followed.offered(site, copy) if mine and way.events else []
    body = await ledger.body_of(site, id)
    await message_viewed(site, actor(user), id, trace.encounters, [one.id for one in offered])
    async with site.database.read() as connection:
        named = await worklist.stays(connection, [one.encounter for one in way.stays])
    return render(
        request,
        "message.html",
        user,
        http=refused.status if refused else 200,
        way=way,
        offered=offered,
        assigns=mine and bool(way.events),
        visits={id: stay.visit for id, stay in named.items()},
        findings={row.id: row for row in trace.proposals},
        given=given,
        asked=asked,
        refused=refused.code if refused else "",
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
