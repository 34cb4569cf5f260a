"""The contract of the topics, beside that of the API (``/openapi.json``)."""

import asyncio
from typing import Any

from fastapi import APIRouter

router = APIRouter()


@router.get("/asyncapi.json", include_in_schema=False)
async def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI document. It says nothing of any patient, so it needs no log-in."""
    return await asyncio.to_thread(_made)


def _made() -> dict[str, Any]:
    from hisbus_bus.desk.asyncapi import (
        document,  # with a library that takes a while to load, for a page that few ask for
    )

    return document()
