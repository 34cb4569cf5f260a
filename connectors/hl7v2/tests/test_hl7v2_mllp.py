"""The MLLP codec: any pieces, any habits of senders, never a merged or truncated message."""

from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hisbus_hl7v2.mllp import HEAD_BYTES, Decoder, Frame, encode


def allowed(body: bytes) -> bool:
    return b"\x0b" not in body and b"\x1c\r" not in body and not body.endswith(b"\x1c")


BODIES = st.lists(
    st.one_of(st.binary(max_size=40), st.lists(st.sampled_from([b"\x1c", b"\r", b"A", b"\n"])).map(b"".join)).filter(
        allowed
    ),
    max_size=6,
)
NOISE = st.lists(st.sampled_from([b"", b"\n", b"\r\n", b"\0", b"\x1c\r", b"noise"]), min_size=7, max_size=7)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(stream) + 1) for cut in cuts} | {0, len(stream)})
    return [stream[begin:end] for begin, end in pairwise(ends)]


def decode(
    stream: bytes, cuts: list[int] | None = None, max_bytes: int = 1000, end: Literal["FS CR", "FS"] = "FS CR"
) -> tuple[list[Frame], Decoder]:
    decoder = Decoder(max_bytes, end)
    frames = [frame for piece in pieces(stream, cuts or []) for frame in decoder.feed(piece)]
    if (last := decoder.finish()) is not None:
        frames.append(last)
    return frames, decoder


@given(BODIES, NOISE, st.lists(st.integers(0, 10_000), max_size=30))
@settings(max_examples=150, deadline=None)
def test_any_pieces_of_any_frames_with_anything_between_give_the_same_messages(
    bodies: list[bytes], noise: list[bytes], cuts: list[int]
) -> None:
    stream = noise[0] + b"".join(encode(body) + gap for body, gap in zip(bodies, noise[1:], strict=False))
    frames, decoder = decode(stream, cuts)
    assert [frame.body for frame in frames] == bodies
    assert not any(frame.fault for frame in frames)
    assert decoder.discarded == len(stream) - sum(len(body) + 3 for body in bodies)


@given(
    st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\n", b"AB"]), max_size=60),
    st.sampled_from(["FS CR", "FS"]),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_any_stream_means_the_same_in_any_pieces(parts: list[bytes], end: Any, data: st.DataObject) -> None:
    stream = b"".join(parts)
    whole, _ = decode(stream, max_bytes=8, end=end)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    assert decode(stream, cuts, max_bytes=8, end=end)[0] == whole
    assert decode(stream, list(range(len(stream))), max_bytes=8, end=end)[0] == whole


@given(
    BODIES, st.lists(st.sampled_from([b"\x1c", b"\x1c\r"]), min_size=6, max_size=6), st.lists(st.integers(0, 10_000))
)
@settings(max_examples=150, deadline=None)
def test_where_fs_alone_ends_a_frame_a_cr_behind_it_is_part_of_the_end(
    bodies: list[bytes], ends: list[bytes], cuts: list[int]
) -> None:
    bodies = [body.replace(b"\x1c", b"") for body in bodies]
    stream = b"".join(b"\x0b" + body + end for body, end in zip(bodies, ends, strict=False))
    frames, decoder = decode(stream, cuts, end="FS")
    assert [(frame.body, frame.fault, frame.flags) for frame in frames] == [(body, "", ()) for body in bodies]
    assert decoder.discarded == 0


def test_where_fs_alone_ends_a_frame_it_is_there_at_once() -> None:
    decoder = Decoder(1000, "FS")
    assert [frame.body for frame in decoder.feed(b"\x0bone\x1c")] == [b"one"]
    assert [frame.body for frame in decoder.feed(b"\r\x0btwo\x1c")] == [b"two"]
    assert not decoder.inside and not decoder.discarded


@pytest.mark.parametrize(("body", "keeps"), [(b"", True), (b"\r\n", True), (b"\0", True), (b"x", False)])
def test_an_empty_frame_only_keeps_a_connection_alive(body: bytes, keeps: bool) -> None:
    (frame,), _ = decode(b"\x0b" + body + b"\x1c\r")
    assert frame.keeps_alive is keeps
    assert not Frame(body, 0, "truncated").keeps_alive


def test_several_frames_in_one_piece_come_in_order() -> None:
    frames, _ = decode(encode(b"one") + encode(b"two") + encode(b"three"))
    assert [frame.body for frame in frames] == [b"one", b"two", b"three"]


def test_a_frame_split_at_every_byte_is_one_message() -> None:
    body = "MSH|^~\\&|王建国".encode("gb18030")
    frames, _ = decode(encode(body), list(range(100)))
    assert [frame.body for frame in frames] == [body]


def test_fs_without_cr_before_the_next_vt_ends_the_frame_with_a_warning() -> None:
    frames, _ = decode(b"\x0bone\x1c\x0btwo\x1c\r")
    assert [(frame.body, frame.fault, frame.flags) for frame in frames] == [
        (b"one", "", ("missing_cr",)),
        (b"two", "", ()),
    ]


@pytest.mark.parametrize("filler", [b"\n", b"\0", b"\r\n"])
def test_habitual_bytes_between_frames_are_skipped_with_a_warning(filler: bytes) -> None:
    frames, decoder = decode(encode(b"one") + filler + encode(b"two"))
    assert [(frame.body, frame.flags) for frame in frames] == [(b"one", ()), (b"two", ("bytes_between_frames",))]
    assert decoder.discarded == len(filler)


def test_bytes_before_a_frame_are_discarded_and_counted() -> None:
    frames, decoder = decode(b"MSH|lost\r" + encode(b"one"))
    assert [(frame.body, frame.flags, frame.position) for frame in frames] == [(b"one", ("bytes_before_frame",), 10)]
    assert decoder.discarded == 9


def test_without_any_vt_there_is_no_message() -> None:
    frames, decoder = decode(b"MSH|^~\\&|never framed\r\x1c\r")
    assert frames == []
    assert decoder.discarded == 24


@pytest.mark.parametrize("tail", [b"", b"\x1c"])
def test_a_frame_cut_off_by_the_end_of_the_stream_is_never_a_message(tail: bytes) -> None:
    frames, _ = decode(b"\x0bMSH|cut" + tail)
    assert [frame.fault for frame in frames] == ["truncated"]


def test_vt_inside_a_frame_means_that_its_end_was_lost() -> None:
    frames, _ = decode(b"\x0bMSH|lost\x0bMSH|next\x1c\r")
    assert [(frame.body, frame.fault) for frame in frames] == [(b"MSH|lost", "lost_end"), (b"MSH|next", "")]


def test_a_lone_fs_belongs_to_the_body() -> None:
    frames, _ = decode(b"\x0bone\x1ctwo\x1c\x1c\r")
    assert [frame.body for frame in frames] == [b"one\x1ctwo\x1c"]


@pytest.mark.parametrize("stream", [b"\x0b\x0bone\x1c\r\x1c\r", b"\x0b\x0bone\x1c\x1c\r", b"\x0b\x0bone\x1c\r"])
def test_double_framing_is_stripped_once_with_a_warning(stream: bytes) -> None:
    frames, _ = decode(stream)
    assert [(frame.body, frame.flags) for frame in frames] == [(b"one", ("double_framing",))]


def test_a_body_over_the_cap_ends_the_stream_and_keeps_only_its_head() -> None:
    cap = 2 * HEAD_BYTES
    decoder = Decoder(cap)
    frames = decoder.feed(b"\x0b" + b"x" * (cap + 1))
    assert [(frame.fault, len(frame.body)) for frame in frames] == [("too_large", HEAD_BYTES)]
    assert decoder.size == 0
    assert decoder.feed(b"x" * 1000 + encode(b"next")) == []
    assert decoder.size == 0


def test_a_body_at_the_cap_is_taken() -> None:
    frames, _ = decode(encode(b"x" * 1000), max_bytes=1000)
    assert [frame.fault for frame in frames] == [""]


@pytest.mark.parametrize("body", [b"a\x0bb", b"a\x1c\rb", b"a\x1c"])
def test_nothing_is_framed_that_would_break_its_frame(body: bytes) -> None:
    with pytest.raises(ValueError, match="control bytes"):
        encode(body)


@pytest.mark.parametrize("filling", [b"QUJD", b"\x1c", b"\x1c\x1c\n"], ids=["text", "FS", "FS everywhere"])
def test_the_work_grows_with_the_size_alone(filling: bytes) -> None:
    """Counted in looks at the buffer, not in seconds: every byte is looked at a fixed number of times."""

    class Counted(bytearray):
        looked = 0

        def find(self, what: Any, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
            found = super().find(what, start, len(self) if end is None else end)
            Counted.looked += (len(self) if found < 0 else found) - start
            return found

    def looks(size: int) -> int:
        Counted.looked = 0
        decoder = Decoder(2 * size)
        decoder._buffer = Counted()
        stream = encode(filling * (size // len(filling)) + b"x")
        frames = [
            frame for begin in range(0, len(stream), 4096) for frame in decoder.feed(stream[begin : begin + 4096])
        ]
        assert [len(frame.body) for frame in frames] == [len(stream) - 3]
        return Counted.looked

    assert looks(400_000) < 2.1 * looks(200_000)
    assert looks(400_000) < 4 * 400_000
