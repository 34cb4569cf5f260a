"""What an agent said of a case, label by label: a rule, a code, or that a text is wrong. Right, wrong, or missed."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hisbus.terms.spans import plain
from hisbus_bus.lab.evaluate.sample import Codes, Expected, Findings, Flagged, Span
from hisbus_schemas import Assessment, Chart, Evidence

Outcome = Literal["tp", "fp", "fn", "tn"]

_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
"""A Chinese character, or a run of other letters and digits."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """How well the places that were named are those that were expected: intersection over union, 0 to 1."""

    characters: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Label:
    """One thing that was said, or had to be."""

    name: str
    """A rule, a code, or what a text is called wrong by."""
    subject: str = ""
    state: str = ""
    spans: Sequence[Span] = ()
    text: str = ""
    """What a person reads of it: the message, or the name of the code."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One label with what came of it. ``tn``: a rule that had nothing to find, and found nothing."""

    kind: Literal["finding", "code", "flag"]
    label: Label
    outcome: Outcome
    evaluated: bool = True
    """False: the agent did not judge by this rule, or its call failed."""
    overlap: Overlap | None = None
    """Of a true positive whose places are known."""


@dataclass(slots=True)
class Labels:
    """What came of one case."""

    judged: list[Judged] = field(default_factory=list)
    outside: int = 0
    """Proposals by rules, or codes of systems, whose answer is not known."""


def judge(expected: Expected, chart: Chart, said: Assessment | None) -> Labels:
    """Compare what an agent said of a case with what it must say; None: its call failed."""
    found = Labels()
    answer = said or Assessment()
    if expected.findings is not None:
        _findings(found, expected.findings, chart, answer)
    if expected.flagged is not None:
        _flag(found, expected.flagged, chart, answer, called=said is not None)
    if expected.codes is not None:
        _codes(found, expected.codes, chart, answer, called=said is not None)
    return found


def _findings(found: Labels, wanted: Findings, chart: Chart, answer: Assessment) -> None:
    made: dict[str, list[Label]] = {rule: [] for rule in wanted.rules}
    for proposal in answer.proposals:
        if proposal.kind != "finding" or proposal.rule not in made:
            found.outside += 1
            continue
        spans = list(_spans(proposal.evidence))
        made[proposal.rule].append(Label(proposal.rule, proposal.subject, proposal.state, spans, proposal.message.en))
    for rule, there in made.items():
        asked = [Label(one.rule, one.subject, one.state, one.evidence) for one in wanted.expected if one.rule == rule]
        pairs = _paired(asked, there)
        found.judged += _told("finding", pairs, chart, evaluated=rule in answer.evaluated)
        if not pairs:
            found.judged.append(Judged("finding", Label(rule), "tn", rule in answer.evaluated))


def _flag(found: Labels, wanted: Flagged, chart: Chart, answer: Assessment, *, called: bool) -> None:
    spans: list[Span] = []
    messages = []
    for proposal in answer.proposals:
        mine = [span for span in _spans(proposal.evidence) if span.document == wanted.document]
        if proposal.kind != "finding" or not mine:
            found.outside += 1
            continue
        spans += mine
        messages.append(f"{proposal.rule}: {proposal.message.en}")
    asked = [Label(wanted.name, spans=wanted.evidence)] if wanted.wrong else []
    there = [Label(wanted.name, spans=spans, text="; ".join(messages))] if messages else []
    pairs = _paired(asked, there)
    if wanted.wrong and wanted.evidence and not _characters(wanted.evidence) & _characters(spans):
        pairs = [*((one, None) for one in asked), *((None, one) for one in there)]  # it has found something else
    found.judged += _told("flag", pairs, chart, evaluated=called)
    if not pairs:
        found.judged.append(Judged("flag", Label(wanted.name), "tn", called))


def _codes(found: Labels, wanted: Codes, chart: Chart, answer: Assessment, *, called: bool) -> None:
    asked = [Label(plain(one.code), spans=one.evidence, text=one.display) for one in wanted.expected]
    there: dict[str, Label] = {}
    for item in _assigned(answer):
        code = item.get("code")
        if not isinstance(code, str) or (wanted.systems and item.get("system") not in wanted.systems):
            found.outside += 1
            continue
        evidence = [Evidence.model_validate(one) for one in item.get("evidence") or ()]
        there.setdefault(
            plain(code), Label(plain(code), spans=list(_spans(evidence)), text=str(item.get("display", "")))
        )
    found.judged += _told("code", _paired(asked, list(there.values())), chart, evaluated=called)


def _assigned(answer: Assessment) -> Iterator[Mapping[str, Any]]:
    for proposal in answer.proposals:
        if proposal.kind == "codeset":
            yield from (item for item in proposal.payload.get("codes", ()) if isinstance(item, dict))


_Pairs = Sequence[tuple[Label | None, Label | None]]


def _paired(asked: Sequence[Label], there: Sequence[Label]) -> _Pairs:
    """Return what was asked for beside what is there, each once: those that name most of it choose first."""
    left, pairs = list(there), list[tuple[Label | None, Label | None]]()
    for one in sorted(asked, key=lambda label: (not label.subject, not label.state)):
        match = next((other for other in left if _answers(other, one)), None)
        if match is not None:
            left.remove(match)
        pairs.append((one, match))
    return [*pairs, *((None, other) for other in left)]


def _answers(said: Label, asked: Label) -> bool:
    return said.name == asked.name and asked.subject in {"", said.subject} and asked.state in {"", said.state}


def _told(
    kind: Literal["finding", "code", "flag"], pairs: _Pairs, chart: Chart, *, evaluated: bool
) -> Iterator[Judged]:
    for asked, said in pairs:
        if asked is not None and said is not None:
            yield Judged(kind, said, "tp", evaluated, overlap(chart, asked.spans, said.spans))
        elif asked is not None:
            yield Judged(kind, asked, "fn", evaluated)
        elif said is not None:
            yield Judged(kind, said, "fp", evaluated)


def _spans(evidence: Iterable[Evidence]) -> Iterator[Span]:
    """Yield the places in documents; what names a value of the chart has none."""
    for one in evidence:
        if one.document is not None and one.begin is not None and one.end is not None:
            yield Span(document=one.document, section=one.section or 0, begin=one.begin, end=one.end)


# --- evidence ---------------------------------------------------------------------------------------------------------


def overlap(chart: Chart, asked: Sequence[Span], said: Sequence[Span]) -> Overlap | None:
    """Return how the places that were named overlap with those expected; None where none are known."""
    if not asked:
        return None
    texts = {
        (document.id, section): part.text
        for document in chart.documents
        for section, part in enumerate(document.sections)
    }
    return Overlap(_shared(_characters(asked), _characters(said)), _shared(_tokens(texts, asked), _tokens(texts, said)))


def tokens(text: str) -> list[str]:
    """Return the words of a text in lower case; each Chinese character is one."""
    return [match[0].lower() for match in _TOKEN.finditer(text)]


def _shared(one: set[Any], other: set[Any]) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0


def _characters(spans: Iterable[Span]) -> set[tuple[str, int, int]]:
    return {(span.document, span.section, at) for span in spans for at in range(span.begin, span.end)}


def _tokens(texts: Mapping[tuple[str, int], str], spans: Iterable[Span]) -> set[tuple[str, int, int]]:
    """Return the tokens that spans touch, by where they begin."""
    return {
        (span.document, span.section, match.start())
        for span in spans
        for match in _TOKEN.finditer(texts.get((span.document, span.section), ""))
        if match.start() < span.end and span.begin < match.end()
    }
