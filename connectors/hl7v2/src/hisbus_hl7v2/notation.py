"""How a message writes its values: delimiters, escapes and character set."""

import re
from dataclasses import dataclass

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
        return self.component + self.repetition + self.escape + self.subcomponent


DEFAULT = Delimiters()


def delimiters(separator: str, encoding: str) -> Delimiters | None:
    """Return the delimiters, or None where they are missing, repeated or alphanumeric."""
    every = separator + encoding
    if every == "|^~\\&":
        return DEFAULT
    if len(encoding) not in (4, 5) or len(set(every)) < len(every) or any(char.isalnum() for char in every):
        return None
    return Delimiters(separator, *encoding[:4])


class Notation:
    """Reads values as one message writes them. It knows no segment, so a message is gone with its last reference."""

    __slots__ = ("_codec", "_escapes", "delimiters")

    def __init__(self, delimiters: Delimiters, codec: str) -> None:
        self.delimiters = delimiters
        self._codec = codec
        self._escapes: re.Pattern[str] | None = None

    def part(self, repetition: str, component: int = 1, sub: int = 1) -> str:
        """Return one decoded part of a repetition; empty where it is empty or null."""
        separator = self.delimiters.component
        if component > 1 or separator in repetition:
            components = repetition.split(separator, component)
            if component > len(components):
                return ""
            repetition = components[component - 1]
        return self.value(repetition, sub)

    def value(self, component: str, sub: int = 1) -> str:
        """Return one decoded subcomponent of a component; empty where it is empty or null."""
        if not component or component.isalnum():
            return component if sub == 1 else ""
        delimiters = self.delimiters
        if sub > 1 or delimiters.subcomponent in component:
            parts = component.split(delimiters.subcomponent, sub)
            if sub > len(parts):
                return ""
            component = parts[sub - 1]
        if component == NULL:
            return ""
        return (self.decoded(component) if delimiters.escape in component else component).strip()

    def decoded(self, text: str) -> str:
        """Return a text with its escapes decoded, once. Unknown escapes stay as they are."""
        escape = self.delimiters.escape
        if escape not in text:
            return text
        if self._escapes is None:
            char = re.escape(escape)
            self._escapes = re.compile(f"{char}([^{char}\r\n]*){char}")
        return self._escapes.sub(self._unescape, text)

    def _unescape(self, match: re.Match[str]) -> str:
        code = match[1]
        delimiters = self.delimiters
        simple = {
            "F": delimiters.field,
            "S": delimiters.component,
            "T": delimiters.subcomponent,
            "R": delimiters.repetition,
            "E": delimiters.escape,
            "P": "#",
            "H": "",
            "N": "",
        }
        if code in simple:
            return simple[code]
        if code[:1] == "X":
            text = self._hexadecimal(code[1:])
            return match[0] if text is None else text
        if code[:3] in (".br", ".ce", ".sp"):
            return "\n" * _count(code)
        if code[:3] == ".sk":
            return " " * _count(code)
        return "" if code[:3] in (".fi", ".nf", ".in", ".ti") else match[0]

    def _hexadecimal(self, digits: str) -> str | None:
        try:
            text = bytes.fromhex(digits).decode(self._codec)
        except ValueError:
            return None
        return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def _count(code: str) -> int:
    """Return how many lines or blanks a formatting command asks for; one digit, so that no text can be blown up."""
    return int(code[3]) if re.fullmatch(r"\.[a-z]{2}[0-9]", code) else 1
