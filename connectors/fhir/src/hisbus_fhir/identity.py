"""The identity of a message: the same for every copy of it, whenever it was sent."""

import hashlib
import json
from typing import Any

from hisbus import BadMessage
from hisbus_fhir.source import parsed


def identified(connector: str, body: bytes) -> tuple[str, str]:
    """Return a message's id, and the number that its sender gave it: its identifier, else its id.

    The id is SHA-256 (hex) of the connector's name and, of a bundle with a number, of what it says without the
    ``meta.lastUpdated`` that a sender renews when it sends again; of any other message of its bytes. Another content
    under the number of an earlier bundle is another message, so that it is not lost as a copy.
    """
    digest = hashlib.sha256(connector.encode() + b"\0")
    try:
        node = parsed(body)
    except BadMessage:
        node = {}
    number = _number(node)
    if number:
        meta = node.get("meta")
        if isinstance(meta, dict):
            node["meta"] = {key: value for key, value in meta.items() if key != "lastUpdated"}
        body = json.dumps(node, sort_keys=True, default=str).encode()
    digest.update(body)
    return digest.hexdigest(), number


def _number(node: dict[str, Any]) -> str:
    identifier = node.get("identifier")
    value = identifier.get("value") if isinstance(identifier, dict) else None
    number = value or node.get("id")
    return number[:200] if isinstance(number, str) else ""
