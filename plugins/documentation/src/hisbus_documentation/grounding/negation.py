"""Negation: what a source denies may not be affirmed, and what it affirms may not be denied."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hisbus_documentation.grounding.facts import Facts
from hisbus_documentation.grounding.words import stem
from hisbus_documentation.plain import CJK

_NOT_NEGATED = re.compile(
    r"无力|无创|无菌|无名|无线|无痛性|非甾体|非重症|未来|未婚|未特指|不除外|不排除|不能排除|未排除|无明显诱因|无诱因|无关"
    r"|not only|no change|not certain|cannot (?:be )?(?:rule|exclude)|can't (?:rule|exclude)|not ruled out|no doubt"
    r"|no longer than|no\. ?\d"
)
_CUE = re.compile(
    r"否认|没有|未(?:见|闻及|闻|触及|及|诉|出现|发生|发现|查见|探及|引出|行|予)?|无|不伴|不支持|不考虑|排除"
    r"|\b(?:no|not|denie[sd]|deny(?:ing)?|without|negative for|never|none|absence of|free of|ruled? out|rules out"
    r"|lacks?|isn't|wasn't|doesn't|didn't|don't|hasn't|haven't)\b"
)
_SCOPE_END = re.compile(r"[,;。.!?:\n()]|但|而|伴有|并有")
_ENGLISH_END = re.compile(
    r"[;。.!?:\n()]|\b(?:but|however|except|although|though|reports?|complains?|has|have|had|is|was|were|presents?"
    r"|which|then|she|he|patient|continues?|with)\b"
)
_AFTER = re.compile(
    rf"(?P<term>[{CJK}a-z0-9 -]{{2,40}}?) ?"
    r"(?:阴性|\(-\)|未引出|(?:is|was|were|are)? ?(?:\bnegative\b(?! for)|\babsent\b|\bruled out\b))"
)
_NO = re.compile(
    r"[?？]\s*(?:[\[【(]?(?:patient|pt|患者|病人|家属)\d*[\]】)]? ?[:：]? ?)?"
    r"(?:(?:no|nope|nah|none|not (?:really|at all|that i know of))\b|没有|没|无|不(?=[,，。.、!]|$))"
)
"""The end of a question, and the answer no."""
_BEFORE = re.compile(r"[?？.!。！\n]")
_OPEN = re.compile(r"\b(?:what|how|where|when|which|who|why)\b|什么|哪|怎|多少|几")
"""A question to which no is no answer."""
_LEAD = re.compile(
    r"^.*?(?:\bany\b|\b(?:do|does|did|have|has|had|are|is|was|were)(?:n't)? (?:you|he|she|it|there|your)\b"
    r"|有没有|是否有?|有无)"
    r"|^(?:\[?(?:doctor|dr|医生|医师|大夫)\]?[:：]? ?)|[吗呢么]$"
)
"""What stands in a question before what it is about."""
_LATIN = re.compile(r"[a-z][a-z'-]*")
_POINTING = frozenset("my your his her their the a an this that any in on of at to".split())
_SPACE = re.compile(r"[^\S\n]+")
_SPLIT = re.compile(r"[、,/]|[及和或与]|以及|\b(?:or|and|nor)\b")
_LEADING = re.compile(
    r"^(?:(?:明显|任何|其他|其它|显著|新发|见|及|有|曾|行)+|(?:(?:any|a|an|the|history of"
    r"|(?:obvious )?(?:evidence|signs?|symptoms?)(?: of| like)?|significant|recent|known|having|had|other|acute|been"
    r"|have|further|more|of|to|for|see|seen|show|shown|reveal|notice|noticed|appreciate|experience|experiencing|feel"
    r"|feeling|get|getting|taking|take|ever|still|really|currently) )+)"
)
_TRAILING = re.compile(r"(?:病史|史|等|者|症状|表现|征象|影|情况| at this time| today| currently| history)+$")


@dataclass(frozen=True, slots=True)
class Polarity:
    """What a plain text denies, and the text without that."""

    denied: frozenset[str]
    rest: str


def polarity(text: str) -> Polarity:
    """Return what a plain text denies: after 否认 or denies up to the end of the clause, before 阴性 or negative.

    What somebody is asked for, and answers with no, is denied as well.
    """
    denied: set[str] = set()
    text = _answered(text)
    masked = _NOT_NEGATED.sub(lambda match: "\0" * len(match[0]), text)
    rest = list(text)
    at = 0
    while match := _CUE.search(masked, at):
        ender = _ENGLISH_END if match[0].isascii() else _SCOPE_END
        stop = ender.search(masked, match.end())
        end = stop.start() if stop else len(masked)
        denied |= _terms(masked[match.end() : end])
        rest[match.start() : end] = " " * (end - match.start())
        at = max(end, match.end())
    remaining = "".join(rest)
    for match in _AFTER.finditer(remaining):
        denied |= _terms(match["term"])
        rest[match.start() : match.end()] = " " * len(match[0])
    return Polarity(frozenset(denied), "".join(rest))


def _answered(text: str) -> str:
    """Return a text in which each question that was answered with no says what it denies."""
    pieces, at = [], 0
    for match in _NO.finditer(text):
        begin = max((one.end() for one in _BEFORE.finditer(text, at, match.start())), default=at)
        asked = text[begin : match.start()]
        if not _OPEN.search(asked):
            about = _LEAD.sub("", asked)
            pieces += [text[at:begin], f" no {about}. " if about.isascii() else f"否认{about}。"]
            at = match.end()
    return "".join([*pieces, text[at:]])


def holds(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether a text and its sources deny the same things, as far as both speak of them."""
    said, known = polarity(text), [polarity(source) for source in sources]
    denied = frozenset[str]().union(*(one.denied for one in known))
    here, there = _stems(said.rest), _stems("\n".join(one.rest for one in known))
    flipped = any(_stems(term) in there and not _among(term, denied) for term in said.denied)
    return not flipped and not any(_stems(term) in here and _stems(term) not in there for term in denied)


def invented(text: str, sources: Sequence[str]) -> bool:
    """Tell whether a text denies something of which no source speaks."""
    joined = _stems("\n".join(sources))
    denied = frozenset[str]().union(*(polarity(source).denied for source in sources))
    return any(_stems(term) not in joined and not _among(term, denied) for term in polarity(text).denied)


def _among(term: str, terms: frozenset[str]) -> bool:
    said = _stems(term)
    return any(said in other or other in said for other in map(_stems, terms))


def _stems(text: str) -> str:
    """Return a text with its English words without endings, and without those that only point."""
    said = _LATIN.sub(lambda match: " " if match[0] in _POINTING else f" {stem(match[0])} ", text)
    return _SPACE.sub(" ", said)


def _terms(scope: str) -> set[str]:
    terms = (_TRAILING.sub("", _LEADING.sub("", piece.strip(" \0.,"))).strip() for piece in _SPLIT.split(scope))
    return {term for term in terms if len(term) >= 2 and "\0" not in term and not term.isdigit()}
