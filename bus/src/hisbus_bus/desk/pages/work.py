"""Work items: one list of what only a person can settle, each with a link to the thing itself."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor
from hisbus_bus.desk.pages.frame import Viewer, render
from hisbus_bus.desk.read import work
from hisbus_bus.desk.security import SiteOf
from hisbus_bus.desk.words import Word

router = APIRouter(prefix="/work-items")


@router.get("")
async def listing(request: Request, site: SiteOf, user: Viewer, kind: Word = "", cursor: Cursor = None) -> Response:
    """Show what waits for a person."""
    kind = kind if kind in work.KINDS else ""
    found, following = await work.page(site, kind, "", LIMIT, cursors.read(cursor))
    return render(
        request,
        "work.html",
        user,
        found=found,
        kind=kind,
        kinds=work.KINDS,
        following=following.word() if following else "",
    )
