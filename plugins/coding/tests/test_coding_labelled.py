"""Labelled notes: labels are sound, and on the half that nothing was tuned to the codes are as right as promised."""

import asyncio
import csv
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hisbus.terms import Release, Terms, plain, store, table
from hisbus.testing import NOW, make_case, make_chart, make_document, run
from hisbus_coding import Agent
from hisbus_coding.retrieval import Retrieval
from hisbus_schemas import CodeSet

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[3]
CORPUS = ROOT.parent / "shared" / "corpora" / "aci-bench"
TABLE = ROOT / "ops" / "simulator" / "src" / "hisbus_simulator" / "codes" / "clinical.csv"
TOP, SHOWN = 0.85, 0.7
"""Least precision of the highest band, and of the set that is shown."""

with_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="aci-bench does not lie beside the checkout")


@dataclass(frozen=True)
class Note:
    id: str
    half: str
    texts: Sequence[tuple[str, str]]
    right: Sequence[frozenset[str]]
    may: frozenset[str]


def read(name: str) -> list[dict[str, Any]]:
    its: list[dict[str, Any]] = tomllib.loads((DATA / name).read_text(encoding="utf-8"))["note"]
    return its


@cache
def texts() -> dict[str, str]:
    found = {}
    for name in ("train.csv", "valid.csv"):
        with (CORPUS / name).open(encoding="utf-8-sig", newline="") as file:
            found |= {row["encounter_id"]: row["note"] for row in csv.DictReader(file)}
    return found


def english() -> Iterator[Note]:
    for one in read("aci_labels.toml"):
        right = [frozenset({code["code"], *code.get("or", [])}) for code in one["codes"]]
        yield Note(one["id"], one["half"], [("C0034", texts()[one["id"]])], right, frozenset(one.get("may", [])))


def chinese() -> Iterator[Note]:
    for one in read("admissions_zh.toml"):
        written = [("C0034", one["admission"]), ("C0049", one["discharge"])]
        right = [frozenset({code}) for code, _ in one["codes"]]
        yield Note(one["id"], one["half"], written, right, frozenset(one.get("may", [])))


@pytest.fixture(scope="session")
def clinical_file(tmp_path_factory: pytest.TempPathFactory, release_of_tests: Callable[..., Release]) -> Path:
    """The simulator's table of diagnoses alone."""
    file = tmp_path_factory.mktemp("clinical") / "terms.db"
    its = table.read(TABLE.read_bytes())
    assert not its.broken
    store.load(file, release_of_tests("ICD-10-SIM"), its.rows)
    return file


def counted(notes: Iterator[Note], terms: Path) -> tuple[float, float, float]:
    """Return the precision of the highest band, that of the set, and the recall, on the checking half."""
    top, shown, found, wanted = [], [], 0, 0
    for note in notes:
        if note.half != "checking":
            continue
        documents = [make_document(type, text, signed=NOW) for type, text in note.texts]
        case = make_case(make_chart(documents=documents, discharged=NOW), terms=terms)
        answer = asyncio.run(run(Agent(), case))
        codes = [code for one in answer.proposals if isinstance(one, CodeSet) for code in one.payload["codes"]]
        said = {code["code"] for code in codes}
        for code in codes:
            right = any(code["code"] in its for its in note.right)
            if right or code["code"] not in note.may:
                shown.append(right)
                top += [right] if code["band"] == "high" else []
        found += sum(bool(its & said) for its in note.right)
        wanted += len(note.right)
    return sum(top) / len(top), sum(shown) / len(shown), found / wanted


def test_there_are_at_least_forty_notes_of_each_kind_with_a_half_that_nothing_was_tuned_to() -> None:
    for name in ("aci_labels.toml", "admissions_zh.toml"):
        its = read(name)
        assert len(its) >= 40 and len({one["id"] for one in its}) == len(its)
        assert sum(one["half"] == "checking" for one in its) >= 20


def test_labels_of_aci_bench_are_codes_and_places_and_no_text() -> None:
    for one in read("aci_labels.toml"):
        assert one.keys() <= {"id", "half", "codes", "may"}
        assert all(code.keys() <= {"code", "or", "begin", "end"} for code in one["codes"])


@with_corpus
def test_every_label_of_aci_bench_is_a_code_and_stands_at_words(icd: Terms) -> None:
    (release,) = icd.releases()
    retrieval = Retrieval(icd, release)
    for one in read("aci_labels.toml"):
        text = texts()[one["id"]]
        for code in one["codes"]:
            assert 0 <= code["begin"] < code["end"] <= len(text) and text[code["begin"] : code["end"]].strip()
        named = [other for code in one["codes"] for other in (code["code"], *code.get("or", []))]
        assert all(retrieval.find(code) for code in (*named, *one.get("may", []))), one["id"]


def test_every_label_of_a_chinese_note_is_a_code_of_the_table_and_its_words_stand_there() -> None:
    known = {plain(row.code) for row in table.read(TABLE.read_bytes()).rows}
    for one in read("admissions_zh.toml"):
        assert all(words in one["discharge"] for _, words in one["codes"])
        assert {plain(code) for code, _ in one["codes"]} | {plain(code) for code in one.get("may", [])} <= known


@with_corpus
def test_on_english_notes_that_nothing_was_tuned_to_codes_are_as_right_as_promised(icd_file: Path) -> None:
    top, shown, recall = counted(english(), icd_file)
    assert top >= TOP and shown >= SHOWN and recall >= 0.5


def test_on_chinese_notes_that_nothing_was_tuned_to_codes_are_as_right_as_promised(clinical_file: Path) -> None:
    top, shown, recall = counted(chinese(), clinical_file)
    assert top >= TOP and shown >= SHOWN and recall >= 0.9
