"""Who is asking, and what every answer carries.

The API takes bearer tokens only, the page sessions only, so neither can be used through the other.
"""

import hmac
import secrets
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hisbus_bus.desk import problems
from hisbus_bus.desk.problems import Problem
from hisbus_bus.kernel import people as users
from hisbus_bus.kernel import telemetry
from hisbus_bus.kernel.people import SITE, Action, Kind, Object, User, may
from hisbus_bus.kernel.site import Site

HEADERS = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

MAX_BODY = 1024 * 1024
"""Largest request, bytes."""

SESSION = "hisbus_session"
VISITOR = "hisbus_visitor"
"""Cookie that ties a form to its browser where there is no session yet."""

_bearer = HTTPBearer(auto_error=False, description="From `hisbus user token NAME`.")


class Guard:
    """Outermost: security headers on every answer, a limit on every request, and an answer where nobody caught."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = telemetry.logger(step="web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        kept = scope["path"].startswith("/static/")

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["cache-control"] = "no-cache" if kept else "no-store"
            await send(message)

        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MAX_BODY:
                raise HTTPException(413)
            return message

        try:
            await self._app(scope, limited, guarded)
        except Exception as error:  # noqa: BLE001 - the server would log its words, which may quote a patient
            self._log.error("web.failed", exc_info=error, method=scope["method"])
            if started:
                raise ConnectionAbortedError("the answer broke off") from None
            await problems.response(Problem("bug"))(scope, receive, guarded)


def site_of(request: Request) -> Site:
    """Return the site that the app serves."""
    site: Site = request.app.state.site
    return site


SiteOf = Annotated[Site, Depends(site_of)]


async def caller(
    request: Request,
    site: SiteOf,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> User:
    """Return the user whose token came with the request. Raises Problem where there is none."""
    user = await users.of_token(site, credentials.credentials) if credentials else None
    if user is None:
        raise Problem("unauthorized", headers={"WWW-Authenticate": "Bearer"})
    return user


def allow(user: User, action: Action, object: Object = SITE) -> User:
    """Return the user if they may do that. Raises Problem otherwise."""
    if not may(user, action, object):
        raise Problem("forbidden")
    return user


def _calling(action: Action, kind: Kind = "site") -> Callable[..., Coroutine[Any, Any, User]]:
    async def allowed(user: Annotated[User, Depends(caller)]) -> User:
        return allow(user, action, Object(kind))

    return allowed


# Who calls, by what they may.
Viewer = Annotated[User, Depends(_calling("see_metadata"))]
Reader = Annotated[User, Depends(_calling("see_bodies"))]
Reviewer = Annotated[User, Depends(_calling("decide"))]
Answerer = Annotated[User, Depends(_calling("answer"))]  # and more, where it is no draft of theirs: review says
Replayer = Annotated[User, Depends(_calling("replay", "parked"))]
Assigner = Annotated[User, Depends(_calling("replay", "message"))]
Auditor = Annotated[User, Depends(_calling("see_audit", "audit"))]
Admin = Annotated[User, Depends(_calling("administer"))]
Integrator = Annotated[User, Depends(_calling("administer", "code"))]


def actor(user: User) -> str:
    """Return how audit and history name a user."""
    return f"user:{user.name}"


def set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    """Set a cookie that scripts cannot read and other sites cannot send."""
    secure = site_of(request).settings.web.secure_cookies
    response.set_cookie(name, value, httponly=True, samesite="strict", secure=secure, path="/")


def visitor_token(request: Request) -> str:
    """Return the form token of a browser without a session, a new one where it has none."""
    return request.cookies.get(VISITOR) or secrets.token_urlsafe(24)


async def check_form(request: Request, expected: str) -> None:
    """Refuse what did not come from one of our own forms: token in the form or in the header that htmx sends.

    Raises:
        Problem: the token is missing or another, or the browser says that another site sent it.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Problem("csrf")
    given = request.headers.get("x-csrf-token") or (await request.form()).get("csrf")
    if not expected or not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        raise Problem("csrf")
