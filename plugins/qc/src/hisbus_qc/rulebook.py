"""The rules as loaded: those of the plugin, those of the hospital's folder over them, its settings over both.

One file, one rule. A file of the hospital's with an id that the plugin has changes what it names and leaves the rest;
with another id it adds a rule. Whatever is wrong is named with its file and key.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from hisbus import ConfigError
from hisbus_qc.needs import ANYTHING, CLASS, needs
from hisbus_qc.record import Record
from hisbus_qc.rule import Rule
from hisbus_qc.rulefiles import Folder, Judge, judge, load, rules, table_of
from hisbus_qc.watched import COVERAGE
from hisbus_schemas import EVERY_OTHER, Coverage, Need, RuleInfo

_MOST = {"minutes": 525_600, "hours": 87_600, "days": 3_650, "workdays": 3_650, "percent": 100, "characters": 100_000}
"""The largest number by unit: ten years, the whole, more than any note has."""
_SETTINGS = ("rules", "rules_folder", "only", "grace_s", "packs")
PACKS = ("cn",)
"""The packs of rules that are judged by where a site names none."""
_LONGEST_GRACE_S = 86_400
_REMEMBERED = 256
"""Departments, at one coverage each."""


Kind = Literal["T", "D", "X", "L"]


@dataclass(frozen=True, eq=False)
class Shelf:
    """The rules that one agent comes with."""

    agent: str
    kinds: frozenset[Kind]
    """The kinds of rules that it judges by."""
    tables: Mapping[str, Mapping[str, Any]]
    """As they stand in the files."""
    rules: Mapping[str, Rule]
    """With their defaults, by id."""

    @cached_property
    def needs(self) -> Mapping[str, tuple[Need, ...]]:
        """What each rule needs of the record, and what those may need that a hospital adds."""
        return {**needs(self.rules), EVERY_OTHER: ANYTHING}

    @property
    def named(self) -> Mapping[str, RuleInfo]:
        """What each rule is called and who demands it; those that a site goes by are told apart by its settings."""
        return {id: RuleInfo(title=rule.title, source=rule.source) for id, rule in self.rules.items()}


def shelf(agent: str, folder: Folder, kinds: frozenset[Kind]) -> Shelf:
    """Read the rules of an agent.

    Raises:
        ConfigError: a rule file is wrong; the message names the file and the key.
    """
    tables = load(folder, {})
    return Shelf(agent, kinds, tables, rules(tables))


QC = shelf("qc", files("hisbus_qc").joinpath("rules"), frozenset({"T", "D", "X"}))

RULES = QC.rules
"""Every rule that needs no model with its defaults, by id."""


@dataclass(frozen=True)
class Book:
    """The rules that are judged by, ready to use."""

    rules: tuple[Rule, ...]
    judges: tuple[Judge, ...]
    ids: frozenset[str]
    together: Mapping[str, Rule]
    """The rules whose parts say one thing of one subject, by id."""
    needs: Mapping[str, tuple[Need, ...]]
    """What each rule needs of the record, by id."""
    _lacking: dict[tuple[str, str], frozenset[int]] = field(default_factory=dict, compare=False, repr=False)
    """What was left out of late, by coverage and department: every case asks, and the answer changes seldom."""

    def lacking(self, record: Record) -> frozenset[int]:
        """Return the judges for which this site's feeds do not bring what they need, by their place."""
        if record.coverage.whole:
            return frozenset()
        at = record.stamps.of(COVERAGE), record.chart.department
        found = self._lacking.get(at)
        if found is None:
            if len(self._lacking) >= _REMEMBERED:
                self._lacking.clear()
            found = self._lacking[at] = self._lacks(record.coverage, record.chart.department)
        return found

    def _lacks(self, coverage: Coverage, department: str) -> frozenset[int]:
        needs = ((id, one) for id, its in self.needs.items() for one in its if one != CLASS)
        lacks = {(id, one.part) for id, one in needs if one.lacking(coverage, department)}
        rules = enumerate(judge.rule for judge in self.judges)
        return frozenset(number for number, rule in rules if {(rule.id, rule.part), (rule.id, "")} & lacks)


def book(settings: Mapping[str, Any], of: Shelf = QC) -> Book:
    """Return the rules under a hospital's settings. The files are read once for each settings.

    Raises:
        ConfigError: a setting or a rule file is wrong; the message names the file and the key.
    """
    return _book(of, json.dumps(settings, sort_keys=True, default=str)) if settings else _plain(of)


def configured(settings: Mapping[str, Any], of: Shelf = QC) -> list[Rule]:
    """Return the enabled rules under a hospital's settings: ``{"rules": {"R01": {"limit_hours": 12}}}``.

    Raises:
        ConfigError: as ``book``.
    """
    for key in settings:
        if key not in _SETTINGS:
            raise ConfigError(f"{key} is not a setting of {of.agent}: use {', '.join(_SETTINGS)}")
    every = _with_folder(settings.get("rules_folder", ""), of)
    known = _of_packs(every, settings.get("packs", list(PACKS)), of)
    changes = table_of(settings.get("rules", {}), "rules")
    grace = settings.get("grace_s", 0)
    if not _is_number(grace) or not 0 <= grace <= _LONGEST_GRACE_S:
        raise ConfigError(f"grace_s must be a number of seconds, at most {_LONGEST_GRACE_S}")
    if grace:
        known = {id: _with_grace(rule, grace) for id, rule in known.items()}
    only = settings.get("only", list(known))
    if not isinstance(only, list) or not all(isinstance(id, str) for id in only):
        raise ConfigError("only must be a list of rules")
    for id, key in [*((id, f"rules.{id}") for id in changes), *((id, f"only {id}") for id in only)]:
        if id in every.keys() - known.keys():
            raise ConfigError(f"{key} is a rule of the pack {every[id].packs[0]}: name that in packs")
        if id not in known:
            raise ConfigError(f"{key} is not a rule of {of.agent}")
    chosen = (rule for rule in known.values() if rule.id in only)
    changed = (_changed(rule, changes[rule.id], f"rules.{rule.id}") if rule.id in changes else rule for rule in chosen)
    return [rule for rule in changed if rule.enabled]


@lru_cache(maxsize=16)
def _book(of: Shelf, settings: str) -> Book:
    return _bound(configured(json.loads(settings), of))


@lru_cache(maxsize=2)
def _plain(of: Shelf) -> Book:
    return _bound(configured({}, of))


def _bound(rules: list[Rule]) -> Book:
    judges = [judge(part, part.id) for rule in rules for part in (rule.parts or (rule,)) if part.enabled]
    together = {rule.id: rule for rule in rules if rule.together}
    ids = frozenset(rule.id for rule in rules)
    return Book(tuple(rules), tuple(judges), ids, together, needs({rule.id: rule for rule in rules}))


def _with_folder(folder: Any, of: Shelf) -> Mapping[str, Rule]:
    if not folder:
        return of.rules
    if not isinstance(folder, str) or not Path(folder).is_dir():
        raise ConfigError("rules_folder must be a folder that exists")
    tables = load(Path(folder), of.tables)
    found = rules(tables)
    for id, rule in found.items():
        if rule.kind not in of.kinds:
            raise ConfigError(f"{tables[id]['file']}: kind {rule.kind} is not one of {of.agent}")
    return found


def _of_packs(every: Mapping[str, Rule], packs: Any, of: Shelf) -> dict[str, Rule]:
    """Return the rules of the packs that a site names, each with its source there."""
    known = {pack for rule in of.rules.values() for pack in rule.packs}
    if not isinstance(packs, list) or not packs or not all(pack in known for pack in packs):
        raise ConfigError(f"packs must be a list of {', '.join(sorted(known))}")
    return {id: _sourced(rule, packs) for id, rule in every.items() if not rule.packs or {*rule.packs} & {*packs}}


def _sourced(rule: Rule, packs: list[str]) -> Rule:
    """Return a rule with its source in the first of the packs that it is of."""
    pack = next((pack for pack in packs if pack in rule.packs), "")
    source = rule.sources.get(pack, rule.source)
    parts = [part.model_copy(update={"source": source}) if part.source == rule.source else part for part in rule.parts]
    return rule.model_copy(update={"source": source, "parts": tuple(parts)}) if rule.sources else rule


# --- settings


def _changed(rule: Rule, changes: Any, where: str) -> Rule:
    limits = dict(rule.limits)
    parts = {part.part: part for part in rule.parts}
    update: dict[str, Any] = {}
    for name, value in table_of(changes, where).items():
        key = f"{where}.{name}"
        if name == "enabled":
            if not isinstance(value, bool):
                raise ConfigError(f"{key} must be true or false")
            update[name] = value
        elif name == "points":
            if not _is_number(value) or value < 0:
                raise ConfigError(f"{key} must be a number, 0 or above")
            update[name] = value
        elif name == "grace_s":
            if not _is_number(value) or not 0 <= value <= _LONGEST_GRACE_S:
                raise ConfigError(f"{key} must be a number of seconds, at most {_LONGEST_GRACE_S}")
            update[name] = value
        elif name in parts:
            parts[name] = _changed(parts[name], value, key)
        elif name in limits:
            limits[name] = _limit(key, value, rule.limits[name])
            for part in [part for part in parts.values() if part.limits.get(name) == rule.limits[name]]:
                parts[part.part] = part.model_copy(update={"limits": part.limits | {name: value}})
        else:
            known = ", ".join(["enabled", "points", "grace_s", *parts, *limits])
            raise ConfigError(f"{key} is not a setting of this rule: use {known}")
    handed: dict[str, Any] = {name: update[name] for name in ("points", "grace_s") if name in update}
    parts = {name: part.model_copy(update=handed) for name, part in parts.items()} if handed else parts
    return rule.model_copy(update=update | {"limits": limits, "parts": tuple(parts.values())})


def _with_grace(rule: Rule, seconds: float) -> Rule:
    """Return a rule with the hospital's grace, where its file gives none."""
    parts = tuple(_with_grace(part, seconds) for part in rule.parts)
    return rule.model_copy(update={"grace_s": rule.grace_s or seconds, "parts": parts})


def _limit(key: str, value: Any, default: Any) -> Any:
    """Return a limit that is of the same kind as its default."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{key} must be true or false")
    elif _is_number(default):
        most = _MOST.get(key.rpartition("_")[2], math.inf)
        if not _is_number(value) or not 0 < value <= most:
            raise ConfigError(f"{key} must be a number above 0, at most {most}")
    elif isinstance(default, list) and all(isinstance(item, str) for item in default):
        if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
            raise ConfigError(f"{key} must be a list of codes")
    elif isinstance(default, list) and len(default) == 2 and all(map(_is_number, default)):
        if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)) or value[0] > value[1]:
            raise ConfigError(f"{key} must be a list of two numbers, the lower one first")
    elif value != default:
        raise ConfigError(f"{key} is changed in a rule file of the rules_folder")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
