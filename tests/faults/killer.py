"""Gives a site its lives: processes that are forked from this one, which only imports, and end as they are told.

Reads one JSON line for each life: ``{"tag", "argv", "env", "log", "gap", "clock_s", "quick_session"}``; writes
``TAG begun PID`` and ``TAG ended STATUS``. ``argv`` is what follows ``hisbus``. ``clock_s`` sets the life's clock that
far off; SIGUSR1 puts it back by two hours more. With a quick session, a group misses a dead member after 3 s, not 10.

``gap`` is ``STEP:GAP:NTH``, the place where the life ends with SIGKILL, in the NTH piece of work of a step: ``begun``
(before its tables), ``tables`` (they are committed, nothing is appended), ``appended`` (the offset is not committed),
``committed`` (it is). For the sender: ``begun`` (connected), ``tables`` (``sending`` is committed, no byte has left),
``appended`` (the HIS has answered). ``never`` is a life that is left alone. Nothing in the product knows of this: the
gaps are found by wrapping its methods.
"""

import json
import os
import selectors
import signal
import sys
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

import hisbus_bus.app  # noqa: F401 - so that no life has to
from hisbus_bus.command import main as cli
from hisbus_bus.flow.chart import ChartStep
from hisbus_bus.flow.dispatch import Dispatch
from hisbus_bus.flow.intake import Intake
from hisbus_bus.flow.review import Review
from hisbus_bus.flow.timers import Timers
from hisbus_bus.flow.translate import Translate
from hisbus_bus.flow.writeback import WriteBackStep
from hisbus_bus.kernel.log import kafka, kafka_member, sqlite, sqlite_member
from hisbus_bus.kernel.outbox import Relay
from hisbus_hl7v2.connector import Hl7v2Connector

STEP_BACK = timedelta(hours=-2)

working: ContextVar[str] = ContextVar("working", default="")
place, left = ["", ""], 0


def reached(step: str, gap: str) -> None:
    """Die if this is the place."""
    global left
    if [step, gap] == place:
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


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


def watch_log(log: Any, member: Any) -> None:
    """Tell who appends and who commits."""
    append, commit = log.append, member.commit

    async def appending(self: Any, records: Any) -> None:
        reached(working.get(), "tables")
        await append(self, records)
        reached(working.get(), "appended")

    async def committing(self: Any, offsets: Any) -> None:
        await commit(self, offsets)
        reached(self._group.split(".")[1], "committed")

    log.append = appending
    member.commit = committing


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
watch_log(sqlite.SqliteLog, sqlite_member.Member)
watch_log(kafka.KafkaLog, kafka_member.Member)
watch_sender()


def live(order: dict[str, Any]) -> None:
    """Be ``hisbus`` until the end."""
    global left
    os.setsid()
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, order["log"], 0), (2, order["log"], 0)):
        os.dup2(os.open(path, flags or os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), number)
    os.environ |= order["env"]
    if order["gap"] != "never":
        *place[:], nth = order["gap"].split(":")
        left = int(nth)
    if order["quick_session"]:
        kafka_member.SESSION_MS, kafka_member.HEARTBEAT_MS = 3_000, 500
    if order["clock_s"] is not None:
        wrong = time_machine.travel(datetime.now(UTC) + timedelta(seconds=order["clock_s"]), tick=True)
        clock = wrong.start()
        signal.signal(signal.SIGUSR1, lambda *_: clock.shift(STEP_BACK))
    sys.argv[1:] = order["argv"]
    cli.main()


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def bury(tags: dict[int, str]) -> None:
    """Tell which lives have ended."""
    while tags:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        say(tags.pop(pid), "ended", os.waitstatus_to_exitcode(status))


def main() -> None:
    tags: dict[int, str] = {}
    reads, writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as ready:
        ready.register(0, selectors.EVENT_READ)
        ready.register(reads, selectors.EVENT_READ)
        waiting = b""
        while True:
            for key, _ in ready.select():
                data = os.read(key.fd, 65536)
                if key.fd == reads:
                    bury(tags)
                    continue
                if not data:
                    return
                *lines, waiting = (waiting + data).split(b"\n")
                for line in lines:
                    order = json.loads(line)
                    pid = os.fork()
                    if pid == 0:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        ready.close()
                        live(order)
                        os._exit(0)
                    tags[pid] = order["tag"]
                    say(order["tag"], "begun", pid)


main()
