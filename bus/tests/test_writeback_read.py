"""What a doctor reads of a finding that left: what, where, when, the words quoted, what is asked, and who says so."""

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from hisbus.lines import lines
from hisbus.testing import make_chart, make_document, make_patient, make_vital
from hisbus_bus.flow.writeback.document import Approved, compose
from hisbus_schemas import Code, Correction, Decision, Evidence, Finding, Language, Location, Section, Text

ROW: Any = SimpleNamespace(id="w1", connector="his", proposal="p1", decision="d1")
AT = datetime(2026, 3, 6, 4, tzinfo=UTC)
NOTE = make_document(
    "C0038",
    id="0f3a9bb2c1d2e3f4",
    signed="2026-03-05T09:00+08:00",
    sections=[Section(name="COURSE", text="患者发热，体温39.2℃。")],
).model_copy(update={"type": Code(code="C0038", text="日常病程记录")})
PULSE = make_vital("8867-4", "500", id="77c1de019b0f3a9b", at="2026-03-05T10:00+08:00").model_copy(
    update={"item": Code(code="8867-4", text="脉搏")}
)
PAGE = make_document("病案首页", id="aa11bb22cc33dd44", fields={"离院方式": "9"})
FOUND = Finding(
    key="R24",
    rule="R24",
    message=Text(zh="脉搏500次/分，疑似录入错误，请核实。", en="A pulse of 500/min, probably mistyped."),
    evidence=[
        Evidence(document=NOTE.id, version=NOTE.version, section=0, begin=2, end=4, quote="发热"),
        Evidence(path=f"vitals/{PULSE.id}", value="500"),
        Evidence(path="admitted", value="2026-03-02T00:30:00+00:00"),
        Evidence(path=f"documents/{PAGE.id}/fields/离院方式", value="9"),
        Evidence(path="vitals/5f1c99de01", value="501"),
    ],
    points=2,
    due=datetime(2026, 3, 6, 16, tzinfo=UTC),
    payload={"title": {"zh": "生命体征疑似录入错误", "en": "Vital sign probably mistyped"}, "source": "院内规定"},
)


def sent(found: Finding = FOUND, languages: tuple[Language, ...] = ("zh",), **more: Any) -> list[str]:
    decision = Decision(
        id="d1", proposal="p1", revision=1, agent="qc", rule=found.rule, encounter="e", decision="accept", user="zhang",
        decided=AT, etag="x", approved=found, note="核对过",
    )  # fmt: skip
    chart = make_chart(
        patient=make_patient("王建国"),
        location=Location(ward="呼吸一区", bed="12"),
        documents=[NOTE, PAGE],
        vitals=[PULSE],
    )
    return lines(compose(ROW, Approved(decision, found, chart, **more), languages))


def test_everything_that_a_doctor_needs_and_no_path_and_no_hash() -> None:
    said = sent(user_name="张敏 (质控科)")
    assert said == [
        "病历质控 R24: 生命体征疑似录入错误",
        "病区床位: 呼吸一区 12",
        "脉搏500次/分，疑似录入错误，请核实。",
        "依据: 日常病程记录 (2026-03-05 09:00) “发热”",
        "依据: 脉搏 (2026-03-05 10:00) 500",
        "依据: 入院时间 2026-03-02 08:30",
        "依据: 病案首页 离院方式 9",
        "依据: 病历 501",
        "请处理: 于 2026-03-07 00:00 前补正",
        "扣分: 2",
        "规范: 院内规定",
        "备注: 核对过",
        "审核: 张敏 (质控科), 2026-03-06 12:00",
    ]
    assert not any(re.search(r"[0-9a-f]{10}|vitals/|admitted", line) for line in said)


def test_a_deadline_that_has_passed_asks_to_be_mended_now() -> None:
    late = FOUND.model_copy(update={"due": datetime(2026, 3, 5, tzinfo=UTC)})
    assert "请处理: 核实后补正" in sent(late)


def test_what_would_be_right_leaves_for_the_doctor_to_copy() -> None:
    right = Correction(text=Text(zh="50", en="50"), evidence=[Evidence(path=f"vitals/{PULSE.id}", value="500")])
    said = sent(FOUND.model_copy(update={"expected": right}))
    assert said[said.index("应为: 50") + 1].startswith("请处理"), "its evidence stands above already"


def test_a_site_that_wants_it_gets_english_too() -> None:
    said = sent(languages=("zh", "en"))
    assert said[0] == "病历质控 Record quality R24: 生命体征疑似录入错误 Vital sign probably mistyped"
    assert FOUND.message.zh in said and FOUND.message.en in said
    assert sent(languages=("en",))[1] == "Place: 呼吸一区 12"


@pytest.mark.parametrize(
    ("edited", "wanted", "leaves"),
    [
        ({"zh": "脉搏500，请核实。"}, ("zh", "en"), ["脉搏500，请核实。"]),
        ({"zh": "脉搏500，请核实。"}, ("en",), ["脉搏500，请核实。"]),
        ({"zh": "脉搏500，请核实。", "en": "Check it."}, ("zh", "en"), ["脉搏500，请核实。", "Check it."]),
        ({}, ("zh", "en"), [FOUND.message.zh, FOUND.message.en]),
    ],
)
def test_beside_an_edited_text_no_older_one_leaves(
    edited: dict[str, str], wanted: tuple[Language, ...], leaves: list[str]
) -> None:
    found = FOUND.model_copy(update={"message": FOUND.message.model_copy(update=edited)})
    assert sent(found, wanted, proposed=FOUND.message)[2 : 2 + len(leaves)] == leaves
    texts = {FOUND.message.zh, FOUND.message.en} - set(leaves)
    assert not texts & set(sent(found, wanted, proposed=FOUND.message))
