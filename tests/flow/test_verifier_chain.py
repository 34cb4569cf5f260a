"""Agents that hear of each other's proposals: a person sees both voices, and they never talk for ever."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEAD = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|{visit}|P|2.5||||||UNICODE UTF-8\r"
BODY = "EVN||20260302083000+0800\rPID|1||P{visit}^^^HOSP^MR||X^Y\rPV1|1|I|W3||||||||||||||||{visit}^^^HOSP\r"

AGENTS = """
from hisbus import hookimpl
from hisbus_schemas import Assessment, CodeSet, Evidence, Finding, Opinion, Text

HERE = Text(zh="有", en="here")

class Writer:
    name, version, kinds, grants = "writer", "1", frozenset({"encounter.admitted"}), frozenset()

    async def assess(self, case):
        codes = CodeSet(key="codes", rule="codes", message=HERE)
        found = Finding(key="found", rule="found", message=HERE)
        return Assessment(evaluated=frozenset({"codes", "found"}), proposals=[codes, found])

class Check:
    name, version, kinds, grants = "check", "1", frozenset({"proposals.changed"}), frozenset({"codesets"})

    async def assess(self, case):
        proof = [Evidence(path="admitted", value=case.chart.stay("admitted"))]
        said = [
            Opinion(proposal=one.id, verdict="dispute", message=Text(zh=one.agent, en=one.agent), evidence=proof)
            for one in case.proposals
        ]
        return Assessment(opinions=said)

class Restless:
    grants = frozenset({"findings"})

    def __init__(self, name, *kinds):
        self.name, self.version, self.kinds = name, "1", frozenset(kinds)

    async def assess(self, case):
        # Says something else each time, and so would make the others look again, and they this one.
        new = Evidence(path="version", value=str(case.chart.version))
        found = Finding(key="found", rule=self.name, message=HERE, evidence=[new])
        return Assessment(evaluated=frozenset({self.name}), proposals=[found])

@hookimpl
def register_agents(register):
    for agent in MADE:
        register(agent)
"""


def admission(visit: str) -> bytes:
    return (HEAD + BODY).format(visit=visit).encode()


@pytest.fixture
def install(tmp_path: Path, ship: Any) -> Callable[[str, str], dict[str, Any]]:
    """Install a plugin with some of the agents."""
    return lambda name, made: {name: {"python": ship(tmp_path, name, AGENTS.replace("MADE", made))}}


async def test_an_agent_hears_of_what_another_proposed_and_a_person_sees_both(hospital: Any, install: Any) -> None:
    async with hospital(plugins=install("writer", "(Writer(), Check())")) as bus:
        await bus.send([admission("V1"), admission("V2")])
        await bus.idle()
        shown = {
            (item["visit"], item["kind"]): item["opinions"]
            for item in await bus.everything("proposals", status="open", agent="writer")
        }
        for visit in ("V1", "V2"):
            (voice,) = shown[visit, "codeset"]
            assert (voice["agent"], voice["verdict"], voice["message"]["en"]) == ("check", "dispute", "writer")
            assert voice["evidence"][0]["path"] == "admitted"
            assert shown[visit, "finding"] == [], "it was not granted findings, so it said nothing of them"
        assert await bus.everything("parked") == []


async def test_two_agents_that_answer_each_other_come_to_an_end(hospital: Any, install: Any) -> None:
    made = '(Restless("first", "encounter.admitted", "proposals.changed"), Restless("second", "proposals.changed"))'
    async with hospital(plugins=install("first", made), agents={"qc": {"enabled": False}}) as bus:
        await bus.send([admission("V1")])
        await bus.idle()
        said = await bus.everything("proposals")
        revisions = {
            name: sorted(one["status"] for one in said if one["agent"] == name) for name in ("first", "second")
        }
        assert revisions == {"first": ["open", "superseded"], "second": ["open"]}
        (stay,) = {one["encounter"] for one in said}
        assert (await bus.get(f"charts/{stay}"))["version"] == 3, "the admission, and news of two depths"
