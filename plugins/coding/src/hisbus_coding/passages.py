"""Cuts a document into passages: what stands under a heading, sentence by sentence or, in lists, item by item."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hisbus_coding.context import DATA
from hisbus_schemas import ChartDocument

LISTS = frozenset({"discharge", "admission", "complication", "list"})
"""Headings under which diagnoses are listed."""

_KIND = {name: kind for kind, names in DATA["headings"].items() for name in names}
_HEADING = re.compile(
    r"(?:^|(?<=[\n。；;.!？！]))[ \t　]*(?:[（(]?[一二三四五六七八九十\d]{1,2}[)）、.．])?[ \t　]*(?P<name>"
    + "|".join(re.escape(name) for name in sorted(_KIND, key=len, reverse=True))
    + r")[ \t　]*(?:[:：]|(?=\n))|(?<=[ \t])(?P<inline>"
    + "|".join(re.escape(name) for name in sorted(_KIND, key=len, reverse=True) if len(name) > 2)
    + r")[:：]",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[。！!；;\n]|？|\?(?=\s|$)|\.(?=\s|$)(?<!\b[A-Z]\.)(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)")
_ITEM = re.compile(
    r"[\n；;。]|\.(?=\s*(?:$|[A-Z]))|[（(]\d{1,2}[)）]|[①-⑳]"
    r"|(?<![\d.A-Za-z])(?<![Ss]tage )(?<![Gg]rade )(?<![Tt]ype )(?P<number>\d{1,2})[、.．)）]"
)
_EDGE = " \t　,，、.。:：;；-–—*•\r\n"


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence or an item of a list, by its place in a section's text."""

    kind: str
    """Of its heading; ``text`` without one."""
    begin: int
    end: int
    rank: int = 0
    """Lists: place in the list, from 1."""


def passages(document: ChartDocument, section: int) -> Iterator[Passage]:
    """Yield the passages of one section, in the order of the text."""
    part = document.sections[section]
    named = [part.title.strip().casefold(), part.name.strip().casefold()]
    kind = next((_KIND[name] for name in named if name in _KIND), "text")
    for heading, begin, end in _blocks(part.text, kind):
        if heading in LISTS:
            yield from _items(part.text, heading, begin, end)
        else:
            yield from _sentences(part.text, heading, begin, end)


def trimmed(text: str, begin: int, end: int) -> tuple[int, int]:
    """Return a place without the white space and the marks around it."""
    while begin < end and text[begin] in _EDGE:
        begin += 1
    while end > begin and text[end - 1] in _EDGE:
        end -= 1
    return begin, end


def _blocks(text: str, kind: str) -> Iterator[tuple[str, int, int]]:
    at = 0
    for match in _HEADING.finditer(text):
        yield kind, at, match.start()
        kind, at = _KIND[(match["name"] or match["inline"]).casefold()], match.end()
    yield kind, at, len(text)


def _sentences(text: str, kind: str, begin: int, end: int) -> Iterator[Passage]:
    at = begin
    for match in _SENTENCE.finditer(text, begin, end):
        yield Passage(kind, at, match.end())
        at = match.end()
    if at < end:
        yield Passage(kind, at, end)


def _items(text: str, kind: str, begin: int, end: int) -> Iterator[Passage]:
    at, rank, number = begin, 0, 0
    for match in [*_ITEM.finditer(text, begin, end), None]:
        if match is not None and match["number"]:
            here = int(match["number"])
            if here not in {1, number + 1} and text[begin : match.start()].rpartition("\n")[2].strip():
                continue  # "1.5": no number of an item
            number = here
        first, last = trimmed(text, at, end if match is None else match.start())
        if first < last:
            rank += 1
            yield Passage(kind, first, last, rank)
        at = end if match is None else match.end()
