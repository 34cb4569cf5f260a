"""What a document consists of, as data: ``templates/*.toml``."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hisbus_schemas import Text


class _Table(BaseModel):
    # What a template says and nothing reads would be missing from every draft, so it is refused.
    model_config = ConfigDict(extra="forbid", frozen=True)


class Feed(_Table):
    """Facts of the chart that belong into a section."""

    fact: Literal[
        "admission", "discharge", "person", "diagnoses", "operation", "operations", "orders", "vitals", "results",
        "reports", "quote", "notes", "turns",
    ]  # fmt: skip
    documents: list[str] = []
    """Types of the documents that are quoted."""
    sections: list[str] = []
    """Which of their sections, by the names in ``sections.toml``. Empty: all."""
    types: list[str] = []
    """Types of diagnoses (HL7 v2 DG1-6), the best first: the first type that there is."""
    role: Literal["patient", "doctor"] = "patient"
    words: list[str] = []
    """Only sentences with one of these words. Empty: all."""
    pick: Literal["first", "last"] = "last"
    most: int = Field(8, ge=1)
    """Sentences; of each document where several are quoted."""
    documents_most: int = Field(1, ge=1)
    """Documents, the newest ones."""


class SectionTemplate(_Table):
    """A section."""

    code: str
    title: Text
    loinc: str = ""
    element: str = ""
    """Data element of WS/T 363."""
    required: bool = False
    """The document must say something here (医疗机构病历书写基本规范)."""
    feeds: list[Feed]


class Template(_Table):
    """A document."""

    id: str
    type: str
    """WS/T 500 code."""
    loinc: str
    title: Text
    spoken: Text | None = None
    """Of what was said: what it is called where no model wrote it. Words that were said are no document."""
    events: list[str]
    """What makes it due."""
    due: Literal["admission", "discharge", "operation", "month", "transcript"]
    """What there is one document for."""
    classes: list[str]
    """Classes of patients (HL7 v2 PV1-2). Empty: all."""
    departments: list[str] = []
    """Only in these. Empty: in all."""
    except_departments: list[str] = []
    instead: list[str] = []
    """Types of documents that take its place."""
    sections: list[SectionTemplate]
    enabled: bool = True


def _load() -> Mapping[str, Template]:
    found = sorted(files("hisbus_documentation").joinpath("templates").iterdir(), key=lambda file: file.name)
    templates = [Template.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))) for file in found]
    return {template.id: template for template in templates}


TEMPLATES: Mapping[str, Template] = _load()
"""Every template, by id."""
