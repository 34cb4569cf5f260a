"""A set of codes as a person changed it: what may be recorded."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from hisbus.errors import ConfigError
from hisbus.terms import opened
from hisbus_bus.flow.review.errors import BadCodes, NoPrincipal, UnknownSystem
from hisbus_schemas import Coded, CodedEntry

FORMS = {
    "diagnosis": re.compile(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Zx]{1,9})?[*+\u2020]?"),
    "operation": re.compile(r"[0-9]{2}(\.[0-9]{1,4}(x[0-9]{1,4})?)?|[0-9A-HJ-NP-Z]{7}"),
}
"""ICD-10 with national extensions; ICD-9-CM-3 with extensions, or ICD-10-PCS."""


_WITH_PRINCIPAL = frozenset({"", "front_page", "settlement"})
"""Purposes of sets that name the principal diagnosis."""


def systems(terms: Path) -> frozenset[str]:
    """Return the code systems that the site has a table of; none where the file of them cannot be read."""
    try:
        loaded = opened(terms)
    except ConfigError:
        return frozenset()
    return frozenset(one.system for one in loaded.releases()) if loaded else frozenset()


def check(proposed: Coded, changed: Coded | None, loaded: Collection[str]) -> None:
    """Let a changed set pass that is well formed. What was offered is taken as it is: the site's table has it.

    Args:
        proposed: what the agent said.
        changed: what a person made of it; None: no set of codes.
        loaded: the code systems that the site has a table of, beside those of what was proposed.

    Raises:
        BadCodes: it is no set of codes, a code has no known form or stands twice, or two diagnoses are principal.
        UnknownSystem: a code is of a system that the site has no table of.
        NoPrincipal: diagnoses were left without the principal one.
    """
    if changed is None:
        raise BadCodes
    offered = set(_offered(proposed))
    named = [(_kind(entry), entry.code) for entry in changed.codes]
    if any(one not in offered and not FORMS[one[0]].fullmatch(one[1]) for one in named):
        raise BadCodes
    principal = sum(entry.role == "principal" for entry in changed.codes)
    if len(set(named)) < len(named) or principal > 1:
        raise BadCodes
    known = {"", *loaded, *(entry.system for entry in (*proposed.codes, *proposed.candidates))}
    if any(entry.system not in known for entry in changed.codes):
        raise UnknownSystem
    diagnoses = any(entry.role != "operation" for entry in changed.codes)
    if diagnoses and not principal and proposed.purpose in _WITH_PRINCIPAL:
        raise NoPrincipal


def _kind(entry: CodedEntry) -> str:
    return "operation" if entry.role == "operation" else "diagnosis"


def _offered(proposed: Coded) -> Iterator[tuple[str, str]]:
    for entry in (*proposed.codes, *proposed.candidates):
        yield from ((_kind(entry), code) for code in (entry.code, *(option.code for option in entry.alternatives)))
    yield from (("diagnosis", item.code) for item in proposed.rejected)
    for item in proposed.unmatched:
        yield from (("diagnosis", option.code) for option in item.alternatives)
