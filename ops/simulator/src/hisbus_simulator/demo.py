"""The demo: a fresh hisbus, a ward's week, its findings, decisions and write-backs."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hisbus_simulator.api import Api, Reviewed, review
from hisbus_simulator.child import TABLE, Child, ChildError, free_port
from hisbus_simulator.his import His
from hisbus_simulator.outcome import Outcome, compare, shortcomings
from hisbus_simulator.sender import Sender, SendError, feed
from hisbus_simulator.week import Week, ward_week

USER = "reviewer"

_START_S = 60.0
_QUIET_S = 180.0


class DemoError(Exception):
    """The demo could not go on."""


async def run(folder: Path, *, seed: int, patients: int, once: bool, console: Console) -> int:
    """Run the demo and return its exit code.

    Args:
        folder: made anew; the summary is written beside it.
        once: a script decides and the demo ends; else it stays up for a person until Ctrl-C.
    """
    demo = Demo(folder, ward_week(seed, patients), seed, console)
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

    def __init__(self, folder: Path, week: Week, seed: int, console: Console) -> None:
        self._folder, self._week, self._seed, self._console = folder, week, seed, console
        self._begun = time.monotonic()
        self._sent = 0
        self.summary = folder.parent / "demo-summary.json"
        """Where the numbers are written once all is decided."""

    async def play(self, *, once: bool) -> int:
        """Send the week, show what came of it; once: decide, and say whether all is well."""
        async with self.fed() as (child, api, his, password):
            if once:
                return await child.meanwhile(self._decide(api, his))
            self._console.print((await self._outcome(api, his, Reviewed((), ()))).table())
            self._console.print(f"The page: {child.url}  user: {USER}  password: {password}", soft_wrap=True)
            self._console.print(f"Sets of codes wait for a coder: {child.url}/codesets ({TABLE}).", soft_wrap=True)
            return await self._stay(child, his)

    @asynccontextmanager
    async def fed(self) -> AsyncIterator[tuple[Child, Api, His, str]]:
        """Start hisbus, send it the week, wait until nothing waits; with it the reviewer's password."""
        async with His(port=free_port(2576)) as his, Child(self._folder, his.address[1]) as child:
            self._console.print(f"Starting hisbus in {self._folder} ...", soft_wrap=True)
            password, token = await child.meanwhile(self._enter(child))
            async with Api(child.url, token) as api:
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
        password = await child.ask("user", "add", USER, "--role", "reviewer")
        return password, await child.ask("user", "token", USER)

    async def _send(self, child: Child) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as progress:
            bar = progress.add_task("A ward's week", total=len(self._week.messages))

            def count(_: object) -> None:
                self._sent += 1
                progress.advance(bar)

            await feed(self._week.messages, [Sender("127.0.0.1", child.listen)], sent=count)

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
        reviewed = await review(api, self._seed)
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
        findings, unexpected = compare(self._week.expected, await api.proposals())
        writebacks = await api.items("writebacks", status="applied")
        return Outcome(
            events_in=self._sent,
            findings=findings,
            unexpected=unexpected,
            decided=len(reviewed.accepted) + len(reviewed.rejected),
            accepted=len(reviewed.accepted),
            written_back=his.effects.total(),
            acknowledged=len(writebacks),
            parked=len(await api.items("parked", status="parked")),
            seconds=round(time.monotonic() - self._begun, 1),
        )

    async def _stay(self, child: Child, his: His) -> int:
        """Stay up until Ctrl-C, which is the good end here, showing what reaches the HIS."""

        async def show() -> None:
            with self._console.status("") as line:
                while True:
                    line.update(f"Ctrl-C ends it. Documents that reached the HIS: {his.effects.total()}")
                    await asyncio.sleep(1)

        try:
            await child.meanwhile(show())
        except asyncio.CancelledError:
            self._console.print("Stopping.")
        return 0
