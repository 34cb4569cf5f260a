"""Invented normals: a finding that is said to be normal or absent though nobody looked."""

import re
from collections.abc import Iterator, Sequence

from hisbus_documentation.grounding import negation
from hisbus_documentation.grounding.facts import Facts
from hisbus_documentation.grounding.support import units

_NORMAL = re.compile(
    r"(?:未见|无)(?:明显|显著)?(?:异常|特殊)|正常(?!人)|平稳|阴性|\(-\)|良好|无殊|清晰|通畅|对称|灵敏"
    r"|\b(?:normal|unremarkable|within normal limits|wnl|negative|clear|intact|stable|benign|healthy"
    r"|no abnormalit(?:y|ies)|regular)\b"
)
_CLAUSE = re.compile(r"[,;。!?\n]|\. |\b(?:and|but)\b|但|且")


def holds(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether what a text calls normal or absent is so called in a source, of the same thing."""
    known = [clause for source in sources for clause in _normal(source)]
    return not negation.invented(text, sources) and all(_borne(said, known) for said in _normal(text))


def _normal(text: str) -> Iterator[frozenset[str]]:
    """Yield what is called normal in each clause that does so, as the units of its words.

    A clause that says nothing else is of what the one before it is about: 血红蛋白127g/L，正常.
    """
    before = frozenset[str]()
    for clause in _CLAUSE.split(text):
        about = units(_NORMAL.sub(" ", clause)) or before
        if _NORMAL.search(clause):
            yield about
        before = about


def _borne(said: frozenset[str], known: Sequence[frozenset[str]]) -> bool:
    return any(not said or said & other for other in known)
