"""Values: from what a profile says of one to a function that reads it from a group."""

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel

from hisbus_mapping.context import Context, Mistake, Place, Read, T
from hisbus_mapping.names import joined
from hisbus_mapping.profile import Value
from hisbus_mapping.run import NONE, Run
from hisbus_schemas import Code, Moment

NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


@dataclass
class Values(Context):
    """Compiles values: texts, times, days, numbers, yes or no."""

    @abstractmethod
    def condition(self, said: Any, place: Place) -> Read[bool]:
        """Compile a condition."""

    def value(self, said: Any, place: Place) -> Value:
        """Return what is said of a value in its long form."""
        if isinstance(said, Value):
            return said
        if isinstance(said, str):
            return Value(from_=said)
        if isinstance(said, (list, tuple)):
            said = {"from": said}
        return self.valid(Value, said, place)

    def text(self, said: Any, place: Place) -> Read[str]:
        """Compile a value to what reads it as text; empty where there is none."""
        value = self.value(said, place)
        read = self._taken(value, place)
        if value.table:
            read = _then(read, self.word(value, place))
        if value.when is not None and not value.each:
            read = _when(self.condition(value.when, (*place, "when")), read, "")
        if value.flag:
            read = _flagging(read, value.flag)
        return read

    def _taken(self, value: Value, place: Place) -> Read[str]:
        if value.value is not None:
            constant = value.value
            return lambda _group, _run: constant
        if value.function:
            return self.function(value.function, place, value.reads)
        if value.join:
            parts = [self.text(one, (*place, "join")) for one in value.join]
            between = value.with_
            return lambda group, run: between.join(filter(None, [part(group, run) for part in parts]))
        if value.name is not None:
            family, given = (self.path("text", path, (*place, "name")) for path in value.name)
            return lambda group, run: joined(family(group, run), given(group, run))
        if value.every:
            every, between = self.path("every", value.every, (*place, "every")), value.with_ or "\n"
            return lambda group, run: between.join(every(group, run))
        if value.each:
            return self._picked(value, place)
        return self._first(value.from_, place)

    def _first(self, from_: Any, place: Place) -> Read[str]:
        if isinstance(from_, str):
            return self._of_path(from_, place)
        readers = [self.text(one, (*place, "from")) for one in from_]
        if not readers:
            raise Mistake(place, "it names nothing to read: from, value, join, name, every or function")
        if len(readers) == 1:
            return readers[0]

        def first(group: Any, run: Run) -> str:
            for read in readers:
                if text := read(group, run):
                    return text
            return ""

        return first

    def _of_path(self, path: str, place: Place) -> Read[str]:
        if path == "@message":
            return lambda _group, run: run.raw.id
        if path == "@number":
            return lambda _group, run: str(run.number)
        if path == "@number_type":
            return lambda _group, run: run.number_type
        if path.startswith("@data."):
            field = path.removeprefix("@data.")
            return lambda _group, run: _carried(run.data, field)
        read: Read[str] = self.path("text", path, place)
        return read

    def _picked(self, value: Value, place: Place) -> Read[str]:
        groups = self.path("groups", value.each, (*place, "each"))
        self.reads(value.each)
        with self.inside():
            when = self.condition(value.when, (*place, "when")) if value.when else None
            inner = self._first(value.from_, place)

        def picked(group: Any, run: Run) -> str:
            for one in groups(group, run):
                if (when is None or when(one, run)) and (text := inner(one, run)):
                    return text
            return ""

        return picked

    def word(self, value: Value, place: Place) -> Callable[[str, Run], str]:
        """Compile what a table makes of a code."""
        table, label = self.table(value.table, place), self._label(value)
        name, otherwise, item = value.table, value.otherwise, value.item

        def word(code: str, run: Run) -> str:
            known = table.get(code) if code else ""
            if known is not None:
                return known
            if otherwise == "keep":  # what a person has said of it counts here, too
                kept = run.answers.get((name, code), code)
                return code if kept == NONE else kept
            answer = run.answer(name, item, Code(code=code)) if otherwise == "ask" else ""
            if not answer:
                run.flag(f"unknown_code.{label}")
            return "" if answer == NONE else answer

        return word

    def _label(self, value: Value) -> str:
        return self.format.label(path) if (path := first_path(value)) else "value"

    def texts(self, said: Any, place: Place) -> Read[list[str]]:
        """Compile a value to what reads a list of texts; of several, one after the other."""
        if isinstance(said, (list, tuple)):
            parts = [self.texts(one, place) for one in said]
            return lambda group, run: [text for part in parts for text in part(group, run)]
        value = self.value(said, place)
        if value.function:
            return self.function(value.function, place, value.reads)
        if value.each:
            return self._one_of_each(value, place)
        if value.every:
            read = self.path("every", value.every, (*place, "every"))
        elif isinstance(value.from_, str):
            read = self.path("texts", value.from_, place)
        else:
            one = self.text(value, place)
            return lambda group, run: [text] if (text := one(group, run)) else []
        if not value.table:
            return lambda group, run: [text for text in read(group, run) if text.strip()]
        table = self.table(value.table, place)
        return lambda group, run: [table.get(text, text) for text in read(group, run)]

    def _one_of_each(self, value: Value, place: Place) -> Read[list[str]]:
        groups, take = self.path("groups", value.each, (*place, "each")), self.format.take
        with self.inside():
            when = self.condition(value.when, (*place, "when")) if value.when else None
            inner = self.text(value.model_copy(update={"each": "", "when": None}), place)

        def texts(group: Any, run: Run) -> list[str]:
            found = [one for one in groups(group, run) if when is None or when(one, run)]
            for one in found:
                take(one)
            return [text for one in found if (text := inner(one, run))]

        return texts

    def moment(self, said: Any, place: Place) -> Read[Moment | None]:
        """Compile a time. One that cannot be read is flagged and says nothing."""
        if said == "@time":
            return lambda _group, run: run.time
        if isinstance(said, (list, tuple)) or (isinstance(said, Mapping) and isinstance(said.get("from"), list)):
            return self._first_moment(said, place)
        value = self.value(said, place)
        if value.from_ == "@time":
            read: Read[Moment | None] = lambda _group, run: run.time  # noqa: E731
            if value.when is not None:
                read = _when(self.condition(value.when, (*place, "when")), read, None)
            return read
        if value.function:
            return self.function(value.function, place, value.reads)
        moment = _then(self.text(value, place), self.moment_of(value))
        return self._later(moment, value.add_minutes, place) if value.add_minutes else moment

    def moment_of(self, value: Value) -> Callable[[str, Run], Moment | None]:
        """Compile what a text says of a time."""
        label, parse = self._label(value), self.read_time

        def moment(written: str, run: Run) -> Moment | None:
            if not written:
                return None
            read = parse(written)
            if read is None:
                run.flag(f"bad_time.{label}")
            return read

        return moment

    def _first_moment(self, said: Any, place: Place) -> Read[Moment | None]:
        listed: Any = said.get("from") if isinstance(said, Mapping) else said
        readers = [self.moment(one, (*place, "from")) for one in listed]

        def first(group: Any, run: Run) -> Moment | None:
            for read in readers:
                if (moment := read(group, run)) is not None:
                    return moment
            return None

        if isinstance(said, Mapping) and (rest := {key: one for key, one in said.items() if key != "from"}):
            value = self.value({"value": "", **rest}, place)
            if value.when is not None:
                return _when(self.condition(value.when, (*place, "when")), first, None)
        return first

    def _later(self, read: Read[Moment | None], path: str, place: Place) -> Read[Moment | None]:
        minutes = self.path("text", path, (*place, "add_minutes"))
        label = self.format.label(path)

        def later(group: Any, run: Run) -> Moment | None:
            start, text = read(group, run), minutes(group, run)
            if start is None or not text:
                return None
            try:
                if NUMBER.fullmatch(text):
                    at = start.at + timedelta(minutes=float(text))
                    return Moment(at=at, precision=start.precision, offset=start.offset)
            except OverflowError:
                pass  # flagged like any other text that is no number of minutes
            run.flag(f"bad_number.{label}")
            return None

        return later

    def day(self, said: Any, place: Place) -> Read[date | None]:
        """Compile a day. One that cannot be read is flagged and says nothing."""
        value = self.value(said, place)
        return _then(self.text(value, place), self.day_of(value))

    def day_of(self, value: Value) -> Callable[[str, Run], date | None]:
        """Compile what a text says of a day."""
        label, parse = self._label(value), self.read_day

        def day(written: str, run: Run) -> date | None:
            if not written:
                return None
            read = parse(written)
            if read is None:
                run.flag(f"bad_time.{label}")
            return read

        return day

    def truth(self, said: Any, place: Place) -> Read[bool | None]:
        """Compile yes or no: a condition, or a value that a table turns into ``true`` or ``false``."""
        if isinstance(said, bool):
            return lambda _group, _run: said
        if isinstance(said, Mapping) and set(said) == {"when"}:
            return self.condition(said["when"], (*place, "when"))
        text = self.text(said, place)
        return lambda group, run: self.truth_of(text(group, run))

    @staticmethod
    def truth_of(text: str) -> bool | None:
        """Return yes or no; what is neither says nothing."""
        return True if text == "true" else False if text == "false" else None

    def number(self, said: Any, place: Place) -> Read[int | None]:
        """Compile a whole number; what is none says nothing."""
        text = self.text(said, place)
        return lambda group, run: self.number_of(text(group, run))

    @staticmethod
    def number_of(written: str) -> int | None:
        """Return a whole number; what is none says nothing."""
        return int(written) if written.isascii() and written.isdigit() and len(written) <= 9 else None


def first_path(value: Value) -> str:
    """Return the first path that a value names; empty where it names none."""
    for one in (value.from_, value.each, value.every, *value.join, *(value.name or ())):
        found = one if isinstance(one, str) else _first_of(one)
        if found and not found.startswith("@"):
            return found
    return ""


def _first_of(said: Any) -> str:
    if isinstance(said, Value):
        return first_path(said)
    return next(filter(None, (one if isinstance(one, str) else first_path(one) for one in said)), "")


def _carried(data: Any, field: str) -> str:
    """Return what a fact carries in a field; of a part with fields of its own no more than that it is there."""
    value = getattr(data, field, None)
    if isinstance(value, BaseModel):
        return field
    return str(value or "")


def _then(read: Read[str], say: Callable[[str, Run], T]) -> Read[T]:
    return lambda group, run: say(read(group, run), run)


def _when(condition: Read[bool], read: Read[T], otherwise: T) -> Read[T]:
    return lambda group, run: read(group, run) if condition(group, run) else otherwise


def _flagging(read: Read[str], flag: str) -> Read[str]:
    def flagging(group: Any, run: Run) -> str:
        if text := read(group, run):
            run.flag(flag)
        return text

    return flagging
