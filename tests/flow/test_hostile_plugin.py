"""One vendor's plugin goes wrong for one patient; everybody else is served."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from hisbus.child import LARGEST_FILE

pytestmark = pytest.mark.long

HEAD = b"MSH|^~\\&|EMR|HOSP|HISBUS|QC|202603020830%02d+0800||ADT^A01^ADT_A01|%s-%02d|P|2.5||||||UNICODE UTF-8\r"
BODY = b"EVN||202603020830%02d+0800\rPID|1||%s^^^HOSP^MR||X^Y\rPV1|1|I|W3||||||||||||||||%s^^^HOSP\r"

AGENT = """
import os
import subprocess
from pathlib import Path
from hisbus import hookimpl
from hisbus_schemas import Assessment, Finding, Text

def finding(key):
    return Finding(key=key, rule="E01", message=Text(zh="有", en="here"))

class Agent:
    name, version, kinds, grants = "evil", "1", frozenset({"encounter.admitted"}), frozenset()

    async def assess(self, case):
        if case.chart.visit.number == "V1":
            MISDEED
        return Assessment(evaluated=frozenset({"E01"}), proposals=[finding("one")])

@hookimpl
def register_agents(register):
    register(Agent())
"""

MISDEEDS = {
    "raises": ("raise ValueError('the patient is ' + case.chart.visit.number)", "agent_raised"),
    "hangs": ("while True: pass", "deadline"),
    "crashes": ("os._exit(3)", "crashed"),
    "leaks": ("hoard = [bytes(1 << 34) for _ in range(1000)]", "crashed"),
    "forks": ("[subprocess.Popen(['sleep', '600'], cwd='HERE') for _ in range(20)]; os._exit(3)", "crashed"),
    "fills the disk": ("Path('HERE/full').write_bytes(bytes(1 << 27))", "agent_raised"),
    "answers garbage": ("return 'garbage'", "bad_answer"),
    "finds too much": ("return Assessment(proposals=[finding(str(n)) for n in range(10000)])", "too_many_proposals"),
}


def admission(visit: bytes, n: int = 0) -> bytes:
    return HEAD % (n, visit, n) + BODY % (n, b"P" + visit, visit)


@pytest.fixture
def install(tmp_path: Path, ship: Any) -> Callable[[str], dict[str, Any]]:
    """Install the plugin with a misdeed beside an interpreter of its own."""

    def installed(misdeed: str) -> dict[str, Any]:
        source = AGENT.replace("MISDEED", misdeed.replace("HERE", str(tmp_path)))
        return {"evil": {"python": ship(tmp_path, "evil", source)}}

    return installed


def left_over(folder: Path) -> list[int]:
    """Return the processes of the plugin that are still there."""
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process.pid)
    return left


async def found(bus: Any) -> set[str]:
    return {f"{item['visit']} {item['rule']}" for item in await bus.everything("proposals", status="open")}


@pytest.mark.parametrize("misdeed, reason", MISDEEDS.values(), ids=MISDEEDS.keys())
async def test_a_call_that_keeps_failing_is_parked_and_nobody_else_waits(
    tmp_path: Path, hospital: Any, install: Any, misdeed: str, reason: str
) -> None:
    plugins = install(misdeed)
    clock = admission(b"VZ").replace(b"20260302", b"20260303")
    async with hospital(plugins=plugins, agents={"evil": {"deadline_s": 1.0}}) as bus:
        await bus.send([admission(b"V1"), admission(b"V2"), clock])
        await bus.idle()
        (parked,) = await bus.everything("parked")
        assert (parked["step"], parked["reason"]) == ("dispatch.evil", reason)
        assert await found(bus) >= {"V2 E01", "V1 R02", "V2 R02"}
        assert "V1 E01" not in await found(bus)
    assert left_over(tmp_path) == []
    assert all(path.stat().st_size <= LARGEST_FILE for path in tmp_path.iterdir())


async def test_a_plugin_that_is_killed_comes_back_and_misses_nothing(hospital: Any, install: Any) -> None:
    plugins = install("pass")
    async with hospital(plugins=plugins) as bus:
        (host,) = [host for host in bus.app.hosts if host.plugin.name == "evil"]
        for n in range(3):
            os.kill(host.pid, signal.SIGKILL)
            await bus.send([admission(b"V%d" % (n + 2))])
            await bus.idle()
            async with asyncio.timeout(20):
                while host.pid is None:
                    await asyncio.sleep(0.01)
        assert await found(bus) == {"V2 E01", "V3 E01", "V4 E01"}
        assert await bus.everything("parked") == []
