"""The message that is measured with: an ADT^A01 of 8.5 KB, each time under another control id and patient."""

from collections.abc import Iterator
from pathlib import Path

from hisbus_simulator.load import Shot

CORPUS = Path(__file__).parents[3] / "shared" / "corpora" / "hl7v2" / "ADT-A01-01.hl7"
SIZE = 8557


def template() -> bytes:
    """Return the corpus's message, or a made-up one of the same size where the corpora are not beside the checkout."""
    if not CORPUS.is_file():
        return made_up()
    return CORPUS.read_bytes().replace(b"\r\n", b"\r").replace(b"\n", b"\r")


def made_up() -> bytes:
    """Return an admission padded to the size with insurances, the longest segments of the real one."""
    head = [
        "MSH|^~\\&|ADT|HOSP|HISBUS|QC|20260302080000+0800||ADT^A01^ADT_A01|C1|P|2.8",
        "EVN||20260302080000+0800",
        "PID|1||P1^^^HOSP^MR||EVERYMAN^ADAM||19241012|M",
        "PV1|1|I|W1^101^1^HOSP||||D101^SMITH^JO|||CARD|||||||||V1^^^HOSP" + "|" * 25 + "20260302080000+0800",
    ]
    while (size := len("\r".join(head)) + 1) < SIZE:
        head.append(f"IN1|{len(head) - 3}|PLAN^A PLAN|".ljust(min(1000, SIZE - size - 1), "x"))
    return ("\r".join(head) + "\r").encode()


def parts() -> tuple[bytes, bytes, bytes]:
    """Return what stands before the control id, between it and the patient's number, and behind that."""
    header, rest = template().split(b"\r", 1)
    fields = header.split(b"|")
    before, pid, behind = rest.partition(b"\rPID|")
    columns = behind.split(b"|", 3)
    between = b"|".join([b"", *fields[10:]]) + b"\r" + before + pid + b"|".join([columns[0], columns[1], b""])
    return b"|".join([*fields[:9], b""]), between, b"^" + columns[2].partition(b"^")[2] + b"|" + columns[3]


def shots(name: str) -> Iterator[Shot]:
    """Return messages without end, all different; the name makes them different from another iterator's."""
    before, between, behind = parts()
    before, behind, number = b"\x0b" + before, behind + b"\x1c\r", 0
    while True:
        id = f"{name}-{number}"
        yield Shot(id, b"".join((before, id.encode(), between, id.encode(), behind)))
        number += 1


def body(shot: Shot) -> bytes:
    """Return the message without its framing."""
    return shot.frame[1:-2]
