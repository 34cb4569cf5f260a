"""One stay as a reviewer sees it: the record, what agents found in it, and where in the record each finding rests.

Evidence counts only where it is there: a quote must stand verbatim in the version it names, a fact must have the
value it is quoted with.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import audit, charts, tables
from hisbus.review import opinions, proposals
from hisbus.site import Site
from hisbus.web import drafts, queue
from hisbus_schemas import (
    Chart,
    ChartDiagnosis,
    ChartDocument,
    ChartOrder,
    ChartProcedure,
    ChartReading,
    Code,
    Decision,
    Drafted,
    Entry,
    Evidence,
    Moment,
    Opinion,
    Person,
    Proposal,
)

SEVERITY = ("critical", "warning", "info")
PREPARING = timedelta(minutes=1)
"""How long after a decision its write-back is looked for again and again."""
CLOSED = frozenset({"superseded", "resolved", "withdrawn"})


@dataclass(frozen=True, slots=True)
class Proof:
    """One piece of evidence of a finding."""

    id: str
    evidence: Evidence
    verified: bool
    document: ChartDocument | None = None
    """The document that is quoted or whose fact it is."""
    entry: Entry | None = None
    """The chart entry whose fact it is."""
    fact: str = ""
    """Kind of fact: ``admitted``, ``procedures.end``, ``vitals`` ...; ``field`` for a field of a form."""
    field: str = ""
    """Name of the form's field."""


@dataclass(frozen=True, slots=True)
class Voice:
    """What another agent says of a finding, with its evidence."""

    agent: str
    said: Opinion
    proofs: Sequence[Proof]


@dataclass(frozen=True)
class Finding:
    """A proposal with its evidence looked up, and what came of it."""

    row: Row[Any]
    said: Proposal
    proofs: Sequence[Proof]
    history: Sequence[Row[Any]] = ()
    decision: Row[Any] | None = None
    receipt: Row[Any] | None = None
    connector: str = ""
    """Which the stay came through, and a write-back would leave by."""
    voices: Sequence[Voice] = ()

    @property
    def id(self) -> str:
        """Return the id of the proposal's revision."""
        return str(self.row.id)

    @property
    def live(self) -> bool:
        """Tell whether it waits for a person."""
        return self.row.status in proposals.LIVE

    @property
    def approved(self) -> bool:
        """Tell whether a write-back belongs to it."""
        return self.row.status in proposals.APPROVED

    @property
    def closed(self) -> bool:
        """Tell whether it closed by itself."""
        return self.row.status in CLOSED

    @property
    def verified(self) -> bool:
        """Tell whether it has evidence, and all of it is there."""
        return bool(self.proofs) and all(proof.verified for proof in self.proofs)

    @property
    def draft(self) -> Drafted | None:
        """Return the document that it proposes, or that a person made of it."""
        answer = self.answer
        return drafts.of(answer.approved if answer and answer.approved else self.said)

    @property
    def answer(self) -> Decision | None:
        """Return what a person answered."""
        return None if self.decision is None else Decision.model_validate_json(self.decision.body)

    def pending(self, writers: Collection[str], now: datetime) -> bool:
        """Tell whether the write-back will move on by itself, so that it is worth looking again soon."""
        if not self.approved or self.decision is None:
            return False
        if self.receipt is None:
            return self.connector in writers and now - self.decision.decided < PREPARING
        return self.receipt.status in {"queued", "sending"}

    @property
    def rank(self) -> tuple[bool, bool, bool, int, Any, str]:
        """Return its place among the stay's findings: what waits first, what cannot be verified last."""
        severity = SEVERITY.index(self.row.severity) if self.row.severity in SEVERITY else len(SEVERITY)
        return (self.closed, not self.live, not self.verified, severity, self.row.opened, self.id)


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of a text, and which findings rest on it."""

    text: str
    findings: tuple[str, ...] = ()
    proofs: tuple[str, ...] = ()


@dataclass
class Marks:
    """Where the evidence of several findings lies."""

    spans: dict[tuple[str, int], list[tuple[int, int, str, str]]] = field(default_factory=lambda: defaultdict(list))
    """By document and section: begin, end, finding, proof."""
    facts: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """By chart path: finding, proof."""

    def segments(self, document: str, section: int, text: str) -> list[Segment]:
        """Return a text cut where evidence begins and ends."""
        spans = self.spans.get((document, section), [])
        edges = sorted({0, len(text), *(edge for begin, end, *_ in spans for edge in (begin, end))})
        return [
            Segment(
                text[begin:end],
                tuple(dict.fromkeys(span[2] for span in spans if span[0] <= begin and end <= span[1])),
                tuple(span[3] for span in spans if span[0] <= begin and end <= span[1]),
            )
            for begin, end in pairwise(edges)
        ]

    def fact(self, path: str, value: str) -> Segment:
        """Return a fact of the chart with the findings that rest on it."""
        marks = self.facts.get(path, [])
        return Segment(value, tuple(dict.fromkeys(mark[0] for mark in marks)), tuple(mark[1] for mark in marks))


@dataclass(frozen=True)
class Case:
    """A stay, its findings in the order of review, and where they rest."""

    encounter: str
    chart: Chart | None
    findings: Sequence[Finding]
    marks: Marks

    def finding(self, id: str) -> Finding:
        """Return one of the findings."""
        return next(finding for finding in self.findings if finding.id == id)


async def read(site: Site, actor: str, encounter: str) -> Case:
    """Return a stay for review; the look is audited. What waits is compared with the chart as it is now."""
    table = tables.proposals
    wanted = select(table).where(table.c.encounter == encounter)
    async with site.database.read() as connection:
        chart = await charts.chart(connection, encounter)
        rows = (await connection.execute(wanted)).all()
    async with site.database.write() as connection:
        rows = [await queue.renewed(connection, row, chart) for row in rows]
        shown = {"version": chart.version if chart else 0, "proposals": [row.id for row in rows]}
        await audit.record(
            connection, actor=actor, action="chart.viewed", object=encounter, encounter=encounter, **shown
        )
    async with site.database.read() as connection:
        findings = await of_rows(connection, rows, chart)
    return Case(encounter, chart, findings, _marks(findings))


async def of_rows(connection: AsyncConnection, rows: Iterable[Row[Any]], chart: Chart | None) -> list[Finding]:
    """Return proposals with their evidence looked up, in the order of review."""
    rows = list(rows)
    ids = [row.id for row in rows]
    histories = await queue.histories(connection, ids)
    decisions, writebacks = tables.decisions, tables.writebacks
    made = await connection.execute(select(decisions).where(decisions.c.proposal.in_(ids)))
    sent = await connection.execute(select(writebacks).where(writebacks.c.proposal.in_(ids)))
    stays = await queue.stays(connection, (row.encounter for row in rows))
    voices = await opinions.on(connection, (row.encounter for row in rows))
    by_decision = {row.proposal: row for row in made}
    by_receipt = {row.proposal: row for row in sent}
    findings = [
        Finding(
            row=row,
            said=said,
            proofs=[prove(chart, item, f"{row.id}-{number}") for number, item in enumerate(said.evidence)],
            history=histories[row.id],
            decision=by_decision.get(row.id),
            receipt=by_receipt.get(row.id),
            connector=stays[row.encounter].connector if row.encounter in stays else "",
            voices=_voices(chart, row, voices.get(row.id, ())),
        )
        for row, said in ((row, proposals.body(row)) for row in rows)
    ]
    return sorted(findings, key=lambda finding: finding.rank)


def _voices(chart: Chart | None, row: Row[Any], voices: Iterable[opinions.Voice]) -> list[Voice]:
    """Return what other agents say of a proposal; nobody is a voice on their own."""
    return [
        Voice(
            agent,
            said,
            [prove(chart, item, f"{row.id}-{agent}-{number}") for number, item in enumerate(said.evidence)],
        )
        for agent, said in voices
        if agent != row.agent
    ]


def prove(chart: Chart | None, evidence: Evidence, id: str = "") -> Proof:
    """Look evidence up in the chart."""
    if chart is None:
        return Proof(id, evidence, False)
    if evidence.path is not None:
        return _fact(chart, evidence, evidence.path, id)
    document = next((item for item in chart.documents if item.id == evidence.document), None)
    return Proof(id, evidence, document is not None and _stands(document, evidence), document)


def _stands(document: ChartDocument, evidence: Evidence) -> bool:
    """Tell whether a quote is, verbatim, where it is said to be."""
    section, begin, end = evidence.section, evidence.begin, evidence.end
    if section is None or begin is None or end is None or not evidence.quote:
        return False
    if evidence.version not in {None, document.version} or not 0 <= section < len(document.sections):
        return False
    return 0 <= begin < end and document.sections[section].text[begin:end] == evidence.quote


def _fact(chart: Chart, evidence: Evidence, path: str, id: str) -> Proof:
    part, _, rest = path.partition("/")
    if not rest:
        known = part in type(chart).model_fields and chart.stay(part) == evidence.value
        return Proof(id, evidence, known, fact=part)
    if part == "patient":
        return Proof(id, evidence, chart.stay(path.replace("/", ".")) == evidence.value, fact=rest)
    entries: Sequence[Entry] = [entry for entry in chart.entries() if path.startswith(f"{part}/{entry.id}")]
    entry = max(entries, key=lambda entry: len(entry.id), default=None)
    if entry is None:
        return Proof(id, evidence, False, fact=part)
    name = path.removeprefix(f"{part}/{entry.id}").strip("/")
    form, _, box = name.partition("/")
    document = entry if isinstance(entry, ChartDocument) else None
    fact = "field" if document and form == "fields" else ".".join(filter(None, (part, name)))
    return Proof(id, evidence, value_of(entry, name) == evidence.value, document, entry, fact, box)


def value_of(entry: Entry, name: str) -> str | None:
    """Return what a chart entry says under a name; under none a reading's values, and what else an entry is about."""
    if not name:
        return _about(entry)
    if isinstance(entry, ChartDocument) and name.startswith("fields/"):
        return entry.fields.get(name.removeprefix("fields/"))
    value = getattr(entry, name, None)
    if isinstance(value, Code):
        return value.text or value.code
    if isinstance(value, Person):
        return value.name or value.id
    return value.isoformat() if isinstance(value, Moment) else None


def _about(entry: Entry) -> str | None:
    match entry:
        case ChartReading():
            return ", ".join(entry.values)
        case ChartDiagnosis() | ChartProcedure():
            return entry.code.text or entry.code.code
        case ChartOrder():
            return entry.what.text or entry.what.code
        case _:
            return None


def _marks(findings: Iterable[Finding]) -> Marks:
    marks = Marks()
    for finding in findings:
        proofs = (*finding.proofs, *(proof for voice in finding.voices for proof in voice.proofs))
        for proof in proofs if not finding.closed else ():
            said = proof.evidence
            if not proof.verified:
                continue
            if said.path is not None:
                marks.facts[said.path].append((finding.id, proof.id))
            elif said.document and said.section is not None and said.begin is not None and said.end is not None:
                marks.spans[said.document, said.section].append((said.begin, said.end, finding.id, proof.id))
    return marks
