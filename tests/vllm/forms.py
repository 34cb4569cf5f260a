"""Answers of many shapes, as agents ask for them."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Short = Annotated[str, Field(max_length=24)]


class Verdict(BaseModel):
    """A truth and a reason."""

    present: bool
    why: Short


class Marks(BaseModel):
    """Choices in Chinese, ranges, a list of bounded numbers."""

    grade: Literal["甲", "乙", "丙"]
    score: Annotated[float, Field(ge=0, le=100)]
    points: Annotated[list[Annotated[int, Field(ge=0, le=10)]], Field(max_length=6)]


class Span(BaseModel):
    """Words of a document."""

    document: Literal["D1", "D2", "D3"]
    text: Short


class Finding(BaseModel):
    """One level down."""

    rule: Literal["R01", "R02", "R13"]
    certainty: Annotated[float, Field(gt=0, lt=1)]
    spans: Annotated[list[Span], Field(min_length=1, max_length=2)]


class Findings(BaseModel):
    """Lists in lists."""

    findings: Annotated[list[Finding], Field(max_length=3)]


class Code(BaseModel):
    """A pattern."""

    code: Annotated[str, Field(pattern=r"^[A-Z][0-9]{2}\.[0-9]$", max_length=5)]
    role: Literal["principal", "other"]
    rank: Annotated[int, Field(ge=1, le=20)]


class Codes(BaseModel):
    """A list that must hold something."""

    codes: Annotated[list[Code], Field(min_length=1, max_length=4)]


class Dose(BaseModel):
    """A number with its unit."""

    amount: Annotated[float, Field(ge=0, le=5000)]
    unit: Literal["mg", "g", "ml"]


class Course(BaseModel):
    """What may be left out, and a choice between two."""

    dose: Dose | None
    stopped: bool | None
    route: Annotated[str, Field(min_length=1, max_length=12)] | Annotated[int, Field(ge=0, le=3)]


class Leaf(BaseModel):
    """The deepest."""

    value: Literal[1, 2, 3]


class Branch(BaseModel):
    """The third level."""

    leaves: Annotated[list[Leaf], Field(min_length=2, max_length=3)]


class Tree(BaseModel):
    """Four levels."""

    left: Branch
    right: Branch


class Long(BaseModel):
    """Takes thousands of tokens, whatever the model wants."""

    items: Annotated[list[Code], Field(min_length=200, max_length=200)]


class Some(BaseModel):
    """Takes some hundred tokens."""

    items: Annotated[list[Code], Field(min_length=4, max_length=4)]


class Yes(BaseModel):
    """Takes next to none."""

    yes: bool


FORMS: tuple[type[BaseModel], ...] = (Verdict, Marks, Findings, Codes, Course, Tree)
