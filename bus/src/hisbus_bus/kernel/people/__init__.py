"""Who may look and who may decide: users, their passwords, tokens and log-ins, and the directory of staff.

``may`` says who may what; nobody else compares a role. Whatever changes a user ends what they had open in the same
transaction, and every request asks the tables: a leaver is out with their next one.
"""

from hisbus_bus.kernel.people.authors import Author, authors
from hisbus_bus.kernel.people.permissions import DEFAULT, ROLES, SITE, Action, Kind, Object, Role, User, may
from hisbus_bus.kernel.people.sessions import LogIn, log_in, log_out, of_session
from hisbus_bus.kernel.people.tokens import of_token, revoke, token, tokens_of
from hisbus_bus.kernel.people.users import (
    acting,
    add,
    add_number,
    change_password,
    change_role,
    describe,
    disable,
    enable,
    end_sessions,
    listed,
    of_staff,
    once_known,
    one,
    remove_number,
)

__all__ = [
    "DEFAULT",
    "ROLES",
    "SITE",
    "Action",
    "Author",
    "Kind",
    "LogIn",
    "Object",
    "Role",
    "User",
    "acting",
    "add",
    "add_number",
    "authors",
    "change_password",
    "change_role",
    "describe",
    "disable",
    "enable",
    "end_sessions",
    "listed",
    "log_in",
    "log_out",
    "may",
    "of_session",
    "of_staff",
    "of_token",
    "once_known",
    "one",
    "remove_number",
    "revoke",
    "token",
    "tokens_of",
]
