"""Charges (DFT): FT1."""

from hisbus import BadMessage
from hisbus_hl7v2.mapping.clinical import named
from hisbus_hl7v2.mapping.patient import Draft, Subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_schemas import Charge

TYPES = frozenset({"DFT^P03", "DFT^P11"})
"""Types of message that ``charge_drafts`` reads."""

READS = frozenset({"FT1"})
"""Segments that ``charge_drafts`` reads."""


def charge_drafts(source: Source, about: Subject, _trigger: str) -> list[Draft]:
    """Return one draft for each FT1.

    Raises:
        BadMessage: no FT1: nothing was charged.
    """
    lines = source.message.all("FT1")
    if not lines:
        raise BadMessage("A charge message without FT1.", code="no_charge")
    return [
        Draft(
            about,
            "charge.posted",
            Charge(
                # Without a number of its own, a charge is the same only in the same message.
                key=ft1.get(2) or f"{source.raw.id}/{number}",
                code=named(source, ft1, 7, 8),
                type=ft1.get(6),
                time=source.time(ft1, 4),
                quantity=ft1.get(10),
                amount=ft1.get(11),
            ),
        )
        for number, ft1 in enumerate(lines, 1)
    ]
