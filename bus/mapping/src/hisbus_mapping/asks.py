"""Which tables of a profile people are asked for, and what they may answer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hisbus_mapping.profile import Profile
from hisbus_mapping.run import NONE


class Asks(NamedTuple):
    """A table of codes that people complete."""

    item: str
    """What cannot be judged while a code of it is open."""
    words: Sequence[str]
    """What may be answered: what the table maps to already, in its order, and ``NONE``."""


def asks_of(profile: Profile) -> Mapping[str, Asks]:
    """Return the tables whose unknown codes are asked of people, by name."""
    found: dict[str, Asks] = {}
    for table, item in _asking(profile.model_dump(mode="json", by_alias=True)):
        if table in profile.codes:
            words = dict.fromkeys(filter(None, profile.codes[table].known.values()))
            found.setdefault(table, Asks(item, [*words, NONE]))
    return found


def _asking(said: Any) -> Iterator[tuple[str, str]]:
    """Yield table and item of every value that asks, wherever in the profile."""
    if isinstance(said, list):
        for one in said:
            yield from _asking(one)
    elif isinstance(said, dict):
        if said.get("otherwise") == "ask" and said.get("table"):
            yield said["table"], said.get("item", "")
        for one in said.values():
            yield from _asking(one)
