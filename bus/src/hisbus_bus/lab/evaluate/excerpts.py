"""Excerpts of records with what a person says of one indicator in each: JSON lines in the form of CMQCIC-Bench.

A line has ``unique_id`` (the indicator's name), ``patient note``, ``facts`` (each ``Fact``, ``Original Text``,
``Result``) and ``label`` (Yes: the excerpt counts for the indicator; No). What else a line has is not read; blank lines
are left out. The words that a fact rests on are found in the note, where they stand there as they are quoted.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.datasets.made import chart, document
from hisbus_bus.lab.evaluate.sample import Expected, Sample, Span, named_by
from hisbus_schemas import Code

DOCUMENT = "excerpt"
"""Id of the one document of an excerpt's chart."""
_RECORD = Code(code="C0034", text="Admission record", system="WS/T 500")
_HELD = {"True": True, "False": False, "已完成": True, "已进行": True, "未完成": False, "未进行": False}
"""Results that say whether a fact holds; others are values, or say that it cannot be told."""
_QUOTED = re.compile(r"“([^”]+)”|‘([^’]+)’|「([^」]+)」")
_CLAUSE = re.compile(r"[^，,。；;（）\n]+")
_LEAST = 4
"""Characters without which a part of a quote is found anywhere."""


@dataclass(frozen=True, slots=True)
class ExcerptFact:
    """One fact that the indicator asks for, as a person found it in the excerpt."""

    asked: str
    """In the words of the indicator."""
    result: str
    """As it was written down: True, False, a value, or that it cannot be told."""
    evidence: Sequence[Span]
    """Where the words that it rests on stand; empty where they were not quoted as they stand."""

    @property
    def holds(self) -> bool | None:
        """Return whether it holds; None where that cannot be told, or where it is a value."""
        return _HELD.get(self.result)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of a record, and whether it counts for an indicator."""

    id: str
    """The indicator with the excerpt's number in it."""
    indicator: str
    text: str
    facts: Sequence[ExcerptFact]
    counts: bool

    @property
    def sample(self) -> Sample:
        """Return the case for an agent: the chart of a stay that consists of the excerpt."""
        note = document(DOCUMENT, _RECORD, self.text)
        return Sample(self.id, chart(self.id, [note], patient_class="inpatient"), Expected())


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    asked: str = Field(alias="Fact")
    quoted: str = Field("", alias="Original Text")
    result: str = Field("", alias="Result")


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    indicator: str = Field(alias="unique_id", min_length=1)
    text: str = Field(alias="patient note", min_length=1)
    facts: tuple[_Fact, ...] = ()
    label: Literal["Yes", "No"]


def read(files: Sequence[Path]) -> list[Excerpt]:
    """Read files of excerpts, in their order.

    Raises:
        ConfigError: a file cannot be read, a line of it is of another form, or there is no excerpt in any.
    """
    found: list[Excerpt] = []
    numbers: Counter[str] = Counter()
    for file in files:
        for line in _lines(file):
            numbers[line.indicator] += 1
            facts = [ExcerptFact(one.asked, one.result.strip(), _places(line.text, one.quoted)) for one in line.facts]
            id = f"{line.indicator}#{numbers[line.indicator]}"
            found.append(Excerpt(id, line.indicator, line.text, facts, line.label == "Yes"))
    if not found:
        raise ConfigError("There is no excerpt in these files.")
    return found


def _lines(file: Path) -> Iterator[_Line]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read. It must be JSON lines in UTF-8.") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield _Line.model_validate_json(line)
        except ValidationError as error:
            mistakes = named_by(error.errors(include_input=False, include_context=False, include_url=False))
            raise ConfigError(f"{file}, line {number}: {mistakes}") from None


def _places(text: str, quoted: str) -> list[Span]:
    """Return where the quoted words stand: what is in quotation marks, or all of it; else those clauses that stand."""
    wholes = [next(filter(None, one)) for one in _QUOTED.findall(quoted)] or [quoted]
    spans = []
    for whole in wholes:
        place = _place(text, whole)
        if place:
            spans.append(place)
        else:
            clauses = (one for one in _CLAUSE.findall(whole) if len(one) >= _LEAST)
            spans += filter(None, (_place(text, one) for one in clauses))
    return list(dict.fromkeys(spans))


def _place(text: str, words: str) -> Span | None:
    """Return where words stand first; runs of white space may differ."""
    parts = [re.escape(part) for part in words.strip(" \n。，,；;").split()]
    match = re.search(r"\s+".join(parts), text) if parts else None
    return Span(document=DOCUMENT, begin=match.start(), end=match.end()) if match else None
