"""Runs ``hisbus up`` and kills it with SIGKILL in one chosen gap of the flow.

    killer.py STEP:GAP:NTH hisbus.toml

GAP is where the process dies in the NTH piece of work of STEP: ``begun`` (before its tables), ``tables`` (they are
committed, nothing is appended), ``appended`` (the offset is not committed), ``committed`` (it is). Nothing in the
product knows of this: the gaps are found by wrapping its own methods.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from hisbus import cli, consumer, outbox
from hisbus.log.sqlite import SqliteLog

STEP, GAP, NTH = sys.argv[1].split(":")
working: ContextVar[str] = ContextVar("working", default="")
seen: Counter[str] = Counter()


def reached(step: str, gap: str) -> None:
    """Die if this is the place."""
    if (step, gap) == (STEP, GAP):
        seen[step] += 1
        if seen[step] == int(NTH):
            os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, name: str, before: Callable[..., str | None], after: Callable[[str], None]) -> None:
    """Wrap an async method: ``before`` names the step, ``after`` is told once it is done."""
    inner = getattr(owner, name)

    async def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        step = before(self, *args)
        try:
            return await inner(self, *args, **kwargs)
        finally:
            if step is not None:
                after(step)

    setattr(owner, name, wrapped)
