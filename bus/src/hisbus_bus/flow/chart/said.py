"""The newest word on each field. A word of an ADT outweighs any other; among equals the later one in the fold counts.

Which word is newest does not depend on the order in which they are heard, so a late event needs no second fold.
"""

from collections.abc import Mapping
from typing import Any

from hisbus_schemas import Demographics, Stay

Said = dict[str, list[Any]]
"""By field: whether an ADT said it, the fold order of its event, the value. None: emptied."""


def is_adt(kind: str) -> bool:
    """Tell whether events of a kind may change what is known of patient and stay; others fill what is unknown."""
    return kind.startswith(("encounter.", "patient."))


def words(facts: Demographics | Stay, fields: frozenset[str], *, adt: bool) -> dict[str, Any]:
    """Return what is said of the given fields. Only an ADT can empty one."""
    said: dict[str, Any] = facts.model_dump(mode="json", include=set(fields), exclude_none=True)
    return said | dict.fromkeys(fields & set(facts.deleted)) if adt else said


def say(said: Said, spoken: Mapping[str, Any], *, adt: bool, order: str) -> Said:
    """Return what is known once these words are heard too."""
    return together(said, {field: [adt, order, value] for field, value in spoken.items()})


def together(*heard: Said) -> Said:
    """Return what is known to all of them."""
    newest: Said = {}
    for said in heard:
        for field, word in said.items():
            if field not in newest or word[:2] > newest[field][:2]:
                newest[field] = word
    return newest


def since(said: Said, field: str, floor: str) -> Any:
    """Return what was said of a field after a place in the fold; None where nothing was."""
    word = said.get(field)
    return word[2] if word is not None and word[1] > floor else None
