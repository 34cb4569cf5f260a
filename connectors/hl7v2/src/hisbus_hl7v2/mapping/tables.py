"""What a site can say differently: the tables that the mapping goes by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hisbus_schemas import DIED, DiagnosisStatus, PatientClass, ResultStatus, Sex

_CLASSES: dict[str, PatientClass] = {
    "I": "inpatient",
    "O": "outpatient",
    "E": "emergency",
    "P": "preadmit",
    "B": "obstetric",
    "R": "recurring",
    "C": "commercial",
}
_SEXES: dict[str, Sex] = {
    **{"M": "male", "F": "female", "O": "other", "A": "other", "N": "other", "U": "unknown"},
    **{"1": "male", "2": "female", "0": "unknown", "9": "unknown"},
}
_DIAGNOSES: dict[str, DiagnosisStatus] = {"A": "admitting", "W": "working", "F": "final"}
_STATUSES: dict[str, ResultStatus] = {
    **dict.fromkeys("PRSIO", "preliminary"),
    **dict.fromkeys("FUV", "final"),
    "C": "corrected",
    **dict.fromkeys("DXW", "withdrawn"),
}


@dataclass(frozen=True)
class Tables:
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

    classes: Mapping[str, PatientClass] = field(default_factory=lambda: MappingProxyType(_CLASSES))
    """PV1-2 (table 0004)."""
    sexes: Mapping[str, Sex] = field(default_factory=lambda: MappingProxyType(_SEXES))
    """PID-8 (table 0001), and as GB/T 2261.1 has it."""
    dispositions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"20": DIED}))
    """PV1-36 (table 0112); what is not in it stands as sent."""
    diagnoses: Mapping[str, DiagnosisStatus] = field(default_factory=lambda: MappingProxyType(_DIAGNOSES))
    """DG1-6 (table 0052)."""
    statuses: Mapping[str, ResultStatus] = field(default_factory=lambda: MappingProxyType(_STATUSES))
    """OBX-11 (table 0085) and OBR-25 (table 0123)."""
    document_types: frozenset[str] = frozenset({"QC", "TRANSCRIPT", *(f"C{number:04}" for number in range(1, 54))})
    """TXA-2 of documents whose type is known: WS/T 500, parts 1 to 53; our own notices, come back; speech as text."""
