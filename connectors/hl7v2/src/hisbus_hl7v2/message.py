"""A lazy reader of HL7 v2: bytes are decoded first, then split, and only what is asked for is split further."""

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from hisbus import BadMessage
from hisbus_hl7v2 import charset
from hisbus_hl7v2.notation import DEFAULT, NULL, Delimiters, Notation, is_doubled
from hisbus_hl7v2.notation import delimiters as read_delimiters

_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_BLANKS = b"\r\n\t "


class Header(NamedTuple):
    """The MSH segment, as far as it can be read."""

    fields: list[str] = []
    """``fields[n]`` is MSH-n as written."""
    delimiters: Delimiters = DEFAULT
    encoding: str = "ascii"
    """Codec that turns ``fields`` back into exactly the bytes that were sent."""
    body_encoding: str = ""
    """Codec of the message; empty: unknown."""
    begin: int = 0
    end: int = 0
    """Where the segment lies in the body."""
    fault: str = "not_hl7"
    """Why nothing behind it can be read; empty: nothing is wrong."""
    flags: tuple[str, ...] = ()
    type: str = ""
    """The message's type, ``ADT^A01``, from MSH-9: without blanks and in capitals."""

    def get(self, number: int) -> str:
        """Return a field as written, empty where there is none."""
        return self.fields[number] if number < len(self.fields) else ""

    @property
    def sender(self) -> tuple[str, str]:
        """Who sent it: application and facility, the first components of MSH-3 and MSH-4."""
        first = self.delimiters.component
        return self.get(3).split(first, 1)[0].strip(), self.get(4).split(first, 1)[0].strip()


def read_header(body: bytes, default: str, *, wins: bool = False) -> Header:
    """Read the MSH segment. Never raises: see ``fault``.

    Args:
        body: of the message.
        default: the codec where MSH-18 names none.
        wins: whether it is the codec, whatever MSH-18 names.
    """
    begin = beginning(body)
    before = body[:begin]
    marked = BOM_UTF8 in before
    if not body.startswith(b"MSH", begin):
        return Header(fault="wide_charset" if _looks_wide(body) else "not_hl7")
    end = _first(body, b"\n", begin, _first(body, b"\r", begin, len(body)))
    line = body[begin:end]
    wins = wins and not _is_utf_8_as_it_says(line, body[begin:])
    text, encoding = _decode_header(line, default, wins=wins)
    separator = text[3:4]
    if separator in ("", "\0") or separator.isalnum():
        return Header(begin=begin, end=end, fault="bad_delimiters")
    fields = text.split(separator)
    fields.insert(1, separator)
    encoding_characters = fields[2].replace("\0", "") if len(fields) > 2 else ""
    delimiters = read_delimiters(separator, encoding_characters)
    if delimiters is None:
        usable = Delimiters(field=separator) if separator not in DEFAULT.encoding else DEFAULT
        return Header(fields, usable, encoding, "", begin, end, "bad_delimiters", type=_type(fields, usable)[0])
    name, default = _charset_name(fields, delimiters.repetition), "utf-8" if marked else default
    codec, problem = _codec(name, default)
    flags = ["byte_order_mark"] * marked + ["line_ends_before_msh"] * (before.replace(BOM_UTF8, b"") != b"")
    flags += ["escape_doubled"] * is_doubled(encoding_characters)
    if wins:
        if problem or not _is_of(codec, body[begin:]):
            flags.append(problem or "charset_mislabelled")
        codec, problem = default, ""
    elif problem == "unknown_charset" and body[begin:].isascii():  # then it does no harm
        flags.append(problem)
        codec, problem = "ascii", ""
    type, wrong = _type(fields, delimiters)
    return Header(fields, delimiters, encoding, codec, begin, end, problem, (*flags, *wrong), type)


def _type(fields: list[str], delimiters: Delimiters) -> tuple[str, tuple[str, ...]]:
    """Return the type that MSH-9 says, and how it is not as the standard writes it."""
    written = fields[9].split(delimiters.component)[:2] if len(fields) > 9 else [""]
    parts = [part.strip() for part in written]
    said = "^".join(filter(None, parts))
    type = said.upper()
    return type, ("type_with_blanks",) * (parts != written) + ("type_in_small_letters",) * (type != said)


def beginning(body: bytes) -> int:
    """Return where the first segment begins, behind line ends and a byte-order mark that some senders leave there."""
    if body.startswith(b"MSH"):
        return 0
    rest = body.lstrip(_BLANKS).removeprefix(BOM_UTF8).lstrip(_BLANKS)
    return len(body) - len(rest)


def _is_of(codec: str, body: bytes) -> bool:
    """Tell whether bytes are of a codec."""
    try:
        body.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _is_utf_8_as_it_says(line: bytes, body: bytes) -> bool:
    """Tell whether MSH-18 names UTF-8 and is right: hardly any other text is UTF-8 by chance."""
    naive = line.decode("latin-1")
    name = _charset_name(["", *naive.split(naive[3:4] or "|")], naive[5:6] or "~")
    return charset.codec(name) == "utf-8" and _is_of("utf-8", body)


def _first(body: bytes, mark: bytes, begin: int, end: int) -> int:
    """Return where a mark stands first, ``end`` where it does not."""
    at = body.find(mark, begin, end)
    return end if at < 0 else at


def _looks_wide(body: bytes) -> bool:
    return body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"M\0S\0H" in body[:8] or b"M\0\0\0S" in body[:12]


def _charset_name(fields: list[str], repetition: str) -> str:
    return fields[18].split(repetition)[0].strip() if len(fields) > 18 else ""


def _decode_header(line: bytes, default: str, *, wins: bool) -> tuple[str, str]:
    """Decode MSH before its own MSH-18 is known: a codec is right if it wins or, read with it, the segment names it."""
    if line.isascii():
        return line.decode("ascii"), "ascii"
    naive = line.decode("latin-1")
    said = charset.codec(_charset_name(["", *naive.split(naive[3:4] or "|")], naive[5:6] or "~"))
    for guess in dict.fromkeys((default, said or default, "gb18030", "utf-8")):
        try:
            text = line.decode(guess)
        except UnicodeDecodeError:
            continue
        fields = ["", *text.split(text[3:4] or "|")]
        name = _charset_name(fields, text[5:6] or "~")
        named = default if wins or not name else charset.codec(name)
        if named == guess and text.encode(guess) == line:
            return text, guess
    return naive, "latin-1"


def _codec(name: str, default: str) -> tuple[str, str]:
    """Return the codec for MSH-18, or why there is none."""
    if name in ("", NULL):
        return default, ""
    codec = charset.codec(name)
    if codec is not None:
        return codec, ""
    return "", "wide_charset" if charset.is_wide(name) else "unknown_charset"


@lru_cache(maxsize=512)
def _name_of(beginning: str, separator: str) -> str:
    name, behind = beginning[:3], beginning[3:]
    return name if behind in ("", separator) and _NAME.fullmatch(name) else "?"


@lru_cache(maxsize=8)
def _line_feeds(separator: str) -> re.Pattern[str]:
    """Return what finds the line feeds that end a segment among those that are text."""
    return re.compile(rf"\n(?={_NAME.pattern}{re.escape(separator)})")


class Segment:
    """One segment; its fields are split when the first is asked for."""

    __slots__ = ("_notation", "fields", "text")

    def __init__(self, text: str, notation: Notation, fields: list[str] | None = None) -> None:
        self.text = text
        """As written."""
        self._notation = notation
        self.fields = fields
        """Split already; None: not yet."""

    @property
    def name(self) -> str:
        """Three characters; ``?`` where it does not begin like a segment."""
        return _name_of(self.text[:4], self._notation.delimiters.field)

    def raw(self, number: int) -> str:
        """Return a field as written, empty where there is none."""
        fields = self.fields or self.split()
        return fields[number] if number < len(fields) else ""

    def split(self) -> list[str]:
        """Split into fields, as written."""
        self.fields = fields = self.text.split(self._notation.delimiters.field)
        return fields

    def part(self, field: str, component: int, sub: int) -> str:
        """Return one decoded part of the first repetition of a field that has it."""
        notation = self._notation
        repetition = notation.delimiters.repetition
        if repetition not in field:
            return notation.part(field, component, sub)
        return next(filter(None, (notation.part(one, component, sub) for one in field.split(repetition))), "")

    def parts(self, field: str, places: Sequence[tuple[int, int]]) -> list[str]:
        """Return decoded parts, each a component counted from 0 and its subcomponent, of a field's first repetition."""
        notation = self._notation
        delimiters = notation.delimiters
        if delimiters.repetition in field:
            field = next(filter(None, field.split(delimiters.repetition)), "")
        components = field.split(delimiters.component)
        last = len(components)
        texts = []
        for at, sub in places:
            text = components[at] if at < last else ""
            texts.append(text if not text or (text.isalnum() and sub <= 1) else notation.value(text, sub))
        return texts

    def __len__(self) -> int:
        return len(self.fields or self.split()) - 1

    def is_null(self, number: int) -> bool:
        """Tell whether a field is the HL7 null: delete what you have."""
        return self.raw(number) == NULL

    def repetitions(self, number: int) -> list[str]:
        """Return the field's repetitions as written; none where it is empty or null."""
        raw = self.raw(number)
        if not raw or raw == NULL:
            return []
        return raw.split(self._notation.delimiters.repetition)

    def get(self, number: int, component: int = 1, sub: int = 1) -> str:
        """Return one decoded part of the field's first repetition; empty where it is empty or null."""
        fields = self.fields or self.split()
        raw = fields[number] if number < len(fields) else ""
        if not raw or raw.isalnum():  # no delimiter is alphanumeric: the commonest value has one part
            return raw if component == 1 and sub <= 1 else ""
        notation = self._notation
        repetition = notation.delimiters.repetition
        return notation.part(raw.split(repetition, 1)[0] if repetition in raw else raw, component, sub)

    def values(self, number: int, count: int) -> list[str]:
        """Return the first decoded components of the field's first repetition, always ``count`` of them."""
        raw = self.raw(number)
        if not raw:
            return [""] * count
        notation = self._notation
        delimiters = notation.delimiters
        if delimiters.repetition in raw:
            raw = raw.split(delimiters.repetition, 1)[0]
        found = [notation.value(part) for part in raw.split(delimiters.component, count)[:count]]
        return found + [""] * (count - len(found)) if len(found) < count else found


class Message:
    """A decoded message."""

    __slots__ = ("_notation", "_places", "by_name", "flags", "header", "nulls", "segments", "taken")

    def __init__(self, header: Header, text: str, only: frozenset[str] | None = None) -> None:
        self.header = header
        self.flags = list(header.flags)
        """How it is not as the standard has it, in stable words."""
        self._notation = notation = Notation(header.delimiters, header.body_encoding)
        first, *lines = self._lines(text)
        if only is not None:
            lines = [line for line in lines if line[:3] in only]
        self.segments = segments = [Segment(first, notation, header.fields)]
        self.by_name: dict[str, list[Segment]] = {"MSH": segments[:1]}
        by_name = self.by_name
        for line in lines:
            if line:
                segment = Segment(line, notation)
                segments.append(segment)
                name = line[:3]
                if name in by_name:
                    by_name[name].append(segment)
                else:
                    by_name[name] = [segment]
        self.nulls = '"' in text and NULL in text  # one character is found twenty times as fast as two
        """Whether it may delete something."""
        self.taken: list[dict[str, list[Segment]]] = []
        """The segments, by name, of the groups that were read one by one."""
        self._places: dict[int, int] | None = None

    @classmethod
    def read(cls, body: bytes, default: str, *, wins: bool = False) -> "Message":
        """Read a message; ``default`` and ``wins`` are those of ``read_header``.

        Raises:
            BadMessage: ``not_hl7``, ``bad_delimiters``, ``wide_charset`` (UTF-16 or 32), ``unknown_charset``,
                ``undecodable`` or ``several_messages``.
        """
        return cls.behind(read_header(body, default, wins=wins), body)

    @classmethod
    def behind(cls, header: Header, body: bytes, only: frozenset[str] | None = None) -> "Message":
        """Read what stands behind a header. Raises as ``read`` does.

        Args:
            header: of the body.
            body: of the message.
            only: the segments that will be asked for, ``MSH`` among them; None: all. Others may be left out.
        """
        if header.fault:
            raise BadMessage("The message cannot be read.", code=header.fault)
        try:
            text = body[header.begin :].decode(header.body_encoding)
        except UnicodeDecodeError:
            # Not "from": the cause carries the body.
            raise BadMessage("The message is not in the character set that it names.", code="undecodable") from None
        nul = "\0" in text  # no part of any value, and no database takes it
        if nul:
            text = text.replace("\0", "")
            fields = [value.replace("\0", "") for value in header.fields]
            flags, type = (*header.flags, "nul_bytes"), _type(fields, header.delimiters)[0]
            header = header._replace(fields=fields, flags=flags, type=type)
        message = cls(header, text, only)
        if header.body_encoding != "utf-8" and not body.isascii() and _is_of("utf-8", body):
            message.flags.append("charset_doubtful")  # hardly any other text is UTF-8 by chance
        if len(message.all("MSH")) > 1:
            raise BadMessage("The frame holds several messages.", code="several_messages")
        return message

    def _lines(self, text: str) -> list[str]:
        """Split into segments. Where MSH does not end with a line feed alone, one ends a segment if another begins."""
        feed, end = text.find("\n"), text.find("\r")
        if feed < 0:
            return text.split("\r")
        if end < 0 or feed < end:
            self.flags += ["lf_segments"] + ["mixed_line_ends"] * (end >= 0)
            return (text if end < 0 else text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
        ends, both = text.count("\r"), text.count("\r\n")
        if both:
            self.flags.append("crlf_segments")
            text = text.replace("\r\n", "\r")
        text, feeds = _line_feeds(self.delimiters.field).subn("\r", text)
        if feeds or 0 < both < ends:
            self.flags.append("mixed_line_ends")
        return text.split("\r")

    @property
    def delimiters(self) -> Delimiters:
        """The characters that MSH-1 and MSH-2 name."""
        return self.header.delimiters

    def first(self, name: str) -> Segment | None:
        """Return the first segment of a name."""
        found = self.by_name.get(name)
        return found[0] if found else None

    def all(self, name: str) -> list[Segment]:
        """Return all segments of a name."""
        return self.by_name.get(name, [])

    def place(self, segment: Segment) -> int:
        """Return where a segment stands, counted from 0."""
        if self._places is None:
            self._places = {id(one): at for at, one in enumerate(self.segments)}
        return self._places[id(segment)]

    def before(self, one: Segment, other: Segment) -> bool:
        """Tell whether a segment stands before another."""
        return self.place(one) < self.place(other)

    def part(self, repetition: str, component: int = 1, sub: int = 1) -> str:
        """Return one decoded part of a repetition; empty where it is empty or null."""
        return self._notation.part(repetition, component, sub)

    def value(self, component: str, sub: int = 1) -> str:
        """Return one decoded subcomponent of a component; empty where it is empty or null."""
        return self._notation.value(component, sub)

    def decoded(self, text: str) -> str:
        """Return a text with its escapes decoded, once. Unknown escapes stay as they are."""
        return self._notation.decoded(text)
