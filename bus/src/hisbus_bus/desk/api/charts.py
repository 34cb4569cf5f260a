"""``/charts``: everything known about one stay."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, MOST, Items
from hisbus_bus.desk.plain import at_site, moment, plain
from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.security import Reader, SiteOf, actor
from hisbus_bus.desk.views import viewed
from hisbus_bus.desk.words import Word
from hisbus_bus.flow.review import notes
from hisbus_bus.flow.review.notes import Said
from hisbus_bus.kernel import charts
from hisbus_schemas import LISTS, Asked, Chart, ChartDocument, Patient, Unevaluated

router = APIRouter(prefix="/charts", tags=["charts"])


class PatientBody(BaseModel):
    """Whose stay it is, merges followed."""

    id: str
    """The patient's number."""
    name: str
    birth_date: str | None
    sex: str

    @classmethod
    def of(cls, patient: Patient) -> "PatientBody":
        """Return a patient as the API shows it."""
        return cls(id=patient.id.number, name=patient.name, birth_date=plain(patient.birth_date), sex=patient.sex)


class PlaceBody(BaseModel):
    """Where the patient lies."""

    ward: str
    room: str
    bed: str


class SectionBody(BaseModel):
    """A part of a document."""

    name: str
    title: str
    text: str


class DocumentBody(BaseModel):
    """A document in its newest version."""

    id: str
    number: str
    type: str
    status: str
    """``draft``, ``signed``, ``replaced`` or ``withdrawn``."""
    signed: str | None
    received: str
    version: str
    sections: list[SectionBody]

    @classmethod
    def of(cls, document: ChartDocument, zone: str) -> "DocumentBody":
        """Return a chart's document as the API shows it."""
        return cls(
            id=document.id,
            number=document.number,
            type=document.type.code,
            status=document.status,
            signed=moment(document.signed),
            received=at_site(document.received, zone),
            version=document.version,
            sections=[SectionBody(name=part.name, title=part.title, text=part.text) for part in document.sections],
        )


class ChartBody(BaseModel):
    """One stay at one version. Times are in the offset of their source."""

    id: str
    visit: str
    """The visit's number."""
    version: int
    status: str
    """``preadmitted``, ``registered``, ``admitted``, ``discharged`` or ``cancelled``."""
    patient: PatientBody | None
    location: PlaceBody
    admitted: str | None
    discharged: str | None
    documents: list[DocumentBody]
    diagnoses: list[dict[str, Any]]
    procedures: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    results: list[dict[str, Any]]
    vitals: list[dict[str, Any]]
    charges: list[dict[str, Any]]
    allergies: list[dict[str, Any]]
    administrations: list[dict[str, Any]]
    moves: list[dict[str, Any]]
    unknown: list[dict[str, Any]]

    @classmethod
    def of(cls, chart: Chart) -> "ChartBody":
        """Return a chart as the API shows it."""
        return cls(
            id=chart.encounter,
            visit=chart.visit.number,
            version=chart.version,
            status=chart.status,
            patient=None if chart.patient is None else PatientBody.of(chart.patient),
            location=PlaceBody(**plain(chart.location)),
            admitted=moment(chart.admitted),
            discharged=moment(chart.discharged),
            documents=[DocumentBody.of(document, chart.timezone) for document in chart.documents],
            **{part.name: plain(getattr(chart, part.name)) for part in LISTS if part.name != "documents"},
        )


class ChartSearch(BaseModel):
    """What to look for; everything that is given must hold."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    visit: Word = ""
    """The visit's number."""
    patient: Word = ""
    """The patient's number."""
    limit: Annotated[int, Field(ge=1, le=MOST)] = LIMIT
    cursor: Annotated[str | None, Field(max_length=300)] = None

    @model_validator(mode="after")
    def _something(self) -> "ChartSearch":
        if not (self.visit or self.patient):
            raise ValueError("name at least one thing to search for")
        return self


class AssessmentBody(BaseModel):
    """The newest assessment of a stay by one agent, without its proposals."""

    agent: str
    version: int
    """Of the chart that it read."""
    time: datetime
    """The present of that chart."""
    evaluated: list[str]
    """Rules that it judged."""
    unevaluated: list[Unevaluated]
    """Rules that it could not judge, with the reason."""
    unverified: int
    """Items left out because the words they rest on are not in the record."""
    asked: list[Asked]
    """What the model was asked for it."""

    @classmethod
    def of(cls, said: Said) -> "AssessmentBody":
        """Return what an agent said as the API shows it."""
        return cls(
            agent=said.agent,
            version=said.version,
            time=said.time,
            evaluated=[*said.evaluated],
            unevaluated=said.notes.unevaluated,
            unverified=said.notes.unverified,
            asked=said.notes.asked,
        )


class Assessments(BaseModel):
    """What every agent that judged a stay last said of its work."""

    items: list[AssessmentBody]


@router.post("/search")
async def search_charts(site: SiteOf, user: Reader, search: ChartSearch) -> Items[ChartBody]:
    """Find stays by visit or patient, the latest active first."""
    start = cursors.number(search.cursor) or 0
    end = start + search.limit
    async with site.database.read() as connection:
        ids = await charts.find(connection, visit=search.visit, patient=search.patient)
        found = [await charts.chart(connection, id) for id in ids[start:end]]
    by = [name for name in ("visit", "patient") if getattr(search, name)]
    items = [ChartBody.of(chart) for chart in found if chart is not None]
    await viewed(site, actor(user), "chart.searched", by=by, charts=[item.id for item in items])
    return Items(items=items, next_cursor=cursors.word_of(str(end)) if len(ids) > end else None)


@router.get("/{id}")
async def read_chart(site: SiteOf, user: Reader, id: Word) -> ChartBody:
    """Read one stay."""
    async with site.database.read() as connection:
        chart = await charts.chart(connection, id)
    if chart is None:
        raise Problem("not_found")
    await viewed(site, actor(user), "chart.viewed", id, encounter=id, version=chart.version)
    return ChartBody.of(chart)


@router.get("/{id}/assessments")
async def read_assessments(site: SiteOf, user: Reader, id: Word) -> Assessments:
    """Read what agents could and could not judge of a stay, and what the model was asked."""
    async with site.database.read() as connection:
        if await charts.chart(connection, id) is None:
            raise Problem("not_found")
        said = await notes.of(connection, id)
    await viewed(site, actor(user), "assessments.viewed", id, encounter=id, agents=[one.agent for one in said])
    return Assessments(items=[AssessmentBody.of(one) for one in said])
