"""What documents say, in their own words: sentence by sentence, with its place. Only signed documents are quoted."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files

from hisbus_documentation.instructions import is_instruction
from hisbus_documentation.phrases import Language, say, when
from hisbus_documentation.plain import plain, visible
from hisbus_documentation.sentences import split
from hisbus_documentation.source import Source, entry, span
from hisbus_documentation.subject import Subject
from hisbus_documentation.template import Feed
from hisbus_schemas import Chart, ChartDocument, Moment, Section

_NAMES: Mapping[str, list[str]] = tomllib.loads(
    files("hisbus_documentation").joinpath("sections.toml").read_text(encoding="utf-8")
)
_TURN = re.compile(
    r"^[\[【(]?\s*(?P<role>[a-z_ ]{2,20}|[\u4e00-\u9fff]{2,4})\d*\s*(?:[\]】)]\s*[:：]?|[:：])\s*(?P<said>.+)$",
    re.IGNORECASE,
)
_ROLES = {
    "doctor": ("doctor", "dr", "physician", "clinician", "provider", "医生", "医师", "大夫"),
    "patient": ("patient", "pt", "患者", "病人", "家属", "mother", "father", "caregiver"),
}
_ASKS = ("?", "？")
_SHORTEST = 6
"""Characters of a turn of speech that can be a statement of its own."""


def quote(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield the first sentences of a section, from the newest document of the first type that has it."""
    for type in feed.documents:
        for document in reversed(_signed(chart, [type])):
            found = list(_sentences(document, feed))
            if found:
                yield from found[: feed.most]
                return


def notes(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield the first sentences of the newest notes that the document covers, each note with its time."""
    found = [item for item in _signed(chart, feed.documents) if subject.covers(_time(item).at)]
    for document in found[-feed.documents_most :]:
        for n, said in enumerate(list(_sentences(document, feed))[: feed.most]):
            yield _dated(document, said, language) if n == 0 else said


def turns(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield what one side of a conversation said, where it is a statement with one of the words asked for."""
    document = subject.transcript
    if document is None:
        return
    found = 0
    for index, section in enumerate(document.sections):
        for begin, end in _spoken(section, feed.role):
            for first, last in split(section.text[begin:end]):
                place = (begin + first, begin + last)
                text = visible(section.text[slice(*place)])
                if found < feed.most and _is_statement(text) and _has_word(text, feed) and not is_instruction(text):
                    found += 1
                    words = say(f"turn.{feed.role}", language, text=text)
                    yield Source(words, (span(document, index, *place),), (document.ref,))


def sentences(document: ChartDocument) -> Iterator[Source]:
    """Yield what a document says, sentence by sentence; a question with what follows it, its answer."""
    for index, section in enumerate(document.sections):
        places = list(split(section.text))
        for n, (begin, end) in enumerate(places):
            while n + 1 < len(places) and section.text[begin:end].endswith(_ASKS):
                n += 1
                end = places[n][1]
            text = visible(section.text[begin:end])
            if not is_instruction(text):
                yield Source(text, (span(document, index, begin, end),), (document.ref,))


def _signed(chart: Chart, types: list[str]) -> list[ChartDocument]:
    """Return the signed documents of some types that count, the oldest first."""
    found = [item for item in chart.documents if item.status == "signed" and item.type.code in types]
    return sorted(found, key=lambda item: (_time(item).at, item.id))


def _time(document: ChartDocument) -> Moment:
    return document.about or document.signed or document.filed


def _sentences(document: ChartDocument, feed: Feed) -> Iterator[Source]:
    wanted = {name for section in feed.sections for name in _NAMES[section]}
    for index, section in enumerate(document.sections):
        if wanted and not {plain(section.name), plain(section.title)} & wanted:
            continue
        for begin, end in split(section.text):
            text = visible(section.text[begin:end])
            if text and _has_word(text, feed) and not is_instruction(text):
                yield Source(text, (span(document, index, begin, end),), (document.ref,))


def _dated(document: ChartDocument, said: Source, language: Language) -> Source:
    time = _time(document)
    field = "about" if document.about else "signed" if document.signed else "filed"
    title = document.type.text or document.type.code
    return Source(
        say("note", language, time=when(time), title=title, text=said.text),
        (*said.evidence, entry("documents", document, time.isoformat(), field)),
        said.reads,
    )


def _has_word(text: str, feed: Feed) -> bool:
    """Tell whether a text has one of the words asked for; a Latin one from its beginning: no CT in active."""
    said = plain(text)
    return not feed.words or any(re.search(rf"(?<![a-z]){re.escape(word)}", said) for word in feed.words)


def _is_statement(text: str) -> bool:
    return len(text) >= _SHORTEST and not text.rstrip().endswith((*_ASKS, "吗", "呢"))


def _spoken(section: Section, role: str) -> Iterator[tuple[int, int]]:
    """Yield where one side speaks. A line that names no speaker goes on with the one before it."""
    at, speaking = 0, ""
    for line in section.text.splitlines(keepends=True):
        match = _TURN.match(line.rstrip())
        begin = at
        if match is not None and (named := _role(match["role"])):
            speaking, begin = named, at + match.start("said")
        if speaking == role:
            yield begin, at + len(line.rstrip())
        at += len(line)


def _role(name: str) -> str:
    said = plain(name)
    return next((role for role, names in _ROLES.items() if said in names), "")
