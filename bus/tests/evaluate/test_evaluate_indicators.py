"""Excerpts by indicator: what is read of them, and how right answers are beside the commoner one."""

import asyncio
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from hisbus import Case
from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate import excerpts, html, indicators
from hisbus_bus.lab.evaluate.excerpts import DOCUMENT, Excerpt
from hisbus_bus.lab.evaluate.run import run
from hisbus_bus.lab.evaluate.sample import Span
from hisbus_schemas import Assessment, Finding, Text

from .conftest import SETTINGS

SWALLOW, VISIT = "吞咽筛查率", "术后随访率"


def line(indicator: str, note: str, label: str, *facts: tuple[str, str, str]) -> str:
    told = [{"Fact": asked, "Original Text": quoted, "Result": result} for asked, quoted, result in facts]
    return json.dumps({"unique_id": indicator, "patient note": note, "facts": told, "label": label, "logic": []})


LINES = [
    line(
        SWALLOW, "入院当日行洼田饮水试验2级，予软食。", "Yes",
        ("筛查已做", "病历中提到“洼田饮水试验2级”，说明已做。", "True"),
        ("分级", "洼田饮水试验2级，予普食", "2"),
        ("会诊", "病历中未提及会诊。", "无法判断"),
    ),
    "",
    line(SWALLOW, "进食呛咳，鼻饲。", "No", ("筛查已做", "", "False")),
    line(SWALLOW, "洼田饮水试验未做。", "No"),
    line(VISIT, "术后1月电话随访。", "Yes"),
    "   ",
    line(VISIT, "术后1月电话随访。", "Yes"),
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def judged(
    read: list[Excerpt], answers: list[indicators.Answer]
) -> tuple[indicators.IndicatorsReport, dict[str, indicators.IndicatorFigures]]:
    made = indicators.judge(["cases.jsonl"], "somebody", read, answers)
    return made, {one.name: one for one in made.each}


def test_an_excerpt_has_its_facts_with_the_places_that_they_rest_on_and_its_label(file: Path) -> None:
    read = excerpts.read([file])
    ids = [f"{SWALLOW}#1", f"{SWALLOW}#2", f"{SWALLOW}#3", f"{VISIT}#1", f"{VISIT}#2"]
    assert [one.id for one in read] == ids and [one.counts for one in read] == [True, False, False, True, True]
    done, grade, consulted = read[0].facts
    assert (done.holds, grade.holds, consulted.holds) == (True, None, None) and read[1].facts[0].holds is False
    assert done.evidence == [Span(document=DOCUMENT, begin=5, end=13)]
    assert [read[0].text[one.begin : one.end] for one in grade.evidence] == ["洼田饮水试验2级"], (
        "the clause that stands"
    )
    assert not consulted.evidence and not read[1].facts[0].evidence
    (entry,) = read[0].sample.chart.documents
    assert (entry.id, entry.sections[0].text) == (DOCUMENT, read[0].text)


def test_several_files_are_one_set_of_excerpts(file: Path) -> None:
    assert [one.id for one in excerpts.read([file, file])][-2:] == [f"{VISIT}#3", f"{VISIT}#4"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LINES[0] + "\n{", "line 2: .*JSON"),
        (LINES[0].replace('"Yes"', '"Maybe"'), "line 1: label"),
        (LINES[0].replace("patient note", "note"), "line 1: patient note"),
        ("\n\n", "no excerpt"),
    ],
)
def test_what_is_no_file_of_excerpts_is_named_without_its_text(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says) as caught:
        excerpts.read([path])
    assert "Maybe" not in str(caught.value) and "软食" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        excerpts.read([tmp_path / "none.jsonl"])


def test_without_answers_there_are_base_rate_and_commoner_answer_alone(file: Path) -> None:
    read = excerpts.read([file])
    made, each = judged(read, [None] * 5)
    swallow, visit = each[SWALLOW], each[VISIT]
    assert (swallow.base.good, swallow.base.of, visit.base.good) == (1, 3, 2)
    assert (swallow.commoner.accuracy.good, swallow.commoner.specificity.value) == (2, 1.0)
    assert (visit.commoner.recall.value, visit.commoner.specificity.value) == (1.0, None)
    assert (made.whole.commoner.accuracy.good, made.whole.commoner.accuracy.of) == (4, 5)
    assert swallow.answers is None and made.whole.answers is None and made.told is None and made.whole.p is None
    assert made.repeated == 1


def test_answers_are_judged_where_they_were_given(file: Path) -> None:
    made, each = judged(excerpts.read([file]), [True, False, True, None, None])
    swallow = each[SWALLOW]
    assert swallow.answers is not None and swallow.answered.good == 3
    its = swallow.answers
    assert [(one.good, one.of) for one in (its.accuracy, its.precision, its.recall, its.specificity)] == [
        (2, 3), (1, 2), (1, 1), (1, 2)
    ]  # fmt: skip
    assert its.precision.low is not None and swallow.p == 1.0, "one better, one worse than the commoner answer"
    assert each[VISIT].answers is None
    assert made.told is not None and (made.told.base.of, made.told.commoner.accuracy.good) == (3, 2)


class Abstractor:
    """Says of each text what it was told to, by a rule that is named like the indicator."""

    name = "abstractor"
    version = "1"
    kinds = frozenset[str]()
    grants = frozenset({"documents"})

    def __init__(self, **status: str) -> None:
        self.status = status

    async def assess(self, case: Case) -> Assessment:
        text = case.chart.documents[0].sections[0].text
        said: list[Any] = [
            Finding(key=f"{rule}:{word}", rule=rule, message=Text(zh="有", en="some"), payload={"status": status})
            for word, status in self.status.items()
            for rule in (SWALLOW, "R59")
            if word in text
        ]
        return Assessment(evaluated=frozenset({SWALLOW, "R59"}), proposals=said)


def test_an_agent_answers_by_the_rule_that_is_named_like_the_indicator(file: Path) -> None:
    read = excerpts.read([file])
    agent = Abstractor(软食="met", 未做="missed", 鼻饲="not_determinable", 随访="met")
    results = asyncio.run(run(agent, [one.sample for one in read], SETTINGS, None, lambda done, of: None))
    assert indicators.of_agent(read, results) == [True, None, False, None, None]


def test_an_agent_that_says_both_has_not_answered(file: Path) -> None:
    read = excerpts.read([file])
    agent = Abstractor(软食="met", 洼田="missed")
    results = asyncio.run(run(agent, [one.sample for one in read], SETTINGS, None, lambda done, of: None))
    assert indicators.of_agent(read, results)[:3] == [None, None, False]


def test_a_search_answers_what_it_has_a_pattern_for(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text(f'[indicators]\n"{SWALLOW}" = "洼田(?!.*未做)"\n', encoding="utf-8")
    found = indicators.patterns(path)
    assert indicators.of_patterns(excerpts.read([file]), found) == [True, False, False, None, None]


@pytest.mark.parametrize(
    ("text", "says"),
    [('[indicators]\na = "("\n', "no regular expression"), ("[other]\n", "indicators"), ("[", "TOML")],
)
def test_a_wrong_file_of_patterns_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "words.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        indicators.patterns(path)


def test_the_page_says_of_what_nobody_answers_that_nobody_does(file: Path) -> None:
    made, _ = judged(excerpts.read([file]), [True, False, True, None, None])
    page = html.indicators_page(made)
    rows = ET.fromstring(page.partition("<table>")[2].partition("</table>")[0].join(("<t>", "</t>"))).findall(
        "tbody/tr"
    )
    said = {"".join(row[0].itertext()): "".join(row.itertext()) for row in rows}
    assert "Nobody answers this" in said[VISIT] and "无人回答此指标" in said[VISIT]
    assert "66.7 %" in said[SWALLOW] and "Nobody" not in said[SWALLOW]
    assert "软食" not in page, "no text of the records"


@pytest.mark.corpora
def test_the_real_excerpts_are_read_where_they_lie(corpora: Path) -> None:
    read = excerpts.read([corpora / "cmqcic" / "cases.jsonl"])
    assert (len(read), len({one.indicator for one in read}), sum(one.counts for one in read)) == (364, 73, 202)
    held = [fact for one in read for fact in one.facts if fact.holds]
    assert len(held) > 500 and sum(bool(fact.evidence) for fact in held) / len(held) > 0.85
    made, _ = judged(read, [None] * len(read))
    assert made.whole.commoner.accuracy.good == 291 and made.repeated == 3
