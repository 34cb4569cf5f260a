"""What a rule is: its data from ``rules.toml``, and the hospital's own limits and points over them."""

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any, Literal

from hisbus import ConfigError
from hisbus_schemas import Chart, Contract, Evidence, Finding, Text, Wake

_MOST = {"hours": 87_600, "percent": 100, "characters": 100_000}
"""The largest number by unit: ten years, the whole, more than any note has."""


class Rule(Contract):
    """One rule, as data."""

    id: str
    title: Text
    severity: Literal["info", "warning", "critical"]
    points: float
    source: str
    """The instrument that demands it."""
    enabled: bool = True
    limits: dict[str, Any]
    texts: dict[str, Text]

    def say(self, name: str, /, **values: str | Text) -> Text:
        """Return one of the rule's texts in both languages, filled in."""
        text = self.texts[name]
        return Text(
            zh=text.zh.format(**{key: value.zh if isinstance(value, Text) else value for key, value in values.items()}),
            en=text.en.format(**{key: value.en if isinstance(value, Text) else value for key, value in values.items()}),
        )

    def key(self, subject: str) -> str:
        """Return the identity of the rule's finding about a subject: empty, or an entry's id."""
        return f"{self.id}:{subject}" if subject else self.id

    def finding(
        self,
        message: Text,
        *,
        subject: str = "",
        state: str = "",
        evidence: list[Evidence],
        reads: list[str],
        due: datetime | None = None,
    ) -> Finding:
        """Return a finding of this rule with its severity, points, title and source."""
        return Finding(
            key=self.key(subject),
            rule=self.id,
            subject=subject,
            state=state,
            severity=self.severity,
            points=self.points,
            message=message,
            evidence=evidence,
            reads=reads,
            due=due,
            payload={"title": self.title.model_dump(), "source": self.source},
        )


Check = Callable[[Rule, Chart, datetime], Iterator[Finding | Wake]]
"""Judges a chart by one rule at a time (UTC, whole seconds): what it finds, and when to look again."""


def _load() -> Mapping[str, Rule]:
    tables = tomllib.loads(files("hisbus_qc").joinpath("rules.toml").read_text(encoding="utf-8"))
    return {id: Rule.model_validate({"id": id, **table}) for id, table in tables.items()}


RULES: Mapping[str, Rule] = _load()
"""Every rule with its defaults, by id."""


def configured(settings: Mapping[str, Any]) -> list[Rule]:
    """Return the enabled rules under a hospital's settings: ``{"rules": {"R01": {"limit_hours": 12}}}``.

    Raises:
        ConfigError: a key is unknown or its value is of the wrong kind; the message names the key.
    """
    for key in settings:
        if key != "rules":
            raise ConfigError(f"{key} is not a setting of qc: use rules")
    changes = _table(settings.get("rules", {}), "rules")
    for id in changes:
        if id not in RULES:
            raise ConfigError(f"rules.{id} is not a rule of qc")
    rules = (_changed(rule, changes[rule.id]) if rule.id in changes else rule for rule in RULES.values())
    return [rule for rule in rules if rule.enabled]


def _changed(rule: Rule, changes: Any) -> Rule:
    limits = dict(rule.limits)
    update: dict[str, Any] = {"limits": limits}
    for name, value in _table(changes, f"rules.{rule.id}").items():
        key = f"rules.{rule.id}.{name}"
        if name == "enabled":
            if not isinstance(value, bool):
                raise ConfigError(f"{key} must be true or false")
            update[name] = value
        elif name == "points":
            if not _is_number(value) or value < 0:
                raise ConfigError(f"{key} must be a number, 0 or above")
            update[name] = value
        elif name in limits:
            limits[name] = _limit(key, value, rule.limits[name])
        else:
            raise ConfigError(f"{key} is not a setting of this rule: use enabled, points, {', '.join(limits)}")
    return rule.model_copy(update=update)


def _limit(key: str, value: Any, default: Any) -> Any:
    """Return a limit that is of the same kind as its default."""
    if not isinstance(default, list):
        most = _MOST[key.rpartition("_")[2]]
        if not _is_number(value) or not 0 < value <= most:
            raise ConfigError(f"{key} must be a number above 0, at most {most}")
    elif isinstance(default[0], str):
        if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
            raise ConfigError(f"{key} must be a list of codes")
    elif not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)) or value[0] > value[1]:
        raise ConfigError(f"{key} must be a list of two numbers, the lower one first")
    return value


def _table(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} must be a table")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
