"""A survey of a capture: which codes no table of the profile has, which places carry values that nothing reads."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hisbus import Connector, Raw, Translation
from hisbus_mapping.compile import Program
from hisbus_mapping.mapping import Mapping as Meaning
from hisbus_mapping.mapping import compiler_of
from hisbus_mapping.profile import Profile


class _Watched(dict[str, str]):
    """A table of codes that notes what it is asked for and does not have."""

    def __init__(self, table: Mapping[str, str]) -> None:
        super().__init__(table)
        self.missed: set[str] = set()

    def __contains__(self, code: object) -> bool:
        known = super().__contains__(code)
        if not known and isinstance(code, str) and code:
            self.missed.add(code)
        return known

    def get(self, code: str, default: Any = None) -> Any:
        return self[code] if code in self else default


class Survey:
    """Reads messages with a profile, and notes what it does not know."""

    def __init__(self, connector: Connector, over: Path | None = None) -> None:
        """Compile the connector's profile; ``over`` is a site's file laid over it, as ``Mapping`` has it.

        Raises:
            ConfigError: the profile is wrong.
        """
        self.meaning = Meaning(connector, over)
        compiler = compiler_of(self.meaning.profile, connector)
        tables = {name: _Watched(table) for name, table in compiler.codes.items()}
        compiler.codes = tables
        self.meaning.program = None if self.meaning.profile.function else Program(compiler)
        self._tables = {name: tables[name] for name in _turning(self.meaning.profile) if name in tables}
        self.codes: dict[str, Counter[str]] = {name: Counter() for name in self._tables}
        """By table: in how many messages a code stands that it does not have."""
        self.unread: Counter[str] = Counter()
        """In how many messages a place carries a value that nothing reads."""

    def read(self, raw: Raw) -> Translation:
        """Read a message.

        Raises:
            BadMessage: it cannot be understood; what it was asked about counts all the same.
        """
        for table in self._tables.values():
            table.missed.clear()
        try:
            translation = self.meaning.translate(raw)
        finally:
            for name, table in self._tables.items():
                self.codes[name].update(sorted(table.missed))
        self.unread.update(translation.count().unread.keys())
        return translation


def _turning(profile: Profile) -> list[str]:
    """Return the tables that turn a code into a word; others only tell whether they have it."""
    return list(dict.fromkeys(_named(profile.model_dump(mode="json", by_alias=True))))


def _named(said: Any) -> Iterator[str]:
    if isinstance(said, list):
        for one in said:
            yield from _named(one)
    elif isinstance(said, dict):
        if isinstance(said.get("table"), str) and said["table"] and not said.get("path"):
            yield said["table"]
        for one in said.values():
            yield from _named(one)
