"""How well somebody tells, from an excerpt of a record, whether it counts for a quality indicator.

Beside every figure stands what costs nothing: to answer each indicator with its commoner answer. An indicator that
nobody answered has no figure. Of an agent, the finding of a rule that is named like the indicator answers it, with
``status`` in its payload: ``met`` (it counts), ``missed`` (it does not), anything else (it cannot be told).
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.excerpts import Excerpt
from hisbus_bus.lab.evaluate.figures import mcnemar
from hisbus_bus.lab.evaluate.report import Rate
from hisbus_bus.lab.evaluate.run import Result
from hisbus_bus.lab.evaluate.sample import named_by
from hisbus_schemas import Finding

FILE, PAGE = "indicators.json", "indicators.html"
_STATUS = {"met": True, "missed": False}

Answer = bool | None
"""Whether an excerpt counts; None: not answered, or it cannot be told."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True)


class Answers(_Table):
    """How right the answers are, of those excerpts that were answered."""

    accuracy: Rate
    precision: Rate
    recall: Rate
    specificity: Rate


class IndicatorFigures(_Table):
    """The figures of one indicator, or of all."""

    name: str
    """Empty: all."""
    base: Rate
    """How many of the excerpts count."""
    commoner: Answers
    """Of who gives to each indicator its commoner answer, which he knows beforehand."""
    answered: Rate
    answers: Answers | None
    """None: nobody answers this."""
    p: float | None = None
    """That the answers and the commoner ones are as often right, on the excerpts that were answered (McNemar)."""


class IndicatorsReport(_Table):
    """All of it."""

    version: int = 1
    files: list[str]
    by: str
    """Who answered: an agent, or a file of patterns. Empty: nobody was asked."""
    failed: int
    """Calls without an answer."""
    repeated: int
    """Excerpts that stand twice under one indicator; they count twice."""
    whole: IndicatorFigures
    told: IndicatorFigures | None
    """Of all excerpts that were answered, so that the commoner answer stands beside the answers to the same ones."""
    each: list[IndicatorFigures]


class _Patterns(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    indicators: dict[str, str]


def of_agent(excerpts: Sequence[Excerpt], results: Iterable[Result]) -> list[Answer]:
    """Return what an agent says of each excerpt."""
    return [_told(excerpt, result) for excerpt, result in zip(excerpts, results, strict=True)]


def _told(excerpt: Excerpt, result: Result) -> Answer:
    proposals = result.assessment.proposals if result.assessment else []
    said = [one for one in proposals if isinstance(one, Finding) and one.rule == excerpt.indicator]
    answers = {_STATUS.get(str(one.payload.get("status", ""))) for one in said}
    return answers.pop() if len(answers) == 1 else None


def of_patterns(excerpts: Sequence[Excerpt], patterns: Mapping[str, re.Pattern[str]]) -> list[Answer]:
    """Return what a search says of each excerpt: what it finds counts, what it does not find does not."""
    return [
        bool(pattern.search(excerpt.text)) if (pattern := patterns.get(excerpt.indicator)) else None
        for excerpt in excerpts
    ]


def patterns(file: Path) -> Mapping[str, re.Pattern[str]]:
    """Read a TOML file with a regular expression for each indicator, in the table ``indicators``.

    Raises:
        ConfigError: it cannot be read, or is of another form.
    """
    try:
        table = _Patterns.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file} cannot be read. It must be TOML in UTF-8.") from error
    except ValidationError as error:
        mistakes = named_by(error.errors(include_input=False, include_context=False, include_url=False))
        raise ConfigError(f"{file}: {mistakes}") from None
    made = {}
    for name, text in table.indicators.items():
        try:
            made[name] = re.compile(text)
        except re.error as error:
            raise ConfigError(f"{file}: the pattern of {name!r} is no regular expression.") from error
    return made


def judge(
    files: Sequence[str], by: str, excerpts: Sequence[Excerpt], answers: Sequence[Answer], failed: int = 0
) -> IndicatorsReport:
    """Compare answers with what a person says, by indicator and over all."""
    by_name: dict[str, list[tuple[bool, Answer]]] = {}
    for excerpt, answer in zip(excerpts, answers, strict=True):
        by_name.setdefault(excerpt.indicator, []).append((excerpt.counts, answer))
    common = {name: _commoner([right for right, _ in its]) for name, its in by_name.items()}
    whole = [(right, answer, common[name]) for name, its in by_name.items() for right, answer in its]
    return IndicatorsReport(
        files=list(files),
        by=by,
        failed=failed,
        repeated=len(excerpts) - len({(one.indicator, one.text) for one in excerpts}),
        whole=_figures("", whole),
        told=_figures("", told) if (told := [one for one in whole if one[1] is not None]) else None,
        each=[
            _figures(name, [(right, answer, common[name]) for right, answer in its])
            for name, its in sorted(by_name.items())
        ],
    )


def _commoner(labels: Sequence[bool]) -> bool:
    """Return the commoner label; of as many, that it counts."""
    return 2 * sum(labels) >= len(labels)


def _figures(name: str, its: Sequence[tuple[bool, Answer, bool]]) -> IndicatorFigures:
    """Return the figures of excerpts, each with its label, its answer, and its indicator's commoner label."""
    said = [(right, answer, common) for right, answer, common in its if answer is not None]
    ours = sum(answer == right != common for right, answer, common in said)
    theirs = sum(common == right != answer for right, answer, common in said)
    return IndicatorFigures(
        name=name,
        base=Rate.counted(sum(right for right, _, _ in its), len(its)),
        commoner=_answers([(right, common) for right, _, common in its]),
        answered=Rate.counted(len(said), len(its)),
        answers=_answers([(right, answer) for right, answer, _ in said]) if said else None,
        p=mcnemar(ours, theirs) if said else None,
    )


def _answers(pairs: Sequence[tuple[bool, bool]]) -> Answers:
    yes = sum(right and answer for right, answer in pairs)
    no = sum(not right and not answer for right, answer in pairs)
    right = sum(right for right, _ in pairs)
    return Answers(
        accuracy=Rate.counted(yes + no, len(pairs)),
        precision=Rate.counted(yes, sum(answer for _, answer in pairs)),
        recall=Rate.counted(yes, right),
        specificity=Rate.counted(no, len(pairs) - right),
    )
