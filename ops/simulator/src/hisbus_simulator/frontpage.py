"""The front page of a stay's record, right or with one thing wrong."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from hisbus_simulator.facts import Operation
from hisbus_simulator.people import Patient, age_on


def front_page(
    patient: Patient,
    admitted: datetime,
    discharged: datetime,
    *,
    ward: str,
    payment: str,
    diagnosis: tuple[str, str],
    operations: Sequence[Operation],
) -> dict[str, str]:
    """Return the fields of a front page that agrees with itself."""
    fields = {
        "FP.NAME": patient.family + patient.given,
        "FP.ID_CARD": patient.card,
        "FP.SEX": "1" if patient.male else "2",
        "FP.BIRTH_DATE": f"{patient.birth:%Y%m%d}",
        "FP.AGE": str(age_on(patient.birth, admitted.date())),
        "FP.MARITAL": "2" if patient.married else "1",
        "FP.PAYMENT": payment,
        "FP.ADMITTED": f"{admitted:%Y%m%d%H%M}",
        "FP.DISCHARGED": f"{discharged:%Y%m%d%H%M}",
        "FP.DAYS": str(max((discharged.date() - admitted.date()).days, 1)),
        "FP.WARD": ward,
        "FP.DIAGNOSIS": " ".join(diagnosis),
    }
    if operations:
        fields["FP.OPERATION"] = f"{operations[0].code} {operations[0].name}"
    return fields


def spoilt(fields: dict[str, str], patient: Patient, variant: str) -> dict[str, str]:
    """Return a front page with what the plan's variant of R48 makes wrong; unchanged for the harmless ones."""
    match variant:
        case "sex" | "corrected":
            return fields | {"FP.SEX": "2" if patient.male else "1"}
        case "birth":
            other = patient.birth + timedelta(days=1 if patient.birth.day < 15 else -1)
            return fields | {"FP.BIRTH_DATE": f"{other:%Y%m%d}"}
        case "age":
            return fields | {"FP.AGE": str(int(fields["FP.AGE"]) + 1)}
        case _:
            return fields
