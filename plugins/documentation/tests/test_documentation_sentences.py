"""Cutting a text into sentences."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisbus_documentation.plain import plain, visible
from hisbus_documentation.sentences import split


def cut(text: str) -> list[str]:
    return [text[begin:end] for begin, end in split(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("病情平稳。继续治疗！", ["病情平稳。", "继续治疗！"]),
        ("1. 急性脑梗死\n2. 高血压病", ["1. 急性脑梗死", "2. 高血压病"]),
        ("T 38.2℃，BP 126/71mmHg。腹软", ["T 38.2℃，BP 126/71mmHg。", "腹软"]),
        ("患者说：“不痛。”随后入睡。", ["患者说：“不痛。”", "随后入睡。"]),
        ("Dr. Smith saw her. She is 1.5 m tall.", ["Dr. Smith saw her.", "She is 1.5 m tall."]),
        ("Take 5 mg b.i.d. with food. Stop on Friday.", ["Take 5 mg b.i.d. with food.", "Stop on Friday."]),
        ("No fever?! Good.", ["No fever?!", "Good."]),
        ("  \n 。。 12 \n", []),
        ("", []),
    ],
)
def test_a_text_is_cut_into_its_sentences(text: str, sentences: list[str]) -> None:
    assert cut(text) == sentences


@given(st.text(alphabet="a1 .。\n!？中文,，Dr", max_size=60))
def test_sentences_lie_in_order_and_lose_no_letter(text: str) -> None:
    places = list(split(text))
    assert all(begin < end for begin, end in places)
    assert all(one[1] <= other[0] for one, other in pairwise(places))
    letters = [c for c in text if c.isalpha()]
    assert [c for said in cut(text) for c in said if c.isalpha()] == letters


def test_what_nobody_sees_is_gone_before_texts_are_compared() -> None:
    assert visible("腹\u200b软\u202e。\U000e0041") == "腹软。"
    assert plain("ＢＰ　１２６／７１ｍｍHg，１３．６×１０⁹／L") == "bp 126/71mmhg,13.6×10^9/l"
    assert plain("口服qd，SpO2 98%") == "口服 qd,spo2 98%"
