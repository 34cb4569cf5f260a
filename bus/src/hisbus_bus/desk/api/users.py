"""``/users``: who may look and decide, for an admin. A password or a token that is made is told once, and not kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor, Items, Limit
from hisbus_bus.desk.problems import MEDIA_TYPE, ProblemBody
from hisbus_bus.desk.security import Admin, SiteOf
from hisbus_bus.desk.words import Note, Word
from hisbus_bus.kernel import people
from hisbus_bus.kernel.people import Role, tokens
from hisbus_bus.kernel.people.users import Known
from hisbus_bus.kernel.site import Site

CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemBody, "content": {MEDIA_TYPE: {}}, "description": "Not as things are"}
}

router = APIRouter(prefix="/users", tags=["users"], responses=CONFLICT)


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class StaffNumber(_Asked):
    """A staff number, as the HIS sends it."""

    number: Word
    authority: Word = ""
    """Who gave it; often nothing."""


class UserBody(BaseModel):
    """A user."""

    name: str
    role: str
    disabled: bool
    full_name: str
    department: str
    title: str
    numbers: list[StaffNumber]
    sessions: int
    """Log-ins that are open."""
    tokens: int
    """Tokens that work."""

    @classmethod
    def of(cls, user: Known) -> "UserBody":
        """Return a user as the API shows them."""
        values = {name: getattr(user, name) for name in cls.model_fields if name != "numbers"}
        return cls(**values, numbers=[StaffNumber(authority=by, number=number) for by, number in user.numbers])


class Made(BaseModel):
    """A user, and the password that was made for them."""

    user: UserBody
    password: str | None
    """Told once; null where one was given."""


class NewUser(_Asked):
    """A user to add."""

    name: Word
    role: Role = people.DEFAULT
    password: Note | None = None
    """Null: one is made."""


class RoleBody(_Asked):
    """The role to give."""

    role: Role


class PasswordBody(_Asked):
    """The password to give."""

    password: Note | None = None
    """Null: one is made."""


class Details(_Asked):
    """Who a user is."""

    full_name: Word = ""
    department: Word = ""
    title: Word = ""


class TokenBody(BaseModel):
    """A token, by its id; the token itself is not kept."""

    id: str
    purpose: str
    created: datetime
    until: datetime
    revoked: datetime | None
    used: datetime | None
    """When it was last used, to the minute."""
    works: bool


class NewToken(_Asked):
    """A token to make."""

    days: Annotated[int, Field(ge=1, le=tokens.MOST_DAYS)] = tokens.DAYS
    purpose: Word = ""


class MadeToken(BaseModel):
    """A token that was made."""

    token: str
    """Told once."""


@router.get("")
async def list_users(site: SiteOf, user: Admin, limit: Limit = LIMIT, cursor: Cursor = None) -> Items[UserBody]:
    """List users by name."""
    (after,) = cursors.parts_of(cursor, 1) if cursor else ("",)
    found = await people.listed(site.database, after=after, limit=limit + 1)
    following = cursors.word_of(found[limit - 1].name) if len(found) > limit else None
    return Items(items=[UserBody.of(one) for one in found[:limit]], next_cursor=following)


@router.post("")
async def add_user(site: SiteOf, user: Admin, body: NewUser) -> Made:
    """Add a user."""
    password = await people.add(site.database, body.name, body.role, body.password, by=user)
    return Made(user=await _shown(site, body.name), password=password)


@router.get("/{name}")
async def read_user(site: SiteOf, user: Admin, name: Word) -> UserBody:
    """Read one user."""
    return await _shown(site, name)


@router.post("/{name}/role")
async def change_role(site: SiteOf, user: Admin, name: Word, body: RoleBody) -> UserBody:
    """Give another role. Log-ins and tokens end."""
    await people.change_role(site.database, name, body.role, by=user)
    return await _shown(site, name)


@router.post("/{name}/password")
async def change_password(site: SiteOf, user: Admin, name: Word, body: PasswordBody) -> Made:
    """Give another password. Log-ins and tokens end, a lock is lifted."""
    password = await people.change_password(site.database, name, body.password, by=user)
    return Made(user=await _shown(site, name), password=password)


@router.post("/{name}/disable")
async def disable_user(site: SiteOf, user: Admin, name: Word) -> UserBody:
    """Shut a user out at once. Log-ins and tokens end."""
    await people.disable(site.database, name, by=user)
    return await _shown(site, name)


@router.post("/{name}/enable")
async def enable_user(site: SiteOf, user: Admin, name: Word) -> UserBody:
    """Let a user in again."""
    await people.enable(site.database, name, by=user)
    return await _shown(site, name)


@router.post("/{name}/sessions/end")
async def end_sessions(site: SiteOf, user: Admin, name: Word) -> UserBody:
    """End a user's log-ins. Tokens go on."""
    await people.end_sessions(site.database, name, by=user)
    return await _shown(site, name)


@router.post("/{name}/details")
async def describe_user(site: SiteOf, user: Admin, name: Word, body: Details) -> UserBody:
    """Say who a user is."""
    await people.describe(site.database, name, **body.model_dump(), by=user)
    return await _shown(site, name)


@router.post("/{name}/numbers")
async def add_number(site: SiteOf, user: Admin, name: Word, body: StaffNumber) -> UserBody:
    """Note a staff number."""
    await people.add_number(site.database, name, body.number, body.authority, by=user)
    return await _shown(site, name)


@router.post("/{name}/numbers/remove")
async def remove_number(site: SiteOf, user: Admin, name: Word, body: StaffNumber) -> UserBody:
    """Take a staff number away."""
    await people.remove_number(site.database, name, body.number, body.authority, by=user)
    return await _shown(site, name)


@router.get("/{name}/tokens")
async def list_tokens(site: SiteOf, user: Admin, name: Word) -> Items[TokenBody]:
    """List a user's tokens, the newest first."""
    return Items(items=_tokens(await people.tokens_of(site.database, name)))


@router.post("/{name}/tokens")
async def make_token(site: SiteOf, user: Admin, name: Word, body: NewToken) -> MadeToken:
    """Make a token. Others of the user go on."""
    made = await people.token(site.database, name, days=body.days, purpose=body.purpose, by=user)
    return MadeToken(token=made)


@router.post("/{name}/tokens/{id}/revoke")
async def revoke_token(site: SiteOf, user: Admin, name: Word, id: Word) -> Items[TokenBody]:
    """End a token at once."""
    await people.revoke(site.database, name, id, by=user)
    return Items(items=_tokens(await people.tokens_of(site.database, name)))


async def _shown(site: Site, name: str) -> UserBody:
    return UserBody.of(await people.one(site.database, name))


def _tokens(found: Sequence[tokens.Token]) -> list[TokenBody]:
    return [TokenBody(**{name: getattr(token, name) for name in TokenBody.model_fields}) for token in found]
