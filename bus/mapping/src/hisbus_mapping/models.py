"""Models: from what a profile says of a fact's parts to functions that make them."""

from collections.abc import Callable, Mapping
from datetime import date
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from hisbus_mapping import closed
from hisbus_mapping.collisions import COLLISION
from hisbus_mapping.compiler import Compiler
from hisbus_mapping.context import Mistake, Place, Read
from hisbus_mapping.making import Writing, write
from hisbus_mapping.numbers import patient_of, visit_of
from hisbus_mapping.profile import Each, Lines, Numbers
from hisbus_mapping.run import NONE, Run
from hisbus_mapping.values import first_path
from hisbus_schemas import Code, Moment, PatientId, VisitId

_OWN = frozenset({"table", "otherwise", "item"})
"""Of a coded value: its code becomes our word."""
NO_CODE = Code()
_RULES = frozenset("value when table otherwise item flag function with each every shape".split())
"""Keys of a value that name no path whose null empties it."""


def says(value: Any) -> bool:
    """Tell whether a value says something: ``no`` does, a code without code and text does not."""
    return (value is not NO_CODE and value != NO_CODE) if isinstance(value, Code) else bool(value) or value is False


def expanded(compiler: Compiler, said: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return the keys that a shape stands for, with those beside it."""
    if "shape" not in said:
        return dict(said)
    shape = compiler.profile.shapes.get(said["shape"])
    if shape is None:
        raise Mistake((*place, "shape"), f"there is no [shapes.{said['shape']}]")
    if "at" not in said:
        raise Mistake(place, "a shape stands at a path: at is missing")
    at = str(said["at"])
    return {key: _at(compiler, at, value) for key, value in shape.items()} | {
        key: value for key, value in said.items() if key not in ("shape", "at")
    }


def _at(compiler: Compiler, at: str, said: Any) -> Any:
    """Return a value of a shape with its paths behind the place where it stands."""
    if isinstance(said, str):
        return compiler.format.within(at, said) if said.startswith(".") else said
    if isinstance(said, Mapping):
        return {key: _at(compiler, at, value) for key, value in said.items()}
    if isinstance(said, (list, tuple)):
        return [_at(compiler, at, one) for one in said]
    return said


def model(
    compiler: Compiler, cls: type[BaseModel], said: Mapping[str, Any], place: Place, *, optional: bool = False
) -> Read[Any]:
    """Compile what makes a model. Its keys are the model's fields; an optional one that says nothing is None."""
    if cls is Code and _OWN & said.keys():
        return _coded(compiler, said, place)
    said = expanded(compiler, said, place)
    known = {name: one for name, one in cls.model_fields.items() if name != "body" and not _emptied(cls, name)}
    for key in (one for one in said if one not in known):
        compiler.wrong((*place, key), f"{cls.__name__} has no such field. It has {', '.join(known)}", None)
    said = {key: one for key, one in said.items() if key in known}  # others were noted as mistakes
    values = {key: _expression(compiler, known[key].annotation, one, (*place, key)) for key, one in said.items()}
    deleted = _deleted(compiler, cls, said, place)
    empties = None if deleted is None else (compiler.format.deleted("*"), deleted)
    return write(compiler, cls, values, place, empties=empties, says=says if optional else None)


def _expression(compiler: Compiler, kind: Any, said: Any, place: Place) -> Callable[[Writing], str]:
    """Return what returns the expression of a field: of plain texts, else what its reader says."""

    def expression(writing: Writing) -> str:
        closed.hold(compiler, kind, said, place)
        optional, bare = _stripped(kind)
        if _has_fields(bare, said):
            texts = writing.texts(bare, expanded(compiler, said, place), place, optional=optional)
            if texts:
                return texts
        made = get_origin(bare) in (list, dict) or (isinstance(bare, type) and issubclass(bare, BaseModel))
        plain = "" if made and bare is not Moment else writing.plain(optional, bare, said, place)
        return plain or f"{writing.name(of_type(compiler, kind, said, place))}(group, run)"

    return expression


def _has_fields(kind: Any, said: Any) -> bool:
    """Tell whether what is said of a model are its fields, and nothing else makes it."""
    if not isinstance(kind, type) or not issubclass(kind, BaseModel) or kind in (Moment, PatientId, VisitId):
        return False
    return isinstance(said, Mapping) and "function" not in said and not (kind is Code and _OWN & said.keys())


def _emptied(cls: type[BaseModel], name: str) -> bool:
    """Tell whether a field is the list of those that a message empties."""
    return name == "deleted" and name in cls.model_fields and get_origin(cls.model_fields[name].annotation) is list


def of_type(compiler: Compiler, kind: Any, said: Any, place: Place) -> Read[Any]:
    """Compile a value for a field of a type."""
    optional, kind = _stripped(kind)
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        return compiler.texts(said, place) if item is str else many(compiler, item, said, place)
    if get_origin(kind) is dict:
        return _dictionary(compiler, said, place)
    if kind is Moment:
        return compiler.moment(said, place)
    if kind is date:
        return compiler.day(said, place)
    if kind is bool:
        read = compiler.truth(said, place)
        return read if optional else lambda group, run: bool(read(group, run))
    if kind is int:
        number = compiler.number(said, place)
        return number if optional else lambda group, run: number(group, run) or 0
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _nested(compiler, kind, said, place, optional)
    text = compiler.text(said, place)
    return (lambda group, run: text(group, run) or None) if optional else text


def _stripped(kind: Any) -> tuple[bool, Any]:
    """Return whether nothing may stand there, and the type of what else does."""
    if get_origin(kind) not in (Union, UnionType):
        return False, kind
    options = [one for one in get_args(kind) if one is not NoneType]
    models = [one for one in options if get_origin(one) is not Literal]
    return len(options) < len(get_args(kind)), models[0] if models else str


def _nested(compiler: Compiler, cls: type[BaseModel], said: Any, place: Place, optional: bool) -> Read[Any]:
    if cls is PatientId and isinstance(said, str):
        return compiler.numbered(said, place)
    if cls in (PatientId, VisitId):
        return _numbers(compiler, cls, said, place)
    if isinstance(said, Mapping) and "function" in said:
        return compiler.function(said["function"], place)
    if isinstance(said, list):  # the first that says something
        readers = [_nested(compiler, cls, one, place, True) for one in said]
        empty = None if optional else cls()
        return lambda group, run: next((one for read in readers if (one := read(group, run)) is not None), empty)
    if not isinstance(said, Mapping):
        raise Mistake(place, f"a table with the fields of {cls.__name__} belongs here")
    return model(compiler, cls, said, place, optional=optional)


def _numbers(compiler: Compiler, cls: type[BaseModel], said: Any, place: Place) -> Read[Any]:
    listed = [compiler.valid(Numbers, one, place) for one in (said if isinstance(said, list) else [said])]
    return patient_of(compiler, listed, place) if cls is PatientId else visit_of(compiler, listed, place)


def _coded(compiler: Compiler, said: Mapping[str, Any], place: Place) -> Read[Code]:
    """Compile a coded value whose code becomes our word; what was sent stands beside it."""
    rules = {key: value for key, value in said.items() if key in _OWN}
    value = compiler.value({"value": "", **rules}, place)
    bare = expanded(compiler, {key: one for key, one in said.items() if key not in _OWN}, place)
    make = model(compiler, Code, bare, place)
    if "code" not in bare:
        raise Mistake(place, "the code is missing that the table is asked for")
    table = compiler.table(value.table, place)
    label = compiler.format.label(first_path(compiler.value(bare["code"], place)))
    name, otherwise, item = value.table, value.otherwise, value.item

    def coded(group: Any, run: Run) -> Code:
        sent: Code = make(group, run)
        handles = _handles(sent)
        word = next((table[one] for one in handles if one in table), None)
        if word is None and otherwise == "ask":
            word = run.answer(name, item, sent) or None
        if word in (sent.code, NONE):
            return sent
        if word:
            return _renamed(sent, word)
        if otherwise != "keep":
            run.flag(f"unknown_code.{label}")
        return sent

    return coded


def _handles(sent: Code) -> list[str]:
    """Return what a table may know a coded value by: its codes; where it has none, its texts."""
    codes = [code for code, _ in sent.codes]
    return codes or [text for text in (sent.text, sent.alternate_text) if text] or [""]


def _renamed(sent: Code, word: str) -> Code:
    """Return our word, with what was sent as its alternate."""
    if not sent.code:
        return sent.model_copy(update={"code": word, "text": sent.text or sent.alternate_text})
    local = {"alternate_code": sent.code, "alternate_text": sent.text, "alternate_system": sent.system}
    return sent.model_copy(update={"code": word, "system": "", **local})


def many(compiler: Compiler, cls: type[BaseModel], said: Any, place: Place) -> Read[list[Any]]:
    """Compile a list of models: one for each group; of several tables, one after the other."""
    if isinstance(said, (list, tuple)):
        parts = [many(compiler, cls, one, (*place, str(number))) for number, one in enumerate(said)]
        return lambda group, run: [one for part in parts for one in part(group, run)]
    if not isinstance(said, Mapping) or "each" not in said:
        raise Mistake(place, "a list has one entry for each group: each is missing")
    groups = each(compiler, said["each"], (*place, "each"))
    with compiler.inside():
        make = model(compiler, cls, {key: value for key, value in said.items() if key != "each"}, place)
    return lambda group, run: [make(one, run) for one in groups(group, run)]


def _dictionary(compiler: Compiler, said: Any, place: Place) -> Read[dict[str, str]]:
    if not isinstance(said, Mapping) or set(said) != {"each", "key", "value"}:
        raise Mistake(place, "each, key and value belong here")
    groups = each(compiler, said["each"], (*place, "each"))
    with compiler.inside():
        key, value = (compiler.text(said[one], (*place, one)) for one in ("key", "value"))

    def dictionary(group: Any, run: Run) -> dict[str, str]:
        found: dict[str, str] = {}
        for one in groups(group, run):
            name = numbered = key(one, run)
            nth = 1
            while numbered in found:  # nothing takes another's place
                run.flag(COLLISION)
                nth += 1
                numbered = f"{name}#{nth}"
            found[numbered] = value(one, run)
        return found

    return dictionary


def each(compiler: Compiler, said: Any, place: Place, *, takes: bool = True) -> Read[list[Any]]:
    """Compile groups that are read one by one; unless it only looks, those that are taken are noted."""
    long = {"of": said} if isinstance(said, str) else said
    rules = long if isinstance(long, Each) else compiler.valid(Each, long, place)
    groups = compiler.path("groups", rules.of, place)
    with compiler.inside():
        when = compiler.condition(rules.when, (*place, "when")) if rules.when is not None else None
        by = compiler.path("text", rules.by, (*place, "by")) if rules.by else None
        lines = _lines(compiler, rules.lines, (*place, "lines")) if rules.lines is not None else None
    together, take = compiler.format.together, compiler.format.take

    def taken(group: Any, run: Run) -> list[Any]:
        found = [one for one in groups(group, run) if when is None or when(one, run)]
        for one in found if takes else ():
            take(one)
        if by is not None:
            alike: dict[str, list[Any]] = {}
            for one in found:
                alike.setdefault(by(one, run), []).append(one)
            return [ones[0] if len(ones) == 1 else together(ones) for ones in alike.values()]
        return lines(found, run) if lines is not None else found

    return taken


def _lines(compiler: Compiler, said: Lines, place: Place) -> Callable[[list[Any], Run], list[Any]]:
    same = [compiler.path("text", path, (*place, "same")) for path in said.same]
    when, together = compiler.condition(said.when, (*place, "when")), compiler.format.together

    def lines(groups: list[Any], run: Run) -> list[Any]:
        runs: list[tuple[Any, list[Any]]] = []
        for one in groups:
            identity = tuple(part(one, run) for part in same) if when(one, run) else None
            if identity is not None and runs and runs[-1][0] == identity:
                runs[-1][1].append(one)
            else:
                runs.append((identity, [one]))
        return [ones[0] if len(ones) == 1 else together(ones) for _, ones in runs]

    return lines


def _deleted(
    compiler: Compiler, cls: type[BaseModel], said: Mapping[str, Any], place: Place
) -> Callable[[Any, Run, Mapping[str, Any]], list[str]] | None:
    """Compile which fields a message empties: their first path says so, and no other says something."""
    if not _emptied(cls, "deleted"):
        return None
    readers = [
        (name, compiler.path("deleted", path, (*place, name)))
        for name, value in said.items()
        if not cls.model_fields[name].is_required()
        for path in _where(compiler, value, (*place, name))
    ]
    asked = {name for name, value in said.items() if isinstance(value, Mapping) and value.get("otherwise") == "ask"}

    def deleted(group: Any, run: Run, values: Mapping[str, Any]) -> list[str]:
        names = [name for name, read in readers if read(group, run) and not says(values[name])]
        if run.asked:  # a code that is not known takes the place of the one that was
            names += [name for name in asked if not says(values[name])]
        return list(dict.fromkeys(names))

    return deleted


def _where(compiler: Compiler, said: Any, place: Place) -> list[str]:
    """Return the paths that a value is read from."""
    if isinstance(said, str):
        return [] if said.startswith("@") else [said]
    if isinstance(said, (list, tuple)):
        return [path for one in said for path in _where(compiler, one, place)]
    if not isinstance(said, Mapping):
        return []
    if "at" in said:
        return [str(said["at"])]
    if "reads" in said:
        return list(said["reads"])
    keys = ("from", "name", "join") if set(said) & {"from", "name", "join"} else said.keys() - _RULES
    return [path for key in keys if key in said for path in _where(compiler, said[key], place)]
