"""What leaves: whether it still may, and what the connector is given."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import payloads
from hisbus.errors import BusError, RetryLater
from hisbus_bus.flow.writeback.grounds import evidence_of, grounds
from hisbus_bus.flow.writeback.outgoing import Outgoing
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel.states import Decided, Proposed
from hisbus_schemas import Chart, Code, Decision, Language, Proposal, Text, WriteBack

LANGUAGES: Sequence[Language] = ("zh", "en")
_proposal: TypeAdapter[Proposal] = TypeAdapter(Proposal)


class Withheld(BusError):
    """It may not leave (any more). The code says why."""


@dataclass(frozen=True, slots=True)
class Approved:
    """A decision with exactly what it approved, and the chart as it is now."""

    decision: Decision
    proposal: Proposal
    chart: Chart
    proposed: Text | None = None
    """The message before it was edited; None: it was not."""
    user_name: str = ""
    """Full name and department of who decided."""


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
    proposed = await _proposed(connection, row) if decision.decision == "edit" else None
    who = await _full_name(connection, decision.user)
    return Approved(decision, _proposal.validate_json(stored.payload), chart, proposed, who)


async def _proposed(connection: AsyncConnection, row: Outgoing) -> Text | None:
    """Return what the agent said, before a person wrote something else."""
    table = tables.proposals.c
    body = await connection.scalar(select(table.body).where(table.id == row.proposal))
    return None if body is None else _proposal.validate_json(body).message


async def _full_name(connection: AsyncConnection, user: str) -> str:
    table = tables.users.c
    found = await connection.execute(select(table.full_name, table.department).where(table.name == user))
    name, department = found.one_or_none() or ("", "")
    return f"{name} ({department})" if name and department else name


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


def compose(row: Outgoing, approved: Approved, languages: Sequence[Language] = ("zh",)) -> WriteBack:
    """Return what leaves, in the languages that the site wants. After a merge it names the patient who survived."""
    chart, patient, decision = approved.chart, approved.chart.patient, approved.decision
    if patient is None:
        raise RetryLater("The stay's chart names no patient yet.", code="no_chart")
    drafted = payloads.drafted(approved.proposal)
    return WriteBack(
        id=row.id,
        connector=row.connector,
        proposal=row.proposal,
        decision=row.decision,
        approved=approved.proposal,
        agent=decision.agent,
        user=decision.user,
        user_name=approved.user_name,
        decided=decision.decided,
        note=decision.note,
        visit=chart.visit,
        patient=patient.id,
        number_type=patient.number_type,
        patient_name=patient.name,
        name_parts=patient.name_parts,
        birth_date=patient.birth_date,
        sex=patient.sex,
        patient_class=chart.patient_class,
        location=chart.location,
        timezone=chart.timezone,
        document=Code() if drafted is None else drafted.type,
        title=payloads.title(approved.proposal),
        grounds=grounds(chart, evidence_of(approved.proposal)),
        languages=_fresh(approved, languages),
    )


def _fresh(approved: Approved, wanted: Sequence[Language]) -> list[Language]:
    """Return the languages without those whose text a person left as it was when they edited the other."""
    before, now = approved.proposed, approved.proposal.message
    edited: list[Language] = [one for one in LANGUAGES if before and getattr(before, one) != getattr(now, one)]
    if not edited:
        return [*wanted]
    return [one for one in wanted if one in edited] or edited
