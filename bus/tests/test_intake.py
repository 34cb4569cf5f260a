import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from hisbus.connector import Arrival, Verdict
from hisbus.errors import RetryLater
from hisbus_bus.flow.intake import Intake
from hisbus_bus.kernel.controls import Part
from hisbus_bus.kernel.site import Site
from hisbus_mapping import Judged
from hisbus_schemas import PatientId

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PATIENT = PatientId(authority="HOSP", number="P1")


class Connector:
    name, polls, backfill = "his", False, False


class Mapping:
    """Reads the patient's number from the body: what stands before the colon."""

    connector = Connector()

    def judge(self, arrival: Arrival) -> Judged:
        number, colon, _ = arrival.body.decode().partition(":")
        patient = PatientId(authority="HOSP", number=number) if colon else None
        return Judged(arrival.refusal or ("self_merge" if number == "self" else ""), patient, arrival.flags)


def arrival(**fields: Any) -> Arrival:
    return Arrival(**{"id": "abc", "body": b"P1:MSH|...", "received": NOON, **fields})


@pytest.fixture
def intake(site: Site) -> Intake:
    mapping: Any = Mapping()
    return Intake(site, "his", {"his": mapping})


async def test_the_original_bytes_are_stored_under_the_patient_s_key(site: Site, intake: Intake, log: Any) -> None:
    came = arrival(control_id="17", type="ADT^A01", acknowledge="MSH|ack{}".format, flags=("a", "b"))
    assert await intake.store(came) == Verdict("", "MSH|ack")
    (record,) = log.appended
    assert (record.topic, record.value, record.key) == ("raw", b"P1:MSH|...", site.keys.patient(PATIENT))
    named = {name: record.headers[name] for name in ("message", "connector", "control_id", "msgtype", "ack", "flags")}
    assert list(named.values()) == ["abc", "his", "17", "ADT^A01", "MSH|ack", "a,b"]
    assert record.headers["keyid"] == site.keys.id


async def test_nothing_of_the_patient_can_be_read_from_key_or_headers(intake: Intake, log: Any) -> None:
    await intake.store(arrival(body=b"CANARY:MSH|..."))
    (record,) = log.appended
    assert "CANARY" not in record.key + repr(record.headers)


async def test_copies_of_what_names_no_patient_meet_in_one_place(intake: Intake, log: Any) -> None:
    for id in ("abc", "abc", "def"):
        await intake.store(arrival(id=id, body=b"no patient", refusal="not_hl7"))
    first, second, third = log.appended
    assert first.key == second.key != third.key
    assert first.headers["verdict"] == "not_hl7"


async def test_what_the_envelope_refuses_is_stored_with_its_verdict_and_answered_by_it(
    intake: Intake, log: Any
) -> None:
    verdict = await intake.store(arrival(body=b"self:", acknowledge="MSA|AR|{}\0".format))
    assert verdict == Verdict("self_merge", "MSA|AR|self_merge\0")
    (record,) = log.appended
    assert (record.headers["verdict"], record.headers["ack"]) == ("self_merge", "MSA|AR|self_merge"), "no NUL is kept"


async def test_what_the_log_does_not_confirm_is_not_taken(
    site: Site, intake: Intake, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_records: Any) -> None:
        raise RetryLater(code="log")

    monkeypatch.setattr(log, "append", away)
    with pytest.raises(RetryLater):
        await intake.store(arrival())


@pytest.mark.parametrize("wanted", ["pause", "drain"])
async def test_what_comes_while_an_operator_holds_the_connector_is_neither_stored_nor_taken(
    site: Site, log: Any, wanted: Any
) -> None:
    mapping: Any = Mapping()
    part = Part("connector:his", "step:intake")
    held = Intake(site, "his", {"his": mapping}, part)
    part.hear({"step:intake": wanted})
    with pytest.raises(RetryLater):
        await held.store(arrival())
    assert log.appended == []
    part.hear({})
    await held.store(arrival())
    assert len(log.appended) == 1


async def test_a_connector_comes_to_rest_when_what_is_being_stored_is_stored(
    site: Site, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, confirmed, append = asyncio.Event(), asyncio.Event(), log.append

    async def slow(records: Any) -> None:
        begun.set()
        await confirmed.wait()
        await append(records)

    monkeypatch.setattr(log, "append", slow)
    mapping: Any = Mapping()
    part = Part("connector:his")
    storing = asyncio.create_task(Intake(site, "his", {"his": mapping}, part).store(arrival()))
    await begun.wait()
    part.hear({"connector:his": "pause"})
    assert not part.at_rest
    confirmed.set()
    await storing
    assert (part.at_rest, len(log.appended)) == (True, 1)
