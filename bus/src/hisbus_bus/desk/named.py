"""What a page calls changes, parts of the site, and who acted: in the reader's words, not as they are stored."""

from collections.abc import Mapping
from typing import Any

Words = Mapping[str, Any]
"""The texts of one language."""


def change(status: str, t: Words) -> str:
    """Return what happened to a proposal: ``accepted``, ``undone``, ``writeback.applied`` ...."""
    area, _, name = status.rpartition(".")
    if area == "writeback":
        return str(t["receipt"].get(name, status))
    return str(t["history"].get(status) or t["status"].get(status, status))


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
