"""``/losses``: what profiles leave unread, by connector and field."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from hisbus_bus.desk.cursors import LIMIT, MOST
from hisbus_bus.desk.read import losses
from hisbus_bus.desk.security import SiteOf, Viewer

router = APIRouter(prefix="/losses", tags=["messages"])


class LeftPlace(BaseModel):
    """A field whose values are left unread."""

    place: str
    """As its format calls it: ``OBX-17``."""
    messages: int
    values: int


class ConnectorLosses(BaseModel):
    """What was taken and left of the messages of one connector."""

    connector: str
    messages: int
    values: int
    """Fields with a value, each repetition counted."""
    read: int
    collided: int
    """Entries that had the identity of an earlier one of their message, and keep their ordinal."""
    unread: list[LeftPlace]
    """Those that most messages have first."""
    places: int
    """How many such fields there are."""


class LossTotals(BaseModel):
    """What was taken and left of the newest messages that were read."""

    messages: int
    since: datetime | None
    """When the oldest of them came."""
    connectors: list[ConnectorLosses]


@router.get("")
async def read_losses(
    site: SiteOf,
    user: Viewer,
    connector: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=MOST, description="Most fields of a connector.")] = LIMIT,
) -> LossTotals:
    """Add up what was taken and left of the newest messages, at most 10,000. Names of fields, never a value."""
    found = await losses.totals(site.database, connector)
    return LossTotals(
        messages=found.messages,
        since=found.since,
        connectors=[
            ConnectorLosses(
                connector=one.name,
                messages=one.messages,
                values=one.values,
                read=one.read,
                collided=one.collided,
                unread=[LeftPlace(place=place, messages=of, values=times) for place, of, times in one.places[:limit]],
                places=len(one.left),
            )
            for one in found.connectors
        ],
    )
