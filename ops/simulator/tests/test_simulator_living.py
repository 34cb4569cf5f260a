"""The ward that goes on living, and the signed document that somebody asks for."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from hisbus_simulator import ward_week
from hisbus_simulator.cli import app
from hisbus_simulator.facts import Filed
from hisbus_simulator.his import His
from hisbus_simulator.living import live, to_try
from hisbus_simulator.sender import Sender
from hisbus_simulator.week import STAYS, onward, signed

WEEK = ward_week(1)
UNSIGNED = next(finding.visit for finding in WEEK.expected if finding.rule == "R02" and finding.state == "absent")


def visits(messages):
    return {message.visit for message in messages}


def test_the_next_week_is_of_other_patients_and_begins_when_this_one_is_over():
    following = onward(1)
    assert following.messages[0].at > WEEK.clock
    assert not visits(following.messages) & visits(WEEK.messages)
    assert [m.body for m in following.messages] == [m.body for m in onward(1).messages]


async def test_the_ward_tells_what_happens_when_it_happens():
    first = WEEK.messages[0]
    told = [first, replace(WEEK.messages[1], at=first.at + timedelta(minutes=2))]
    loop, seen = asyncio.get_running_loop(), []
    async with His() as his:
        begun = loop.time()
        await live(told, Sender(*his.address), hour_s=3.0, sent=lambda message: seen.append(loop.time() - begun))
    assert len(seen) == 2
    assert seen[0] >= 0.1 and seen[1] >= 0.2, "two minutes before the first, and two between them"


def test_what_is_missing_comes_as_it_should_have_been():
    message = signed(1, STAYS, UNSIGNED, "C0037")
    assert message is not None and isinstance(message.fact, Filed)
    admitted = next(m.fact.admitted for m in WEEK.messages if m.visit == UNSIGNED)
    assert message.fact.signed - admitted < timedelta(hours=8)
    assert message.at == WEEK.clock and message.visit == UNSIGNED
    assert not any(isinstance(m.fact, Filed) and m.fact.type == "C0037" for m in WEEK.messages if m.visit == UNSIGNED)


def test_it_is_of_the_patient_that_the_week_told_of():
    message = signed(1, STAYS, UNSIGNED, "C0037")
    patients = {m.text.split("PID|")[1].split("\r")[0] for m in WEEK.messages if m.visit == UNSIGNED}
    assert message.text.split("PID|")[1].split("\r")[0] in patients


def test_a_document_that_no_such_stay_has_is_none():
    assert signed(1, STAYS, UNSIGNED, "C0009") is None
    assert signed(1, STAYS, "ZY1", "C0037") is None


async def test_the_command_sends_it_once():
    async with His() as his:
        to = f"{his.address[0]}:{his.address[1]}"
        done = await asyncio.to_thread(CliRunner().invoke, app, ["sign", UNSIGNED, "C0037", "--to", to])
        assert done.exit_code == 0, done.output
        assert his.received == [f"{UNSIGNED}-C0037"]
    none = CliRunner().invoke(app, ["sign", UNSIGNED, "C0009"])
    assert none.exit_code == 1 and "has no C0009" in none.output


def test_five_things_to_try_name_their_addresses():
    given = {"command": "sign {visit} C0037 --to 127.0.0.1:2", "folder": "var/demo", "visit": "V1", "finding": "p1"}
    said = to_try("http://127.0.0.1:1", agent=77, **given)
    assert [line[:2] for line in said if not line.startswith(" ")] == ["1.", "2.", "3.", "4.", "5."]
    for part in ("127.0.0.1:1/findings/p1", "sign V1 C0037", "kill -9 77", "[llm] url", "make demo-kafka"):
        assert part in "\n".join(said)
    assert "kill" not in "\n".join(to_try("http://127.0.0.1:1", agent=None, **given))


@pytest.mark.parametrize(
    ("given", "says"),
    [(["--kafka", "127.0.0.1:1"], "go together"), (["--site", "plain", "--past", "0"], "leave out --past 0")],
    ids=["a broker without a database", "a site that sends less, without its past"],
)
def test_a_demo_that_makes_no_sense_is_refused(given, says):
    done = CliRunner().invoke(app, ["demo", *given])
    assert done.exit_code == 2 and says in done.output
