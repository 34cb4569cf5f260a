"""Cuts a document into passages: what stands under a heading, sentence by sentence or, in lists, item by item.

Only short lines are items of a list.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hisbus_coding.context import DATA

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
_MEANS = {label: kind for kind, labels in DATA["labels"].items() for label in labels}
SAID = "said"
"""Kind of the sentences under a list of diagnoses."""
_LABEL = re.compile(
    r"(?:^|(?<=\n)|(?<=[-–•*][ \t]))[ \t　•*–-]*(?P<label>"
    + "|".join(re.escape(label) for label in sorted(_MEANS, key=len, reverse=True))
    + r")[ \t]*(?:[:：]|\.(?=[ \t]+[A-Z]))",
    re.IGNORECASE,
)
_PROSE = re.compile(
    "|".join(rf"\b{word}\b" if word.isascii() else word for word in DATA["prose"]["words"]), re.IGNORECASE
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
    """Of its heading, or of the label before it; ``text`` without one, ``said`` for sentences under a list."""
    begin: int
    end: int
    rank: int = 0
    """Lists: place in the list, from 1."""


def passages(title: str, name: str, text: str) -> Iterator[Passage]:
    """Yield the passages of one section, in the order of the text.

    Args:
        title: of the section, as its document has it.
        name: its name in our vocabulary.
        text: of the section.
    """
    named = [title.strip().casefold(), name.strip().casefold()]
    kind = next((_KIND[one] for one in named if one in _KIND), "text")
    for heading, begin, end in _blocks(text, kind):
        if heading in LISTS:
            yield from _list(text, heading, begin, end)
        else:
            yield from _sentences(text, heading, begin, end)


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
        found = _KIND[(match["name"] or match["inline"]).casefold()]
        if found == "list" and kind == "results" and text[match.end() - 1] in ":：":
            continue  # "Impression:" of an X-ray: what the test shows, no diagnosis of the stay
        yield kind, at, match.start()
        kind, at = found, match.end()
    yield kind, at, len(text)


def _list(text: str, kind: str, begin: int, end: int) -> Iterator[Passage]:
    """Yield a list of diagnoses: short lines are its items; sentences, and what stands after a label, are texts."""
    rank = 0
    for kind_here, first, last in _labelled(text, kind, begin, end):
        if kind_here != kind:
            yield from _sentences(text, kind_here, first, last)
            continue
        for one, other in _items(text, first, last):
            if is_prose(text[one:other]):
                yield from _sentences(text, SAID, one, other)
            else:
                rank += 1
                yield Passage(kind, one, other, rank)


def _labelled(text: str, kind: str, begin: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Yield a list in parts: a label of a template reaches to the next one, or to the end of its line."""
    at = begin
    for label in _LABEL.finditer(text, begin, end):
        if label.start() < at:
            continue
        yield kind, at, label.start()
        line = text.find("\n", label.end(), end)
        at = end if line < 0 else line
        first, said = label.end(), _MEANS[label["label"].casefold()]
        for following in _LABEL.finditer(text, first, at):
            yield said, first, following.start()
            first, said = following.end(), _MEANS[following["label"].casefold()]
        yield said, first, at
    yield kind, at, end


def is_prose(item: str) -> bool:
    """Tell whether a line of a list is a sentence about a patient and not the name of a diagnosis."""
    chinese = sum(character > "\u33ff" for character in item)
    longest = DATA["prose"]["longest_chinese"] if chinese * 2 > len(item) else DATA["prose"]["longest"]
    return len(item) > longest or bool(_PROSE.search(item))


def _sentences(text: str, kind: str, begin: int, end: int) -> Iterator[Passage]:
    at = begin
    for match in _SENTENCE.finditer(text, begin, end):
        yield Passage(kind, at, match.end())
        at = match.end()
    if at < end:
        yield Passage(kind, at, end)


def _items(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    at, number = begin, 0
    for match in [*_ITEM.finditer(text, begin, end), None]:
        if match is not None and match["number"]:
            here = int(match["number"])
            if here not in {1, number + 1} and text[begin : match.start()].rpartition("\n")[2].strip():
                continue  # "1.5": no number of an item
            number = here
        first, last = trimmed(text, at, end if match is None else match.start())
        if first < last:
            yield first, last
        at = end if match is None else match.end()
