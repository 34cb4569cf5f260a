"""What was advised or prescribed in one place, and must be found in another: consultations (R35), discharge (R44)."""

import re
from datetime import timedelta

from hisbus_qc import evidence
from hisbus_qc.clock import shown
from hisbus_qc.facts import Search, find, mention, sentence
from hisbus_qc.record import Record, written
from hisbus_qc.rule import DocumentTypes, Limits, Regex, Rule, Said, takes
from hisbus_schemas import ChartDocument, Evidence, Wake

_DOSE = re.compile(r"[\s\d(（:：].*$", re.DOTALL)
"""From the first dose, number or bracket on, it is no longer the medicine's name."""


_SENTENCE = re.compile(r"[^。；;\n]+")
_ONLY_IF = re.compile(r"如|若|必要时|酌情|视.{0,8}情况|可考虑")
"""What is advised for a case that may not come."""


class Advice(Limits):
    """Where a consultation advises, what of, and where that must be found."""

    documents: DocumentTypes
    heading: Regex
    """A regular expression; what stands after it is the advice."""
    terms: tuple[str, ...]
    """What advice is about. Advice without any of them is not judged."""
    notes: DocumentTypes
    orders: Search
    limit_hours: float


class Medicines(Limits):
    """Where a discharge record lists medicines, and which orders are for the time after discharge."""

    documents: DocumentTypes
    heading: Regex
    orders: Search
    prefix: Regex
    """A regular expression of what stands before a medicine's name in an order."""
    none: tuple[str, ...]
    """Words of a list that holds none."""
    medicine: Regex = ""
    """How a medicine is known among other advice in such a list: it has a dose or a form. Empty: each is one."""
    salts: Regex = ""
    """What stands before a medicine's name in one place and not in another: ``盐酸``."""
    forms: Regex = ""
    """What stands behind it: ``缓释片``."""

    def named(self, text: str) -> str:
        """Return a medicine's name without its dose, its salt and its form."""
        name = _DOSE.sub("", text.strip())
        for pattern in (self.forms, self.salts):
            name = re.sub(pattern, "", name) or name if pattern else name
        return name


@takes(Advice)
def advice(rule: Rule, record: Record, limits: Advice) -> Said:
    """R35: each thing that a consultation advised is ordered or spoken of within the limit."""
    for item in record.signed(limits.documents):
        at = written(item)
        limit = at + timedelta(hours=limits.limit_hours)
        said = [span for term in limits.terms if (span := _advised(item, limits.heading, term))]
        open_ = [span for span in said if not _taken_up(record, limits, item, span[0])]
        if not open_ or (record.ended and record.ended < limit):
            continue
        if record.now <= limit:
            yield Wake(name=rule.key(item.id), due=limit + timedelta(seconds=1))
            continue
        for term, proof in open_:
            yield rule.finding(
                rule.say("found", term=term, limit=shown(record.chart, limit)),
                title=rule.titled("found", term=term),
                subject=f"{item.id}:{term}",
                state="absent",
                evidence=[proof],
                reads=[item.ref],
                due=limit,
            )


def _advised(item: ChartDocument, heading: str, term: str) -> tuple[str, Evidence] | None:
    """Return a term with the words that advise it."""
    for section in item.sections:
        match = re.search(heading, section.text) or re.search(heading, section.title or section.name)
        if match is None:
            continue
        begin = match.end() if match.string == section.text else 0
        for said in _SENTENCE.finditer(section.text, begin):
            at = said[0].find(term)
            if at >= 0 and not _ONLY_IF.search(said[0], 0, at):
                proof = mention(item, (term,))
                return (term, proof) if proof else None
    return None


def _taken_up(record: Record, limits: Advice, item: ChartDocument, term: str) -> bool:
    at = written(item)
    limit = at + timedelta(hours=limits.limit_hours)
    if any(term in fact.name and fact.at and at <= fact.at <= limit for fact in find(record, limits.orders)):
        return True
    notes = (note for note in record.signed(limits.notes) if at <= written(note) <= limit)
    return any(sentence(note, (term,), negated=True) for note in notes)


@takes(Medicines)
def medicines(rule: Rule, record: Record, limits: Medicines) -> Said:
    """R44: the medicines of the discharge record are those ordered. Without such orders only nothing can be told."""
    orders = [(fact, limits.named(re.sub(limits.prefix, "", fact.name))) for fact in find(record, limits.orders)]
    orders = [(fact, name) for fact, name in orders if name]
    records = record.signed(limits.documents)
    if not orders or not records:
        return
    item = records[-1]
    listed = _listed(item, limits)
    texts = [name for name, _ in listed] or [section.text for section in item.sections]
    for fact, name in orders:
        if not any(name in text or text in name for text in texts):
            yield rule.finding(
                rule.say("unlisted", name=name),
                title=rule.titled("unlisted", name=name),
                subject=f"unlisted:{fact.id}",
                evidence=[*fact.proof, *evidence.shown(item)],
                reads=[fact.ref, item.ref],
            )
    for name, proof in listed:
        if not any(name in ordered or ordered in name for _, ordered in orders):
            yield rule.finding(
                rule.say("unordered", name=name),
                title=rule.titled("unordered", name=name),
                subject=f"unordered:{item.id}:{name}",
                evidence=[proof],
                reads=[item.ref, *(fact.ref for fact, _ in orders)],
            )


def _listed(item: ChartDocument, limits: Medicines) -> list[tuple[str, Evidence]]:
    """Return the medicines that a discharge record lists, each with its words."""
    found = []
    for index, section in enumerate(item.sections):
        match = re.search(limits.heading, section.text)
        if not match:
            continue
        for part in re.finditer(r"[^、，,；;。\n]+", section.text[match.end() :].split("。")[0]):
            name = limits.named(re.sub(r"^\s*\d+[.．、]\s*", "", part[0]))
            wanted = not limits.medicine or re.search(limits.medicine, part[0])
            if wanted and len(name) > 1 and not any(word in part[0] for word in limits.none):
                begin = match.end() + part.start()
                found.append((name, evidence.span(item, index, begin, begin + len(part[0]))))
    return found
