"""R57 where the hospital has loaded a table of items: that decides; words decide what it does not have."""

import asyncio
from datetime import date
from pathlib import Path

import pytest

from hisbus.terms import Release, store, table
from hisbus.testing import NOW, make_case, make_chart, make_patient, run
from hisbus_qc import Agent
from hisbus_schemas import ChartCharge, Code

ITEMS = """编码,名称,性别,最小年龄,最大年龄
110001,前列腺液检查,男,,
110002,静脉穿刺,,,6
110003,妇科门诊统一收费,,,
"""


@pytest.fixture
def items(tmp_path: Path) -> Path:
    file = tmp_path / "terms.db"
    load(file, "ITEMS")
    return file


def load(file: Path, system: str) -> None:
    facts = {"version": "1", "source": "made-up.csv", "sha256": "0" * 64, "loaded": "2026-03-01T00:00:00+00:00"}
    store.load(file, Release(system, "item", **facts, licence="made up"), table.read(ITEMS.encode()).rows)


def found(item: Code, sex: str, born: date, terms: Path | None) -> list[str]:
    charge = ChartCharge(id="c", version="1", key="c", code=item)
    chart = make_chart(patient=make_patient(sex=sex, birth_date=born), charges=[charge], now=NOW)
    answer = asyncio.run(run(Agent(), make_case(chart, terms=terms, settings={"only": ["R57"]})))
    assert answer.evaluated == {"R57"}
    return [one.key for one in answer.proposals]


@pytest.mark.parametrize(
    "code, sex, born, wrong",
    [
        ("110001", "female", date(1970, 1, 1), True),
        ("110001", "male", date(1970, 1, 1), False),
        ("110001", "", date(1970, 1, 1), False),
        ("110002", "female", date(2019, 3, 2), True),  # 7 years on the day of admission, 2 March 2026
        ("110002", "female", date(2019, 3, 3), False),
        ("110003", "male", date(1970, 1, 1), False),
        ("999999", "male", date(1970, 1, 1), False),
    ],
)
def test_the_table_of_items_says_whom_a_charge_fits(code: str, sex: str, born: date, wrong: bool, items: Path) -> None:
    assert found(Code(code=code), sex, born, items) == (["R57:c"] if wrong else [])


def test_the_table_has_the_word_where_it_has_the_item(items: Path) -> None:
    free = Code(code="110003", text="妇科门诊统一收费")
    assert found(free, "male", date(1970, 1, 1), items) == []
    assert found(free, "male", date(1970, 1, 1), None) == ["R57:c"], "by its name alone"
    assert found(Code(code="999999", text="宫颈刮片"), "male", date(1970, 1, 1), items) == ["R57:c"]


def test_a_charge_that_both_name_is_found_once(items: Path) -> None:
    assert found(Code(code="110001", text="前列腺液检查"), "female", date(1970, 1, 1), items) == ["R57:c"]


def test_of_several_tables_none_is_taken(items: Path) -> None:
    load(items, "OTHERS")
    assert found(Code(code="110001"), "female", date(1970, 1, 1), items) == []
