"""R62: organs and states that the patient's sex does not have, in the words of a record."""

import re
from collections.abc import Iterator
from functools import cached_property

from hisbus_qc import documents, evidence
from hisbus_qc.frontpage import years
from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, Limits, Rule, Said, takes
from hisbus_qc.text import passages
from hisbus_schemas import ChartDocument, Evidence, Text

_SENTENCE = re.compile(r"[^。；;\n]+")
_DENIED = re.compile(r"(?:无|未|否认|非|不适用|男性|女性)[^，,。；;\n]{0,6}$")
_NOT_HIS = re.compile(r"^[^，,。；;\n]{0,4}?[:：]?\s*(?:无|不适用|不详|/|—|-|男性|女性)")


class Organs(Limits):
    """Words of either sex, and what a sentence speaks of that is not about the patient."""

    documents: DocumentTypes
    female: tuple[str, ...]
    male: tuple[str, ...]
    others: tuple[str, ...]
    """Words of relatives: their sentences are not judged."""
    without: tuple[str, ...] = ()
    """Longer words that hold one of these and are of no sex."""
    least_years: int = 1
    """Records of the newborn tell of the mother."""

    @cached_property
    def words(self) -> dict[str, re.Pattern[str]]:
        """By a patient's sex, what finds the words that are not of it."""
        wrong = {"male": self.female, "female": self.male}
        return {sex: re.compile("|".join(map(re.escape, words))) for sex, words in wrong.items()}


@takes(Organs)
def organs(rule: Rule, record: Record, limits: Organs) -> Said:
    """Judge each document: its first sentence about the patient with such a word that is not denied."""
    patient, day = record.chart.patient, record.day_admitted
    if patient is None or patient.sex not in limits.words:
        return
    if patient.birth_date and day and years(patient.birth_date, day) < limits.least_years:
        return
    for item in record.documents(limits.documents):
        found = next(_found(item, limits.words[patient.sex], limits), None)
        if found:
            word, proof = found
            said: dict[str, str | Text] = {
                "document": documents.named(item),
                "word": word,
                "sex": rule.texts[patient.sex],
            }
            yield rule.finding(
                rule.say("found", **said),
                title=rule.titled("found", **said),
                subject=item.id,
                evidence=[proof, evidence.at("patient/sex", patient.sex)],
                reads=[item.ref, record.chart.stay_ref("patient.sex")],
            )


def _found(item: ChartDocument, words: re.Pattern[str], limits: Organs) -> Iterator[tuple[str, Evidence]]:
    family = {(part.section, at) for part in passages.find(item, ("family",)) for at in range(part.begin, part.end)}
    for index, section in enumerate(item.sections):
        if not words.search(section.text):
            continue
        for sentence in _SENTENCE.finditer(section.text):
            text = sentence[0]
            if any(word in text for word in limits.others):
                continue
            for match in words.finditer(text):
                at = sentence.start() + match.start()
                if (index, at) in family or any(text.startswith(word, match.start()) for word in limits.without):
                    continue
                if not _DENIED.search(text[: match.start()]) and not _NOT_HIS.search(text[match.end() :]):
                    yield match[0], evidence.span(item, index, sentence.start(), sentence.end())
