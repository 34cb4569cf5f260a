"""Scrubbing a capture: what names somebody is replaced, segment by segment; bytes around values stay as they came."""

import re
import tomllib
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from hisbus import ConfigError
from hisbus.connector import Scrubbed
from hisbus.disguise import Disguise
from hisbus_hl7v2.message import Header, read_header
from hisbus_hl7v2.notation import NULL, Delimiters, escapes

_LINES = re.compile(rb"[^\r\n\x0b\x1c]+")
"""A segment, or a line of one: no character set that MLLP can frame has these bytes in a character."""
_BEGINS = re.compile(rb"[A-Z][A-Z0-9]{2}[^A-Za-z0-9]")
_SHORT = re.compile(r"[<>=+-]{0,2}[0-9]{1,5}([.:/,][0-9]{1,4})?[%+]{0,3}")
"""A number as results have it; longer ones may be somebody's."""
_OBSERVED = "OBX-5"
"""Its data type stands in OBX-2."""
_HEADS = frozenset({"MSH", "FHS", "BHS"})
_WHOLE = frozenset({"text", "free", "measure", "result"})
"""Kinds whose delimiters may be text."""
_TEXTS = frozenset({"free", "result"})
"""Kinds that stay where texts are asked to."""
_NAMES = frozenset({"XPN", "XCN", "CNN", "PPN"})


@dataclass(slots=True)
class _Line:
    """A segment as it stands in the file, with the message around it."""

    begin: int
    end: int
    text: str
    codec: str
    header: Header
    message: int
    """Its number in the file; 0: it is before any."""

    @property
    def name(self) -> str:
        return self.text[:3]

    @property
    def fields(self) -> list[str]:
        fields = self.text.split(self.header.delimiters.field)
        return [fields[0], "", *fields[1:]] if self.name in _HEADS else fields


@dataclass
class _Report:
    """What was done, by place."""

    kept: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


def scrub(file: bytes, disguise: Disguise, default: str, *, keep: Collection[str], keep_text: bool) -> Scrubbed:
    """Return a capture in which nothing names anybody.

    Args:
        file: messages as ``captured.split`` takes them.
        disguise: replaces.
        default: the codec of messages that name none.
        keep: fields that stay, ``ZBX-3``, whatever the rules say.
        keep_text: texts stay, but for what the capture's other fields say of people.

    Raises:
        ConfigError: it is in a character set of which no message can be read.
    """
    if b"M\0S\0H" in file:
        raise ConfigError("It is in UTF-16 or UTF-32, of which no message can be read. Leave it out.")
    lines = list(_lines(file, default))
    whose = _whose(lines)
    _Scrubber(disguise, keep, keep_text, whose).scrub(file, lines)  # what fields say of people is known after it
    scrubber = _Scrubber(disguise, keep, keep_text, whose)
    done = scrubber.scrub(file, lines)
    report = scrubber.report
    return Scrubbed(done, max((line.message for line in lines), default=0), report.kept, report.texts, report.unknown)


def _lines(file: bytes, default: str) -> Iterator[_Line]:
    header, message = Header(), 0
    for begin, end in filter(lambda one: one[0] < one[1], _segments(file)):
        raw = file[begin:end]
        if raw[:3] in (b"MSH", b"FHS", b"BHS"):
            header = read_header(b"MSH" + raw[3:], default)
            message += raw[:3] == b"MSH"
        text, codec = _decoded(raw, header.body_encoding or default)
        yield _Line(begin, end, text, codec, header, message)


def _segments(file: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each segment lies. Where MSH ends with a carriage return, a line feed within a text ends none."""
    returns, open_ = False, (0, 0)
    for match in _LINES.finditer(file):
        begin, end = match.start() + (3 if match[0].startswith(BOM_UTF8) else 0), match.end()
        if match[0].startswith(b"MSH"):
            returns = file[end : end + 1] == b"\r"
        if returns and file[open_[1] : begin] == b"\n" and _BEGINS.match(match[0]) is None:
            open_ = (open_[0], end)
            continue
        yield open_
        open_ = (begin, end)
    yield open_


def _decoded(raw: bytes, codec: str) -> tuple[str, str]:
    for guess in (codec, "utf-8", "gb18030"):
        try:
            return raw.decode(guess), guess
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1"), "latin-1"


def _whose(lines: Sequence[_Line]) -> dict[int, str]:
    """Return for each message who it is about: one name for all patients and stays that some message joins."""
    joined: dict[str, str] = {}

    def root(one: str) -> str:
        while joined.setdefault(one, one) != one:
            one = joined[one]
        return one

    first: dict[int, str] = {}
    for line in lines:
        for number, raw in enumerate(line.fields):
            if f"{line.name}-{number}" not in rules().whose:
                continue
            marks = line.header.delimiters
            for repetition in raw.split(marks.repetition):
                said = repetition.split(marks.component)[0].split(marks.subcomponent)[0].strip()
                if said and said != NULL:
                    joined[root(said)] = root(first.setdefault(line.message, said))
    return {message: root(said) for message, said in first.items()}


class _Scrubber:
    """Replaces, one line after the other."""

    def __init__(self, disguise: Disguise, keep: Collection[str], keep_text: bool, whose: Mapping[int, str]) -> None:
        self._disguise = disguise
        self._keep = frozenset(keep)
        self._keep_text = keep_text
        self._whose = whose
        self.report = _Report()

    def scrub(self, file: bytes, lines: Sequence[_Line]) -> bytes:
        parts: list[bytes] = []
        at = 0
        for line in lines:
            parts += [file[at : line.begin], self._line(line).encode(line.codec)]
            at = line.end
        return b"".join([*parts, file[at:]])

    def _line(self, line: _Line) -> str:
        days = self._disguise.days(self._whose.get(line.message, ""))
        its = _Context(self._disguise, line.header.delimiters, line.codec, days, self._keep_text, self.report)
        if not re.fullmatch(r"[A-Z][A-Z0-9]{2}", line.name) or line.text[3:4] not in ("", its.marks.field):
            return its.replaced(line.text, "text", "?")  # no segment: a line of a text, or what cannot be read
        fields = line.fields
        for number in range(1, len(fields)):
            if fields[number] and not (line.name in _HEADS and number <= 2):
                fields[number] = self._field(line.name, number, fields, its)
        if line.name in _HEADS:
            del fields[1]
        return its.marks.field.join(fields)

    def _field(self, segment: str, number: int, fields: Sequence[str], its: "_Context") -> str:
        label, raw = f"{segment}-{number}", fields[number]
        if label in self._keep:
            its.report.kept[label] += 1
            return raw
        observed = label == _OBSERVED
        type_ = fields[2].strip() if observed else _type(segment, number)
        own = rules().fields.get(label, "")
        kind = own or rules().types.get(type_, "")
        components = None if own else rules().components.get(type_)
        if not kind and components is None:
            its.report.unknown[label] += 1
            kind = "text"
        if observed and type_ in ("ST", "TX", "FT"):
            kind = "result"
        repetitions = raw.split(its.marks.repetition)
        return its.marks.repetition.join(its.repetition(one, kind, components, type_, label) for one in repetitions)


@dataclass(frozen=True, slots=True)
class _Context:
    """What a value is replaced with: the message's marks, its character set and its shift."""

    disguise: Disguise
    marks: Delimiters
    codec: str
    days: int
    keep_text: bool
    report: _Report

    def repetition(self, raw: str, kind: str, components: Mapping[str, str] | None, type_: str, label: str) -> str:
        """Return one repetition of a field with its values replaced."""
        if components is None:
            if kind in _WHOLE:
                return self.replaced(raw, kind, label)
            return self._each(raw, {}, kind, label)
        done = self._each(raw, components, "keep", "")
        if type_ in _NAMES:
            own, new = raw.split(self.marks.component), done.split(self.marks.component)
            at = 0 if type_ == "XPN" else 1
            if len(own) > at + 1 and len(new) == len(own):
                parts = (own[at].split(self.marks.subcomponent)[0], own[at + 1])
                self.disguise.name(*parts)
        return done

    def _each(self, raw: str, components: Mapping[str, str], otherwise: str, label: str) -> str:
        found = []
        for number, component in enumerate(raw.split(self.marks.component), 1):
            subs = component.split(self.marks.subcomponent)
            whole = components.get(str(number)) or components.get("*", otherwise)
            kinds = [components.get(f"{number}.{sub}", whole) for sub in range(1, len(subs) + 1)]
            done = (self.replaced(sub, kind, label) for sub, kind in zip(subs, kinds, strict=True))
            found.append(self.marks.subcomponent.join(done))
        return self.marks.component.join(found)

    def replaced(self, text: str, kind: str, label: str) -> str:
        """Return one value, replaced as its kind asks."""
        if not text.strip() or text == NULL:
            return text
        if kind == "keep" and "\n" not in text:  # else a text that went astray
            done = self.disguise.within(text, self.days, self.codec, code=True)
            if label:
                (self.report.kept if done == text else self.report.unknown)[label] += 1
            return done
        if kind == "date":
            return self.disguise.date(text, self.days) or self._new(text)
        if kind in _WHOLE:
            if kind in ("measure", "result") and _SHORT.fullmatch(text.strip()):
                return text
            if (shifted := self.disguise.date(text, self.days)) is not None:
                return shifted
            if self.keep_text and kind in _TEXTS:
                self.report.texts[label] += 1
                return self.disguise.within(text, self.days, self.codec)
            return self._new(text)
        done = self._new(text)
        self.disguise.spoken(text, nobodys=kind == "thing")
        return done

    def _new(self, text: str) -> str:
        escape = self.marks.escape
        if escape in text:  # characters by their bytes become blanks: nobody could tell their class
            text = escapes(escape).sub(_blanked, text)
            return self.disguise.value(text, self.codec, escapes(escape))
        return self.disguise.value(text, self.codec)


def _blanked(match: re.Match[str]) -> str:
    whole = match[0]
    if match[2] is None or bytes.fromhex(re.sub(r"[^0-9A-Fa-f]", "", whole)) in (b"\r", b"\n", b"\r\n"):
        return whole
    return re.sub(r"[0-9A-Fa-f]{2}", "20", whole)


class Rules(NamedTuple):
    """What ``identifying.toml`` says."""

    types: Mapping[str, str]
    """Kind by data type."""
    components: Mapping[str, Mapping[str, str]]
    """Kind by data type and component."""
    fields: Mapping[str, str]
    """Kind by field."""
    whose: frozenset[str]


@cache
def rules() -> Rules:
    """Return what in a message names somebody."""
    said = tomllib.loads(Path(__file__).with_name("identifying.toml").read_text(encoding="utf-8"))
    types, fields = (
        {name: kind for kind, names in said[table].items() for name in names} for table in ("types", "fields")
    )
    return Rules(types, said["components"], fields, frozenset(said["whose"]["fields"]))


@cache
def _type(segment: str, number: int) -> str:
    """Return the data type of a field as the standard has it, 2.5.1 first; empty: it has none such."""
    from hl7apy.v2_5_1.fields import FIELDS as older
    from hl7apy.v2_8_2.fields import FIELDS as newer

    types = (fields[f"{segment}_{number}"][2] for fields in (older, newer) if f"{segment}_{number}" in fields)
    return next((type_ for type_ in types if type_ and type_ not in ("WD", "None")), "")
