"""The agent ``coding-check``: holds proposed codes against what quality control has found, and says what it thinks.

A code may rest on a note that was copied, is another person's or contradicts itself; a set may have what the front
page lacks. Both are said beside the proposals, with what shows it. Which finding bears on which codes is data,
``checks.toml``.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from hisbus import Case
from hisbus.terms import plain
from hisbus_coding.edits.claim import inside
from hisbus_coding.query import RULE
from hisbus_schemas import (
    Assessment,
    Chart,
    Coded,
    CodedEntry,
    CodeSet,
    Contract,
    Evidence,
    Finding,
    Opinion,
    Proposal,
    Text,
)

_SHOWN = 6
"""Most evidence of one opinion."""
_SIDED = re.compile(r"[左右]|\b(?:left|right)\b", re.IGNORECASE)


class Bears(Contract):
    """How the findings of one rule bear on codes."""

    verdict: Literal["confirm", "dispute"]
    by: str
    text: Text
    resolved: Text | None = None
    codes: list[str] = []
    lacking: dict[str, list[str]] = {}
    fields: dict[str, str] = {}


class Remark(NamedTuple):
    """One thing to say of a proposal."""

    proposal: str
    verdict: Literal["confirm", "dispute", "duplicate"]
    text: Text
    evidence: Sequence[Evidence]
    of: str = ""


_DATA: Mapping[str, Any] = tomllib.loads(files("hisbus_coding").joinpath("checks.toml").read_text(encoding="utf-8"))
_SAME: Mapping[str, str] = _DATA["same"]
_SAME_TEXT = Text.model_validate(_DATA["same_text"])
BEARS: Mapping[str, Bears] = {
    rule: Bears.model_validate(table) for rule, table in _DATA.items() if rule not in {"same", "same_text"}
}
"""By rule."""


class Bearing(NamedTuple):
    """What a finding means for a set: the codes that it concerns, and what the set has in its stead."""

    concerned: list[CodedEntry]
    instead: list[CodedEntry] | None = None
    """None: the set does not resolve the finding."""


class Check:
    """Confirms and disputes proposed codes, and confirms findings that they resolve."""

    name = "coding-check"
    version = "1"
    kinds = frozenset({"proposals.changed"})
    grants = frozenset({"findings", "codesets", "documents", "diagnoses"})
    latest_only = True

    async def assess(self, case: Case) -> Assessment:
        """Say what the open findings of a stay mean for its proposed codes."""
        remarks = [*_of_sets(case), *_doubles(case.proposals)]
        return Assessment(opinions=list(_opinions(case.chart, remarks)))


def rule_of(finding: Finding) -> Bears | None:
    """Return how a finding bears on codes; None: it does not."""
    rule, _, rest = finding.key.partition(":")
    return BEARS.get(f"{rule}.{rest.partition(':')[0]}") or BEARS.get(finding.rule)


def _of_sets(case: Case) -> Iterator[Remark]:
    findings = [(one, bears) for one in case.proposals if isinstance(one, Finding) and (bears := rule_of(one))]
    for its in case.proposals:
        if isinstance(its, CodeSet):
            for finding, bears in findings:
                yield from _of_finding(case.chart, its, finding, bears)


def _of_finding(chart: Chart, its: CodeSet, finding: Finding, bears: Bears) -> Iterator[Remark]:
    try:
        codes = Coded.model_validate(its.payload).codes
    except ValidationError:
        return  # another agent's, of another form
    concerned, instead = _BEARING[bears.by](chart, codes, finding, bears)
    if concerned:
        proof = [*_proof(concerned), *finding.evidence]
        yield Remark(its.id, bears.verdict, _said(bears.text, concerned, finding), proof)
    if instead is not None and bears.resolved is not None:
        said = _said(bears.resolved, instead, finding)
        yield Remark(finding.id, "confirm", said, _proof(instead))
        if not concerned:
            yield Remark(its.id, "confirm", said, finding.evidence)


def _doubles(proposals: Sequence[Proposal]) -> Iterator[Remark]:
    """Name the questions to the clinician that ask for what a finding says of the same reading."""
    known = {f"{one.rule}:{one.subject}": one for one in proposals if isinstance(one, Finding)}
    for one in proposals:
        other = known.get(_SAME.get(one.subject, "")) if one.rule == RULE else None
        if other is not None:
            yield Remark(one.id, "duplicate", _SAME_TEXT, other.evidence, other.id)


def _opinions(chart: Chart, remarks: Iterable[Remark]) -> Iterator[Opinion]:
    """Yield one opinion for each proposal and verdict: all there is to say, with what still stands in the chart."""
    piles: dict[tuple[str, str, str], list[Remark]] = {}
    for one in remarks:
        piles.setdefault((one.proposal, one.verdict, one.of), []).append(one)
    for its in piles.values():
        first = its[0]
        zh, en = dict.fromkeys(one.text.zh for one in its), dict.fromkeys(one.text.en for one in its)
        proof = dict.fromkeys(item for one in its for item in one.evidence if _stands(chart, item))
        yield Opinion(
            proposal=first.proposal,
            verdict=first.verdict,
            message=Text(zh="".join(zh), en=" ".join(en)),
            evidence=list(proof)[:_SHOWN],
            of=first.of,
        )


def _said(text: Text, codes: Sequence[CodedEntry], finding: Finding) -> Text:
    names = [code.code for code in codes]
    return Text(
        zh=f"{finding.rule}：{text.zh.format(codes='、'.join(names))}",
        en=f"{finding.rule}: {text.en.format(codes=', '.join(names))}",
    )


def _proof(codes: Sequence[CodedEntry]) -> list[Evidence]:
    return [code.evidence[0] for code in codes if code.evidence]


def _stands(chart: Chart, evidence: Evidence) -> bool:
    """Tell whether quoted words are still there; the chart may have moved on since they were proposed."""
    if evidence.quote is None:
        return True
    document = next((one for one in chart.documents if one.id == evidence.document), None)
    if document is None or evidence.version not in {None, document.version} or evidence.section is None:
        return False
    texts = [section.text for section in document.sections]
    return evidence.section < len(texts) and texts[evidence.section][evidence.begin : evidence.end] == evidence.quote


# --- which codes a finding concerns -----------------------------------------------------------------------------------


def _words(chart: Chart, codes: list[CodedEntry], finding: Finding, bears: Bears) -> Bearing:
    return Bearing([code for code in codes if any(_touch(a, b) for a in code.evidence for b in finding.evidence)])


def _touch(one: Evidence, other: Evidence) -> bool:
    """Tell whether two spans share words."""
    places = (one.begin, one.end, other.begin, other.end)
    if one.document is None or (one.document, one.section) != (other.document, other.section) or None in places:
        return False
    return (one.begin or 0) < (other.end or 0) and (other.begin or 0) < (one.end or 0)


def _only(chart: Chart, codes: list[CodedEntry], finding: Finding, bears: Bears) -> Bearing:
    about = finding.subject
    return Bearing([code for code in codes if code.evidence and all(item.document == about for item in code.evidence)])


def _any(chart: Chart, codes: list[CodedEntry], finding: Finding, bears: Bears) -> Bearing:
    return Bearing([code for code in codes if any(item.document == finding.subject for item in code.evidence)])


def _side(chart: Chart, codes: list[CodedEntry], finding: Finding, bears: Bears) -> Bearing:
    return Bearing([code for code in codes if code.role == "operation" or _SIDED.search(code.display)])


def _codes(chart: Chart, codes: list[CodedEntry], finding: Finding, bears: Bears) -> Bearing:
    return Bearing([code for code in codes if inside(code.code, bears.codes)])


def _lacking(chart: Chart, codes: list[CodedEntry], finding: Finding, bears: Bears) -> Bearing:
    found = [code for code in codes if inside(code.code, bears.lacking.get(finding.subject, ()))]
    return Bearing(found, found or None)


def _field(chart: Chart, codes: list[CodedEntry], finding: Finding, bears: Bears) -> Bearing:
    role = bears.fields.get(str(finding.payload.get("field", "")), "")
    found = [code for code in codes if role and code.role == role][:1]
    return Bearing(found, found or None)


def _operation(chart: Chart, codes: list[CodedEntry], finding: Finding, bears: Bears) -> Bearing:
    paths = {item.path.removesuffix("/code") for item in finding.evidence if item.path}
    found = [code for code in codes if code.role == "operation" and any(item.path in paths for item in code.evidence)]
    return Bearing(found, found or None)


def _principal(chart: Chart, codes: list[CodedEntry], finding: Finding, bears: Bears) -> Bearing:
    recorded = _recorded(chart, finding)
    first = [code for code in codes if code.rank == 1 and code.role != "operation"]
    if not recorded or not first:
        return Bearing([])
    same = [code for code in first if plain(code.code) == plain(recorded)]
    return Bearing(same, None if same else first)


def _recorded_code(chart: Chart, codes: list[CodedEntry], finding: Finding, bears: Bears) -> Bearing:
    recorded = _recorded(chart, finding)
    if not recorded:
        return Bearing([])
    same = [code for code in codes if plain(code.code) == plain(recorded)]
    return Bearing(same, None if same else [])


def _recorded(chart: Chart, finding: Finding) -> str:
    """Return the recorded code that a finding is about: of a diagnosis, or of a field of the front page; else empty."""
    named = finding.payload.get("codes")
    if isinstance(named, list) and named:
        return str(named[0])
    entry = next((one for one in chart.diagnoses if one.id == finding.subject), None)
    if entry is not None:
        return entry.code.code
    id, _, field = finding.subject.partition(":")
    page = next((one for one in chart.documents if one.id == id), None)
    return ((page.fields.get(field, "") if page else "").split() or [""])[0]


_BEARING: Mapping[str, Callable[[Chart, list[CodedEntry], Finding, Bears], Bearing]] = {
    "words": _words,
    "only": _only,
    "any": _any,
    "side": _side,
    "codes": _codes,
    "lacking": _lacking,
    "field": _field,
    "operation": _operation,
    "principal": _principal,
    "recorded": _recorded_code,
}
