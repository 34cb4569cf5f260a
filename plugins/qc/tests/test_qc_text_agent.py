"""The agent qc-text as a whole: what it waits for, what it leaves open, what its findings cost."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hisbus import Case, ConfigError, NotEvaluated, RetryLater
from hisbus.testing import AgentContract, reasons, run
from hisbus_qc import examples
from hisbus_qc.rubric import RUBRICS, Entry, scored
from hisbus_qc.rulebook import configured
from hisbus_qc.rulefiles import KINDS
from hisbus_qc.text.agent import TextAgent, text_shelf
from hisbus_qc.text.marks import speaks
from hisbus_schemas import Assessment, Chart, Section

Stay = Any

ALL = {"R19", "R20", "R21", "R22", "R25", "R26", "R28", "R40", "R58"}
COMPLAINT = "主诉：胸痛。现病史：患者胸痛，高血压10年。既往史：否认高血压。"
QUOTES = {"no_duration": "胸痛", "contradiction": "否认高血压"}


class Model:
    """Finds a defect wherever it is asked. What stands in ``fails`` is raised by questions with its name in them."""

    model = "fake"

    def __init__(self, **fails: Exception) -> None:
        self.fails = fails
        self.asked: list[str] = []
        self.running = self.most = 0

    async def ask(self, *, system: str, question: str, answer: Any, only: Any = None) -> Any:
        self.asked.append(question)
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        for word, error in self.fails.items():
            if word in question:
                raise error
        label = next(name for name in QUOTES if name in answer.model_json_schema()["properties"]["answer"]["enum"])
        return answer.model_validate({"quotes": [{"document": "D1", "text": QUOTES[label]}], "answer": label})


def wrong(stay: Stay) -> Chart:
    stay.document("C0034", signed="2026-03-02 10:00:00", text=COMPLAINT)
    chart: Chart = stay.chart(stay.facts["admitted"].at)
    return chart


def said(chart: Chart, llm: Any, agent: TextAgent | None = None, **settings: Any) -> Assessment:
    case = Case(event=None, chart=chart, now=chart.now, llm=llm, settings=settings)
    return asyncio.run(run(agent or TextAgent(), case))


class TestContract(AgentContract):
    agent = TextAgent()

    @pytest.fixture(autouse=True)
    def stays(self, stay: Stay) -> None:
        self.charts = [wrong(stay)]

    def cases(self) -> list[Case]:
        return [Case(event=None, chart=chart, now=chart.now, llm=Model()) for chart in self.charts]


def test_it_hears_of_everything_that_its_rules_are_triggered_by() -> None:
    wanted = {kind for rule in text_shelf().rules.values() for kind in rule.triggers}
    assert wanted <= TextAgent.kinds <= KINDS
    assert text_shelf().rules.keys() == ALL


def test_questions_of_one_stay_are_asked_at_once(stay: Stay) -> None:
    model = Model()
    assert {item.key for item in said(wrong(stay), model).proposals} == {"R19:D1", "R22:hypertension:D1"}
    assert model.most == len(model.asked) == 2


def test_without_a_model_nothing_is_evaluated_and_the_reason_is_said(stay: Stay) -> None:
    answer = said(wrong(stay), None)
    assert answer.evaluated == set() and answer.proposals == []
    assert reasons(answer).keys() == ALL
    assert reasons(answer)["R19"].text.zh == "未配置模型。"


def test_an_unusable_answer_leaves_out_its_rule_alone(stay: Stay) -> None:
    answer = said(wrong(stay), Model(complaint=NotEvaluated(code="prompt_too_long")))
    assert [item.key for item in answer.proposals] == ["R22:hypertension:D1"]
    assert answer.evaluated == ALL - {"R19"}
    assert "prompt_too_long" in reasons(answer)["R19"].text.en


def test_while_the_model_is_down_the_agent_waits(stay: Stay) -> None:
    with pytest.raises(RetryLater):
        said(wrong(stay), Model(complaint=RetryLater(code="llm")))


@pytest.mark.parametrize("facts", [{"status": "cancelled"}, {"patient_class": "outpatient"}])
def test_a_stay_that_owes_nothing_needs_no_model(stay: Stay, facts: dict[str, str]) -> None:
    stay.facts |= facts
    model = Model()
    assert said(wrong(stay), model).evaluated == ALL and model.asked == []


def test_what_was_answered_is_asked_again_only_when_it_has_changed(stay: Stay) -> None:
    agent, model = TextAgent(), Model()
    chart = wrong(stay)
    first = said(chart, model, agent)
    stay.document("C0038", signed="2026-03-03 09:00:00", text="患者胸痛较前缓解。")
    later = stay.chart(stay.facts["discharged"].at if "discharged" in stay.facts else chart.now)
    assert said(later, model, agent).proposals == first.proposals and len(model.asked) == 2
    amended = chart.documents[0].model_copy(
        update={"version": "e-2", "sections": [Section(name="TEXT", text=COMPLAINT + "个人史：无特殊。")]}
    )
    changed = chart.model_copy(update={"documents": [amended]})
    assert len(said(changed, model, agent).proposals) == 2 and len(model.asked) == 4


def test_what_could_not_be_judged_is_asked_again(stay: Stay) -> None:
    agent, chart = TextAgent(), wrong(stay)
    assert reasons(said(chart, Model(complaint=NotEvaluated()), agent)).keys() == {"R19"}
    assert "R19" in said(chart, Model(), agent).evaluated


def test_a_decided_finding_stays_so_when_another_part_of_the_record_is_amended(stay: Stay) -> None:
    chart = wrong(stay)
    (before,) = [item for item in said(chart, Model()).proposals if item.rule == "R19"]
    amended = chart.documents[0].model_copy(
        update={"version": "e-2", "sections": [Section(name="TEXT", text=COMPLAINT + "个人史：无特殊。")]}
    )
    (after,) = [
        item
        for item in said(chart.model_copy(update={"documents": [amended]}), Model()).proposals
        if item.rule == "R19"
    ]
    assert after.stamp() == before.stamp() and after.reads != before.reads


def test_what_a_model_found_costs_nothing_until_a_person_accepts_it(stay: Stay) -> None:
    findings = said(wrong(stay), Model()).proposals
    assert [item.points for item in findings] == [0, 0]
    nobody = scored(RUBRICS["record-100"], [Entry(key=item.key, points=item.points) for item in findings])
    assert nobody.total == 100
    accepted = scored(RUBRICS["record-100"], [Entry.of(item) for item in findings])
    assert (accepted.total, accepted.unscored) == (97, ())
    edited = findings[0].model_copy(update={"payload": findings[0].payload | {"points": 0.5}})
    assert Entry.of(edited).points == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"only": ["R01"]}, "only R01 is not a rule of qc-text"),
        ({"rulez": {}}, "rulez is not a setting of qc-text"),
        ({"rules": {"R19": {"points": -1}}}, "rules.R19.points"),
    ],
)
def test_wrong_settings_are_named(stay: Stay, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        said(wrong(stay), Model(), **settings)


RULE = """
id = "H19"
title = { zh = "个人史缺项", en = "Personal history" }
kind = "L"
triggers = ["document.filed"]
severity = "info"
points = 1
source = "医院制度"
function = "hisbus_qc.text.conditions:passage"
[limits]
documents = ["C0034"]
passages = ["personal"]
ask = "Read the {where}. Is the occupation named?"
[limits.answers.named]
means = "it is."
[limits.answers.missing]
means = "it is not."
defect = true
[texts]
missing = { zh = "个人史未写职业。", en = "The personal history does not name the occupation." }
"""


def test_a_hospital_adds_a_rule_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "H19.toml").write_text(RULE, encoding="utf-8")
    rules = configured({"rules_folder": str(tmp_path)}, text_shelf())
    assert {rule.id for rule in rules} == ALL | {"H19"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{where}", "{when}", "H19.toml: limits.ask fills in {when}"),
        ('["personal"]', '["nothing"]', "is no passage that is known"),
        ("missing = {", "other = {", "texts.missing is missing"),
        ("defect = true", "", "need one that is a defect"),
        ("未写职业", "{x}", "texts.missing fills in {x}"),
        ('kind = "L"', 'kind = "D"', "kind D is not one of qc-text"),
    ],
)
def test_a_mistake_in_a_rule_file_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "H19.toml").write_text(RULE.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        configured({"rules_folder": str(tmp_path)}, text_shelf())
    assert message in str(error.value)


def test_a_rule_that_needs_a_model_is_none_of_qc(tmp_path: Path) -> None:
    (tmp_path / "H19.toml").write_text(RULE, encoding="utf-8")
    with pytest.raises(ConfigError, match="kind L is not one of qc"):
        configured({"rules_folder": str(tmp_path)})


@pytest.mark.parametrize(
    "text",
    [
        "患者诉忽略了胸痛，未就诊。",
        "请心内科会诊，指示吸氧。",
        "系统回顾：呼吸系统：无咳嗽。",
        "CT reports no findings.",
        "Patient ignored the instructions of the dietician once.",
        "IFNγ、NFκB、TNFα升高，β2微球蛋白正常。",
        "Nervous system: normal. Respiratory system: clear.",
        "请家属不要提出院外带药问题以外的要求。",
        "血压<140/90mmHg，心率>60次/分，见[附图1]。",
        "患者不能回答问题，判定为嗜睡。",
        "SpO2 98%，pH 7.40，HCO3- 24mmol/L。",
    ],
)
def test_what_clinicians_write_to_each_other_is_put_to_the_model(text: str) -> None:
    assert not speaks(text)


def test_nothing_in_the_cases_of_the_rules_speaks_to_a_machine() -> None:
    charts = [case.chart for case in examples.read()]
    assert not [text for chart in charts for item in chart.documents for text in [item.text] if speaks(text)]


def test_loading_the_plugin_reads_no_rule_that_asks_the_model() -> None:
    code = (
        "import sys, hisbus_qc.text.agent as its; print(its.text_shelf.cache_info().currsize, 'httpx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["0", "False"]
