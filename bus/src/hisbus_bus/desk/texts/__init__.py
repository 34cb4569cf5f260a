"""What the page says: one file for each language."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

LANGUAGES = ("zh", "en")


@cache
def texts(language: str) -> Mapping[str, Any]:
    """Return every text of the page in a language."""
    return tomllib.loads(files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))


def negotiate(chosen: str | None, accepted: str) -> str:
    """Return the language for a reader: the one they chose, else the first we have that their browser asks for."""
    if chosen in LANGUAGES:
        return str(chosen)
    wanted = (part.split(";")[0].strip().split("-")[0].lower() for part in accepted.split(","))
    return next((language for language in wanted if language in LANGUAGES), LANGUAGES[0])
