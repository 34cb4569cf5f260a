"""What a site's file changes of the profile that ships, and what in it is doubtful though it compiles."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hisbus_mapping.asks import asks_of
from hisbus_mapping.lines import line_of
from hisbus_mapping.profile import Profile, read_table
from hisbus_mapping.run import NONE


class Change(NamedTuple):
    """A key that a site's file names."""

    place: Sequence[str]
    line: int
    how: Literal["adds", "replaces", "repeats"]
    """``repeats``: what it says ships already."""


class Doubt(NamedTuple):
    """What compiles and may be meant otherwise."""

    place: Sequence[str]
    line: int
    said: str


def changes(shipped: Path, over: Path) -> list[Change]:
    """Return what a site's file changes, key by key, in its order.

    Raises:
        ConfigError: a file cannot be read.
    """
    text, table = read_table(over)
    found = _changes(read_table(shipped)[1], table, ())
    return [Change(place, line_of(text, place)[0], how) for place, how in found]


def doubts(profile: Profile, shipped: Profile, over: Path) -> list[Doubt]:
    """Return what is doubtful in a site's file.

    Args:
        profile: as compiled, the site's file laid over what ships.
        shipped: what ships.
        over: the site's file.
    """
    text, table = read_table(over)
    found = [*_unused(profile, table), *_unknown_words(shipped, table), *_unanswerable(profile)]
    return [Doubt(place, line_of(text, place)[0], said) for place, said in found]


def _changes(
    below: Mapping[str, Any], above: Mapping[str, Any], place: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Literal["adds", "replaces", "repeats"]]]:
    for key, value in above.items():
        at, beneath = (*place, key), below.get(key)
        if isinstance(value, dict) and isinstance(beneath, dict | None):
            yield from _changes(beneath or {}, value, at)
        elif key not in below:
            yield at, "adds"
        else:
            yield at, "repeats" if value == beneath else "replaces"


def _unused(profile: Profile, over: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield tables and shapes of a site's file that nothing names."""
    said = profile.model_dump(mode="json", by_alias=True)
    for kind, key in (("codes", "table"), ("shapes", "shape")):
        used = set(_named(said, key))
        for name in over.get(kind, {}):
            if name not in used:
                yield (kind, name), "nothing uses it"


def _named(said: Any, key: str) -> Iterator[str]:
    """Yield what a key says, wherever in a profile."""
    if isinstance(said, list):
        for one in said:
            yield from _named(one, key)
    elif isinstance(said, dict):
        if isinstance(said.get(key), str):
            yield said[key]
        for one in said.values():
            yield from _named(one, key)


def _unanswerable(profile: Profile) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield tables whose codes people are asked for and that have no word for an answer."""
    for name, asks in asks_of(profile).items():
        if list(asks.words) == [NONE]:
            yield ("codes", name), f"people are asked for its codes, and it has no word: they can answer {NONE!r} alone"


def _unknown_words(shipped: Profile, over: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield words of a site's file that stand in no table of that name which ships: what is no word of ours is lost."""
    for name, table in over.get("codes", {}).items():
        ours = set(shipped.codes[name].known.values()) if name in shipped.codes else set()
        if not ours - {""}:  # the site's own table, or one that ships empty
            continue
        for code, word in table.get("words", {}).items():
            if word not in ours and word not in ("", NONE):
                known = ", ".join(sorted(ours - {""}))
                yield ("codes", name, "words", code), f"{word!r} is none of the words that ship in it: {known}"
