"""A run as the host would make it, and a model that says what it is told to."""

from collections.abc import Collection
from typing import Any

from hisbus.agent import Agent, Case
from hisbus.errors import RetryLater
from hisbus.grants import project
from hisbus.schema import closed
from hisbus_schemas import Assessment, Unevaluated


async def run(agent: Agent, case: Case) -> Assessment:
    """Let an agent judge a case as the host does: it sees what it was granted, and its answer must survive JSON.

    Raises:
        TypeError: it answered with something else than an assessment.
    """
    answer: object = await agent.assess(project(case, agent.grants))
    if not isinstance(answer, Assessment):
        raise TypeError("assess must return an Assessment")
    return Assessment.model_validate_json(answer.model_dump_json())


def reasons(answer: Assessment) -> dict[str, Unevaluated]:
    """Return why rules were not judged, by rule."""
    return {one.rule: one for one in answer.unevaluated}


class FakeLLM:
    """A model that says what it is told to.

    ``asked`` keeps every question. An answer may be an error, which is raised, or a function of the question.
    """

    def __init__(self, *answers: Any) -> None:
        """Take the answers in their order; the last is repeated."""
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.model = "fake"

    async def ask(self, *, system: str, question: str, answer: type[Any], only: Collection[str] | None = None) -> Any:
        """Return the next answer.

        Raises:
            ConfigError: the answer's form is not bounded, which the bus would refuse.
            RetryLater: there is none: the model is down.
            TypeError: the answer is not of the model that was asked for.
        """
        closed(answer.model_json_schema())
        self.asked.append({"system": system, "question": question, "answer": answer, "only": only})
        if not self._answers:
            raise RetryLater(code="llm")
        said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(said, BaseException):
            raise said
        if callable(said) and not isinstance(said, type):
            said = said(question)
        if not isinstance(said, answer):
            raise TypeError(f"the fake answer is not of {answer.__name__}")
        return said
