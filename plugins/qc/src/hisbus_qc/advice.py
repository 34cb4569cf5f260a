"""R35: what a consultation advised must be found in a later order or note.

A consultation says in one breath what it found and what it advises. Only advice is held against the record: words
behind a verb that asks for something, or under a heading that can stand for nothing else; never what was looked at,
what is not needed, or what is for a case that may not come.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta

from hisbus_qc import evidence
from hisbus_qc.clock import shown
from hisbus_qc.facts import Search, find, sentence
from hisbus_qc.record import Record, written
from hisbus_qc.rule import DocumentTypes, Limits, Regex, Rule, Said, takes
from hisbus_schemas import ChartDocument, Evidence, Wake

_CLAUSE = re.compile(r"(?:(?!(?<![\d.．])\d{1,2}[.．、)）](?!\d))[^。；;\n①-⑳]){1,300}")
"""What stands between two stops or numbers of a list; of a text without either no more than one reads at once."""
_NUMBER = re.compile(r"^[\s.．、)）\d]*")
_ASKS = re.compile(
    r"建议|完善|复?查|检[查测]|[予给]|加用|改[用为]|使用|应用|启动|尽[快早]|安排|监测|需|应|宜|请|[可拟]?[行送做]|补充|排除"
)
"""Verbs that ask for something."""
_CONDITION = re.compile(r"如|若|倘|必要时|视(?:病情|情况|结果|需要|具体)|酌情|可考虑|一旦|不除外时|再[行议定]")
"""By which advice is for a case that may not come."""
_LOOKED_AT = re.compile(
    r"(?:复习|[查翻]?阅|查看|结合|根据|依据|[已曾]|现[有服用行]|既往|外院|前次|回[报示]|目前|耐受)(?:(?!建议|需|请)[^，,])*$"
)
_NOT = re.compile(r"(?:(?:无|不|未|暂缓|避免|禁)[^，,、]{0,6}|停用?|可行|或[^，,、]{0,4})$")
"""What is not needed, what may be done, and one of two things."""
_FOUND = re.compile(r"示|显示|提示|回报|[未所可]见|未[回出归]")
"""What a result says, however it was asked for."""
_NUMBER_OF_A_RESULT = r"\d(?![\d.]*\s*(?:[\d.]|天|日|周|月|小?时|h|次|项|U|单位|片|支|m?[gl](?!/)))"
"""A number that is no dose and no time."""
_RESULT = re.compile(
    r"正常|异常|阴性|阳性|改变|陈旧|窦性|考虑|符合|致|升高|降低|不高|不低|禁忌|耐受|风险|指征|EF|\d\s*%|"
    + _NUMBER_OF_A_RESULT
)
"""What a result says, where nothing asks for it."""
_PLACE = re.compile(r"[头颅颈胸腰腹盆髋膝肺肝肾心脑肢双左右上下全部脏腔动静脉血管痰床旁边急诊小时\d]{0,8}")
"""What may stand before a word that begins an item of a list."""
_LISTED = re.compile(r"[、及和+＋]")
_OTHER = re.compile(
    r"^(?:[:：]|[^，,、]{0,3}或|科|期|史|风险|禁忌|指征|适应|耐受|方式|切口|部位|医师|[前后中](?!再|复|体))"
)
"""Behind a word: another thing than what it names."""


class Advice(Limits):
    """Where a consultation advises, what of, and where that must be found."""

    documents: DocumentTypes
    heading: Regex
    """A regular expression; what stands after it is the advice."""
    mixed: Regex
    """Of a heading under which findings stand as well: advice there asks for something, or begins with its word."""
    terms: tuple[str, ...]
    """What advice is about. Advice without any of them is not judged."""
    also: Mapping[str, tuple[str, ...]] = {}
    """By what else than its own word an order or note may follow such advice."""
    notes: DocumentTypes
    orders: Search
    limit_hours: float
    before_hours: float = 0
    """Orders of so long before the consultation was written down follow it as well: it was spoken first."""


@takes(Advice)
def advice(rule: Rule, record: Record, limits: Advice) -> Said:
    """Judge each consultation: each thing that it advised is ordered or spoken of within the limit."""
    for item in record.signed(limits.documents):
        at = written(item)
        limit = at + timedelta(hours=limits.limit_hours)
        open_ = [one for one in _advised(item, limits) if not _taken_up(record, limits, item, one[0])]
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


def _advised(item: ChartDocument, limits: Advice) -> list[tuple[str, Evidence]]:
    """Return each term that is advised, once, with the words that advise it."""
    found: dict[str, Evidence] = {}
    for index, section in enumerate(item.sections):
        match = re.search(limits.heading, section.text)
        name = re.search(limits.heading, section.title or section.name)
        if match is None and name is None:
            continue
        heading = match[0] if match else name[0] if name else ""
        mixed = bool(re.fullmatch(limits.mixed, heading))
        for clause in _CLAUSE.finditer(section.text, match.end() if match else 0):
            for term in _asked_for(clause[0], limits.terms, mixed=mixed):
                found.setdefault(term, evidence.span(item, index, clause.start(), clause.end()))
    return [(term, found[term]) for term in limits.terms if term in found]


def _asked_for(clause: str, terms: tuple[str, ...], *, mixed: bool) -> Iterator[str]:
    """Yield the terms that a clause asks for; of words that hold each other the longest."""
    for term in terms:
        for match in re.finditer(re.escape(term), clause):
            longer = (other for other in terms if term in other and other != term)
            if any(_covers(clause, other, match.start()) for other in longer):
                continue
            if _is_advice(clause, match.start(), match.end(), mixed=mixed):
                yield term
                break


def _covers(clause: str, longer: str, at: int) -> bool:
    return any(one.start() <= at < one.end() for one in re.finditer(re.escape(longer), clause))


def _is_advice(clause: str, begin: int, end: int, *, mixed: bool) -> bool:
    """Tell whether the words at a place of a clause are asked for."""
    opens = max(clause.rfind(mark, 0, begin) for mark in "，,") + 1
    closes = min((at for mark in "，," if (at := clause.find(mark, end)) >= 0), default=len(clause))
    before, after = _NUMBER.sub("", clause[opens:begin]), clause[end:closes]
    asked = _ASKS.search(clause, 0, begin) is not None
    if _CONDITION.search(clause, 0, begin) or _CONDITION.search(after):
        return False
    if _LOOKED_AT.search(before) or _NOT.search(before) or _OTHER.search(after) or _FOUND.search(after):
        return False
    if not _ASKS.search(before) and _RESULT.search(after):
        return False
    return asked or not mixed or (opens == 0 and _PLACE.fullmatch(_LISTED.split(before)[-1]) is not None)


def _taken_up(record: Record, limits: Advice, item: ChartDocument, term: str) -> bool:
    """Tell whether an order or a note follows what was advised, by its word or another for the same."""
    at = written(item)
    limit, words = at + timedelta(hours=limits.limit_hours), (term, *limits.also.get(term, ()))
    since = at - timedelta(hours=limits.before_hours)
    orders = (fact for fact in find(record, limits.orders) if fact.at and since <= fact.at <= limit)
    if any(word in fact.name for fact in orders for word in words):
        return True
    notes = (note for note in record.signed(limits.notes) if at <= written(note) <= limit)
    return any(sentence(note, words, negated=True) for note in notes)
