"""How a message writes its values: delimiters, escapes and character set."""

import re
from dataclasses import dataclass
from functools import lru_cache

NULL = '""'
"""The HL7 null: the value is to be deleted."""


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The characters that MSH-1 and MSH-2 name."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    @property
    def encoding(self) -> str:
        """MSH-2."""
        return (self.component + self.repetition + self.escape + self.subcomponent).rstrip(ABSENT)


DEFAULT = Delimiters()
ABSENT = "\0"
"""A delimiter that the sender does not use: in no text, for NUL is taken out of it."""

_CODES = (
    r"([FSTREPHN])"
    r"|(X(?:[0-9A-Fa-f]{{2}})+(?:{0}{0}X(?:[0-9A-Fa-f]{{2}})+)*)"  # one character may be written byte by byte
    r"|(?i:\.(br|ce|sp|sk|fi|nf|in|ti) ?[+-]?([0-9]{{0,3}}))"
    r"|[CM](?:[0-9A-Fa-f]{{2}}){{2,3}}|Z[0-9A-Za-z]*"  # of a character set or the site: known, and left as they are
)
"""What an escape holds; anything else between two escape characters is text."""


def delimiters(separator: str, encoding: str) -> Delimiters | None:
    """Return the delimiters, or None where they are missing, repeated or alphanumeric.

    The last ones of MSH-2 may be left out (2.5.4): then they do not exist.
    """
    every = separator + encoding
    if every == "|^~\\&":
        return DEFAULT
    if is_doubled(encoding):
        encoding = encoding[:3] + encoding[4:]
        every = separator + encoding
    if not 1 <= len(encoding) <= 5 or len(set(every)) < len(every):
        return None
    if any(char.isalnum() or char == ABSENT for char in every):
        return None
    return Delimiters(separator, *encoding[:4].ljust(4, ABSENT))


def is_doubled(encoding: str) -> bool:
    """Tell whether MSH-2 has its escape character twice, as when it was once too often quoted."""
    return len(encoding) > 3 and encoding[2] == encoding[3]


@lru_cache(maxsize=32)
def escapes(char: str) -> re.Pattern[str]:
    """Return what finds the escapes of a sender's escape character, each by itself."""
    char = re.escape(char)
    return re.compile(f"{char}(?:{_CODES.format(char)}){char}")


class Notation:
    """Reads values as one message writes them. It knows no segment, so a message is gone with its last reference."""

    __slots__ = ("_codec", "delimiters")

    def __init__(self, delimiters: Delimiters, codec: str) -> None:
        self.delimiters = delimiters
        self._codec = codec

    def part(self, repetition: str, component: int = 1, sub: int = 1) -> str:
        """Return one decoded part of a repetition; empty where it is empty or null. ``sub`` as ``value`` has it."""
        separator = self.delimiters.component
        if component > 1 or separator in repetition:
            components = repetition.split(separator, component)
            if component > len(components):
                return ""
            repetition = components[component - 1]
        return self.value(repetition, sub)

    def value(self, component: str, sub: int = 1) -> str:
        """Return one decoded subcomponent of a component, 0 for all of it as text; empty where it is empty or null."""
        if not component or component.isalnum():
            return component if sub <= 1 else ""
        delimiters = self.delimiters
        if sub > 1 or (sub and delimiters.subcomponent in component):
            parts = component.split(delimiters.subcomponent, sub)
            if sub > len(parts):
                return ""
            component = parts[sub - 1]
        if component == NULL:
            return ""
        return (self.decoded(component) if delimiters.escape in component else component).strip()

    def decoded(self, text: str) -> str:
        """Return a text with its escapes decoded, once and one by one. What begins none stays as it is."""
        escape = self.delimiters.escape
        return escapes(escape).sub(self._unescape, text) if escape in text else text

    def _unescape(self, match: re.Match[str]) -> str:
        simple, digits, command, count = match.groups()
        delimiters = self.delimiters
        if simple:
            return {
                "F": delimiters.field,
                "S": delimiters.component,
                "T": delimiters.subcomponent.replace(ABSENT, DEFAULT.subcomponent),
                "R": delimiters.repetition,
                "E": delimiters.escape,
                "P": "#",
                "H": "",
                "N": "",
            }[simple]
        if digits:
            text = self._hexadecimal(digits)
            return match[0] if text is None else text
        if command is None:
            return match[0]
        # One digit counts, so that no text can be blown up.
        number = int(count) if len(count) == 1 else 1
        return {"br": "\n", "ce": "\n", "sp": "\n", "sk": " "}.get(command.lower(), "") * number

    def _hexadecimal(self, digits: str) -> str | None:
        escape = self.delimiters.escape
        try:
            text = bytes.fromhex(digits.replace(escape, "").replace("X", "")).decode(self._codec)
        except ValueError:
            return None
        return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
