"""Passages: the named parts of a document, whether it was sent in sections or as one text with headings."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from hisbus_qc import evidence
from hisbus_schemas import ChartDocument, Evidence

_SENTENCE = re.compile(r"[^。；;\n]*[。；;]?")
_REMEMBERED = 2_000
"""Texts: a document is looked through for one passage after the other, at each event of its stay."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of one section of a document."""

    document: ChartDocument
    section: int
    begin: int
    end: int

    @property
    def text(self) -> str:
        """Its words."""
        return self.document.sections[self.section].text[self.begin : self.end]

    @property
    def proof(self) -> Evidence:
        """Its words as evidence."""
        return self.span(0, self.end - self.begin)

    @property
    def opening(self) -> Evidence:
        """Its first sentence as evidence."""
        first = _SENTENCE.match(self.text)
        return self.span(0, first.end() if first and first.end() else self.end - self.begin)

    def span(self, begin: int, end: int) -> Evidence:
        """Return some of its words as evidence; places count from where the passage begins."""
        return evidence.span(self.document, self.section, self.begin + begin, self.begin + end)


@dataclass(frozen=True, slots=True)
class _Named:
    title: str
    names: frozenset[str]
    heads: tuple[str, ...]


def title(name: str) -> str:
    """Return what the model hears a passage called."""
    return _named()[name].title


def names() -> frozenset[str]:
    """Return the names that passages go by here."""
    return frozenset(_named())


def find(document: ChartDocument, wanted: tuple[str, ...]) -> list[Passage]:
    """Return the passages of a document that go by one of the names, and are not empty; all of it where none is named.

    A section of that name is the passage; else it stands under its heading, up to the next one.
    """
    found = []
    for index, section in enumerate(document.sections):
        called = {section.name.strip().casefold(), section.title.strip().casefold()}
        if not wanted or any(called & _named()[name].names for name in wanted):
            found.append(_trimmed(document, index, 0, len(section.text)))
        else:
            found += _under_heads(document, index, wanted)
    return [passage for passage in found if passage.begin < passage.end]


def _under_heads(document: ChartDocument, index: int, wanted: tuple[str, ...]) -> list[Passage]:
    called = {head for name in wanted for head in _named()[name].heads}
    parts = _parts(document.sections[index].text)
    return [_trimmed(document, index, begin, end) for head, begin, end in parts if head in called]


@lru_cache(maxsize=_REMEMBERED)
def _parts(text: str) -> Sequence[tuple[str, int, int]]:
    """Return the headings of a text, in small letters, each with where what stands under it begins and ends."""
    heads = list(_heads().finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)][: len(heads)]
    return [(head[1].casefold(), head.end(), end) for head, end in zip(heads, ends, strict=True)]


def _trimmed(document: ChartDocument, section: int, begin: int, end: int) -> Passage:
    words = document.sections[section].text[begin:end]
    left = len(words) - len(words.lstrip(" \t\r\n　【"))
    right = len(words.rstrip(" \t\r\n　【"))
    return Passage(document, section, begin + left, begin + max(left, right))


@cache
def _named() -> Mapping[str, _Named]:
    tables = tomllib.loads(files(__package__).joinpath("passages.toml").read_text(encoding="utf-8"))
    return {
        name: _Named(table["title"], frozenset(table["names"]), tuple(table["heads"])) for name, table in tables.items()
    }


@cache
def _heads() -> re.Pattern[str]:
    """Return what finds a heading: no part of a longer word, with a colon, a bracket or the end of its line behind."""
    words = sorted({head for named in _named().values() for head in named.heads}, key=lambda word: (-len(word), word))
    either = "|".join(re.escape(word) for word in words)
    return re.compile(rf"(?<![\u4e00-\u9fffA-Za-z])({either})\s*(?:】\s*[:：]?|[:：]|(?=\n))", re.IGNORECASE)
