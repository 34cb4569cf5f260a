"""The operator's settings: ``{"language": "zh", "model": false, "templates": {"visit-note": {"enabled": false}}}``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hisbus import ConfigError
from hisbus_documentation.phrases import Language
from hisbus_documentation.subject import TRANSCRIPTS
from hisbus_documentation.template import TEMPLATES, Template


class _Change(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    enabled: bool = True
    departments: list[str] | None = None
    except_departments: list[str] | None = None


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    language: Literal["auto", "zh", "en"] = "auto"
    model: bool = True
    transcripts: list[str] = sorted(TRANSCRIPTS)
    templates: dict[str, _Change] = {}


@dataclass(frozen=True, slots=True)
class Configured:
    """What the agent does under a hospital's settings."""

    templates: tuple[Template, ...]
    """Those that are enabled."""
    language: Language | None
    """None: the record's own."""
    model: bool
    """Ask a model where there is one."""
    transcripts: frozenset[str]
    """Types of documents that are speech as text."""


def configured(settings: Mapping[str, Any]) -> Configured:
    """Return what settings mean.

    Raises:
        ConfigError: a key is unknown or its value is of the wrong kind; the message names the key.
    """
    try:
        given = _Settings.model_validate(dict(settings))
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise ConfigError(f"{key} is not a setting of documentation, or its value is of the wrong kind") from None
    for id in given.templates:
        if id not in TEMPLATES:
            raise ConfigError(f"templates.{id} is not a template: use {', '.join(TEMPLATES)}")
    changed = (
        template.model_copy(update=given.templates[template.id].model_dump(exclude_none=True))
        if template.id in given.templates
        else template
        for template in TEMPLATES.values()
    )
    return Configured(
        templates=tuple(template for template in changed if template.enabled),
        language=None if given.language == "auto" else given.language,
        model=given.model,
        transcripts=frozenset(given.transcripts),
    )
