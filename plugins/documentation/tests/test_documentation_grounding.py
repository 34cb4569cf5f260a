"""Grounding: what may stay and what may not, in both languages. The sentences are data, beside this file."""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hisbus_documentation.grounding import CHECKS, Facts, reason

CASES: list[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("grounding_cases.toml").read_text(encoding="utf-8")
)["case"]


def facts(case: dict[str, Any]) -> Facts:
    return Facts(sex=case.get("sex", "female"), ages=frozenset({37}), coded=tuple(case.get("coded", ())))


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case['reason'] or 'stays'}" for n, case in enumerate(CASES)])
def test_a_sentence_stays_or_goes_for_the_reason_that_its_case_names(case: dict[str, Any]) -> None:
    assert reason(case["text"], case["sources"], facts(case)) == case["reason"]


def test_every_reason_has_a_case_in_each_language() -> None:
    chinese = Counter(case["reason"] for case in CASES if not case["text"].isascii())
    english = Counter(case["reason"] for case in CASES if case["text"].isascii())
    assert len(CASES) >= 60
    assert chinese.keys() >= CHECKS.keys() | {""}
    assert english.keys() >= CHECKS.keys() | {""}
    assert chinese[""] >= 12 and english[""] >= 10
