"""R45: a progress note that repeats the one before it."""

from typing import Any

import pytest

from hisbus_qc.copied import compared

Stay = Any

MONDAY = (
    "2026年3月3日 患者神志清，精神可，诉胸痛较前缓解。体温36.5℃，脉搏98次/分，呼吸18次/分，"
    "血压98/62mmHg。双肺呼吸音清，未闻及啰音。继续当前治疗。"
)
TUESDAY = (
    "2026年3月10日 患者神志清，精神可，诉胸痛较前缓解。体温37℃，脉搏102次/分，呼吸20次/分，"
    "血压126/78mmHg。双肺呼吸音清，未闻及啰音。继续当前治疗。"
)
OTHER = "患者今晨突发呼吸困难，听诊双下肺湿啰音，予吸氧、利尿处理后好转，复查胸片。"


def note(stay: Stay, day: int, text: str, **fields: Any) -> Any:
    at = f"2026-03-{day:02} 10:30:00"
    return stay.document("C0038", **{"signed": at, "about": at, "text": text, **fields})


def letters(count: int, changed: int = 0, start: int = 0x4E00) -> str:
    """Return a text of different characters whose last few differ from those of any other."""
    same = [chr(start + index) for index in range(count - changed)]
    return "".join(same + [chr(0x8000 + index) for index in range(changed)])


def test_yesterdays_note_with_new_numbers_is_found(stay: Stay) -> None:
    old, new = note(stay, 3, MONDAY), note(stay, 4, TUESDAY)
    note(stay, 5, OTHER)
    (finding,) = [item for item in stay.assess().proposals if item.rule == "R45"]
    assert (finding.key, finding.subject) == (f"R45:{new.id}", new.id)
    assert finding.reads == [new.ref, old.ref]
    said = "2026-03-04 10:30的病程记录与前一次（2026-03-03 10:30）内容雷同（100%相同，数字不计）。"
    assert finding.message.zh == said
    assert "(2026-03-03 10:30)" in finding.message.en
    assert (finding.severity, finding.points, finding.due) == ("warning", 1, None)


def test_different_notes_are_not_found(stay: Stay) -> None:
    note(stay, 3, MONDAY)
    note(stay, 4, OTHER)
    assert stay.says("R45") == []


@pytest.mark.parametrize("changed, said", [(4, ["found"]), (5, ["found"]), (6, [])])
def test_95_percent_the_same_is_the_limit(stay: Stay, changed: int, said: list[str]) -> None:
    note(stay, 3, letters(100))
    note(stay, 4, letters(100, changed))
    assert stay.says("R45") == said


@pytest.mark.parametrize("shorter, said", [(114, ["found"]), (113, [])])
def test_the_longer_text_is_the_measure(stay: Stay, shorter: int, said: list[str]) -> None:
    note(stay, 3, letters(120))  # 6 of 120 are 5 %, but 5.3 % of 114
    note(stay, 4, letters(shorter))
    assert stay.says("R45") == said


@pytest.mark.parametrize("length, said", [(19, []), (20, ["found"]), (21, ["found"])])
def test_texts_under_20_characters_are_not_compared(stay: Stay, length: int, said: list[str]) -> None:
    note(stay, 3, letters(length))
    note(stay, 4, letters(length))
    assert stay.says("R45") == said


def test_both_texts_must_have_20_characters(stay: Stay) -> None:
    note(stay, 3, letters(20))
    note(stay, 4, letters(19))
    assert stay.says("R45") == []


def test_compared_is_the_text_without_white_space_and_numbers_as_one_mark() -> None:
    assert compared("体温 36.5 ℃，\n脉搏\u3000102次/分") == compared("体温37℃，脉搏9次/分")
    assert len(compared("36.5")) == 1
    assert compared("体温") != compared("体温37")


def test_empty_notes_are_no_copies(stay: Stay) -> None:
    note(stay, 3, "")
    note(stay, 4, "  ")
    note(stay, 5, MONDAY, sections=[])
    assert stay.says("R45") == []


def test_the_note_before_is_by_the_time_it_is_about_not_by_its_arrival(stay: Stay) -> None:
    note(stay, 5, MONDAY, filed="2026-03-05 11:00:00")
    note(stay, 3, MONDAY, filed="2026-03-05 12:00:00")
    between = note(stay, 4, OTHER, filed="2026-03-05 13:00:00")
    assert stay.says("R45") == []
    stay.documents.remove(between)
    (finding,) = stay.assess().proposals
    assert finding.key == "R45:D1"


def test_a_note_without_that_time_stands_where_it_was_filed(stay: Stay) -> None:
    note(stay, 3, MONDAY)
    note(stay, 4, TUESDAY, about=None, filed="2026-03-06 10:30:00")
    note(stay, 5, OTHER)
    assert stay.says("R45") == []
    note(stay, 6, TUESDAY)
    assert stay.says("R45") == ["found"]


def test_of_two_notes_about_one_time_the_one_filed_first_is_before(stay: Stay) -> None:
    note(stay, 4, TUESDAY, filed="2026-03-04 12:00:00")
    note(stay, 4, TUESDAY, filed="2026-03-04 11:00:00")
    (finding,) = stay.assess().proposals
    assert finding.key == "R45:D1"


@pytest.mark.parametrize("status", ["replaced", "withdrawn"])
def test_what_was_replaced_or_withdrawn_is_neither_copy_nor_original(stay: Stay, status: str) -> None:
    note(stay, 3, MONDAY)
    note(stay, 4, TUESDAY, status=status)
    note(stay, 5, OTHER)
    assert stay.says("R45") == []


def test_an_unsigned_note_is_compared_too(stay: Stay) -> None:
    note(stay, 3, MONDAY)
    note(stay, 4, TUESDAY, signed=None)
    assert stay.says("R45") == ["found"]


def test_other_documents_are_not_compared(stay: Stay) -> None:
    note(stay, 3, MONDAY)
    stay.document("C0039", signed="2026-03-04 10:30:00", text=MONDAY)
    assert stay.says("R45") == []


def test_every_copy_of_a_row_is_found(stay: Stay) -> None:
    for day in (3, 4, 5, 6):
        note(stay, day, MONDAY)
    assert [item.key for item in stay.assess().proposals] == ["R45:D2", "R45:D3", "R45:D4"]


def test_the_evidence_stands_word_for_word_in_both_notes(stay: Stay) -> None:
    parts = [
        {"name": "S", "text": "患者神志清，精神可。"},
        {"name": "O", "text": "双肺呼吸音清，未闻及啰音，脉搏98次/分。"},
    ]
    note(stay, 3, "", sections=parts)
    note(stay, 4, "", sections=[{"name": "TEXT", "text": "患者神志清，精神可。双肺呼吸音清，未闻及啰音，脉搏8次/分。"}])
    (finding,) = stay.assess().proposals
    documents = {document.id: document for document in stay.documents}
    assert [item.document for item in finding.evidence] == ["D2", "D1"]
    for item in finding.evidence:
        document = documents[item.document]
        assert item.version == document.version
        assert document.sections[item.section].text[item.begin : item.end] == item.quote
    assert [item.quote for item in finding.evidence] == [
        "双肺呼吸音清，未闻及啰音，脉搏8次/分。",
        "双肺呼吸音清，未闻及啰音，脉搏98次/分。",
    ]
