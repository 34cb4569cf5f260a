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
    outpatient: tuple[str, str],
    diagnoses: Sequence[tuple[str, str]],
    operations: Sequence[Operation],
    cost: int,
    died: bool,
    drugs: Sequence[str],
    pathology: str = "",
    incision: str = "",
) -> dict[str, str]:
    """Return the fields of a front page that agrees with itself.

    Args:
        outpatient: the diagnosis that the patient came with.
        diagnoses: at discharge, the principal one first.
        cost: of the stay, yuan.
        drugs: that the patient is allergic to.
        incision: how its wound is graded, where there was an operation.
    """
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
        "FP.OUTPATIENT_DIAGNOSIS": " ".join(outpatient),
        "FP.DIAGNOSIS": " ".join(diagnoses[0]),
        **_numbered("FP.OTHER_DIAGNOSIS", [" ".join(diagnosis) for diagnosis in diagnoses[1:]]),
        "FP.ALLERGY": "2" if drugs else "1",
        **({"FP.ALLERGY_DRUGS": "、".join(drugs)} if drugs else {}),
        "FP.PATHOLOGY": pathology or "-",  # an empty box has a stroke
        "FP.MORPHOLOGY": "-",
        "FP.DISPOSITION": "5" if died else "1",
        "FP.TOTAL_COST": f"{cost}.00",
    }
    if operations:
        fields |= _numbered("FP.OPERATION", [f"{operation.code} {operation.name}" for operation in operations])
        fields |= _numbered("FP.OPERATION_DATE", [f"{operation.start:%Y%m%d}" for operation in operations])
        fields |= {"FP.INCISION_GRADE": incision, "FP.INCISION_HEALING": "甲"}
    return fields


def _numbered(name: str, values: Sequence[str]) -> dict[str, str]:
    """Return a field that may stand several times: ``NAME``, ``NAME.2`` ..."""
    return {name if n == 1 else f"{name}.{n}": value for n, value in enumerate(values, 1)}


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
