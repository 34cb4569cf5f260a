"""Text that was copied instead of written."""

import math
import re
from functools import lru_cache
from itertools import pairwise, product
from typing import Any

from rapidfuzz.distance import Levenshtein, MatchingBlock

from hisbus_qc import documents, evidence
from hisbus_qc.clock import shown
from hisbus_qc.record import Record, written
from hisbus_qc.rule import DocumentTypes, Limits, Rule, Said, takes
from hisbus_schemas import ChartDocument, Evidence, Moment

_SPACE = re.compile(r"\s+")
_HINT = 100
"""Edits expected between two copies. Any number gives the same answer; a likely one gives it eight times as fast."""
_DIGITS = re.compile(r"\d+(?:[.．]\d+)?")
_REMEMBERED = 2_000
"""Texts, and pairs of them: a note is compared with the same others at each event of its stay."""
_CUT = 8
"""Texts that are cut into runs: one after the other is compared with all others."""


def note(rule: Rule, record: Record, limits: Any) -> Said:
    """R45: a progress note that repeats the one before it in the stay, new numbers aside.

    Notes stand in the order of the time they are about (TXA-4), those without one at the time they were filed; they
    are named by the time of their signature, as their words are where they are shown. Only neighbours are compared,
    signed or not. Length and likeness are those of the texts as ``compared`` gives them.
    """
    chart = record.chart
    notes = [*record.documents(tuple(rule.limits["documents"]))]
    notes.sort(key=lambda item: (_about(item).at, item.filed.at, item.id))
    for (before, old), (later, new) in pairwise([(item, compared(item.text)) for item in notes]):
        if min(len(old), len(new)) < rule.limits["least_characters"]:
            continue
        percent = _same(old, new, rule.limits["same_percent"])
        if percent is None:
            continue
        yield rule.finding(
            rule.say(
                "found", time=shown(chart, written(later)), before=shown(chart, written(before)), percent=str(percent)
            ),
            subject=later.id,
            evidence=_shared(later, before),
            reads=[later.ref, before.ref],
        )


class Similar(Limits):
    """Which document is compared with which."""

    documents: DocumentTypes
    originals: DocumentTypes
    first: bool = False
    """Only the first document of each."""
    same_percent: float
    least_characters: int


class Block(Limits):
    """How much of a document may stand in one other, word for word, by runs of so many characters."""

    documents: DocumentTypes
    originals: DocumentTypes
    gram_characters: int
    same_percent: float
    least_characters: int


@takes(Similar, needs=("document", "original"))
def similar(rule: Rule, record: Record, limits: Similar) -> Said:
    """Judge each document against every other kind's that was written before it: R46."""
    later, before = record.signed(limits.documents), record.signed(limits.originals)
    if limits.first:
        later, before = later[:1], before[:1]
    texts = {item.id: compared(item.text) for item in [*later, *before]} if later and before else {}
    for item, original in product(later, before) if texts else ():
        if item.id == original.id or written(original) > written(item):
            continue
        old, new = texts[original.id], texts[item.id]
        percent = _same(old, new, limits.same_percent) if min(len(old), len(new)) >= limits.least_characters else None
        if percent is None:
            continue
        said = rule.say(
            "found",
            time=shown(record.chart, written(item)),
            before=shown(record.chart, written(original)),
            document=rule.texts["document"],
            original=rule.texts["original"],
            percent=str(percent),
        )
        proof = _shared(item, original)
        yield rule.finding(said, subject=item.id, evidence=proof, reads=[item.ref, original.ref])


@takes(Block)
def block(rule: Rule, record: Record, limits: Block) -> Said:
    """R47: most of a document's runs of characters stand in one document that was written before it."""
    for item in record.signed(limits.documents):
        text = compared(item.text)
        if len(text) < limits.least_characters:
            continue
        for original in record.signed(limits.originals):
            if original.id == item.id or written(original) >= written(item):
                continue
            percent = _held(text, limits.gram_characters, compared(original.text), limits.same_percent)
            if percent is not None:
                said = rule.say(
                    "found",
                    time=shown(record.chart, written(item)),
                    before=shown(record.chart, written(original)),
                    document=documents.named(item),
                    original=documents.named(original),
                    percent=str(percent),
                )
                proof = _shared(item, original)
                yield rule.finding(
                    said,
                    title=rule.titled("found", document=documents.named(item), original=documents.named(original)),
                    subject=item.id,
                    evidence=proof,
                    reads=[item.ref, original.ref],
                )
                break


@lru_cache(maxsize=_REMEMBERED)
def _held(text: str, size: int, other: str, least: float) -> int | None:
    """Return how many of a text's runs another holds, whole percent; None where it is less than ``least``."""
    grams = _grams(text, size)
    may_miss = math.floor(len(grams) * (100 - least) / 100)
    missed = 0
    for gram in grams:
        missed += gram not in other
        if missed > may_miss:
            return None
    return 100 * (len(grams) - missed) // len(grams)


@lru_cache(maxsize=_CUT)
def _grams(text: str, size: int) -> frozenset[str]:
    return frozenset(text[at : at + size] for at in range(len(text) - size + 1))


@lru_cache(maxsize=_REMEMBERED)
def compared(text: str) -> str:
    """Return a text without white space, each run of digits with its decimal point as one mark."""
    return _DIGITS.sub("0", _SPACE.sub("", text))


@lru_cache(maxsize=_REMEMBERED)
def _same(old: str, new: str, least: float) -> int | None:
    """Return how much of two texts is the same, whole percent; None where it is less than ``least``."""
    longer = max(len(old), len(new))
    most = math.floor(longer * (100 - least) / 100)
    distance = Levenshtein.distance(old, new, score_cutoff=most)
    return None if distance > most else (longer - distance) * 100 // longer


def _shared(later: ChartDocument, before: ChartDocument) -> list[Evidence]:
    """Return what was copied, where it stands in each note: from the first to the last words that both hold alike."""
    pairs = product(enumerate(later.sections), enumerate(before.sections))
    blocks, one, other = max(
        ((_alike(first.text, second.text), one, other) for (one, first), (other, second) in pairs),
        key=lambda found: sum(block.size for block in found[0]),
    )
    first, last = blocks[0], blocks[-1]
    return [
        evidence.span(later, one, first.a, last.a + last.size),
        evidence.span(before, other, first.b, last.b + last.size),
    ]


def _alike(one: str, other: str) -> list[MatchingBlock]:
    """Return the runs that two texts hold alike. The last, empty one stands in where there is none."""
    blocks = Levenshtein.editops(one, other, score_hint=_HINT).as_matching_blocks()
    return [block for block in blocks if block.size] or blocks[-1:]


def _about(item: ChartDocument) -> Moment:
    return item.about or item.filed
