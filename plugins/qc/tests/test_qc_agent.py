"""The agent as a whole: which stays it judges, and that its answer depends on nothing but the case."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hisbus import Case, ConfigError
from hisbus.testing import AgentContract
from hisbus_qc import Agent
from hisbus_schemas import Chart, Evidence

Stay = Any

ALL = {"R01", "R02", "R10", "R13", "R27", "R45", "R48"}
LONG_AFTER = "2026-05-01 00:00:00"
SHANGHAI = ZoneInfo("Asia/Shanghai")


def make_everything_wrong(stay: Stay) -> None:
    stay.operation("2026-03-03 10:30:00", "2026-03-03 12:00:00")
    stay.reading("8867-4", "0")
    for day in ("03", "04"):
        at = f"2026-03-{day} 10:30:00"
        stay.document("C0038", signed=at, about=at, text="患者神志清，精神可，诉胸痛较前缓解。继续当前治疗。")
    fields = {"FP.ID_CARD": "110101196005041226", "FP.SEX": "1"}
    stay.document("C0032", signed="2026-03-07 09:00:00", sections=[], fields=fields)
    stay.discharged("2026-03-07 08:30:00")


OTHERS = {"packs": ["us", "cn"], "rules": {"R32": {"enabled": True}}}
"""With the rules that are off elsewhere."""


class TestContract(AgentContract):
    agent = Agent()

    @pytest.fixture(autouse=True)
    def stays(self, new_stay: Any) -> None:
        wrong, late, nothing = new_stay(), new_stay(), new_stay()
        make_everything_wrong(wrong)
        for type in ("C0034", "C0037", "C0009", "C0049"):
            late.document(type, signed="2026-04-01 10:00:00", text="主诉：胸痛3小时。")
        make_everything_wrong(late)
        self.stays_to_judge = [wrong, late, nothing]

    def cases(self) -> list[Case]:
        charts = [stay.chart(stay.facts["admitted"].at + timedelta(days=60)) for stay in self.stays_to_judge]
        cases = [Case(event=None, chart=chart, now=chart.now) for chart in charts]
        return [*cases, replace(cases[-1], settings=OTHERS)]


def test_a_stay_with_every_defect_has_one_finding_for_each(stay: Stay) -> None:
    make_everything_wrong(stay)
    assessment = stay.assess(LONG_AFTER)
    assert assessment.evaluated == ALL
    assert assessment.wakes == []
    assert [item.key for item in assessment.proposals] == [
        "R01", "R02", "R10:OP1", "R13", "R27:V1", "R45:D2", "R48:D3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "facts",
    [
        {"status": "cancelled"},
        {"patient_class": "outpatient"},
        {"patient_class": "emergency"},
        {"patient_class": ""},
    ],
)
def test_a_stay_that_owes_nothing_is_evaluated_so_that_findings_close(stay: Stay, facts: dict[str, str]) -> None:
    make_everything_wrong(stay)
    stay.facts |= facts
    assessment = stay.assess(LONG_AFTER)
    assert assessment.evaluated == ALL
    assert assessment.proposals == []
    assert assessment.wakes == []


def test_a_stay_of_a_day_owes_its_operative_record_and_none_of_an_inpatients_notes(stay: Stay) -> None:
    make_everything_wrong(stay)
    stay.facts["patient_class"] = "day"
    found = {item.rule for item in stay.assess(LONG_AFTER).proposals}
    assert {"R10", "R27", "R48"} <= found and not found & {"R01", "R02", "R13", "R45"}


def test_a_stay_that_is_only_registered_is_judged_once_its_admission_is_known(stay: Stay) -> None:
    stay.facts["status"] = "registered"
    assert stay.says("R01", LONG_AFTER) == ["absent"]


def test_a_chart_with_only_what_is_granted_is_judged_the_same(stay: Stay) -> None:
    make_everything_wrong(stay)
    chart = stay.chart(stay.facts["admitted"].at)
    assert chart.project(Agent.grants) == chart.project(frozenset({"documents", "procedures", "results", "vitals"}))
    assert chart.project(Agent.grants) == chart


def test_an_unknown_zone_is_the_operators_to_mend(stay: Stay) -> None:
    stay.facts["timezone"] = "Asia/Nowhere"
    with pytest.raises(ConfigError, match="timezone"):
        stay.assess(LONG_AFTER)


def hours(least: int, most: int) -> st.SearchStrategy[str]:
    """Return times some hours after midnight of 2 March, most of them at a full half hour, where limits lie."""
    start = datetime(2026, 3, 2)  # noqa: DTZ001 - the clock of the ward
    seconds = st.builds(
        lambda half, off: half * 1800 + off, st.integers(least * 2, most * 2), st.sampled_from([-1, 0, 0, 0, 1])
    )
    return seconds.map(lambda value: (start + timedelta(seconds=value)).isoformat(sep=" "))


DOCUMENTS = st.lists(
    st.tuples(
        st.sampled_from(["C0034", "C0037", "C0009", "C0038", "C0049", "C0050", "C0035", "C0032"]),
        st.none() | hours(0, 120),
        st.sampled_from(
            ["患者神志清，精神可，诉胸痛较前缓解。继续治疗。", "听诊双下肺湿啰音，予吸氧、利尿处理后好转。", "平稳"]
        ),
        st.sampled_from(["", "", "", "replaced", "withdrawn"]),
    ),
    max_size=8,
)
OPERATIONS = st.lists(st.tuples(hours(8, 60), st.booleans()), max_size=3)


@st.composite
def stories(draw: st.DrawFn, stay: Any) -> Any:
    for type, signed, text, status in draw(DOCUMENTS):
        fields = {"FP.ID_CARD": "110101196005041226", "FP.SEX": "1"} if type == "C0032" else {}
        stay.document(type, signed, text=text, fields=fields, **({"status": status} if status else {}))
    for start, ended in draw(OPERATIONS):
        stay.operation(start, start if ended else None)
    for value in draw(st.lists(st.sampled_from(["0", "37", "78", "999"]), max_size=3)):
        stay.reading("8867-4", value)
    if draw(st.booleans()):
        stay.discharged(draw(hours(9, 100)), died=draw(st.booleans()))
    return stay


def is_verbatim(item: Evidence, chart: Chart) -> bool:
    if item.document is None:
        return bool(item.path and item.value)
    (document,) = [document for document in chart.documents if document.id == item.document]
    text = document.sections[item.section or 0].text[item.begin : item.end]
    return document.version == item.version and bool(text) and text == item.quote


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), now=hours(8, 150))
def test_an_assessment_is_a_pure_and_true_function_of_the_case(new_stay: Any, data: st.DataObject, now: str) -> None:
    stay = data.draw(stories(new_stay()))
    first, again = stay.assess(now), stay.assess(now)
    assert first == again

    chart = stay.chart(stay.facts["admitted"].at)
    keys = [item.key for item in first.proposals]
    assert len(keys) == len(set(keys))
    for item in first.proposals:
        assert all(is_verbatim(proof, chart) for proof in item.evidence)
        assert item.evidence and item.reads
        assert all(chart.holds(ref) for ref in item.reads)

    stay.documents.reverse()
    stay.procedures.reverse()
    stay.vitals.reverse()
    turned = stay.assess(now)
    assert {item.key: item.stamp() for item in turned.proposals} == {item.key: item.stamp() for item in first.proposals}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), now=hours(8, 150))
def test_wakes_lie_ahead_and_nothing_changes_before_the_first_of_them(
    new_stay: Any, data: st.DataObject, now: str
) -> None:
    stay = data.draw(stories(new_stay()))
    assessment = stay.assess(now)
    names = [wake.name for wake in assessment.wakes]
    assert len(names) == len(set(names))

    present = datetime.fromisoformat(now).replace(tzinfo=SHANGHAI)
    dues = sorted(wake.due for wake in assessment.wakes)
    assert all(due > present for due in dues)

    until = dues[0] - timedelta(seconds=1) if dues else present + timedelta(days=365)
    calm = stay.assess(until.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S"))
    assert calm.proposals == assessment.proposals
    if dues:
        woken = stay.assess(dues[0].astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S"))
        assert len(woken.proposals) > len(assessment.proposals)
