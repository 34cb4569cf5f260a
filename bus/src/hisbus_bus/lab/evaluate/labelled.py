"""Notes whose codes a person has labelled: a TOML file with codes, and texts that stand in it or beside the checkout.

``[[note]]`` with ``id``, ``half`` (the part of the notes that it belongs to), ``codes`` and ``may``. The first of
``codes`` is the principal diagnosis; each is ``{code, or, begin, end}`` or ``[code, words]``: ``or`` are codes that are
as right, the rest says what it rests on and is not compared. ``may`` are codes that one may add: neither right nor
wrong. The text is in ``admission`` and ``discharge``, or the column ``note`` of a CSV file by its ``encounter_id``.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.datasets import table
from hisbus_bus.lab.evaluate.datasets.made import chart, document
from hisbus_bus.lab.evaluate.sample import Expected, Sample, named_by
from hisbus_schemas import Code

_TYPES = {"admission": Code(code="C0034"), "discharge": Code(code="C0049")}
"""Kinds of documents by the field that holds the text."""
_COLUMNS = ("encounter_id", "note")


class LabelledCode(BaseModel):
    """A code that a coder would give."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)

    code: str
    others: list[str] = Field(default=[], alias="or")
    begin: int = 0
    end: int = 0

    @property
    def right(self) -> frozenset[str]:
        """Return all codes that are right here."""
        return frozenset({self.code, *self.others})


class _Note(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: str
    half: str
    codes: list[LabelledCode] = Field(min_length=1)
    may: list[str] = []
    admission: str = ""
    discharge: str = ""

    @field_validator("codes", mode="before")
    @classmethod
    def _with_words(cls, value: Any) -> Any:
        return [{"code": one[0]} if isinstance(one, list) and one else one for one in value]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    note: list[_Note]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A note with its codes."""

    sample: Sample
    half: str
    codes: Sequence[LabelledCode]
    """The first is the principal diagnosis."""
    may: frozenset[str]


def read(labels: Path, texts: Path | None = None) -> list[Labelled]:
    """Read a file of labels with its texts.

    Args:
        labels: the file.
        texts: a CSV file, or a folder of them, that holds the texts; None: they stand with the labels.

    Raises:
        ConfigError: a file cannot be read or is of another form, or a note has no text.
    """
    try:
        notes = _File.model_validate(tomllib.loads(labels.read_text(encoding="utf-8"))).note
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{labels} cannot be read. It must be TOML in UTF-8.") from error
    except ValidationError as error:
        mistakes = named_by(error.errors(include_input=False, include_context=False, include_url=False))
        raise ConfigError(f"{labels}: {mistakes}") from None
    known = {} if texts is None else _texts(texts)
    return [Labelled(_sample(note, known), note.half, note.codes, frozenset(note.may)) for note in notes]


def _texts(path: Path) -> Mapping[str, str]:
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    its = [file for file in files if table.header(file).issuperset(_COLUMNS)]
    if not its:
        raise ConfigError(f"{path} has no CSV file with the columns {' and '.join(_COLUMNS)}.")
    return {row["encounter_id"]: row["note"] for file in its for row in table.rows(file, _COLUMNS)}


def _sample(note: _Note, texts: Mapping[str, str]) -> Sample:
    parts = [(name, text) for name in _TYPES if (text := getattr(note, name))]
    if not parts and note.id in texts:
        parts = [("admission", texts[note.id])]
    if not parts:
        raise ConfigError(f"The note {note.id} has no text. Name the file or folder that has it: --texts PATH.")
    documents = [document(name, _TYPES[name], text) for name, text in parts]
    return Sample(note.id, chart(note.id, documents, patient_class="inpatient", discharged=True), Expected())
