"""The application: the API, the page, and what both share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hisbus.connector import Connector
from hisbus.errors import Refused, RetryLater
from hisbus_bus.desk import api, contract, health, pages, problems
from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.process import Process, Still
from hisbus_bus.desk.security import Guard
from hisbus_bus.kernel.site import Site
from hisbus_mapping import Mapping as Meaning

HERE = Path(__file__).parent


def create_app(
    site: Site,
    *,
    connectors: Sequence[Connector] = (),
    mappings: Mapping[str, Meaning] | None = None,
    process: Process | None = None,
) -> FastAPI:
    """Return the application for a site.

    Args:
        site: opened; closing it is the caller's.
        connectors: what the site is connected to; lists show times in the zone of the first.
        mappings: what the messages of each connector mean, and what is asked of people: by its profile at any time.
        process: what this process knows of its agents; none where it calls none.
    """
    app = FastAPI(
        title="hisbus",
        version="1",
        summary="Messages, charts, proposals and write-backs of one hospital.",
        docs_url=None,  # its pages come from other machines
        redoc_url=None,
        # The framework's own telemetry would carry exception messages and paths.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.site = site
    app.state.writers = frozenset(connector.name for connector in connectors if connector.writes)
    app.state.plaintext = [connector.name for connector in connectors if connector.plaintext]
    app.state.zone = ZoneInfo(connectors[0].timezone if connectors else "UTC")
    app.state.mappings = mappings or {}
    app.state.process = process or Still()
    app.include_router(health.router)
    app.include_router(contract.router)
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_middleware(Guard)
    app.exception_handler(Problem)(_tell)
    app.exception_handler(Refused)(_refused)
    app.exception_handler(RetryLater)(_later)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_bare)
    return app


async def _tell(request: Request, problem: Problem) -> Response:
    """Answer programs with a problem, people with a page."""
    path = request.url.path
    if path.startswith(("/api/", "/static/")) or path in {
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/asyncapi.json",
    }:
        return problems.response(problem)
    return await pages.problem(request, problem)


async def _refused(request: Request, refusal: Refused) -> Response:
    return await _tell(request, problems.of_refusal(refusal))


async def _later(request: Request, _error: RetryLater) -> Response:
    return await _tell(request, Problem("retry_later", headers={"Retry-After": "2"}))


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    return await _tell(request, problems.of_validation(error))


async def _bare(request: Request, error: HTTPException) -> Response:
    return await _tell(request, problems.of_status(error.status_code, error.headers))
