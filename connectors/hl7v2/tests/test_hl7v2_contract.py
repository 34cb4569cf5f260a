"""What every connector must do, held by this one."""

import pytest

from hisbus import Raw
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_hl7v2.mllp import encode
from hisbus_mapping import Mapping
from hisbus_mapping.testing import RECEIVED, ConnectorContract
from hisbus_schemas import PatientId

from .conftest import timeless

HEADER = b"MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||%s|%s|P|2.5\r"


class TestContract(ConnectorContract):
    connector = Hl7v2Connector({"name": "his", "type": "hl7v2", "timezone": "Asia/Shanghai"})
    unreachable = Hl7v2Connector({"name": "his", "type": "hl7v2", "send": "127.0.0.1:9"})
    messages = (
        HEADER % (b"ADT^A01^ADT_A01", b"1") + b"PID|1||P1^^^HOSP^MR\rPV1|1|I\r",
        HEADER % (b"ADT^A40^ADT_A39", b"2") + b"PID|1||P1^^^HOSP^MR\rMRG|P1^^^HOSP^MR\r",
        HEADER % (b"ZZZ^Z01", b"3") + b"ZZZ|1\r",
    )
    timeless = staticmethod(timeless)
    broken = (b"hello\r", HEADER % (b"ADT^A01", b"4") + b"PID|1||\xff\r", HEADER % (b"ADT^A01", b"5") * 2)


GBK = (HEADER % (b"ADT^A01", b"6") + "PID|1||P1^^^HOSP^MR||王^建国\r".encode("gbk"), "undecodable")


@pytest.mark.parametrize(
    ("refused", "settings", "code"),
    [
        (GBK, {}, "undecodable"),
        (GBK, {"charset": "GBK"}, ""),
        ((GBK[0], "sender_not_allowed"), {"charset": "GBK"}, "sender_not_allowed"),
        ((GBK[0], "too_large"), {"charset": "GBK"}, "too_large"),
        ((*TestContract.broken[:1], "not_hl7"), {"charset": "GBK"}, "not_hl7"),
    ],
)
def test_what_was_refused_is_judged_by_today_s_settings_as_far_as_its_bytes_tell(
    refused: tuple[bytes, str], settings: dict[str, str], code: str
) -> None:
    mapping = Mapping(Hl7v2Connector({"name": "his", "type": "hl7v2", **settings}))
    raw = Raw("its-id", refused[0], RECEIVED, flags=("in_batch",))
    arrival, judged = mapping.judge_again(raw, refused[1])
    assert (arrival.id, judged.code, judged.flags[0]) == ("its-id", code, "in_batch")
    if not code:
        assert judged.patient == PatientId(authority="HOSP", number="P1")
        assert (arrival.control_id, arrival.type) == ("6", "ADT^A01")


def test_a_captured_file_holds_messages_with_empty_lines_between_them_or_frames() -> None:
    connector, one, other = TestContract.connector, *TestContract.messages[:2]
    assert connector.split(b"MSH|1\nPID|1\n\n\nMSH|2\r\nPID|2\r\n") == [b"MSH|1\rPID|1\r", b"MSH|2\rPID|2\r"]
    assert connector.split(encode(one) + b"\n" + encode(b"") + encode(other)) == [one, other]
    assert connector.split(one + other) == connector.split(b"\n" + one + b"\n" + other) == [one, other]
    assert connector.split(encode(one + other)) == [one + other], "a frame is left as it came"


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
def test_a_batch_in_a_captured_file_is_its_messages(end: bytes) -> None:
    connector, *messages = TestContract.connector, *TestContract.messages
    lines = [
        b"FHS|^~\\&|EMR\r",
        b"BHS|^~\\&|EMR\r",
        *messages[:2],
        b"BTS|2\r",
        b"BHS|^~\\&\r",
        messages[2],
        b"BTS|1\rFTS|2\r",
    ]
    assert connector.split(b"".join(lines).replace(b"\r", end)) == messages
    assert connector.split(b"\n\n".join(lines).replace(b"\r", end)) == messages
    assert connector.split(encode(b"".join(lines[:5])) + encode(messages[2])) == messages
