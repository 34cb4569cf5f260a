"""The format of a source that is asked by its paths each time: it needs no more than ``groups`` and ``texts``."""

from collections.abc import Callable, Sequence
from typing import Any

from hisbus import Source


class PlainFormat:
    """How paths of any source are read. A path that is none is found when a message is read, not before."""

    def text(self, path: str) -> Callable[[Any, Any], str]:
        """Return what reads the first value of a path that is not empty."""
        return lambda group, _run: next(filter(None, group.texts(path)), "")

    def together_at(self, path: str) -> str:
        """Return that each path is read alone."""
        return ""

    def several(self, paths: Sequence[str]) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads the first values of paths."""
        readers = [self.text(path) for path in paths]
        return lambda group, run: [read(group, run) for read in readers]

    def texts(self, path: str) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads the values of a path."""
        return lambda group, _run: [text for text in group.texts(path) if text]

    def every(self, path: str) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads the values of a path."""
        return self.texts(path)

    def groups(self, path: str) -> Callable[[Any, Any], Sequence[Any]]:
        """Return what finds the groups that a path names."""
        return lambda group, _run: group.groups(path)

    def deleted(self, path: str) -> Callable[[Any, Any], bool]:
        """Return that nothing is deleted."""
        return lambda _group, _run: False

    def leaves(self, field: str, text: str) -> None:
        """Take every field: its connector knows what it writes."""

    def take(self, group: Any) -> None:
        """Note nothing: the source knows what was asked of it."""

    def together(self, groups: Sequence[Any]) -> "Together":
        """Return one group that holds several."""
        return Together(groups)

    def whole(self, path: str) -> bool:
        """Return that each value is read alone."""
        return False

    def within(self, at: str, path: str) -> str:
        """Return one path behind the other."""
        return at + path

    def label(self, path: str) -> str:
        """Return the path."""
        return path


class Together:
    """Several groups as one."""

    def __init__(self, groups: Sequence[Source]) -> None:
        self._groups = groups
        self.flags = groups[0].flags

    def groups(self, path: str) -> list[Source]:
        """Return the groups that a path names in each of them."""
        return [one for group in self._groups for one in group.groups(path)]

    def texts(self, path: str) -> list[str]:
        """Return the values of a path in each of them."""
        return [text for group in self._groups for text in group.texts(path)]
