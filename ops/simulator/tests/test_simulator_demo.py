"""The demo's parts: comparing, the scripted reviewer, the child process."""

import asyncio
import json
import os
import socket
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from hisbus_bus.kernel.settings import load
from hisbus_simulator.api import review
from hisbus_simulator.child import Child, ChildError, Servers, free_port
from hisbus_simulator.cli import app
from hisbus_simulator.oracle import Expected
from hisbus_simulator.outcome import Outcome, compare, shortcomings
from hisbus_simulator.sites import BY_HAND

pytestmark = pytest.mark.long

EXPECTED = [Expected("V1", "R01", "late", "V1"), Expected("V1", "R27", "", "a"), Expected("V1", "R27", "", "b")]


def proposal(visit="V1", rule="R01", state="late", id="p1"):
    return {"id": id, "kind": "finding", "visit": visit, "rule": rule, "state": state, "due": None, "status": "open"}


def outcome(findings, unexpected=0):
    return Outcome(
        events_in=3,
        findings=findings,
        unexpected=unexpected,
        decided=1,
        accepted=1,
        written_back=1,
        acknowledged=1,
        parked=0,
        seconds=1.0,
    )


def test_findings_are_compared_by_visit_rule_and_state():
    there = [proposal(), proposal(rule="R27", state=""), proposal(visit="V2"), proposal(state="absent")]
    findings, unexpected = compare(EXPECTED, there)
    assert findings["R01"] == {"expected": 1, "found": 1}
    assert findings["R27"] == {"expected": 2, "found": 1}
    assert findings["R48"] == {"expected": 0, "found": 0}
    assert unexpected == 2


def test_an_outcome_is_good_only_if_all_was_found_and_every_accepted_finding_arrived_once():
    findings, _ = compare(EXPECTED[:1], [proposal()])
    writebacks = [{"id": "w1", "proposal": "p1"}]
    assert shortcomings(outcome(findings), ["p1"], writebacks, {"w1": 1}) == []
    assert shortcomings(outcome(findings, unexpected=1), ["p1"], writebacks, {"w1": 1})
    assert shortcomings(outcome(findings), ["p1"], writebacks, {"w1": 2})
    assert shortcomings(outcome(findings), ["p1"], writebacks, {})
    assert shortcomings(outcome(findings), ["p1"], [], {"w1": 1})
    assert shortcomings(outcome(findings), [], writebacks, {"w1": 1})
    missing, _ = compare(EXPECTED, [proposal()])
    assert shortcomings(outcome(missing), ["p1"], writebacks, {"w1": 1})


def test_the_summary_has_the_keys_that_others_read():
    findings, _ = compare(EXPECTED, [proposal()])
    summary = json.loads(outcome(findings).json())
    assert list(summary) == [
        "events_in",
        "findings",
        "unexpected",
        "decided",
        "accepted",
        "written_back",
        "acknowledged",
        "parked",
        "seconds",
    ]
    assert summary["findings"]["R01"] == {"expected": 1, "found": 1}


class FakeApi:
    def __init__(self, proposals):
        self.proposals, self.answers = proposals, {}

    async def items(self, path, **filters):
        assert (path, filters) == ("proposals", {"status": "open"})
        return self.proposals

    async def decide(self, id, answer):
        self.answers[id] = answer


async def test_the_script_answers_all_and_the_same_seed_the_same_in_any_order():
    there = [proposal(visit=f"V{n}", id=f"p{n}") for n in range(40)]
    one, other = FakeApi(there), FakeApi(there[::-1])
    reviewed = await review(one, 1)
    assert await review(other, 1) == reviewed
    assert one.answers == other.answers
    assert {answer["decision"] for answer in one.answers.values()} == {"accept", "edit", "reject"}
    assert len(reviewed.accepted) > len(reviewed.rejected) > 0
    assert len(one.answers) == len(reviewed.accepted) + len(reviewed.rejected) == 40
    assert all(answer.get("reason") for answer in one.answers.values() if answer["decision"] == "reject")


def test_a_taken_port_is_replaced_by_a_free_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port


def test_a_demo_with_a_past_goes_by_what_was_seen(tmp_path):
    child = Child(tmp_path / "demo", 1, "plain")
    settings = load(tmp_path / "demo" / "hisbus.toml")
    assert (settings.coverage.default, dict(settings.coverage.items)) == ("observed", BY_HAND["plain"])
    before = {one["name"]: one.get("backfill", False) for one in settings.connectors}
    assert before == {"his": False, "past": True}
    assert child.past != child.listen and child.agents() == {}


def test_without_one_everything_is_judged_at_once(tmp_path):
    Child(tmp_path / "demo", 1)
    settings = load(tmp_path / "demo" / "hisbus.toml")
    assert settings.coverage.default == "connected" and [one["name"] for one in settings.connectors] == ["his"]


def test_a_demo_on_real_servers_has_their_addresses_and_a_secret_that_nobody_else_reads(tmp_path):
    Child(tmp_path / "demo", 1, servers=Servers("127.0.0.1:9092", "postgresql://postgres@127.0.0.1/postgres"))
    settings = load(tmp_path / "demo" / "hisbus.toml")
    assert settings.log.url == "kafka://127.0.0.1:9092" and settings.log.durability == "single-broker"
    assert settings.database.url == "postgresql://postgres@127.0.0.1/postgres"
    assert settings.secret_file is not None and settings.secret_file.stat().st_mode & 0o777 == 0o600


async def test_work_ends_when_the_child_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(Child, "_command", lambda self, *arguments: [sys.executable, "-c", "raise SystemExit(3)"])
    async with Child(tmp_path / "demo", 1) as child:
        with pytest.raises(ChildError, match="exit code 3"):
            await child.meanwhile(asyncio.sleep(60))


async def test_the_child_is_ended_with_the_block(tmp_path, monkeypatch):
    program = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print(1); signal.pause()"
    monkeypatch.setattr(Child, "_command", lambda self, *arguments: [sys.executable, "-u", "-c", program])
    async with Child(tmp_path / "demo", 1) as child:
        async with asyncio.timeout(20):
            while not child.log.read_text():
                await asyncio.sleep(0.02)
    assert child._process.returncode == 0


async def test_a_failing_command_says_what_it_said(tmp_path, monkeypatch):
    program = "import sys; sys.exit('no such role')"
    monkeypatch.setattr(Child, "_command", lambda self, *arguments: [sys.executable, "-c", program])
    with pytest.raises(ChildError, match="no such role"):
        await Child(tmp_path / "demo", 1).ask("user", "add", "reviewer")


def test_the_command_prints_what_must_be_found_and_the_feed():
    expected = CliRunner().invoke(app, ["expect", "--seed", "1"])
    assert {"visit", "rule", "state", "subject", "rests"} == set(json.loads(expected.stdout)[0])
    plain = CliRunner().invoke(app, ["expect", "--site", "plain"])
    assert len(json.loads(plain.stdout)) < len(json.loads(expected.stdout))
    feed = CliRunner().invoke(app, ["messages", "--patients", "2", "--visit", "ZY260300001"])
    assert feed.stdout.startswith("MSH|^~\\&|EMR|HOSP")
    assert CliRunner().invoke(app, ["send", "--to", "nowhere"]).exit_code == 2
    assert CliRunner().invoke(app, ["receive", "--behave", "rude"]).exit_code == 2


@pytest.mark.timeout(300)
def test_the_whole_demo_ends_well_without_a_terminal(tmp_path):
    command = [sys.executable, "-m", "hisbus_simulator", "demo", "--patients", "4", "--folder", str(tmp_path / "demo")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "demo-summary.json").read_text())
    expected = sum(counts["expected"] for counts in summary["findings"].values())
    assert expected == summary["decided"] == 12
    assert summary["accepted"] == summary["written_back"] == summary["acknowledged"] > 0
    assert (summary["unexpected"], summary["parked"]) == (0, 0)


def test_a_demo_that_cannot_start_says_why_and_where_to_look(tmp_path):
    command = [sys.executable, "-m", "hisbus_simulator", "demo", "--patients", "2", "--folder", str(tmp_path / "demo")]
    wrong = os.environ | {"HISBUS_SITE": "Bad Site"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, env=wrong)
    assert done.returncode == 1
    assert "hisbus stopped with exit code 2" in done.stdout
    assert "hisbus.log" in done.stdout
    assert not (tmp_path / "demo-summary.json").exists()
