"""The page: what people see. Forms carry a token, addresses carry no patient."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from hisbus_bus.desk.pages import codes, login, losses, messages, operations, rules, stay, users, work, worklist
from hisbus_bus.desk.pages.frame import render
from hisbus_bus.desk.problems import Problem

router = APIRouter(include_in_schema=False)
for part in (login, worklist, stay, messages, losses, work, operations, codes, rules, users):
    router.include_router(part.router)


async def problem(request: Request, told: Problem) -> Response:
    """Tell a person what went wrong; who is not logged in is asked to."""
    parts = "hx-request" in request.headers
    if told.code == "unauthorized":
        if parts:
            return Response(status_code=204, headers={"HX-Redirect": "/login"})
        return RedirectResponse("/login", 303)
    template = "alert.html" if parts else "problem.html"
    return render(request, template, None, http=told.status, code=told.code, headers=told.headers)
