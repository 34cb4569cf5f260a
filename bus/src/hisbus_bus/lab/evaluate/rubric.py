"""Points of a drafted document, declared in a file: each item asks that one figure keeps to a limit."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.sample import named_by
from hisbus_schemas import Text

Figure = Literal["captured", "accurate", "unsupported", "omitted", "contradictions", "copied", "edit_distance"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RubricItem(_Table):
    """What earns points."""

    id: str
    title: Text
    points: float = Field(gt=0)
    figure: Figure
    at_least: float | None = None
    at_most: float | None = None

    def met(self, scores: Mapping[str, float | None]) -> bool:
        """Tell whether a document keeps to it; what could not be judged does."""
        value = scores[self.figure]
        if value is None:
            return True
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


class Rubric(_Table):
    """All that earns points."""

    version: str
    items: list[RubricItem] = Field(min_length=1)

    @property
    def most(self) -> float:
        """Return the points of a document that meets all."""
        return sum(item.points for item in self.items)


def read(path: Path | None) -> Rubric:
    """Return the rubric of a file; without one, ours.

    Raises:
        ConfigError: it cannot be read; names the key.
    """
    try:
        text = (path or files("hisbus_bus.lab.evaluate").joinpath("rubric.toml")).read_text(encoding="utf-8")
        return Rubric.model_validate(tomllib.loads(text))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read. A rubric is TOML in UTF-8.") from error
    except ValidationError as error:
        mistakes = error.errors(include_input=False, include_context=False, include_url=False)
        raise ConfigError(f"{path}: {named_by(mistakes)}") from None
