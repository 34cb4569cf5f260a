"""The demo: a fresh hisbus that reads in its past, a ward's week, its findings, decisions and write-backs."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hisbus_simulator.api import Api, Reviewed, findings, review
from hisbus_simulator.child import TABLE, Child, ChildError, Servers, free_port
from hisbus_simulator.his import His
from hisbus_simulator.living import live, to_try
from hisbus_simulator.outcome import Outcome, compare, shortcomings
from hisbus_simulator.people import Doctor
from hisbus_simulator.sender import Sender, SendError, feed
from hisbus_simulator.sites import Kind
from hisbus_simulator.week import PAST, STAYS, Message, onward, past, ward_week

USER, DOCTOR = "reviewer", "doctor"

_START_S = 60.0
_QUIET_S = 180.0
_LANES = 8
"""Connections over which the past comes."""


class DemoError(Exception):
    """The demo could not go on."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is played."""

    seed: int = 1
    patients: int = STAYS
    site: Kind = "full"
    past: int = PAST
    """Stays that are read in before the week, by which it knows what its feeds bring; 0: everything counts for that."""
    servers: Servers | None = None


async def run(folder: Path, wanted: Wanted, *, once: bool, console: Console) -> int:
    """Run the demo and return its exit code.

    Args:
        folder: made anew; the summary is written beside it.
        wanted: what is played.
        once: a script decides and the demo ends; else it stays up for a person until Ctrl-C.
    """
    demo = Demo(folder, wanted, console)
    demo.summary.unlink(missing_ok=True)
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await demo.play(once=once)
    except asyncio.CancelledError:
        console.print("Stopped.")
        return 130
    except (ChildError, DemoError, SendError) as error:
        console.print(f"The demo failed: {error}", markup=False, soft_wrap=True)
        console.print(f"What hisbus logged is in {folder / 'hisbus.log'}.", soft_wrap=True)
        return 1


class Demo:
    """One run."""

    def __init__(self, folder: Path, wanted: Wanted, console: Console) -> None:
        self._folder, self._wanted, self._console = folder, wanted, console
        self._week = ward_week(wanted.seed, wanted.patients, site=wanted.site)
        self._begun = time.monotonic()
        self._sent = 0
        self.doctor_password = ""
        self.summary = folder.parent / "demo-summary.json"
        """Where the numbers are written once all is decided."""

    async def play(self, *, once: bool) -> int:
        """Send the week, show what came of it; once: decide, and say whether all is well."""
        async with self.fed() as (child, api, his, password):
            if once:
                return await child.meanwhile(self._decide(api, his))
            self._console.print((await self._outcome(api, his, Reviewed((), ()))).table())
            await self._tell(child, api, password)
            return await self._stay(child, his)

    async def _tell(self, child: Child, api: Api, password: str) -> None:
        """Print where to look and what to try."""
        doctor = self._doctor()
        lines = [
            f"The page: {child.url}  user: {USER}  password: {password}",
            f"A doctor of the ward ({doctor.id}): user: {DOCTOR}  password: {self.doctor_password}",
            f"Sets of codes wait for a coder: {child.url}/codesets ({TABLE}).",
            "The ward goes on living, an hour a minute. Five things to try:",
        ]
        there = findings(await api.items("proposals", status="open"))
        unsigned = [item for item in there if item["rule"] == "R02" and item["state"] == "absent"]
        if there:
            lines += to_try(
                child.url,
                command=self._signing(child),
                folder=str(self._folder),
                visit=(unsigned or there)[0]["visit"],
                finding=there[0]["id"],
                agent=child.agents().get("qc"),
            )
        for line in lines:
            self._console.print(line, soft_wrap=True, markup=False)

    @asynccontextmanager
    async def fed(self) -> AsyncIterator[tuple[Child, Api, His, str]]:
        """Start hisbus, send it the week, wait until nothing waits; with it the reviewer's password."""
        wanted = self._wanted
        async with (
            His(port=free_port(2576)) as his,
            Child(self._folder, his.address[1], wanted.site if wanted.past else None, wanted.servers) as child,
        ):
            self._console.print(f"Starting hisbus in {self._folder} ...", soft_wrap=True)
            password, token = await child.meanwhile(self._enter(child))
            async with Api(child.url, token) as api:
                if wanted.past:
                    await child.meanwhile(self._read_in(child))
                    await child.meanwhile(self._quiet(api))
                await child.meanwhile(self._send(child))
                await child.meanwhile(self._quiet(api))
                yield child, api, his, password

    async def _enter(self, child: Child) -> tuple[str, str]:
        """Wait until it answers, load its table of codes, and return the reviewer's password and token."""
        async with Api(child.url) as api:
            deadline = time.monotonic() + _START_S
            while await api.lag() is None:
                if time.monotonic() > deadline:
                    raise DemoError(f"hisbus did not answer within {_START_S:.0f} s.")
                await asyncio.sleep(0.2)
        await child.load_table()
        doctor = self._doctor()
        self.doctor_password = await child.ask("user", "add", DOCTOR, "--role", "reviewer")
        await child.ask("user", "number", DOCTOR, doctor.id)
        password = await child.ask("user", "add", USER, "--role", "reviewer")
        return password, await child.ask("user", "token", USER)

    def _signing(self, child: Child) -> str:
        """Return the command that signs a first progress note, with what tells this week from the usual one."""
        wanted = self._wanted
        program = os.path.relpath(Path(sys.executable).with_name("hisbus-simulator"))
        given = {"seed": wanted.seed, "patients": wanted.patients, "site": wanted.site}
        usual = {"seed": 1, "patients": STAYS, "site": "full"}
        more = "".join(f" --{name} {value}" for name, value in given.items() if value != usual[name])
        return f"{program} sign {{visit}} C0037 --to 127.0.0.1:{child.listen}{more}"

    def _doctor(self) -> Doctor:
        """Return who attends the first stay: drafts of its documents are that doctor's to accept."""
        return next(iter(self._week.contexts.values())).doctor

    async def _read_in(self, child: Child) -> None:
        """Send what was there before, which tells what this hospital's feeds bring."""
        before = past(self._wanted.seed, self._wanted.past, site=self._wanted.site).messages
        whole = sorted(before, key=lambda message: message.visit)  # stay by stay: few are open at a time
        senders = [Sender("127.0.0.1", child.past) for _ in range(_LANES)]
        await self._feed(f"Its past, {self._wanted.past} stays", whole, senders)

    async def _send(self, child: Child) -> None:
        await self._feed("A ward's week", self._week.messages, [Sender("127.0.0.1", child.listen)])
        self._sent = len(self._week.messages)

    async def _feed(self, what: str, messages: Sequence[Message], senders: Sequence[Sender]) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as progress:
            bar = progress.add_task(what, total=len(messages))
            await feed(messages, senders, sent=lambda _: progress.advance(bar))

    async def _quiet(self, api: Api) -> None:
        """Wait until nothing waits anywhere, twice in a row."""
        deadline, quiet = time.monotonic() + _QUIET_S, 0
        while quiet < 2:
            lag = await api.lag()
            quiet = quiet + 1 if lag is not None and not any(lag.values()) else 0
            if time.monotonic() > deadline:
                raise DemoError(f"After {_QUIET_S:.0f} s there was still work left: {lag}.")
            await asyncio.sleep(0.2)

    async def _decide(self, api: Api, his: His) -> int:
        proposals = await api.proposals()
        reviewed = await review(api, self._wanted.seed)
        await self._quiet(api)
        outcome = await self._outcome(api, his, reviewed)
        self.summary.write_text(outcome.json(), "utf-8")
        self._console.print(outcome.table())
        wrong = shortcomings(outcome, reviewed.accepted, await api.items("writebacks"), his.effects)
        if len(proposals) != outcome.decided:
            wrong.append(f"{len(proposals) - outcome.decided} findings were left undecided.")
        for sentence in wrong:
            self._console.print(sentence, soft_wrap=True)
        return 1 if wrong else 0

    async def _outcome(self, api: Api, his: His, reviewed: Reviewed) -> Outcome:
        by_rule, unexpected = compare(self._week.expected, await api.proposals())
        writebacks = await api.items("writebacks", status="applied")
        return Outcome(
            events_in=self._sent,
            findings=by_rule,
            unexpected=unexpected,
            decided=len(reviewed.accepted) + len(reviewed.rejected),
            accepted=len(reviewed.accepted),
            written_back=his.effects.total(),
            acknowledged=len(writebacks),
            parked=len(await api.items("parked", status="parked")),
            seconds=round(time.monotonic() - self._begun, 1),
        )

    async def _stay(self, child: Child, his: His) -> int:
        """Let the ward live until Ctrl-C, which is the good end here, showing what reaches the HIS."""
        next_week = onward(self._wanted.seed, site=self._wanted.site).messages
        now = next_week[0].at

        def count(message: Message) -> None:
            nonlocal now
            self._sent += 1
            now = message.at

        async def show() -> None:
            with self._console.status("") as line:
                while True:
                    line.update(
                        f"{now:%m-%d %H:%M} in the ward; {self._sent} messages in, "
                        f"{his.effects.total()} documents out; Ctrl-C ends it"
                    )
                    await asyncio.sleep(1)

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(show())
                group.create_task(live(next_week, Sender("127.0.0.1", child.listen), sent=count))

        try:
            await child.meanwhile(both())
        except asyncio.CancelledError:
            self._console.print("Stopping.")
        return 0
