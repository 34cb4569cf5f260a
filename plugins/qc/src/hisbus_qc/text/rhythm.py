"""R26 where two numbers and a diagnosis do not settle it: whether there was fibrillation when the pulse was taken."""

import re
from collections.abc import Iterator
from typing import ClassVar

from hisbus_qc import evidence
from hisbus_qc.facts import mention
from hisbus_qc.record import Record, named
from hisbus_qc.rule import DocumentTypes, GroupRegex, Rule, takes
from hisbus_qc.text.question import Asks, Question, label, question
from hisbus_schemas import ChartDocument, Evidence


class Rhythm(Asks):
    """How a record states pulse, heart rate and rhythm. ``{where}`` fills in the question."""

    documents: DocumentTypes
    pulse: GroupRegex
    heart: GroupRegex
    fibrillation: tuple[str, ...]
    fibrillation_codes: tuple[str, ...]
    equal: bool
    """True: asks where both are the same, no fibrillation is named and ``rhythm`` describes one; False: where they
    differ, it is named and ``rhythm`` describes none."""
    rhythm: tuple[str, ...]

    tells: ClassVar[frozenset[str]] = frozenset({"pulse", "heart"})


@takes(Rhythm)
def rhythm(rule: Rule, record: Record, limits: Rhythm) -> Iterator[Question]:
    """Ask about each signed document in which the rhythm is described otherwise than numbers and diagnosis have it."""
    coded = any(named(item.code.code, limits.fibrillation_codes) for item in record.chart.diagnoses)
    for document in record.signed(limits.documents):
        pulse, heart = _rate(document, limits.pulse), _rate(document, limits.heart)
        described = mention(document, limits.rhythm)
        if pulse is None or heart is None or described is None or (pulse[0] == heart[0]) != limits.equal:
            continue
        if (coded or mention(document, limits.fibrillation) is not None) == limits.equal:
            continue
        proof = [pulse[1], heart[1], described]
        yield question(
            rule,
            record,
            limits,
            [document],
            subject=document.id,
            proof=proof,
            about=[item.quote or "" for item in proof],
            words={"where": label(record, document)},
            texts={"pulse": str(pulse[0]), "heart": str(heart[0])},
        )


def _rate(document: ChartDocument, pattern: str) -> tuple[int, Evidence] | None:
    for index, section in enumerate(document.sections):
        match = re.search(pattern, section.text)
        if match and match[1].isdecimal():
            return int(match[1]), evidence.span(document, index, match.start(), match.end())
    return None
