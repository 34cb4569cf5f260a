"""The API: one router for each kind of thing, all under ``/api/v1``."""

from typing import Any

from fastapi import APIRouter

from hisbus_bus.desk.api import (
    audit,
    charts,
    codes,
    controls,
    losses,
    messages,
    parked,
    proposals,
    signals,
    users,
    work_items,
    writebacks,
)
from hisbus_bus.desk.problems import MEDIA_TYPE, ProblemBody

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemBody, "content": {MEDIA_TYPE: {}}, "description": description}
    for status, description in (
        (401, "No valid token"),
        (403, "Not in your role"),
        (404, "Not found"),
        (422, "Not as described"),
        (503, "Try again"),
    )
}

router = APIRouter(prefix="/api/v1", responses=ERRORS)
for part in (
    messages,
    losses,
    charts,
    proposals,
    work_items,
    writebacks,
    parked,
    codes,
    controls,
    signals,
    audit,
    users,
):
    router.include_router(part.router)
