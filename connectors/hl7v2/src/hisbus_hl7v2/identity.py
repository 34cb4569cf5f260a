"""The identity of a message: the same for every copy of it, whenever it was sent."""

import hashlib

from hisbus_hl7v2.message import Header


def message_id(connector: str, body: bytes, header: Header) -> str:
    """Return SHA-256 (hex) of the connector's name and the body as received, MSH-7 and MSH-13 blanked.

    Those two, the time of sending and the sequence number, are what a sender renews when it sends a message again.
    """
    digest = hashlib.sha256(connector.encode() + b"\0")
    if header.fields:
        fields = header.fields.copy()
        for number in (7, 13):
            if number < len(fields):
                fields[number] = ""
        separator = fields[1]
        digest.update(body[: header.begin])
        digest.update((fields[0] + separator + separator.join(fields[2:])).encode(header.encoding))
        digest.update(body[header.end :])
    else:
        digest.update(body)
    return digest.hexdigest()
