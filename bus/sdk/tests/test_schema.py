"""A form that cannot go on for ever, and a reader that takes nothing for what it is not."""

import json
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, create_model, field_validator

from hisbus.errors import ConfigError, NotEvaluated
from hisbus.schema import brief, closed, reader, typed
from hisbus_servers.fake_model import smallest

Short = Annotated[str, Field(max_length=10)]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    """One thing."""

    name: Short
    colour: Colour | None = None


class Good(BaseModel):
    kind: Literal["good"]
    items: Annotated[list[Item], Field(max_length=3)]
    share: Annotated[float, Field(ge=0, le=1)]
    count: Annotated[int, Field(gt=0, lt=9)] = 1
    sure: bool
    code: Annotated[str, Field(max_length=5, pattern="^[A-Z]+$")] | None = None


def test_a_form_is_flat_closed_and_asks_for_every_field() -> None:
    form = closed(Good.model_json_schema())
    text = json.dumps(form)
    assert "$ref" not in text and "title" not in text
    assert form["required"] == ["kind", "items", "share", "count", "sure", "code"]
    assert form["additionalProperties"] is False
    assert form["properties"]["items"]["items"] == {
        "description": "One thing.",
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 10},
            "colour": {"anyOf": [{"enum": ["red", "blue"]}, {"type": "null"}]},
        },
        "required": ["name", "colour"],
        "additionalProperties": False,
    }
    assert closed(form) == form


def model(**fields: Any) -> dict[str, Any]:
    made: type[BaseModel] = create_model("Made", **{name: (its, ...) for name, its in fields.items()})
    return made.model_json_schema()


class Tree(BaseModel):
    children: Annotated[list["Tree"], Field(max_length=2)]


UNBOUNDED = {
    "endless text": (model(a=str), "a"),
    "too long a text": (model(a=Annotated[str, Field(max_length=10**6)]), "a"),
    "endless list": (model(a=list[bool]), "a"),
    "list of endless texts": (model(a=Annotated[list[str], Field(max_length=3)]), "a"),
    "number without range": (model(a=int), "a"),
    "number without end": (model(a=Annotated[float, Field(ge=0)]), "a"),
    "free keys": (model(a=dict[str, bool]), "a"),
    "anything": (model(a=Any), "a"),
    "set": (model(a=Annotated[set[bool], Field(max_length=3)]), "a"),
    "tuple": (model(a=tuple[bool, bool]), "a"),
    "format": (model(a=Annotated[str, Field(max_length=10, json_schema_extra={"format": "date"})]), "a"),
    "multiple": (model(a=Annotated[int, Field(ge=0, le=9, multiple_of=3)]), "a"),
    "inner": (model(b=create_model("In", c=(str, ...))), "b.c"),
    "own name": (model(姓名=str), "_"),
    "tree": (Tree.model_json_schema(), "children.children.children.children"),
    "no fields": (model(), "answer"),
    "dangling": ({"$ref": "#/$defs/None"}, "answer"),
    "no schema": ({"type": "object", "properties": {"a": 7}}, "a"),
    "no alternatives": ({"anyOf": []}, "answer"),
    "no choices": ({"enum": []}, "answer"),
    "list of types": ({"type": ["string", "null"]}, "answer"),
}


@pytest.mark.parametrize(("schema", "field"), UNBOUNDED.values(), ids=UNBOUNDED.keys())
def test_what_is_not_bounded_is_refused_and_the_field_named(schema: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        closed(schema)
    assert caught.value.code == f"unbounded_answer.{field}"
    assert field in str(caught.value)


def test_a_form_is_told_in_few_words() -> None:
    class Quote(BaseModel):
        document: Annotated[str, Field(max_length=8, description="Label, such as D3")]

    class Told(BaseModel):
        verdict: Literal["keep", "reject"]
        sure: Annotated[int, Field(ge=0, le=100)]
        share: Annotated[float, Field(gt=0, lt=1)] | None
        there: bool
        quotes: Annotated[list[Quote], Field(max_length=2)]

    assert brief(closed(Told.model_json_schema())) == (
        '{"verdict": "keep"|"reject", "sure": whole number 0 to 100, "share": number 0 to 1 or null, '
        '"there": true|false, "quotes": list, at most 2, of '
        '{"document": text, 8 characters at most (Label, such as D3)}}'
    )


def test_a_form_that_is_wide_everywhere_is_refused() -> None:
    inner: Any = bool
    for _ in range(3):
        inner = create_model("Wide", **{f"f{n}": (inner, ...) for n in range(6)})
    with pytest.raises(ConfigError, match="more than 200 fields"):
        closed(inner.model_json_schema())


@pytest.mark.parametrize("pattern", ["(?=a)", "(", r"(a)\1"])
def test_a_pattern_that_not_everybody_reads_alike_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError):
        reader({"type": "string", "maxLength": 5, "pattern": pattern})


FINE = {"kind": "good", "items": [{"name": "x", "colour": "red"}], "share": 1, "count": 2, "sure": True, "code": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "bad"},
        {"items": [{"name": "x" * 11, "colour": None}]},
        {"items": [{"name": "x", "colour": "green"}]},
        {"items": [FINE["items"][0]] * 4},  # type: ignore[index]
        {"share": 1.1},
        {"share": "1"},
        {"share": float("nan")},
        {"count": 0},
        {"count": 2.5},
        {"count": True},
        {"sure": 1},
        {"code": "abc"},
        {"more": 1},
    ],
)
def test_nothing_is_taken_for_what_it_is_not(wrong: dict[str, Any]) -> None:
    reading = reader(closed(Good.model_json_schema()))
    assert reading.validate_python(FINE)
    with pytest.raises(ValidationError):
        reading.validate_python(FINE | wrong)


def test_an_agents_own_validators_have_the_last_word() -> None:
    class Even(BaseModel):
        number: Annotated[int, Field(ge=0, le=9)]

        @field_validator("number")
        @classmethod
        def _is_even(cls, value: int) -> int:
            if value % 2:
                raise ValueError("odd")
            return value

    assert typed(Even, {"number": 2}) == Even(number=2)
    with pytest.raises(NotEvaluated) as caught:
        typed(Even, {"number": 3})
    assert (caught.value.code, caught.value.__cause__) == ("invalid_answer", None)


FORMS = st.recursive(
    st.sampled_from([bool, Colour, Literal["x", 1]])
    | st.builds(lambda most: Annotated[str, Field(max_length=most)], st.integers(0, 50))
    | st.builds(lambda low, more: Annotated[int, Field(ge=low, le=low + more)], st.integers(-9, 9), st.integers(0, 9)),
    lambda inner: (
        st.builds(lambda each, most: Annotated[list[each], Field(max_length=most)], inner, st.integers(0, 5))  # type: ignore[valid-type]
        | st.builds(lambda each: each | None, inner)
        | st.builds(lambda one, two: create_model("M", a=(one, ...), b=(two, ...)), inner, inner)  # type: ignore[call-overload]
    ),
    max_leaves=4,
)


@given(FORMS)
@settings(max_examples=50, deadline=None)
def test_the_smallest_answer_of_any_bounded_form_is_read_by_its_reader_and_by_the_model(inner: Any) -> None:
    made: type[BaseModel] = create_model("Made", a=(inner, ...))
    try:
        form = closed(made.model_json_schema())
    except ConfigError as error:
        assert "nested" in str(error)
        return
    value = smallest(form)
    assert reader(form).validate_python(value) == value
    assert len(brief(form)) < len(json.dumps(form))
    assert typed(made, value)
