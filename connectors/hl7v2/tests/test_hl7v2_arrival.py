"""Arrivals: identity, verdict and flags of a frame."""

from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hisbus import Raw, Reads
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_hl7v2.arrival import Examiner
from hisbus_hl7v2.message import read_header
from hisbus_hl7v2.mllp import Frame
from hisbus_hl7v2.source import Hl7Source
from hisbus_mapping import Mapping
from hisbus_schemas import PatientId

from .conftest import timeless

RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)
MSH = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|A-1|P|2.5"

SEGMENTS = (
    "PID|1||P1^^^HOSP^MR",
    "PID|1|E9^^^HOSP|||||||",
    "PID|1||110101199003078515^^^^NNCHN~P2^^^HOSP^MR|A7",
    "MRG|P1^^^HOSP^MR",
    "MRG|P3^^^HOSP^MR",
    "PV1|1|I|W3",
    "ORC|NW|O1",
    "OBR|1|O1||GLU^Glucose^L",
    "OBX|1|NM|GLU^Glucose^L||5.0",
    "TXA|1|C0034",
    "MSH|^~\\&|EMR",
    "a line of text",
)

MAPPINGS = {
    name: Mapping(Hl7v2Connector({"name": name, "type": "hl7v2", "timezone": "Asia/Shanghai"}))
    for name in ("his", "lab")
}


class Examined(NamedTuple):
    id: str
    control_id: str
    type: str
    verdict: str
    flags: tuple[str, ...]
    patient: PatientId | None
    ack: str


def examine(body: bytes | str, connector: str = "his", flags: tuple[str, ...] = ()) -> Examined:
    examiner = Examiner(connector, "utf-8")
    frame = Frame(body if isinstance(body, bytes) else body.encode(), 0, "", flags)
    header = examiner.header(frame)
    arrival = examiner.arrival(frame, header, examiner.message_id(frame, header), RECEIVED)
    judged = MAPPINGS[connector].judge(arrival)
    ack = timeless(arrival.acknowledge(judged.code))
    return Examined(arrival.id, arrival.control_id, arrival.type, judged.code, judged.flags, judged.patient, ack)


def test_an_arrival_says_what_could_be_read() -> None:
    arrival = examine(f"{MSH}\rEVN||20260302083000\rPID|1||X^^^HOSP^AN~P1^^^HOSP^MR\r")
    assert (arrival.control_id, arrival.type, arrival.verdict, arrival.flags) == ("A-1", "ADT^A01", "", ())
    assert arrival.patient == PatientId(authority="HOSP", number="P1")
    assert "MSA|AA|A-1" in arrival.ack


def test_a_resend_with_a_new_time_and_sequence_number_is_the_same_message() -> None:
    first = examine(f"{MSH}|1\rPID|1||P1")
    again = examine(f"{MSH}|2\rPID|1||P1".replace("20260302083000+0800", "20260302093000+0800"))
    assert first.id == again.id
    assert len(first.id) == 64


@pytest.mark.parametrize("change", [("A-1", "A-2"), ("P1", "P2"), ("|2.5", "|2.4"), ("\r", "\n")])
def test_any_other_difference_makes_another_message(change: tuple[str, str]) -> None:
    text = f"{MSH}\rPID|1||P1"
    assert examine(text).id != examine(text.replace(*change)).id


def test_the_same_bytes_through_another_connector_are_another_message() -> None:
    assert examine(f"{MSH}\rPID|1||P1").id != examine(f"{MSH}\rPID|1||P1", "lab").id


def test_blanking_keeps_names_whose_bytes_look_like_delimiters() -> None:
    one, two = (
        examine(f"MSH|^~\\&|亅|{name}|H|Q|{time}||ADT^A01|1|P|2.5||||||GB18030\rPID|||P1".encode("gb18030"))
        for name, time in (("倈", "20260302"), ("倈", "20260303"))
    )
    other = examine("MSH|^~\\&|亅|億|H|Q|20260302||ADT^A01|1|P|2.5||||||GB18030\rPID|||P1".encode("gb18030"))
    assert one.id == two.id != other.id


@given(st.binary(max_size=80))
def test_no_bytes_make_the_examination_fail(noise: bytes) -> None:
    for body in (noise, b"MSH" + noise, b"MSH|^~\\&|" + noise, MSH.encode() + b"\rPID|1||" + noise):
        arrival = examine(body)
        assert arrival.id == examine(body).id
        assert arrival.ack == examine(body).ack


@pytest.mark.parametrize(
    ("prior", "verdict"),
    [
        ("P1^^^HOSP^MR", "self_merge"),
        ("P1^^^OTHER^MR", ""),
        ("P2^^^HOSP^MR", ""),
        ("X^^^A^AN~P1^^^HOSP^MR", "self_merge"),
    ],
)
def test_a_patient_cannot_be_merged_with_himself(prior: str, verdict: str) -> None:
    arrival = examine(f"{MSH}\rPID|1||P1^^^HOSP^MR\rMRG|{prior}".replace("A01^ADT_A01", "A40^ADT_A39"))
    assert arrival.verdict == verdict
    assert ("MSA|AR|" in arrival.ack) == bool(verdict)


def test_flags_of_framing_header_and_body_come_together() -> None:
    body = b"\xef\xbb\xbf" + f"{MSH}|||XX\nPID|1||P1\n".encode()
    assert examine(body, flags=("double_framing",)).flags == (
        "double_framing",
        "unknown_accept_condition",
        "byte_order_mark",
        "lf_segments",
    )


def test_a_message_without_mapping_is_accepted() -> None:
    assert examine(f"{MSH}\rPID|1||P1".replace("ADT^A01^ADT_A01", "ZZZ^Z01")).verdict == ""


def test_nul_bytes_go_back_to_the_sender() -> None:
    body = f"{MSH}\rPID|1||P\x001".replace("A-1", "A\x001").encode()
    arrival = examine(body)
    assert (arrival.control_id, arrival.flags) == ("A\x001", ("nul_bytes",))
    assert arrival.patient == PatientId(authority="his", number="P1")
    assert "MSA|AA|A\x001\r" in arrival.ack


def test_the_profile_refuses_every_type_that_merges() -> None:
    profile = MAPPINGS["his"].profile
    (refusal,) = profile.envelope.refuse
    assert set(refusal.types) == set(profile.facts["merged"].types) - {"ADT^A47"}


def test_a_result_has_the_key_of_its_patient() -> None:
    result = f"{MSH}\rPID|1||P1^^^HOSP^MR\rOBR|1||F1\rOBX|1|NM|A||1".replace("ADT^A01^ADT_A01", "ORU^R01")
    assert examine(result).patient == PatientId(authority="HOSP", number="P1")
    several = result + "\rPID|2||P2^^^HOSP^MR\rOBR|1||F2\rOBX|1|NM|A||1"
    assert examine(several).patient == PatientId(authority="HOSP", number="P1")


class Thorough(Hl7v2Connector):
    """Reads all of a message, whatever will be read of it."""

    def read(self, raw: Raw, _reads: Reads | None = None) -> Hl7Source:
        return super().read(raw)


THOROUGH = Mapping(Thorough({"name": "his", "type": "hl7v2", "timezone": "Asia/Shanghai"}))


@settings(deadline=None)
@given(
    st.sampled_from(["ADT^A01", "ADT^A40", "ADT^A60", "ORU^R01", "ORM^O01", "MDM^T02", "DFT^P03"]),
    st.lists(st.sampled_from(SEGMENTS), max_size=8),
    st.sampled_from(["\r", "\n", "\r\n"]),
)
def test_a_message_read_as_far_as_is_needed_is_judged_as_a_whole_one(type: str, lines: list[str], end: str) -> None:
    frame = Frame(end.join([MSH.replace("ADT^A01^ADT_A01", type), *lines]).encode(), 0)
    header = read_header(frame.body, "utf-8")
    arrival = Examiner("his", "utf-8").arrival(frame, header, "id", RECEIVED)
    assert MAPPINGS["his"].judge(arrival) == THOROUGH.judge(arrival)
