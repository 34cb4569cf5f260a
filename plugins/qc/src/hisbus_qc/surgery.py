"""Operations: who signed the record, and what was left in the patient."""

from collections.abc import Iterator

from hisbus_qc import evidence
from hisbus_qc.facts import Search, find, mention, sentence
from hisbus_qc.moments import starts
from hisbus_qc.record import Record, written
from hisbus_qc.rule import DocumentTypes, Limits, Rule, Said, takes


class SurgeonSigns(Limits):
    """Which documents the surgeon signs, and how his signature reads where another wrote them."""

    documents: DocumentTypes
    signatures: tuple[str, ...]
    """Texts with ``{surgeon}`` in them."""
    field: str
    """A field of the document that names who signed."""


class Tubes(Limits):
    """The tubes and drains that are looked for, and how their removal reads."""

    documents: DocumentTypes
    """Where they are placed."""
    tubes: dict[str, tuple[str, ...]]
    """The words for each."""
    removed: tuple[str, ...]
    notes: DocumentTypes
    orders: Search
    kept: tuple[str, ...]
    """Words of a patient who leaves with a tube."""

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield where tubes are placed, and where their removal stands."""
        yield tuple(f"document:{type}" for type in self.documents)
        yield tuple(f"document:{type}" for type in self.notes)
        yield from self.orders.needed()


@takes(SurgeonSigns)
def surgeon_signs(rule: Rule, record: Record, limits: SurgeonSigns) -> Said:
    """R39: a record by the assistant has the surgeon's signature. Without author or surgeon it is not judged."""
    for start in starts(record, "operation_end"):
        surgeon = start.surgeon
        if surgeon is None or not (surgeon.id or surgeon.name):
            continue
        names = {surgeon.id, surgeon.name} - {""}
        for item in record.signed(limits.documents):
            author = {item.author.id, item.author.name} - {""} if item.author else set()
            if not start.owns(written(item)) or not author or author & names:
                continue
            signed = item.fields.get(limits.field, "")
            words = tuple(text.format(surgeon=name) for text in limits.signatures for name in names)
            if any(name in signed for name in names) or sentence(item, words, negated=True):
                continue
            yield rule.finding(
                rule.say("found", **start.words(rule)),
                title=rule.titled("found", **start.words(rule)),
                subject=item.id,
                evidence=[
                    evidence.at(f"procedures/{start.subject}/surgeon", surgeon.name or surgeon.id),
                    *evidence.signature(item),
                ],
                reads=[item.ref, *start.reads(record.chart)],
            )


@takes(Tubes)
def tubes(rule: Rule, record: Record, limits: Tubes) -> Said:
    """R42: what was placed is removed before discharge, unless the patient left with it."""
    if record.ended is None or record.chart.died:
        return
    notes = record.documents(limits.notes)
    if any(sentence(item, limits.kept) for item in notes):
        return
    orders = find(record, limits.orders)
    for name, words in limits.tubes.items():
        placed = next(((item, at) for item in record.documents(limits.documents) if (at := mention(item, words))), None)
        if placed is None:
            continue
        document, proof = placed
        if any(any(word in fact.name for word in words) for fact in orders):
            continue
        phrases = tuple(f"{verb}{word}" for verb in limits.removed for word in words)
        phrases += tuple(f"{word}{verb}" for verb in limits.removed for word in words)
        phrases += tuple(f"{word}已{verb}" for verb in limits.removed for word in words)
        if any(sentence(item, phrases) for item in notes):
            continue
        yield rule.finding(
            rule.say("found", tube=rule.texts[name]),
            title=rule.titled("found", tube=rule.texts[name]),
            subject=name,
            state="absent",
            evidence=[proof],
            reads=[document.ref, record.chart.stay_ref("discharged")],
        )
