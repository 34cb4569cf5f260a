"""What a sentence calls a document: by its type, else as its source names it."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files

from hisbus_schemas import ChartDocument, Text


def _names() -> Mapping[str, Text]:
    table = tomllib.loads(files("hisbus_qc").joinpath("documents.toml").read_text(encoding="utf-8"))
    return {code: Text.model_validate(name) for code, name in table.items()}


NAMES = _names()
"""By WS/T 500 or LOINC."""


def named(item: ChartDocument) -> Text:
    """Return what a document is called in both languages."""
    return NAMES.get(item.type.code) or Text(zh=item.title, en=item.title)
