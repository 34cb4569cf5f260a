"""What a hospital may set, and what a wrong setting says."""

import string
from typing import Any

import pytest

from hisbus import ConfigError
from hisbus_qc.rulebook import RULES, configured

Stay = Any

MISSED = "2026-03-03 08:30:01"


FIRST = ["R01", "R02", "R10", "R13", "R27", "R45", "R48"]


def test_every_text_speaks_both_languages_with_the_same_words_to_fill_in() -> None:
    for rule in [*RULES.values(), *(part for whole in RULES.values() for part in whole.parts)]:
        assert rule.title.zh and rule.title.en and rule.source
        for text in rule.texts.values():
            zh, en = (
                {field for _, field, _, _ in string.Formatter().parse(said) if field} for said in (text.zh, text.en)
            )
            assert text.zh and text.en and zh == en


def test_points_are_those_of_the_rule_list() -> None:
    points = {id: RULES[id].points for id in FIRST}
    assert points == {"R01": 10, "R02": 10, "R10": 10, "R13": 10, "R27": 1, "R45": 1, "R48": 1}


def test_every_limit_can_be_set_and_takes_its_default() -> None:
    first = {id: RULES[id] for id in FIRST}
    settings = {"rules": {id: {"enabled": True, "points": rule.points, **rule.limits} for id, rule in first.items()}}
    assert configured(settings) == configured({})
    there = [id for id, rule in RULES.items() if rule.enabled and "cn" in rule.packs]
    assert [rule.id for rule in configured({})] == there


def test_another_limit_moves_the_deadline(stay: Stay) -> None:
    settings = {"rules": {"R01": {"limit_hours": 48, "points": 5}}}
    assert stay.says("R01", MISSED, settings) == []
    (finding,) = [item for item in stay.assess("2026-03-04 08:30:01", settings).proposals if item.rule == "R01"]
    assert finding.points == 5
    assert "48小时" in finding.message.zh
    assert "48 h" in finding.message.en


def test_a_grace_is_of_all_deadlines_or_of_one_rule_and_leaves_the_deadline(stay: Stay) -> None:
    assert stay.says("R01", MISSED, {"grace_s": 600}) == []
    assert stay.says("R01", MISSED, {"rules": {"R01": {"grace_s": 600}}}) == []
    assert stay.says("R01", MISSED, {"rules": {"R02": {"grace_s": 600}}}) == ["absent"]
    after = stay.assess("2026-03-03 08:40:01", {"grace_s": 600})
    (finding,) = [item for item in after.proposals if item.rule == "R01"]
    assert "时限2026-03-03 08:30" in finding.message.zh and finding.due is not None
    assert finding.due.isoformat() == "2026-03-03T00:30:00+00:00"
    parts = [part for rule in configured({"grace_s": 60}) for part in rule.parts]
    assert parts and {part.grace_s for part in parts} == {60}


@pytest.mark.parametrize("grace", [-1, 86_401, "600", True, float("nan")])
def test_a_grace_is_seconds_of_a_day_at_most(grace: Any) -> None:
    for settings in ({"grace_s": grace}, {"rules": {"R01": {"grace_s": grace}}}):
        with pytest.raises(ConfigError, match="grace_s must be a number of seconds"):
            configured(settings)


def test_a_hospitals_own_document_types_count(stay: Stay) -> None:
    stay.document("34117-2", signed="2026-03-02 09:00:00")
    assert stay.says("R01", MISSED) == ["absent"]
    assert stay.says("R01", MISSED, {"rules": {"R01": {"documents": ["C0034", "34117-2"]}}}) == []


def test_other_ranges_and_likeness_count(stay: Stay) -> None:
    stay.reading("8867-4", "150")
    assert stay.says("R27", settings={"rules": {"R27": {"pulse": [60, 149.5]}}}) == ["found"]
    stay.document("C0038", signed="2026-03-03 09:00:00", text="患者神志清，精神可，诉胸痛较前缓解，无发热")
    stay.document("C0038", signed="2026-03-04 09:00:00", text="患者神志清，精神可，诉胸痛较前加重，无发热")
    assert stay.says("R45") == []
    assert stay.says("R45", settings={"rules": {"R45": {"same_percent": 90}}}) == ["found"]


def test_a_rule_that_is_off_is_not_evaluated_so_its_findings_stay(stay: Stay) -> None:
    assessment = stay.assess(MISSED, {"rules": {"R01": {"enabled": False}}})
    assert assessment.evaluated == {"R02", "R10", "R13", "R27", "R45", "R48"}
    assert not [item for item in assessment.proposals if item.rule == "R01"]


@pytest.mark.parametrize(
    "settings, key",
    [
        ({"rule": {}}, "rule"),
        ({"rules": []}, "rules"),
        ({"rules": {"R99": {}}}, "rules.R99"),
        ({"rules": {"R01": 24}}, "rules.R01"),
        ({"rules": {"R01": {"limit_hour": 24}}}, "rules.R01.limit_hour"),
        ({"rules": {"R01": {"limit_hours": "24"}}}, "rules.R01.limit_hours"),
        ({"rules": {"R01": {"limit_hours": 0}}}, "rules.R01.limit_hours"),
        ({"rules": {"R01": {"limit_hours": -1}}}, "rules.R01.limit_hours"),
        ({"rules": {"R01": {"limit_hours": True}}}, "rules.R01.limit_hours"),
        ({"rules": {"R01": {"limit_hours": float("nan")}}}, "rules.R01.limit_hours"),
        ({"rules": {"R01": {"limit_hours": 1e12}}}, "rules.R01.limit_hours"),
        ({"rules": {"R01": {"points": -1}}}, "rules.R01.points"),
        ({"rules": {"R01": {"points": "10"}}}, "rules.R01.points"),
        ({"rules": {"R01": {"enabled": "no"}}}, "rules.R01.enabled"),
        ({"rules": {"R13": {"death_documents": "C0050"}}}, "rules.R13.death_documents"),
        ({"rules": {"R13": {"death_documents": []}}}, "rules.R13.death_documents"),
        ({"rules": {"R13": {"death_documents": [50]}}}, "rules.R13.death_documents"),
        ({"rules": {"R27": {"pulse": 20}}}, "rules.R27.pulse"),
        ({"rules": {"R27": {"pulse": [20]}}}, "rules.R27.pulse"),
        ({"rules": {"R27": {"pulse": [250, 20]}}}, "rules.R27.pulse"),
        ({"rules": {"R27": {"pulse": [20, "250"]}}}, "rules.R27.pulse"),
        ({"rules": {"R45": {"same_percent": 101}}}, "rules.R45.same_percent"),
    ],
)
def test_a_wrong_setting_is_named(stay: Stay, settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{key} "):
        stay.assess(settings=settings)
