"""Batches: several messages between FHS, BHS, BTS and FTS, answered with a batch of acknowledgements."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hisbus_hl7v2.ack import line
from hisbus_hl7v2.conversation import Reply, Then
from hisbus_hl7v2.message import Header, beginning, read_header
from hisbus_hl7v2.mllp import Frame

_PARTS = re.compile(rb"(?:\A|(?<=[\r\n]))(?=(?:FHS|BHS|MSH|BTS|FTS)(?:[^A-Za-z0-9]|\Z))")
"""Where a message, or what is around it, begins. No character set that MLLP can frame has CR or LF in a character."""

_AROUND = (b"FHS", b"BHS", b"BTS", b"FTS")


@dataclass(frozen=True, slots=True)
class Batch:
    """A frame that holds messages in batches."""

    file: Header | None
    """FHS, as far as it can be read."""
    heads: Sequence[Header | None]
    """BHS of each batch; None where messages stand before any."""
    frames: Sequence[Frame]
    """The messages, each as if it had come by itself."""
    places: Sequence[int]
    """In which batch each of them stands."""

    def reply(self, replies: Sequence[Reply], at: str) -> Reply:
        """Join what is answered to each message.

        Args:
            replies: to the messages, in their order.
            at: when it is answered, as HL7 writes it.
        """
        body = b""
        for place, head in enumerate(self.heads):
            answers = [
                reply.body
                for reply, its in zip(replies, self.places, strict=True)
                if its == place and reply.body is not None
            ]
            text = b"".join(answers)
            body += text if head is None else _begin("BHS", head, at) + text + _end("BTS", head, len(answers))
        if self.file is not None:
            count = sum(head is not None for head in self.heads)
            body = _begin("FHS", self.file, at) + body + _end("FTS", self.file, count)
        refused = next((reply for reply in replies if reply.code), None)
        then: Then = next((reply.then for reply in replies if reply.then != "go_on"), "go_on")
        wanted = not replies or any(reply.body is not None for reply in replies)
        message = refused or next(iter(replies), None)
        return Reply(
            body if wanted else None, refused.code if refused else "", message.message if message else "", then
        )


def read_batch(frame: Frame, codec: str) -> Batch | None:
    """Return the messages of a frame that begins like a batch; None where it does not, or is no whole frame."""
    if frame.fault or not frame.body.startswith((b"FHS", b"BHS"), beginning(frame.body)):
        return None
    parts = list(_parts(frame.body))
    if not parts or _read(parts[0], codec).fault:
        return None  # said of it as of any other noise
    file: Header | None = None
    heads: list[Header | None] = []
    frames, places = [], []
    for part in parts:
        name = part[:3]
        if name == b"FHS":
            file = _read(part, codec)
        elif name == b"BHS":
            heads.append(_read(part, codec))
        elif name == b"MSH":
            heads = heads or [None]
            frames.append(Frame(part, frame.position, "", (*frame.flags, "in_batch")))
            places.append(len(heads) - 1)
    return Batch(file, heads, frames, places)


def messages(body: bytes, *, several: bool = False) -> list[bytes]:
    """Return the messages of a batch, or of a part of one; the body itself where it is neither.

    Args:
        body: of a frame, or what stands between two empty lines of a file.
        several: whether it may also be several messages, one behind the other.
    """
    parts = list(_parts(body))
    found = [part for part in parts if part.startswith(b"MSH")]
    if any(part.startswith(_AROUND) for part in parts) or (several and len(found) > 1):
        return found
    return [body]


def _parts(body: bytes) -> Iterator[bytes]:
    """Yield each message and each segment around it, with what follows up to the next."""
    body = body[beginning(body) :]
    begins = [match.start() for match in _PARTS.finditer(body)]
    for begin, end in pairwise([*begins, len(body)]):
        yield body[begin:end]


def _read(part: bytes, codec: str) -> Header:
    """Read FHS or BHS, whose first fields are those of MSH."""
    return read_header(b"MSH" + part[3:], codec)


def _begin(name: str, sent: Header, at: str) -> bytes:
    """Return FHS or BHS of an answer, which names what it answers in its field 12."""
    get = sent.get
    fields = [name, sent.delimiters.encoding, get(5), get(6), get(3), get(4), at, "", "", "", "", get(11)]
    return line(fields, sent.delimiters.field).encode(sent.encoding)


def _end(name: str, sent: Header, count: int) -> bytes:
    """Return BTS or FTS of an answer: how many it holds."""
    return line([name, str(count)], sent.delimiters.field).encode(sent.encoding)
