"""What every page has in common: the language, the frame, who is logged in, and how a form is taken."""

from collections.abc import Mapping
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Depends, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import TypeAdapter, ValidationError
from starlette.responses import HTMLResponse

from hisbus_bus.desk import named
from hisbus_bus.desk.health import agents_called, durability
from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.process import Process
from hisbus_bus.desk.security import SESSION, VISITOR, allow, check_form, set_cookie, site_of, visitor_token
from hisbus_bus.desk.texts import negotiate, texts
from hisbus_bus.desk.words import Note, Passage
from hisbus_bus.host.agents import DOWN
from hisbus_bus.kernel import people as users
from hisbus_bus.kernel.people import User, may
from hisbus_schemas import Moment

LANGUAGE = "hisbus_language"

_FORM: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, Note])
_LONG: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, Passage])
_templates = Environment(
    loader=PackageLoader("hisbus_bus.desk"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def clock(value: datetime | Moment | str | None, zone: ZoneInfo | str = "UTC", *, seconds: bool = False) -> str:
    """Return a time for people, to the minute or second: ours in a zone, a source's as its own clock showed it."""
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    if value is None or value == "":
        return ""
    if isinstance(value, Moment):
        local = value.local()
        return local.strftime("%Y-%m-%d") if value.precision == "day" else local.strftime(form)
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M:%S")
        except ValueError:
            return value
    return value.astimezone(ZoneInfo(zone) if isinstance(zone, str) else zone).strftime(form)


def age(born: date, now: datetime) -> int:
    """Return whole years."""
    return now.year - born.year - ((now.month, now.day) < (born.month, born.day))


_templates.filters["clock"] = clock
_templates.filters |= {
    "change": named.change,
    "step": named.step,
    "part": named.part,
    "actor": named.actor,
    "items": named.items,
}
_templates.globals["age"] = age


def language(request: Request) -> str:
    """Return the reader's language, ``zh`` or ``en``."""
    return negotiate(request.cookies.get(LANGUAGE), request.headers.get("accept-language", ""))


def render(
    request: Request,
    template: str,
    user: User | None,
    *,
    http: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """Return a page, or a part of one; ``http`` is the status it is sent with."""
    spoken = language(request)
    token = user.csrf if user else visitor_token(request)
    frame = {
        "t": texts(spoken),
        "lang": spoken,
        "user": user,
        "may": partial(may, user),
        "csrf": token,
        "site": site_of(request).name,
        "zone": request.app.state.zone,
        "here": request.url.path.split("/")[1],
        "notices": _notices(request, texts(spoken)),
    }
    page = _templates.get_template(template).render(**frame, **context)
    response = HTMLResponse(page, http, headers=dict(headers or {}))
    if user is None and VISITOR not in request.cookies:
        set_cookie(request, response, VISITOR, token)
    return response


async def logged_in(request: Request) -> User:
    """Return whose session this is. Raises Problem where there is none."""
    cookie = request.cookies.get(SESSION)
    user = await users.of_session(site_of(request), cookie) if cookie else None
    if user is None:
        raise Problem("unauthorized")
    return user


Someone = Annotated[User, Depends(logged_in)]


async def _viewing(user: Someone) -> User:
    return allow(user, "see_metadata")


async def _reading(user: Someone) -> User:
    return allow(user, "see_bodies")


async def _administering(user: Someone) -> User:
    return allow(user, "administer")


# Who is logged in, by what they may.
Viewer = Annotated[User, Depends(_viewing)]
Reader = Annotated[User, Depends(_reading)]
Admin = Annotated[User, Depends(_administering)]


async def posted(request: Request, user: User | None, passages: str = "") -> Mapping[str, str]:
    """Return the fields of one of our own forms. Those whose names begin with ``passages`` may be long texts.

    Raises:
        Problem: it is not from our page, or a field is too long.
    """
    await check_form(request, user.csrf if user else request.cookies.get(VISITOR, ""))
    fields = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    long = {name: value for name, value in fields.items() if passages and name.startswith(passages)}
    try:
        return _FORM.validate_python({k: v for k, v in fields.items() if k not in long}) | _LONG.validate_python(long)
    except ValidationError:
        raise Problem("bad_request") from None


def _notices(request: Request, words: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what everybody should know of the state of things, with its weight."""
    process: Process = request.app.state.process
    notices = [
        ("warning", words["site"]["agent"].format(name=agent.name, status=words["agent"][agent.status]))
        for agent in process.agents
        if agent.status in DOWN
    ]
    notices += [("warning", words["site"]["plaintext"].format(name=name)) for name in request.app.state.plaintext]
    model, off = process.model, [agent.name for agent in agents_called(site_of(request), process) if agent.asks]
    if model.status == "down":
        notices.append(("warning", words["site"]["model-down"].format(reason=model.reason)))
    elif model.status == "none" and off:
        notices.append(("info", words["site"]["model-none"].format(names=", ".join(off))))
    kept = durability(site_of(request))
    return [*notices, ("info", words["site"][kept])] if kept in words["site"] else notices
