"""Agents and cases made up for evaluations."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from hisbus import Case
from hisbus.testing import make_chart, make_document
from hisbus_bus.kernel.settings import RetrySettings, Settings
from hisbus_bus.lab.evaluate import rubric
from hisbus_bus.lab.evaluate.build import build
from hisbus_bus.lab.evaluate.report import AgentRun, DataUsed, Report
from hisbus_bus.lab.evaluate.run import run
from hisbus_bus.lab.evaluate.sample import DataSet, Expected, Sample
from hisbus_schemas import Assessment, Evidence, Finding, Text

SECRET = "欧阳锋 took <b>arsenic</b>"
"""Text of the record: it is where the report may hold text, escaped, and nowhere else."""
HURRY = RetrySettings(attempts=2, first_s=0, longest_s=0)
SETTINGS = Settings(site="test", retry=HURRY)


class Yes(BaseModel):
    """What the asking agent wants to hear."""

    model_config = ConfigDict(hide_input_in_errors=True)
    wrong: bool
    why: Annotated[str, Field(max_length=20)] = ""


class Looker:
    """Finds R01 where the text has one of some words; raises where it is told to."""

    name = "looker"
    version = "3"
    kinds = frozenset[str]()
    grants = frozenset({"documents"})

    def __init__(self, *words: str, raises: dict[str, Exception] | None = None) -> None:
        self.words, self.raises = words, raises or {}
        self.cases: list[Case] = []

    async def assess(self, case: Case) -> Assessment:
        self.cases.append(case)
        document = case.chart.documents[0]
        text = document.sections[0].text
        for word, error in self.raises.items():
            if word in text:
                raise error
        found = [
            Finding(
                key=f"R01:{word}", rule="R01", message=Text(zh="有", en=f"has {word} in {SECRET}"),
                evidence=[
                    Evidence(document=document.id, section=0, begin=text.index(word), end=text.index(word) + len(word))
                ],
            )
            for word in self.words
            if word in text
        ][:1]  # fmt: skip
        return Assessment(evaluated=frozenset({"R01"}), proposals=list(found), unverified=1)


class Asker(Looker):
    """Asks the model and says what it says."""

    async def assess(self, case: Case) -> Assessment:
        assert case.llm is not None
        said = await case.llm.ask(system="Judge.", question="Is it wrong?", answer=Yes)
        found = [Finding(key="R01", rule="R01", message=Text(zh="错", en="wrong"))] if said.wrong else []
        return Assessment(evaluated=frozenset({"R01"}), proposals=list(found))


def sample(id: str, text: str, wrong: bool) -> Sample:
    begin = text.find("bad")
    places = [{"document": "d1", "begin": begin, "end": begin + 3}] if begin >= 0 else []
    expected = [{"rule": "R01", "evidence": places}] if wrong else []
    answer = {"title": "made up", "findings": {"rules": ["R01"], "expected": expected}}
    chart = make_chart(documents=[make_document("C0034", f"{text} {SECRET}", id="d1")])
    return Sample(id, chart, Expected.model_validate(answer))


DATA = DataSet(
    "made-up",
    "charts",
    [
        sample("c1", "a bad text", wrong=True),
        sample("c2", "another bad text", wrong=True),
        sample("c3", "an odd text", wrong=True),
        sample("c4", "an odd but good text", wrong=False),
        sample("c5", "a fine text", wrong=False),
    ],
)

Evaluate = Callable[..., Awaitable[Report]]


@pytest.fixture
def evaluate() -> Evaluate:
    """Run an agent over the cases made up, and return the report."""

    async def made(
        agent: Looker, data: DataSet = DATA, settings: Settings = SETTINGS, client: Any = None, text: bool = True
    ) -> Report:
        results = await run(agent, data.samples, settings, client, lambda done, total: None)
        used = DataUsed(
            name=data.name,
            format=data.format,
            sha256=data.sha256,
            cases=len(data.samples),
            of=len(data.samples),
            seed=1,
        )
        ran = AgentRun(
            name=agent.name, version=agent.version, plugin="p", distribution="d", distribution_version="1", settings={},
            model="m" if client else "", prompts=[],
        )  # fmt: skip
        return build(
            agent, results, used=used, ran=ran, rubric=rubric.read(None), hisbus="0", wall_seconds=1.0, text=text
        )

    return made


def outcomes(report: Report) -> Sequence[tuple[str, str]]:
    return [(item.case, item.outcome) for item in report.label_items]
