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
        ("BP 120\\80.\\.br\\Second", "BP 120\\80.\nSecond"),  # the first backslash begins nothing
        ("C:\\data\\T\\x \\", "C:\\data&x \\"),
        ("\\X0D\\\\X0A\\x", "\nx"),  # a character, or a line end, byte by byte
        ("\\XE7\\\\X8E\\\\X8B\\", "王"),
        ("\\X4\\ \\XG1\\", "\\X4\\ \\XG1\\"),
        ("a\\.sp2\\b\\.sk 3\\c\\.in+4\\d\\.BR\\e", "a\n\nb   cd\ne"),
        ("a\\.sp99\\b\\.break\\c", "a\nb\\.break\\c"),
        ("\\C2842\\ \\M248F\\", "\\C2842\\ \\M248F\\"),
    ],
)
def test_escapes_are_decoded_once(escape: str, text: str) -> None:
    assert read(MSH).decoded(escape) == text


@given(st.lists(st.sampled_from(["\\", "a", "80.", ".br", "T", "E", "X0", "X41", "Z", " "]), max_size=12).map("".join))
def test_a_backslash_that_begins_no_escape_takes_none_away_from_the_next(text: str) -> None:
    decoded = read(MSH).decoded
    assert decoded(f"{text}|\\.br\\") == decoded(f"{text}|") + "\n"


def test_a_component_can_be_read_with_its_ampersands() -> None:
    message = read(MSH, "DG1|1||J18^Pneumonia & sepsis \\T\\ shock^I10||R&D")
    dg1 = message.segments[1]
    assert message.part(dg1.raw(3), 2, 0) == "Pneumonia & sepsis & shock"
    assert (message.part(dg1.raw(3), 2), message.part(dg1.raw(3), 2, 2)) == ("Pneumonia", "sepsis & shock")
    assert (dg1.get(5, 1, 0), dg1.get(5), dg1.get(1, 1, 0), dg1.get(1, 2, 0)) == ("R&D", "R", "1", "")
    assert message.part('""', 1, 0) == ""


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
        (b"MSH||EMR", "bad_delimiters"),
        (b"MSH|^~\\&#$|EMR", "bad_delimiters"),
        (b"MSH\0^~\\&\0EMR", "bad_delimiters"),
        (b"MSH|^^\\&|EMR", "bad_delimiters"),
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


def wins(body: bytes) -> Message:
    return Message.read(body, "gb18030", wins=True)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("UNICODE UTF-8", ["charset_mislabelled"]),
        ("ASCII", ["charset_mislabelled"]),
        ("KLINGON", ["unknown_charset"]),
        ("UNICODE UTF-16", ["wide_charset"]),
        ("GBK", []),
        ("8859/1", []),  # any bytes are
        ("", []),
    ],
)
def test_the_connectors_character_set_can_win_over_what_msh_18_names(name: str, flags: list[str]) -> None:
    message = wins(f"{MSH.replace('EMR', '亅院')}||||||{name}\rPID|||||王^建国\rNTE|||\\XCDF5\\".encode("gb18030"))
    assert (message.header.get(3), message.segments[1].get(5), message.segments[2].get(3)) == ("亅院", "王", "王")
    assert message.flags == flags


def test_what_names_utf_8_and_is_utf_8_is_read_as_that_whichever_set_wins() -> None:
    message = wins(f"{MSH.replace('EMR', '旧亅')}||||||UNICODE UTF-8\rPID|||||旧^人".encode())
    assert (message.header.get(3), message.segments[1].get(5), message.segments[1].get(5, 2)) == ("旧亅", "旧", "人")
    assert message.flags == []


def test_bytes_that_are_not_of_the_set_that_wins_are_refused_and_a_byte_order_mark_wins_over_all() -> None:
    with pytest.raises(BadMessage) as caught:
        Message.read(f"{MSH}||||||GBK\rPID|||||王".encode("gb18030"), "utf-8", wins=True)
    assert caught.value.code == "undecodable"
    assert wins(b"\xef\xbb\xbf" + f"{MSH}\rPID|||||王".encode()).segments[1].get(5) == "王"


@pytest.mark.parametrize("name", ["8859/1", "GB18030"])
def test_bytes_that_are_utf_8_and_are_named_otherwise_are_flagged(name: str) -> None:
    assert Message.read(f"{MSH}||||||{name}\rPID|||||王建".encode(), "utf-8").flags == ["charset_doubtful"]
    assert Message.read(f"{MSH}||||||GB18030\rPID|||||王建国".encode("gb18030"), "utf-8").flags == []


def test_an_unknown_character_set_does_no_harm_to_ascii() -> None:
    message = read(f"{MSH}||||||KLINGON", "PID|1")
    assert message.flags == ["unknown_charset"]


@pytest.mark.parametrize("encoding", ["^~\\&", "^~\\&#", "!@$%", "\t`'\""])
def test_unusual_delimiters_are_taken(encoding: str) -> None:
    assert read_header(f"MSH|{encoding}|EMR|\r".encode(), "utf-8").fault == ""


@pytest.mark.parametrize(
    ("encoding", "parts", "text"),
    [
        ("^", ["a~b", ""], "x&y\\T\\"),
        ("^~", ["a", "b"], "x&y\\T\\"),
        ("^~\\", ["a", "b"], "x&y&"),
        ("^~\\&", ["a", "b"], "x"),
    ],
)
def test_delimiters_that_are_left_out_do_not_exist(encoding: str, parts: list[str], text: str) -> None:
    message = read(MSH.replace("^~\\&", encoding, 1), "PID|1||a~b|x&y\\T\\")
    repetitions = [*message.segments[1].repetitions(3), ""]
    assert (repetitions[:2], message.segments[1].get(4)) == (parts, text)
    assert (message.flags, message.delimiters.encoding, message.header.type) == ([], encoding, "ADT^A01")


@pytest.mark.parametrize("encoding", ["^~\\\\&", "^~\\\\"])
def test_an_escape_character_that_is_doubled_counts_once_with_a_flag(encoding: str) -> None:
    message = read(MSH.replace("^~\\&", encoding, 1), "PID|1||a~b|x\\F\\y")
    assert (message.segments[1].get(4), message.flags) == ("x|y", ["escape_doubled"])


@pytest.mark.parametrize(
    ("written", "flags"),
    [
        ("ADT^A01 ", ["type_with_blanks"]),
        (" ADT ^ A01^ADT_A01", ["type_with_blanks"]),
        ("adt^a01", ["type_in_small_letters"]),
        ("ADT^A01^ADT_A01 ", []),
    ],
)
def test_a_type_is_compared_without_blanks_and_in_capitals(written: str, flags: list[str]) -> None:
    message = read(MSH.replace("ADT^A01", written))
    assert (message.header.type, message.flags) == ("ADT^A01", flags)


@pytest.mark.parametrize("before", ["\n", "\r\n", "\r\r", " \n", "\r\n\ufeff"])
def test_line_ends_before_msh_are_skipped_with_a_flag(before: str) -> None:
    message = read(f"{before}{MSH}", "PID|1||P1")
    assert [segment.name for segment in message.segments] == ["MSH", "PID"]
    assert message.flags == [*["byte_order_mark"] * ("\ufeff" in before), "line_ends_before_msh"]


@given(st.lists(st.sampled_from(["\r", "\n", "\r\n"]), min_size=4, max_size=4))
def test_line_ends_may_be_mixed(ends: list[str]) -> None:
    lines = [MSH, "PID|1||P1", "PV1|1|I", "ZPV|x"]
    message = Message.read("".join(line + end for line, end in zip(lines, ends, strict=True)).encode(), "utf-8")
    assert [segment.text.rstrip("\n") for segment in message.segments] == lines
    assert ("mixed_line_ends" in message.flags) >= (len(set(ends[:3])) > 1)
    assert ("mixed_line_ends" in message.flags) <= (len(set(ends)) > 1)


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
