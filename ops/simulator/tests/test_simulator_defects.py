"""What is planted beside the seven rules: each defect does something, and the agent finds it and nothing else."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from random import Random
from zoneinfo import ZoneInfo

import pytest

from hisbus import Case
from hisbus.testing import run
from hisbus_qc import Agent
from hisbus_simulator import people, ward_week
from hisbus_simulator.defects import DefectError, chosen, defects, planted
from hisbus_simulator.export import charts_of
from hisbus_simulator.facts import Filed, Place
from hisbus_simulator.oracle import JUDGED, RULES
from hisbus_simulator.plan import Plan, plans
from hisbus_simulator.scribe import Cast
from hisbus_simulator.stay import Stay
from hisbus_simulator.week import STAYS

ZONE = ZoneInfo("Asia/Shanghai")
BEGUN = datetime(2026, 3, 2, 9, 10, tzinfo=ZONE)
TOO_LONG = {"R06"}
"""What no week can hold: a summary is due after 30 days."""


def tell(plan, days=7):
    rng = Random(3)
    cast = Cast(
        visit="V1",
        patient=people.patient(rng, "1", (50, 60), BEGUN.date(), male=True),
        doctor=people.doctor("D1"),
        surgeon=people.doctor("D2"),
        place=Place("W5", "501", "1"),
        admitted=BEGUN,
    )
    return Stay(cast, plan, rng).facts(BEGUN + timedelta(days=days + 2))


def parts(facts):
    return {fact.part: fact for fact in facts if fact.part}


@cache
def said(seed):
    """Return what the agent says of a week with all its rules, by visit, rule and state."""
    week = ward_week(seed)

    async def judged():
        agent, found = Agent(), Counter()
        for chart in await charts_of(week):
            assessment = await run(agent, Case(event=None, chart=chart, now=week.clock, settings={}))
            found.update((chart.visit.number, item.rule, item.state) for item in assessment.proposals)
        return found

    return week, asyncio.run(judged())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_all_rules_on_the_agent_finds_what_is_wrong_in_the_week_and_nothing_else(seed):
    week, found = said(seed)
    assert found == Counter((finding.visit, finding.rule, finding.state) for finding in week.expected)


def test_every_rule_has_a_defect_that_a_week_can_hold():
    rules = {finding.rule for finding in ward_week(1).expected}
    assert rules == set(RULES) - TOO_LONG


def test_every_defect_is_planted_in_the_week():
    there = {f"{rule} {variant}" for plan in plans(STAYS) for rule, variant in plan.variants.items()}
    assert set(defects()) <= there


def test_a_defect_of_a_part_that_the_story_does_not_tell_is_refused():
    with pytest.raises(DefectError, match="tells no consent"):
        tell(Plan("pneumonia", 0, 5, {"R36": "no-consent"}))


def test_a_text_that_is_not_there_cannot_be_changed():
    with pytest.raises(DefectError, match="No section holds"):
        tell(Plan("hernia", 0, 4, {"R41": "count"}))


def test_what_is_left_out_is_not_told():
    right, wrong = (parts(tell(Plan("hernia", 0, 4, variants))) for variants in ({}, {"R36": "no-consent"}))
    assert set(right) - set(wrong) == {"consent"}


def test_what_is_late_is_signed_and_sent_so_much_later():
    right, wrong = (parts(tell(Plan("hernia", 0, 4, variants))) for variants in ({}, {"R36": "late"}))
    for moment in ("at", "signed"):
        assert getattr(wrong["consent"], moment) - getattr(right["consent"], moment) == timedelta(minutes=300)


def test_a_copy_has_the_text_of_the_other():
    told = parts(tell(Plan("hernia", 0, 4, {"R47": "copied"})))
    assert told["discharge"].text == told["admission"].text


def test_a_field_that_is_left_out_is_not_on_the_front_page():
    right, wrong = (parts(tell(Plan("hernia", 0, 4, variants)))["frontpage"] for variants in ({}, {"R50": "no-cost"}))
    assert replace(right, fields=wrong.fields | {"FP.TOTAL_COST": right.fields["FP.TOTAL_COST"]}) == right
    assert isinstance(wrong, Filed) and "FP.TOTAL_COST" not in wrong.fields


def test_what_cannot_be_of_a_man_is_charged_to_a_man():
    told = {"male": "子宫", "female": "前列腺"}
    assert (chosen(told, male=True), chosen(told, male=False), chosen("床位", male=True)) == ("子宫", "前列腺", "床位")


def test_of_a_cancelled_stay_nothing_is_expected():
    assert not any(finding.visit == "ZY260300025" for finding in ward_week(1).expected)


def test_the_rules_that_follow_from_the_facts_have_no_planted_answer():
    assert not {name.split()[0] for name in defects()} & set(JUDGED)
    assert planted(Plan("stroke", 0, 5, {"R01": "late"})) == []
