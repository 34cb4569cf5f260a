"""The report for reading: its figures stand there, it parses, and nothing in it leaves the file."""

import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from hisbus.errors import ConfigError
from hisbus_bus.lab import plots
from hisbus_bus.lab.evaluate import html, report, store
from hisbus_bus.lab.evaluate.compare import compare
from hisbus_bus.lab.evaluate.report import Rate
from hisbus_bus.lab.plots import Row

from .conftest import Evaluate, Looker

VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """Checks that what opens is closed, and keeps what is there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


async def test_the_page_shows_the_figures_in_both_languages(evaluate: Evaluate) -> None:
    page = Page(html.page(await evaluate(Looker("bad", "odd"))))
    words = " ".join(page.words)
    assert "75.0 % (30.1–95.4)" in words, "precision of 3 out of 4, with Wilson's interval"
    assert "Precision" in words and "查准率" in words and "c4" in words
    assert "This report holds text of patients" in words and "本报告含病历原文" in words
    assert page.tags.count("svg") > 2 and page.tags.count("table") >= 3


async def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(evaluate: Evaluate) -> None:
    first, second = await evaluate(Looker("bad")), await evaluate(Looker("odd"))
    for text in (html.page(first), html.comparison_page(compare(first, second))):
        page = Page(text)
        assert page.links == [] and "script" not in page.tags and "link" not in page.tags
        assert re.findall(r"(?:https?:)?//(?!www\.w3\.org)|url\(|@import", text) == []


async def test_text_of_the_record_is_escaped(evaluate: Evaluate) -> None:
    text = html.page(await evaluate(Looker("odd")))
    assert "&lt;b&gt;arsenic&lt;/b&gt;" in text and "<b>arsenic" not in text


async def test_the_comparison_shows_what_changed(evaluate: Evaluate) -> None:
    found = compare(await evaluate(Looker("bad")), await evaluate(Looker("odd")))
    words = " ".join(Page(html.comparison_page(found)).words)
    assert "c1 c2 c4" in words and "0.625" in words and "可能出于偶然" in words


def test_a_plot_is_labelled_and_its_marks_stand_where_their_values_are() -> None:
    svg = ET.fromstring(plots.intervals([Row("R<1>", [Rate.counted(1, 2)])], "A title"))
    assert svg.get("role") == "img" and svg.get("aria-label") == "A title"
    (mark,) = svg.findall("circle")
    left, right = plots.LABELS, plots.WIDTH - plots.RIGHT
    assert float(mark.get("cx", "")) == pytest.approx((left + right) / 2, abs=0.1)
    ends = [float(line.get("x1", "")) for line in svg.findall("line") if line.get("class") == "whisker"][:1]
    assert ends == [pytest.approx(left + 0.0945 * (right - left), abs=0.1)]
    assert "R<1>" in [text.text for text in svg.findall("text")]


def test_a_histogram_has_a_bar_for_each_step_with_values() -> None:
    svg = ET.fromstring(plots.histogram([0.0, 0.0, 0.5, 1.0], "T", most=1.0))
    tall = [float(bar.get("height", "")) for bar in svg.findall("rect")]
    assert len(tall) == 3 and tall[0] == 2 * tall[1] == 2 * tall[2]
    assert ET.fromstring(plots.histogram([], "T")).findall("rect") == []


def test_a_report_is_its_owners_and_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "out"
    store.check(place)
    store.store(place, {"a": "一", "b": "2"})
    assert {path.name: path.read_text() for path in place.iterdir()} == {"a": "一", "b": "2"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    with pytest.raises(ConfigError, match="cannot be written"):
        store.store(tmp_path / "bad", {"a": "1", "b/c": "2"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"], "nothing is left half"


def test_a_report_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        store.check(tmp_path)
    (tmp_path / "empty").mkdir()
    store.check(tmp_path / "empty")


async def test_a_report_is_read_back_and_anything_else_is_refused(evaluate: Evaluate, tmp_path: Path) -> None:
    made = await evaluate(Looker("bad"))
    (tmp_path / report.FILE).write_text(made.model_dump_json())
    assert report.load(tmp_path) == report.load(tmp_path / report.FILE) == made
    (tmp_path / "other.json").write_text('{"version": 2}')
    with pytest.raises(ConfigError, match="no report of version 2"):
        report.load(tmp_path / "other.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        report.load(tmp_path / "absent.json")
