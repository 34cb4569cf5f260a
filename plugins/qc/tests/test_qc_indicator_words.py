"""The words by which indicators are searched are those of R59's and R60's sets, and no others."""

import tomllib
from pathlib import Path

from hisbus_qc.disease import SETS

WORDS = Path(__file__).parent / "data" / "indicator_words.toml"


def test_the_words_of_the_search_are_those_of_the_sets() -> None:
    table = tomllib.loads(WORDS.read_text(encoding="utf-8"))["indicators"]
    known = {
        word
        for disease in SETS.values()
        for item in disease.items.values()
        for group in item.groups
        for search in group
        for word in search.words
    }
    assert len(table) == 8
    assert {word for pattern in table.values() for word in pattern.split("|")} <= known
