"""Operations: agents, write-backs, what was set aside, and the audit."""

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from hisbus_bus.desk import cursors, health
from hisbus_bus.desk.cursors import LIMIT, Cursor
from hisbus_bus.desk.pages.frame import Viewer, posted, render
from hisbus_bus.desk.process import Process
from hisbus_bus.desk.read import operations
from hisbus_bus.desk.security import SiteOf, allow
from hisbus_bus.desk.words import Word
from hisbus_bus.flow.lag import lag
from hisbus_bus.kernel.people import Object, User
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import WrittenBack
from hisbus_bus.lab.refused import Overtaken

router = APIRouter()

PARKED = ("parked", "replayed", "closed")


@router.get("/agents")
async def agents(request: Request, site: SiteOf, user: Viewer) -> Response:
    """Show how agents and their model are doing, and how far behind each step is."""
    process: Process = request.app.state.process
    behind = await lag(site, [agent.name for agent in health.agents_called(site, process)])
    return render(
        request,
        "agents.html",
        user,
        agents=[(agent, behind.get(f"dispatch.{agent.name}")) for agent in process.agents],
        model=process.model,
        steps={step: count for step, count in behind.items() if not step.startswith("dispatch.")},
        held=[control for control in await operations.asked(site) if control.now != "running"],
        lasting=await operations.lasting(site),
    )


@router.get("/writebacks")
async def writebacks(
    request: Request, site: SiteOf, user: Viewer, status: Word = "", one: Word = "", cursor: Cursor = None
) -> Response:
    """Show write-backs, or one of them, and a form where a person must look in the HIS."""
    rows, following = await operations.writebacks(site, status, LIMIT, cursors.read(cursor), one)
    return render(
        request,
        "writebacks.html",
        user,
        rows=rows,
        status=status,
        states=WrittenBack.ALL,
        for_a_person=WrittenBack.FOR_A_PERSON,
        following=following.word() if following else "",
    )


@router.post("/writebacks/{id}/resolution")
async def resolve(request: Request, site: SiteOf, user: Viewer, id: Word) -> Response:
    """Take a person's answer about a write-back."""
    fields = await posted(request, user)
    reviewer = allow(user, "decide", Object("writeback"))
    await operations.resolve(site, reviewer, id, fields.get("resolution", ""), fields.get("note", ""))
    return RedirectResponse("/writebacks", 303)


@router.get("/parked")
async def parked(
    request: Request,
    site: SiteOf,
    user: Viewer,
    status: Word = "parked",
    one: Word = "",
    about: Word = "",
    cursor: Cursor = None,
) -> Response:
    """Show what was set aside, or one row of it, whatever became of that; ``about``: what became of one."""
    became = await operations.became(site, about) if about else None
    return await _parked(request, site, user, "" if one else status, cursor, one, became=became)


async def _parked(
    request: Request,
    site: Site,
    user: User,
    status: str,
    cursor: str | None,
    one: str = "",
    *,
    http: int = 200,
    **about: Any,
) -> Response:
    rows, following = await operations.parked_rows(site, status, "", LIMIT, cursors.read(cursor), one)
    return render(
        request,
        "parked.html",
        user,
        rows=rows,
        status=status,
        states=PARKED,
        following=following.word() if following else "",
        http=http,
        **{"became": None, "overtaken": None, **about},
    )


@router.post("/parked/{id}/replay")
async def replay(request: Request, site: SiteOf, user: Viewer, id: Word) -> Response:
    """Append a parked record to its step's input again; where its sender sent another since, ask."""
    fields = await posted(request, user)
    admin, mappings = allow(user, "replay", Object("parked")), request.app.state.mappings
    try:
        await operations.replay(site, admin, mappings, id, force=fields.get("force") == "yes")
    except Overtaken as error:
        return await _parked(request, site, user, "parked", None, http=error.status, overtaken=(id, error.since))
    return RedirectResponse(f"/parked?about={id}", 303)


@router.get("/audit")
async def audit(
    request: Request,
    site: SiteOf,
    user: Viewer,
    by: Word = "",
    action: Word = "",
    cursor: Cursor = None,
) -> Response:
    """Show the audit to an admin."""
    allow(user, "see_audit", Object("audit"))
    rows, following = await operations.audit_rows(site, by, action, "", LIMIT, cursors.number(cursor))
    return render(
        request,
        "audit.html",
        user,
        rows=[(row, json.loads(row.detail)) for row in rows],
        by=by,
        action=action,
        following=cursors.word_of(str(following)) if following else "",
    )
