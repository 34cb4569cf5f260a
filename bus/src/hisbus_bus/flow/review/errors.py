"""Why a person's decision was refused. The page turns ``status`` into its answer."""

from hisbus.errors import Refused


class Unknown(Refused):
    """There is no such proposal."""

    code = "unknown_proposal"
    status = 404


class AlreadyDecided(Refused):
    """Somebody has decided this already."""

    code = "decided"
    status = 409


class Closed(Refused):
    """The proposal has closed by itself: the record changed, or a newer revision took its place."""

    code = "not_waiting"
    status = 409


class Changed(Refused):
    """What you saw has changed since. Look again, then decide."""

    code = "changed"
    status = 412


class Invalid(Refused):
    """The decision is not complete: a rejection needs a coded reason, an edit needs the changed text."""

    code = "bad_decision"
    status = 422


class BadCodes(Refused):
    """The codes cannot be recorded: one has no known form or stands twice, or two diagnoses are principal."""

    code = "bad_codes"
    status = 422


class PreconditionRequired(Refused):
    """Say with If-Match what you saw."""

    code = "precondition_required"
    status = 428
