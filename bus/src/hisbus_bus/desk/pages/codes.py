"""Codes that no table of a profile has: a person says what they are."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from hisbus.errors import Refused
from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor
from hisbus_bus.desk.pages.frame import Someone, posted, render
from hisbus_bus.desk.read import codes
from hisbus_bus.desk.security import SiteOf, allow
from hisbus_bus.desk.words import Word
from hisbus_bus.kernel.people import Object, User
from hisbus_bus.kernel.site import Site

router = APIRouter(prefix="/codes")

STATES = ("open", "answered")


@router.get("")
async def listing(
    request: Request, site: SiteOf, user: Someone, status: Word = "open", one: Word = "", cursor: Cursor = None
) -> Response:
    """Show codes, at first those that are open, or one of them; each with what waits for it and a form to answer."""
    return await _list(request, site, _integrator(user), "" if one else status, cursor, one=one)


@router.post("/{id}")
async def answer(request: Request, site: SiteOf, user: Someone, id: Word) -> Response:
    """Take a person's answer."""
    fields = await posted(request, user)
    who, any_sender = _integrator(user), fields.get("any") == "yes"
    try:
        await codes.answer_shown(site, who, _asks(request), id, fields.get("word", ""), any_sender=any_sender)
    except Refused as error:
        if error.status == 404:
            raise
        return await _list(request, site, who, "open", None, refused=error)
    return RedirectResponse("/codes", 303)


def _asks(request: Request) -> codes.By:
    return codes.asked_by(request.app.state.mappings)


def _integrator(user: User) -> User:
    return allow(user, "administer", Object("code"))


async def _list(
    request: Request,
    site: Site,
    user: User,
    status: str,
    cursor: str | None,
    *,
    one: str = "",
    refused: Refused | None = None,
) -> Response:
    status = status if one or status in STATES else "open"
    place = cursors.read(cursor)
    found, following = await codes.listed(site, _asks(request), status, "", LIMIT, place, one)
    return render(
        request,
        "asked.html",
        user,
        http=refused.status if refused else 200,
        found=found,
        status=status,
        states=STATES,
        following=following.word() if following else "",
        refused=refused.code if refused else "",
    )
