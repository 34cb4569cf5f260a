"""While a stay has a code that nobody has answered, the rules that hang on it are not judged, and that is said."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hisbus.frames import AgentInfo, Reply
from hisbus.testing import make_chart, reasons
from hisbus_bus.host.calls import judged
from hisbus_bus.host.needs import judged_by_what_is_known
from hisbus_bus.kernel.stored import EMPTY, StoredChart, row
from hisbus_bus.lab.evaluate.run import run
from hisbus_bus.lab.evaluate.sample import Sample
from hisbus_schemas import EVERY_OTHER, Assessment, ChartUnknown, Code, Need, Text, Unevaluated

from .evaluate.conftest import DATA, SETTINGS, Looker
from .needing import agent, answer, finding


def unknown(item: str, code: str = "X9", text: str = "") -> ChartUnknown:
    return ChartUnknown(id=f"unknown-{item}-{code}", version="1", item=item, code=Code(code=code, text=text))


NOTE, PAGE = Need(item="document:C0037"), Need(any=("document:C0032", "field:FP.SEX"))
HEAT, CLASS = Need(item="vital:8310-5"), Need(item="class", after="admission")


@pytest.mark.parametrize(
    ("needs", "items", "judged_all_the_same"),
    [
        ([NOTE], ["document:*"], False),
        ([NOTE], ["document:C0037"], False),
        ([NOTE], ["document:C0034"], True),
        ([NOTE], ["vital:*", "class"], True),
        ([Need(item="document:*")], ["document:C0034"], False),
        ([HEAT], ["vital:*"], False),
        ([CLASS], ["class"], False),
        ([CLASS, NOTE], ["document:*"], False),
        ([PAGE], ["document:*"], True),
        ([PAGE], ["document:*", "field:*"], False),
        ([Need(any=("document:C0032", "document:C0033"))], ["document:*"], False),
        ([], ["document:*", "class"], True),
    ],
)
def test_a_need_is_hidden_where_all_that_will_do_may_be_what_is_unknown(
    needs: list[Need], items: list[str], judged_all_the_same: bool
) -> None:
    said = judged_by_what_is_known(answer("R01"), agent(R01=needs), [unknown(item) for item in items])
    assert (said.evaluated == {"R01"}) is judged_all_the_same
    assert bool(said.proposals) is judged_all_the_same
    assert bool(said.unevaluated) is not judged_all_the_same


def test_the_reason_names_the_codes_as_they_were_sent_and_what_to_do() -> None:
    sent = [unknown("document:*", "X9", "护理单"), unknown("document:*", "X7"), unknown("vital:*", "BT")]
    said = judged_by_what_is_known(answer("R01", "R27"), agent(R01=[NOTE, CLASS], R27=[NOTE, HEAT]), sent)
    assert [(one.rule, one.reason, one.item) for one in said.unevaluated] == [
        ("R01", "unknown_code", "document:*"),
        ("R27", "unknown_code", "document:*"),
        ("R27", "unknown_code", "vital:*"),
    ]
    text = said.unevaluated[0].text
    assert "文书类型代码“X7”“X9 护理单”尚未识别" in text.zh and "代码表" in text.zh
    assert "The type of document “X7”, “X9 护理单” is not known." in text.en and "table of codes" in text.en
    assert "“BT”" in said.unevaluated[2].text.zh


def test_what_the_agent_itself_could_not_judge_keeps_its_reason() -> None:
    own = Unevaluated(rule="R19", reason="model", text=Text(zh="模型无响应。", en="The model is down."))
    said = judged_by_what_is_known(
        answer("R01", unevaluated=[own]), agent(R01=[NOTE], R19=[NOTE]), [unknown("document:*")]
    )
    assert [one.rule for one in said.unevaluated] == ["R19", "R01"] and said.unevaluated[0] == own


def test_a_rule_that_is_not_named_needs_what_every_other_needs() -> None:
    info = agent(R01=[HEAT], **{EVERY_OTHER: [NOTE]})
    said = judged_by_what_is_known(answer("R01", "H01"), info, [unknown("document:*")])
    assert said.evaluated == {"R01"} and reasons(said).keys() == {"H01"}


def test_a_finding_of_a_rule_that_the_agent_does_not_call_judged_is_dropped_as_well() -> None:
    said = Assessment(proposals=[finding("R01")])
    assert judged_by_what_is_known(said, agent(R01=[NOTE]), [unknown("document:*")]).proposals == []


KINDS = ("document", "vital", "section", "field")
ITEMS = st.sampled_from(["class", *(f"{kind}:{code}" for kind in KINDS for code in ("*", "A", "B"))])
NEEDS = st.one_of(
    ITEMS.map(lambda item: Need(item=item)),
    st.lists(ITEMS, min_size=1, max_size=3).map(lambda items: Need(any=tuple(items))),
)
RULES = st.sampled_from(["R01", "R02", "R03", "R04"])


@given(
    needs=st.dictionaries(st.one_of(RULES, st.just(EVERY_OTHER)), st.lists(NEEDS, max_size=3)),
    items=st.lists(ITEMS, max_size=4),
    evaluated=st.sets(RULES),
    found=st.sets(RULES),
)
def test_a_rule_is_either_evaluated_or_said(
    needs: dict[str, list[Need]], items: list[str], evaluated: set[str], found: set[str]
) -> None:
    found &= evaluated
    before = Assessment(evaluated=frozenset(evaluated), proposals=[finding(rule) for rule in sorted(found)])
    after = judged_by_what_is_known(before, agent(**needs), [unknown(item) for item in items])
    said = reasons(after).keys()
    assert after.evaluated | said == evaluated and not after.evaluated & said
    assert {one.rule for one in after.proposals} == found & after.evaluated
    for rule in evaluated:
        its = needs.get(rule, needs.get(EVERY_OTHER, []))
        assert (rule in said) is any(need.hidden_by(items) for need in its)
    if not items:
        assert after == before


# --- wherever it is called from ---------------------------------------------------------------------------------------


def test_every_answer_goes_through_it() -> None:
    hidden = make_chart(unknown=[unknown("document:*")])
    said = judged(agent(R01=[NOTE]), Reply(id=1, assessment=answer("R01", "R27")), 10, hidden)
    assert said.evaluated == {"R27"} and [one.rule for one in said.proposals] == ["R27"]


def test_a_stored_chart_says_what_is_unknown_of_it_whatever_is_granted() -> None:
    one = unknown("document:*")
    parts = {"unknown": EMPTY.after([row("unknown", one.id, "1", 1, f"[{one.model_dump_json()}]")])}
    stay = '{"visit":{"authority":"A","number":"V"},"status":"admitted"}'
    stored = StoredChart("e1", 1, make_chart().now, "k", {}, stay, parts)
    assert stored.unknown == [one] == stored.chart().unknown == stored.chart().project(frozenset()).unknown
    assert '"unknown":[{' in stored.json([])
    assert StoredChart("e1", 1, make_chart().now, "k", {}, stay).unknown == []


async def test_an_evaluation_leaves_the_same_rules_out() -> None:
    class Needing(Looker):
        needs = {"R01": [Need(item="document:C0034")]}

    first = DATA.samples[0]
    hidden = Sample("c1", first.chart.model_copy(update={"unknown": [unknown("document:*")]}), first.expected)
    results = await run(Needing("bad"), [first, hidden], SETTINGS, None, lambda done, total: None)
    (whole, out) = [result.assessment for result in results]
    assert whole is not None and whole.evaluated == {"R01"} and whole.proposals
    assert out is not None and out.evaluated == frozenset() and out.proposals == [] and reasons(out).keys() == {"R01"}


# --- what may be declared ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("need", [NOTE, PAGE, CLASS])
def test_a_need_is_the_same_after_its_way_to_the_host(need: Need) -> None:
    info = agent(R01=[need])
    assert AgentInfo.model_validate_json(info.model_dump_json()) == info


@pytest.mark.parametrize(
    "wrong", [{}, {"item": "document:C0034", "any": ["class"]}, {"item": "Document"}, {"item": "x:"}, {"any": ["a b"]}]
)
def test_a_need_that_says_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Need.model_validate(wrong)
