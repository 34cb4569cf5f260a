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


class NotDecided(Refused):
    """There is no decision to take back: nobody has decided, or it was taken back already."""

    code = "not_decided"
    status = 409


class Sent(Refused):
    """The decision has left. It cannot be taken back any more."""

    code = "sent"
    status = 409


class NotYours(Refused):
    """Only who decided, or an admin, may take a decision back."""

    code = "not_yours"
    status = 403


class Invalid(Refused):
    """The decision is not complete: a rejection needs a coded reason, an edit needs the changed text."""

    code = "bad_decision"
    status = 422


class BadCodes(Refused):
    """The codes cannot be recorded: there is none, one has no known form or stands twice, or two are principal."""

    code = "bad_codes"
    status = 422


class UnknownSystem(Refused):
    """A code is of a system that the site has no table of. Load the table, or take a code of one that is loaded."""

    code = "unknown_system"
    status = 422


class NoPrincipal(Refused):
    """The set names no principal diagnosis, which it needs. Say which of the diagnoses it is."""

    code = "no_principal"
    status = 422


class NotAuthor(Refused):
    """A draft is answered by its author alone: who spoke or operated, else the attending doctor, by staff number.

    Where they have left, the head of the department or an admin answers it.
    """

    code = "not_author"
    status = 403


class Incomplete(Refused):
    """A section that the document must have says nothing. Write it, then send the document."""

    code = "incomplete"
    status = 422


class NoDocument(Refused):
    """A transcript is for reading. It is no document and cannot be sent."""

    code = "no_document"
    status = 422


class PreconditionRequired(Refused):
    """Say with If-Match what you saw."""

    code = "precondition_required"
    status = 428
