"""What a text states that can be compared without understanding it, in Chinese and English.

``number`` with its unit, ``date``, ``dose`` (an amount with the word before it), ``side`` with its site, ``denied``
term. It compares words: a paraphrase is another word, and a number in words is none.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from hisbus_bus.lab.evaluate.labels import tokens

_CJK = "\u3400-\u9fff"
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = rf"(?P<name>{'|'.join(_MONTHS)})[a-z]*\.?"
_DATES = (
    r"(?<!\d)(?P<y>(?:19|20)\d\d)[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?!\d)",
    r"(?:(?P<y>(?:19|20)\d\d)年)?(?P<m>\d{1,2})月(?P<d>\d{1,2})[日号]",
    rf"\b{_MONTH} (?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<y>(?:19|20)\d\d))?\b",
    rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?{_MONTH},? (?P<y>(?:19|20)\d\d)\b",
    r"(?<![\d/])(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>(?:19|20)\d\d)(?!\d)",
)
_DATE = [re.compile(form) for form in _DATES]
_CLOCK = re.compile(r"(?<![\d:])\d{1,2}:[0-5]\d(?::[0-5]\d)?(?![\d:])|(?<=t)\d\d(?:[+-]\d\d)?(?=\b)")
_SPELLED = {
    "mg": "mg milligram 毫克", "g": "g gram 克", "ug": "ug mcg microgram μg 微克", "u": "iu unit u 单位", "片": "片",
    "%": "% percent", "ml": "ml 毫升", "cm": "cm centimeter 厘米", "mm": "mm 毫米", "mmhg": "mmhg", "c": "℃ °c",
    "f": "°f", "kg": "kg 公斤", "lb": "pound lb", "year": "year 岁 年", "month": "month 月", "week": "week 周",
    "day": "day 天 日", "hour": "hour 小时", "minute": "minute 分钟", "bpm": "bpm 次/分", "mmol/l": "mmol/l",
    "g/l": "g/l", "mg/dl": "mg/dl", "grade": "级", "times": "次",
}  # fmt: skip
_UNITS = {spelling: unit for unit, spellings in _SPELLED.items() for spelling in spellings.split()}
_AMOUNTS = frozenset({"mg", "g", "ug", "u", "片"})
_UNIT = "|".join(
    re.escape(unit) + (r"s?(?![a-z])" if unit.isascii() and unit[-1].isalpha() else "")
    for unit in sorted(_UNITS, key=len, reverse=True)
)
_NUMBER = re.compile(rf"(?<![a-z0-9.])(?P<value>\d+(?:\.\d+)?(?:/\d+(?:\.\d+)?)?)[ -]?(?P<unit>{_UNIT})?")
_DRUG = re.compile(rf"([a-z][a-z-]{{2,}}|[{_CJK}]{{2,}})[^a-z{_CJK}]*(?:(?:to|at|of|the|up)[ ]|至|为|[每]次)*$")
_SIDE = re.compile(
    rf"(?P<zh>双侧|两侧|左侧?|右侧?)(?P<where>[{_CJK}]{{1,2}})"
    r"|\b(?P<en>left|right|bilateral|both)\b[ -](?:(?:side|sided|lower|upper|the|of|mid) )*(?P<site>[a-z]+)"
)
_SIDES = {"左": "left", "右": "right", "双": "both", "两": "both", "bilateral": "both"}
_CUE_ZH = "否认|未见|未闻及?|未触及|未及|没有|无(?!力|创|菌|关|论)"
_CUE_EN = (
    r"\b(?:denie[sd]|denying|no|not have|without|negative for|never had|absence of)\b"
    r"|n't (?:have|had|recall|noticed?|feel|see|seen)\b"
)
_CUE = re.compile(f"{_CUE_ZH}|{_CUE_EN}")
_DENIAL = re.compile(
    rf"(?:{_CUE_ZH})(?:明显|任何|有)?(?P<zh>[{_CJK}、]{{2,24}})|(?:{_CUE_EN}) ?"
    r"(?:any |no |not |having |evidence of |history of |signs? of |a |an |the )*(?P<en>[a-z][a-z ,/'-]{1,120})"
)
_DENIAL_END = re.compile(r"\b(?:but|however|except|although|with|on|at|in|she|he|they|today|since|is|was|has|when)\b")
_LIST = re.compile(r"[、，,/]|[和或及]|\b(?:or|and|nor)\b")
_TRAILING = re.compile(r"(?:病史|史|等|症状|现象)$")
_SENTENCE = re.compile(r"[。！？!?；;]+|\n+|\.(?=\s|$)")
_ABBREVIATION = re.compile(r"(?:\b(?:dr|mr|mrs|ms|vs|no|e\.g|i\.e)|(?:^|\n)\s*\d{1,2})$", re.IGNORECASE)
_STOP = frozenset(
    "the a an and or of to in on at is are was were be been it its as by for with from that this these those has have "
    "had do does did he she his her him they them you your i we our my me not no so um uh okay yeah patient doctor "
    "also will would can could should today then there here just some any all".split()
)
_STOP_ZH = frozenset("的了在是于为及并和与有患者")
_ENDING = re.compile(r"(?:ing|ed|(?<=[sxz])es|(?<!s)s|ly)$")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a text states."""

    kind: str
    value: str
    """In one form for all ways to write it."""


def folded(text: str) -> str:
    """Return a text for comparing: of normal width, in lower case."""
    return unicodedata.normalize("NFKC", text.replace("\u200b", "")).lower()


def sentences(text: str) -> list[str]:
    """Return the sentences of a text that say something; lines end a sentence too."""
    found, begin = [], 0
    for match in _SENTENCE.finditer(text):
        if match[0] == "." and _ABBREVIATION.search(text[begin : match.start()]):
            continue
        found.append(text[begin : match.end()].strip())
        begin = match.end()
    return [one for one in (*found, text[begin:].strip()) if content(one) or any(facts(one))]


def facts(text: str) -> frozenset[Fact]:
    """Return what a text states."""
    said = folded(text)
    found = {Fact("date", day) for day, _, _ in _days(said)}
    for pattern in (*_DATE, _CLOCK):
        said = pattern.sub(lambda match: " " * len(match[0]), said)
    found |= set(_amounts(said))
    found |= {Fact("side", f"{side} {where}") for side, where in sides(said)}
    return frozenset(found | {Fact("denied", term) for term in denied(said)})


def content(text: str) -> frozenset[str]:
    """Return the words that carry a text: English ones without ending, pairs of Chinese characters.

    Numbers and what denies are left out: those are facts, and the opposite of a sentence is about the same.
    """
    said = _CUE.sub(" ", folded(text))
    english = (word for word in tokens(said) if word.isascii() and word.isalpha() and word not in _STOP)
    chinese = (run for run in re.findall(f"[{_CJK}]+", said))
    pairs = {
        run[at : at + 2]
        for run in chinese
        for at in range(max(len(run) - 1, 1))
        if not _STOP_ZH.intersection(run[at : at + 2])
    }
    return frozenset(pairs | {_ENDING.sub("", word) for word in english if len(word) > 2})


def sides(said: str) -> Iterator[tuple[str, str]]:
    """Yield side and site of a folded text: the word, or the one or two characters, that follow."""
    for match in _SIDE.finditer(said):
        if match["zh"]:
            yield _SIDES[match["zh"][0]], match["where"]
        else:
            yield _SIDES.get(match["en"], match["en"]), match["site"].removesuffix("s")


def denied(said: str) -> Iterator[str]:
    """Yield the terms that a folded text denies."""
    for match in _DENIAL.finditer(said):
        scope = _DENIAL_END.split(match["zh"] or match["en"])[0]
        for piece in _LIST.split(scope):
            term = _TRAILING.sub("", piece.strip(" -'"))
            if len(term) >= 2 and len(term.split()) <= 4:
                yield term


def _days(said: str) -> Iterator[tuple[str, int, int]]:
    """Yield the dates of a folded text as month and day: the year is often left out."""
    for pattern in _DATE:
        for match in pattern.finditer(said):
            named = match.groupdict().get("name")
            month = _MONTHS.index(named) + 1 if named else int(match["m"])
            yield f"{month:02}-{int(match['d']):02}", match.start(), match.end()


def _amounts(said: str) -> Iterator[Fact]:
    for match in _NUMBER.finditer(said):
        spelled = match["unit"] or ""
        unit = _UNITS.get(spelled) or _UNITS.get(spelled.removesuffix("s"), "")
        value = "/".join(f"{float(part):g}" for part in match["value"].split("/"))
        drug = _DRUG.search(said[max(0, match.start() - 40) : match.start()]) if unit in _AMOUNTS else None
        if drug is not None and drug[1] not in _STOP:
            name = drug[1][-3:] if not drug[1].isascii() else drug[1]
            yield Fact("dose", f"{name} {value} {unit}")
        else:
            yield Fact("number", f"{value} {unit}".strip())
