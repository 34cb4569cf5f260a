"""Why a change to the users was not made. Each sentence says what to do."""

from hisbus.errors import Forbidden, Refused


class UnknownUser(Refused):
    """There is no user of that name. `hisbus user list` and the page of the users name them all."""

    code = "unknown_user"
    status = 404


class NameTaken(Refused):
    """There is a user of that name already, perhaps in other letters. Choose another, or enable that user again."""

    code = "name_taken"
    status = 409


class BadName(Refused):
    """A user's name has 1 to 64 printable characters, none of them / \\ ? # % and no space at an end."""

    code = "bad_name"
    status = 422


class BadRole(Refused):
    """There is no such role. Choose viewer, reviewer or admin."""

    code = "bad_role"
    status = 422


class BadPassword(Refused):
    """A password has 8 to 1024 characters. Give another, or none to have one made."""

    code = "bad_password"
    status = 422


class BadDetails(Refused):
    """A name, a department, a title, a staff number and what it is for have at most 200 printable characters."""

    code = "bad_details"
    status = 422


class BadLife(Refused):
    """A token lives for 1 to 3650 days."""

    code = "bad_life"
    status = 422


class LastAdmin(Refused):
    """This is the last admin, and somebody must be left to administer. Make another user an admin first."""

    code = "last_admin"
    status = 409


class OwnRole(Forbidden):
    """Nobody changes their own role. Ask another admin, or use `hisbus user role` on the server."""

    code = "own_role"


class Disabled(Refused):
    """This user is disabled, and gets no token. Enable the user first."""

    code = "disabled_user"
    status = 409


class UnknownToken(Refused):
    """This user has no token of that id that still works. `hisbus user token list NAME` shows them."""

    code = "unknown_token"
    status = 404


class NumberTaken(Refused):
    """This staff number is another user's. Take it from that user first."""

    code = "number_taken"
    status = 409


class UnknownNumber(Refused):
    """This user has no such staff number."""

    code = "unknown_number"
    status = 404
