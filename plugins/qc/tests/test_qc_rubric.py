"""The score: points, caps, vetoes and grades, each deduction traced to its finding."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisbus import ConfigError
from hisbus_qc.rubric import RUBRICS, Entry, Rubric, Score, load, read, scored
from hisbus_qc.rulebook import RULES
from hisbus_schemas import Finding

SCALE: dict[str, Any] = {
    "id": "small",
    "version": "7",
    "title": {"zh": "小", "en": "small"},
    "source": "test",
    "grades": [{"name": "甲", "at_least": 90}, {"name": "乙", "at_least": 75}, {"name": "丙", "at_least": 0}],
    "sections": [
        {
            "id": "a",
            "title": {"zh": "一", "en": "one"},
            "cap": 10,
            "items": [
                {"id": "many", "title": {"zh": "多", "en": "many"}, "findings": ["M"], "cap": 5},
                {"id": "once", "title": {"zh": "单", "en": "once"}, "findings": ["O"], "accumulates": False},
            ],
        },
        {
            "id": "b",
            "title": {"zh": "二", "en": "two"},
            "cap": 30,
            "items": [
                {"id": "ten", "title": {"zh": "十", "en": "ten"}, "findings": ["T"], "veto": {"deduct_n": 10}},
                {"id": "set", "title": {"zh": "定", "en": "set"}, "findings": ["S"], "points": 1,
                 "veto": {"set_total_to": 80}},
                {"id": "down", "title": {"zh": "降", "en": "down"}, "findings": ["D"], "points": 0,
                 "veto": {"downgrade_to": "丙"}},
            ],
        },
    ],
}  # fmt: skip


def score(*entries: tuple[str, float], **changes: Any) -> Score:
    return scored(Rubric.model_validate(SCALE | changes), [Entry(key=key, points=points) for key, points in entries])


def test_a_record_without_findings_has_all_points() -> None:
    said = score()
    assert (said.total, said.grade, said.deductions, said.rubric, said.version) == (100, "甲", (), "small", "7")


def test_points_add_up_to_the_cap_of_their_item() -> None:
    said = score(("M:1", 2), ("M:2", 2), ("M:3", 2))
    assert said.total == 95
    assert [(item.key, item.asked, item.taken, item.held) for item in said.deductions] == [
        ("M:1", 2, 2, ""), ("M:2", 2, 2, ""), ("M:3", 2, 1, "item_cap"),
    ]  # fmt: skip


def test_an_item_that_does_not_accumulate_takes_its_dearest() -> None:
    said = score(("O:1", 2), ("O:2", 4))
    assert said.total == 96
    assert {item.key: item.held for item in said.deductions} == {"O:1": "not_accumulated", "O:2": ""}


def test_a_section_takes_no_more_than_its_cap() -> None:
    said = score(("M:1", 5), ("O:1", 8))
    assert said.total == 90
    assert [item.held for item in said.deductions] == ["", "section_cap"]


def test_a_single_veto_takes_ten_once() -> None:
    said = score(("T:1", 3), ("T:2", 3))
    assert (said.total, said.grade) == (90, "甲")
    assert [item.taken for item in said.deductions] == [0, 10]
    assert [veto.keys for veto in said.vetoes] == [("T:1", "T:2")]


def test_a_veto_sets_the_total_and_never_raises_it() -> None:
    assert score(("S", 0)).total == 80
    assert score(("S", 0), ("T", 0), ("M", 5), ("O", 5)).total == 79


def test_a_veto_downgrades_whatever_the_total() -> None:
    said = score(("D", 0))
    assert (said.total, said.grade) == (100, "丙")


@pytest.mark.parametrize("second, third, total", [(1, 0, 90), (2, 0, 90), (3, 0, 75), (0, 1, 75), (2, 1, 75)])
def test_defects_are_counted_by_class(second: int, third: int, total: int) -> None:
    seconds = ["R03", "R04:x", "R05"][:second]
    entries = [Entry(key=key) for key in [*seconds, *["R01"][:third]]]
    assert scored(RUBRICS["defects"], entries).total == total


@pytest.mark.parametrize("taken, grade", [(10, "甲"), (10.5, "乙"), (20, "乙"), (20.5, "丙")])
def test_the_hospitals_cut_offs_decide_the_grade(taken: float, grade: str) -> None:
    rubric = RUBRICS["record-100"]
    item = {"id": "x", "title": {"zh": "x", "en": "x"}, "findings": ["X"]}
    section = {"id": "s", "title": {"zh": "s", "en": "s"}, "cap": 100, "items": [item]}
    wide = Rubric.model_validate(rubric.model_dump() | {"sections": [section]})
    assert scored(wide, [Entry(key="X", points=taken)]).grade == grade
    stricter = wide.graded({"甲": 95, "乙": 85})
    assert scored(stricter, [Entry(key="X", points=10)]).grade == "乙"


def test_cut_offs_must_fall() -> None:
    with pytest.raises(ConfigError, match="must fall"):
        RUBRICS["record-100"].graded({"甲": 70})
    with pytest.raises(ConfigError, match="no grade A"):
        RUBRICS["record-100"].graded({"A": 70})


def test_a_finding_and_what_a_person_enters_stand_side_by_side() -> None:
    finding = Finding(key="M:1", rule="M", points=2, message={"zh": "一", "en": "one"})
    entries = [Entry.of(finding), Entry(key="note-7", points=3, source="manual", line="many")]
    said = scored(Rubric.model_validate(SCALE), entries)
    assert said.total == 95
    assert [(item.key, item.source, item.fingerprint) for item in said.deductions] == [
        ("M:1", "auto", finding.stamp()),
        ("note-7", "manual", ""),
    ]


def test_what_no_item_is_about_is_named_and_takes_nothing() -> None:
    said = score(("X:1", 5))
    assert (said.total, said.unscored) == (100, ("X:1",))


def test_one_finding_counts_once() -> None:
    assert score(("M:1", 2), ("M:1", 2)).total == 98


def test_the_front_page_has_points_and_no_grade_and_our_own_scales_say_that_they_are_for_reference() -> None:
    assert scored(RUBRICS["front-page"], []).grade == ""
    for id in ("record-100", "defects"):
        assert "参考" in RUBRICS[id].title.zh and "参考" in RUBRICS[id].source
        assert scored(RUBRICS[id], []).grade == "甲"


def test_the_front_page_scale_of_2016_has_its_sections() -> None:
    rubric = RUBRICS["front-page"]
    assert rubric.version == "2016"
    assert [section.cap for section in rubric.sections] == [18, 26, 50, 6]
    weights = {item.points for section in rubric.sections for item in section.items}
    assert weights <= {4, 2, 1, 0.5}
    said = scored(rubric, [Entry(key="R50:D1:principal", points=4), Entry(key="R50:D1:sex", points=2)])
    assert [(item.section, item.taken) for item in said.deductions] == [("patient", 2), ("diagnosis", 4)]


def test_every_rule_with_points_counts_in_one_of_the_scales() -> None:
    scales = [RUBRICS["front-page"], RUBRICS["record-100"]]
    for rule in RULES.values():
        keys = [part.key("x") for part in rule.parts] or [rule.key("x")]
        lost = [key for key in keys if all(scored(scale, [Entry(key=key, points=1)]).unscored for scale in scales)]
        assert not lost or not rule.points or rule.id == "R49", lost


@given(st.dictionaries(st.sampled_from(["M:1", "M:2", "O:1", "O:2", "T:1", "S:1", "D:1", "X"]), st.floats(0, 20)))
def test_deductions_explain_the_score(points: dict[str, float]) -> None:
    said = score(*points.items())
    assert said.points == pytest.approx(100 - sum(item.taken for item in said.deductions))
    assert {item.key for item in said.deductions} | set(said.unscored) == set(points)
    assert 0 <= said.total <= 100
    assert score(*reversed(points.items())) == said


@pytest.mark.parametrize(
    "change, named",
    [
        ({"grades": [{"name": "甲", "at_least": 90}]}, "grades"),
        ({"grades": SCALE["grades"][::-1]}, "grades"),
        ({"sections": [{"id": "a"}]}, "sections.0"),
        ({"weight": 1}, "weight"),
    ],
)
def test_a_mistake_in_a_hospitals_rubric_is_named(change: dict[str, Any], named: str) -> None:
    text = "\n".join(f"{key} = {_toml(value)}" for key, value in (SCALE | change).items())
    with pytest.raises(ConfigError, match=rf"^own\.toml: .*{named}"):
        read(text, "own.toml")


def test_a_hospitals_rubric_stands_over_the_plugins(tmp_path: Path) -> None:
    text = "\n".join(f"{key} = {_toml(value)}" for key, value in (SCALE | {"id": "record-100"}).items())
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    rubrics = load(tmp_path)
    assert rubrics["record-100"].version == "7"
    assert rubrics["front-page"] == RUBRICS["front-page"]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_a_hospitals_rubric_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes("title = '评分'".encode("gb18030"))
    with pytest.raises(ConfigError, match=r"^own\.toml: is not in UTF-8$"):
        load(tmp_path)
