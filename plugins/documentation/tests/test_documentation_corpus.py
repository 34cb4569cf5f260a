"""Grounding on notes that people wrote of real conversations: how many true sentences stay, how many made false go.

The figures of the README are those of this test: ``pytest -m corpora plugins/documentation -rA -k notes``.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

import pytest

from hisbus.testing import make_document
from hisbus_documentation.grounding import Facts, Statements, reason
from hisbus_documentation.quotes import sentences
from hisbus_documentation.sentences import split

pytestmark = pytest.mark.long

FLOORS = {
    "true": 0.62,
    "number": 0.96,
    "other number": 0.94,
    "side": 0.87,
    "negation": 0.82,
    "drug": 0.95,
    "patient": 0.90,
}
"""Part of the true sentences that stays; of those that stay, part that goes once it is made false in this way.

``patient``: sentences of another patient's note; some are true of both. A side that stays is in part one that the
conversation itself says in both ways.
"""
NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w-])")
DRUG = re.compile(
    r"\b[a-z]+(?:mycin|statin|olol|pril|sartan|azole|dipine|formin|profen|oxicam|semide|sone)\b", re.IGNORECASE
)
DRUGS = ("lisinopril", "metformin", "amoxicillin", "omeprazole", "atorvastatin", "prednisone", "losartan")
FLIPS = (
    ("denies any", "reports"), ("denies", "reports"), ("denied", "reported"), ("no", ""), ("without", "with"),
    ("not", ""), ("negative for", "positive for"), ("reports", "denies"), ("with a history of", "with no history of"),
    ("there is", "there is no"), ("has been", "has not been"), ("is", "is not"),
)  # fmt: skip
HEADING = re.compile(r"^[A-Z /&-]+:?$")


def numbers(text: str) -> list[re.Match[str]]:
    """Return the numbers of a sentence but that of a list's item."""
    return [match for match in NUMBER.finditer(text) if match.start()]


def other_digit(text: str, dialogue: str, dice: Random) -> str | None:
    found = numbers(text)
    if not found:
        return None
    number = dice.choice(found)
    last = number[0][-1]
    changed = number[0][:-1] + dice.choice([digit for digit in "123456789" if digit != last])
    return text[: number.start()] + changed + text[number.end() :]


def other_number(text: str, dialogue: str, dice: Random) -> str | None:
    found = numbers(text)
    others = sorted({number for number in NUMBER.findall(dialogue) if number not in text})
    if not found or not others:
        return None
    number = dice.choice(found)
    return text[: number.start()] + dice.choice(others) + text[number.end() :]


def other_side(text: str, dialogue: str, dice: Random) -> str | None:
    sides = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
    return re.sub(r"\b[LlRr](?:eft|ight)\b", lambda match: sides.get(match[0], match[0]), text)


def flipped(text: str, dialogue: str, dice: Random) -> str | None:
    for said, instead in FLIPS:
        if re.search(rf"\b{said}\b", text, re.IGNORECASE):
            return re.sub(rf"\b{said}\b", instead, text, count=1, flags=re.IGNORECASE)
    return None


def other_drug(text: str, dialogue: str, dice: Random) -> str | None:
    unnamed = [drug for drug in DRUGS if drug not in f"{dialogue} {text}".lower()]
    return DRUG.sub(dice.choice(unnamed), text, count=1)


FALSE: Mapping[str, Callable[[str, str, Random], str | None]] = {
    "number": other_digit,
    "other number": other_number,
    "side": other_side,
    "negation": flipped,
    "drug": other_drug,
}


def said(note: str) -> Iterator[str]:
    for begin, end in split(note):
        if len(note[begin:end].split()) > 2 and not HEADING.match(note[begin:end]):
            yield note[begin:end]


@pytest.mark.corpora
def test_most_sentences_of_notes_that_people_wrote_stay_and_most_made_false_go(corpora: Path) -> None:
    with (corpora / "aci-bench" / "valid.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    dice = Random(7)
    judged, right = Counter[str](), Counter[str]()
    for n, row in enumerate(rows):
        spoken = [source.text for source in sentences(make_document("TRANSCRIPT", row["dialogue"]))]
        statements = Statements(spoken)

        def stays(text: str, spoken: list[str] = spoken, statements: Statements = statements) -> bool:
            return not reason(text, [spoken[place] for place in statements.nearest(text)], Facts())

        for text in said(row["note"]):
            judged["true"] += 1
            if not stays(text):
                continue
            right["true"] += 1
            for kind, change in FALSE.items():
                wrong = change(text, row["dialogue"], dice)
                if wrong is not None and wrong != text:
                    judged[kind] += 1
                    right[kind] += not stays(wrong)
        for text in said(rows[(n + 5) % len(rows)]["note"]):
            judged["patient"] += 1
            right["patient"] += not stays(text)
    shares = {kind: round(right[kind] / judged[kind], 3) for kind in judged}
    print({kind: f"{shares[kind]:.3f} of {judged[kind]}" for kind in judged})  # noqa: T201 - the figures
    assert {kind: share for kind, share in shares.items() if share < FLOORS[kind]} == {}
