"""Text from outside that every database can store: no lone surrogates, no NUL."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, Field


def _storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds characters that cannot be stored")
    return text


def _storable_tree(tree: dict[str, Any]) -> dict[str, Any]:
    _storable(json.dumps(tree, ensure_ascii=False, allow_nan=False).replace("\\u0000", "\x00"))
    return tree


Word = Annotated[str, Field(max_length=200), AfterValidator(_storable)]
"""A name, a number or an id."""

Note = Annotated[str, Field(max_length=2000), AfterValidator(_storable)]
"""What a person writes."""

Passage = Annotated[str, Field(max_length=20_000), AfterValidator(_storable)]
"""A section of a document."""

Tree = Annotated[dict[str, Any], AfterValidator(_storable_tree)]
"""JSON of any shape."""
