"""Logging in and out, and choosing a language."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from hisbus_bus.desk.pages.frame import LANGUAGE, Someone, logged_in, posted, render
from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.security import SESSION, SiteOf, set_cookie
from hisbus_bus.desk.texts import LANGUAGES
from hisbus_bus.kernel import people as users

router = APIRouter()


@router.get("/login")
async def form(request: Request) -> Response:
    """Show the log-in."""
    return render(request, "login.html", None, wrong=False)


@router.post("/login")
async def log_in(request: Request, site: SiteOf) -> Response:
    """Open a session."""
    fields = await posted(request, None)
    opened = await users.log_in(site, fields.get("name", ""), fields.get("password", ""))
    if opened is None:
        return render(request, "login.html", None, http=401, wrong=True)
    response = RedirectResponse("/", 303)
    set_cookie(request, response, SESSION, opened.cookie)
    return response


@router.post("/logout")
async def log_out(request: Request, site: SiteOf, user: Someone) -> Response:
    """End the session."""
    await posted(request, user)
    await users.log_out(site, request.cookies[SESSION])
    response = RedirectResponse("/login", 303)
    response.delete_cookie(SESSION, path="/", httponly=True, samesite="strict")
    return response


@router.post("/language")
async def choose(request: Request) -> Response:
    """Remember a language, and go back to where it was chosen."""
    try:
        user = await logged_in(request)
    except Problem:
        user = None
    fields = await posted(request, user)
    back = fields.get("back", "/")
    response = RedirectResponse(back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/", 303)
    if fields.get("language") in LANGUAGES:
        set_cookie(request, response, LANGUAGE, fields["language"])
    return response
