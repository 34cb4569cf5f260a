"""Whether what we send is HL7, judged by hl7apy's structures of the standard."""

from hisbus import BusError

LONGEST = 65_536
"""Characters of the longest data type (TX)."""


class NonconformantError(BusError):
    """The write-back does not fit HL7's structure for it, so it was not sent. Shorten it, or decide anew."""

    code = "nonconformant"


def check(message: str) -> None:
    """Check a whole message against the version and structure that its MSH names.

    Judged are segments and their order, required and repeated fields, and data types. Not judged are tables, for sites
    extend them, and lengths below the longest: the HIS's own names and numbers come back as it wrote them, and hl7apy
    takes any OBX-5 for an ST.

    Raises:
        NonconformantError: it does not conform. What exactly would quote a value, and stays here.
    """
    # Its import and the structures of a version take 0.2 s, and only those who write back need them.
    from hl7apy.exceptions import HL7apyException

    try:
        understood = _understood(message)
    except (HL7apyException, ValueError):
        # Not "from": the cause quotes the value.
        raise NonconformantError from None
    # hl7apy puts segments into the standard's order, and drops unknown ones.
    if _names(understood) != _names(message) or max(map(len, message.split(message[3:4]))) > LONGEST:
        raise NonconformantError


def _understood(message: str) -> str:
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.exceptions import MaxLengthReached
    from hl7apy.parser import parse_message
    from hl7apy.validation import Validator

    try:
        parsed = parse_message(message, validation_level=VALIDATION_LEVEL.STRICT)
    except MaxLengthReached:
        parsed = parse_message(message, validation_level=VALIDATION_LEVEL.TOLERANT)
    Validator.validate(parsed)
    return str(parsed.to_er7())


def _names(message: str) -> list[str]:
    return [line[:3] for line in message.rstrip("\r").split("\r")]
