"""What each rule needs of the record: named, complete, and the reason why it is silent while it is unknown."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hisbus import Case, ConfigError
from hisbus.answer import declared
from hisbus.testing import run
from hisbus_qc import Agent
from hisbus_qc.examples import chart as made
from hisbus_qc.examples import read
from hisbus_qc.record import Record
from hisbus_qc.rulebook import QC, Shelf, book, configured
from hisbus_qc.text.agent import TextAgent, questions, text_shelf
from hisbus_qc.text.examples import read as read_text
from hisbus_schemas import EVERY_OTHER, Chart, Coverage, Finding, Need

SHELVES = (QC, text_shelf())
WRITTEN = {f"document:C{number:04}" for number in range(1, 54)}
"""WS/T 500 has 53 kinds of documents."""
UNSTATED = {"field:FP.NEWBORN_ADMISSION_WEIGHT", "field:FP.ARRIVAL"}
"""Fields of the front page that no case states."""
ENTRIES = ("document", "section", "field", "vital", "order", "result", "charge", "diagnosis", "procedure", "allergy")
SECTIONS = ("ALLERGY", "SOCIAL", "PERSONAL", "MARITAL", "FAMILY", "PE", "EXAM")
HEADINGS = (
    "过敏史",
    "月经史",
    "个人史",
    "婚育史",
    "婚姻史",
    "月经婚育史",
    "家族史",
    "体格检查",
    "专科检查",
    "专科情况",
)
"""What sections of an admission record are called where no code names them."""
OTHERS = {
    *("class", "sex", "disposition", "document:ARCHIVE", "diagnosis:final", "diagnosis:admitting"),
    *(
        "procedure",
        *(f"section:{name}" for name in (*SECTIONS, *HEADINGS)),
        *(f"{kind}:*" for kind in ENTRIES),
    ),
}
LOINC = re.compile(r"(document|vital|result|section):(\d{1,5})-(\d)")
DOCUMENT = re.compile(r"C00\d\d")
CASES = read()
FIELDS = {
    f"field:{re.sub(r'[.][0-9]+$', '', name)}"
    for case in CASES
    for document in case.chart.documents
    for name in document.fields
}
"""The fields that front pages have in the cases."""


ELSEWHERE = {
    "R03": frozenset({"C0038"}),
    "R04": frozenset({"C0038"}),
    "R05": frozenset({"C0037", "C0040", "C0043", "C0044", "C0046", "C0047", "C0048"}),
    "R11": frozenset({"C0038"}),
    "R12": frozenset({"C0038"}),
    "R37": frozenset({"C0037", "C0038", "C0039"}),
    "R59": frozenset({"C0006", "C0023"}),
    "R60": frozenset({"C0002", "C0003", "C0006", "C0025"}),
}
"""Where what is wanted may stand, too: that these come does not say that it would stand in one of them."""


def items(shelf: Shelf, rule: str) -> set[str]:
    return {item for need in shelf.needs[rule] for item in need.items}


def exists(item: str) -> bool:
    """Tell whether a feed can bring an item: it is of a published table, or a field that front pages have."""
    if match := LOINC.fullmatch(item):
        return _check_digit(match[2]) == int(match[3])
    return item in WRITTEN | FIELDS | UNSTATED | OTHERS


def _check_digit(number: str) -> int:
    """Return the check digit of a LOINC code (modulus 10)."""
    doubled = str(int(number[::-2][::-1]) * 2)
    total = sum(map(int, doubled + number[-2::-2]))
    return -total % 10


@pytest.mark.parametrize("shelf", SHELVES, ids=lambda shelf: shelf.agent)
def test_every_need_names_an_item_that_exists(shelf: Shelf) -> None:
    assert shelf.needs.keys() == {*shelf.rules, EVERY_OTHER}
    assert [(rule, item) for rule in shelf.needs for item in sorted(items(shelf, rule)) if not exists(item)] == []


@pytest.mark.parametrize("shelf", SHELVES, ids=lambda shelf: shelf.agent)
def test_no_rule_names_a_document_in_its_file_that_it_does_not_need(shelf: Shelf) -> None:
    lacking = [
        (rule, name)
        for rule, table in shelf.tables.items()
        for name in _documents({key: value for key, value in table.items() if key in {"limits", "parts"}})
        if f"document:{name}" not in items(shelf, rule) and name not in ELSEWHERE.get(rule, ())
    ]
    assert lacking == []


def _documents(value: Any, key: str = "") -> Iterator[str]:
    """Yield the types of documents that a rule's table names."""
    if isinstance(value, dict):
        if value.get("enabled") is not False:
            for name, each in value.items():
                yield from _documents(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _documents(each, key)
    elif isinstance(value, str) and (key in {"documents", "updates"} or DOCUMENT.fullmatch(value)):
        yield value


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The types of documents that rules look for while a test runs."""
    types: set[str] = set()
    for name in ("documents", "signed"):
        looks = getattr(Record, name)
        monkeypatch.setattr(
            Record, name, lambda self, wanted, looks=looks: (types.update(wanted), looks(self, wanted))[1]
        )
    return types


def test_no_rule_reads_a_document_that_it_does_not_need(asked: set[str]) -> None:
    read_by: dict[str, set[str]] = defaultdict(set)
    for case in CASES:
        asked.clear()
        packs = list(QC.rules[case.rule].packs)
        settings = {"only": [case.rule], "rules": {case.rule: {"enabled": True}}, "packs": packs} | case.settings
        asyncio.run(run(Agent(), Case(event=None, chart=case.chart, now=case.chart.now, settings=settings)))
        read_by[case.rule] |= asked - {"ARCHIVE"}  # of a part that a hospital enables
    assert len([rule for rule in read_by if read_by[rule]]) > 40, "rules were seen reading"
    lacking = {
        rule: types - {item.removeprefix("document:") for item in items(QC, rule)} - ELSEWHERE.get(rule, frozenset())
        for rule, types in read_by.items()
    }
    assert {rule: types for rule, types in lacking.items() if types and "document:*" not in items(QC, rule)} == {}


def test_no_question_is_about_a_document_that_its_rule_does_not_need(asked: set[str]) -> None:
    seen: set[str] = set()
    for one in read_text():
        asked.clear()
        rules = book({"only": [one.example.rule]} | one.example.settings, text_shelf())
        questions(rules, Record(one.example.chart, one.example.chart.now))
        seen |= {one.example.rule} if asked else set()
        assert {f"document:{type}" for type in asked} <= items(text_shelf(), one.example.rule)
    assert seen == text_shelf().rules.keys(), "each was seen reading"


def test_every_rule_needs_to_know_the_class_of_the_patient() -> None:
    for shelf in SHELVES:
        for needs in shelf.needs.values():
            assert Need(item="class", after="admission") in needs


def test_what_calls_for_a_need_is_the_moment_from_which_its_rule_counts() -> None:
    def after(rule: str) -> dict[str, str]:
        return {item: need.after for need in QC.needs[rule] for item in need.items if item != "class"}

    assert after("R01") == {"document:C0034": "admission"}
    assert after("R36")["document:C0026"] == "operation"
    assert after("R13") == {
        "disposition": "discharge",
        "document:C0049": "discharge",
        "document:C0050": "death",
        "document:C0035": "death",
        "document:C0036": "death",
    }
    assert after("R09") == {"document:C0045": "", "order:*": "admission"}, "an order calls for the note"
    assert after("R43")["vital:8310-5"] == "admission"


BRINGS = {"class", "sex", "disposition", "section", "document:C0032", "document:C0034", "document:C0049"}
"""What a small hospital's feeds bring: admission, discharge, front page."""


def answered(stay: Chart, *brings: str, only: list[str]) -> list[Finding]:
    """Return what is found of a stay where the feeds bring so much beside, and no more."""
    coverage = Coverage(version=1, others=False, site=dict.fromkeys(BRINGS | {*brings}, True))
    case = Case(event=None, chart=stay, now=stay.now, settings={"only": only}, coverage=coverage)
    return [item for item in asyncio.run(run(Agent(), case)).proposals if isinstance(item, Finding)]


def test_a_field_that_no_front_page_of_the_site_has_is_not_missing() -> None:
    page = {"type": "C0032", "signed": "03-07 10:00", "text": "", "page": {"SEX": "1"}}
    stay = made({"now": "04-20 00:00", "discharged": "03-07 08:30", "documents": [page]})
    there = {item.subject for item in answered(stay, "field:FP.DISPOSITION", "field:FP.SEX", only=["R50"])}
    assert there == {"D1:disposition"}


def test_a_paper_that_the_site_never_sends_is_not_missing_beside_one_that_it_does() -> None:
    stay = made({"now": "04-20 00:00", "procedures": [{"start": "03-03 10:30", "end": "03-03 12:00"}]})
    (card,) = answered(stay, "procedure", "document:C0047", "document:C0046", only=["R36"])
    assert card.payload["title"]["zh"] == "术前讨论缺失" and "同意书" not in card.message.zh
    (both,) = answered(stay, "procedure", "document:C0047", "document:C0026", only=["R36"])
    assert "同意书" in both.message.zh


def test_an_indicator_that_the_feeds_cannot_show_is_not_missed() -> None:
    stay = made(
        {
            "now": "04-20 00:00",
            "diagnoses": [{"what": "J18.900 肺炎", "rank": 1}],
            "documents": [{"type": "C0034", "signed": "03-02 10:00", "text": "CURB-65评分1分。"}],
            "orders": [{"what": "头孢曲松 2g", "time": "03-02 10:00"}],
            "vitals": [{"item": "8310-5 体温", "value": "38.2", "time": "03-02 10:00"}],
        }
    )
    comes = {"diagnosis", "order", "result", "vital:59408-5", "document:C0038"}
    culture, oxygen = "pneumonia.culture", "pneumonia.oxygenation"

    def missed(without: str = "") -> set[str]:
        return {item.subject for item in answered(stay, *comes - {without}, only=["R60"])}

    assert missed() == {culture, oxygen}
    assert missed(without="vital:59408-5") == {culture}, "it may have been measured"
    assert missed(without="result") == set(), "and what has come may lie elsewhere, too"
    assert missed(without="document:C0038") == {oxygen}, "a note may tell of it"
    assert answered(stay, "diagnosis", only=["R60"]) == []


def test_a_section_that_the_site_never_sends_is_not_missing_in_a_record_of_sections() -> None:
    whole = {"CC": "胸痛3小时。", "HPI": "3小时前出现胸痛。", "PE": "双肺呼吸音清。"}
    stay = made({"now": "04-20 00:00", "documents": [{"type": "C0034", "signed": "03-02 10:00", "sections": whole}]})
    assert answered(stay, only=["R61"]) == []
    (said,) = answered(stay, "section:10157-6", only=["R61"])
    assert said.message.zh == "入院记录未记录家族史。"
    text = "主诉：胸痛3小时。现病史：3小时前出现胸痛。既往史：体健。体格检查：双肺呼吸音清。"
    plain = made({"now": "04-20 00:00", "documents": [{"type": "C0034", "signed": "03-02 10:00", "text": text}]})
    (said,) = answered(plain, only=["R61"])
    assert "家族史" in said.message.zh, "in a text all of it can stand"


def test_what_the_record_could_never_say_of_an_indicator_nobody_is_asked_for() -> None:
    diagnoses = [{"what": "I63.900 脑梗死", "rank": 1}]
    stay = made({"now": "04-20 00:00", "discharged": "03-10 10:00", "diagnoses": diagnoses})
    said = [item for item in answered(stay, "diagnosis", only=["R59"]) if item.state == "not_determinable"]
    assert said == []
    (said,) = [
        item
        for item in answered(stay, "diagnosis", "field:FP.ARRIVAL", "document:C0037", only=["R59"])
        if item.state == "not_determinable"
    ]
    assert "NIHSS" in said.message.zh and "血脂" not in said.message.zh


@pytest.mark.parametrize("rule", ["R16", "R36", "R11", "R12", "R38"])
def test_of_a_hospital_without_papers_of_operations_nobody_is_accused(rule: str) -> None:
    procedures = [{"start": "03-03 10:30", "end": "03-03 12:00", "surgeon": "D200 张华"}]
    charges = [{"what": "T9 人工关节"}]
    stay = made({"now": "04-20 00:00", "procedures": procedures, "charges": charges})
    assert answered(stay, "procedure", "charge", only=[rule]) == []
    assert [
        need for need in QC.needs[rule] if need.lacking(Coverage(others=False, site=dict.fromkeys(BRINGS, True)), "")
    ]


def test_of_several_documents_that_will_do_one_is_needed() -> None:
    (pages,) = [need for need in QC.needs["R15"] if need.any]
    assert pages == Need(any=("document:C0032", "document:C0033"), after="discharge")


def test_both_agents_declare_what_their_rules_need() -> None:
    assert declared(Agent()).needs == QC.needs
    assert declared(TextAgent()).needs == text_shelf().needs


def test_a_hospital_says_in_its_file_what_cannot_be_seen_from_the_limits(tmp_path: Path) -> None:
    (tmp_path / "R01.toml").write_text(
        'id = "R01"\nneeds = ["section:*", { any = ["field:FP.X"] }]\n', encoding="utf-8"
    )
    (rule,) = configured({"rules_folder": str(tmp_path), "only": ["R01"]})
    assert rule.needs == (Need(item="section:*"), Need(any=("field:FP.X",)))
    (tmp_path / "R01.toml").write_text('id = "R01"\nneeds = ["Section 1"]\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"R01\.toml: needs\.0"):
        configured({"rules_folder": str(tmp_path)})
