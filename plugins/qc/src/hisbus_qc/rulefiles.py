"""Rule files: one file, one rule; whatever is wrong is named with its file and key."""

import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from pydantic import ValidationError

from hisbus import ConfigError
from hisbus_qc import agreement, copied, deadlines, fields, mentions, pairing, vitals, windows
from hisbus_qc.record import Record
from hisbus_qc.rule import Check, Limits, Rule
from hisbus_schemas import Text

CONDITIONS: Mapping[str, Check] = {
    "deadline": deadlines.deadline,
    "every": windows.every,
    "next_note": mentions.next_note,
    "contains": mentions.contains,
    "pairing": pairing.pairing,
    "range": vitals.impossible,
    "agree": agreement.agree,
    "fields": fields.fields,
    "similar": copied.similar,
}
"""The condition kinds that a rule file may name."""

KINDS = frozenset(
    {
        "encounter.admitted", "encounter.registered", "encounter.transferred", "encounter.updated",
        "encounter.discharged", "encounter.discharge_cancelled", "encounter.cancelled", "encounter.moved",
        "encounter.class_changed", "encounter.transfer_cancelled", "encounter.beds_swapped",
        "encounter.attending_changed", "encounter.preadmission_cancelled",
        "patient.merged", "patient.updated", "document.filed", "document.amended", "document.withdrawn",
        "procedure.started", "procedure.ended", "vitals.recorded", "result.reported", "frontpage.submitted",
        "order.placed", "order.changed", "order.stopped", "order.cancelled", "consult.requested", "consult.completed",
        "diagnosis.recorded", "charge.posted", "allergy.recorded",
    }
)  # fmt: skip
"""The events that a rule can be triggered by: those that change what the agent is granted."""

_OF_PART = frozenset({"enabled", "points", "severity", "source", "title", "titles"})
"""What a part of a rule may have of its own beside limits and texts."""


@dataclass(frozen=True)
class Judge:
    """A rule, or a part of one, with the function that judges by it and its limits as that takes them."""

    rule: Rule
    check: Check
    limits: Any
    filtered: bool
    """Whether the rule does not concern every inpatient."""

    def concerns(self, record: Record) -> bool:
        """Tell whether the rule judges a stay."""
        if self.filtered or record.chart.patient_class != "inpatient":
            return self.rule.concerns(record)
        return True


class Folder(Protocol):
    """A folder of rule files, installed or the hospital's."""

    def iterdir(self) -> Iterator[Any]:
        """Yield what lies there."""
        ...


def load(folder: Folder, over: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Read a folder of rule files over those that are there already."""
    tables = {id: dict(table) for id, table in over.items()}
    seen: dict[str, str] = {}
    for file in sorted(folder.iterdir(), key=lambda item: str(item.name)):
        if not file.name.endswith(".toml") or file.name.endswith(".examples.toml"):
            continue
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file.name}: is not TOML in UTF-8") from error
        id = table.get("id")
        if not isinstance(id, str):
            raise ConfigError(f"{file.name}: id is missing")
        if id in seen:
            raise ConfigError(f"{file.name}: id {id} stands in {seen[id]} too")
        seen[id] = file.name
        tables[id] = _over(tables.get(id, {}), table) | {"file": file.name}
    return tables


def _over(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule's table with another's keys over it. With another condition, its limits and texts go too."""
    if {"condition", "function"} & new.keys():
        old = {key: value for key, value in old.items() if key not in {"condition", "function", "limits", "parts"}}
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(old.get(key), Mapping)
        merged[key] = _over(old[key], value) if both else value
    return merged


def rules(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Rule]:
    """Return the rules of what was read."""
    return {id: _rule({key: value for key, value in t.items() if key != "file"}, t["file"]) for id, t in tables.items()}


def _rule(table: dict[str, Any], file: str) -> Rule:
    """Return the rule of a file, its parts filled in from what they share.

    Raises:
        ConfigError: something in it is wrong; the message names file and key.
    """
    parts = table_of(table.pop("parts", {}), f"{file}: parts")
    try:
        rule = Rule.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{file}: {_first(error).removeprefix('.')}") from error
    if bool(rule.condition) == bool(rule.function):
        raise ConfigError(f"{file}: condition or function is needed, one of them")
    unknown = rule.triggers - KINDS
    if unknown:
        raise ConfigError(f"{file}: triggers {min(unknown)} is no event that the agent hears")
    rule = rule.model_copy(update={"texts": _defaults(table, file) | rule.texts})
    if not parts:
        _examine(rule, file)
        return rule
    made = [_part(rule, name, table_of(part, f"{file}: parts.{name}"), file) for name, part in parts.items()]
    return rule.model_copy(update={"parts": tuple(made)})


def _part(rule: Rule, name: str, table: Mapping[str, Any], file: str) -> Rule:
    where = f"{file}: parts.{name}"
    own = {key: table[key] for key in ("condition", "function") if key in table}
    unknown = table.keys() - {*_OF_PART, "limits", "texts", *own}
    if unknown:
        raise ConfigError(f"{where}.{min(unknown)} is not known")
    try:
        own_texts = table_of(table.get("texts", {}), f"{where}.texts")
        texts = {key: Text.model_validate(text) for key, text in own_texts.items()}
        update = {key: value for key, value in table.items() if key in _OF_PART}
        limits = ({} if own else rule.limits) | table_of(table.get("limits", {}), f"{where}.limits")
        shared = rule.model_dump() | {"condition": "", "function": ""} | own if own else rule.model_dump()
        known = _defaults(own, where) if own else rule.texts
        shared |= {"enabled": True} | update | {"part": name, "limits": limits, "texts": known | texts, "parts": ()}
        part = Rule.model_validate(shared)
    except ValidationError as error:
        raise ConfigError(f"{where}{_first(error)}") from error
    _examine(part, where)
    return part


def _examine(rule: Rule, where: str) -> None:
    """Check what a rule's function takes, and that its texts say the same in both languages."""
    check = judge(rule, where).check
    defaults: dict[str, Text] = getattr(check, "texts", {})
    known = {word for text in defaults.values() for word in _words(text.zh)} | set(getattr(check, "words", ()))
    needed = {*getattr(check, "needs", ())}
    said = {f"titles.{name}": text for name, text in rule.titles.items()} | {"title": rule.title}
    for name, text in ({f"texts.{name}": text for name, text in rule.texts.items()} | said).items():
        try:
            zh, en = _words(text.zh), _words(text.en)
        except ValueError as error:
            raise ConfigError(f"{where}: {name} has a lone brace") from error
        if zh != en:
            raise ConfigError(f"{where}: {name} fills in other words in Chinese than in English")
        if defaults and zh - known:
            raise ConfigError(f"{where}: {name} fills in {{{min(zh - known)}}}, which nothing gives")
    for name, text in rule.texts.items():
        zh = _words(text.zh)
        if rule.condition == "deadline" and name in {"absent", "late"} and "document" in zh:
            needed.add("document")
    for name in sorted(needed - rule.texts.keys()):
        raise ConfigError(f"{where}: texts.{name} is missing")


def _words(text: str) -> set[str]:
    """Return what a text fills in."""
    return {word for _, word, _, _ in string.Formatter().parse(text) if word}


def _defaults(table: Mapping[str, Any], where: str) -> dict[str, Text]:
    """Return the texts of a condition or function that a rule file may replace."""
    texts: dict[str, Text] = getattr(_check(table.get("condition", ""), table.get("function", ""), where), "texts", {})
    return texts


def _check(condition: str, function: str, where: str) -> Check:
    if condition:
        if condition not in CONDITIONS:
            raise ConfigError(f"{where}: condition is none of {', '.join(CONDITIONS)}")
        return CONDITIONS[condition]
    module, _, name = function.partition(":")
    try:
        found: Check = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{where}: function names no function that can be imported, as package.module:name"
        ) from error
    return found


def _first(error: ValidationError) -> str:
    """Return the first key that is wrong and why, without its value."""
    said = error.errors(include_input=False, include_url=False, include_context=False)[0]
    key = "".join(f".{part}" for part in said["loc"])
    return f"{key} " + {"missing": "is missing", "extra_forbidden": "is not known"}.get(said["type"], said["msg"])


def judge(rule: Rule, where: str) -> Judge:
    """Bind a rule to its function and check its limits.

    Raises:
        ConfigError: the function takes no such limits; ``where`` stands before the key.
    """
    check = _check(rule.condition, rule.function, where)
    model: type[Limits] | None = getattr(check, "limits", None)
    if model is None:
        return Judge(rule, check, rule.limits, _is_filtered(rule))
    try:
        limits = model.model_validate(rule.limits)
    except ValidationError as error:
        raise ConfigError(f"{where}: limits{_first(error)}") from error
    if wrong := limits.wrong(rule.texts):
        raise ConfigError(f"{where}: {wrong}")
    return Judge(rule, check, limits, _is_filtered(rule))


def _is_filtered(rule: Rule) -> bool:
    return bool(
        "inpatient" not in rule.classes
        or rule.departments
        or rule.except_departments
        or rule.valid_from
        or rule.valid_until
    )


def table_of(value: Any, key: str) -> dict[str, Any]:
    """Return a value that must be a table.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"{key} must be a table")
    return value
