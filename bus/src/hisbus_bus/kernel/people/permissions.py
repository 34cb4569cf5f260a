"""Who may do what: the one place that says so. It reads nothing and changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["viewer", "reviewer", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
DEFAULT: Role = "reviewer"
"""The role of a user who is added without one."""

Action = Literal[
    "see_metadata",  # lists, states and counts: nothing that a patient's record says
    "see_bodies",  # messages, stays and what was found in them
    "answer",  # a draft that is one's own: its author is who counts, whatever their role
    "decide",  # what else waits for a person: a finding, codes, a write-back that nobody knows the end of
    "take_back",  # what somebody else decided, as long as it has not left
    "replay",  # judge again what was set aside; say to which stay a message belongs
    "see_audit",
    "administer",  # users, staff, and whatever else changes what others work with
    "give_role",
]
Kind = Literal[
    "site",
    "message",
    "stay",
    "proposal",
    "draft",
    "writeback",
    "parked",
    "audit",
    "user",
    "staff",
    "step",
    "connector",
    "agent",
    "code",
]

_EVERYBODY: frozenset[Action] = frozenset({"see_metadata", "see_bodies", "answer"})
_MAY: Mapping[str, frozenset[Action]] = {
    "viewer": _EVERYBODY,
    "reviewer": _EVERYBODY | {"decide"},
    "admin": frozenset(get_args(Action)),
}


@dataclass(frozen=True, slots=True)
class User:
    """Who is asking: somebody who is not shut out."""

    name: str
    role: str
    csrf: str = ""
    """The session's token for forms; empty with a bearer token."""
    numbers: frozenset[str] = frozenset()
    """Staff numbers, under whichever authority, where they were asked for."""
    heads: frozenset[str] = frozenset()
    """Departments whose head they are, where they were asked for."""


@dataclass(frozen=True, slots=True)
class Object:
    """What an action is about, as far as it is known."""

    kind: Kind
    name: str = ""
    """Of a user, a connector, a step or an agent."""
    department: str = ""
    """Of a stay, and of what was found in it."""
    author: str = ""
    """Staff number of who is to sign a draft; nobody else answers it."""
    orphaned: bool = False
    """Its author has left the hospital: the head of the department, or an admin, answers in their place."""


SITE = Object("site")


def may(user: User | None, action: Action, object: Object = SITE) -> bool:
    """Return whether somebody may do something. Nobody (None) and a role that is not known may nothing."""
    if user is None or action not in _MAY.get(user.role, frozenset()):
        return False
    if object.kind == "draft" and action in ("answer", "decide"):
        return action == "answer" and _is_theirs(user, object)
    oneself = object.kind == "user" and object.name == user.name
    return not (action == "give_role" and oneself)


def _is_theirs(user: User, draft: Object) -> bool:
    instead = draft.orphaned and (may(user, "administer") or draft.department in user.heads)
    return draft.author in user.numbers or instead


def roles_that_may(action: Action) -> tuple[Role, ...]:
    """Return the roles that an action is open to."""
    return tuple(role for role in ROLES if action in _MAY[role])
