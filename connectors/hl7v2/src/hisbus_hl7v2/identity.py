"""The identity of a message: the same for every copy of it, whenever it was sent."""

import hashlib

from hisbus_hl7v2.message import Header


def message_id(connector: str, body: bytes, header: Header) -> str:
    """Return SHA-256 (hex) of the connector's name and the body as received, MSH-7 and MSH-13 blanked.

    Those two, the time of sending and the sequence number, are what a sender renews when it sends a message again.
    """
    digest = hashlib.sha256(connector.encode() + b"\0")
    if header.fields:
        name, separator, *fields = header.fields
        for number in (5, 11):  # MSH-7 and MSH-13
            if number < len(fields):
                fields[number] = ""
        if header.begin:
            digest.update(body[: header.begin])
        digest.update(separator.join((name, *fields)).encode(header.encoding))
        digest.update(memoryview(body)[header.end :])
    else:
        digest.update(body)
    return digest.hexdigest()
