"""The hospital's receiving side: takes write-backs, counts their effects, and misbehaves on request."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Self, get_args

from hisbus_hl7v2.mllp import Decoder, encode
from hisbus_simulator.speech import CHARSETS

_MAX_BYTES = 32 * 1024 * 1024
_UNESCAPED = {"F": "|", "S": "^", "R": "~", "E": "\\", "T": "&", ".br": "\n"}

Manner = Literal["accept", "slow", "nak", "refuse", "silent", "apply_silent", "apply_close", "wrong_msa2", "half_close"]
MANNERS: tuple[Manner, ...] = get_args(Manner)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one message is treated.

    - ``accept``: filed, AA. ``slow``: the same, after some seconds.
    - ``nak``: AE. ``refuse``: AR. ``silent``: no answer. ``half_close``: our side is closed, theirs read on.
      None of them files it.
    - ``apply_silent``: filed, no answer. ``apply_close``: filed, then the connection is closed without an answer.
    - ``wrong_msa2``: filed, and acknowledged under another control id.
    """

    manner: Manner = "accept"
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``nak`` or ``slow:2.5``.

        Raises:
            ValueError: there is no such behaviour.
        """
        manner, _, seconds = text.partition(":")
        if manner not in MANNERS:
            raise ValueError(f"no behaviour {manner!r}; choose among {', '.join(MANNERS)}")
        return cls(manner, float(seconds or (2 if manner == "slow" else 0)))


@dataclass(frozen=True, slots=True)
class WrittenBack:
    """A document that came back."""

    number: str
    """TXA-12."""
    control_id: str
    patient: str
    visit: str
    type: str
    completion: str
    availability: str
    receiver: str
    """MSH-5."""
    name: tuple[str, str]
    """Family and given name."""
    number_type: str
    """PID-3.5."""
    lines: tuple[str, ...]


class His:
    """An MLLP server for write-backs. Use it as an asynchronous context manager."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, behaviours: Iterable[Behaviour] = ()) -> None:
        """Take the address (port 0: any free one) and how the first messages are treated; the rest is accepted."""
        self._host, self._port = host, port
        self.behaviours = list(behaviours)
        self.documents: dict[str, WrittenBack] = {}
        """By TXA-12, as last filed."""
        self.effects: Counter[str] = Counter()
        """How many times a document took effect, by TXA-12."""
        self.effects_by_control_id: Counter[str] = Counter()
        self.received: list[str] = []
        """MSH-10 of everything that arrived, filed or not."""
        self.unreadable = 0
        self.acknowledged: Counter[str] = Counter()
        """How many times a document was rightly acknowledged, by TXA-12."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers = 0
        self._changed = asyncio.Condition()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self._host, self._port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something holds; it is looked at after each message."""
        async with self._changed:
            await self._changed.wait_for(true)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._attend(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = Decoder(_MAX_BYTES)
        try:
            while not writer.is_closing() and (data := await reader.read(64 * 1024)):
                for frame in decoder.feed(data):
                    if not frame.fault and not writer.is_closing():
                        await self._take(frame.body, writer)
        except ConnectionError:
            return  # the bus went away: what was filed stays filed
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _take(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            document = read(body)
        except ValueError:
            self.unreadable += 1
            await self._answer(writer, "AR", "")
            return
        self.received.append(document.control_id)
        try:
            await self._treat(document, writer)
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def _treat(self, document: WrittenBack, writer: asyncio.StreamWriter) -> None:
        behaviour = self.behaviours.pop(0) if self.behaviours else Behaviour()
        await asyncio.sleep(behaviour.seconds)
        match behaviour.manner:
            case "accept" | "slow":
                self._file(document)
                await self._answer(writer, "AA", document.control_id)
                self.acknowledged[document.number] += 1
            case "nak":
                await self._answer(writer, "AE", document.control_id)
            case "refuse":
                await self._answer(writer, "AR", document.control_id)
            case "silent":
                pass
            case "half_close":
                writer.write_eof()
            case "apply_silent":
                self._file(document)
            case "apply_close":
                self._file(document)
                writer.close()
            case "wrong_msa2":
                self._file(document)
                await self._answer(writer, "AA", f"{document.control_id}-other")

    def _file(self, document: WrittenBack) -> None:
        self.documents[document.number] = document
        self.effects[document.number] += 1
        self.effects_by_control_id[document.control_id] += 1

    async def _answer(self, writer: asyncio.StreamWriter, code: str, control_id: str) -> None:
        self._answers += 1
        header = f"MSH|^~\\&|EMR|HOSP|HISBUS|QC|||ACK^T02^ACK|ACK{self._answers}|P|2.5||||||UNICODE UTF-8"
        writer.write(encode(f"{header}\rMSA|{code}|{control_id}\r".encode()))
        await writer.drain()


def read(body: bytes) -> WrittenBack:
    """Read an MDM^T02 with HL7's usual delimiters, by the character set that MSH-18 names.

    Raises:
        ValueError: it is not HL7 in that character set.
    """
    header = body.split(b"\r", 1)[0].split(b"|")
    if header[0] != b"MSH" or len(header) < 10:
        raise ValueError("not a message")
    named = header[17].decode("ascii") if len(header) > 17 else ""
    segments = [line.split("|") for line in body.decode(CHARSETS.get(named, "utf-8")).split("\r") if line]

    def field(name: str, position: int, component: int = 1) -> str:
        segment = next((segment for segment in segments if segment[0] == name), [])
        value = segment[position] if len(segment) > position else ""
        return _unescape((value.split("~")[0].split("^") + [""] * component)[component - 1])

    return WrittenBack(
        number=field("TXA", 12),
        control_id=header[9].decode(CHARSETS.get(named, "utf-8")),
        patient=field("PID", 3),
        visit=field("PV1", 19),
        type=field("TXA", 2),
        completion=field("TXA", 17),
        availability=field("TXA", 19),
        receiver=field("MSH", 4),  # MSH-1 is the separator, so all behind it stand one further on
        name=(field("PID", 5), field("PID", 5, 2)),
        number_type=field("PID", 3, 5),
        lines=tuple(_unescape(segment[5]) for segment in segments if segment[0] == "OBX" and len(segment) > 5),
    )


def _unescape(text: str) -> str:
    parts = text.split("\\")
    return "".join(_UNESCAPED.get(part, "") if n % 2 else part for n, part in enumerate(parts))
