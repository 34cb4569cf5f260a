"""Making a model: one function for each, written as Python when the profile is compiled.

Plain texts of one part of a message (HL7 v2: of a segment) are read at once; what a profile says of each is an
expression beside them. What is no plain text is asked of its own reader. The stay of an ADT becomes::

    def make(group, run):
        t0, t1, t2, t3 = n0(group, run)
        patient_class = n1(t0, run) or None
        location = n2({"ward": t1, "room": t2, "bed": t3}) if t1 or t2 or t3 else None
        ...
        return n9({"patient_class": patient_class, "location": location, ...})
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel

from hisbus_mapping.compiler import Compiler
from hisbus_mapping.context import Place
from hisbus_mapping.names import joined
from hisbus_mapping.profile import Value
from hisbus_schemas import Moment

_PLAIN = frozenset({"from_", "join", "with_", "name", "table", "otherwise", "item"})
"""Keys of a value that is nothing but texts and what a table makes of them."""


class Writing:
    """A function that is being written."""

    def __init__(self, compiler: Compiler, place: Place) -> None:
        self._compiler = compiler
        self._place = place
        self._names: dict[str, Any] = {}
        self._texts: dict[str, dict[str, str]] = {}
        self._lines: list[str] = []

    def name(self, thing: Any) -> str:
        """Return what the function calls a thing."""
        name = f"n{len(self._names)}"
        self._names[name] = thing
        return name

    def line(self, line: str) -> None:
        """Add a line."""
        self._lines.append(line)

    def plain(self, optional: bool, kind: Any, said: Any, place: Place) -> str:
        """Return the expression of a value that is made of plain texts of one part; empty: it is not."""
        compiler = self._compiler
        if kind is bool and isinstance(said, Mapping) and "table" not in said:
            return ""
        value = self._value(said, place)
        if value is None:
            return ""
        text = self._text(value)
        if value.table:
            text = f"{self.name(compiler.word(value, place))}({text}, run)"
        if kind is Moment:
            return f"{self.name(compiler.moment_of(value))}({text}, run)"
        if kind is date:
            return f"{self.name(compiler.day_of(value))}({text}, run)"
        if kind is int:
            return f"{self.name(compiler.number_of)}({text}){'' if optional else ' or 0'}"
        if kind is bool:
            return f"{text} == 'true'" if not optional else f"{self.name(compiler.truth_of)}({text})"
        return f"{text} or None" if optional else text

    def texts(self, cls: type[BaseModel], said: Mapping[str, Any], place: Place, *, optional: bool) -> str:
        """Return the expression of a model of nothing but plain texts, made in place; empty: it is none."""
        if any(name not in cls.model_fields or cls.model_fields[name].annotation is not str for name in said):
            return ""
        plain = {name: self.plain(False, str, one, (*place, name)) for name, one in said.items()}
        if not all(plain.values()):
            return ""
        values = {name: self._kept(text) for name, text in plain.items()}
        made = f"{self.making(cls)}({_table(values)})"
        return f"{made} if {' or '.join(values.values()) or 'False'} else None" if optional else made

    def making(self, cls: type[BaseModel]) -> str:
        """Return what the function calls what makes a model of a table: pydantic's own, without a call between."""
        return self.name(cls.__pydantic_validator__.validate_python)

    def _kept(self, expression: str) -> str:
        """Return the variable that holds an expression, so that it is said once."""
        bare = expression.strip("()")
        if bare.isalnum():
            return bare
        name = f"v{len(self._lines)}"
        self.line(f"{name} = {expression}")
        return name

    def _value(self, said: Any, place: Place) -> Value | None:
        """Return a value that is nothing but texts of one part."""
        if not isinstance(said, (str, Mapping)):
            return None
        value = self._compiler.value(said, place)
        paths = self._paths(value)
        if value.model_fields_set - _PLAIN or not paths:
            return None
        parts = {self._compiler.format.together_at(path) if isinstance(path, str) else "" for path in paths}
        return value if len(parts) == 1 and "" not in parts else None

    @staticmethod
    def _paths(value: Value) -> tuple[Any, ...]:
        return value.join or value.name or ((value.from_,) if isinstance(value.from_, str) else value.from_)

    def _text(self, value: Value) -> str:
        texts = [self._variable(path) for path in self._paths(value)]
        if value.join:
            return f"{value.with_!r}.join(filter(None, ({', '.join(texts)},)))"
        return f"{self.name(joined)}({', '.join(texts)})" if value.name else f"({' or '.join(texts)})"

    def _variable(self, path: str) -> str:
        known = self._texts.setdefault(self._compiler.format.together_at(path), {})
        return known.setdefault(path, f"t{sum(map(len, self._texts.values()))}")

    def done(self) -> Callable[[Any, Any], Any]:
        """Return the function."""
        reads = []
        for variables in self._texts.values():
            several = self.name(self._compiler.several([*variables], self._place))
            reads.append(f"{', '.join(variables.values())}, = {several}(group, run)")
        body = "\n    ".join([*reads, *self._lines])
        names = dict(self._names)
        exec(f"def make(group, run):\n    {body}\n", names)  # noqa: S102 - of names and numbers; texts are quoted
        made: Callable[[Any, Any], Any] = names["make"]
        return made


def write(
    compiler: Compiler,
    cls: type[BaseModel],
    values: Mapping[str, Callable[[Writing], str]],
    place: Place,
    *,
    empties: tuple[Callable[..., Any], Callable[..., Any]] | None,
    says: Callable[[Any], bool] | None,
) -> Callable[[Any, Any], Any]:
    """Write the function that makes a model.

    Args:
        compiler: what is compiled with.
        cls: the model.
        values: of each field, what returns its expression.
        place: in the profile.
        empties: whether a message may empty anything, and which fields this one empties; None: the model has none.
        says: tells whether a value says something; where none does, there is no model. None: there always is.
    """
    writing = Writing(compiler, place)
    for field, value in values.items():
        writing.line(f"{field} = {value(writing)}")
    given = {field: field for field in values}
    # What is not said is given all the same: pydantic would copy a default list each time.
    given |= {name: "()" for name, one in cls.model_fields.items() if one.default == [] and name not in values}
    spoken = [*values]
    if empties is not None:
        possible, which = map(writing.name, empties)
        writing.line(f"deleted = {which}(group, run, {_table(given)}) if run.asked or {possible}(group, run) else ()")
        given["deleted"] = "deleted"
        spoken.append("deleted")
    if says is not None:
        said = writing.name(says)
        writing.line(f"if not ({' or '.join(f'{said}({field})' for field in spoken) or 'False'}): return None")
    writing.line(f"return {writing.making(cls)}({_table(given)})")
    return writing.done()


def _table(values: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{name!r}: {value}' for name, value in values.items())}}}"
