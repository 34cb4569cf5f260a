"""The report of one run, as it is stored: every figure, and the items that each of them counts."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.figures import Counts, Interval, percentile, wilson
from hisbus_bus.lab.evaluate.sample import Format
from hisbus_schemas import Text

VERSION: Final = 2
FILE = "report.json"

WITH_TEXT = Text(
    zh="本报告含病历原文，请与病历同等保护，勿外传。",
    en="This report holds text of patients' records. Protect it like the records, and do not pass it on.",
)
WITHOUT_TEXT = Text(
    zh="本报告不含病历原文，仍含病例编号。",
    en="This report holds no text of the records; it holds ids of the cases.",
)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True)


class Rate(_Table):
    """A figure with its 95 % interval; ``value`` is None where there was nothing to judge."""

    value: float | None
    low: float | None = None
    high: float | None = None
    good: int | None = None
    of: int | None = None

    @classmethod
    def counted(cls, good: int, of: int) -> "Rate":
        """Return a rate with its Wilson interval."""
        low, high = wilson(good, of) or (None, None)
        return cls(value=good / of if of else None, low=low, high=high, good=good, of=of)

    @classmethod
    def drawn(cls, value: float | None, interval: Interval | None) -> "Rate":
        """Return a figure with the interval of a bootstrap."""
        low, high = interval or (None, None)
        return cls(value=value, low=low, high=high)


class Spread(_Table):
    """How values are distributed. All None where there are none."""

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    most: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of some values."""
        if not values:
            return cls()
        return cls(
            count=len(values), mean=sum(values) / len(values), p50=percentile(values, 0.5),
            p95=percentile(values, 0.95), most=max(values),
        )  # fmt: skip


class AgentRun(_Table):
    """What was run."""

    name: str
    version: str
    plugin: str
    distribution: str
    distribution_version: str
    settings: dict[str, Any]
    model: str
    """Empty: no model was there to ask."""
    temperature: float | None = None
    prompts: list[str]
    """Versions of the prompts that were sent."""


class DataUsed(_Table):
    """What it was run on."""

    name: str
    format: Format
    sha256: str
    """Of the cases that were taken and their answers."""
    cases: int
    of: int
    """How many there are."""
    seed: int


class Cases(NamedTuple):
    """In how many cases a label was judged, had to be said, and was said though it had not to be."""

    all: int
    wanted: int
    alarms: int

    @classmethod
    def of(cls, items: Iterable["LabelItem"], cases: int) -> "Cases":
        """Return those of one label's items; ``cases``: in how many a code could have been said."""
        kinds, judged, wanted, said = set[str](), set[str](), set[str](), set[str]()
        for item in items:
            kinds.add(item.kind)
            judged.add(item.case)
            if item.outcome in {"tp", "fn"}:
                wanted.add(item.case)
            if item.outcome == "fp":
                said.add(item.case)
        return cls(cases if kinds == {"code"} else len(judged), len(wanted), len(said - wanted))

    def __add__(self, other: Any) -> "Cases":
        return Cases(self.all + other.all, self.wanted + other.wanted, self.alarms + other.alarms)


class LabelFigures(_Table):
    """One rule or code, or all together."""

    name: str
    """Empty: all together."""
    tp: int
    fp: int
    fn: int
    tn: int
    not_evaluated: int
    """Of the cases: those in which the agent did not judge it. What it missed there counts as missed."""
    precision: Rate
    recall: Rate
    f1: Rate
    base_rate: Rate
    """Cases in which it had to be said, of all in which it was judged."""
    specificity: Rate
    """Cases in which it was rightly left unsaid, of those in which it had to be."""
    always_f1: float | None
    """F1 of who says it of every case and reads none: what is no better than that says nothing."""

    @classmethod
    def of(
        cls, name: str, counts: Counts, tn: int, not_evaluated: int, interval: Interval | None, spread: "Cases"
    ) -> "LabelFigures":
        """Return the figures of some counts; the interval is that of F1."""
        base = spread.wanted / spread.all if spread.all else None
        return cls(
            name=name, tp=counts.tp, fp=counts.fp, fn=counts.fn, tn=tn, not_evaluated=not_evaluated,
            precision=Rate.counted(counts.tp, counts.tp + counts.fp),
            recall=Rate.counted(counts.tp, counts.tp + counts.fn),
            f1=Rate.drawn(counts.f1, interval),
            base_rate=Rate.counted(spread.wanted, spread.all),
            specificity=Rate.counted(spread.all - spread.wanted - spread.alarms, spread.all - spread.wanted),
            always_f1=None if base is None else 2 * base / (1 + base),
        )  # fmt: skip


class Labels(_Table):
    """What the agent found, and what it missed."""

    whole: LabelFigures
    """Of all labels together (micro-average)."""
    macro_f1: float | None
    """Mean of F1 over the labels that were expected at least once."""
    exact: Rate
    """Cases in which every label was right."""
    each: list[LabelFigures]
    overlap_characters: Spread
    """Intersection over union of the evidence, of true positives whose places are known."""
    overlap_tokens: Spread


class SectionFigures(_Table):
    """One section of the drafts, or all together."""

    name: str
    """Empty: all together."""
    title: str
    captured: Rate
    """Facts of the reference that the draft has."""
    accurate: Rate
    """Facts of the draft that the reference or the record has."""
    unsupported: Rate
    """Sentences of the draft that the record does not bear."""
    omitted: Rate
    """Sentences of the reference that the draft has nothing of."""
    contradictions: int
    copied: Rate
    """Tokens of the draft in runs of ten that stand in the record. No interval: they hang together."""
    edit_distance: Rate
    """Tokens to change until the draft is what was signed, of the longer of both. No interval."""


class RubricPoints(_Table):
    """What the drafts earned of one item."""

    id: str
    title: Text
    points: float
    met: int
    of: int


class Documents(_Table):
    """Drafts beside what persons wrote."""

    drafted: int
    of: int
    sections: list[SectionFigures]
    """The first one is of all together."""
    edit_distance: Spread
    """Of the documents."""
    points: Spread
    most_points: float
    rubric_version: str
    rubric: list[RubricPoints]
    removed: dict[str, int]
    """Sentences that the agent took out itself, by reason."""


class Usage(_Table):
    """What the model was asked."""

    questions: int = 0
    outcomes: dict[str, int] = {}
    repaired: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    seconds: Spread = Spread()

    @property
    def unanswered(self) -> int:
        """Return how many questions had no answer that could be used."""
        return self.questions - self.outcomes.get("answered", 0)


class LabelItem(_Table):
    """One label of one case."""

    case: str
    kind: Literal["finding", "code", "flag"]
    name: str
    subject: str
    state: str
    outcome: Literal["tp", "fp", "fn", "tn"]
    evaluated: bool
    characters: float | None = None
    tokens: float | None = None
    text: str | None = None


class DocumentItem(_Table):
    """One sentence or fact of a draft or of its reference."""

    case: str
    rule: str
    dimension: Literal["captured", "accurate", "unsupported", "omitted", "contradiction", "copied"]
    section: str
    side: Literal["draft", "reference"]
    sentence: int | None
    good: bool
    text: str | None = None
    fact: str | None = None
    why: str | None = None


class CaseFigures(_Table):
    """One case."""

    id: str
    title: str
    failed: str
    """Why the call failed; empty: it did not."""
    seconds: float
    questions: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    right: bool | None
    """Every label was; None where no label is judged."""
    outside: int
    """Proposals whose answer is not known."""
    unverified: int
    unevaluated: list[str]
    scores: dict[str, float | None] = {}
    """Of its documents; empty where there is none."""
    points: float | None = None


class Report(_Table):
    """All of it."""

    version: Literal[2] = VERSION
    made: datetime
    hisbus: str
    notice: Text
    holds_text: bool
    agent: AgentRun
    data: DataUsed
    wall_seconds: float
    labels: Labels | None
    documents: Documents | None
    failed: dict[str, int]
    """Calls that failed, by code."""
    unverified: int
    """Items that the agent left out, because their words do not stand in the record."""
    unevaluated: dict[str, int]
    """Cases in which the agent could not judge by a rule."""
    outside: int
    usage: Usage
    seconds: Spread
    """Of the calls that did not fail."""
    cases: list[CaseFigures]
    label_items: list[LabelItem]
    document_items: list[DocumentItem]


def load(path: Path) -> Report:
    """Read a report by its file or folder.

    Raises:
        ConfigError: it cannot be read, or another version of hisbus wrote it.
    """
    file = path / FILE if path.is_dir() else path
    try:
        return Report.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read. Name the folder that `hisbus evaluate run` wrote.") from error
    except ValidationError:
        raise ConfigError(f"{file} is no report of version {VERSION}. Run the evaluation again.") from None


def counts_of(items: Sequence[LabelItem], order: Mapping[str, int]) -> dict[str, dict[int, Counts]]:
    """Return counts by label and by the number of the case; labels without any count are left out."""
    found: dict[str, dict[int, Counts]] = {}
    for item in items:
        if item.outcome != "tn":
            by_case = found.setdefault(item.name, {})
            at = order[item.case]
            by_case[at] = by_case.get(at, Counts()) + Counts(**{item.outcome: 1})
    return found
