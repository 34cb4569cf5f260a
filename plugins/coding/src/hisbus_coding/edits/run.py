"""Runs the edits over a set of codes."""

import re
from collections.abc import Callable, Iterator, Mapping

from hisbus_coding.edits import conventions, frontpage, limits, principal
from hisbus_coding.edits.claim import Claim, inside
from hisbus_coding.edits.edit import Edit, Hit
from hisbus_schemas import Text

CHECKS: Mapping[str, Callable[[Edit, Claim], Iterator[Hit]]] = {
    "R51.invalid": conventions.invalid,
    "R51.grey": principal.grey,
    "R51.manifestation": principal.manifestation,
    "R51.external": principal.in_ranges,
    "R51.unacceptable": principal.in_ranges,
    "R51.first": principal.comes_first,
    "R51.complication": principal.complication,
    "R51.symptom": principal.symptom,
    "symptom-with-cause": principal.symptom_with_cause,
    "seventh-character": conventions.seventh_character,
    "excludes1": conventions.excludes1,
    "code-first": conventions.code_first,
    "use-additional": conventions.use_additional,
    "R52.sex": limits.sex,
    "R52.age": limits.age,
    "R53.behaviour": frontpage.behaviour,
    "R54.outcome": frontpage.outcome,
    "R54.outside": frontpage.outside,
    "R55.coma": frontpage.coma,
    "R56.duplicate": conventions.duplicate,
}
"""The code of each edit in ``edits.toml``."""

_NO_SEX = Text(zh="患者性别未知。", en="The patient's sex is unknown.")
_NO_AGE = Text(zh="患者出生日期或入院时间未知。", en="The patient's birth date or the admission is unknown.")


def judge(edits: Mapping[str, Edit], claim: Claim) -> tuple[list[Hit], dict[str, Text]]:
    """Return what the edits found, and those that could not be judged with the reason."""
    open_ = {id: reason for id in edits if (reason := _missing(id, claim)) is not None}
    hits = [hit for id, edit in edits.items() if id not in open_ for hit in CHECKS[id](edit, claim)]
    return [hit for hit in hits if not (claim.recorded and _is_elsewhere(hit, claim))], open_


def _is_elsewhere(hit: Hit, claim: Claim) -> bool:
    """Tell whether a rule of the front page says the same of a recorded code."""
    first, form = claim.principal, hit.edit.elsewhere_form
    malformed = form and first is not None and first.code in hit.codes and not re.fullmatch(form, first.code)
    return bool(malformed) or any(inside(code, hit.edit.elsewhere) for code in hit.codes)


def _missing(id: str, claim: Claim) -> Text | None:
    if id == "R52.sex" and not claim.sex:
        return _NO_SEX
    if id == "R52.age" and claim.age_days is None:
        return _NO_AGE
    return None
