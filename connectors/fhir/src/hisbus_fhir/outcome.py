"""How a message is answered: a status and a resource of FHIR, without patient data."""

import json
from typing import Any

_TEXTS = {
    "": "The message is stored.",
    "too_large": "The message is larger than this server takes. Send it in parts.",
    "not_json": "The body is not JSON in UTF-8.",
    "name_twice": "A name stands twice in one JSON object.",
    "not_a_bundle": "The body is no Bundle.",
    "bundle_type": "Send a Bundle of type message, collection, transaction or batch.",
    "not_fhir": "The Bundle breaks the rules of FHIR R4B.",
    "retry_later": "The message could not be stored now. Send it again.",
    "unauthorized": "Send the bearer token of this connector.",
    "no_such_place": "POST Bundles to / or /Bundle.",
    "not_post": "POST is the only method.",
    "not_this_type": "Send application/fhir+json without a content encoding.",
    "bad_request": "This is not HTTP as the standard has it.",
}
_STATUS = {
    "": 200,
    "too_large": 413,
    "retry_later": 503,
    "unauthorized": 401,
    "no_such_place": 404,
    "not_post": 405,
    "not_this_type": 415,
}
_ISSUE = {
    "": "informational",
    "too_large": "too-long",
    "retry_later": "transient",
    "unauthorized": "login",
    "no_such_place": "not-found",
    "not_post": "not-supported",
    "not_this_type": "not-supported",
}


def status(code: str) -> int:
    """Return the HTTP status that says a verdict's code."""
    return _STATUS.get(code, 400)


def outcome(code: str) -> str:
    """Return an OperationOutcome that says a verdict's code, JSON."""
    issue: dict[str, Any] = {
        "severity": "error" if code else "information",
        "code": _ISSUE.get(code, "invalid"),
        "diagnostics": _TEXTS.get(code, "The message is refused."),
    }
    if code:
        issue["details"] = {"coding": [{"system": "urn:hisbus:refusal", "code": code}]}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]})


def answer(type: str, entries: int) -> str:
    """Return what the sender of a stored transaction or batch expects, entry by entry, JSON; empty: of another bundle.

    Args:
        type: of the bundle.
        entries: how many it has.
    """
    if type not in ("transaction", "batch"):
        return ""
    entry = [{"response": {"status": "202 Accepted"}}] * entries
    return json.dumps({"resourceType": "Bundle", "type": f"{type}-response"} | ({"entry": entry} if entry else {}))
