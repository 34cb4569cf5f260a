"""Data sets of every form, made up; their mistakes are named without their text."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from hisbus.errors import ConfigError
from hisbus.testing import make_chart, make_document
from hisbus_bus.lab.evaluate.datasets import acibench, medec, read
from hisbus_bus.lab.evaluate.sample import DataSet
from hisbus_schemas import Section

MEDEC = [
    {"Text ID": "a-1", "Text": "He coughs. Culture shows\n gonorrhoea. He rests.", "Sentences": "", "Error Flag": "1",
     "Error Type": "causalOrganism", "Error Sentence ID": "1", "Error Sentence": "Culture shows gonorrhoea.",
     "Corrected Sentence": "", "Corrected Text": ""},
    {"Text ID": "a-2", "Text": "He coughs, \"a lot\".", "Sentences": "", "Error Flag": "0", "Error Type": "NA",
     "Error Sentence ID": "-1", "Error Sentence": "NA", "Corrected Sentence": "NA", "Corrected Text": "NA"},
]  # fmt: skip
NOTE = "CHIEF COMPLAINT\n\nKnee pain.\n\nPHYSICAL EXAM\n\nTender knee.\n\nVITALS\n\nBP 120/80.\n\nPLAN\n\nRest.\n"
ACI = [
    {"dataset": "virtassist", "encounter_id": "D1", "dialogue": "[doctor] hi\n[patient] my knee hurts", "note": NOTE}
]
MDACE = {
    "hadm_id": 100, "comment": "",
    "notes": [
        {"note_id": 7, "category": "Discharge summary", "description": "Report", "text": "Has hypertension. HTN.",
         "annotations": [
             {"begin": 4, "end": 16, "code": "I10", "code_system": "ICD-10-CM", "description": "High", "type": "H"},
             {"begin": 18, "end": 21, "code": "I10", "code_system": "ICD-10-CM", "description": "High", "type": "H"},
         ]},
    ],
}  # fmt: skip


def table(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def stay(folder: Path, name: str = "v1", expected: dict[str, Any] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    signed = make_document(
        "C0049", id="d9", signed="2026-03-02T08:00+08:00", sections=[Section(name="DIAG", text="I10")]
    )
    chart = make_chart(documents=[make_document("C0034", "Admitted.", id="d1"), signed])
    (folder / f"{name}.chart.json").write_text(chart.model_dump_json())
    answer = expected if expected is not None else {"findings": {"rules": ["R01"], "expected": [{"rule": "R01"}]}}
    (folder / f"{name}.expected.json").write_text(json.dumps(answer))
    return folder


def test_a_wrong_sentence_has_its_place_in_the_text(tmp_path: Path) -> None:
    found = read(table(tmp_path / "m.csv", MEDEC))
    assert (found.format, [sample.id for sample in found.samples]) == ("medec", ["a-1", "a-2"])
    wrong, right = (sample.expected.flagged for sample in found.samples)
    assert wrong is not None and right is not None and not right.wrong and right.evidence == []
    text = found.samples[0].chart.documents[0].sections[0].text
    assert [text[one.begin : one.end] for one in wrong.evidence] == ["Culture shows\n gonorrhoea."]


def test_a_note_falls_into_the_divisions_of_the_benchmark(tmp_path: Path) -> None:
    (sample,) = read(table(tmp_path / "a.csv", ACI)).samples
    (reference,) = sample.expected.documents
    assert {section.name: section.text for section in reference.sections} == {
        "subjective": "Knee pain.",
        "objective_exam": "Tender knee.\n\n\nBP 120/80.",
        "objective_results": "",
        "assessment_and_plan": "Rest.",
    }
    assert sample.chart.patient_class == "outpatient" and sample.chart.documents[0].type.code == "TRANSCRIPT"


def test_codes_come_with_all_their_places(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "100-ICD-10.json").write_text(json.dumps(MDACE))
    (sample,) = read(tmp_path).samples
    assert sample.id == "deep/100-ICD-10" and sample.expected.codes is not None
    (code,) = sample.expected.codes.expected
    assert [(one.document, one.begin, one.end) for one in code.evidence] == [("7", 4, 16), ("7", 18, 21)]
    assert sample.chart.documents[0].type.code == "18842-5" and sample.chart.status == "discharged"


def test_a_folder_of_charts_is_read_with_its_answers(tmp_path: Path) -> None:
    (sample,) = read(stay(tmp_path / "charts")).samples
    assert sample.id == "v1" and sample.expected.findings is not None
    assert [document.id for document in sample.chart.documents] == ["d1", "d9"]


def test_the_document_that_is_the_reference_is_not_shown_to_the_agent(tmp_path: Path) -> None:
    (sample,) = read(
        stay(tmp_path / "c", expected={"documents": [{"rule": "discharge-record", "entry": "d9"}]})
    ).samples
    assert [document.id for document in sample.chart.documents] == ["d1"]
    assert [(one.name, one.text) for one in sample.expected.documents[0].sections] == [("DIAG", "I10")]


def test_the_hash_is_of_the_cases_that_are_taken_and_of_nothing_else(tmp_path: Path) -> None:
    whole = read(table(tmp_path / "m.csv", MEDEC * 1))
    other = read(table(tmp_path / "renamed.csv", MEDEC))
    assert whole.sha256 == other.sha256 and whole.name != other.name
    assert whole.drawn(1, seed=1).sha256 != whole.sha256
    assert (
        read(table(tmp_path / "t.csv", [MEDEC[0] | {"Text": MEDEC[0]["Text"] + " "}, MEDEC[1]])).sha256 != whole.sha256
    )


def test_a_draw_keeps_the_order_and_the_same_seed_draws_the_same() -> None:
    many: Any = list(range(100))
    data = DataSet("x", "charts", many)
    drawn = data.drawn(10, seed=3).samples
    assert list(drawn) == sorted(set(drawn)) and len(drawn) == 10
    assert data.drawn(10, seed=3).samples == drawn != data.drawn(10, seed=4).samples
    assert data.drawn(0, seed=1) is data and data.drawn(100, seed=1) is data


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Error Sentence": "SECRET words"}, "a-1: the wrong sentence does not stand in the text"),
        ({"Text ID": "a-2"}, "1 cases have the id of another"),
    ],
)
def test_a_broken_corpus_is_refused_without_its_text(tmp_path: Path, change: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        read(table(tmp_path / "m.csv", [MEDEC[0] | change, MEDEC[1]]))
    assert "SECRET" not in str(caught.value)


def test_notes_without_text_are_refused_with_what_to_do(tmp_path: Path) -> None:
    bare = json.loads(json.dumps(MDACE))
    del bare["notes"][0]["text"]
    (tmp_path / "a.json").write_text(json.dumps(bare))
    with pytest.raises(ConfigError, match="inject-note-text"):
        read(tmp_path)


def test_a_span_outside_of_its_note_is_refused(tmp_path: Path) -> None:
    wide = json.loads(json.dumps(MDACE))
    wide["notes"][0]["annotations"][0]["end"] = 99
    (tmp_path / "a.json").write_text(json.dumps(wide))
    with pytest.raises(ConfigError, match="note 7: a span lies outside"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        ({"findings": {"rules": []}}, "findings.rules"),
        ({"finding": {}}, "finding: Extra inputs"),
        ({"documents": [{"rule": "x", "entry": "d77"}]}, "has no document 'd77'"),
    ],
)
def test_a_wrong_answer_file_is_named_with_its_key(tmp_path: Path, expected: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=rf"v1.expected.json: .*{says}"):
        read(stay(tmp_path / "c", expected=expected))


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for path, format, says in (
        (tmp_path / "absent", "", "There is no"),
        (tmp_path, "", "no known format"),
        (tmp_path, "csv", "no format 'csv'"),
        (tmp_path, "charts", "no case in"),
        (tmp_path / "notes.txt", "medec", "lacks the columns"),
    ):
        with pytest.raises(ConfigError, match=says):
            read(path, format)


@pytest.mark.corpora
def test_the_real_corpora_are_read_where_they_lie(corpora: Path) -> None:
    errors = read(corpora / "medec" / "validation.csv")
    flags = [sample.expected.flagged for sample in errors.samples]
    assert errors.format == "medec" and (len(flags), sum(bool(one and one.wrong) for one in flags)) == (574, 319)
    visits = read(corpora / "aci-bench" / "valid.csv")
    assert visits.format == "aci-bench" and len(visits.samples) == 20
    told = [sample.expected.documents[0].sections for sample in visits.samples]
    assert all(sections[0].text and sections[3].text for sections in told), "each note has a history and a plan"
    assert set(medec.COLUMNS).isdisjoint(acibench.COLUMNS)


def test_blank_rows_are_left_out(tmp_path: Path) -> None:
    file = table(tmp_path / "m.csv", MEDEC)
    with file.open("a", encoding="utf-8") as more:
        more.write(("," * (len(MEDEC[0]) - 1) + "\n") * 2)
    assert [sample.id for sample in read(file).samples] == ["a-1", "a-2"]
