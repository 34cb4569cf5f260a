"""What a text must speak of: the next note of an order, a document of what it is for."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cached_property

from hisbus_qc import evidence
from hisbus_qc.clock import shown
from hisbus_qc.facts import Search, find, sentence
from hisbus_qc.frontpage import years
from hisbus_qc.medicines import core, undosed
from hisbus_qc.record import Record, written
from hisbus_qc.rule import DocumentTypes, Limits, Rule, Said, listed, takes
from hisbus_schemas import ChartDocument

_HEADS = frozenset(
    {"CC", "HPI", "PMH", "PE", "DX", "10154-3", "10164-2", "11348-0", "29545-1", "主诉", "现病史", "既往史"}
)
"""Names of sections by which an admission record is known to come in sections."""
_WORD = 4
"""First characters of a medicine's or service's name by which a note may call it."""
_LEAST = 2
"""Characters without which they are no name."""


class NextNote(Limits):
    """Orders, and the words by which the next note may speak of them."""

    facts: Search
    documents: DocumentTypes
    words: tuple[str, ...]
    """Any of which will do, beside the name itself."""
    within_hours: float = 24
    """Notes of so long after the order may speak of it as well as the next one."""


class Contains(Limits):
    """What a document must say: of each of these at least one word."""

    documents: DocumentTypes
    all: Mapping[str, tuple[str, ...]]
    """By the name of the text that says what is missing."""
    sections: Mapping[str, tuple[str, ...]] = {}
    """Names of sections that stand for the words, unless they are empty."""
    only_with: tuple[str, ...] = ()
    """Words of which a document must hold one to be judged: one without any is not the whole of its kind."""
    from_years: Mapping[str, int] = {}
    """From which age on something is asked for, where it is not of everybody."""
    sex: str = ""
    """Only of patients of this sex."""
    least_years: int = 0
    most_years: int = 200
    when: Search | None = None
    """Only where there is one of these."""
    wards: tuple[str, ...] = ()
    """Or where the department's or ward's name holds one of these."""

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield the documents: what ``when`` looks for only says of whom more is asked."""
        yield tuple(f"document:{type}" for type in self.documents)

    def partly(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the sections: one that this site never sends is not missing where documents come in sections."""
        for name, sections in self.sections.items():
            if sections:
                yield name, (*(f"section:{section}" for section in sections), "section:*")

    @cached_property
    def known(self) -> frozenset[str]:
        """The names of all sections that are asked for, or by which a document is known to come in sections."""
        return frozenset((*self.only_with, *_HEADS, *(name for names in self.sections.values() for name in names)))


@takes(NextNote)
def next_note(rule: Rule, record: Record, limits: NextNote) -> Said:
    """Judge the notes of a day after each order, at least the next one; without one nothing is judged yet."""
    notes = record.signed(limits.documents)
    if not notes:
        return
    for fact in find(record, limits.facts):
        later = [note for note in notes if fact.at and written(note) >= fact.at]
        if fact.at is None or not later:
            continue
        after, words = later[0], (*_called(fact.name), *limits.words)
        until = fact.at + timedelta(hours=limits.within_hours)
        if any(sentence(note, words, negated=True) for note in later if note is after or written(note) <= until):
            continue
        said = {"time": shown(record.chart, fact.at), "name": fact.name, "note": shown(record.chart, written(after))}
        yield rule.finding(
            rule.say("found", **said),
            title=rule.titled("found", **said),
            subject=fact.id,
            evidence=[*fact.proof, *evidence.shown(after)],
            reads=[fact.ref, after.ref],
        )


def _called(order: str) -> list[str]:
    """Return how a note may call what was ordered: how each medicine's name begins, without salt and dose."""
    names = [core(undosed(part) or part)[:_WORD] for part in re.split(r"[+＋]", order)]
    return [name for name in (order[:_WORD], *names) if len(name) >= _LEAST]


@takes(Contains, needs=("document",))
def contains(rule: Rule, record: Record, limits: Contains) -> Said:
    """Judge each signed document: one finding names all that it does not say."""
    documents = record.signed(limits.documents)
    if not documents or not _concerns(record, limits):
        return
    for item in documents:
        if not item.text.strip() or (limits.only_with and not _says(item, limits.only_with, limits.only_with)):
            continue
        missing = [
            name
            for name, words in limits.all.items()
            if not _says(item, words, limits.sections.get(name, ()))
            and _is_as_old(record, limits, name)
            and _may_come(record, item, limits, name)
        ]
        if missing:
            said = {"document": rule.texts["document"], "what": listed(rule.texts[name] for name in missing)}
            yield rule.finding(
                rule.say("found", **said),
                title=rule.titled("found", **said),
                subject=item.id,
                evidence=evidence.shown(item),
                reads=[item.ref],
                missing=missing,
            )


def _concerns(record: Record, limits: Contains) -> bool:
    patient = record.chart.patient
    if limits.sex and (patient is None or patient.sex != limits.sex):
        return False
    if patient and patient.birth_date and record.day_admitted:
        if not limits.least_years <= years(patient.birth_date, record.day_admitted) <= limits.most_years:
            return False
    elif limits.least_years or limits.most_years < 200:
        return False
    if not limits.when and not limits.wards:
        return True
    here = f"{record.chart.department} {record.chart.location.ward}"
    return any(ward in here for ward in limits.wards) or bool(limits.when and find(record, limits.when))


def _may_come(record: Record, item: ChartDocument, limits: Contains, name: str) -> bool:
    """Tell whether the feeds could bring something: in a text anything can stand, in sections what they send."""
    sections = limits.sections.get(name, ())
    if not sections or not any({section.name, section.title} & limits.known for section in item.sections):
        return True
    return any(record.brings(f"section:{section}") for section in sections)


def _is_as_old(record: Record, limits: Contains, name: str) -> bool:
    """Tell whether something is asked of a patient of this age; of one whose age nobody knows only what is of all."""
    least, patient, day = limits.from_years.get(name), record.chart.patient, record.day_admitted
    if least is None:
        return True
    return bool(patient and patient.birth_date and day and years(patient.birth_date, day) >= least)


def _says(item: ChartDocument, words: tuple[str, ...], sections: tuple[str, ...]) -> bool:
    named = any({section.name, section.title} & {*sections} and section.text.strip() for section in item.sections)
    return named or any(word in section.text for word in words for section in item.sections)
