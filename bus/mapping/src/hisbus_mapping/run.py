"""One message on its way to facts: what is noted while it is read."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from hisbus import LookedUp, Raw
from hisbus_schemas import Code, Moment

NONE = "none"
"""Said of a code instead of a word: it is none of ours. It is left as it is, and nobody is asked again."""


Words = Mapping[tuple[str, str], str]
"""What people have said of codes: our word, or ``NONE``, by table and code."""


class Asked(NamedTuple):
    """A code that is in no table, of which a person must say what it means."""

    item: str
    """What cannot be judged meanwhile."""
    code: Code
    """As sent."""


class Run:
    """What is noted while one message is read."""

    __slots__ = (
        "answers", "asked", "authority", "data", "flags", "group", "kept", "looked_up", "number", "number_type", "raw",
        "said", "sender", "time", "type",
    )  # fmt: skip

    def __init__(self, raw: Raw, type: str, answers: Words, authority: str = "", sender: str = "") -> None:
        self.raw = raw
        self.type = type
        """Of the message, without blanks and in capitals."""
        self.sender = sender
        """Of the message, as its source names it; empty: it names none."""
        self.flags: list[str] = []
        """Reservations about what is said of it."""
        self.said: dict[str, int] = {}
        """How often each was noted."""
        self.answers = answers
        """What people have said of codes: our word by table and code."""
        self.authority = authority
        """Whose numbers those are that name no authority, where that is not the connector's to say."""
        self.asked: list[Asked] = []
        """Of what is being read now."""
        self.looked_up: dict[tuple[str, str], LookedUp] = {}
        """The codes that the shipped and the site's tables lack, by table and code."""
        self.time: Moment | None = None
        """Of the facts that are being made."""
        self.data: Any = None
        """What the fact carries whose kind is being decided."""
        self.number = 0
        """Of the group that is being read, counted from 1."""
        self.number_type = ""
        """What kind of number the patient's is, as his source says."""
        self.kept: dict[Any, Any] = {}
        """What the readers of paths keep of the message while it is read."""
        self.group: Any = None
        """The message, or the part of it that is about one patient."""

    def flag(self, flag: str) -> None:
        """Note a reservation; it stands once, however often it is noted."""
        times = self.said.get(flag, 0)
        self.said[flag] = times + 1
        if not times and flag not in self.flags:
            self.flags.append(flag)

    def answer(self, table: str, item: str, sent: Code) -> str:
        """Return what people have said of a code that a table lacks, and note that it was looked up.

        Where they have not, it is asked of them: empty.
        """
        code = sent.code or next((code for code, _ in sent.codes), "") or sent.text or sent.alternate_text
        known = self.looked_up.get((table, code))
        answer = self.answers.get((table, code), "") if known is None else known.answer
        if known is None and code:  # of what has neither code nor text nobody can say what it is
            asked = sent if sent.code else sent.model_copy(update={"code": code})
            self.looked_up[table, code] = LookedUp(table, item, asked, answer)
        if not answer:
            self.asked.append(Asked(item, sent))
        return answer

    def take_asked(self) -> list[Asked]:
        """Return what was asked since the last time."""
        asked, self.asked = self.asked, []
        return asked
