"""Diagnoses that documents and diagnosis lists name: each with its place, and with what is said of it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from hisbus.terms import Release, Terms
from hisbus.terms.words import Word, key, words
from hisbus_coding.aliases import aliases
from hisbus_coding.context import DATA, Cue, Status, cues, status_of
from hisbus_coding.passages import LISTS, Passage, passages, trimmed
from hisbus_schemas import Chart, ChartDiagnosis, ChartDocument, Evidence

_BARE = frozenset(key(name) for name in DATA["bare"]["names"])
_GENERAL = _BARE | frozenset(key(name) for name in DATA["general"]["names"])
_UNDER: dict[str, Status] = {"family": "family", "differential": "uncertain", "plan": "hypothetical", "past": "history"}
"""What is said of all diagnoses under a heading, where their own sentence says nothing else."""
_IDLE = frozenset(DATA["modifiers"]["words"]) | frozenset(DATA["modifiers"]["joining"])
_CUE_EDGE = " ?？,，、"
_COMMA = re.compile("[，、,]")
_CHINESE = re.compile(r"[，、]|(?<=[^\x00-\x7f])[ 　]+|[ 　]+(?=[^\x00-\x7f])")
_DEGREE = re.compile("|".join(DATA["modifiers"]["degrees"]), re.IGNORECASE)
_AND = re.compile(r"\band\b|&", re.IGNORECASE)
_DOUBTED = frozenset({"uncertain", "negated", "hypothetical"})
TOPIC = "topic"
"""Heading of a diagnosis that a plan turns to: ``Regarding her diabetes, ...``. As good as an item of a list."""
_MANAGED = frozenset({"plan", "said"})
_ABOUT = re.compile(
    r"(?:regarding|in regards? to|with regards? to|with respect to|in terms of|as for) (?:his|her|the|their) $",
    re.IGNORECASE,
)
_REMEMBERED = 2000
"""Sections of which is remembered what they name: most events of a stay change none of its documents."""
_LABEL_AHEAD = re.compile(r"(?:^|\n)[ \t　•*–-]*$")


@dataclass(frozen=True, slots=True)
class Mention:
    """A diagnosis that is named at one place."""

    text: str
    """Its name there, without cues."""
    status: Status
    cue: str
    """The words that say so; empty where nothing or only the heading does."""
    heading: str
    """``discharge``, ``admission``, ``complication``, ``list``; ``final``, ``working`` or ``admitting`` of a recorded
    diagnosis; ``reason``, ``past``, ``family``, ``differential``, ``results``, ``plan``, ``said``; else ``text``."""
    rank: int = 0
    """Place in its list, from 1."""
    document: ChartDocument | None = None
    section: int = 0
    begin: int = 0
    end: int = 0
    entry: ChartDiagnosis | None = None
    """Set: a recorded diagnosis, of no document."""
    besides: frozenset[str] = frozenset()
    """Of a known name within an item that is not known as a whole: the words of the item that are in no name of it."""

    @property
    def listed(self) -> bool:
        """Whether somebody named it as a diagnosis, not in passing."""
        return self.entry is not None or self.heading in LISTS or self.heading == TOPIC

    @property
    def ref(self) -> str:
        """The chart entry that it stands in."""
        entry = self.entry or self.document
        return entry.ref if entry is not None else ""

    def evidence(self) -> Evidence:
        """Return its words where they stand, or the recorded diagnosis."""
        if self.document is None:
            entry = self.entry
            return Evidence(path=f"diagnoses/{entry.id}" if entry else "", value=self.text)
        quote = self.document.sections[self.section].text[self.begin : self.end]
        return Evidence(
            document=self.document.id, version=self.document.version, section=self.section, begin=self.begin,
            end=self.end, quote=quote,
        )  # fmt: skip


def mentions(chart: Chart, terms: Terms, release: Release) -> Iterator[Mention]:
    """Yield every mention of a diagnosis in a chart, documents first, each in the order of its text."""
    for document in chart.documents:
        if document.counts:
            yield from in_document(document, terms, release)
    for entry in chart.diagnoses:
        text = entry.code.text.strip()
        if text or entry.code.code:
            begin, end, status, cue = _without_cues(text, 0, len(text))
            heading = entry.status or "working"
            yield Mention(text[begin:end], status, cue, heading, entry.rank or 0, entry=entry)


def in_document(document: ChartDocument, terms: Terms, release: Release) -> Iterator[Mention]:
    """Yield the mentions of one document."""
    for section, part in enumerate(document.sections):
        for passage, (begin, end, status, cue) in _in_section(part.title, part.name, part.text, terms, release):
            kind = TOPIC if status == "asserted" and cue == TOPIC else passage.kind
            yield Mention(part.text[begin:end], status, cue, kind, passage.rank, document, section, begin, end)


@lru_cache(maxsize=_REMEMBERED)
def _in_section(
    title: str, name: str, text: str, terms: Terms, release: Release
) -> tuple[tuple[Passage, "Found"], ...]:
    """Return what one section names, passage by passage."""
    return tuple(
        (passage, found)
        for passage in passages(title, name, text)
        for found in (_in_item if passage.kind in LISTS else _in_sentence)(text, passage, terms, release)
    )


def inside(mention: Mention, terms: Terms, release: Release) -> list[Mention]:
    """Return the known names inside an item that is not known as a whole: ``支扩伴咯血`` names two diseases."""
    if mention.document is None:
        return []
    text = mention.document.sections[mention.section].text
    around = cues(text, mention.begin, mention.end)
    places = _names(text, mention.begin, mention.end, terms, release)
    besides = _besides(text, mention, places)
    found = []
    for begin, end in places:
        if key(text[begin:end]) not in _GENERAL:
            status, cue = status_of(around, begin, end)
            if status == "asserted":
                status, cue = mention.status, mention.cue
            its = replace(mention, text=text[begin:end], begin=begin, end=end, status=status, cue=cue, besides=besides)
            found.append(its)
    return found


def _besides(text: str, mention: Mention, places: list[tuple[int, int]]) -> frozenset[str]:
    """Return the words of an item that stand beside the names in it and could make another code of them."""
    return frozenset(
        word.text
        for word in words(text[mention.begin : mention.end])
        if word.text not in _IDLE
        and not word.text.isdigit()
        and not any(begin <= mention.begin + word.begin < end for begin, end in places)
    )


Found = tuple[int, int, Status, str]


def _in_item(text: str, passage: Passage, terms: Terms, release: Release) -> Iterator[Found]:
    """Yield the diagnoses of one item: all of it, or its parts between commas where each of them is a known name."""
    for first, last in _before_doubt(text, passage.begin, passage.end):
        if key(text[first:last]) in _BARE:
            continue
        parts = [(first, last)]
        for cut in () if terms.named(release, key(text[first:last])) else (_CHINESE, _COMMA, _AND):
            cuts = [part for part in _parts(text, first, last, cut) if not _DEGREE.fullmatch(text, *part)]
            named = sum(bool(_names(text, *part, terms, release)) for part in cuts)
            # In Chinese a space or comma parts diagnoses; in English a comma may belong to a name.
            enough = named == len(cuts) or (cut is _CHINESE and 2 <= named and len(cuts) <= 2 * named)
            if cuts and enough and cuts != parts:
                parts = cuts
                break
        for begin, end in parts:
            yield _without_cues(text, begin, end)


def _before_doubt(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield what an item says, and apart from it what it only suspects: ``knee pain, likely arthritis``."""
    comma = _COMMA.search(text, begin, end)
    while comma is not None:
        rest, _ = trimmed(text, comma.end(), end)
        if any(cue.begin <= rest and cue.status in _DOUBTED for cue in cues(text, rest, end)):
            first, last = trimmed(text, begin, comma.start())
            yield first, last
            yield trimmed(text, rest, end)
            return
        comma = _COMMA.search(text, comma.end(), end)
    yield begin, end


def _parts(text: str, begin: int, end: int, cut: re.Pattern[str]) -> list[tuple[int, int]]:
    edges = [(begin, begin), *(match.span() for match in cut.finditer(text, begin, end)), (end, end)]
    parts = [trimmed(text, one[1], other[0]) for one, other in pairwise(edges)]
    return [(one, other) for one, other in parts if one < other]


def _names(text: str, begin: int, end: int, terms: Terms, release: Release) -> list[tuple[int, int]]:
    """Return the places of known names in a part of a text: the longest at each place, none inside another."""
    of = [word for word in words(text[begin:end])]
    shifted = [Word(word.text, word.begin + begin, word.end + begin) for word in of]
    found, at = [], 0
    while at < len(shifted):
        count = max(terms.longest(release, shifted, at), aliases().at(text, shifted, at))
        if count:
            found.append((shifted[at].begin, shifted[at + count - 1].end))
        at += count or 1
    return found


def _without_cues(text: str, begin: int, end: int) -> Found:
    """Return an item's name without the cues at its ends, and what they say."""
    around = cues(text[begin:end], 0, end - begin)
    first, last = begin, end
    moved = True
    while moved:
        moved = False
        for cue in around:
            lead, tail = begin + cue.begin, begin + cue.begin + len(cue.text)
            if cue.near is None and lead <= first < tail < last:
                first, moved = trimmed(text, tail, last)[0], True
            elif cue.near is not None and first < lead < last <= tail and cue.status != "history":
                last, moved = trimmed(text, first, lead)[1], True
    while last > first and text[last - 1] in _CUE_EDGE:
        last -= 1
    status, said = status_of(around, first - begin, last - begin)
    if status == "history":
        first = begin  # 陈旧性心肌梗死 and "old myocardial infarction" are diagnoses of their own
    return first, last, status, said


def _in_sentence(text: str, passage: Passage, terms: Terms, release: Release) -> Iterator[Found]:
    around: Sequence[Cue] | None = None
    for begin, end in _names(text, passage.begin, passage.end, terms, release):
        if key(text[begin:end]) in _GENERAL or _is_label(text, begin, end, passage):
            continue
        if around is None:
            around = cues(text, passage.begin, passage.end)
        status, cue = status_of(around, begin, end)
        if status == "asserted" and passage.kind in _MANAGED and _ABOUT.search(text, passage.begin, begin):
            cue = TOPIC
        elif status == "asserted":
            status = _UNDER.get(passage.kind, status)
        yield begin, end, status, cue


def _is_label(text: str, begin: int, end: int, passage: Passage) -> bool:
    """Tell whether a name is the label of a line of a template, which says nothing by itself: ``Diarrhea: none``."""
    return (
        text[end : end + 1] in {":", "："}
        and passage.kind not in {"past", "differential"}
        and bool(_LABEL_AHEAD.search(text, 0, begin))
    )
