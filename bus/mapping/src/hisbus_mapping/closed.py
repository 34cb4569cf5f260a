"""Fields that take certain words and no others: what a profile puts there must be one of them.

A word that the contract does not know would stop every message that says it: it is found when the profile is compiled.
"""

from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from hisbus_mapping.compiler import Compiler
from hisbus_mapping.context import Place
from hisbus_mapping.profile import Table, Value


def words_of(kind: Any) -> tuple[str, ...]:
    """Return the words that a field of a type takes; none: it takes others, too."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) not in (Union, UnionType):
        return ()
    options = [words_of(one) for one in get_args(kind) if one is not NoneType]
    return tuple(word for words in options for word in words) if all(options) else ()


def hold(compiler: Compiler, kind: Any, said: Any, place: Place) -> None:
    """Note what a value can say that its field does not take. What a function returns is not known.

    Raises:
        Mistake: nobody asks for all of them, or what is said is no value.
    """
    words = words_of(kind)
    if not words:
        return
    takes = f"{'.'.join(place)} takes {', '.join(word for word in words if word)}"
    for where, wrong in _wrong(compiler, compiler.value(said, place), place, words):
        compiler.wrong(where, f"{wrong}: {takes}", None)


def _wrong(compiler: Compiler, value: Value, place: Place, words: Sequence[str]) -> Iterator[tuple[Place, str]]:
    """Yield where a value can say something else, and what is wrong there."""
    if value.table:
        for where, word in _of_table(compiler, value.table):
            if word and word not in words:
                yield where, f"{word!r} is no word of its field"
        if value.otherwise == "keep":
            yield (*place, "otherwise"), "a code that the table lacks cannot stay as it was sent"
    elif value.value is not None:
        if value.value and value.value not in words:
            yield place, f"{value.value!r} is no word of its field"
    elif isinstance(value.from_, str) or value.join or value.name or value.every:
        yield place, "what is sent may be anything, and a table must turn it into a word"
    else:
        for one in value.from_:
            part = one if isinstance(one, Value) else Value(from_=one)
            yield from _wrong(compiler, part, (*place, "from"), words)


def _of_table(compiler: Compiler, name: str) -> Iterator[tuple[Place, str]]:
    """Yield the words of a table, each with where the profile says it."""
    table = compiler.profile.codes.get(name, Table())
    for code, word in table.known.items():
        key = ("words", code) if code in table.words else ("same",)
        yield ("codes", name, *key), word
