"""Three kinds of hospital: what each one sends, what of the truth it can show, and what the agent says of it."""

import asyncio
from collections import Counter

import pytest

from hisbus_qc import Agent
from hisbus_simulator import ward_week
from hisbus_simulator.facts import Charged, Filed, Ordered
from hisbus_simulator.observed import judge
from hisbus_simulator.oracle import RULES
from hisbus_simulator.sites import BY_HAND, SITES, answer, connected, expected
from hisbus_simulator.week import past

KINDS = tuple(SITES)


def facts(kind):
    return [message.fact for message in ward_week(1, site=kind).messages]


def types(kind):
    return {fact.type for fact in facts(kind) if isinstance(fact, Filed)}


def test_a_full_site_sends_everything_and_none_a_report_as_a_document():
    assert not any("C0006" in types(kind) for kind in KINDS)
    assert types("full") >= {"C0009", "C0026", "C0032", "C0034", "C0045", "C0049"}
    assert {type(fact) for fact in facts("full")} >= {Ordered, Charged}


def test_a_plain_site_sends_no_consents_no_operative_notes_and_no_costs():
    assert not types("plain") & {"C0009", "C0026", "C0027", "C0028", "C0048"}
    assert not any(
        isinstance(fact, Charged) or "FP.TOTAL_COST" in getattr(fact, "fields", ()) for fact in facts("plain")
    )
    assert types("plain") >= {"C0032", "C0034", "C0038", "C0049"}


def test_a_small_site_sends_the_records_of_admission_and_discharge_alone():
    assert types("small") == {"C0034", "C0035", "C0049", "C0050"} - {"C0035"} | types("small") & {"C0035"}
    assert not any(isinstance(fact, Ordered | Charged) for fact in facts("small"))


def test_all_tell_the_same_week():
    told = {kind: {(m.at, m.visit) for m in ward_week(1, site=kind).messages} for kind in KINDS}
    assert told["full"] > told["plain"] and told["full"] > told["small"]


def test_of_every_rule_each_site_has_one_answer():
    week = ward_week(1)
    for rule in RULES:
        assert answer("full", rule, week.expected) == ("not expected" if rule == "R06" else "expected")
    assert answer("plain", "R10", week.expected) == "not connected"
    assert answer("plain", "R01", week.expected) == "expected"
    assert answer("plain", "R33", week.expected) == "not connected", "nobody said that all reports come"
    assert answer("plain", "R41", week.expected) == "not expected"
    assert answer("small", "R02", week.expected) == "not connected"
    assert answer("small", "R23", week.expected) == "not expected"
    assert answer("small", "R60", week.expected) == "not connected"


def test_what_a_site_cannot_show_is_not_expected_of_it():
    week = ward_week(1)
    for kind in KINDS:
        assert {finding.rule for finding in expected(kind, week.expected)} <= set(connected(kind))
        assert ward_week(1, site=kind).expected == expected(kind, week.expected)


def test_what_a_sites_people_say_is_gone_by():
    assert BY_HAND["small"] == {"disposition": "not_connected"}
    assert answer("small", "R13", ward_week(1).expected) == "not connected"


def test_the_past_is_of_other_people_and_over_before_the_week():
    before, week = past(1), ward_week(1)
    assert before.clock < week.messages[0].at
    assert len({message.visit for message in before.messages if message.visit.startswith("ZY")}) == 200
    patients = [{m.text.split("PID|1||")[1].split("^")[0] for m in told.messages} for told in (before, week)]
    assert not patients[0] & patients[1]


def test_in_the_past_nothing_was_wrong():
    assert past(1).expected == ()


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_a_site_that_goes_by_what_it_has_seen_finds_what_is_wrong_and_accuses_nobody_for_want_of_data(kind):
    judged = asyncio.run(judge(kind, Agent()))
    wanted = Counter((f.visit, f.rule, f.state) for f in ward_week(1, site=kind).expected)
    assert judged.found == wanted
    assert judged.coverage.version > 0
    by_hand = BY_HAND[kind]
    assert {item: judged.coverage.brings(item) for item in by_hand} == {
        item: said == "connected" for item, said in by_hand.items()
    }
