"""How sure a proposed code is: by where its diagnosis stands and how the code was found, as it was counted on notes
that retrieval was not tuned on (``calibration.toml``)."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal

from hisbus_coding.retrieval import Candidate

Band = Literal["high", "medium", "low"]
"""``high`` and ``medium`` are proposed; ``low`` is a candidate that a person may take."""
Place = Literal["discharge", "list", "admission", "encounter", "alone", "said", "beside"]
"""Where a diagnosis stands: in a list of the discharge, in another list, in one of the admission that a later list does
not name again, as the reason of an examination, in running text of a record without any list, in sentences under a
list, or elsewhere beside a list."""

_DATA: Mapping[str, Any] = tomllib.loads(
    files("hisbus_coding").joinpath("calibration.toml").read_text(encoding="utf-8")
)
_COUNTS: Mapping[tuple[str, str], tuple[int, int]] = {
    (one["place"], one["way"]): (one["right"], one["of"]) for one in _DATA["kind"]
}
_HIGH, _MEDIUM = _DATA["bands"]["high"], _DATA["bands"]["medium"]
_NEAR = 0.85
"""Of the highest score that the search gives: all words are in both names but for one."""
_SEARCHED = 0.8


def confidence(place: Place, candidate: Candidate, *, part: bool) -> float:
    """Return how likely a code is right, 0 to 1; ``part``: its name is only a part of what a list says."""
    right, of = _COUNTS.get((place, "part" if part else way(candidate))) or _COUNTS[place, "any"]
    return round((right + 1) / (of + 2), 4)  # Laplace: few notes do not make a thing certain


def way(candidate: Candidate) -> str:
    """Return how a code was found: by its ``name``, an ``alias``, nearly all ``words`` of a name, or ``some``."""
    if candidate.method == "search":
        return "words" if candidate.score >= _NEAR * _SEARCHED else "some"
    return "alias" if candidate.method == "alias" else "name"


def band(sure: float) -> Band:
    """Return the band of a confidence."""
    return "high" if sure >= _HIGH else "medium" if sure >= _MEDIUM else "low"
