"""The rules of every agent, and which of them can judge by what this site's feeds bring."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from hisbus_bus.desk.pages.frame import Viewer, render
from hisbus_bus.desk.read import coverage
from hisbus_bus.desk.security import SiteOf

router = APIRouter(prefix="/rules")


@router.get("")
async def show(request: Request, site: SiteOf, user: Viewer) -> Response:
    """Show each rule once, with what it lacks."""
    async with site.database.read() as connection:
        agents = await coverage.agents(connection)
        known = {(item.name, item.department): item for item in await coverage.items(connection)}
    return render(request, "rules.html", user, agents=agents, known=known)
