"""A set of codes as a person changed it: what may be recorded."""

import re
from collections.abc import Iterator

from hisbus_bus.flow.review.errors import BadCodes
from hisbus_schemas import Coded, CodedEntry

FORMS = {
    "diagnosis": re.compile(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Zx]{1,9})?[*+\u2020]?"),
    "operation": re.compile(r"[0-9]{2}(\.[0-9]{1,4}(x[0-9]{1,4})?)?|[0-9A-HJ-NP-Z]{7}"),
}
"""ICD-10 with national extensions; ICD-9-CM-3 with extensions, or ICD-10-PCS."""


def check(proposed: Coded, changed: Coded | None) -> None:
    """Let a changed set pass that is well formed. What was offered is taken as it is: the site's table has it.

    Raises:
        BadCodes: it is no set of codes, a code has no known form or stands twice, or two diagnoses are principal.
    """
    if changed is None:
        raise BadCodes
    offered = set(_offered(proposed))
    named = [(_kind(entry), entry.code) for entry in changed.codes]
    if any(one not in offered and not FORMS[one[0]].fullmatch(one[1]) for one in named):
        raise BadCodes
    if len(set(named)) < len(named) or sum(entry.role == "principal" for entry in changed.codes) > 1:
        raise BadCodes


def _kind(entry: CodedEntry) -> str:
    return "operation" if entry.role == "operation" else "diagnosis"


def _offered(proposed: Coded) -> Iterator[tuple[str, str]]:
    for entry in (*proposed.codes, *proposed.candidates):
        yield from ((_kind(entry), code) for code in (entry.code, *(option.code for option in entry.alternatives)))
    yield from (("diagnosis", item.code) for item in proposed.rejected)
    for item in proposed.unmatched:
        yield from (("diagnosis", option.code) for option in item.alternatives)
