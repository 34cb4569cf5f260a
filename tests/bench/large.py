"""A message with a document of 5, 10 and 20 MiB: from its first byte to its acknowledgement, beside the floor."""

import base64
import socket
import time
from collections.abc import Iterator
from random import Random

from tests.bench.figures import MIBS, Figure, compared
from tests.bench.intake import floor_kafka
from tests.bench.processes import BenchError, wait_until
from tests.bench.sites import Running, Site

RUNS = 5
MIB = 1024 * 1024


def large_messages(running: Running, floor_site: Site) -> Iterator[Figure]:
    """Measure on a site that runs."""
    ours: dict[int, list[float]] = {}
    floors: dict[int, list[float]] = {}
    with floor_kafka(floor_site) as floor:
        for turn in range(RUNS):
            for mib in MIBS:
                frame = document(f"large-{mib}-{turn}", mib)
                floors.setdefault(mib, []).append(_seconds(floor.port, frame))
                ours.setdefault(mib, []).append(_seconds(running.site.mllp, frame))
                wait_until(lambda: not any(running.site.lag().values()), "The end of a large message")
    for mib in MIBS:
        yield compared(f"large_message_{mib}mib_s", "s", ours[mib], floors[mib])


def document(name: str, mib: int) -> bytes:
    """Return a framed MDM^T02 with one embedded PDF that makes it as large as said."""
    head = (
        f"MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302080000+0800||MDM^T02^MDM_T02|{name}|P|2.5||||||UNICODE UTF-8\r"
        f"EVN||20260302080000+0800\rPID|1||{name}^^^HOSP^MR||MUSTER^A||19500101|M\r"
        f"PV1|1|I|W1^101^1^HOSP|||||||||||||||||{name}^^^HOSP\r"
        f"TXA|1|C0038^note|ED|20260302080000+0800|||||D1^A^B|||{name}-D|||||AU||AV\r"
        "OBX|1|ED|PDF^scan||^application^pdf^Base64^"
    ).encode()
    tail = b"||||||F\r"
    room = mib * MIB - len(head) - len(tail)
    pdf = base64.b64encode(Random(name).randbytes(room // 4 * 3))
    return b"\x0b" + head + pdf + tail + b"\x1c\r"


def _seconds(port: int, frame: bytes) -> float:
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(frame)
        answer = b""
        while not answer.endswith(b"\x1c\r"):
            answer += connection.recv(65536)
    if b"\rMSA|AA|" not in answer:
        raise BenchError("A large message was refused.")
    return time.monotonic() - begun
