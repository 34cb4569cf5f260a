"""The worklists: findings, sets of codes and drafts that wait, each apart, by status, rule and department."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor
from hisbus_bus.desk.pages.frame import Reader, render
from hisbus_bus.desk.read import worklist as queue
from hisbus_bus.desk.read.worklist import Filter
from hisbus_bus.desk.security import SiteOf, actor
from hisbus_bus.desk.views import viewed
from hisbus_bus.desk.words import Word
from hisbus_bus.flow.review import proposals
from hisbus_bus.kernel import people
from hisbus_bus.kernel.states import Proposed

router = APIRouter()

STATES = (
    Proposed.OPEN,
    Proposed.STALE,
    Proposed.ACCEPTED,
    Proposed.EDITED,
    Proposed.REJECTED,
    Proposed.RESOLVED,
    Proposed.WITHDRAWN,
)


MINE = "mine"
"""In place of an author: whoever reads."""


@router.get("/")
async def start() -> Response:
    """Go to the worklist."""
    return RedirectResponse("/findings", 303)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lines of a worklist are asked for: ``status=all`` is every status, ``author=mine`` the reader's own drafts,
    ``backfill`` old stays, too."""

    status: Word = Proposed.OPEN
    rule: Word = ""
    department: Word = ""
    author: Word = ""
    backfill: bool = False
    cursor: Cursor = None


Wanted = Annotated[Asked, Depends()]


@router.get("/findings")
async def findings(request: Request, site: SiteOf, user: Reader, asked: Wanted) -> Response:
    """Show what quality control has found, from the newest to the oldest."""
    return await _worklist(request, site, user, asked, "finding")


@router.get("/codesets")
async def code_sets(request: Request, site: SiteOf, user: Reader, asked: Wanted) -> Response:
    """Show the sets of codes that wait for a coder: they are no findings."""
    return await _worklist(request, site, user, asked, "codeset")


@router.get("/drafts")
async def drafts(request: Request, site: SiteOf, user: Reader, asked: Wanted) -> Response:
    """Show the drafts of documents."""
    return await _worklist(request, site, user, asked, "draft")


async def _worklist(request: Request, site: SiteOf, user: Reader, asked: Asked, kind: str) -> Response:
    wanted = Filter(
        kind=kind, status="" if asked.status == "all" else asked.status, rule=asked.rule, department=asked.department,
        author="" if asked.author == MINE else asked.author, backfill=asked.backfill,
    )  # fmt: skip
    async with site.database.read() as connection:
        if asked.author == MINE:
            wanted = replace(wanted, authors=(await people.of_staff(connection, user)).numbers)
        rows, following = await queue.page(connection, wanted, LIMIT, cursors.read(asked.cursor))
        stays = await queue.stays(connection, (row.encounter for row in rows))
        counts = await queue.counts(connection, wanted, "status")
        rules = await queue.counts(connection, wanted, "rule")
        departments = await queue.counts(connection, wanted, "department")
        drafted = await queue.counts(connection, wanted, "author")
        authors = await people.authors(connection, {*drafted, *(row.author for row in rows)})
    await viewed(site, actor(user), "proposals.listed", proposals=[row.id for row in rows])
    return render(
        request,
        "worklist.html",
        user,
        lines=[(row, proposals.body(row), stays.get(row.encounter)) for row in rows],
        counts=counts,
        states=STATES,
        rules=rules,
        departments={name: count for name, count in departments.items() if name},
        drafted={number: count for number, count in drafted.items() if number},
        authors=authors,
        author=asked.author,
        wanted=wanted,
        status=asked.status,
        following=following.word() if following else "",
        later=bool(asked.cursor),
    )
