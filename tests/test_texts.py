"""Every word of ours that a page may show has a text in each language of the page."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from hisbus_bus.desk import named
from hisbus_bus.desk.process import ModelState
from hisbus_bus.desk.read import followed, work
from hisbus_bus.desk.texts import texts
from hisbus_bus.flow.chart.visits import ANOTHER, CIRCULAR, NOT_REGISTERED, REUSED, UNASSIGNED
from hisbus_bus.flow.review import states as review
from hisbus_bus.flow.writeback import states as writeback
from hisbus_bus.host.agents import State
from hisbus_bus.kernel.controls import Now
from hisbus_bus.kernel.signals import Kind
from hisbus_bus.kernel.states import STEP, Proposed, WrittenBack
from hisbus_bus.kernel.topics import STEPS
from hisbus_schemas.assessment import Finding, Opinion, UnevaluatedReason

ROOT = Path(__file__).parents[1]
LANGUAGES = ("zh", "en")


def constants(node: ast.AST) -> set[str]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)} - {""}


def branches(node: ast.AST) -> set[str]:
    """Return the texts that an expression may be, its conditions left out."""
    if isinstance(node, ast.IfExp):
        return branches(node.body) | branches(node.orelse)
    return constants(node) if isinstance(node, ast.Constant) else set()


def emitted(module: ast.AST) -> Iterator[str]:
    """Yield the words that the findings of a module have for a ``state``, wherever they come from."""
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    for call in calls:
        for keyword in call.keywords:
            if keyword.arg != "state":
                continue
            yield from branches(keyword.value)
            if isinstance(keyword.value, ast.Name):
                for node in ast.walk(module):
                    if isinstance(node, ast.Assign) and any(
                        isinstance(target, ast.Name) and target.id == keyword.value.id for target in node.targets
                    ):
                        yield from branches(node.value)
            if isinstance(keyword.value, ast.Attribute):  # `item.why`, of an item whose status is reported
                for other in calls:
                    given = {word.arg: word.value for word in other.keywords}
                    if keyword.value.attr in given and "missed" in constants(given.get("status", ast.Constant(""))):
                        yield from branches(given[keyword.value.attr])


def states() -> set[str]:
    sources = (ROOT / "plugins").glob("*/src/**/*.py")
    return {word for file in sources for word in emitted(ast.parse(file.read_text(encoding="utf-8")))}


def test_the_words_of_the_plugins_are_found() -> None:
    assert states() >= {"absent", "late", "too_long", "not_determinable", "running", "discharged"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_that_a_plugin_emits_has_a_text(language: str) -> None:
    assert states() <= texts(language)["state"].keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_the_bus_has_a_text(language: str) -> None:
    t: Any = texts(language)
    words = {
        "status": {state.status for states in review.TABLE.rows for state in states[:1]} - {Proposed.NEW},
        "receipt": set(WrittenBack.ALL),
        "writeback-status": set(WrittenBack.ALL),
        "step": {*STEPS, "outbox"},
        "agent": {*get_args(State), "elsewhere"},
        "model": set(get_args(ModelState.__annotations__["status"])),
        "controls": {*get_args(Now)} - {"running"},
        "signals": {*get_args(Kind)} - {"held"},
        "unevaluated": set(get_args(UnevaluatedReason)),
        "severity": set(get_args(Finding.model_fields["severity"].annotation)),
        "verdict": set(get_args(Opinion.model_fields["verdict"].annotation)),
        "called": set(get_args(followed.Called)),
        "judged": set(get_args(followed.Judged)),
        "work-kind": set(work.KINDS),
        "work-todo": set(work.KINDS),
        "no-stay": {UNASSIGNED, NOT_REGISTERED, ANOTHER, REUSED, CIRCULAR},
    }
    assert {table: missing for table, known in words.items() if (missing := known - t[table].keys())} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_change_in_the_history_of_a_proposal_has_a_text_of_its_own(language: str) -> None:
    t = texts(language)
    told = {review.told(before, event, now) for (before, event, _), now in review.TABLE.rows.items()}
    told |= {f"writeback.{status}" for status in writeback.TABLE.rows.values()}
    said = {status: named.change(status, t) for status in told}
    assert [status for status, text in said.items() if text == status] == []
    assert len(set(said.values())) == len(said)


def test_who_acted_and_which_part_are_said_in_the_readers_words() -> None:
    zh, en = texts("zh"), texts("en")
    assert named.actor(f"{STEP}:review", zh) == "审核"
    assert named.actor("user:ann", zh) == "ann"
    assert named.actor("command:root/ann", en) == "Command line: root/ann"
    assert (named.part("agent:qc", zh), named.part("connector:his", en)) == ("智能体 qc", "Connector his")
    assert (named.step("dispatch.qc", zh), named.part("step:chart", en)) == ("智能体调用 qc", "Chart")
