"""Three agents over one chart after another, on a real vLLM: hisbus's layout of a prompt beside the usual one.

The same words, the same answers, the same server, in turns. The usual layout begins with what is the agent's own, so
that nothing of a chart is shared; hisbus's begins with what all share, then the chart, and ends with the agent's own.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pydantic import BaseModel
from tests.bench.figures import QUESTIONS, Figure, compared
from tests.bench.processes import BenchError
from tests.vllm.chart import made_up

from hisbus.errors import NotEvaluated
from hisbus.schema import brief, closed
from hisbus_bus.host.llm.client import Client, Question
from hisbus_bus.host.llm.layout import CONSTANT, Prompt
from hisbus_bus.host.llm.render import record
from hisbus_bus.kernel.settings import LLMSettings
from hisbus_schemas import Asked
from hisbus_servers import ServerError, Vllm
from hisbus_servers.vllm import CONTEXT, MODEL

CHARTS = 12
NOTES = 6
"""Of a chart: some 1,500 tokens as the tiny model counts them."""
RUNS = 5
MAX_TOKENS = 32


class Verdict(BaseModel):
    """As short as an answer can be: how soon a chart is read is measured, and not how soon is written."""

    holds: bool


AGENTS = {
    "qc-text": (
        "You check the quality of course notes against the national standard for inpatient records. A note is"
        " defective when it repeats an earlier one without a reason, when it contradicts a measurement or another"
        " note, when a change of treatment is not explained, or when what the senior physician said is missing."
        " Judge the one requirement that you are asked about, and nothing else.",
        (
            "Each change of treatment is explained. 治疗变更均说明理由。",
            "No note contradicts a measurement. 病程记录与检测结果一致。",
            "What the senior physician said stands in the notes. 记录了上级医师查房意见。",
        ),
    ),
    "coding": (
        "You verify a code that retrieval proposed for a discharge abstract. Confirm it only when the record says"
        " that the condition was treated, examined or prolonged this stay. History, suspicion, and what was ruled out"
        " are no reason. The principal diagnosis is the one that led to the admission and used the most resources."
        " Never choose a code because it pays more.",
        (
            "I21.9, acute myocardial infarction 急性心肌梗死, is the principal diagnosis.",
            "I10, hypertension 高血压病, is another diagnosis of this stay.",
            "E11.9, type 2 diabetes 2型糖尿病, is another diagnosis of this stay.",
        ),
    ),
    "documentation": (
        "You check one sentence of a draft discharge record against the notes. It holds when numbers, dates, doses,"
        " side, negation and sex all stand so in the record. A normal finding that nobody examined is an invention."
        " Judge the sentence alone and not its style; what cannot be found is not supported.",
        (
            "患者胸痛缓解，生命体征平稳，切口愈合良好。",
            "住院期间复查心肌酶逐渐下降，予抗血小板、调脂治疗。",
            "出院时无发热、咳嗽、腹痛，腹软，无压痛。",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Usual(Prompt):
    """The agent's own first, the chart last."""

    def messages(self, wrong: str = "") -> list[dict[str, str]]:
        """Return the same words in the usual order."""
        own = f"{self.system}\n{CONSTANT}"
        asked = f"⟦TASK⟧\nThe present is {self.now}.\n{self.question}\n⟦FORM⟧\n{brief(self.schema)}"
        return [
            {"role": "system", "content": own},
            {"role": "user", "content": f"{asked}\n⟦RECORD⟧\n{self.record}\n⟦END OF RECORD⟧"},
        ]


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of one turn."""

    rate: float
    """Questions answered a second."""
    asked: Sequence[Asked]

    @property
    def cached(self) -> float:
        """Which part of the prompts the server remembered."""
        return sum(one.cached_tokens for one in self.asked) / sum(one.prompt_tokens for one in self.asked)


def shared_prefix(folder: Path) -> Iterator[tuple[Figure, str]]:
    """Yield the questions that are answered a second, the usual layout being the floor; and what else was seen.

    First each agent asks one question about each chart, then each asks three.

    Raises:
        BenchError: there is no vLLM, or it does not start.
    """
    try:
        server = Vllm(folder / "vllm")
        server.start()
    except ServerError as error:
        raise BenchError(str(error)) from None
    try:
        asyncio.run(_turn(server, Prompt, 1, 0))  # the first questions pay for what is loaded late
        for count in QUESTIONS:
            each = count // len(AGENTS)
            turns = [
                [asyncio.run(_turn(server, layout, each, 1 + n)) for layout in (Usual, Prompt)] for n in range(RUNS)
            ]
            name = f"llm_shared_prefix_{count}"
            usual, ours = zip(*turns, strict=True)
            figure = compared(name, "answers/s", [turn.rate for turn in ours], [turn.rate for turn in usual])
            cached = [median(turn.cached for turn in layout) for layout in (ours, usual)]
            tokens = median(one.prompt_tokens for turn in ours for one in turn.asked)
            remembered = f"{cached[0]:.0%} were remembered, {cached[1]:.0%} in the usual layout"
            yield figure, f"{name}: {CHARTS} charts a turn, {tokens:,.0f} tokens a prompt, of which {remembered}."
    finally:
        server.stop()


async def _turn(server: Vllm, layout: type[Prompt], each: int, run: int) -> Turn:
    """Let all agents ask so many questions about each chart, as fast as the client lets them."""
    settings = LLMSettings(
        url=server.url, model=MODEL, api_key_file=server.key_file, context_tokens=CONTEXT, max_tokens=MAX_TOKENS
    )
    form, asked = closed(Verdict.model_json_schema()), list[Asked]()
    charts = [record(made_up(run * CHARTS + number, NOTES)) for number in range(CHARTS)]
    questions = [
        Question(agent, layout(chart, f"2026-03-28T08:{minute:02}+08:00", system, question, form))
        for minute, chart in enumerate(charts)
        for agent, (system, questions) in AGENTS.items()
        for question in questions[:each]
    ]
    client = Client(settings, secrets.token_hex())  # nothing is remembered from an earlier turn
    begun = time.perf_counter()
    await asyncio.gather(*(_ask(client, question, asked) for question in questions))
    seconds = time.perf_counter() - begun
    await client.close()
    return Turn(len(questions) / seconds, asked)


async def _ask(client: Client, question: Question, asked: list[Asked]) -> None:
    try:
        await client.ask(question, asked.append)
    except NotEvaluated as error:
        raise BenchError(f"A question was not answered: {error.code}.") from None
