"""A stay with a code that nobody has answered: what hangs on it neither opens nor closes; the rest goes on."""

from datetime import datetime, timedelta
from typing import Any

from hisbus.answer import answer, declared
from hisbus.frames import Call
from hisbus.testing import NOW, make_chart, make_document, make_vital, reasons
from hisbus_bus.flow.review.proposals import Standing
from hisbus_bus.flow.review.reconcile import reconcile
from hisbus_bus.host.calls import judged
from hisbus_qc import Agent
from hisbus_schemas import Assessed, Assessment, Chart, ChartUnknown, Code, Finding

LATE = NOW + timedelta(days=2, hours=1)
"""When the admission record, the first note and the round are overdue."""
HOT = make_vital("8310-5", "63", at=NOW)
"""A temperature that cannot be."""


def unknown(item: str) -> ChartUnknown:
    return ChartUnknown(id=f"unknown-{item}", version="1", item=item, code=Code(code="X9"))


async def judge(chart: Chart) -> Assessment:
    """Return what is left of the answer of the rules once the host has seen it."""
    call = Call(id=1, agent="qc", event=None, chart=chart, now=chart.now, max_proposals=100)
    return judged(declared(Agent()), await answer(Agent(), call), 100, chart)


def stay(*items: str, now: datetime = LATE, **more: Any) -> Chart:
    return make_chart(now=now, vitals=[HOT], unknown=[unknown(item) for item in items], **more)


def changes(said: Assessment, standing: Assessment) -> Any:
    """Return what review would do with an answer, with an open row for each finding that stands."""
    about = {"id": "a", "agent": "qc", "agent_version": "1", "encounter": "e1", "version": 2, "event": "e", "key": "k"}
    rows = [
        Standing(
            id=one.key, identity=one.key, revision=1, agent="qc", encounter="e1", key=one.key, rule=one.rule,
            department="", fingerprint=one.stamp(), status="open", rectified=False, etag="",
            body=one.model_dump_json().encode(), release="", shadow=False,
        )
        for one in standing.proposals
    ]  # fmt: skip
    return reconcile(Assessed(now=NOW, assessment=said, **about), rows, True)


def rules(said: Assessment) -> set[str]:
    return {one.rule for one in said.proposals if isinstance(one, Finding)}


async def test_an_unknown_document_may_be_any_that_is_missed() -> None:
    before, said = await judge(stay()), await judge(stay("document:*"))
    assert {"R01", "R02", "R03", "R27"} <= rules(before)
    assert rules(said) == {"R27"}, "a temperature is no document"
    assert {"R01", "R02", "R03", "R13", "R40"} <= reasons(said).keys() and not {"R01", "R27"} - (
        said.evaluated | reasons(said).keys()
    )
    assert said.evaluated == before.evaluated - reasons(said).keys()
    assert {one.reason for one in said.unevaluated} == {"unknown_code"}


async def test_while_a_document_is_unknown_nothing_of_its_rules_closes_or_opens() -> None:
    before = await judge(stay())
    notes = [make_document(type, "记录", signed=NOW + timedelta(hours=1)) for type in ("C0034", "C0037", "C0039")]
    mended = await judge(stay(documents=notes))
    hidden = await judge(stay("document:*", documents=notes))
    assert {one.row.rule for one in changes(mended, before).updates if one.told == "resolved"} >= {"R01", "R02", "R03"}
    assert not changes(hidden, before).updates and not changes(hidden, before).opens
    assert {one.proposal.rule for one in changes(await judge(stay("document:*")), Assessment()).opens} == {"R27"}
    cool = stay("document:*").model_copy(update={"vitals": []})
    assert [one.row.rule for one in changes(await judge(cool), before).updates] == ["R27"], "what is known closes"


async def test_an_unknown_class_leaves_every_rule_out_and_closes_nothing() -> None:
    before = await judge(stay())
    said = await judge(stay("class", patient_class=""))
    assert said.evaluated == frozenset() and said.proposals == [] and not changes(said, before)
    assert reasons(said).keys() == before.evaluated


async def test_an_unknown_vital_sign_leaves_out_those_that_read_vital_signs_alone() -> None:
    said = await judge(stay("vital:*"))
    assert reasons(said).keys() == {"R27", "R43", "R60"} and "R01" in rules(said)
