"""The agent ``qc-text``: rules that need a model, and wait where it is down while those of ``qc`` go on."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import cast

from hisbus import Case
from hisbus.agent import LLM
from hisbus_qc.agent import is_judged
from hisbus_qc.record import Record
from hisbus_qc.rulebook import Book, Shelf, book, shelf
from hisbus_qc.text.question import Answer, Question, answer
from hisbus_schemas import Assessment, Need, RuleInfo, Text, Unevaluated

_REMEMBERED = 2000
"""Answers, a few kilobytes each; the oldest is forgotten first."""
_NO_MODEL = Text(zh="未配置模型。", en="No model is configured.")


class TextAgent:
    """Puts what rules find suspicious in the words of a record to the model. What it finds waits for a person."""

    name = "qc-text"
    version = "1"
    kinds = frozenset(
        {
            "encounter.admitted", "encounter.updated", "encounter.transferred", "encounter.discharged",
            "encounter.discharge_cancelled", "encounter.cancelled", "encounter.class_changed", "encounter.moved",
            "encounter.transfer_cancelled", "encounter.beds_swapped", "patient.merged",
            "document.filed", "document.amended", "document.withdrawn", "diagnosis.recorded", "procedure.started",
            "procedure.ended", "frontpage.submitted",
        }
    )  # fmt: skip
    grants = frozenset({"documents", "diagnoses", "procedures", "orders", "results"})
    latest_only = True
    asks = True

    def __init__(self) -> None:
        self._answered: dict[str, Answer] = {}

    @property
    def needs(self) -> Mapping[str, tuple[Need, ...]]:
        """What each rule needs of the record."""
        return text_shelf().needs

    @property
    def rules(self) -> Mapping[str, RuleInfo]:
        """What each rule is called, and who demands it."""
        return text_shelf().named

    async def assess(self, case: Case) -> Assessment:
        """Judge a case by every enabled rule of kind L; which stays are judged is as with ``qc``.

        Raises:
            ConfigError: the settings or a rule file are wrong; the message names the key.
            RetryLater: the model is down.
        """
        rules = book(case.settings, text_shelf())
        if not is_judged(case.chart):
            return Assessment(evaluated=rules.ids)
        llm = case.llm
        if llm is None:
            return Assessment(
                unevaluated=[Unevaluated(rule=id, reason="model", text=_NO_MODEL) for id in sorted(rules.ids)]
            )
        record = Record(case.chart, case.now)
        said = await asyncio.gather(
            *(self._answer(llm, record, question) for question in questions(rules, record)), return_exceptions=True
        )
        # All have ended: none goes on asking when the call is given up.
        for failed in said:
            if isinstance(failed, BaseException):
                raise failed
        return _assessment(rules.ids, [one for one in said if isinstance(one, Answer)])

    async def _answer(self, llm: LLM, record: Record, question: Question) -> Answer:
        """Ask, unless the same was asked of late: most events of a stay change nothing that a question is about."""
        key = question.identity(record.chart)
        known = self._answered.get(key)
        if known is not None:
            return known
        given = await answer(llm, record, question)
        if given.unevaluated is None:
            self._answered[key] = given
            if len(self._answered) > _REMEMBERED:
                del self._answered[next(iter(self._answered))]
        return given


def questions(rules: Book, record: Record) -> list[Question]:
    """Return what there is to ask of a stay, in the order of the rules."""
    asked: list[Question] = []
    for judge in rules.judges:
        if judge.concerns(record):
            asked += cast("Iterator[Question]", judge.check(judge.rule, record, judge.limits))
    return asked


@cache
def text_shelf() -> Shelf:
    """Return the rules of the agent. They are read when they are first needed."""
    return shelf("qc-text", files("hisbus_qc.text").joinpath("rules"), frozenset({"L"}))


def _assessment(ids: frozenset[str], said: Iterable[Answer]) -> Assessment:
    """Leave out every rule that had a question without a usable answer: what it found earlier stays as it is."""
    answers = list(said)
    unevaluated = {one.rule: one.unevaluated for one in reversed(answers) if one.unevaluated is not None}
    return Assessment(
        evaluated=ids - unevaluated.keys(),
        unevaluated=list(unevaluated.values()),
        proposals=[one.finding for one in answers if one.finding is not None and one.rule not in unevaluated],
        unverified=sum(one.unverified for one in answers),
    )
