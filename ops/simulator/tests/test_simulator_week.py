"""The imaginary week: the same by seed, plausible, readable, and with the truth that its plan intends."""

import re
from collections import Counter, defaultdict
from datetime import date
from itertools import pairwise

import pytest
from hl7apy.parser import parse_message

from hisbus_hl7v2.message import Message
from hisbus_simulator import ward_week
from hisbus_simulator.defects import defects
from hisbus_simulator.facts import Filed
from hisbus_simulator.oracle import similarity
from hisbus_simulator.people import PEOPLE, age_on, check_digit
from hisbus_simulator.plan import plans
from hisbus_simulator.week import STAYS

SEEDS = (1, 2, 3)
MOVED = ("R01", "R02", "R10", "R13", "R27", "R45", "R48")
"""The rules whose defects move a document or a value; those of the others are in defects.toml."""
LATE, ABSENT = ("late",), ("absent",)
INTENT = {
    "absent": ABSENT,
    "unsigned": ABSENT,
    "second-absent": ABSENT,
    "late": LATE,
    "limit+1s": LATE,
    "limit": (),
    "limit-1s": (),
    "filed-late": (),
    "copied": ("",),
    "changed": (),
    "sex": ("",),
    "birth": ("",),
    "age": ("",),
    "corrected": (),
    "birthday": (),
    "eve": (),
}
HARMLESS_READINGS = {"8310-5=42", "8480-6=280", "9279-1=60"}


def intended(rule, variant):
    if f"{rule} {variant}" in defects():
        return ()
    if rule == "R27":
        return () if variant in HARMLESS_READINGS else ("",)
    return INTENT[variant]


def test_a_seed_tells_the_same_week_to_the_byte():
    one, other = ward_week(7), ward_week(7)
    assert [message.body for message in one.messages] == [message.body for message in other.messages]
    assert one.expected == other.expected


def test_another_seed_tells_another_week():
    assert ward_week(1).messages[0].body != ward_week(2).messages[0].body


def test_a_staff_number_is_one_persons_in_every_week():
    names = defaultdict(set)
    for seed in (1, 2, 3):
        for context in ward_week(seed).contexts.values():
            for doctor in (context.doctor, context.surgeon):
                names[doctor.id].add(doctor.name)
    assert len(names) > 20 and [number for number, its in names.items() if len(its) > 1] == []


def test_the_week_begins_where_it_is_told_to():
    week = ward_week(1, patients=4, start=date(2028, 2, 28))  # a leap day within it
    assert week.messages[0].at.date() == date(2028, 2, 28)
    assert week.clock == max(message.at for message in week.messages)


@pytest.mark.parametrize("start", [date(2028, 2, 28), date(2028, 2, 29), date(2027, 12, 27)])
def test_it_can_begin_on_any_day(start):
    assert ward_week(1, start=start).expected


@pytest.mark.parametrize("seed", SEEDS)
def test_the_truth_is_what_the_plan_intends(seed):
    expected = Counter((f.visit, f.rule, f.state) for f in ward_week(seed).expected if f.rule in MOVED)
    meant = Counter(
        (f"ZY2603{n:05}", rule, state)
        for n, plan in enumerate(plans(STAYS), 1)
        if "cancelled" not in plan.events
        for rule, variant in plan.variants.items()
        for state in intended(rule, variant)
    )
    assert expected == meant


def test_each_rule_has_two_defects_and_a_near_miss():
    variants = [(rule, intended(rule, variant)) for plan in plans(STAYS) for rule, variant in plan.variants.items()]
    for rule in MOVED:
        assert sum(1 for of, states in variants if of == rule and states) >= 2
        assert sum(1 for of, states in variants if of == rule and not states) >= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_a_week_of_a_ward(seed):
    week = ward_week(seed)
    assert 1200 <= len(week.messages) <= 1700
    stays = Counter(message.visit for message in week.messages if message.visit.startswith("ZY"))
    assert len(stays) == STAYS
    assert stays.total() / len(stays) >= 30
    assert all(earlier.at <= later.at for earlier, later in pairwise(week.messages))
    assert len({message.control_id for message in week.messages}) == len(week.messages)
    assert len({(message.text.split("|")[9], message.body) for message in week.messages}) == len(week.messages)


def test_a_larger_ward_goes_round_again():
    week = ward_week(1, patients=60)
    assert len({message.visit for message in week.messages if message.visit.startswith("ZY")}) == 60


@pytest.mark.parametrize(
    ("charset", "named"),
    [
        ("utf-8", {"UNICODE UTF-8"}),
        ("gb18030", {"GB 18030-2000"}),
        ("both", {"UNICODE UTF-8", "GB 18030-2000"}),
    ],
)
def test_it_speaks_the_character_set_that_it_names(charset, named):
    week = ward_week(1, patients=6, charset=charset)
    spoken = {message.charset for message in week.messages if message.visit.startswith("ZY")}
    assert spoken == named
    for message in week.messages:
        codec = {"UNICODE UTF-8": "utf-8", "GB 18030-2000": "gb18030"}[message.charset]
        assert message.body.decode(codec) == message.text
        assert message.text.split("\r")[0].endswith(message.charset)


def test_names_hold_characters_whose_second_byte_is_a_delimiter():
    said = "".join(message.text for message in ward_week(1, charset="gb18030").messages)
    hard = [character for character in PEOPLE["rare"] if len(character.encode("gb18030")) == 2]
    assert any(character.encode("gb18030")[1:] in (b"|", b"^", b"\\", b"~") for character in hard if character in said)


@pytest.mark.parametrize("seed", SEEDS)
def test_identity_cards_are_valid_and_agree_with_the_patient(seed):
    cards = set()
    for message in ward_week(seed).messages:
        pid = next(line.split("|") for line in message.text.split("\r") if line.startswith("PID"))
        for card in re.findall(r"~(\d{17}[\dX])\^\^\^CN\^NI", pid[3]):
            assert card[17] == check_digit(card[:17])
            assert card[6:14] == pid[7]
            assert int(card[16]) % 2 == (pid[8] == "M")
            cards.add(card)
    assert len(cards) >= STAYS


def test_the_year_of_age_turns_on_the_birthday():
    assert age_on(date(1960, 3, 4), date(2026, 3, 3)) == 65
    assert age_on(date(1960, 3, 4), date(2026, 3, 4)) == 66


def test_every_message_can_be_read_by_an_independent_parser():
    seen = Counter()
    for message in ward_week(1).messages:
        kind = message.text.split("|")[8]
        seen[kind] += 1
        if seen[kind] > 12:
            continue
        parsed = parse_message(message.text, find_groups=False)
        assert parsed.msh.msh_10.value == message.control_id
        names = [line[:3] for line in message.text.split("\r") if line]
        assert [child.name for child in parsed.children] == names
    assert seen.keys() >= {
        "ADT^A01^ADT_A01",
        "ADT^A02^ADT_A02",
        "ADT^A03^ADT_A03",
        "ADT^A04^ADT_A01",
        "ADT^A08^ADT_A01",
        "ADT^A11^ADT_A09",
        "ADT^A13^ADT_A01",
        "ADT^A40^ADT_A39",
        "MDM^T02^MDM_T02",
        "MDM^T10^MDM_T02",
        "ORU^R01^ORU_R01",
    }


def test_every_message_can_be_read_by_ours():
    for message in ward_week(1).messages:
        Message.read(message.body, "utf-8")


@pytest.mark.parametrize("seed", SEEDS)
def test_notes_differ_from_each_other_unless_the_plan_copies_them(seed):
    notes = {}
    for message in ward_week(seed).messages:
        if isinstance(message.fact, Filed) and message.fact.type == "C0038":
            notes.setdefault(message.visit, []).append(message.fact)
    copying = {f"ZY2603{n:05}" for n, plan in enumerate(plans(STAYS), 1) if plan.variant("R45")}
    likeness = []
    for visit, written in notes.items():
        written.sort(key=lambda note: note.about)
        for one, other in pairwise(written):
            if visit not in copying:
                likeness.append(similarity(one.text, other.text))
    assert len(likeness) > 20
    assert max(likeness) < 0.6


def test_a_note_with_one_sentence_more_is_near_the_limit_and_below_it():
    (visit,) = (f"ZY2603{n:05}" for n, plan in enumerate(plans(STAYS), 1) if plan.variant("R45") == "changed")
    told = [message.fact for message in ward_week(1).messages if message.visit == visit]
    notes = sorted((f for f in told if isinstance(f, Filed) and f.type == "C0038"), key=lambda note: note.about)
    assert 0.85 < max(similarity(one.text, other.text) for one, other in pairwise(notes)) < 0.95


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_in_a_text_is_left_open(seed):
    for message in ward_week(seed).messages:
        assert "{" not in message.text
        values = [line.split("|")[5] for line in message.text.split("\r") if line.startswith("OBX")]
        assert all(values)
