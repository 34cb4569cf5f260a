"""A plugin that hangs, crashes, leaks or prints harms nobody. Real processes, really killed."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import psutil
import pytest

from hisbus.agent import Case
from hisbus.errors import CallFailed, RetryLater
from hisbus.testing import make_document, make_event, make_vital
from hisbus_bus.host.agents import AgentHost, Policy, start_all
from hisbus_bus.host.calls import StoredCase
from hisbus_bus.host.process import AgentProcess
from hisbus_bus.host.registry import Plugin
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.stored import EMPTY, StoredChart, row
from hisbus_schemas import (
    GRANTS,
    Assessment,
    Chart,
    ChartUnknown,
    Code,
    Demographics,
    Event,
    Moment,
    Need,
    Patient,
    PatientId,
    Position,
    VisitId,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CANARY = "欧阳锋"
QUICK = Policy(first_s=0.0, longest_s=0.01, careful_s=30)

HEAD = """
import asyncio, os, resource, sys, time
from hisbus import Case, RetryLater, hookimpl
from hisbus_schemas import Assessment, Finding, Need, Text, Wake

def finding(key, **more):
    return Finding(key=key, rule="rule", message=Text(zh="中", en="en"), **more)

class Agent:
    name, version, kinds, grants = "NAME", "1", frozenset({"document.filed"}), frozenset({"documents"})
    held = []
    async def assess(self, case):
        encounter = case.chart.encounter
"""
TAIL = """
@hookimpl
def register_agents(register):
    register(Agent())
"""


@dataclass(frozen=True)
class Vendor:
    """Ships plugins: a module, a distribution's metadata, and an interpreter that has both."""

    folder: Path
    ship: Callable[[Path, str, str], Path]

    def module(self, name: str, source: str) -> None:
        self.ship(self.folder, name, source)

    def agent(self, name: str, assess: str) -> None:
        body = indent(dedent(assess), " " * 8)
        self.module(name, HEAD.replace("NAME", name) + body + TAIL)

    @property
    def python(self) -> Path:
        return self.folder / "python"

    def settings(self, *names: str, agents: dict[str, Any] | None = None, **plugin: Any) -> Settings:
        tables = {name: {"python": self.python, **plugin} for name in names}
        return Settings(site="test", plugins=tables, agents=agents or {})


@pytest.fixture
def vendor(tmp_path: Path, ship: Callable[[Path, str, str], Path]) -> Vendor:
    return Vendor(tmp_path, ship)


def case(encounter: str = "e1", **chart: Any) -> Case:
    made = Chart(
        encounter=encounter,
        version=1,
        now=NOON,
        visit=VisitId(authority="A", number="V1"),
        status="admitted",
        patient=Patient(id=PatientId(authority="A", number="P1"), name=CANARY),
        **chart,
    )
    return Case(None, made, NOON)


Host = Callable[..., Awaitable[AgentHost]]


@pytest.fixture
async def host(vendor: Vendor) -> AsyncIterator[Host]:
    started: list[AgentHost] = []

    async def start(
        assess: str = "return Assessment()", *, policy: Policy = QUICK, agents: Any = None, **plugin: Any
    ) -> AgentHost:
        vendor.agent("evil", assess)
        made = AgentHost(Plugin("evil"), vendor.settings("evil", agents=agents, **plugin), policy)
        started.append(made)
        await made.start()
        return made

    yield start
    for one in started:
        await one.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def failure(host: AgentHost, encounter: str = "e1", deadline_s: float = 20) -> str:
    with pytest.raises(CallFailed) as caught:
        await host.assess("evil", case(encounter), deadline_s)
    assert str(caught.value) == CallFailed.__doc__
    return caught.value.code


# --- a plugin that works ----------------------------------------------------------------------------------------------


async def test_an_agent_answers_from_a_process_of_its_own(host: Host) -> None:
    running = await host('return Assessment(evaluated={str(os.getpid())}, proposals=[finding("k")])')
    answer = await running.assess("evil", case(), 20)
    assert answer.evaluated == {str(running.pid)} != {str(os.getpid())}
    assert [proposal.key for proposal in answer.proposals] == ["k"]
    assert [(info.name, info.version, info.kinds, info.grants) for info in running.agents] == [
        ("evil", "1", {"document.filed"}, {"documents"})
    ]
    assert running.state == "running"


async def test_many_calls_are_in_flight_at_once_and_each_gets_its_own_answer(host: Host) -> None:
    running = await host(
        """
        self.held.append(encounter)
        while len(self.held) < 20:
            await asyncio.sleep(0)
        return Assessment(evaluated={encounter})
        """
    )
    names = [f"e{number}" for number in range(20)]
    answers = await asyncio.gather(*(running.assess("evil", case(name), 20) for name in names))
    assert [answer.evaluated for answer in answers] == [{name} for name in names]


async def test_an_agent_sees_only_what_it_was_granted(host: Host) -> None:
    running = await host(
        """
        seen = case.chart.model_dump_json() + (case.event.model_dump_json() if case.event else "")
        return Assessment(evaluated={"canary" if "欧阳锋" in seen else "clean", case.event.visit.number})
        """
    )
    event = Event(
        kind="encounter.admitted",
        time=Moment(at=NOON),
        patient=PatientId(authority="A", number=CANARY),
        visit=VisitId(authority="A", number="V1"),
        demographics=Demographics(name=CANARY),
        segments=[f"ZPI|{CANARY}"],
        id="e",
        message="m",
        revision=1,
        ordinal=0,
        connector="his",
        position=Position(recorded=NOON, partition=0, offset=0),
    )
    answer = await running.assess("evil", replace(case(), event=event), 20)
    assert answer.evaluated == {"clean", "V1"}


async def test_a_stored_case_is_seen_like_one_that_was_read(host: Host) -> None:
    running = await host(
        """
        seen = case.chart.model_dump_json() + case.event.model_dump_json() + repr((case.now, case.settings, case.llm))
        return Assessment(evaluated={seen})
        """,
        agents={"evil": {"settings": {"hours": 12}}},
    )
    made = case(documents=[make_document("C0037", "平稳")], vitals=[make_vital("8310-5", "37")])
    event = make_event("document.filed", patient={"authority": "A", "number": CANARY})
    parts = {"patient", "documents", "vitals"}
    stay, rest = made.chart.model_dump(mode="json", exclude=parts), made.chart.model_dump(mode="json", include=parts)
    chart = StoredChart(
        stay.pop("encounter"),
        stay.pop("version"),
        datetime.fromisoformat(stay.pop("now")),
        stay.pop("key"),
        {name: json.dumps(value) for name, value in rest.items()},
        json.dumps(stay),
    )
    stored = await running.assess("evil", StoredCase(event.model_dump_json(), chart), 20)
    read = await running.assess("evil", replace(made, event=event, settings={"hours": 12}), 20)
    assert stored == read
    (seen,) = stored.evaluated
    assert "平稳" in seen and CANARY not in seen


def grown(count: int, encounter: str = "e1") -> list[StoredCase]:
    """A stay that gets one more document with each version, as it is read by who knows the version before."""
    stay, rows, cases = '{"visit":{"authority":"A","number":"V1"},"status":"admitted"}', EMPTY, []
    for version in range(1, count + 1):
        items = f"[{make_document('C0037', f'text {version}', id=f'd{version}').model_dump_json()}]"
        rows = rows.after([row("documents", f"d{version}", f"{version:03}", version, items)])
        cases.append(StoredCase(None, StoredChart(encounter, version, NOON, "k", {}, stay, {"documents": rows}, 1)))
    return cases


SAYS_TEXTS = 'return Assessment(evaluated={"".join(one.text for one in case.chart.documents), str(case.chart.version)})'


async def test_of_a_chart_that_was_sent_no_more_is_sent_than_what_changed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await host(SAYS_TEXTS)
    sent: list[str] = []
    monkeypatch.setattr(AgentProcess, "_leave", remembering(AgentProcess._leave, sent))
    answers = [(await running.assess("evil", case, 20)).evaluated for case in grown(3)]
    assert answers == [{"text 1", "1"}, {"text 1text 2", "2"}, {"text 1text 2text 3", "3"}]
    assert [[f"text {number}" in frame for number in (1, 2, 3)] for frame in sent] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def remembering(leave: Callable[[AgentProcess, str], None], sent: list[str]) -> Callable[[AgentProcess, str], None]:
    def note(process: AgentProcess, frame: str) -> None:
        sent.append(frame)
        leave(process, frame)

    return note


async def test_a_process_that_has_lost_what_it_kept_is_sent_the_whole_and_fails_no_call(host: Host) -> None:
    running = await host(
        f"""
        import gc
        from hisbus.kept import KeptCharts
        for one in gc.get_objects():
            if isinstance(one, KeptCharts):
                one._stays.clear()
                one._size = 0
        {SAYS_TEXTS}
        """
    )
    pid = running.pid
    together = await asyncio.gather(*(running.assess("evil", case, 20) for case in grown(4)))
    one_by_one = [await running.assess("evil", case, 20) for case in grown(4)]
    whole = [{"".join(f"text {n}" for n in range(1, count + 1)), str(count)} for count in range(1, 5)]
    assert [answer.evaluated for answer in together] == [answer.evaluated for answer in one_by_one] == whole
    assert running.pid == pid


async def test_what_an_agent_does_to_its_chart_is_not_seen_by_its_next_call(host: Host) -> None:
    running = await host(f"said = Assessment(evaluated=set())\n{SAYS_TEXTS.replace('return', 'said =')}\n" + SPOILS)
    answers = [(await running.assess("evil", case, 20)).evaluated for case in grown(3)]
    assert answers[-1] == {"text 1text 2text 3", "3"}


SPOILS = """\
case.chart.documents.reverse()
case.chart.documents.pop()
return said
"""


async def test_a_process_starts_with_nothing_and_a_new_one_is_sent_everything(host: Host) -> None:
    running = await host(f"{SAYS_TEXTS}")
    first, second = grown(2)
    await running.assess("evil", first, 20)
    pid = running.pid
    await running.restart()
    await until(lambda: running.state == "running" and running.pid not in {None, pid})
    assert (await running.assess("evil", second, 20)).evaluated == {"text 1text 2", "2"}


async def test_a_process_of_an_older_minor_version_is_sent_everything_each_time(vendor: Vendor) -> None:
    older = """
import __main__
hello, unpack = __main__.Hello, __main__.unpack
__main__.Hello = lambda **said: hello(**(said | {"keeps": False}))
def alone(frame):
    assert frame[:1] == b"{"
    (said,) = unpack(frame)
    assert said.rows is None
    return [said]
__main__.unpack = alone
"""
    vendor.module("evil", older + HEAD.replace("NAME", "evil") + indent(SAYS_TEXTS, " " * 8) + TAIL)
    running = AgentHost(Plugin("evil"), vendor.settings("evil"), QUICK)
    await running.start()
    try:
        answers = await asyncio.gather(*(running.assess("evil", case, 20) for case in grown(2)))
    finally:
        await running.close()
    assert [answer.evaluated for answer in answers] == [{"text 1", "1"}, {"text 1text 2", "2"}]


async def test_a_plugin_of_today_reads_the_charts_and_events_of_a_later_minor_version(host: Host) -> None:
    running = await host(
        "return Assessment(evaluated={case.event.kind, *(item.text for item in case.chart.documents)})"
    )
    made = case(documents=[make_document("C0037", "平稳")])
    event = json.loads(make_event("document.filed").model_dump_json()) | {"mood": {"later": 1}}
    parts = made.chart.model_dump(mode="json", include={"documents"})
    parts["documents"][0] |= {"temper": "mild"}
    stay = made.chart.model_dump(mode="json", exclude={"documents", "encounter", "version", "now", "key"})
    chart = StoredChart(
        made.chart.encounter,
        made.chart.version,
        made.chart.now,
        made.chart.key,
        {name: json.dumps(value) for name, value in parts.items()},
        json.dumps(stay | {"bed_colour": "blue"}),
    )
    answer = await running.assess("evil", StoredCase(json.dumps(event), chart), 20)
    assert answer.evaluated == {"document.filed", "平稳"}


async def test_a_rule_whose_need_is_unknown_of_the_stay_is_taken_out_of_its_answer(vendor: Vendor) -> None:
    body = """\
        return Assessment(evaluated={"rule", "other"}, proposals=[finding("k")])
    needs = {"rule": [Need(item="document:C0038")]}
"""
    vendor.module("evil", HEAD.replace("NAME", "evil") + body + TAIL)
    running = AgentHost(Plugin("evil"), vendor.settings("evil"), QUICK)
    await running.start()
    try:
        await _taken_out(running)
    finally:
        await running.close()


async def _taken_out(running: AgentHost) -> None:
    assert running.agents[0].needs == {"rule": (Need(item="document:C0038"),)}
    known = await running.assess("evil", case(), 20)
    assert known.evaluated == {"rule", "other"} and len(known.proposals) == 1
    hidden = ChartUnknown(id="u1", version="1", item="document:*", code=Code(code="X9"))
    said = await running.assess("evil", case(unknown=[hidden]), 20)
    assert said.evaluated == {"other"} and said.proposals == []
    assert [(one.rule, one.reason) for one in said.unevaluated] == [("rule", "unknown_code")]


async def test_a_plugin_has_no_broker_no_database_and_no_web_framework_in_its_process(host: Host) -> None:
    running = await host("return Assessment(evaluated=set(sys.modules))")
    loaded = {name.split(".")[0] for name in (await running.assess("evil", case(), 20)).evaluated}
    heavy = {
        "aiokafka",
        "sqlalchemy",
        "aiosqlite",
        "psycopg",
        "fastapi",
        "starlette",
        "uvicorn",
        "jinja2",
        "typer",
        "httpx",
    }
    assert "hisbus" in loaded
    assert not loaded & heavy


async def test_a_plugin_sees_no_configuration_no_secret_and_no_open_file_of_ours(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HISBUS_DATABASE__PASSWORD_FILE", "canary")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    with (tmp_path / "ours").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        running = await host(
            """
            files = {os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
                     if os.path.lexists(f"/proc/self/fd/{name}")}
            return Assessment(evaluated={*os.environ, *files, os.getcwd()})
            """
        )
        seen = (await running.assess("evil", case(), 20)).evaluated
    assert not {name for name in seen if name.startswith("HISBUS") or "SECRET" in name}
    assert str(tmp_path / "ours") not in seen
    assert {"TZ", "PYTHONHASHSEED", "/"} <= seen


async def test_limits_are_set_for_good_before_the_plugin_is_loaded(host: Host) -> None:
    running = await host(
        """
        limits = {
            name: resource.getrlimit(getattr(resource, name)) for name in ("RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_FSIZE")
        }
        return Assessment(evaluated={f"{name} {soft} {hard}" for name, (soft, hard) in limits.items()})
        """,
        memory_mb=600,
    )
    mib = 1024 * 1024
    assert (await running.assess("evil", case(), 20)).evaluated == {
        f"RLIMIT_AS {600 * mib} {600 * mib}",
        "RLIMIT_CORE 0 0",
        f"RLIMIT_FSIZE {64 * mib} {64 * mib}",
    }


# --- plugins that do not ----------------------------------------------------------------------------------------------


async def test_an_agent_that_raises_fails_its_call_and_nothing_of_its_words_is_kept(
    host: Host, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    running = await host('raise ValueError("欧阳锋")')
    pid = running.pid
    assert await failure(running) == "agent_raised"
    assert running.pid == pid
    assert CANARY not in caplog.text + "".join(capfd.readouterr())


async def test_an_agent_that_asks_for_patience_gets_it(host: Host) -> None:
    running = await host("raise RetryLater")
    with pytest.raises(RetryLater):
        await running.assess("evil", case(), 20)


async def test_an_agent_that_hangs_is_killed_at_its_deadline_and_comes_back(host: Host) -> None:
    running = await host(
        """
        while encounter == "poison":
            pass
        return Assessment(evaluated={"ok"})
        """
    )
    pid = running.pid
    assert await failure(running, "poison", 0.5) == "deadline"
    assert (await running.assess("evil", case(), 20)).evaluated == {"ok"}
    assert running.pid != pid
    assert not psutil.pid_exists(pid or 0)


async def test_an_answer_that_would_come_after_its_deadline_is_not_waited_for(host: Host) -> None:
    running = await host("await asyncio.sleep(5)\nreturn Assessment()")
    assert await failure(running, deadline_s=0.5) == "deadline"


async def test_calls_in_flight_fail_together_and_then_go_one_at_a_time(host: Host) -> None:
    running = await host(
        """
        if encounter == "poison":
            os._exit(3)
        await asyncio.sleep(0)
        return Assessment()
        """
    )
    together = await asyncio.gather(
        *(running.assess("evil", case(name), 20) for name in ("poison", "e1", "e2")), return_exceptions=True
    )
    assert [error.code for error in together if isinstance(error, CallFailed)] == ["crashed"] * 3
    again = await asyncio.gather(
        *(running.assess("evil", case(name), 20) for name in ("e1", "poison", "e2")), return_exceptions=True
    )
    assert [type(answer) for answer in again] == [Assessment, CallFailed, Assessment]


async def test_the_guilty_call_misses_the_deadline_and_the_others_fall_with_it(host: Host) -> None:
    running = await host(
        """
        while encounter == "poison":
            pass
        await asyncio.sleep(60)
        """
    )
    outcomes = await asyncio.gather(
        running.assess("evil", case("slow"), 20), running.assess("evil", case("poison"), 0.5), return_exceptions=True
    )
    assert [error.code for error in outcomes if isinstance(error, CallFailed)] == ["child_killed", "deadline"]


async def test_a_killed_process_is_restarted(host: Host) -> None:
    running = await host("return Assessment(evaluated={str(os.getpid())})")
    pid = running.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: running.state == "running" and running.pid != pid)
    assert (await running.assess("evil", case(), 20)).evaluated == {str(running.pid)}


async def test_what_a_plugin_started_ends_with_it(host: Host) -> None:
    running = await host(
        """
        child = os.fork()
        if not child:
            while True:
                time.sleep(1)
        return Assessment(evaluated={str(child)})
        """
    )
    (grandchild,) = (await running.assess("evil", case(), 20)).evaluated
    await running.close()
    await until(lambda: not psutil.pid_exists(int(grandchild)) or psutil.Process(int(grandchild)).status() == "zombie")


async def test_a_plugin_that_prints_harms_nobody_and_nobody_hears_it(
    host: Host, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    running = await host(
        """
        for stream in (sys.stdout, sys.stderr):
            stream.write("欧阳锋" * 200_000)
            stream.flush()
        return Assessment(evaluated={str(os.read(0, 1))})
        """
    )
    assert (await running.assess("evil", case(), 20)).evaluated == {"b''"}
    assert CANARY not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("leak", ["self.held.append(bytearray(64 << 20))", 'self.held.append("x" * (64 << 20))'])
async def test_a_plugin_that_leaks_meets_its_limit_and_starts_afresh(host: Host, leak: str) -> None:
    running = await host(
        f"""
        while encounter == "poison":
            {leak}
        return Assessment(evaluated={{"ok"}})
        """,
        memory_mb=512,
    )
    assert await failure(running, "poison") == "crashed"
    assert (await running.assess("evil", case(), 20)).evaluated == {"ok"}


@pytest.mark.parametrize(
    ("assess", "code"),
    [
        ("return Assessment(proposals=[finding(str(n)) for n in range(10_000)])", "too_many_proposals"),
        ("return Assessment(wakes=[Wake(name=str(n), due=case.now) for n in range(10_000)])", "too_many_wakes"),
        ('return Assessment(proposals=[finding("k"), finding("k")])', "duplicate_key"),
        ('return Assessment(proposals=[finding("k", payload={"x": "x" * (2 << 20)})])', "answer_too_large"),
        ('return {"proposals": []}', "bad_answer"),
        ("return Assessment.model_construct(evaluated=7, proposals=[], wakes=[])", "bad_answer"),
        ("return Assessment.model_construct(evaluated=set(), proposals=[object()], wakes=[])", "bad_answer"),
        ('return Assessment(proposals=[finding("k", payload={"x": object()})])', "bad_answer"),
        ('raise asyncio.CancelledError("欧阳锋")', "agent_raised"),
        ("def deep(): deep()\ndeep()", "agent_raised"),
    ],
)
async def test_an_answer_that_cannot_be_taken_fails_its_call_alone(host: Host, assess: str, code: str) -> None:
    running = await host(assess, answer_mb=1)
    pid = running.pid
    assert await failure(running) == code
    assert running.pid == pid


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("b'\\xff\\xff\\xff\\xff'", "answer_too_large"),
        ("b'\\x00\\x00\\x00\\x04oops'", "bad_answer"),
        ('b\'\\x00\\x00\\x00\\x28{"id": 1, "failure": "\' + b"x" * 17 + b\'"}\'', "bad_answer"),
    ],
)
async def test_garbage_on_the_socket_ends_the_process(host: Host, frame: str, code: str) -> None:
    running = await host(f"os.write(int(sys.argv[2]), {frame})\nawait asyncio.sleep(60)")
    assert await failure(running) == code
    await until(lambda: running.state == "running")


# --- restarts and quarantine ------------------------------------------------------------------------------------------

CRASH = "if encounter.startswith('poison'):\n    os._exit(1)\nreturn Assessment()"


async def test_different_cases_that_crash_a_plugin_quarantine_it_until_the_operator_restarts_it(host: Host) -> None:
    running = await host(CRASH)
    for encounter in ("poison1", "poison2", "poison3"):
        assert await failure(running, encounter) == "crashed"
    assert (running.state, running.reason, running.pid) == ("quarantined", "crashed", None)
    with pytest.raises(RetryLater) as caught:
        await running.assess("evil", case(), 20)
    assert caught.value.code == "quarantined"
    await running.restart()
    await until(lambda: running.state == "running")
    assert await running.assess("evil", case(), 20) == Assessment()


async def test_one_case_that_crashes_a_plugin_again_and_again_does_not_quarantine_it(host: Host) -> None:
    running = await host(CRASH)
    for _ in range(4):
        assert await failure(running, "poison") == "crashed"
    assert await running.assess("evil", case(), 20) == Assessment()


async def test_a_quarantine_ends_by_itself(host: Host) -> None:
    running = await host(CRASH, policy=replace(QUICK, crashes=1, quarantine_s=0.01))
    assert await failure(running, "poison") == "crashed"
    await until(lambda: running.state == "running")
    assert await running.assess("evil", case(), 20) == Assessment()


async def test_a_plugin_that_changes_its_agents_is_not_served_under_its_old_grants(host: Host, vendor: Vendor) -> None:
    running = await host()
    source = (vendor.folder / "evil_module.py").read_text()
    (vendor.folder / "evil_module.py").write_text(source.replace('{"documents"}', '{"documents", "patient"}'))
    await running.restart()
    await until(lambda: running.state == "failed")
    assert running.reason == "changed"
    with pytest.raises(RetryLater):
        await running.assess("evil", case(), 20)


async def test_a_plugin_whose_code_is_another_goes_on_and_says_so(host: Host, vendor: Vendor) -> None:
    running = await host()
    before = running.agents[0].sources
    source = (vendor.folder / "evil_module.py").read_text()
    (vendor.folder / "evil_module.py").write_text(source + "# mended\n")
    pid = running.pid
    await running.restart()
    await until(lambda: running.state == "running" and running.pid not in {None, pid})
    assert len(before) == 64 and running.agents[0].sources not in {"", before}


# --- the start --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ('raise ValueError("欧阳锋")', "import_failed"),
        ("import os; os._exit(0)", "died_at_start"),
        ("import sys; sys.exit(0)", "died_at_start"),
        ("", "no_agents"),
        ('HISBUS_API = "2.0"', "api"),
        (HEAD.replace("NAME", "other") + "        pass\n" + TAIL, "name"),
        (HEAD.replace("NAME", "evil").replace('{"documents"}', '{"x"}') + "        pass\n" + TAIL, "unknown_grant"),
        (HEAD.replace('"NAME", "1"', '"evil", "1 欧阳锋"') + "        pass\n" + TAIL, "not_an_agent"),
    ],
)
async def test_a_plugin_that_cannot_start_is_shown_as_failed_with_a_code(
    vendor: Vendor, source: str, code: str
) -> None:
    vendor.module("evil", source)
    host = AgentHost(Plugin("evil"), vendor.settings("evil"))
    await host.start()
    assert (host.state, host.reason, host.agents, host.pid) == ("failed", code, [], None)
    await host.close()


async def test_a_missing_interpreter_is_the_operators_to_mend(tmp_path: Path) -> None:
    host = AgentHost(Plugin("evil"), Settings(site="test", plugins={"evil": {"python": tmp_path / "none"}}))
    await host.start()
    assert (host.state, host.reason) == ("failed", "interpreter")
    await host.close()


async def test_one_broken_plugin_stops_no_other_and_no_agent_is_served_twice(vendor: Vendor) -> None:
    vendor.agent("good", "return Assessment()")
    vendor.module("broken", "raise ValueError")
    source = (vendor.folder / "good_module.py").read_text()
    twin = source.replace('"good", "1"', '"twin", "1"').replace(
        "register(Agent())", "register(Agent())\n    other = Agent()\n    other.name = 'good'\n    register(other)"
    )
    vendor.module("twin", twin)
    names = ("broken", "good", "twin")
    hosts = await start_all([Plugin(name) for name in names], vendor.settings(*names))
    assert [(host.state, host.reason) for host in hosts] == [
        ("failed", "import_failed"),
        ("running", ""),
        ("failed", "agent_name_taken"),
    ]
    assert hosts[2].agents == []
    for host in hosts:
        await host.close()


ORPHAN = """
import asyncio, json, sys
from hisbus_bus.host.agents import AgentHost
from hisbus_bus.host.registry import Plugin
from hisbus_bus.kernel.settings import Settings
from hisbus.testing import make_document, make_event, make_vital

async def main():
    host = AgentHost(Plugin("evil"), Settings(site="test", plugins={"evil": {"python": sys.argv[1]}}))
    await host.start()
    print("pid", host.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_plugin_dies_with_its_parent_even_when_both_hang(vendor: Vendor) -> None:
    vendor.agent("evil", "pass")
    source = (vendor.folder / "evil_module.py").read_text()
    # It hangs in a thread of its own as soon as it is loaded, holding the interpreter most of the time.
    hang = "\ndef hang():\n    while True: pass\nimport threading\nthreading.Thread(target=hang).start()\n"
    vendor.module("evil", source + hang)
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ORPHAN, str(vendor.python), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readuntil(b"pid ") and await parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


def test_every_part_of_a_chart_can_be_granted() -> None:
    empty = case().chart.project(frozenset())
    assert all(not getattr(empty, part) for part in GRANTS)
