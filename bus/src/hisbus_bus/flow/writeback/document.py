"""What leaves: whether it still may, and what it says."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import BusError, RetryLater
from hisbus_bus.flow.writeback.outgoing import Outgoing
from hisbus_bus.kernel import charts, payloads, tables
from hisbus_bus.kernel.states import Decided, Proposed
from hisbus_schemas import (
    Chart,
    Code,
    Coded,
    CodedEntry,
    Decision,
    Drafted,
    Evidence,
    Finding,
    Proposal,
    Section,
    WriteBack,
)

_proposal: TypeAdapter[Proposal] = TypeAdapter(Proposal)

CODES = "CODES"
"""Name of the section that holds a set of codes."""
_PROPOSED = {False: "编码建议 Codes proposed", True: "编码建议，经模型核对 Codes proposed, verified by a model"}
_ROLES = {
    "principal": "主要诊断 Principal",
    "other": "其他诊断 Other",
    "complication": "并发症 Complication",
    "operation": "手术操作 Operation",
}


class Withheld(BusError):
    """It may not leave (any more). The code says why."""


@dataclass(frozen=True, slots=True)
class Approved:
    """A decision with exactly what it approved, and the chart as it is now."""

    decision: Decision
    proposal: Proposal
    chart: Chart


async def load(connection: AsyncConnection, row: Outgoing) -> Approved:
    """Return what a row of ``writebacks`` rests on.

    Raises:
        Withheld: there is no recorded decision that approves it.
        RetryLater: the stay's chart is not there yet, or names no patient.
    """
    decisions = tables.decisions
    stored = (await connection.execute(select(decisions).where(decisions.c.id == row.decision))).one_or_none()
    if stored is None:
        raise Withheld(code="no_decision")
    decision = Decision.model_validate_json(stored.body)
    approves = decision.decision in {"accept", "edit"} and stored.state == Decided.STANDS
    if not approves or stored.proposal != row.proposal or not stored.payload:
        raise Withheld(code="not_approved")
    chart = await charts.chart(connection, row.encounter)
    if chart is None or chart.patient is None:
        raise RetryLater("The stay's chart is not there yet.", code="no_chart")
    return Approved(decision, _proposal.validate_json(stored.payload), chart)


async def check(connection: AsyncConnection, row: Outgoing, approved: Approved, *, lock: bool = False) -> None:
    """Check what may have changed since the decision. ``lock`` holds review off until the transaction ends.

    Raises:
        Withheld: it is not to be sent.
    """
    proposals = tables.proposals
    wanted = select(proposals.c.status, proposals.c.rectified).where(proposals.c.id == row.proposal)
    standing = (await connection.execute(wanted.with_for_update(read=True) if lock else wanted)).one_or_none()
    if standing is None or standing.status not in Proposed.APPROVED:
        raise Withheld(code="not_approved")
    if standing.rectified:
        raise Withheld(code="rectified")
    if approved.chart.status == "cancelled":
        raise Withheld(code="cancelled")
    if not all(approved.chart.holds(ref) for ref in approved.proposal.reads):
        raise Withheld(code="reads_changed")


def compose(row: Outgoing, approved: Approved) -> WriteBack:
    """Return the document. After a merge it names the patient who survived."""
    chart, patient = approved.chart, approved.chart.patient
    if patient is None:
        raise RetryLater("The stay's chart names no patient yet.", code="no_chart")
    drafted, coded = payloads.drafted(approved.proposal), payloads.coded(approved.proposal)
    sections: list[Section] = []
    if drafted is not None:
        sections = [*_sections(drafted), _origin("草稿 Drafted", approved)]
    elif coded is not None:
        sections = [_codes(coded, approved), _origin(_PROPOSED[bool(coded.verified_by)], approved)]
    said = (line for part in sections for line in (part.title, part.text)) if sections else _said(approved)
    return WriteBack(
        id=row.id,
        connector=row.connector,
        proposal=row.proposal,
        decision=row.decision,
        visit=chart.visit,
        patient=patient.id,
        patient_name=patient.name,
        birth_date=patient.birth_date,
        sex=patient.sex,
        patient_class=chart.patient_class,
        location=chart.location,
        document=Code() if drafted is None else drafted.type,
        sections=sections,
        lines=[line for part in said for line in part.splitlines()],
        decided=approved.decision.decided,
    )


def _sections(drafted: Drafted) -> Iterator[Section]:
    """Yield the sections that say something, a sentence to a line."""
    for part in drafted.sections:
        if part.sentences:
            title = part.title.zh if drafted.language == "zh" else part.title.en
            yield Section(name=part.code, title=title, text="\n".join(sentence.text for sentence in part.sentences))


def _codes(coded: Coded, approved: Approved) -> Section:
    """Return the section that says which codes were approved, each with the words it rests on."""
    lines = [line for entry in coded.codes for line in _code(entry)]
    lines += [f"未编码 Without a code: {item.text}" for item in coded.unmatched]
    return Section(name=CODES, title="编码 Codes", text="\n".join([*lines, *_notes(approved)]))


def _code(entry: CodedEntry) -> Iterator[str]:
    table = f"[{entry.system} {entry.version}]" if entry.system else ""
    poa = "入院时已有 present on admission" if entry.poa == "Y" else ""
    said = " ".join(filter(None, (entry.code, entry.display, table, poa)))
    yield f"{_ROLES[entry.role]} {entry.rank}: {said}"
    for evidence in entry.evidence:
        yield f"依据 Evidence: {_quoted(evidence)}"


def _origin(what: str, approved: Approved) -> Section:
    """Return the section that says which program made the document, and who answers for it."""
    lines = [f"{what}: {approved.decision.agent}", *_model(approved), _decided(approved)]
    return Section(name="HISBUS", title="来源 Origin", text="\n".join(lines))


def _said(approved: Approved) -> Iterator[str]:
    proposal = approved.proposal
    yield f"规则 Rule: {proposal.rule}"
    yield proposal.message.zh
    yield proposal.message.en
    for evidence in proposal.evidence:
        yield f"依据 Evidence: {_quoted(evidence)}"
    yield from _options(proposal)
    yield from _notes(approved)
    yield from _model(approved)
    yield _decided(approved)


def _options(proposal: Proposal) -> Iterator[str]:
    """Yield what a question to the clinician may be answered with."""
    query = payloads.query(proposal) if isinstance(proposal, Finding) else None
    for number, option in enumerate(query.options if query else (), 1):
        yield f"可选 Option {number}: {option.zh} {option.en}"


def _notes(approved: Approved) -> Iterator[str]:
    for note in (approved.proposal.payload.get("note"), approved.decision.note):
        if note:
            yield f"备注 Note: {note}"


def _model(approved: Approved) -> Iterator[str]:
    if approved.proposal.model:
        yield f"模型 Model: {approved.proposal.model}"


def _decided(approved: Approved) -> str:
    decision = approved.decision
    return f"审核 Decided: {decision.user}, {_local(decision.decided, approved.chart.timezone)}"


def _quoted(evidence: Evidence) -> str:
    if evidence.quote is not None:
        return f"“{evidence.quote}”"
    return f"{evidence.path} = {evidence.value}"


def _local(time: datetime, zone: str) -> str:
    return time.astimezone(ZoneInfo(zone)).isoformat(" ", "minutes")
