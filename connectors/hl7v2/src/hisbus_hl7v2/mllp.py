"""MLLP framing: bytes in any pieces become frames, in linear time and bounded memory.

A frame is VT, body, FS CR. A lone FS belongs to the body, unless VT follows: then only the CR was forgotten. Where a
sender leaves it out and waits for the answer, each FS ends a frame.
"""

from typing import Literal, NamedTuple

VT = 0x0B
FS = 0x1C
CR = 0x0D

HEAD_BYTES = 64 * 1024
"""How much of a frame over the cap is kept."""

_FILLER = b"\x00\n\r\x1c"
"""What senders leave between frames by habit."""

Fault = Literal["", "too_large", "lost_end", "truncated", "frame_timeout"]


class Frame(NamedTuple):
    """One frame, or what there was of it."""

    body: bytes
    """Without its framing; cut at ``HEAD_BYTES`` when over the cap."""
    position: int
    """Where the body began in the connection's stream."""
    fault: Fault = ""
    """Empty: complete. ``lost_end``: another frame began inside it. ``truncated``: the stream ended inside it.
    ``frame_timeout``: its end did not come in time."""
    flags: tuple[str, ...] = ()
    """``missing_cr``, ``bytes_between_frames``, ``bytes_before_frame``, ``double_framing``."""

    @property
    def keeps_alive(self) -> bool:
        """Tell whether it is a whole frame and holds nothing, as some engines send to see whether we are there."""
        return not self.fault and not self.body.strip(_FILLER)


def encode(body: bytes) -> bytes:
    """Return the body framed.

    Raises:
        ValueError: the body holds what ends or begins a frame.
    """
    if VT in body or b"\x1c\r" in body or body.endswith(b"\x1c"):
        raise ValueError("the body holds MLLP control bytes")
    return b"\x0b" + body + b"\x1c\r"


class Decoder:
    """Finds the frames in one connection's stream. Feeding it in other pieces gives the same frames."""

    def __init__(self, max_bytes: int, end: Literal["FS CR", "FS"] = "FS CR") -> None:
        self._max = max_bytes
        self._lone = end == "FS"
        """Whether FS alone ends a frame; a CR behind it is part of the end."""
        self._ended = False
        """Whether such a frame has just ended, and its CR may follow."""
        self._buffer = bytearray()
        self._open = False
        self._scanned = 0
        self._position = 0
        self._flags: list[str] = []
        self.over = False
        """A frame was over the cap or given up: the rest of the stream is ignored, for where it ends is not known."""
        self.discarded = 0
        """Bytes outside of frames so far."""

    @property
    def inside(self) -> bool:
        """Tell whether a frame has begun and not ended."""
        return self._open

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes in and return what they complete."""
        if self._is_one_frame(data):
            self._position += len(data)
            return [Frame(data[1:-2], self._position - len(data) + 1)]
        frames: list[Frame] = []
        if not self.over:
            self._buffer += data
        while not self.over and (self._open or self._enter()):
            frame = self._leave()
            if frame is None:
                break
            frames.append(frame)
        return frames

    def finish(self, fault: Fault = "truncated") -> Frame | None:
        """Give up the open frame and return what there is of it, if any. It is never a message.

        The rest of the stream is ignored then, as after a frame over the cap.
        """
        if not self._open or self.over or not self._buffer:
            return None
        frame = self._frame(len(self._buffer), len(self._buffer), fault)
        self._open = False
        self.over = True
        return frame

    def _is_one_frame(self, data: bytes) -> bool:
        """Tell whether these bytes are a frame and nothing else, which nearly all are; then nothing is copied twice."""
        return (
            not (self._open or self._buffer or self._flags or self.over or self._lone)
            and data[:1] == b"\x0b"
            and data.find(FS) == len(data) - 2
            and data[-1] == CR
            and data.find(VT, 1) < 0
            and len(data) - 3 <= self._max
        )

    def _enter(self) -> bool:
        """Skip to the next VT and step behind it."""
        if self._ended and self._buffer:
            self._ended = False
            self._drop(1 if self._buffer[0] == CR else 0)
        start = self._buffer.find(VT)
        noise = bytes(self._buffer) if start < 0 else bytes(self._buffer[:start])
        if noise:
            self.discarded += len(noise)
            if noise.strip(_FILLER):
                self._flags = ["bytes_before_frame"]
            elif not self._flags:
                self._flags = ["bytes_between_frames"]
        self._drop(len(noise) if start < 0 else start + 1)
        self._open = start >= 0
        return self._open

    def _leave(self) -> Frame | None:
        """Return the open frame if its end is here."""
        buffer = self._buffer
        while buffer and buffer[0] == VT:  # only right behind the VT: framed twice
            self._flag("double_framing")
            self._drop(1)
        at, length, ending = self._end()
        if at < 0:
            # A last FS may be half of the end, so it does not count yet.
            at = len(buffer) - (1 if buffer and buffer[-1] == FS else 0)
            self._scanned = at
            if at <= self._max:
                return None
        if at > self._max:
            self.over = True
            return self._frame(min(self._max, HEAD_BYTES), len(buffer), "too_large")
        if ending == "missing_cr":
            self._flag(ending)
        # Both endings but the regular one have taken the next frame's VT with them.
        frame = self._frame(at, at + length, "lost_end" if ending == "lost_end" else "")
        self._open = ending != ""
        return frame

    def _end(self) -> tuple[int, int, Literal["", "missing_cr", "lost_end"]]:
        """Return where the open frame ends, how long its end is, and what is wrong with that; -1: not here."""
        buffer, begin = self._buffer, self._scanned
        stop = buffer.find(VT, begin)
        limit = len(buffer) if stop < 0 else stop
        end = buffer.find(FS, begin, limit)
        if end >= 0 and self._lone:
            self._ended = True
            return end, 1, ""
        if end >= 0 and buffer[end + 1 : end + 2] != b"\r":
            end = buffer.find(b"\x1c\r", end, limit)  # ten times as slow as looking for one byte
        if end >= 0:
            return end, 2, ""
        if stop < 0:
            return -1, 0, ""
        if stop > 0 and buffer[stop - 1] == FS:
            return stop - 1, 2, "missing_cr"
        return stop, 1, "lost_end"

    def _frame(self, size: int, consumed: int, fault: Fault) -> Frame:
        with memoryview(self._buffer) as view:
            body = bytes(view[:size])
        if "double_framing" in self._flags:
            body = body.removesuffix(b"\x1c")
        frame = Frame(body, self._position, fault, tuple(self._flags))
        self._flags.clear()
        self._drop(consumed)
        return frame

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._position += count
        self._scanned = 0

    def _flag(self, flag: str) -> None:
        if flag not in self._flags:
            self._flags.append(flag)
