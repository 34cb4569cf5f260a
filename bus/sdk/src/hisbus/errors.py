"""Errors, sorted by who must act.

The docstring of a class is its default message. Messages say what to do and never carry patient data,
a secret or a library's own words: raise ``from`` the cause instead of quoting it.
"""

import hashlib
import traceback


class BusError(Exception):
    """Something went wrong inside hisbus."""

    code = "error"
    """A stable word for logs, acknowledgements and the parked row."""

    def __init__(self, message: str = "", *, code: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        if code:
            self.code = code


class ConfigError(BusError):
    """The configuration is wrong. The operator must mend it."""

    code = "config"


class RetryLater(BusError):
    """What this depends on is not available now. Nobody needs to act: it is tried again."""

    code = "retry_later"


class LostPlace(RetryLater):
    """Another process of the site polls this source now. This one stops, and waits for its turn."""

    code = "lost_place"


class NotEvaluated(BusError):
    """The model gave no answer that can be used. What was asked counts as not evaluated."""

    code = "not_evaluated"


class BadMessage(BusError):
    """This message cannot be processed as it is. It is parked, with its bytes and this reason."""

    code = "bad_message"


class Refused(BusError):
    """What a person asked for was not done."""

    code = "refused"
    status = 400
    """The HTTP status that says the same."""


class Forbidden(Refused):
    """Only an active user with the role reviewer or admin may do this."""

    code = "forbidden"
    status = 403


class CallFailed(BusError):
    """An agent's call failed. It is repeated, then parked."""

    code = "call_failed"


def stack_hash(error: BaseException) -> str:
    """Return a hash of where an error was raised: the same for the same bug, and free of data."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.name}:{frame.lineno}" for frame in frames]
    return hashlib.sha256("|".join([type(error).__name__, *places]).encode()).hexdigest()[:16]


def reason_code(error: BaseException) -> str:
    """Return the stable reason for an error."""
    return error.code if isinstance(error, BusError) else f"bug.{type(error).__name__}"
