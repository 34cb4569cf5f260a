"""How right proposed codes are: what counts, and what the report says."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from hisbus import Case
from hisbus.errors import ConfigError
from hisbus_bus.lab import plots
from hisbus_bus.lab.evaluate import html, labelled
from hisbus_bus.lab.evaluate.coding import Half, judge
from hisbus_bus.lab.evaluate.report import Rate
from hisbus_bus.lab.evaluate.run import run
from hisbus_schemas import Assessment, CodeSet, Text

from .conftest import SETTINGS

LABELS = """
[[note]]
id = "N1"
half = "tuning"
codes = [{ code = "I10", begin = 0, end = 3 }, { code = "E11.9", or = ["E11.8"], begin = 4, end = 6 }]
may = ["Z95.5"]

[[note]]
id = "N2"
half = "checking"
discharge = "出院诊断：肺炎"
codes = [["J18.9", "肺炎"]]
"""
TEXTS = "encounter_id,note\nN1,htn and dm\nN9,other\n"


def entry(code: str, confidence: float, role: str = "other") -> dict[str, Any]:
    band = "high" if confidence >= 0.85 else "medium" if confidence >= 0.5 else "low"
    return {"code": code, "confidence": confidence, "band": band, "role": role}


class Coder:
    """Proposes what it was told to, by the note's text."""

    name = "coder"
    version = "1"
    kinds = frozenset[str]()
    grants = frozenset({"documents"})

    def __init__(self, **by_word: tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]) -> None:
        self.by_word = by_word

    async def assess(self, case: Case) -> Assessment:
        text = " ".join(part.text for one in case.chart.documents for part in one.sections)
        its = next((its for word, its in self.by_word.items() if word in text), None)
        if its is None:
            return Assessment(evaluated=frozenset({"codes"}))
        payloads: list[dict[str, Any]] = [
            {"purpose": "settlement", "codes": [entry("X99", 0.9)]},
            {"purpose": "front_page", "codes": list(its[0]), "candidates": list(its[1])},
        ]
        sets = [
            CodeSet(key=f"k{n}", rule="codes", message=Text(zh="有", en="some"), payload=payload)
            for n, payload in enumerate(payloads)
        ]
        return Assessment(evaluated=frozenset({"codes"}), proposals=[*sets])


@pytest.fixture
def notes(tmp_path: Path) -> list[labelled.Labelled]:
    (tmp_path / "labels.toml").write_text(LABELS, encoding="utf-8")
    (tmp_path / "texts.csv").write_text(TEXTS, encoding="utf-8")
    return labelled.read(tmp_path / "labels.toml", tmp_path)


def halves(notes: list[labelled.Labelled], coder: Coder) -> dict[str, Half]:
    results = asyncio.run(run(coder, [note.sample for note in notes], SETTINGS, None, lambda done, of: None))
    return {half.name: half for half in judge("labels.toml", "coder", zip(notes, results, strict=True)).halves}


def test_texts_stand_with_the_labels_or_in_a_table_beside_them(notes: list[labelled.Labelled]) -> None:
    texts = [document.sections[0].text for note in notes for document in note.sample.chart.documents]
    assert texts == ["htn and dm", "出院诊断：肺炎"]
    assert [note.half for note in notes] == ["tuning", "checking"]
    assert notes[0].codes[1].right == {"E11.9", "E11.8"}


def test_a_note_without_a_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "labels.toml").write_text(LABELS, encoding="utf-8")
    with pytest.raises(ConfigError, match="N1 has no text"):
        labelled.read(tmp_path / "labels.toml")
    (tmp_path / "labels.toml").write_text("[[note]]\nid = 'N1'\ncodes = []\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="half"):
        labelled.read(tmp_path / "labels.toml")


def test_codes_and_categories_are_counted_apart_and_each_half_too(notes: list[labelled.Labelled]) -> None:
    said = [entry("I10", 0.9, "principal"), entry("E11.7", 0.6), entry("Z95.5", 0.9), entry("47.01", 0.9, "operation")]
    its = halves(notes, Coder(htn=(said, [entry("E11.8", 0.2)])))
    tuning = its["tuning"]
    assert (tuning.shown.good, tuning.shown.of) == (1, 2), "Z95.5 may stand or not, an operation is no diagnosis"
    assert (tuning.top.good, tuning.top.of) == (1, 1)
    assert (tuning.category_shown.good, tuning.category_recall.good) == (2, 2)
    assert (tuning.recall.good, tuning.offered.good, tuning.recall.of) == (1, 2, 2)
    assert tuning.neither == 1
    assert (tuning.principal.good, its["checking"].principal.good) == (1, 0)
    assert its["checking"].recall.of == 1 and its["checking"].shown.value is None
    assert its[""].recall.of == 3 and its[""].notes == 2


def test_a_band_says_how_sure_it_is_and_how_often_it_is_right(notes: list[labelled.Labelled]) -> None:
    its = halves(notes, Coder(htn=([entry("I10", 0.9), entry("E11.9", 0.6)], [entry("R05", 0.2)])))["tuning"]
    assert [(one.name, one.mean, one.right.good, one.right.of) for one in its.bands] == [
        ("high", 0.9, 1, 1),
        ("medium", 0.6, 1, 1),
        ("low", 0.2, 0, 1),
    ]


def test_the_page_has_the_figures_and_a_plot_of_each_half(notes: list[labelled.Labelled]) -> None:
    coder = Coder(htn=([entry("I10", 0.9)], ()))
    results = asyncio.run(run(coder, [note.sample for note in notes], SETTINGS, None, lambda done, of: None))
    page = html.coding_page(judge("labels.toml", "coder", zip(notes, results, strict=True)))
    assert page.count("<svg") == 3 and "tuning" in page and "50.0 %" in page


def test_on_the_line_of_a_calibration_plot_it_is_right_as_often_as_it_is_sure() -> None:
    svg = ET.fromstring(plots.calibration([("0.5-0.7", 0.5, Rate.counted(5, 10))], "T"))
    (mark,) = svg.findall("circle")
    diagonal = svg.findall("line")[-2]
    across = (float(diagonal.get("x1", 0)) + float(diagonal.get("x2", 0))) / 2
    up = (float(diagonal.get("y1", 0)) + float(diagonal.get("y2", 0))) / 2
    assert (float(mark.get("cx", 0)), float(mark.get("cy", 0))) == pytest.approx((across, up), abs=0.1)
