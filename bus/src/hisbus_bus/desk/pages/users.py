"""Users, for an admin: who there is, what they have open, and every change of it."""

from collections.abc import Mapping
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from hisbus.errors import Refused
from hisbus_bus.desk.pages.frame import Admin, posted, render
from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.security import SiteOf
from hisbus_bus.desk.words import Word
from hisbus_bus.kernel import people
from hisbus_bus.kernel.people import User, tokens
from hisbus_bus.kernel.site import Site

router = APIRouter(prefix="/users")


@router.get("")
async def listing(request: Request, site: SiteOf, user: Admin) -> Response:
    """Show all users."""
    return await _all(request, site, user)


@router.post("")
async def add(request: Request, site: SiteOf, user: Admin) -> Response:
    """Add a user. A password that was made is shown once."""
    fields = await posted(request, user)
    name = fields.get("name", "")
    try:
        made = await people.add(site.database, name, fields.get("role", ""), fields.get("password") or None, by=user)
    except Refused as error:
        return await _all(request, site, user, refused=error)
    return await _answer(request, site, user, name, made)


@router.get("/{name}")
async def one(request: Request, site: SiteOf, user: Admin, name: Word) -> Response:
    """Show a user with what can be changed."""
    return await _one(request, site, user, name)


@router.post("/{name}")
async def change(request: Request, site: SiteOf, user: Admin, name: Word) -> Response:
    """Make the change that a form asks for. A password or token that was made is shown once."""
    fields = await posted(request, user)
    try:
        made = await _changed(site, user, name, fields)
    except Refused as error:
        if error.status == 403 or await _unknown(site, name):
            raise
        return await _one(request, site, user, name, refused=error)
    return await _answer(request, site, user, name, made)


async def _changed(site: Site, by: User, name: str, fields: Mapping[str, str]) -> str | None:
    """Return the secret that was made, where one was."""
    database = site.database
    match fields.get("change", ""):
        case "role":
            await people.change_role(database, name, fields.get("role", ""), by=by)
        case "password":
            return await people.change_password(database, name, fields.get("password") or None, by=by)
        case "disable":
            await people.disable(database, name, by=by)
        case "enable":
            await people.enable(database, name, by=by)
        case "sessions":
            await people.end_sessions(database, name, by=by)
        case "details":
            given = {field: fields.get(field, "") for field in ("full_name", "department", "title")}
            await people.describe(database, name, **given, by=by)
        case "number":
            await people.add_number(database, name, fields.get("number", ""), fields.get("authority", ""), by=by)
        case "no-number":
            await people.remove_number(database, name, fields.get("number", ""), fields.get("authority", ""), by=by)
        case "token":
            days = fields.get("days", "")
            life = int(days) if days.isascii() and days.isdigit() and len(days) < 6 else 0
            return await people.token(database, name, days=life, purpose=fields.get("purpose", ""), by=by)
        case "revoke":
            await people.revoke(database, name, fields.get("token", ""), by=by)
        case _:
            raise Problem("bad_request")
    return None


async def _unknown(site: Site, name: str) -> bool:
    return not await people.listed(site.database, name=name)


async def _answer(request: Request, site: Site, user: User, name: str, made: str | None) -> Response:
    if made is None:
        return RedirectResponse(f"/users/{quote(name, safe='')}", 303)
    return await _one(request, site, user, name, made=made)


async def _all(request: Request, site: Site, user: User, *, refused: Refused | None = None) -> Response:
    found = await people.listed(site.database)
    return render(
        request,
        "users.html",
        user,
        http=refused.status if refused else 200,
        users=found,
        roles=people.ROLES,
        default=people.DEFAULT,
        refused=refused.code if refused else "",
    )


async def _one(
    request: Request, site: Site, user: User, name: str, *, refused: Refused | None = None, made: str = ""
) -> Response:
    shown = await people.one(site.database, name)
    return render(
        request,
        "user.html",
        user,
        http=refused.status if refused else 200,
        who=shown,
        tokens=await people.tokens_of(site.database, name),
        roles=people.ROLES,
        own=shown.name == user.name,
        days=tokens.DAYS,
        most_days=tokens.MOST_DAYS,
        made=made,
        refused=refused.code if refused else "",
    )
