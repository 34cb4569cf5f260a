"""What a page calls changes, parts of the site, and who acted: in the reader's words, not as they are stored."""

from collections.abc import Mapping, Sequence
from typing import Any

from hisbus_bus.host.needs import OTHER, WHAT
from hisbus_schemas import bare

Words = Mapping[str, Any]
"""The texts of one language."""
_CALLED = frozenset({"document", "field", "section", "vital"})
"""Kinds of items whose codes the texts have names for."""


def change(status: str, t: Words) -> str:
    """Return what happened to a proposal: ``accepted``, ``undone``, ``writeback.applied`` ...."""
    area, _, name = status.rpartition(".")
    if area == "writeback":
        return str(t["receipt"].get(name, status))
    return str(t["history"].get(status) or t["status"].get(status, status))


def items(names: Sequence[str], t: Words, lang: str) -> dict[str, str]:
    """Return what items are, each with its name: ``document:C0026`` ...; what is called the same stands once."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(_item(name, t, lang), name)
    return found


def _item(name: str, t: Words, lang: str) -> str:
    kind, _, code = bare(name).partition(":")
    what = str(getattr(WHAT.get(kind, OTHER), lang))
    known = t[kind].get(code) if kind in _CALLED else None
    return str(known or f"{what} {code}".strip())


def step(name: str, t: Words) -> str:
    """Return a step; one agent's with its name: ``dispatch.qc``."""
    first, _, agent = name.partition(".")
    return f"{t['step'].get(first, first)} {agent}".strip()


def part(target: str, t: Words) -> str:
    """Return a part of the site, as controls and signals name it: ``step:chart``, ``agent:qc``, ``connector:his``."""
    kind, _, name = target.partition(":")
    if kind == "step":
        return step(name, t)
    return f"{t['part'][kind]} {name}" if kind in t["part"] else target


def actor(who: str, t: Words) -> str:
    """Return who acted: a step, a person, or somebody at the command line of the operating system."""
    kind, _, name = who.partition(":")
    match kind:
        case "user":
            return name
        case "command":
            return f"{t['part']['command']} {name}".strip()
        case _:
            return part(who, t)
