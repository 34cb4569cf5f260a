"""What profiles leave unread, by connector and field."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from hisbus_bus.desk.cursors import MOST
from hisbus_bus.desk.pages.frame import Viewer, render
from hisbus_bus.desk.read import losses
from hisbus_bus.desk.security import SiteOf

router = APIRouter(prefix="/losses")


@router.get("")
async def show(request: Request, site: SiteOf, user: Viewer) -> Response:
    """Show what was taken and left of the newest messages."""
    return render(request, "losses.html", user, found=await losses.totals(site.database), most=MOST)
