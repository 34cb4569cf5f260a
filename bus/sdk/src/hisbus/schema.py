"""The form of an answer: a JSON Schema that is closed and bounded, and the reader that holds an answer to it.

A model that may go on for ever will: every text has a longest length, every list a largest size, every number a range.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import CoreSchema, SchemaError, SchemaValidator, core_schema, to_json

from hisbus.errors import ConfigError, NotEvaluated

DEEPEST = 10
"""Levels; a list of models is three: the list, the model, its fields."""
MOST_FIELDS = 200
"""In all, those of inner objects counted where they are used."""
LONGEST_TEXT = 4000
LONGEST_LIST = 200
MOST_CHOICES = 1000
MOST_ALTERNATIVES = 8

Schema = Mapping[str, Any]
T = TypeVar("T", bound=BaseModel)

_BOUNDS = (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))
_NOTES = frozenset({"title", "default", "examples"})
_RANGE = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
_LENGTHS = {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"}
_SIZES = {"minItems": "min_length", "maxItems": "max_length"}


def closed(schema: Schema) -> dict[str, Any]:
    """Return a model's JSON Schema without references and titles, every object closed and every field required.

    Raises:
        ConfigError: it is not bounded, or uses what not every server obeys; ``code`` is ``unbounded_answer.FIELD``.
    """
    return _Closing(schema.get("$defs", {})).node(schema, (), 0)


def reader(schema: Schema) -> SchemaValidator:
    """Return what checks a value against a schema that ``closed`` returned.

    Raises:
        ConfigError: a pattern or a limit cannot be read.
    """
    try:
        return SchemaValidator(_core(schema))
    except SchemaError as error:
        raise _refused((), "a pattern or a limit of it is not one") from error


def brief(schema: Schema) -> str:
    """Return in few words what a schema that ``closed`` returned asks for: the server holds the answer to it anyway."""
    said = _brief(schema)
    return f"{said} ({schema['description']})" if "description" in schema else said


def _brief(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(brief(each) for each in schema["anyOf"])
    if "enum" in schema:
        return "|".join(json.dumps(choice, ensure_ascii=False) for choice in schema["enum"])
    match schema["type"]:
        case "object":
            fields = (
                f"{json.dumps(name, ensure_ascii=False)}: {brief(each)}" for name, each in schema["properties"].items()
            )
            return f"{{{', '.join(fields)}}}"
        case "array":
            return f"list, at most {schema['maxItems']}, of {brief(schema['items'])}"
        case "string":
            return f"text, {schema['maxLength']} characters at most"
        case "integer" | "number" as kind:
            least, most = (next(schema[key] for key in keys if key in schema) for keys in _BOUNDS)
            return f"{'whole number' if kind == 'integer' else 'number'} {least} to {most}"
        case "boolean":
            return "true|false"
    return "null"


class _Closing:
    def __init__(self, shared: Mapping[str, Schema]) -> None:
        self._shared = shared
        self._fields = 0

    def node(self, schema: Any, at: tuple[str, ...], depth: int) -> dict[str, Any]:
        if not isinstance(schema, Mapping):
            raise _refused(at, "it is no schema")
        if depth > DEEPEST:
            raise _refused(at, f"it is nested deeper than {DEEPEST}")
        if "$ref" in schema:
            named = self._shared.get(str(schema["$ref"]).removeprefix("#/$defs/"))
            if named is None:
                raise _refused(at, "it refers to something that is not there")
            notes = {key: value for key, value in schema.items() if key != "$ref"}
            return self.node({**named, **notes}, at, depth + 1)
        plain = {key: value for key, value in schema.items() if key not in _NOTES and key != "$defs"}
        described = {"description": plain.pop("description")} if "description" in plain else {}
        return described | self._bare(plain, at, depth)

    def _bare(self, schema: dict[str, Any], at: tuple[str, ...], depth: int) -> dict[str, Any]:
        if "anyOf" in schema:
            _only(schema, {"anyOf"}, at)
            if not isinstance(schema["anyOf"], list) or not 0 < len(schema["anyOf"]) <= MOST_ALTERNATIVES:
                raise _refused(at, f"it has up to {MOST_ALTERNATIVES} alternatives")
            return {"anyOf": [self.node(each, at, depth + 1) for each in schema["anyOf"]]}
        if "const" in schema or "enum" in schema:
            return _choice(schema, at)
        match schema.get("type"):
            case "object":
                return self._object(schema, at, depth)
            case "array":
                return self._array(schema, at, depth)
            case "string":
                _only(schema, {"type", *_LENGTHS}, at)
                _at_most(schema, "maxLength", LONGEST_TEXT, at, "a text needs max_length")
            case "integer" | "number":
                _only(schema, {"type", *_RANGE}, at)
                if not (
                    schema.keys() & {"minimum", "exclusiveMinimum"} and schema.keys() & {"maximum", "exclusiveMaximum"}
                ):
                    raise _refused(at, "a number needs a least and a largest value")
            case "boolean" | "null":
                _only(schema, {"type"}, at)
            case _:
                raise _refused(at, "its type is not one of object, list, text, number, truth and none")
        return schema

    def _object(self, schema: dict[str, Any], at: tuple[str, ...], depth: int) -> dict[str, Any]:
        _only(schema, {"type", "properties", "required", "additionalProperties"}, at)
        fields = schema.get("properties")
        if not fields or not isinstance(fields, Mapping) or isinstance(schema.get("additionalProperties"), Mapping):
            raise _refused(at, "an object needs fields, and no others than those")
        self._fields += len(fields)
        if self._fields > MOST_FIELDS:
            raise _refused(at, f"it has more than {MOST_FIELDS} fields")
        return {
            "type": "object",
            "properties": {name: self.node(each, (*at, name), depth + 1) for name, each in fields.items()},
            "required": list(fields),
            "additionalProperties": False,
        }

    def _array(self, schema: dict[str, Any], at: tuple[str, ...], depth: int) -> dict[str, Any]:
        _only(schema, {"type", "items", *_SIZES}, at)
        _at_most(schema, "maxItems", LONGEST_LIST, at, "a list needs max_length")
        if not isinstance(schema.get("items"), Mapping):
            raise _refused(at, "a list needs a type of its items")
        return schema | {"items": self.node(schema["items"], at, depth + 1)}


def _choice(schema: dict[str, Any], at: tuple[str, ...]) -> dict[str, Any]:
    _only(schema, {"const", "enum", "type"}, at)
    choices = schema["enum"] if "enum" in schema else [schema["const"]]
    few = isinstance(choices, list) and 0 < len(choices) <= MOST_CHOICES
    if not few or not all(isinstance(each, str | int | None) for each in choices):
        raise _refused(at, f"choices are up to {MOST_CHOICES} texts or whole numbers")
    return {"enum": choices}


def _only(schema: Schema, known: set[str], at: tuple[str, ...]) -> None:
    if schema.keys() - known:
        raise _refused(at, f"not every server obeys {', '.join(sorted(schema.keys() - known))}")


def _at_most(schema: Schema, key: str, most: int, at: tuple[str, ...], missing: str) -> None:
    if not isinstance(schema.get(key), int) or not 0 <= schema[key] <= most:
        raise _refused(at, f"{missing}, {most} at most")


def _refused(at: tuple[str, ...], why: str) -> ConfigError:
    field = ".".join(name if name.isidentifier() and name.isascii() else "_" for name in at)[:100] or "answer"
    return ConfigError(f"The answer model cannot be asked for. {field}: {why}.", code=f"unbounded_answer.{field}")


def _core(schema: Schema) -> CoreSchema:
    """Return the same schema as pydantic's own, strict: nothing is turned into what was asked for."""
    if "anyOf" in schema:
        return core_schema.union_schema([_core(each) for each in schema["anyOf"]], mode="left_to_right")
    if "enum" in schema:
        return core_schema.literal_schema(schema["enum"])
    match schema["type"]:
        case "object":
            fields = {name: core_schema.typed_dict_field(_core(each)) for name, each in schema["properties"].items()}
            return core_schema.typed_dict_schema(fields, total=True, extra_behavior="forbid")
        case "array":
            return core_schema.list_schema(_core(schema["items"]), **_renamed(schema, _SIZES), strict=True)
        case "string":
            return core_schema.str_schema(**_renamed(schema, _LENGTHS), strict=True)
        case "integer":
            return core_schema.int_schema(**_renamed(schema, _RANGE), strict=True)
        case "number":
            return core_schema.float_schema(**_renamed(schema, _RANGE), strict=True, allow_inf_nan=False)
        case "boolean":
            return core_schema.bool_schema(strict=True)
    return core_schema.none_schema()


def _renamed(schema: Schema, names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: schema[theirs] for theirs, ours in names.items() if theirs in schema}


def typed(answer: type[T], value: Any) -> T:
    """Return an answer as the agent's own model, whose validators may want more than its schema says.

    Raises:
        NotEvaluated: it is not such an answer.
    """
    try:
        return answer.model_validate_json(to_json(value))
    except ValidationError:
        raise NotEvaluated(code="invalid_answer") from None
