"""Context: a number or a drug stands among words of its source, and not elsewhere in the record by chance."""

import re
from collections.abc import Iterator, Sequence

from hisbus_documentation.grounding import names, quantities
from hisbus_documentation.grounding.facts import Facts
from hisbus_documentation.grounding.support import units

_CLAUSE = re.compile(r"[;。!?\n；]|\. ")
_REACH = 120
"""Characters before and after, in Chinese a third of that."""


def holds(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether near each number and drug, where a source has it, something else stands that its clause says."""
    known = [quantities.bare(source) for source in sources]
    anchors = (anchor for clause in _CLAUSE.split(quantities.bare(text)) for anchor in _anchors(clause))
    return all(_together(anchor, about, known) for anchor, about in anchors)


def _anchors(clause: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each number and drug of a clause, and what else the clause says near it."""
    for anchor in {*quantities.digits(clause), *names.drugs(clause)}:
        yield anchor, frozenset[str]().union(*_near(clause, anchor))


def _together(anchor: str, about: frozenset[str], sources: Sequence[str]) -> bool:
    """Tell whether a source has an anchor near what it is about. One that stands nowhere as such was computed."""
    near = [words for source in sources for words in _near(source, anchor)]
    return not about or not near or any(about & words for words in near)


def _near(text: str, anchor: str) -> Iterator[frozenset[str]]:
    """Yield what a text says near each place of an anchor; a single Chinese character says nothing."""
    reach = _REACH if text.isascii() else _REACH // 3
    for match in re.finditer(rf"(?<![a-z0-9.]){re.escape(anchor)}(?![a-z0-9]|\.\d)", text):
        words = f"{text[max(0, match.start() - reach) : match.start()]} {text[match.end() : match.end() + reach]}"
        yield frozenset(unit for unit in units(words) if len(unit) > 1)
