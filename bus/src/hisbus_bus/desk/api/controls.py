"""``/controls``: what an operator asks of a part of the site, and what it does."""

from dataclasses import asdict
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from hisbus_bus.desk.cursors import Items
from hisbus_bus.desk.read import operations
from hisbus_bus.desk.security import Admin, SiteOf
from hisbus_bus.desk.words import Note, Word
from hisbus_bus.kernel.controls import Control, Now, Wanted

router = APIRouter(prefix="/controls", tags=["controls"])


class ControlBody(BaseModel):
    """What was asked of one target, and what it does now."""

    target: str
    """``step:NAME``, ``connector:NAME`` or ``agent:NAME``."""
    wanted: Wanted
    """``pause``: start nothing, finish what runs. ``drain``: take nothing new in, finish what is in hand."""
    now: Now
    """``stopping``: it has not come to rest yet, or no process has it."""
    who: str
    changed: datetime
    reason: str

    @classmethod
    def of(cls, control: Control) -> "ControlBody":
        """Return a control as the API shows it."""
        return cls(**asdict(control))


class AskBody(BaseModel):
    """What is asked of a target."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    target: Word
    wanted: Wanted
    reason: Note = ""
    """Kept in the audit: no patient's data."""


@router.get("")
async def list_controls(site: SiteOf, user: Admin) -> Items[ControlBody]:
    """List what was asked, by target, also of what runs again."""
    return Items(items=[ControlBody.of(control) for control in await operations.asked(site)])


@router.post("")
async def ask(site: SiteOf, user: Admin, body: AskBody) -> ControlBody:
    """Pause, drain or resume a step, a connector or an agent. Its processes obey within seconds."""
    return ControlBody.of(await operations.ask(site, user, body.target, body.wanted, body.reason))
