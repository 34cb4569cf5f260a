"""Acknowledgements: the matrix of modes, the echo, and that they are a pure function but for their time."""

import pytest

from hisbus_hl7v2.ack import acknowledge, outcome, silent
from hisbus_hl7v2.conformance import check
from hisbus_hl7v2.message import Message, read_header

ID = "0123456789abcdef" * 4
AT = "20260302083007+0800"


def header_of(accept: str = "", application: str = "", charset: str = "", encoding: str = "utf-8") -> bytes:
    return (
        f"MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|A-1|P|2.5|||{accept}|{application}||{charset}"
        "\rPID|1||P1"
    ).encode(encoding)


def lines(body: bytes, verdict: str = "") -> list[str]:
    return acknowledge(read_header(body, "utf-8"), ID, AT, verdict).encode().decode("latin-1").split("\r")


@pytest.mark.parametrize(
    ("accept", "application", "codes"),
    [
        ("", "", "AA AE AR"),
        ("NE", "", "AA AE AR"),
        ("NE", "NE", "AA AE AR"),
        ("", "AL", "AA AE AR"),
        ("AL", "", "CA CE CR"),
        ("AL", "NE", "CA CE CR"),
        ("ER", "", "AA CE CR"),
        ("SU", "", "CA AE AR"),
        ("XX", "", "AA AE AR"),
    ],
)
def test_each_mode_answers_success_error_and_rejection(accept: str, application: str, codes: str) -> None:
    body = header_of(accept, application)
    answered = [lines(body, verdict)[1].split("|")[1] for verdict in ("", "undecodable", "bad_delimiters")]
    assert answered == codes.split()


def test_never_can_be_read_strictly() -> None:
    assert silent(read_header(header_of("NE"), "utf-8"), "silent")
    assert not silent(read_header(header_of("NE"), "utf-8"), "answer")
    assert not silent(read_header(header_of("AL"), "utf-8"), "silent")


@pytest.mark.parametrize("type", ["ACK", "ACK^A01^ACK", "ack^R01 ", " ACK"])
def test_an_acknowledgement_is_never_answered(type: str) -> None:
    assert silent(read_header(header_of("AL").replace(b"ADT^A01^ADT_A01", type.encode()), "utf-8"), "answer")


def test_it_says_when_it_was_made_and_not_when_the_message_was() -> None:
    assert lines(header_of())[0].split("|")[6] == AT
    earlier = header_of().replace(b"20260302083000+0800", b"1999")
    assert lines(earlier) == lines(header_of())


def test_the_trigger_comes_back_trimmed() -> None:
    assert lines(header_of().replace(b"ADT^A01^ADT_A01", b"adt^A01 "))[0].split("|")[8] == "ACK^A01^ACK"


@pytest.mark.parametrize("encoding", ["^", "^~", "^~\\", "^~\\&"])
def test_delimiters_that_the_sender_leaves_out_are_left_out(encoding: str) -> None:
    msh, msa, *_ = lines(header_of("AL", "NE", "UNICODE UTF-8").replace(b"^~\\&", encoding.encode(), 1))
    assert (msh.split("|")[1], msa, msh.split("|")[17]) == (encoding, "MSA|CA|A-1", "UNICODE UTF-8")


def test_sender_and_receiver_are_swapped_and_the_rest_is_echoed() -> None:
    msh, msa, end = lines(header_of("AL", "NE", "UNICODE UTF-8"))
    fields = msh.split("|")
    assert fields[2:7] == ["HISBUS", "QC", "EMR", "HOSP", AT]
    assert fields[8] == "ACK^A01^ACK"
    assert fields[9] != "A-1"
    assert len(fields[9]) == 20
    assert fields[10:12] == ["P", "2.5"]
    assert fields[17] == "UNICODE UTF-8"
    assert (msa, end) == ("MSA|CA|A-1", "")


def test_the_same_message_gets_the_same_answer_and_another_verdict_another_number() -> None:
    assert lines(header_of()) == lines(header_of())
    assert lines(header_of())[0] != lines(header_of(), "retry_later")[0]


def test_a_refusal_carries_a_stable_code_and_nothing_else() -> None:
    _, msa, err, _ = lines(header_of(), "undecodable")
    assert msa == "MSA|AE|A-1|undecodable"
    assert err == "ERR|||102^Data type error^HL70357|E|undecodable"


def test_the_senders_delimiters_are_reused() -> None:
    body = b"MSH#!*%$#EMR#HOSP#HISBUS#QC#2026##ADT!A01!ADT_A01#A!1#P#2.3"
    assert lines(body)[0].startswith("MSH#!*%$#HISBUS#QC#EMR#HOSP#20260302083007+0800##ACK!A01!ACK#")
    assert lines(body)[1] == "MSA#AA#A!1"


@pytest.mark.parametrize("codec", ["gb18030", "utf-8", "latin-1"])
def test_the_control_id_comes_back_byte_for_byte(codec: str) -> None:
    control = {"gb18030": "亅|倈^乛亊".replace("|", "").replace("^", ""), "utf-8": "王 1", "latin-1": "é\x81"}[codec]
    name = {"gb18030": "GB 18030-2000", "utf-8": "UNICODE UTF-8", "latin-1": "8859/1"}[codec]
    sent = header_of("", "", name).decode().replace("A-1", control).encode(codec)
    ack = acknowledge(read_header(sent, "utf-8"), ID, AT).encode()
    assert b"MSA|AA|" + control.encode(codec) + b"\r" in ack


def test_blanks_of_the_control_id_come_back_too() -> None:
    assert lines(header_of().replace(b"A-1", b" A-1 "))[1] == "MSA|AA| A-1 "


def test_the_control_id_of_undecodable_bytes_comes_back_too() -> None:
    sent = header_of("", "", "UNICODE UTF-8").replace(b"A-1", b"A\xff1")
    assert b"MSA|AE|A\xff1|undecodable\r" in acknowledge(read_header(sent, "utf-8"), ID, AT, "undecodable").encode()


def test_a_control_id_that_ends_like_a_frame_does_not_end_the_answers_frame() -> None:
    ack = acknowledge(read_header(header_of().replace(b"A-1", b"A\x1c"), "utf-8"), ID, AT).encode()
    assert b"\x1c\r" not in ack


def test_what_has_no_header_is_answered_without_a_control_id() -> None:
    msh, msa, *_ = lines(b"hello", "not_hl7")
    assert msh.startswith("MSH|^~\\&|")
    assert msa == "MSA|AR||not_hl7"


def test_unusable_delimiters_leave_the_control_id_readable() -> None:
    assert lines(b"MSH|^^\\&|a|b|c|d|2026||ADT^A01|A-1|P|2.5", "bad_delimiters")[1] == "MSA|AR|A-1|bad_delimiters"


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [("", "accept"), ("not_hl7", "reject"), ("bad_delimiters", "reject"), ("self_merge", "reject"),
     ("undecodable", "error"), ("too_large", "error"), ("several_messages", "error"), ("retry_later", "error")],
)  # fmt: skip
def test_only_what_no_resend_can_mend_is_rejected(verdict: str, expected: str) -> None:
    assert outcome(verdict) == expected


def test_every_answer_can_be_read_by_our_own_reader() -> None:
    ack = acknowledge(read_header(header_of("AL"), "utf-8"), ID, AT, "self_merge").encode()
    message = Message.read(ack, "utf-8")
    assert [segment.name for segment in message.segments] == ["MSH", "MSA", "ERR"]
    assert message.segments[1].get(2) == "A-1"


@pytest.mark.parametrize("version", ["2.5", "2.5.1"])
@pytest.mark.parametrize("mode", ["", "AL"])
@pytest.mark.parametrize(
    "verdict", ["", "undecodable", "several_messages", "unknown_charset", "self_merge", "retry_later", "too_large"]
)
def test_what_we_answer_conforms_to_the_standard(version: str, mode: str, verdict: str) -> None:
    body = header_of(mode, charset="UNICODE UTF-8").replace(b"|2.5|", f"|{version}|".encode())
    check("\r".join(lines(body, verdict)))
