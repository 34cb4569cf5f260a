"""Made-up notes with known codes: what is found, and what must not be coded."""

import asyncio
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from hisbus.terms import Terms
from hisbus.testing import NOW, make_case, make_chart, make_document, run
from hisbus_coding import Agent
from hisbus_coding.choice import choose
from hisbus_coding.mentions import mentions
from hisbus_coding.retrieval import MOST, Retrieval
from hisbus_coding.verify import Found, found
from hisbus_schemas import Chart

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Note:
    kind: str
    text: str
    codes: list[str]
    wrong: list[str]


def read(language: str) -> list[Note]:
    tables = tomllib.loads((DATA / f"notes_{language}.toml").read_text(encoding="utf-8"))
    return [Note(**one) for one in tables["note"]]


NOTES = {language: read(language) for language in ("en", "zh")}
CASES = [
    pytest.param(language, note, id=f"{language}-{number}-{note.kind}")
    for language, its in NOTES.items()
    for number, note in enumerate(its, 1)
]


@pytest.fixture
def terms_of(icd: Terms, made_up: Terms) -> dict[str, Terms]:
    return {"en": icd, "zh": made_up}


def chart_of(note: Note) -> Chart:
    return make_chart(documents=[make_document("C0049", note.text, signed=NOW)], discharged=NOW)


def retrieved(terms: Terms, note: Note) -> list[Found]:
    (release,) = terms.releases()
    retrieval = Retrieval(terms, release)
    named = mentions(chart_of(note), terms, release)
    return [one for mention in named for one in found(mention, retrieval, lambda _: True)]


def coded(note: Note, file: Path) -> list[str]:
    answer = asyncio.run(run(Agent(), make_case(chart_of(note), terms=file)))
    sets = [proposal for proposal in answer.proposals if proposal.kind == "codeset"]
    return [code["code"] for one in sets for code in one.payload["codes"]]


def found_in(note: Note, terms: Terms) -> list[str]:
    """Return the codes that are proposed, and the candidates."""
    (release,) = terms.releases()
    return [one.code for one in choose(retrieved(terms, note), Retrieval(terms, release))]


def test_there_are_notes_of_every_kind_in_both_languages() -> None:
    assert sum(map(len, NOTES.values())) >= 120
    kinds = {"list", "abbreviation", "wording", "text", "negated", "history", "family", "uncertain", "mixed", "later"}
    for its in NOTES.values():
        assert {note.kind for note in its} == kinds
        assert len(its) >= 60


def test_every_known_code_is_in_its_table(terms_of: dict[str, Terms]) -> None:
    for language, its in NOTES.items():
        (release,) = terms_of[language].releases()
        retrieval = Retrieval(terms_of[language], release)
        for note in its:
            assert all(retrieval.find(code) for code in [*note.codes, *note.wrong]), note.text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_known_code_is_among_ten_candidates_of_a_mention(language: str, terms_of: dict[str, Terms]) -> None:
    known, hits = 0, 0
    for note in NOTES[language]:
        offered = retrieved(terms_of[language], note)
        assert all(len(one.candidates) <= MOST for one in offered)
        codes = {candidate.code for one in offered for candidate in one.candidates}
        known += len(note.codes)
        hits += sum(code in codes for code in note.codes)
    assert hits / known >= 0.95


@pytest.mark.parametrize("language, note", CASES)
def test_what_is_denied_past_uncertain_or_another_persons_is_not_coded(
    language: str, note: Note, file_of: dict[str, Path]
) -> None:
    assert not set(coded(note, file_of[language])) & set(note.wrong)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_most_codes_are_found_without_a_model_and_few_that_are_assigned_are_wrong(
    language: str, file_of: dict[str, Path], terms_of: dict[str, Terms]
) -> None:
    assigned, right, there, known = 0, 0, 0, 0
    for note in NOTES[language]:
        codes = set(coded(note, file_of[language]))
        assigned += len(codes)
        right += len(codes & set(note.codes))
        there += len(set(found_in(note, terms_of[language])) & set(note.codes))
        known += len(note.codes)
    assert there / known >= 0.85
    assert right / assigned >= 0.93


@pytest.mark.parametrize("language, note", CASES)
def test_a_mention_is_a_verbatim_span(language: str, note: Note, terms_of: dict[str, Terms]) -> None:
    for one in retrieved(terms_of[language], note):
        assert note.text[one.mention.begin : one.mention.end] == one.mention.evidence().quote
