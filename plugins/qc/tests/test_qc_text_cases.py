"""Every case beside a rule file of qc-text: what is asked, what an answer leads to, and what wrong quotes do."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hisbus import Case, NotEvaluated
from hisbus.schema import closed
from hisbus.testing import reasons, run
from hisbus_qc.text.agent import TextAgent, text_shelf
from hisbus_qc.text.cases import Scripted, TextCase, read
from hisbus_schemas import Assessment

CASES = read()


class Model:
    """Answers as a case says, one answer for each question."""

    model = "fake"

    def __init__(self, says: tuple[Scripted, ...]) -> None:
        self.says = list(says)
        self.asked: list[dict[str, Any]] = []

    async def ask(self, *, system: str, question: str, answer: Any, only: Any = None) -> Any:
        closed(answer.model_json_schema())
        self.asked.append({"system": system, "question": question, "only": only})
        said = self.says.pop(0)
        if said.answer == "!":
            raise NotEvaluated(code="invalid_answer")
        quotes = [{"document": label, "text": words} for label, words in said.quotes]
        return answer.model_validate({"answer": said.answer, "quotes": quotes})


def judged(one: TextCase, later: timedelta = timedelta()) -> tuple[Assessment, Model]:
    model = Model(one.says)
    chart = one.case.chart.model_copy(update={"now": one.case.chart.now + later})
    settings = {"only": [one.case.rule]} | one.case.settings
    case = Case(event=None, chart=chart, now=chart.now, llm=model, settings=settings)
    return asyncio.run(run(TextAgent(), case)), model


@pytest.mark.parametrize("one", CASES, ids=lambda one: f"{one.case.rule} {one.case.kind}: {one.case.name}")
def test_a_case_ends_as_it_was_written(one: TextCase) -> None:
    answer, model = judged(one)
    assert model.says == [], "a question was not asked"
    assert tuple(sorted(item.key for item in answer.proposals)) == one.case.expects
    assert answer.unverified == one.unverified
    assert answer.evaluated == ({one.case.rule} if one.evaluated else set())
    assert reasons(answer).keys() == {one.case.rule} - answer.evaluated


@pytest.mark.parametrize("one", [one for one in CASES if one.case.expects], ids=lambda one: one.case.name)
def test_a_finding_says_that_a_model_judged_it_and_takes_no_points(one: TextCase) -> None:
    answer, _ = judged(one)
    chart = one.case.chart.project(TextAgent.grants)
    for item in answer.proposals:
        assert item.rule == one.case.rule
        assert "由模型判断" in item.message.zh and "Judged by a model" in item.message.en
        assert (item.model, item.points) == ("fake", 0)
        assert item.payload["points"] == text_shelf().rules[one.case.rule].points
        assert item.evidence and item.reads and all(chart.holds(ref) for ref in item.reads)


@pytest.mark.parametrize("one", [one for one in CASES if one.case.expects], ids=lambda one: one.case.name)
def test_a_finding_is_the_same_however_the_model_quotes(one: TextCase) -> None:
    first, _ = judged(one)
    whole = tuple(replace(said, quotes=said.quotes[:1]) for said in one.says)
    again, _ = judged(replace(one, says=whole), timedelta(minutes=5))
    assert [(item.key, item.stamp()) for item in first.proposals] == [
        (item.key, item.stamp()) for item in again.proposals
    ]


@pytest.mark.parametrize("one", [one for one in CASES if one.says], ids=lambda one: one.case.name)
def test_no_question_holds_words_of_the_record(one: TextCase) -> None:
    _, model = judged(one)
    texts = [section.text for document in one.case.chart.documents for section in document.sections]
    lines = [part for text in texts for part in text.replace("：", "。").split("。") if len(part) > 6]
    for asked in model.asked:
        assert not [line for line in lines if line in asked["question"] or line in asked["system"]]


def test_every_rule_has_cases_of_three_kinds_with_names_of_their_own() -> None:
    kinds = Counter((one.case.rule, one.case.kind) for one in CASES)
    assert [
        (rule, kind)
        for rule in text_shelf().rules
        for kind in ("positive", "negative", "near")
        if not kinds[rule, kind]
    ] == []
    assert max(Counter((one.case.rule, one.case.name) for one in CASES).values()) == 1
