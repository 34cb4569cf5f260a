"""Errors as the API tells them: RFC 9457, a stable code, and never a word of what was sent."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.responses import JSONResponse

from hisbus.errors import Refused

MEDIA_TYPE = "application/problem+json"

TITLES: Mapping[str, tuple[int, str]] = {
    "bad_request": (422, "The request is not as the interface describes it."),
    "bad_cursor": (422, "The cursor is not one of ours. Start without a cursor."),
    "empty_search": (422, "Name at least one thing to search for."),
    "unauthorized": (401, "Log in, or send a valid bearer token."),
    "forbidden": (403, "Your role does not allow this."),
    "csrf": (403, "The form is not from this session. Reload the page and try again."),
    "not_found": (404, "There is nothing under this address."),
    "method_not_allowed": (405, "This address does not take this method."),
    "not_waiting": (409, "It does not wait for this any more. Reload it."),
    "too_large": (413, "The request is too large."),
    "too_many_requests": (429, "Too many attempts. Wait and try again."),
    "bug": (500, "Something went wrong in hisbus. It has been logged."),
    "retry_later": (503, "What this depends on is not available. Try again."),
}
"""Status and title of every code of our own; what a step refuses brings its own."""

_BY_STATUS = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Problem(Exception):
    """The request cannot be answered as asked."""

    def __init__(self, code: str, *, headers: Mapping[str, str] | None = None, fields: Iterable[str] = ()) -> None:
        self.code = code
        self.status, self.title = TITLES[code]
        super().__init__(self.title)
        self.headers = dict(headers or {})
        self.fields = list(fields)


class ProblemBody(BaseModel):
    """An error, after RFC 9457."""

    type: str
    title: str
    status: int
    code: str
    fields: list[str] = []
    """Names of the fields that were wrong."""


def of_refusal(refusal: Refused) -> Problem:
    """Return the problem for what a step refused a person; its words are our own."""
    problem = Problem("bad_request")
    problem.code, problem.status, problem.title = refusal.code, refusal.status, str(refusal)
    return problem


def of_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem for a bare HTTP status."""
    return Problem(_BY_STATUS.get(status, "bad_request" if status < 500 else "bug"), headers=headers)


def of_validation(error: RequestValidationError) -> Problem:
    """Return the problem for a request that does not fit its model: names of fields, nothing of their content."""
    places = [item["loc"][:-1] if item["type"] == "extra_forbidden" else item["loc"] for item in error.errors()]
    return Problem("bad_request", fields=dict.fromkeys(".".join(str(part) for part in place) for place in places))


def response(problem: Problem) -> JSONResponse:
    """Return a problem as the API's answer."""
    body: dict[str, Any] = {
        "type": f"urn:hisbus:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
    }
    if problem.fields:
        body["fields"] = problem.fields
    return JSONResponse(body, problem.status, headers=problem.headers, media_type=MEDIA_TYPE)
