"""Every example beside a rule file of qc-text: what is asked, what an answer leads to, and what wrong quotes do."""

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
from hisbus_qc.text.examples import Scripted, TextExample, read
from hisbus_schemas import Assessment

EXAMPLES = read()


class Model:
    """Answers as an example says, one answer for each question."""

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


def judged(one: TextExample, later: timedelta = timedelta()) -> tuple[Assessment, Model]:
    model = Model(one.says)
    chart = one.example.chart.model_copy(update={"now": one.example.chart.now + later})
    settings = {"only": [one.example.rule]} | one.example.settings
    case = Case(event=None, chart=chart, now=chart.now, llm=model, settings=settings)
    return asyncio.run(run(TextAgent(), case)), model


@pytest.mark.parametrize("one", EXAMPLES, ids=lambda one: f"{one.example.rule} {one.example.kind}: {one.example.name}")
def test_an_example_ends_as_it_was_written(one: TextExample) -> None:
    answer, model = judged(one)
    assert model.says == [], "a question was not asked"
    assert tuple(sorted(item.key for item in answer.proposals)) == one.example.expects
    assert answer.unverified == one.unverified
    assert answer.evaluated == ({one.example.rule} if one.evaluated else set())
    assert reasons(answer).keys() == {one.example.rule} - answer.evaluated


@pytest.mark.parametrize("one", [one for one in EXAMPLES if one.example.expects], ids=lambda one: one.example.name)
def test_a_finding_says_that_a_model_judged_it_and_takes_no_points(one: TextExample) -> None:
    answer, _ = judged(one)
    chart = one.example.chart.project(TextAgent.grants)
    for item in answer.proposals:
        assert item.rule == one.example.rule
        assert "由模型判断" in item.message.zh and "Judged by a model" in item.message.en
        assert (item.model, item.points) == ("fake", 0)
        assert item.payload["points"] == text_shelf().rules[one.example.rule].points
        assert item.evidence and item.reads and all(chart.holds(ref) for ref in item.reads)


@pytest.mark.parametrize("one", [one for one in EXAMPLES if one.example.expects], ids=lambda one: one.example.name)
def test_a_finding_is_the_same_however_the_model_quotes(one: TextExample) -> None:
    first, _ = judged(one)
    whole = tuple(replace(said, quotes=said.quotes[:1]) for said in one.says)
    again, _ = judged(replace(one, says=whole), timedelta(minutes=5))
    assert [(item.key, item.stamp()) for item in first.proposals] == [
        (item.key, item.stamp()) for item in again.proposals
    ]


@pytest.mark.parametrize("one", [one for one in EXAMPLES if one.says], ids=lambda one: one.example.name)
def test_no_question_holds_words_of_the_record(one: TextExample) -> None:
    _, model = judged(one)
    texts = [section.text for document in one.example.chart.documents for section in document.sections]
    lines = [part for text in texts for part in text.replace("：", "。").split("。") if len(part) > 6]
    for asked in model.asked:
        assert not [line for line in lines if line in asked["question"] or line in asked["system"]]


def test_every_rule_has_examples_of_three_kinds_with_names_of_their_own() -> None:
    kinds = Counter((one.example.rule, one.example.kind) for one in EXAMPLES)
    assert [
        (rule, kind)
        for rule in text_shelf().rules
        for kind in ("positive", "negative", "near")
        if not kinds[rule, kind]
    ] == []
    assert max(Counter((one.example.rule, one.example.name) for one in EXAMPLES).values()) == 1
