"""Laterality: left stays left."""

import re
from collections.abc import Iterator, Sequence

from hisbus_documentation.grounding.facts import Facts
from hisbus_documentation.plain import CJK

_CHINESE = re.compile(
    rf"(?P<side>左|右|双侧|两侧|双(?=[上下肺肾眼耳足手膝髋乳瞳肩肘腕踝]))(?!右|抗|联|重|氧氟|旋|甲状腺素|西孟旦|乙拉西坦|卡尼汀|美沙芬|佐匹克隆)(?P<after>[{CJK}]{{0,5}})"
)
_PLACE = re.compile(r"[侧上下中前后内外的边方半第一二三四五]")
_ENGLISH = re.compile(
    r"\b(?P<side>left|right|bilateral|bilaterally|both)\b[ -]?(?:sided?\b ?)?(?P<after>(?:[a-z-]+ ?){0,4})"
)
_NOWHERE = re.compile(
    r"^(?:now|away|here|there|after|before|for|home|against|hospital|at|in|on|to|then|and|or|but|it|that|this|is|was"
    r"|over|of course|of them|i|you|we|yes|no|okay|ok)\b"
)
_ALONE = re.compile(r"(?:\b(?:the|my|your|his|her|their|side)|[,:;(/-]) ?$")
"""Before a side that names no site; else it is what is right, or what is left of something."""
_WHERE = frozenset(
    "lower upper middle mid anterior posterior lateral medial side sided the of his her inner outer distal "
    "proximal".split()
)
_SIDES = {"左": "L", "右": "R", "left": "L", "right": "R"}
_WORD = re.compile(r"左侧?|右侧?|双侧?|\b(?:left|right|bilateral)\b ?")


def sides(text: str) -> Iterator[tuple[str, str]]:
    """Yield side (``L``, ``R`` or ``B``) and site of a plain text. The site is one character or one word of it."""
    for match in _CHINESE.finditer(text):
        site = _PLACE.sub("", match["after"])[:1]
        yield _SIDES.get(match["side"], "B"), site
    for match in _ENGLISH.finditer(text):
        words = [word for word in match["after"].split() if word not in _WHERE]
        if not _NOWHERE.match(match["after"]) and (words or _ALONE.search(text[: match.start()])):
            yield _SIDES.get(match["side"], "B"), (words[0].removesuffix("s") if words else "")


def holds(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether each side is that of a source for the same site, and none is another than what is coded."""
    known = {pair for source in sources for pair in sides(source)}
    return all(_borne(side, site, known) for side, site in sides(text)) and not any(
        _contradicts(text, name) for name in facts.coded
    )


def _borne(side: str, site: str, known: set[tuple[str, str]]) -> bool:
    found = {other for other, where in known if where == site and site}
    if not found:
        found = {other for other, where in known if not where or not site}
    return side in found or (side == "B" and {"L", "R"} <= found)


def _contradicts(text: str, name: str) -> bool:
    """Tell whether a text names a coded diagnosis or procedure with the other side."""
    coded, said = {side for side, _ in sides(name)}, {side for side, _ in sides(text)}
    bare = _WORD.sub("", name)
    return (
        len(coded) == 1
        and "B" not in coded
        and len(bare) >= 3
        and bare in _WORD.sub("", text)
        and bool(said)
        and not coded & said
    )
