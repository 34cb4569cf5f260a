"""Support: a sentence says what its sources say, whatever else is right with it; and it is no unfilled template."""

import re
from collections.abc import Sequence

from hisbus_documentation.grounding import quantities
from hisbus_documentation.grounding.facts import Facts
from hisbus_documentation.grounding.words import stem
from hisbus_documentation.instructions import is_instruction
from hisbus_documentation.plain import CJK

_EMPTY = re.compile(
    r"患者|病人|入院[时后]?|出院[时后]?|目前|给予|予以|进行|检查|治疗|[因予行于为示由并及和与的了在时后]"
)
"""Chinese words that say nothing of their own."""
_LEAST = 0.5
"""Part of a sentence's content that must stand in its sources."""
_CHINESE = re.compile(rf"[{CJK}]+")
_ENGLISH = re.compile(r"[a-z][a-z'-]{2,}")
_HEADING = re.compile(
    r"^\W*(?:constitutional|general|heent|hent|eyes|ears|neck|skin|cardiovascular|respiratory|gastrointestinal"
    r"|genitourinary|musculoskeletal|neurologic(?:al)?|psychiatric|endocrine|hematologic|immunologic|integumentary"
    r"|vital signs|review of systems|physical examination|past medical history|family history|social history"
    r"|assessment|plan|impression)[a-z/ ]*: ?"
)
"""The name of a system or a section before what is said: it says nothing of its own."""
_STOP = frozenset(
    "the and was were with for from that this has had have his her she him they been are not but which who into upon "
    "after before during patient patients per also then than there their would will can could should about over "
    "on at of in to be it is an as by or no "
    "reports report reported states stated notes noted endorses endorse endorsed denies denied deny admits complains "
    "presents presented describes mentions today currently positive negative you your yes okay like just "
    "got get".split()
)
_TEMPLATE = re.compile(
    r"_{2,}|\{\w*\}|\[ ?\]|\[(?:[a-z]+ )?(?:insert|name|date|text|value|todo)[^\]]*\]|<(?:insert|name|date|value)[^>]*>"
    r"|\bx{2,}\b|×{2,}|待填|请填写|\(填写|待补充|\btbd\b|lorem ipsum"
)


def units(text: str) -> frozenset[str]:
    """Return a plain text's content: pairs of Chinese characters, and words without their endings."""
    text = quantities.without(_HEADING.sub("", text))
    found = {run[n : n + 2] for run in _CHINESE.findall(_EMPTY.sub(" ", text)) for n in range(max(len(run) - 1, 1))}
    words = {stem(word) for word in _ENGLISH.findall(text) if word not in _STOP}
    return frozenset(found | words)


def supported(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether at least half of what a text says stands in its sources."""
    said = units(text)
    return not said or len(said & units("\n".join(sources))) >= _LEAST * len(said)


def sourced(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether a text has any source."""
    return bool(sources)


def filled(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether a text is finished: no placeholder of a template is left in it."""
    return _TEMPLATE.search(text) is None


def about_a_patient(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether a text speaks of a patient, and not to a program."""
    return not is_instruction(text)
