"""A scrubbed capture: its form stays, and nothing of it names anybody."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hisbus import ConfigError
from hisbus.connector import Scrubs
from hisbus.disguise import Disguise
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_hl7v2.captured import split
from hisbus_hl7v2.message import Message, Segment

ROOT = Path(__file__).parents[3]
CAPTURES = [*sorted((ROOT / "tests/cases").glob("*.hl7")), *sorted((ROOT / "../shared/corpora/hl7v2").glob("*.hl7"))]
HIS = Hl7v2Connector({"name": "his"})
SECRET = b"s" * 32
PEOPLE = {
    "PID": {2: (1,), 3: (1,), 4: (1,), 5: (1, 2, 3), 6: (1, 2), 7: (1,), 9: (1, 2), 11: (1, 3, 5), 13: (1,), 14: (1,),
            18: (1,), 19: (1,), 20: (1,), 21: (1,), 23: (1,)},
    "NK1": {2: (1, 2), 4: (1, 3, 5), 5: (1,), 16: (1,), 30: (1, 2), 31: (1,), 32: (1, 3)},
    "PV1": {5: (1,), 7: (1, 2, 3), 8: (1, 2, 3), 9: (1, 2, 3), 17: (1, 2, 3), 19: (1,), 44: (1,), 45: (1,), 50: (1,)},
    "MRG": {1: (1,), 3: (1,), 4: (1,), 5: (1,), 7: (1, 2)},
    "GT1": {2: (1,), 3: (1, 2), 5: (1, 3, 5), 6: (1,), 7: (1,), 8: (1,), 12: (1,)},
    "IN1": {3: (1,), 5: (1, 3, 5), 7: (1,), 16: (1, 2), 18: (1,), 19: (1, 3, 5), 36: (1,), 49: (1,)},
    "EVN": {2: (1,), 5: (1, 2, 3), 6: (1,)},
    "MSH": {7: (1,), 10: (1,)},
    "TXA": {4: (1,), 6: (1,), 9: (1, 2, 3), 12: (1,), 22: (1, 2, 3, 15)},
    "ORC": {2: (1,), 3: (1,), 9: (1,), 10: (1, 2, 3), 12: (1, 2, 3)},
    "OBR": {2: (1,), 3: (1,), 7: (1,), 16: (1, 2, 3), 22: (1,)},
    "PR1": {5: (1,), 11: (1, 2, 3)},
    "DG1": {5: (1,), 16: (1, 2, 3)},
    "ROL": {4: (1, 2, 3), 11: (1, 3), 12: (1,)},
}  # fmt: skip
"""Where the standard has names, numbers, phones, addresses and times."""


def form(text: str) -> str:
    """Return a text with one sign for each class of characters."""
    text = re.sub(r"\\X[0-9A-Fa-f]+\\", lambda match: "x" * len(match[0]), text)
    text = re.sub(r"[0-9]", "9", re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", text)))
    return re.sub("[\u3400-\u9fff]", "字", text)


def scrubbed(file: bytes, *keep: str, keep_text: bool = False) -> bytes:
    return HIS.scrub(file, Disguise(SECRET), keep=keep, keep_text=keep_text).file


def read(file: bytes) -> Iterator[Message]:
    for one in split(file):
        yield Message.read(one, "utf-8")


def places(segment: Segment) -> Iterator[tuple[int, int, int]]:
    """Yield field, repetition and component of all that is somebody's."""
    for number, components in PEOPLE.get(segment.name, {}).items():
        for at in range(len(segment.repetitions(number))):
            yield from ((number, at, component) for component in components)


def part(message: Message, segment: Segment, place: tuple[int, int, int]) -> str:
    number, at, component = place
    return message.part(segment.repetitions(number)[at], component)


def test_the_connector_says_that_it_can() -> None:
    assert isinstance(HIS, Scrubs)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_nothing_that_is_somebody_s_stays_and_the_form_does(path: Path) -> None:
    file = path.read_bytes()
    new = scrubbed(file)
    assert len(split(new)) == len(split(file))
    assert re.sub(rb"[^\r\n\x0b\x1c]", b"", new) == re.sub(rb"[^\r\n\x0b\x1c]", b"", file), "line ends and frames"
    for old, made in zip(read(file), read(new), strict=True):
        whole = "\r".join(segment.text for segment in made.segments)
        assert [one.name for one in old.segments] == [one.name for one in made.segments]
        for segment, other in zip(old.segments, made.segments, strict=True):
            if segment.name not in ("MSH", "OBX", "?"):
                assert form(other.text) == form(segment.text), "as long, and of the same classes"
            for place in places(segment):
                said, says = part(old, segment, place), part(made, other, place)
                if len(said) >= 3 and re.search(r"\w{3}|[\u3400-\u9fff]", said):
                    assert says != said, (segment.name, place)
                if len(said) >= (6 if said.isascii() else 2) and said.isalnum():
                    assert said not in whole, (segment.name, place)


def test_what_is_a_code_stays_and_what_nobody_knows_does_not() -> None:
    file = (
        b"MSH|^~\\&|HIS|HOSP|||20260302083000||ADT^A01|1|P|2.5\r"
        b"PID|1||P1^^^HOSP^MR||Zhang^San||19700101|M\r"
        b"PV1|1|I|W1^101^1|||||||CARD||||2\r"
        b"DG1|1||I10^Hypertension^I10\r"
        b"ZBX|1|WARD9|\r"
    )
    done = HIS.scrub(file, Disguise(SECRET), keep=[], keep_text=False)
    for kept in (b"HIS|HOSP", b"ADT^A01", b"^^^HOSP^MR", b"|M\r", b"I|W1^101^1", b"CARD", b"I10^Hypertension^I10"):
        assert kept in done.file
    assert b"WARD9" not in done.file and done.unknown["ZBX-2"] == 1
    assert done.messages == 1 and done.kept["DG1-3"] == 3
    assert b"|WARD9|" in scrubbed(file, "ZBX-2")


def test_what_one_message_joins_is_shifted_alike_and_strangers_are_not() -> None:
    def message(patient: str, visit: str, *more: str) -> str:
        head = rf"MSH|^~\&|HIS|HOSP|||20260302083000||ADT^A08|{patient}{visit}|P|2.5"
        return "\r".join([head, f"PID|1||{patient}", f"PV1|1|I{'|' * 17}{visit}", *more])

    file = "\n\n".join(
        [message("P11", "V11"), message("P22", "V22"), message("P33", "V33"), message("P11", "V99", "MRG|P22")]
    )
    times = [one.header.get(7) for one in read(scrubbed(file.replace("\r", "\n").encode()))]
    assert times[0] == times[1] == times[3] != times[2]
    numbers = [(one.first("PID").get(3), one.first("PV1").get(19)) for one in read(scrubbed(file.encode()))]  # type: ignore[union-attr]
    assert numbers[3][0] == numbers[0][0] and len({*numbers}) == 4


@pytest.mark.parametrize("type", ["NM", "ST", "TX"])
def test_a_short_number_is_a_result_and_a_long_one_may_be_somebody_s(type: str) -> None:
    head = f"MSH|^~\\&|LAB|HOSP|||20260302083000||ORU^R01|1|P|2.5\rOBX|1|{type}|K||"
    for text in ("42.9", "<5", "120/80", "1:40", "+++"):
        assert f"K||{text}|".encode() in scrubbed(f"{head}{text}|mmol/L".encode())
    for text in ("13800138000", "110101199003078515", "Li Wei"):
        assert text.encode() not in scrubbed(f"{head}{text}|".encode())


def test_texts_may_stay_without_what_fields_say_of_people() -> None:
    file = (
        "MSH|^~\\&|EMR|HOSP|||20260302083000||MDM^T02|1|P|2.5||||||UNICODE UTF-8\r"
        "OBX|1|TX|T||患者王小明，病历号P12345，2026年3月1日入院，家属电话13800138000，腹痛3天。||||||F\r"
        "PID|1||P12345^^^HOSP^MR||王^小明||19700101|M||||||||||||110101197001010011\r"
    ).encode()
    new = scrubbed(file, keep_text=True).decode()
    assert "腹痛3天。||||||F" in new and "入院，家属电话" in new
    for said in ("王小明", "小明", "P12345", "2026年3月1日", "13800138000", "110101197001010011"):
        assert said not in new
    assert "腹痛" not in scrubbed(file).decode()


def test_what_fields_say_of_people_stays_in_no_code_whatever_stands_first() -> None:
    codes = (
        "BHS|^~\\&|EMR|P8001|||20260302083000\r"
        "MSH|^~\\&|EMR|HOSP|||20260302083000||ADT^A01|1001|P|2.5||||||UNICODE UTF-8\r"
        "OBX|1|CE|1001-1^室温||X8001^令狐冲|||M\r"
        "OBX|2|CWE|ADDR||^济南市泉城路180号\r"
        "DG1|1||V8001^令狐冲^L|患者令狐冲 V8001\r"
        "OBR|1|||CBC/P8001^血常规(令狐冲)\r"
    )
    file = "FHS|^~\\&|EMR|令狐冲\r" + codes + (
        "PID|1||P8001^^^HOSP^MR||令狐^冲||19700101|M|||济南市泉城路180号\r"
        "PV1|1|I|V8001^令狐冲|||||||CARD|||||||||V8001^^^HOSP" + "|" * 32 + "V8001\r"
    )  # fmt: skip
    done = HIS.scrub(file.encode(), Disguise(SECRET), keep=[], keep_text=False)
    new = done.file.decode()
    for said in ("令狐", "冲", "济南", "泉城", "P8001", "V8001"):
        assert said not in new
    number, visit = re.findall(r"\|([A-Z][0-9]{4})\^\^\^HOSP", new)
    first, second = re.search(r"\|(..)\^(.)\|\|[0-9]{8}\|M", new).groups()  # type: ignore[union-attr]
    name, street = first + second, re.search(r"\|M\|\|\|([^\r]*)\r", new)[1]  # type: ignore[index]
    for line in (
        f"FHS|^~\\&|EMR|{name}\r",
        f"BHS|^~\\&|EMR|{number}|",
        f"|1001-1^室温||X8001^{name}|||M\r",
        f"|ADDR||^{street}\r",
        f"||{visit}^{name}^L|患者{name} {visit}\r",
        f"|CBC/{number}^血常规({name})\r",
        f"|I|{visit}^{name}|",
        f"|{visit}\r",
    ):
        assert line in new
    assert done.unknown["DG1-3"] == 2 and done.kept["DG1-3"] == 1


def test_a_name_or_number_that_is_part_of_a_longer_code_is_none() -> None:
    file = (
        b"MSH|^~\\&|HIS|HOSP|||20260302083000||ADT^A01|1|P|2.5\r"
        b"PID|1||1234^^^HOSP^MR||Chan^Card||19700101|M\r"
        b"PD1|||HOSP\r"
        b"DG1|1||51234-1^Chance^Cardiology\r"
        b"DG1|2||1234^Chan, Card\r"
    )
    new = scrubbed(file)
    assert b"51234-1^Chance^Cardiology" in new and b"HIS|HOSP" in new
    assert b"Chan," not in new and b"|1234" not in new


def test_long_numbers_and_times_are_no_codes() -> None:
    file = (
        b"MSH|^~\\&|HIS|HOSP|13800138000||20260302083000||ADT^A01|1|P|2.5\r"
        b"EVN||20260302083000||||20260302083000|20260302083000\r"
        b"PID|1||P8001||Li^Wei||19700101|M||||||||||||||||||||N|20260302\r"
        b"OBX|1|SN|X||^13800138000\r"
        b"OBX|2|SN|X||>^2.5^-^100000\r"
        b"OBX|3|CE|19010123456||19010123456\r"
    )
    done = HIS.scrub(file, Disguise(SECRET), keep=["OBX-3"], keep_text=False)
    new = done.file
    (sent, *others) = re.findall(rb"[0-9]{8}083000", new)
    assert b"20260302" not in new and others == [sent] * 3 and b"|N|" + sent[:8] + b"\r" in new
    assert b"13800138000" not in new and b">^2.5^-^100000" in new
    assert new.count(b"19010123456") == 1, "only where it is asked for"
    (phone,) = re.search(rb"HOSP\|([0-9]{11})\|", new).groups()  # type: ignore[union-attr]
    assert b"||^" + phone + b"\r" in new and done.unknown["MSH-5"] == 1


def test_what_is_known_from_another_character_set_is_replaced_by_what_can_be_written() -> None:
    def message(charset: str, codec: str, *lines: str) -> bytes:
        head = f"MSH|^~\\&|EMR|HOSP|||20260302083000||ADT^A01|1|P|2.5||||||{charset}"
        return "\r".join([head, *lines, ""]).encode(codec)

    file = message("GB 18030-2000", "gb18030", "PID|1||P1||中山^文") + message("BIG-5", "big5", "DG1|1||A1^中山")
    assert "中山".encode("big5") not in scrubbed(file) and "中山".encode("gb18030") not in scrubbed(file)


def test_a_line_feed_within_a_text_ends_no_segment() -> None:
    file = b"MSH|^~\\&|EMR|HOSP|||20260302083000||MDM^T02|1|P|2.5\rOBX|1|TX|T||Li Wei\ncame in||||||F\rTXA|1|C1"
    new = scrubbed(file)
    assert re.search(rb"\|\|[A-Z][a-z] [A-Z][a-z]{2}\n[a-z]{4} [a-z]{2}\|\|\|\|\|\|F\r", new) and b"Wei" not in new


def test_frames_batches_and_character_sets_stay() -> None:
    one = "MSH|^~\\&|EMR|HOSP|||20260302083000||ADT^A01|1|P|2.5||||||GB 18030-2000\rPID|1||P1||王^小明\r".encode(
        "gb18030"
    )
    framed = b"\x0b" + one + b"\x1c\r"
    new = scrubbed(framed * 2)
    assert len(split(new)) == 2 and new.startswith(b"\x0bMSH") and new.endswith(b"\x1c\r")
    assert "王" not in next(read(new)).segments[1].text
    batch = b"FHS|^~\\&|EMR\rBHS|^~\\&|EMR\r" + one + b"BTS|1\rFTS|1\r"
    assert scrubbed(batch).startswith(b"FHS|^~\\&|EMR\rBHS|^~\\&|EMR\rMSH")


def test_a_capture_of_which_nothing_can_be_read_is_refused() -> None:
    with pytest.raises(ConfigError):
        scrubbed("MSH|^~\\&|EMR|HOSP\rPID|1||P1||王\r".encode("utf-16"))


def test_an_escape_stays_and_characters_by_their_bytes_do_not() -> None:
    file = b"MSH|^~\\&|EMR|HOSP|||20260302083000||ADT^A01|1|P|2.5\rPID|1||P1||O\\T\\Hara\\X4C69\\^\\.br\\Mary\r"
    new = scrubbed(file)
    assert re.search(rb"\|[A-Z]\\T\\[A-Z][a-z]{3}\\X2020\\\^\\\.br\\[A-Z][a-z]{3}\r", new)
