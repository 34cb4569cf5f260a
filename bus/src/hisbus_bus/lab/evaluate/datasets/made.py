"""Charts around texts of corpora, which have no chart."""

from collections.abc import Sequence
from datetime import UTC, datetime

from hisbus_schemas import Chart, ChartDocument, Code, Moment, Patient, PatientClass, PatientId, Section, VisitId

WHEN = datetime(2000, 1, 1, 8, tzinfo=UTC)
"""The present of a corpus that has no times."""
CORPUS = "corpus"


def document(id: str, type: Code, text: str, *, section: str = "text") -> ChartDocument:
    """Return a signed document of one section."""
    at = Moment(at=WHEN)
    return ChartDocument(
        id=id, version=f"{id}-1", number=id, type=type, status="signed", about=at, signed=at, received=WHEN, filed=at,
        sections=[Section(name=section, text=text)],
    )  # fmt: skip


def chart(
    id: str,
    documents: Sequence[ChartDocument],
    *,
    patient_class: PatientClass,
    discharged: bool = False,
) -> Chart:
    """Return the chart of a stay that consists of some documents."""
    at = Moment(at=WHEN)
    return Chart(
        encounter=id,
        version=1,
        now=WHEN,
        connector=CORPUS,
        visit=VisitId(authority=CORPUS, number=id),
        patient=Patient(id=PatientId(authority=CORPUS, number=id)),
        status="discharged" if discharged else "admitted",
        patient_class=patient_class,
        admitted=at,
        discharged=at if discharged else None,
        documents=list(documents),
    )
