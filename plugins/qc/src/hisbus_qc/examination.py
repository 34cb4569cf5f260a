"""Findings of an examination against diagnoses: pulse and heart rate (R26), laboratory values (R30)."""

import re
from collections.abc import Iterator

from hisbus_qc import evidence
from hisbus_qc.facts import Fact, Search, find, mention, sentence
from hisbus_qc.pages import diagnoses
from hisbus_qc.record import Record, named, written
from hisbus_qc.rule import DocumentTypes, GroupRegex, Limits, Rule, Said, takes
from hisbus_schemas import Correction, Evidence, Text


class Pulse(Limits):
    """How a record states pulse, heart rate and atrial fibrillation."""

    documents: DocumentTypes
    pulse: GroupRegex
    heart: GroupRegex
    """Regular expressions whose first group is the number."""
    fibrillation: tuple[str, ...]
    fibrillation_codes: tuple[str, ...]


class Implied(Limits):
    """A laboratory value that, once it was treated, asks for a diagnosis."""

    label: Text
    results: Search
    treated: Search | None = None
    noted: tuple[str, ...] = ()
    """Words of a note after the value that says it was treated."""
    diagnoses: tuple[str, ...]
    words: tuple[str, ...]
    """Words of a diagnosis at discharge."""
    named: tuple[str, ...] = ()
    """Words by which a note names the diagnosis: the physician made it, and nobody asks for it."""


class Laboratory(Limits):
    """Which values imply which diagnoses."""

    pages: DocumentTypes
    documents: DocumentTypes
    """Whose text may hold the diagnosis as well."""
    notes: DocumentTypes = ()
    """Notes, which are read for the diagnosis and for the treatment before anything is asked."""
    implied: dict[str, Implied]

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield results, and what holds the diagnoses; the treatment is read of orders or of notes."""
        yield ("result:*",)
        yield tuple(f"document:{type}" for type in (*self.pages, *self.documents))
        yield tuple(f"document:{type}" for type in self.notes)
        yield ("order:*",)


@takes(Pulse)
def pulse(rule: Rule, record: Record, limits: Pulse) -> Said:
    """R26: a pulse deficit goes with atrial fibrillation, and with nothing else."""
    for item in record.signed(limits.documents):
        found = {}
        for name, pattern in (("pulse", limits.pulse), ("heart", limits.heart)):
            for index, section in enumerate(item.sections):
                if (match := re.search(pattern, section.text)) and match[1].isdecimal():
                    found[name] = (int(match[1]), evidence.span(item, index, match.start(), match.end()))
                    break
        if len(found) < 2:
            continue
        (beats, first), (heart, second) = found["pulse"], found["heart"]
        coded = [entry for entry in record.chart.diagnoses if named(entry.code.code, limits.fibrillation_codes)]
        told = mention(item, limits.fibrillation)
        fibrillation = bool(coded or told)
        if fibrillation == (beats == heart):
            proof = [first, second]
            if fibrillation:
                proof += [told] if told else [evidence.at(f"diagnoses/{coded[0].id}/code", coded[0].title)]
            yield rule.finding(
                rule.say("same" if fibrillation else "differ", heart=str(heart), pulse=str(beats)),
                title=rule.titled("same" if fibrillation else "differ"),
                subject=item.id,
                evidence=proof,
                reads=[item.ref, *(entry.ref for entry in coded[:1])],
            )


@takes(Laboratory)
def laboratory(rule: Rule, record: Record, limits: Laboratory) -> Said:
    """R30: an abnormal value that was treated stands in the list of diagnoses. Judged after discharge."""
    if record.ended is None or not record.chart.results:
        return
    there = diagnoses(record, limits.pages)
    documents = record.signed(limits.documents)
    if not there and not documents:
        return
    for name, implied in limits.implied.items():
        facts = find(record, implied.results)
        proof = _treated(record, implied, facts[0], limits.notes) if facts else None
        if proof is None:
            continue
        known = any(
            named(item.code, implied.diagnoses) or any(word in item.name for word in implied.words) for item in there
        )
        if known or any(sentence(item, implied.words) for item in documents):
            continue
        if any(sentence(item, implied.named) for item in record.documents(limits.notes)):
            continue
        treatment, ref = proof
        yield rule.finding(
            rule.say("found", what=implied.label, value=facts[0].value),
            title=rule.titled("found", what=implied.label),
            subject=name,
            evidence=[*facts[0].proof, *treatment, evidence.at("discharged", record.chart.stay("discharged"))],
            reads=[facts[0].ref, *ref, record.chart.stay_ref("discharged")],
            expected=Correction(text=implied.label, evidence=facts[0].proof),
        )


def _treated(
    record: Record, implied: Implied, value: Fact, notes: tuple[str, ...]
) -> tuple[list[Evidence], list[str]] | None:
    """Return what shows that a value was treated, by an order or a note after it; None where nothing does."""
    if implied.treated is None:
        return [], []
    for fact in find(record, implied.treated):
        if value.at is None or fact.at is None or fact.at >= value.at:
            return fact.proof, [fact.ref]
    for item in record.documents(notes) if implied.noted else ():
        told = mention(item, implied.noted) if value.at is None or written(item) >= value.at else None
        if told:
            return [told], [item.ref]
    return None
