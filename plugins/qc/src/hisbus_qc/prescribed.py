"""R44: the medicines of a discharge record and those that were ordered for the time after discharge."""

import re

from hisbus_qc import evidence
from hisbus_qc.facts import Fact, Search, find
from hisbus_qc.medicines import core, undosed
from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, Limits, Regex, Rule, Said, takes
from hisbus_schemas import ChartDocument, Correction, Evidence, Text

_DRUG = re.compile(
    r"\d\s*(?:mg|g|ug|μg|ml|IU|U|片|粒|支|袋|丸|万)"
    r"|片|胶囊|颗粒|注射液|注射用|口服液|混悬液|软膏|滴眼液|气雾剂|吸入剂|丸|缓释|肠溶"
)
"""By which a part of a list is a medicine, and no advice."""


class Medicines(Limits):
    """Where a discharge record lists medicines, and which orders are for the time after discharge."""

    documents: DocumentTypes
    heading: Regex
    orders: Search
    prefix: Regex
    """A regular expression of what stands before a medicine's name in an order."""
    none: tuple[str, ...]
    """Words of a list that holds none."""


@takes(Medicines)
def medicines(rule: Rule, record: Record, limits: Medicines) -> Said:
    """R44: the medicines of the discharge record are those ordered. Without such orders only nothing can be told."""
    orders = [(fact, undosed(re.sub(limits.prefix, "", fact.name))) for fact in find(record, limits.orders)]
    orders = [(fact, name) for fact, name in orders if name]
    records = record.signed(limits.documents)
    if not orders or not records:
        return
    item = records[-1]
    prescribed = _prescribed(item, limits.heading)
    for fact, name in orders:
        if not any(core(name) in text for text in prescribed):
            yield rule.finding(
                rule.say("unlisted", name=name),
                title=rule.titled("unlisted", name=name),
                subject=f"unlisted:{fact.id}",
                evidence=[*fact.proof, *evidence.shown(item)],
                reads=[fact.ref, item.ref],
                expected=_ordered(re.sub(limits.prefix, "", fact.name), fact),
            )
    for name, proof in _listed(item, limits):
        if not any(core(name) in ordered or core(ordered) in name for _, ordered in orders):
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
            name = undosed(re.sub(r"^\s*\d+[.．、]\s*", "", part[0]))
            if len(name) > 1 and _DRUG.search(part[0]) and not any(word in part[0] for word in limits.none):
                begin = match.end() + part.start()
                found.append((name, evidence.span(item, index, begin, begin + len(part[0]))))
    return found
