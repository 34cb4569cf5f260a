"""MDACE (Cheng and others 2023), and whatever has its form: notes with the spans that bear each code.

A folder of JSON files, one for each admission: ``{"hadm_id", "comment", "notes": [{"note_id", "category",
"description", "text", "annotations": [{"begin", "end", "code", "code_system", "description", "type"}]}]}``. The corpus
is published without ``text``; its own tool puts the notes of MIMIC-III in.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.datasets.made import chart, document
from hisbus_bus.lab.evaluate.sample import Codes, DataSet, Expected, ExpectedCode, Sample, Span, named_by
from hisbus_schemas import Code

_TYPES = {
    "discharge summary": Code(code="18842-5", system="LN"),
    "radiology": Code(code="18748-4", system="LN"),
    "consult": Code(code="11488-4", system="LN"),
    "nursing": Code(code="34746-8", system="LN"),
}
"""LOINC codes by category; the others are progress notes."""
_NOTE = Code(code="11506-3", system="LN")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class _Annotation(_Part):
    begin: int = Field(ge=0)
    end: int = Field(ge=0)
    code: str
    code_system: str = ""
    description: str | None = None


class _Note(_Part):
    note_id: int | str
    category: str = ""
    text: str | None = None
    annotations: list[_Annotation] = []


class _Admission(_Part):
    hadm_id: int | str
    notes: list[_Note]


def is_one(path: Path) -> bool:
    """Tell whether a folder or file is of this form, by its first file."""
    first = next(iter(_files(path)), None)
    try:
        return first is not None and b'"hadm_id"' in first.read_bytes()[:4096]
    except OSError:
        return False


def read(path: Path) -> DataSet:
    """Read a folder with what lies below it, or one file.

    Raises:
        ConfigError: a file is not of this form, a note has no text, or a span lies outside of its note.
    """
    return DataSet(path.name, "mdace", [_sample(file, _name(path, file)) for file in _files(path)])


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("**/*.json"))
    return [path] if path.suffix == ".json" else []


def _name(path: Path, file: Path) -> str:
    """Return a case's id: an admission may be there once for each version of the codes, so its number is none."""
    return file.stem if file == path else file.relative_to(path).with_suffix("").as_posix()


def _sample(file: Path, id: str) -> Sample:
    try:
        admission = _Admission.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read.") from error
    except ValidationError as error:
        mistakes: Any = error.errors(include_input=False, include_context=False, include_url=False)
        raise ConfigError(f"{file}: {named_by(mistakes)}") from None
    codes: dict[tuple[str, str], ExpectedCode] = {}
    documents = []
    for note in admission.notes:
        if note.text is None:
            raise ConfigError(f"{file}: a note has no text. Put it in first; MDACE's own tool does (inject-note-text).")
        note_id = str(note.note_id)
        kind = _TYPES.get(note.category.strip().lower(), _NOTE)
        documents.append(document(note_id, kind.model_copy(update={"text": note.category}), note.text))
        for mark in note.annotations:
            if not mark.begin <= mark.end <= len(note.text):
                raise ConfigError(f"{file}: note {note_id}: a span lies outside of its text.")
            key = (mark.code_system, mark.code)
            known = codes.get(
                key, ExpectedCode(code=mark.code, system=mark.code_system, display=mark.description or "")
            )
            span = Span(document=note_id, begin=mark.begin, end=mark.end)
            codes[key] = known.model_copy(update={"evidence": [*known.evidence, span]})
    whole = chart(id, documents, patient_class="inpatient", discharged=True)
    return Sample(id, whole, Expected(codes=Codes(expected=list(codes.values()))))
