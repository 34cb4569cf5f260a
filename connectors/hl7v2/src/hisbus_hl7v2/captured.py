"""Files of captured messages."""

from hisbus_hl7v2.batch import messages
from hisbus_hl7v2.mllp import VT, Decoder


def split(file: bytes) -> list[bytes]:
    """Return the messages of a file, in their order.

    It holds MLLP frames as they were captured, or messages one behind the other, with empty lines between them or not
    and any line ends. A batch in it is its messages.
    """
    if VT in file:
        bodies = [frame.body for frame in Decoder(len(file)).feed(file) if not frame.keeps_alive]
        return [message for body in bodies for message in messages(body)]
    blocks = file.replace(b"\r\n", b"\n").split(b"\n\n")
    bodies = [block.strip(b"\r\n").replace(b"\n", b"\r") + b"\r" for block in blocks if block.strip()]
    return [message for body in bodies for message in messages(body, several=True)]
