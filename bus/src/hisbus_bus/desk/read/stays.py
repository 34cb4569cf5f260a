"""One stay as a reviewer sees it: the record, what agents found in it, and where in the record each finding rests."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import payloads
from hisbus_bus.desk import codes
from hisbus_bus.desk.codes import CodeLines
from hisbus_bus.desk.proofs import Proof, prove
from hisbus_bus.desk.read import sources
from hisbus_bus.desk.read import worklist as queue
from hisbus_bus.desk.read.sources import Source
from hisbus_bus.flow.review import drafts, notes, opinions, proposals
from hisbus_bus.flow.review.notes import Said
from hisbus_bus.kernel import audit, charts, people, tables
from hisbus_bus.kernel.people import Action, Author, Object
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import Decided, Proposed, WrittenBack
from hisbus_schemas import Chart, Decision, Drafted, Evidence, Opinion, Proposal, Query, Text

SEVERITY = ("critical", "warning", "info")
PREPARING = timedelta(minutes=1)
"""How long after a decision's grace its write-back is looked for again and again."""


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
    sources: Sequence[Source] = ()
    """The messages that it rests on."""
    author: Author | None = None
    """Who answers a draft; None: it is none, or nobody's."""
    queries: Sequence[tuple[str, Text]] = ()
    """What the agent of a set of codes asks the clinician of this stay: proposals of their own, by id."""

    @property
    def id(self) -> str:
        """Return the id of the proposal's revision."""
        return str(self.row.id)

    @property
    def live(self) -> bool:
        """Tell whether it waits for a person."""
        return self.row.status in Proposed.LIVE

    @property
    def approved(self) -> bool:
        """Tell whether a write-back belongs to it."""
        return self.row.status in Proposed.APPROVED

    @property
    def closed(self) -> bool:
        """Tell whether it closed by itself."""
        return self.row.status in Proposed.CLOSED

    @property
    def verified(self) -> bool:
        """Tell whether it has evidence, and all of it is there."""
        return bool(self.proofs) and all(proof.verified for proof in self.proofs)

    @property
    def about(self) -> Object:
        """Return what an answer to it is about."""
        gone = self.author is not None and self.author.left
        return drafts.object_of(self.said, self.row.department, orphaned=gone)

    @property
    def action(self) -> Action:
        """Return what answering it is called."""
        return drafts.action_on(self.said)

    @property
    def draft(self) -> Drafted | None:
        """Return the document that it proposes, or that a person made of it."""
        return payloads.drafted(self.shown)

    @property
    def codes(self) -> CodeLines | None:
        """Return the codes that it proposes, or that a person made of them."""
        coded = payloads.coded(self.shown)
        return None if coded is None else codes.lines(coded, self.proofs)

    @property
    def query(self) -> Query | None:
        """Return the question that it puts to the clinician."""
        return payloads.query(self.said)

    @property
    def shown(self) -> Proposal:
        """Return what it says, as a person left it."""
        return _shown(self.said, self.answer)

    @property
    def answer(self) -> Decision | None:
        """Return what a person answered."""
        return _answer(self.decision)

    def pending(self, writers: Collection[str], now: datetime, grace: timedelta = timedelta()) -> bool:
        """Tell whether the write-back will move on by itself, so that it is worth looking again soon."""
        if not self.approved or self.decision is None:
            return False
        if self.receipt is None:
            return self.connector in writers and now - self.decision.decided < grace + PREPARING
        return self.receipt.status in WrittenBack.LEAVING

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
class Stay:
    """A stay, its findings in the order of review, and where they rest."""

    encounter: str
    chart: Chart | None
    findings: Sequence[Finding]
    marks: Marks
    said: Sequence[Said] = ()
    """What each agent's newest assessment says of itself."""

    def finding(self, id: str) -> Finding:
        """Return one of the findings."""
        return next(finding for finding in self.findings if finding.id == id)


async def read(site: Site, actor: str, encounter: str) -> Stay:
    """Return a stay for review; the look is audited. What waits is compared with the chart as it is now."""
    table = tables.proposals
    wanted = select(table).where(table.c.encounter == encounter, table.c.shadow.is_(False))
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
        said = await notes.of(connection, encounter)
    return Stay(encounter, chart, findings, _marks(findings), said)


async def of_rows(connection: AsyncConnection, rows: Iterable[Row[Any]], chart: Chart | None) -> list[Finding]:
    """Return proposals with their evidence looked up, in the order of review."""
    rows = list(rows)
    ids = [row.id for row in rows]
    histories = await queue.histories(connection, ids)
    decisions, writebacks = tables.decisions, tables.writebacks
    standing = (decisions.c.proposal.in_(ids), decisions.c.state == Decided.STANDS)
    made = await connection.execute(select(decisions).where(*standing))
    sent = await connection.execute(select(writebacks).where(writebacks.c.proposal.in_(ids)))
    stays = await queue.stays(connection, (row.encounter for row in rows))
    voices = await opinions.on(connection, (row.encounter for row in rows))
    by_decision = {row.proposal: row for row in made}
    by_receipt = {row.proposal: row for row in sent}
    known = [(row, proposals.body(row)) for row in rows]
    came_from = await sources.of(connection, rows)
    authors = await people.authors(connection, {drafts.author_of(said) for _, said in known})
    findings = [
        Finding(
            row=row,
            said=said,
            proofs=[
                prove(chart, item, f"{row.id}-{number}")
                for number, item in enumerate(_evidence(_shown(said, _answer(by_decision.get(row.id)))))
            ],
            history=histories[row.id],
            decision=by_decision.get(row.id),
            receipt=by_receipt.get(row.id),
            author=authors.get(drafts.author_of(said)),
            connector=stays[row.encounter].connector if row.encounter in stays else "",
            voices=_voices(chart, row, voices.get(row.id, ())),
            sources=came_from[row.id],
            queries=[
                (other.id, asked.message)
                for other, asked in known
                if other.agent == row.agent and other.status in Proposed.LIVE and payloads.query(asked) is not None
            ]
            if payloads.coded(said) is not None
            else (),
        )
        for row, said in known
    ]
    return sorted(findings, key=lambda finding: finding.rank)


def _answer(decision: Row[Any] | None) -> Decision | None:
    return None if decision is None else Decision.model_validate_json(decision.body)


def _shown(said: Proposal, answer: Decision | None) -> Proposal:
    return answer.approved if answer and answer.approved else said


def _evidence(proposal: Proposal) -> Sequence[Evidence]:
    """Return all that a proposal rests on; each code of a set brings its own."""
    coded = payloads.coded(proposal)
    return proposal.cites() if coded is None else codes.evidence(coded)


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
