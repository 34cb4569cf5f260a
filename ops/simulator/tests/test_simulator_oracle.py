"""The oracle at its limits: each row is transcribed from the rules' texts."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hisbus_simulator.facts import (
    AdmissionCancelled,
    Admitted,
    DischargeCancelled,
    Discharged,
    Filed,
    Measured,
    Operation,
    Reading,
    Registered,
    Section,
    Updated,
)
from hisbus_simulator.oracle import is_copy, judge, similarity

ZONE = ZoneInfo("Asia/Shanghai")
BEGUN = datetime(2026, 3, 2, 8, 30, tzinfo=ZONE)
LATER = BEGUN + timedelta(days=30)
SECOND = timedelta(seconds=1)
V = "V1"


def hours(number):
    return timedelta(hours=number)


def admitted():
    return Admitted(at=BEGUN, visit=V, admitted=BEGUN)


def discharged(at, died=False):
    return Discharged(at=at, visit=V, discharged=at, died=died)


def document(type, signed, *, number="D1", text="", at=None, about=None, fields=None, replaces=""):
    return Filed(
        at=at or signed or BEGUN + hours(1),
        visit=V,
        number=number,
        type=type,
        title="",
        about=about or signed or BEGUN,
        signed=signed,
        sections=(Section("TEXT", "", text),) if text else (),
        fields=fields or {},
        replaces=replaces,
    )


def operation(start, minutes=90, number="OP1"):
    return Updated(
        at=start + hours(2), visit=V, operations=(Operation(number, "47.0100", "阑尾切除术", start, minutes),)
    )


def found(*facts, rule, clock=LATER):
    return [(finding.state, finding.subject) for finding in judge(facts, clock) if finding.rule == rule]


def states(*facts, rule, clock=LATER):
    return [state for state, _ in found(*facts, rule=rule, clock=clock)]


SIDES = [(-SECOND, []), (timedelta(0), []), (SECOND, ["late"])]


@pytest.mark.parametrize(("shift", "expected"), SIDES)
@pytest.mark.parametrize(("rule", "type", "limit"), [("R01", "C0034", 24), ("R02", "C0037", 8)])
def test_a_record_signed_at_the_limit_is_in_time_and_a_second_later_it_is_late(rule, type, limit, shift, expected):
    assert states(admitted(), document(type, BEGUN + hours(limit) + shift), rule=rule) == expected


@pytest.mark.parametrize(("shift", "expected"), SIDES)
def test_an_operative_record_has_a_day_from_the_end_of_the_operation(shift, expected):
    ended = BEGUN + hours(26) + timedelta(minutes=90)
    assert states(
        admitted(), operation(BEGUN + hours(26)), document("C0009", ended + hours(24) + shift), rule="R10"
    ) == (expected)


@pytest.mark.parametrize(("shift", "expected"), SIDES)
def test_a_discharge_record_has_a_day_from_discharge(shift, expected):
    left = BEGUN + hours(100)
    assert states(admitted(), discharged(left), document("C0049", left + hours(24) + shift), rule="R13") == expected


@pytest.mark.parametrize(("clock", "expected"), [(-SECOND, []), (timedelta(0), []), (SECOND, ["absent"])])
@pytest.mark.parametrize(("rule", "limit"), [("R01", 24), ("R02", 8)])
def test_a_deadline_is_first_judged_when_the_time_has_passed_it(rule, limit, clock, expected):
    assert states(admitted(), rule=rule, clock=BEGUN + hours(limit) + clock) == expected


@pytest.mark.parametrize(("shift", "expected"), [(-SECOND, []), (timedelta(0), ["absent"]), (SECOND, ["absent"])])
@pytest.mark.parametrize(("rule", "limit"), [("R01", 24), ("R02", 8)])
def test_a_stay_that_ended_before_the_limit_is_not_judged(rule, limit, shift, expected):
    assert states(admitted(), discharged(BEGUN + hours(limit) + shift), rule=rule) == expected


def test_a_draft_is_no_record():
    assert states(admitted(), document("C0034", None), rule="R01") == ["absent"]


def test_signed_in_time_and_arrived_late_is_nothing_to_find():
    assert states(admitted(), document("C0034", BEGUN + hours(5), at=BEGUN + hours(30)), rule="R01") == []


def test_a_cancelled_admission_is_not_judged():
    assert judge([admitted(), AdmissionCancelled(at=BEGUN + hours(2), visit=V)], LATER) == []


def test_an_outpatient_is_not_judged():
    assert judge([Registered(at=BEGUN, visit=V)], LATER) == []


def test_a_record_of_the_first_operation_does_not_count_for_the_second():
    first, second = BEGUN + hours(3), BEGUN + hours(50)
    told = [admitted(), operation(first), operation(second, number="OP2"), document("C0009", BEGUN + hours(6))]
    assert found(*told, rule="R10") == [("absent", "OP2")]
    told.append(document("C0009", BEGUN + hours(55), number="D2"))
    assert found(*told, rule="R10") == []


def test_a_record_signed_after_the_second_operation_began_counts_for_the_second_alone():
    first, second = BEGUN + hours(3), BEGUN + hours(10)
    told = [admitted(), operation(first), operation(second, number="OP2"), document("C0009", BEGUN + hours(11))]
    assert found(*told, rule="R10") == [("absent", "OP1")]


def test_a_cancelled_discharge_starts_the_deadline_again():
    early, left = BEGUN + hours(48), BEGUN + hours(100)
    told = [admitted(), discharged(early), DischargeCancelled(at=early + hours(30), visit=V)]
    assert states(*told, rule="R13") == []
    assert states(*told, discharged(left), document("C0049", left + hours(24)), rule="R13") == []


@pytest.mark.parametrize(
    ("stay", "died", "type", "expected"),
    [
        (100, False, "C0049", []),
        (100, True, "C0049", ["absent"]),
        (100, True, "C0050", []),
        (100, False, "C0035", ["absent"]),
        (24, False, "C0035", ["absent"]),
        (23, False, "C0035", []),
        (23, True, "C0035", []),
    ],
)
def test_which_record_a_discharge_asks_for(stay, died, type, expected):
    left = BEGUN + hours(stay)
    assert states(admitted(), discharged(left, died), document(type, left + hours(1)), rule="R13") == expected


@pytest.mark.parametrize(
    ("code", "good", "bad"),
    [
        ("8310-5", (34, 42), (33.9, 42.1, 0)),
        ("8867-4", (20, 250), (19, 251, 0, -1)),
        ("9279-1", (5, 60), (4, 61)),
        ("8480-6", (40, 280), (39, 281)),
        ("8462-4", (20, 180), (19, 181)),
        ("59408-5", (30, 100), (29, 101)),
    ],
)
def test_vital_signs_within_and_beyond_what_can_be(code, good, bad):
    def reading(value):
        taken = Reading(code, "", value, "", 0, 0, 1)
        return Measured(at=BEGUN + hours(1), visit=V, number="M1", readings=(taken,))

    for value in good:
        assert found(admitted(), reading(value), rule="R27") == []
    for value in bad:
        assert found(admitted(), reading(value), rule="R27") == [("", f"M1/{code}")]


HUNDRED = "".join(chr(0x4E00 + n) for n in range(100))


def test_ninety_five_percent_the_same_is_a_copy_and_one_character_less_is_not():
    assert similarity(HUNDRED, "啊" * 5 + HUNDRED[5:]) == 0.95
    assert is_copy(HUNDRED, "啊" * 5 + HUNDRED[5:])
    assert not is_copy(HUNDRED, "啊" * 6 + HUNDRED[6:])


def test_numbers_and_white_space_do_not_tell_notes_apart():
    assert similarity("体温36.5℃，脉搏98次/分。", "体温 37℃，\n脉搏102次/分。") == 1


def test_short_notes_are_not_compared():
    assert not is_copy("病情同前。", "病情同前。")


def test_a_note_is_compared_with_the_one_before_it_by_the_time_it_is_about():
    told = [
        document("C0038", BEGUN + hours(n), number=number, text=text, about=BEGUN + hours(about))
        for n, number, text, about in [(30, "A", HUNDRED, 30), (31, "C", HUNDRED, 60), (62, "B", HUNDRED[::-1], 40)]
    ]
    assert found(admitted(), *told, rule="R45") == []
    assert found(admitted(), *told[:2], rule="R45") == [("", "C")]


CARD = "110101196005041226"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"FP.SEX": "1"}, [("", "F1")]),
        ({"FP.BIRTH_DATE": "19600505"}, [("", "F1")]),
        ({"FP.AGE": "66"}, [("", "F1")]),
        ({"FP.AGE": "66", "FP.SEX": "1"}, [("", "F1")]),
    ],
)
def test_a_front_page_against_its_identity_card(fields, expected):
    right = {"FP.ID_CARD": CARD, "FP.SEX": "2", "FP.BIRTH_DATE": "19600504", "FP.AGE": "65"}
    page = document("C0032", BEGUN + hours(50), number="F1", fields=right | fields)
    assert found(admitted(), page, rule="R48") == expected
    mended = document("C0032", BEGUN + hours(52), number="F2", fields=right, replaces="F1")
    assert found(admitted(), page, mended, rule="R48") == []
