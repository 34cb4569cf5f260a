"""What a site can say differently: the tables that the mapping goes by."""

from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Profile:
    """The defaults of HL7 v2 feeds."""

    vital_signs: frozenset[str] = frozenset({"8310-5", "8867-4", "9279-1", "8480-6", "8462-4", "59408-5"})
    """LOINC of temperature, pulse, respiration, both blood pressures, oxygen saturation."""
    front_pages: frozenset[str] = frozenset({"C0032"})
    """Document types whose OBX are fields."""
    signed: frozenset[str] = frozenset({"AU", "LA"})
    """TXA-17 of a signed document."""
    operations: frozenset[str] = frozenset({"P", "O"})
    """PR1-6 of an operation."""
    consults: frozenset[str] = frozenset()
    """OBR-4 of a consultation: its order asks for one, its final result completes it."""
    medical_record: str = "MR"
    """CX.5 of the number that identifies the patient."""
    identity_cards: frozenset[str] = frozenset({"NI", "NNCHN"})
    """CX.5 of an identity card."""
    adt: MappingProxyType[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {
                "A01": "encounter.admitted",
                "A02": "encounter.transferred",
                "A03": "encounter.discharged",
                "A04": "encounter.registered",
                "A08": "encounter.updated",
                "A11": "encounter.cancelled",
                "A13": "encounter.discharge_cancelled",
                "A28": "patient.updated",
                "A31": "patient.updated",
            }
        )
    )
    """Kind of the event by trigger."""
