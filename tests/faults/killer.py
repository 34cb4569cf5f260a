"""Gives a site one life after the other, and ends each with SIGKILL in one chosen gap of the flow.

    killer.py hisbus.toml        reads STEP:GAP:NTH from standard input, one life a line

Each life is a process of its own, forked from this one, which only imports. GAP is where it dies in the NTH piece of
work of STEP: ``begun`` (before its tables), ``tables`` (they are committed, nothing is appended), ``appended`` (the
offset is not committed), ``committed`` (it is). For the sender: ``begun`` (connected), ``tables`` (``sending`` is
committed, no byte has left), ``appended`` (the HIS has answered). ``never`` is a life that is left alone. Nothing in
the product knows of this: the gaps are found by wrapping its methods.

Prints the process id of each life when it starts, and its exit status when it has ended.
"""

import os
import signal
import sys
from contextvars import ContextVar
from typing import Any

import hisbus.app  # noqa: F401 - so that no life has to
from hisbus import cli
from hisbus.chart import ChartStep
from hisbus.dispatch import Dispatch
from hisbus.intake import Intake
from hisbus.log import sqlite
from hisbus.outbox import Relay
from hisbus.review import Review
from hisbus.timers import Timers
from hisbus.translate import Translate
from hisbus.writeback import WriteBackStep
from hisbus_hl7v2.connector import Hl7v2Connector

working: ContextVar[str] = ContextVar("working", default="")
place, left = ["", ""], 0


def reached(step: str, gap: str) -> None:
    """Die if this is the place."""
    global left
    if [step, gap] == place:
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def live(config: str, gap: str) -> None:
    """Run ``hisbus up`` until it dies in the gap."""
    global left
    if gap != "never":
        *place[:], nth = gap.split(":")
        left = int(nth)
    sys.argv[1:] = ["--config", config, "up"]
    cli.main()


def watch_work(owner: Any, method: str, step: str, *, appends: bool = True) -> None:
    """Name the step while one of its methods runs."""
    inner = getattr(owner, method)

    async def wrapped(self: Any, *args: Any) -> Any:
        token = working.set(step)
        reached(step, "begun")
        try:
            result = await inner(self, *args)
        finally:
            working.reset(token)
        if not appends:
            reached(step, "tables")
        return result

    setattr(owner, method, wrapped)


def watch_log() -> None:
    """Tell who appends and who commits."""
    append, commit = sqlite.SqliteLog.append, sqlite._Member.commit

    async def appending(self: Any, records: Any) -> None:
        reached(working.get(), "tables")
        await append(self, records)
        reached(working.get(), "appended")

    async def committing(self: Any, offsets: Any) -> None:
        await commit(self, offsets)
        reached(self._group.split(".")[1], "committed")

    sqlite.SqliteLog.append = appending  # type: ignore[method-assign]
    sqlite._Member.commit = committing  # type: ignore[method-assign]


def watch_sender() -> None:
    """Tell how far a write-back has come."""
    write = Hl7v2Connector.write

    async def writing(self: Any, writeback: Any, begin: Any) -> Any:
        async def beginning() -> None:
            reached("sender", "begun")
            await begin()
            reached("sender", "tables")

        receipt = await write(self, writeback, beginning)
        reached("sender", "appended")
        return receipt

    Hl7v2Connector.write = writing  # type: ignore[method-assign]


watch_work(Intake, "store", "intake")
watch_work(Translate, "handle", "translate")
watch_work(ChartStep, "handle", "chart")
watch_work(Dispatch, "handle", "dispatch")
watch_work(Timers, "handle", "timers", appends=False)
watch_work(Review, "handle", "review", appends=False)
watch_work(WriteBackStep, "handle", "writeback", appends=False)
watch_work(Relay, "_chunk", "relay")
watch_log()
watch_sender()

config = sys.argv[1]
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        live(config, line.strip())
        os._exit(0)
    sys.stdout.write(f"{pid}\n")
    sys.stdout.flush()
    _, status = os.waitpid(pid, 0)
    sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
    sys.stdout.flush()
