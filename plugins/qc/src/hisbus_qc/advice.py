"""What was advised or prescribed in one place, and must be found in another: consultations (R35), discharge (R44)."""

import re
from datetime import timedelta

from hisbus_qc import evidence
from hisbus_qc.clock import shown
from hisbus_qc.facts import Fact, Search, find, sentence
from hisbus_qc.record import Record, written
from hisbus_qc.rule import DocumentTypes, Limits, Regex, Rule, Said, takes
from hisbus_schemas import ChartDocument, Correction, Evidence, Text, Wake

_DRUG = re.compile(
    r"\d\s*(?:mg|g|ug|μg|ml|IU|U|片|粒|支|袋|丸|万)"
    r"|片|胶囊|颗粒|注射液|注射用|口服液|混悬液|软膏|滴眼液|气雾剂|吸入剂|丸|缓释|肠溶"
)
"""By which a part of a list is a medicine, and no advice."""
_CLAUSE = re.compile(r"[^。；;\n]+")
_CONDITION = re.compile(r"(?:^|[，,、\s])(?:如|若|倘|必要时|视|酌情|可考虑|一旦)")
"""By which advice is for a case that may not come."""
_SALTS = re.compile(r"^(?:注射用)?(?:盐酸|硫酸|马来酸|富马酸|枸橼酸|酒石酸|磷酸|苯磺酸|琥珀酸|甲磺酸)?")
_FORMS = re.compile(r"(?:缓释|控释|肠溶|分散|咀嚼)?(?:片|胶囊|颗粒|注射液|口服液|混悬液|丸|散)?$")
_DOSE = re.compile(r"[\s\d(（:：].*$", re.DOTALL)
"""From the first dose, number or bracket on, it is no longer the medicine's name."""


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
    """Return a term with the words that advise it; what is advised on a condition is not judged."""
    for index, section in enumerate(item.sections):
        match = re.search(heading, section.text)
        whole = re.search(heading, section.title or section.name)
        if match is None and whole is None:
            continue
        for clause in _CLAUSE.finditer(section.text, match.end() if match else 0):
            if term in clause[0] and not _CONDITION.search(clause[0]):
                return term, evidence.span(item, index, clause.start(), clause.end())
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
    orders = [(fact, _medicine(re.sub(limits.prefix, "", fact.name))) for fact in find(record, limits.orders)]
    orders = [(fact, name) for fact, name in orders if name]
    records = record.signed(limits.documents)
    if not orders or not records:
        return
    item = records[-1]
    prescribed = _prescribed(item, limits.heading)
    for fact, name in orders:
        if not any(_core(name) in text for text in prescribed):
            yield rule.finding(
                rule.say("unlisted", name=name),
                title=rule.titled("unlisted", name=name),
                subject=f"unlisted:{fact.id}",
                evidence=[*fact.proof, *evidence.shown(item)],
                reads=[fact.ref, item.ref],
                expected=_ordered(re.sub(limits.prefix, "", fact.name), fact),
            )
    for name, proof in _listed(item, limits):
        if not any(_core(name) in ordered or _core(ordered) in name for _, ordered in orders):
            yield rule.finding(
                rule.say("unordered", name=name),
                title=rule.titled("unordered", name=name),
                subject=f"unordered:{item.id}:{name}",
                evidence=[proof],
                reads=[item.ref, *(fact.ref for fact, _ in orders)],
            )


def _prescribed(item: ChartDocument, heading: str) -> list[str]:
    """Return what stands behind the heading of the medicines; without one, the whole text."""
    found = [section.text[match.end() :] for section in item.sections if (match := re.search(heading, section.text))]
    return found or [section.text for section in item.sections]


def _ordered(text: str, fact: Fact) -> Correction:
    """Return what the record would say: the medicine as it was ordered."""
    return Correction(text=Text(zh=text, en=text), evidence=fact.proof)


def _listed(item: ChartDocument, limits: Medicines) -> list[tuple[str, Evidence]]:
    """Return the medicines that a discharge record lists, each with its words."""
    found = []
    for index, section in enumerate(item.sections):
        match = re.search(limits.heading, section.text)
        if not match:
            continue
        for part in re.finditer(r"[^、，,；;。\n]+", section.text[match.end() :].split("。")[0]):
            name = _medicine(re.sub(r"^\s*\d+[.．、]\s*", "", part[0]))
            if len(name) > 1 and _DRUG.search(part[0]) and not any(word in part[0] for word in limits.none):
                begin = match.end() + part.start()
                found.append((name, evidence.span(item, index, begin, begin + len(part[0]))))
    return found


def _core(name: str) -> str:
    """Return a medicine's name without salt and form, by which a record may call it."""
    bare = _FORMS.sub("", _SALTS.sub("", name))
    return bare if len(bare) > 1 else name


def _medicine(text: str) -> str:
    """Return a medicine's name without its dose."""
    return _DOSE.sub("", text.strip())
