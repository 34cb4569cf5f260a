"""Files of captured messages."""

from hisbus_hl7v2.mllp import VT, Decoder


def split(file: bytes) -> list[bytes]:
    """Return the messages of a file, in their order.

    It holds MLLP frames as they were captured, or messages with an empty line between them and any line ends.
    """
    if VT in file:
        return [frame.body for frame in Decoder(len(file)).feed(file)]
    blocks = file.replace(b"\r\n", b"\n").split(b"\n\n")
    return [block.strip(b"\r\n").replace(b"\n", b"\r") + b"\r" for block in blocks if block.strip()]
