"""The worklist: findings that wait, by status, rule and department."""

from fastapi import APIRouter, Request
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
from hisbus_bus.kernel.states import Proposed

router = APIRouter()

STATES = (
    Proposed.OPEN,
    Proposed.STALE,
    Proposed.ACCEPTED,
    Proposed.EDITED,
    Proposed.REJECTED,
    Proposed.RESOLVED,
)


@router.get("/")
async def start() -> Response:
    """Go to the worklist."""
    return RedirectResponse("/findings", 303)


@router.get("/findings")
async def worklist(
    request: Request,
    site: SiteOf,
    user: Reader,
    status: Word = Proposed.OPEN,
    rule: Word = "",
    department: Word = "",
    backfill: bool = False,
    cursor: Cursor = None,
) -> Response:
    """Show findings from the newest to the oldest; ``status=all`` shows every status, ``backfill`` old stays, too."""
    wanted = Filter(status="" if status == "all" else status, rule=rule, department=department, backfill=backfill)
    async with site.database.read() as connection:
        rows, following = await queue.page(connection, wanted, LIMIT, cursors.read(cursor))
        stays = await queue.stays(connection, (row.encounter for row in rows))
        counts = await queue.counts(connection, wanted, "status")
        rules = await queue.counts(connection, wanted, "rule")
        departments = await queue.counts(connection, wanted, "department")
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
        wanted=wanted,
        status=status,
        following=following.word() if following else "",
        later=bool(cursor),
    )
