"""A rule whose need this site's feeds do not bring is not judged, and what it had found is withdrawn."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select, update

from hisbus.frames import Reply
from hisbus.testing import NOW, make_chart, make_coverage, reasons
from hisbus_bus.flow.review import Review
from hisbus_bus.flow.review.proposals import Standing
from hisbus_bus.flow.review.reconcile import reconcile
from hisbus_bus.flow.review.states import EDITED, OPEN, RESOLVED, STALE, WITHDRAWN, State
from hisbus_bus.host.calls import StoredCase, call_of, judged
from hisbus_bus.host.connected import judged_by_what_comes
from hisbus_bus.kernel import coverage, rules, tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.coverage import Word
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.stored import StoredChart
from hisbus_bus.lab.evaluate.datasets import charts
from hisbus_bus.lab.evaluate.run import run
from hisbus_schemas import (
    EVERY_OTHER,
    Assessed,
    Assessment,
    ChartUnknown,
    Code,
    Coverage,
    Need,
    Text,
    Unevaluated,
)

from .evaluate.conftest import DATA, SETTINGS, Looker
from .needing import agent, answer, finding

NOTE, EITHER = Need(item="document:C0037"), Need(any=("document:C0032", "field:FP.SEX"))
DOWN = Unevaluated(rule="R01", reason="model", text=Text(zh="模型无响应。", en="The model is down."))


@pytest.mark.parametrize(
    ("need", "missing", "judged_all_the_same"),
    [
        (NOTE, ["document:C0037"], False),
        (NOTE, ["document:C0032"], True),
        (EITHER, ["document:C0032"], True),
        (EITHER, ["document:C0032", "field:FP.SEX"], False),
        (Need(item="order:*"), ["order"], False),
    ],
)
def test_a_rule_is_out_where_nothing_comes_that_would_do(
    need: Need, missing: list[str], judged_all_the_same: bool
) -> None:
    said = judged_by_what_comes(answer("R01", "R27"), agent(R01=[need]), make_coverage(*missing), "")
    assert (said.evaluated == {"R01", "R27"}) is judged_all_the_same
    assert {one.rule for one in said.proposals} == said.evaluated
    assert [one.reason for one in said.unevaluated] == ([] if judged_all_the_same else ["not_connected"])


def test_the_reason_says_what_does_not_come() -> None:
    said = judged_by_what_comes(answer("R01", "R02"), agent(R01=[NOTE], R02=[EITHER]), Coverage(others=False), "")
    first, second = said.unevaluated
    assert (first.item, first.text.zh) == ("document:C0037", "文书类型C0037")
    assert second.text.en == "type of document C0032 or field of the front page FP.SEX"


def test_the_department_of_the_stay_decides() -> None:
    here = Coverage(version=1, departments={"骨科": {"document:C0037": False}})
    info = agent(R01=[NOTE])
    for department, out in (("骨科", True), ("内科", False)):
        left = judged(info, Reply(id=1, assessment=answer("R01")), 10, make_chart(department=department), here)
        assert (left.evaluated == frozenset()) is out


def test_what_could_not_be_judged_anyway_is_not_connected_first() -> None:
    hidden = make_chart(unknown=[ChartUnknown(id="u", version="1", item="document:*", code=Code(code="X9"))])
    reply = Reply(id=1, assessment=Assessment(unevaluated=[DOWN], evaluated=frozenset({"R02"})))
    needs = {"R01": [NOTE], "R02": [NOTE]}
    said = judged(agent(**needs), reply, 10, hidden, make_coverage("document:C0037"))
    assert [(one.rule, one.reason) for one in said.unevaluated] == [("R01", "not_connected"), ("R02", "not_connected")]


def test_every_other_rule_is_out_by_what_every_other_needs() -> None:
    said = judged_by_what_comes(answer("H01"), agent(**{EVERY_OTHER: [NOTE]}), make_coverage("document:C0037"), "")
    assert reasons(said).keys() == {"H01"}


def test_where_everything_comes_the_answer_is_as_it_was() -> None:
    before = answer("R01", unevaluated=[DOWN])
    assert judged_by_what_comes(before, agent(R01=[NOTE]), Coverage(version=7), "骨科") is before


# --- wherever it goes -------------------------------------------------------------------------------------------------


def test_an_agent_is_told_what_comes() -> None:
    stay = '{"visit":{"authority":"A","number":"V"},"status":"admitted","department":"骨科"}'
    chart = StoredChart("e1", 1, NOW, "k", {}, stay)
    covered = make_coverage("document:C0037", version=4)
    sent = json.loads(call_of(StoredCase(None, chart, coverage=covered), agent(), Settings(site="test")).whole())
    assert Coverage.model_validate(sent["coverage"]) == covered
    assert "coverage" not in json.loads(call_of(StoredCase(None, chart), agent(), Settings(site="test")).whole())
    assert chart.department == "骨科"


async def test_an_evaluation_goes_by_the_coverage_of_its_cases(tmp_path: Path) -> None:
    class Needing(Looker):
        needs = {"R01": [NOTE]}

    first = DATA.samples[0]
    (tmp_path / "c1.chart.json").write_text(first.chart.model_dump_json())
    (tmp_path / "c1.expected.json").write_text(first.expected.model_dump_json())
    hashes = [DATA.sha256]
    for missing, evaluated in (([], {"R01"}), (["document:C0037"], set())):
        if missing:
            (tmp_path / "coverage.json").write_text(make_coverage(*missing).model_dump_json())
        data = charts.read(tmp_path)
        (result,) = await run(Needing("bad"), data.samples, SETTINGS, None, lambda done, total: None)
        assert result.assessment is not None and result.assessment.evaluated == evaluated
        hashes.append(data.sha256)
    assert len(set(hashes)) == 3, "of another site it is another data set"


# --- what review makes of it ------------------------------------------------------------------------------------------


def standing(state: State) -> Standing:
    return Standing(
        id="p", identity="p", revision=1, agent="qc", encounter="e1", key="R01", rule="R01", department="",
        fingerprint="f", status=state.status, rectified=state.rectified, etag="", body=finding("R01").model_dump_json()
        .encode(), release="", shadow=False,
    )  # fmt: skip


def test_what_waits_for_a_person_is_withdrawn_and_what_somebody_answered_stands() -> None:
    said = judged_by_what_comes(answer("R01"), agent(R01=[NOTE]), make_coverage("document:C0037"), "")
    about = {"id": "a", "agent": "qc", "agent_version": "1", "encounter": "e1", "version": 2, "event": "e", "key": "k"}
    for state, after in ((OPEN, WITHDRAWN), (STALE, WITHDRAWN), (EDITED, None), (RESOLVED, None)):
        changes = reconcile(Assessed(now=NOW, assessment=said, **about), [standing(state)], True)
        assert [(one.values, one.told, one.why) for one in changes.updates] == (
            [] if after is None else [(after._asdict(), "withdrawn", "not_connected")]
        )


PARTS = {"R01": [Need(item="document:C0026", part="consent"), Need(item="document:C0047", part="discussion")]}


async def say(site: Site, *words: Word) -> None:
    async with site.database.write() as connection:
        await coverage.say(connection, site.headers, words, "user:qc")


async def deliver(site: Site, version: int, covered: int, *keys: str) -> list[tuple[str, int, str]]:
    """Let review take an answer that says these keys; return what stands, each with its revision and status."""
    said = Assessment(
        evaluated=frozenset({"R01"}), proposals=[finding("R01").model_copy(update={"key": key}) for key in keys]
    )
    about = {"id": f"a{version}", "agent": "qc", "agent_version": "1", "encounter": "e1", "event": "e", "key": "k"}
    one = Assessed(now=NOW, assessment=said, version=version, coverage=covered, **about)
    record = Record("assessments", 0, version, "e1", one.model_dump_json().encode(), {}, NOW)
    await Review(site).handle(Batch([record], {0: version + 1}))
    async with site.database.read() as connection:
        table = tables.proposals
        rows = await connection.execute(select(table).order_by(table.c.key, table.c.revision))
        return [(row.key, row.revision, row.status) for row in rows]


@pytest.fixture
async def in_parts(site: Site) -> None:
    """An agent with one rule, of which two parts need a type of document each."""
    async with site.database.write() as connection:
        await rules.keep(connection, agent(**PARTS))


@pytest.mark.usefixtures("in_parts")
async def test_what_a_part_had_found_is_withdrawn_once_what_that_needs_does_not_come(site: Site) -> None:
    await deliver(site, 1, 0, "R01:consent", "R01:discussion")
    await say(site, Word("document:C0026", "", "not_connected"))
    after = await deliver(site, 2, 1, "R01:discussion")
    assert after == [("R01:consent", 1, "withdrawn"), ("R01:discussion", 1, "open")]
    async with site.database.read() as connection:
        details = list(await connection.scalars(select(tables.proposal_history.c.detail)))
    assert details[-1] == "not_connected"
    assert (await deliver(site, 3, 1))[1] == ("R01:discussion", 1, "resolved"), "that was mended since"


@pytest.mark.usefixtures("in_parts")
async def test_what_is_gone_after_a_change_of_something_else_was_mended(site: Site) -> None:
    await deliver(site, 1, 0, "R01:consent")
    await say(site, Word("document:C0034", "", "not_connected"))
    assert await deliver(site, 2, 1) == [("R01:consent", 1, "resolved")]


@pytest.mark.usefixtures("in_parts")
async def test_what_was_withdrawn_and_is_said_again_is_open_again_with_its_history(site: Site) -> None:
    await deliver(site, 1, 0, "R01:consent")
    for version, (state, said) in enumerate([("not_connected", ()), ("observed", ("R01:consent",))] * 2, 2):
        await say(site, Word("document:C0026", "", state))
        (found,) = await deliver(site, version, version - 1, *said)
        assert found == ("R01:consent", 1, "open" if said else "withdrawn")
    async with site.database.read() as connection:
        told = list(await connection.scalars(select(tables.proposal_history.c.status)))
    assert told == ["open", "withdrawn", "open", "withdrawn", "open"]


@pytest.mark.usefixtures("in_parts")
async def test_what_was_withdrawn_and_is_said_in_another_way_is_another_revision(site: Site) -> None:
    await deliver(site, 1, 0, "R01:consent")
    await say(site, Word("document:C0026", "", "not_connected"))
    await deliver(site, 2, 1)
    async with site.database.write() as connection:
        await connection.execute(update(tables.proposals).values(fingerprint="another"))
    assert await deliver(site, 3, 1, "R01:consent") == [("R01:consent", 1, "withdrawn"), ("R01:consent", 2, "open")]


@pytest.mark.usefixtures("in_parts")
async def test_what_somebody_rejected_stays_so_whatever_is_said_of_the_coverage(site: Site) -> None:
    await deliver(site, 1, 0, "R01:consent")
    async with site.database.write() as connection:
        await connection.execute(update(tables.proposals).values(status="rejected"))
    await say(site, Word("document:C0026", "", "not_connected"))
    await deliver(site, 2, 1)
    await say(site, Word("document:C0026", "", "observed"))
    assert await deliver(site, 3, 2, "R01:consent") == [("R01:consent", 1, "rejected")]
