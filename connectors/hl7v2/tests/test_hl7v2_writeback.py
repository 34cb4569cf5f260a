"""Write-backs: what leaves, what may never leave, and that our own reader reads it back."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hisbus import BusError
from hisbus.lines import lines
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_hl7v2.conformance import NonconformantError, check
from hisbus_hl7v2.leaving import TYPES, VERSIONS
from hisbus_hl7v2.message import Message
from hisbus_hl7v2.mllp import encode
from hisbus_hl7v2.writeback import CharsetError, document, message, refuse_legal_status
from hisbus_mapping import Mapping
from hisbus_mapping.testing import make_writeback
from hisbus_schemas import (
    Code,
    Draft,
    Drafted,
    DraftedSection,
    DraftedSentence,
    Location,
    NameParts,
    PatientId,
    Section,
    Text,
    VisitId,
    WriteBack,
)  # fmt: skip

SHANGHAI = ZoneInfo("Asia/Shanghai")


NOTICE = ("R01 缺入院记录", "|^~\\& 与\n换行", "qc.reviewer")


MEANING = Mapping(Hl7v2Connector({"name": "his", "type": "hl7v2"}))


def writeback(**changes: Any) -> WriteBack:
    values: dict[str, Any] = {
        "id": "0123456789abcdef0123456789abcdef",
        "number_type": "MR",
        "patient_name": "王建国",
        "name_parts": NameParts(family="王", given="建国"),
        "birth_date": date(1960, 5, 4),
        "sex": "male",
        "patient_class": "inpatient",
        "location": Location(ward="W3", room="301", bed="2"),
        "decided": datetime(2026, 3, 3, 1, 0, tzinfo=UTC),
    }
    return MEANING.leaving(make_writeback("his", **values | changes))


def written(codec: str = "utf-8", lines: Sequence[str] = NOTICE, **changes: Any) -> bytes:
    """Return the message that says these lines of a notice."""
    return message(writeback(**changes), [("QC", line) for line in lines], "his", codec, SHANGHAI)


@pytest.mark.parametrize("codec", ["utf-8", "gb18030"])
def test_our_own_reader_reads_a_write_back_back(translate: Any, codec: str) -> None:
    fact = translate.read(written(codec)).facts[0]
    assert fact.kind == "document.filed"
    assert (fact.patient, fact.visit) == (writeback().patient, writeback().visit)
    assert fact.demographics.name == "王建国"
    assert fact.demographics.name_parts == writeback().name_parts
    assert fact.demographics.number_type == "MR"
    assert fact.demographics.birth_date == date(1960, 5, 4)
    assert (fact.stay.patient_class, fact.stay.location) == ("inpatient", writeback().location)
    assert fact.time.isoformat() == "2026-03-03T09:00:00+08:00"
    assert (fact.data.number, fact.data.type.code) == (writeback().id, "QC")
    assert (fact.data.completion, fact.data.signed) == ("PA", None)
    assert fact.data.sections == [Section(name="QC", text="\n".join(NOTICE))]


def test_a_document_leaves_as_what_it_is_section_by_section(translate: Any) -> None:
    type, title = Code(code="C0049", text="出院记录", system="WS/T 500"), Text(zh="诊疗 & 经过", en="Course")
    sentences = [DraftedSentence(text="2026-03-02 行阑尾切除术|顺利。"), DraftedSentence(text="术后恢复良好。")]
    sections = [DraftedSection(code="A^B", title=title, sentences=sentences)]
    drafted = Drafted(template="discharge", type=type, title=title, language="zh", sections=sections)
    draft = Draft(key="d", rule="d", message=title, payload=drafted.model_dump(mode="json"))
    body = document(writeback(document=type, approved=draft), "his", "utf-8", SHANGHAI)
    fact = translate.read(body).facts[0]
    assert (fact.data.type.code, fact.data.completion, fact.data.signed) == ("C0049", "PA", None)
    assert fact.data.sections == [
        Section(name="A^B", title="诊疗 & 经过", text="2026-03-02 行阑尾切除术|顺利。\n术后恢复良好。"),
        Section(name="HISBUS", title="来源", text="草稿: qc\n审核: ann, 2026-03-03 01:00"),
    ]
    refuse_legal_status(body, "utf-8")


def test_a_notice_says_everything_in_lines(translate: Any) -> None:
    fact = translate.read(document(writeback(note="核对过"), "his", "utf-8", SHANGHAI)).facts[0]
    (section,) = fact.data.sections
    assert (section.name, section.text.splitlines()) == ("QC", lines(writeback(note="核对过")))
    assert "备注: 核对过" in section.text


def test_it_is_a_new_document_under_the_idempotency_key_that_is_not_legal() -> None:
    sent = Message.read(written(), "utf-8")
    msh, txa = sent.segments[0], sent.all("TXA")[0]
    assert (msh.raw(9), msh.raw(10), msh.raw(18)) == ("MDM^T02^MDM_T02", writeback().id, "UNICODE UTF-8")
    assert (txa.raw(2), txa.raw(12), txa.raw(17), txa.raw(19)) == ("QC", writeback().id, "PA", "UN")
    assert [obx.raw(2) for obx in sent.all("OBX")] == ["TX"] * 3


def test_every_attempt_sends_the_same_bytes() -> None:
    assert document(writeback(), "his", "utf-8", SHANGHAI) == document(writeback(), "his", "utf-8", SHANGHAI)


def test_an_authority_that_was_only_ours_stays_empty() -> None:
    body = document(writeback(patient=PatientId(authority="his", number="P1")), "his", "utf-8", SHANGHAI)
    assert Message.read(body, "utf-8").all("PID")[0].raw(3) == "P1^^^^MR"


@pytest.mark.parametrize(
    ("said", "leaves"),
    [
        ("DUCK^DONALD^F^Jr^Dr", "DUCK^DONALD^F^Jr^Dr"),
        ("DUCK&von&D^DONALD^^^Dr", "DUCK^DONALD^^^Dr"),
        ("DUCK^^^^^^L~ANDER^PAUL", "DUCK"),
        ("O\\T\\NEIL^A\\S\\B", "O\\T\\NEIL^A\\S\\B"),
        ("王建国", "王建国"),
        ("^建国", "^建国"),
        ("", "^^^^^^U"),
    ],
)
def test_a_name_leaves_in_the_parts_in_which_it_came(translate: Any, said: str, leaves: str) -> None:
    lines = [
        r"MSH|^~\&|HIS|HOSP|||20260302083000+0800||ADT^A01^ADT_A01|1|P|2.5",
        "EVN||20260302083000+0800", f"PID|1||77^^^C^NI~P1^^^HOSP^PI||{said}", "PV1|1|I",
    ]  # fmt: skip
    told = translate.read("\r".join(lines).encode()).facts[0].demographics
    changes = {"patient_name": told.name or "", "name_parts": told.name_parts or NameParts()}
    sent = Message.read(document(writeback(number_type=told.number_type, **changes), "his", "utf-8", SHANGHAI), "utf-8")
    assert (sent.all("PID")[0].raw(5), sent.all("PID")[0].raw(3)) == (leaves, "P1^^^HOSP^PI")


def test_a_name_whose_parts_nobody_knows_leaves_in_one_piece() -> None:
    body = document(writeback(name_parts=NameParts()), "his", "utf-8", SHANGHAI)
    assert Message.read(body, "utf-8").all("PID")[0].raw(5) == "王建国"


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("version", VERSIONS)
def test_it_conforms_in_every_version_that_a_profile_may_name(version: str, type: str) -> None:
    said = writeback()
    body = document(
        said.model_copy(update={"out": {**said.out, "MSH-12": version, "MSH-9": type}}), "his", "utf-8", SHANGHAI
    )
    msh = Message.read(body, "utf-8").segments[0]
    assert (msh.raw(9), msh.raw(12)) == (type, version)


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
HOSTILE = st.sampled_from(["\rTXA|1|QC|TX||||||||||X|||||LA||AV", "\x0b", "\x1c\r", "|AU||AV", "\\F\\", "\n"])


@given(
    st.lists(st.one_of(ANY, HOSTILE), min_size=1, max_size=4), ANY, *[st.one_of(ANY, HOSTILE) for _ in range(4)]
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_whatever_an_agent_says_the_document_stays_one_and_unsigned(
    said: list[str], name: str, number: str, ward: str, part: str, type: str
) -> None:
    body = written(
        lines=said, patient_name=name, patient=PatientId(authority=number, number=number), number_type=type,
        location=Location(ward=ward), name_parts=NameParts(given=part), document=Code(code=part),
    )  # fmt: skip
    sent = Message.read(body, "utf-8")
    assert [segment.name for segment in sent.segments] == ["MSH", "EVN", "PID", "PV1", "TXA", *["OBX"] * len(said)]
    assert (sent.all("TXA")[0].raw(17), sent.all("TXA")[0].raw(19)) == ("PA", "UN")
    assert encode(body)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lines": [""]},
        {"lines": ["长" * 200, "王" * 60_000]},
        {"patient_name": "", "birth_date": None, "sex": "", "patient_class": "", "location": Location()},
        {"location": Location(ward="心血管内科重症监护病房" * 3)},
        {"visit": VisitId(authority="2.16.840.1.113883.2.4.6.1", number="V" * 40)},
        {"patient_name": "O'Brien & Söhne^|~\\"},
    ],
)
def test_every_ordinary_write_back_conforms_to_the_standard(changes: dict[str, Any]) -> None:
    assert written(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"lines": []},
        {"lines": ["王" * 66_000]},
    ],
)
def test_what_does_not_fit_the_standard_is_refused_without_quoting_it(changes: dict[str, Any]) -> None:
    with pytest.raises(NonconformantError) as caught:
        written(**changes)
    assert caught.value.code == "nonconformant"
    assert caught.value.__cause__ is None
    assert "王" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("EVN||20260303090000+0800\r", ""),  # a required segment is missing,
        ("PV1|", "PID|1||P2\rPV1|"),  # one comes twice,
        ("PID|", "ZZZ|1\rPID|"),  # or is unknown,
        ("EVN||", "EVN||x"),  # a time is none,
        ("||19600504|", "||1960-05-04|"),
        ("|PA||UN", "|||UN"),  # a required field is empty,
        ("|UN\r", "|UN" + "|x" * 10 + "\r"),  # or there are more than the segment has
    ],
)
def test_any_break_of_the_structure_is_found(old: str, new: str) -> None:
    text = document(writeback(), "his", "utf-8", SHANGHAI).decode()
    assert text.count(old) == 1
    check(text)
    with pytest.raises(NonconformantError):
        check(text.replace(old, new))


def test_segments_out_of_order_are_found() -> None:
    text = document(writeback(), "his", "utf-8", SHANGHAI).decode()
    msh, evn, pid, *rest = text.split("\r")
    with pytest.raises(NonconformantError):
        check("\r".join([msh, pid, evn, *rest]))


def test_a_text_that_the_character_set_cannot_carry_is_not_sent_mutilated() -> None:
    with pytest.raises(CharsetError) as caught:
        document(writeback(), "his", "iso8859-1", SHANGHAI)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "change",
    [
        (b"|PA|", b"|AU|"),
        (b"|PA|", b"|LA|"),
        (b"|UN\r", b"|AV\r"),
        (b"|UN\r", b"|UN\rTXA|2\r"),
        (b"TXA|", b"ZXA|"),
        (b"|PA|", b"|DO|"),
    ],
)
def test_a_legal_status_is_never_let_out(change: tuple[bytes, bytes]) -> None:
    body = document(writeback(), "his", "utf-8", SHANGHAI)
    refuse_legal_status(body, "utf-8")
    assert body.count(change[0]) == 1
    with pytest.raises(BusError) as caught:
        refuse_legal_status(body.replace(*change), "utf-8")
    assert caught.value.code == "legal_status"
