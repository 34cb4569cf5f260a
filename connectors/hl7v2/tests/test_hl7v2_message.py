"""The reader: decoded first, then split; escapes decoded once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hisbus import BadMessage
from hisbus_hl7v2.message import Message, read_header
from hisbus_hl7v2.writeback import escaped

MSH = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|1|P|2.5"


def read(*lines: str, codec: str = "utf-8") -> Message:
    return Message.read("\r".join(lines).encode(codec), codec)


def refusal(body: bytes, default: str = "utf-8") -> str:
    with pytest.raises(BadMessage) as caught:
        Message.read(body, default)
    assert caught.value.__cause__ is None
    return caught.value.code


def test_a_field_is_found_by_the_number_of_the_standard() -> None:
    message = read(MSH, "PID|1||P1^^^HOSP^MR~X^^^^NI||王^建国||19600504|M")
    assert message.segments[0].raw(1) == "|"
    assert message.segments[0].get(9, 2) == "A01"
    pid = message.first("PID")
    assert pid is not None
    assert [message.part(item, 5) for item in pid.repetitions(3)] == ["MR", "NI"]
    assert (pid.get(5), pid.get(5, 2), pid.get(99), pid.get(5, 9)) == ("王", "建国", "", "")


def test_the_senders_own_delimiters_are_used() -> None:
    message = read("MSH#!*%$#EMR##HISBUS##2026##ADT!A01#1#P#2.5", "PID#1##P1!!!HOSP$9$ISO!MR*P2#|##x")
    pid = message.first("PID")
    assert pid is not None
    assert (pid.get(3), pid.get(3, 4, 2), len(pid.repetitions(3)), pid.get(4)) == ("P1", "9", 2, "|")


@pytest.mark.parametrize(
    ("escape", "text"),
    [
        ("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"),
        ("\\E\\F\\E\\", "\\F\\"),  # decoded once: what comes out is not decoded again
        ("one\\.br\\two", "one\ntwo"),
        ("\\H\\bold\\N\\", "bold"),
        ("\\XE78E8B\\", "王"),
        ("\\X0D0A\\", "\n"),
        ("\\X4100\\", "A"),
        ("\\XFF\\", "\\XFF\\"),
        ("\\Zsite\\", "\\Zsite\\"),
        ("5 \\ 3", "5 \\ 3"),
    ],
)
def test_escapes_are_decoded_once(escape: str, text: str) -> None:
    assert read(MSH).decoded(escape) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=150, deadline=None)
def test_an_escaped_text_is_read_back_as_it_was(text: str) -> None:
    line_ends = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    message = read(MSH, f"OBX|1|TX|||{escaped(text)}|")
    assert len(message.segments) == 2
    assert message.decoded(message.segments[1].raw(5)) == line_ends


@pytest.mark.parametrize("second", "|^\\~")
def test_gb18030_names_with_delimiters_as_second_bytes_are_kept(second: str) -> None:
    characters = [chr(point) for point in range(0x4E00, 0xA000) if chr(point).encode("gb18030")[1:2] == second.encode()]
    assert len(characters) == 116
    name = "".join(characters)
    message = Message.read(f"{MSH}||||||GB 18030-2000\rPID|1||P1||{name}^{name}||19600504".encode("gb18030"), "utf-8")
    pid = message.first("PID")
    assert pid is not None
    assert (pid.get(5), pid.get(5, 2), pid.get(7)) == (name, name, "19600504")


def test_four_byte_gb18030_is_read() -> None:
    name = "㐀㐁𠀀𪚥"
    assert all(len(char.encode("gb18030")) == 4 for char in name)
    pid = Message.read(f"{MSH}||||||GB18030\rPID|||||{name}^x".encode("gb18030"), "utf-8").first("PID")
    assert pid is not None
    assert pid.get(5) == name


def test_a_header_with_delimiters_as_second_bytes_is_read_in_its_own_character_set() -> None:
    body = "MSH|^~\\&|亅院|倈乛|HISBUS|QC|2026||ADT^A01|7亅|P|2.5||||||GB 18030-2000\rPID|||P1".encode("gb18030")
    header = read_header(body, "utf-8")
    assert (header.get(3), header.get(10), header.body_encoding) == ("亅院", "7亅", "gb18030")


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("", "utf-8"),
        ("UNICODE UTF-8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("utf8", "utf-8"),
        ("GB 18030-2000", "gb18030"),
        ("GB18030", "gb18030"),
        ("GBK", "gb18030"),
        ("gb2312", "gb18030"),
        ("8859/1", "iso8859-1"),
        ("ISO-8859-1", "iso8859-1"),
        ("BIG-5", "cp950"),
        ("UNICODE UTF-8~GB 18030-2000", "utf-8"),
    ],
)
def test_names_of_character_sets_and_their_wrong_spellings_are_known(name: str, codec: str) -> None:
    assert read_header(f"{MSH}||||||{name}\rPID|".encode(), "utf-8").body_encoding == codec


def test_the_connectors_character_set_serves_where_msh_18_is_empty() -> None:
    body = f"{MSH}\rPID|||||王^建国".encode("gb18030")
    assert Message.read(body, "gb18030").segments[1].get(5) == "王"
    assert refusal(body) == "undecodable"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_hl7"),
        (b"hello", "not_hl7"),
        (b"FHS|^~\\&|", "not_hl7"),
        (b"MSH", "bad_delimiters"),
        (b"MSH|", "bad_delimiters"),
        (b"MSH|^~|EMR", "bad_delimiters"),
        (b"MSH|^^\\&|EMR", "bad_delimiters"),
        (b"MSH|^~\\||EMR", "bad_delimiters"),
        (b"MSH|A~\\&|EMR", "bad_delimiters"),
        (b"MSH1^~\\&1EMR", "bad_delimiters"),
        (MSH.encode("utf-16-le"), "wide_charset"),
        (MSH.encode("utf-16"), "wide_charset"),
        (MSH.encode("utf-32-le"), "wide_charset"),
        (f"{MSH}||||||UNICODE UTF-16\r".encode(), "wide_charset"),
        (f"{MSH}||||||UNICODE UTF-8\rPID|||||王".encode("gb18030"), "undecodable"),
        (f"{MSH}||||||ASCII\rPID|||||王".encode(), "undecodable"),
        (f"{MSH}||||||KLINGON\rPID|||||王".encode(), "unknown_charset"),
        (f"{MSH}\rPID|1\r{MSH}\rPID|2".encode(), "several_messages"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_stable_code(body: bytes, code: str) -> None:
    assert refusal(body) == code


def test_an_unknown_character_set_does_no_harm_to_ascii() -> None:
    message = read(f"{MSH}||||||KLINGON", "PID|1")
    assert message.flags == ["unknown_charset"]


@pytest.mark.parametrize("encoding", ["^~\\&", "^~\\&#", "!@$%", "\t`'\""])
def test_unusual_delimiters_are_taken(encoding: str) -> None:
    assert read_header(f"MSH|{encoding}|EMR|\r".encode(), "utf-8").fault == ""


@pytest.mark.parametrize(("end", "flags"), [("\r", []), ("\n", ["lf_segments"]), ("\r\n", ["crlf_segments"])])
def test_every_line_end_makes_the_same_segments(end: str, flags: list[str]) -> None:
    message = Message.read((MSH + end + "PID|1||P1" + end + "PV1|1|I" + end).encode(), "utf-8")
    assert [segment.name for segment in message.segments] == ["MSH", "PID", "PV1"]
    assert message.segments[1].get(3) == "P1"
    assert message.flags == flags


def test_a_line_feed_within_a_segment_is_text_where_segments_end_with_cr() -> None:
    message = read(MSH, "OBX|1|TX|||one\ntwo|x")
    assert (len(message.segments), message.segments[1].raw(5), message.flags) == (2, "one\ntwo", [])


def test_a_byte_order_mark_is_no_part_of_the_message() -> None:
    message = Message.read(b"\xef\xbb\xbf" + f"{MSH}\rPID|||||王".encode(), "gb18030")
    assert (message.flags, message.segments[1].get(5)) == (["byte_order_mark"], "王")


def test_what_does_not_begin_like_a_segment_has_no_name() -> None:
    message = read(MSH, "ZPI|1", "王建国的病历", "pid|1", "PIDX|1", "EVN")
    assert [segment.name for segment in message.segments] == ["MSH", "ZPI", "?", "?", "?", "EVN"]
