"""From results to the report."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hisbus.agent import Agent
from hisbus_bus.host.llm.render import record
from hisbus_bus.lab.evaluate import documents, labels
from hisbus_bus.lab.evaluate.documents import DocumentResult
from hisbus_bus.lab.evaluate.figures import Counts, f1_intervals
from hisbus_bus.lab.evaluate.report import (
    WITH_TEXT,
    WITHOUT_TEXT,
    AgentRun,
    CaseFigures,
    Cases,
    DataUsed,
    DocumentItem,
    Documents,
    LabelFigures,
    LabelItem,
    Labels,
    Rate,
    Report,
    RubricPoints,
    SectionFigures,
    Spread,
    Usage,
    counts_of,
)
from hisbus_bus.lab.evaluate.rubric import Rubric
from hisbus_bus.lab.evaluate.run import Result
from hisbus_schemas import Asked, Assessment, Chart

Judged = tuple[Result, labels.Labels, Sequence[DocumentResult]]


def build(
    agent: Agent,
    results: Sequence[Result],
    *,
    used: DataUsed,
    ran: AgentRun,
    rubric: Rubric,
    hisbus: str,
    wall_seconds: float,
    text: bool,
) -> Report:
    """Judge every answer and return the report.

    Args:
        agent: the one that answered.
        results: in the order of the cases.
        used: what it was run on.
        ran: what was run.
        rubric: of drafted documents.
        hisbus: our version.
        wall_seconds: how long all of it took.
        text: whether the report may hold text of the records.
    """
    judged = [(result, *_judged(agent, result)) for result in results]
    label_items = [_label_item(result, one, text) for result, found, _ in judged for one in found.judged]
    document_items = [
        _document_item(result, document, item, text)
        for result, _, drafts in judged
        for document in drafts
        for item in document.items
    ]
    asked = [one for result in results for one in result.asked]
    answers = [result.assessment for result in results if result.assessment is not None]
    return Report(
        made=datetime.now(UTC),
        hisbus=hisbus,
        notice=WITH_TEXT if text else WITHOUT_TEXT,
        holds_text=text,
        agent=ran.model_copy(update={"prompts": sorted({one.prompt for one in asked})}),
        data=used,
        wall_seconds=round(wall_seconds, 3),
        labels=_labels(label_items, [result.sample.id for result in results], used.seed),
        documents=_documents([document for *_, drafts in judged for document in drafts], rubric),
        failed=dict(sorted(Counter(result.failed for result in results if result.failed).items())),
        unverified=sum(answer.unverified for answer in answers),
        unevaluated=dict(sorted(Counter(rule for answer in answers for rule in _rules(answer)).items())),
        outside=sum(found.outside for _, found, _ in judged),
        usage=_usage(asked),
        seconds=Spread.of([result.seconds for result in results if not result.failed]),
        cases=[_case(one, rubric) for one in judged],
        label_items=label_items,
        document_items=document_items,
    )


def _rules(answer: Assessment) -> set[str]:
    return {one.rule for one in answer.unevaluated}


def _judged(agent: Agent, result: Result) -> tuple[labels.Labels, list[DocumentResult]]:
    sample = result.sample
    found = labels.judge(sample.expected, sample.chart, result.assessment)
    if not sample.expected.documents:
        return found, []
    source = known(sample.chart.project(agent.grants))
    return found, [documents.compare(result.assessment, one, source) for one in sample.expected.documents]


def known(chart: Chart) -> str:
    """Return what an agent may say of a chart: the record as a model is shown it, and what follows from its dates."""
    lines = [record(chart)]
    end = chart.discharged or None
    born = chart.patient.birth_date if chart.patient else None
    if chart.admitted is not None:
        day = chart.admitted.local().date()
        if born is not None:
            years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
            lines.append(f"{years}岁 {years} years")
        if end is not None:
            days = (end.local().date() - day).days
            lines.append(f"{days}天 {days} days")
    return "\n".join(lines)


def _label_item(result: Result, one: labels.Judged, text: bool) -> LabelItem:
    overlap = one.overlap
    return LabelItem(
        case=result.sample.id, kind=one.kind, name=one.label.name, subject=one.label.subject, state=one.label.state,
        outcome=one.outcome, evaluated=one.evaluated, characters=overlap.characters if overlap else None,
        tokens=overlap.tokens if overlap else None, text=one.label.text if text else None,
    )  # fmt: skip


def _document_item(result: Result, document: DocumentResult, item: documents.Item, text: bool) -> DocumentItem:
    words = {"text": item.text, "fact": item.fact or None, "why": item.why or None} if text else {}
    return DocumentItem(
        case=result.sample.id, rule=document.rule, dimension=item.dimension, section=item.section, side=item.side,
        sentence=item.sentence, good=item.good, **words,
    )  # fmt: skip


def _labels(items: Sequence[LabelItem], cases: Sequence[str], seed: int) -> Labels | None:
    if not items:
        return None
    by_label = counts_of(items, {case: at for at, case in enumerate(cases)})
    whole: dict[int, Counts] = {}
    for by_case in by_label.values():
        for at, counts in by_case.items():
            whole[at] = whole.get(at, Counts()) + counts
    intervals = f1_intervals({**by_label, "": whole}, len(cases), seed)
    tn = Counter(item.name for item in items if item.outcome == "tn")
    skipped = {(item.name, item.case) for item in items if not item.evaluated}
    not_evaluated = Counter(name for name, _ in skipped)

    coded = len({item.case for item in items if item.kind == "code"})
    named: dict[str, list[LabelItem]] = {}
    for item in items:
        named.setdefault(item.name, []).append(item)
    spread = {name: Cases.of(its, coded) for name, its in named.items()}

    def figures(name: str, by_case: Mapping[int, Counts], clear: int, blind: int, its: Cases) -> LabelFigures:
        return LabelFigures.of(name, sum(by_case.values(), Counts()), clear, blind, intervals.get(name), its)

    each = [
        figures(name, by_label.get(name, {}), tn[name], not_evaluated[name], spread[name]) for name in sorted(named)
    ]
    together = sum(spread.values(), Cases(0, 0, 0))
    expected = [one.f1.value or 0.0 for one in each if one.tp + one.fn]
    judged = {item.case for item in items}
    wrong = {item.case for item in items if item.outcome in {"fp", "fn"}}
    overlaps = [item for item in items if item.characters is not None]
    return Labels(
        whole=figures("", whole, tn.total(), not_evaluated.total(), together),
        macro_f1=sum(expected) / len(expected) if expected else None,
        exact=Rate.counted(len(judged - wrong), len(judged)),
        each=each,
        overlap_characters=Spread.of([item.characters for item in overlaps if item.characters is not None]),
        overlap_tokens=Spread.of([item.tokens for item in overlaps if item.tokens is not None]),
    )


def _documents(made: Sequence[DocumentResult], rubric: Rubric) -> Documents | None:
    if not made:
        return None
    names = dict.fromkeys(name for one in made for name in one.sections)
    titles = {name: title for one in made for name, title in one.titles.items()}
    scores = [documents.scores(one.whole) for one in made]
    distances = [score["edit_distance"] for score in scores]
    removed = Counter[str]()
    for one in made:
        removed.update(one.removed)
    return Documents(
        drafted=sum(one.drafted for one in made),
        of=len(made),
        sections=[
            _section("", "", (one.whole for one in made)),
            *(
                _section(name, titles[name], (one.sections[name] for one in made if name in one.sections))
                for name in names
            ),
        ],
        edit_distance=Spread.of([value for value in distances if value is not None]),
        points=Spread.of([points(one, rubric) for one in made]),
        most_points=rubric.most,
        rubric_version=rubric.version,
        rubric=[
            RubricPoints(
                id=item.id, title=item.title, points=item.points, of=len(made),
                met=sum(one.drafted and item.met(score) for one, score in zip(made, scores, strict=True)),
            )
            for item in rubric.items
        ],
        removed=dict(sorted(removed.items())),
    )  # fmt: skip


def points(document: DocumentResult, rubric: Rubric) -> float:
    """Return the points of a draft; one that was not made has none."""
    scores = documents.scores(document.whole)
    return sum(item.points for item in rubric.items if document.drafted and item.met(scores))


def _section(name: str, title: str, figures: Iterable[documents.SectionFigures]) -> SectionFigures:
    one = documents.total(figures)
    return SectionFigures(
        name=name,
        title=title,
        captured=Rate.counted(one.captured, one.to_capture),
        accurate=Rate.counted(one.accurate, one.stated),
        unsupported=Rate.counted(one.unsupported, one.sentences),
        omitted=Rate.counted(one.omitted, one.to_say),
        contradictions=one.contradictions,
        copied=Rate(value=documents.scores(one)["copied"], good=one.copied, of=one.tokens),
        edit_distance=Rate(value=documents.scores(one)["edit_distance"], good=one.edits, of=one.longest),
    )


def _usage(asked: Sequence[Asked]) -> Usage:
    return Usage(
        questions=len(asked),
        outcomes=dict(sorted(Counter(one.outcome for one in asked).items())),
        repaired=sum(one.repaired for one in asked),
        seconds=Spread.of([one.seconds for one in asked]),
        **_tokens(asked),
    )


def _tokens(asked: Sequence[Asked]) -> dict[str, Any]:
    names = ("prompt_tokens", "cached_tokens", "completion_tokens")
    return {name: sum(getattr(one, name) for one in asked) for name in names}


def _case(one: Judged, rubric: Rubric) -> CaseFigures:
    result, found, drafts = one
    answer = result.assessment
    scores = documents.scores(documents.total(draft.whole for draft in drafts)) if drafts else {}
    return CaseFigures(
        id=result.sample.id,
        title=result.sample.expected.title,
        failed=result.failed,
        seconds=round(result.seconds, 6),
        questions=len(result.asked),
        right=all(item.outcome in {"tp", "tn"} for item in found.judged) if found.judged else None,
        outside=found.outside,
        unverified=answer.unverified if answer else 0,
        unevaluated=sorted(_rules(answer)) if answer else [],
        scores=dict(scores),
        points=sum(points(draft, rubric) for draft in drafts) / len(drafts) if drafts else None,
        **_tokens(result.asked),
    )
