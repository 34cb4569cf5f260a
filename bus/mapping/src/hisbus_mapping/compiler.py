"""Conditions, and with them the whole compiler."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hisbus_mapping.context import Mistake, Place, Read
from hisbus_mapping.numbers import patient_of
from hisbus_mapping.profile import All, Condition
from hisbus_mapping.values import NUMBER, Values
from hisbus_schemas import PatientId


@dataclass
class Compiler(Values):
    """Compiles values and the conditions in them."""

    def condition(self, said: Any, place: Place) -> Read[bool]:
        """Compile a condition."""
        condition = said if isinstance(said, Condition) else self.valid(Condition, said, place)
        parts = list(self._parts(condition, place))
        if not parts:
            raise Mistake(place, "a condition that asks nothing")
        if len(parts) == 1:
            return parts[0]
        return lambda group, run: all(part(group, run) for part in parts)

    def _parts(self, condition: Condition, place: Place) -> Iterator[Read[bool]]:
        if condition.path:
            yield from self._looks(condition, self.text(condition.path, place), place)
        if condition.types:
            types = frozenset(condition.types)
            yield lambda _group, run: run.type in types
        if condition.not_ is not None:
            other = self.condition(condition.not_, place)
            yield lambda group, run: not other(group, run)
        if condition.any:
            some = [self.condition(one, place) for one in condition.any]
            yield lambda group, run: any(one(group, run) for one in some)
        for one in condition.all:
            yield self.condition(one, place)
        if condition.all_of is not None:
            groups, each = self._of_groups(condition.all_of, place)
            yield lambda group, run: bool(found := groups(group, run)) and all(each(one, run) for one in found)
        if condition.any_of is not None:
            any_groups, one_of = self._of_groups(condition.any_of, place)
            yield lambda group, run: any(one_of(one, run) for one in any_groups(group, run))
        if condition.some:
            some_groups = self.path("groups", condition.some, place)
            yield lambda group, run: bool(some_groups(group, run))
        if condition.several:
            several_groups = self.path("groups", condition.several, place)
            yield lambda group, run: len(several_groups(group, run)) > 1
        if condition.equal is not None:
            left, right = (self.text(path, place) for path in condition.equal)
            yield lambda group, run: left(group, run) == right(group, run)
        if condition.same is not None:
            first, second = (self.numbered(path, place) for path in condition.same)
            yield lambda group, run: (number := first(group, run)) is not None and number == second(group, run)

    def _of_groups(self, said: All, place: Place) -> tuple[Read[Sequence[Any]], Read[bool]]:
        groups = self.path("groups", said.each, place)
        with self.inside():
            return groups, self.condition(said.when, place)

    def _looks(self, condition: Condition, text: Read[str], place: Place) -> Iterator[Read[bool]]:
        if condition.is_ is not None:
            wanted = condition.is_
            yield lambda group, run: text(group, run) == wanted
        if condition.among:
            among = frozenset(condition.among)
            yield lambda group, run: text(group, run) in among
        if condition.starts:
            begin = condition.starts
            yield lambda group, run: text(group, run).startswith(begin)
        if condition.table:
            table = self.table(condition.table, place)
            yield lambda group, run: text(group, run) in table
        if condition.number:
            yield lambda group, run: NUMBER.fullmatch(text(group, run)) is not None
        if condition.time:
            parse = self.read_time
            yield lambda group, run: parse(text(group, run)) is not None
        if condition.present is not None:
            present = condition.present
            yield lambda group, run: bool(text(group, run)) is present

    def numbered(self, path: str, place: Place) -> Read[PatientId | None]:
        """Compile a path to what reads a patient's number from it, as the envelope's first says; ``@``: the group's."""
        at = "" if path == "@" else path
        rules = self.profile.envelope.patients[0].model_copy(update={"each": at, "flag": "", "type": ""})
        return patient_of(self, [rules], place)
