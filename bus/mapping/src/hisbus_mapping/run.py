"""One message on its way to facts: what is noted while it is read."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from hisbus import Raw
from hisbus_schemas import Code, Moment


class Asked(NamedTuple):
    """A code that is in no table, of which a person must say what it means."""

    item: str
    """What cannot be judged meanwhile."""
    code: Code
    """As sent."""


class Run:
    """What is noted while one message is read."""

    __slots__ = (
        "answers", "asked", "authority", "data", "flags", "group", "looked_up", "number", "raw", "time", "type",
    )  # fmt: skip

    def __init__(self, raw: Raw, type: str, answers: Mapping[tuple[str, str], str], authority: str = "") -> None:
        self.raw = raw
        self.type = type
        """Of the message, without blanks and in capitals."""
        self.flags: list[str] = []
        """Reservations about what is said of it."""
        self.answers = answers
        """What people have said of codes: our word by table and code."""
        self.authority = authority
        """Whose numbers those are that name no authority, where that is not the connector's to say."""
        self.asked: list[Asked] = []
        """Of what is being read now."""
        self.looked_up: dict[tuple[str, str], str] = {}
        """The codes that the shipped and the site's tables lack, with the answer; empty: there is none yet."""
        self.time: Moment | None = None
        """Of the facts that are being made."""
        self.data: Any = None
        """What the fact carries whose kind is being decided."""
        self.number = 0
        """Of the group that is being read, counted from 1."""
        self.group: Any = None
        """The message, or the part of it that is about one patient."""

    def flag(self, flag: str) -> None:
        """Note a reservation, once."""
        if flag not in self.flags:
            self.flags.append(flag)

    def take_asked(self) -> list[Asked]:
        """Return what was asked since the last time."""
        asked, self.asked = self.asked, []
        return asked
