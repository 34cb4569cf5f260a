"""A disguise: the same for the same, of the same form, and nothing leads back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisbus.disguise import LEAST_WEEKS, MOST_WEEKS, Disguise

SECRET = b"s" * 32


def form(text: str) -> str:
    text = re.sub(r"[0-9]", "9", re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", text)))
    return re.sub("[\u3400-\u9fff]", "字", text)


@given(st.text(alphabet="abcXYZ0189-. 张三", min_size=1, max_size=12))
def test_a_value_keeps_its_form_and_is_the_same_each_time(text: str) -> None:
    disguise = Disguise(SECRET)
    found = disguise.value(text)
    assert form(found) == form(text) and disguise.value(text) == found
    assert Disguise(SECRET).value(text) == found


@given(st.sets(st.text(alphabet="ab01", min_size=1, max_size=3), min_size=1))
def test_no_two_values_become_one(texts: set[str]) -> None:
    disguise = Disguise(SECRET)
    assert len({disguise.value(text) for text in texts}) == len(texts)
    numbers = [f"{number:02}" for number in range(60)]  # of the hundred that there are
    assert len({disguise.value(text) for text in numbers}) == len(numbers)


def test_each_run_has_a_secret_of_its_own() -> None:
    numbers = [f"{number:010}" for number in range(50)]
    one, other = Disguise(), Disguise()
    assert [one.value(text) for text in numbers] != [other.value(text) for text in numbers]
    assert not {one.value(text) for text in numbers} & set(numbers)


@pytest.mark.parametrize("codec", ["gb18030", "gbk", "utf-8", "big5", "latin-1", "shift_jis"])
def test_what_replaces_a_text_can_be_written_in_its_character_set(codec: str) -> None:
    text = {"latin-1": "Müller Ørsted", "shift_jis": "山田太郎 ヤマダ"}.get(codec, "王小明 Wang")
    found = Disguise(SECRET).value(text, codec)
    assert found != text and len(found) == len(text)
    found.encode(codec)


@pytest.mark.parametrize(
    ("text", "shifted"),
    [
        ("20260302083000+0800", "20060313083000+0800"),
        ("202603020830", "200603130830"),
        ("20260302", "20060313"),
        ("2026-03-02 08:30:00", "2006-03-13 08:30:00"),
        ("2026-03-02T08:30:00Z", "2006-03-13T08:30:00Z"),
        ("2026/3/2 9:05", "2006/3/13 9:05"),
        ("2026年3月2日", "2006年3月13日"),
        ("202603", "200603"),
        ("2026", "2006"),
        (" 20260302 ", " 20060313 "),
    ],
)
def test_a_time_is_shifted_and_its_form_and_time_of_day_stay(text: str, shifted: str) -> None:
    assert Disguise(SECRET).date(text, -7 * 1042) == shifted


@pytest.mark.parametrize("text", ["13800138000", "20261302", "2026-03-02 Li Wei", "12345", "0830", "", "99991231"])
def test_what_is_no_time_is_not_shifted(text: str) -> None:
    assert Disguise(SECRET).date(text, -7 * 1000) is None


@given(st.text(max_size=8))
def test_a_shift_is_of_whole_weeks_and_longer_than_a_capture(whose: str) -> None:
    days = Disguise(SECRET).days(whose)
    assert days % 7 == 0 and LEAST_WEEKS <= -days // 7 < MOST_WEEKS
    assert days == Disguise(SECRET).days(whose)


def test_what_replaces_a_value_in_a_text_is_not_replaced_again() -> None:
    disguise = Disguise(SECRET)
    numbers = [f"138{number:08}" for number in range(50)]
    new = [disguise.value(number) for number in numbers]
    for number in numbers:
        disguise.spoken(number)
    assert disguise.within(" ".join(numbers), -7 * 1042) == " ".join(new)


def test_what_is_nobody_s_is_looked_for_in_texts_and_not_in_codes() -> None:
    disguise = Disguise(SECRET)
    new = disguise.value("HOSP")
    disguise.spoken("HOSP", nobodys=True)
    assert disguise.within("HOSP 1", -7, code=True) == "HOSP 1" and disguise.within("HOSP 1", -7) == f"{new} 1"
    disguise.spoken("HOSP")
    assert disguise.within("HOSP 1", -7, code=True) == f"{new} 1"


def test_a_text_that_stays_loses_what_is_known_of_people() -> None:
    disguise = Disguise(SECRET)
    new = {text: disguise.value(text) for text in ("张", "三丰", "P12345", "Miller", "Anna")}
    disguise.name("张", "三丰")
    disguise.name("Miller", "Anna")
    for text in ("P12345", "Miller", "Anna"):
        disguise.spoken(text)
    text = "患者张三丰，号P12345，2026-03-02入院，电话13800138000。Anna Miller, 42 kg."
    found = disguise.within(text, -7 * 1042)
    assert f"患者{new['张']}{new['三丰']}，号{new['P12345']}，2006-03-13入院" in found
    assert f"{new['Anna']} {new['Miller']}, 42 kg." in found
    assert "13800138000" not in found and re.search(r"电话[0-9]{11}。", found)
