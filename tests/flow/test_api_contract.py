"""What programs rely on: the fields of the API, one finding's way from message to receipt, and its refusals."""

from typing import Any

from hisbus_simulator.his import Behaviour, His

ADMISSION = (
    b"MSH|^~\\&|EMR|HOSP|HISBUS|QC|%s+0800||ADT^A01^ADT_A01|%s|P|2.5||||||UNICODE UTF-8\r"
    b"EVN||%s+0800\rPID|1||%s^^^HOSP^MR||\xe7\x8e\x8b^\xe5\xbb\xba\xe5\x9b\xbd\r"
    b"PV1|1|I|W3^301^2||||||||||||||||%s^^^HOSP\rZZZ|1|local\r"
)

MESSAGE = {
    "id", "connector", "control_id", "type", "received", "status", "flags", "raw", "ack", "events", "unmapped",
    "reason", "proposals", "writebacks",
}  # fmt: skip
CHART = {
    "id", "visit", "version", "status", "patient", "location", "admitted", "discharged", "documents", "diagnoses",
    "procedures", "orders", "results", "vitals",
}  # fmt: skip
PROPOSAL = {
    "id", "kind", "agent", "rule", "key", "status", "state", "severity", "points", "message", "encounter", "visit",
    "evidence", "reads", "opened", "due", "payload", "history",
}  # fmt: skip


def admission(time: bytes, visit: bytes) -> bytes:
    return ADMISSION % (time, visit, time, b"P" + visit, visit)


async def feed(bus: Any) -> dict[str, Any]:
    """Admit V1, let nine hours pass, and return the finding."""
    await bus.send([admission(b"20260302083000", b"V1"), admission(b"20260302173000", b"VZ")])
    await bus.idle()
    (proposal,) = await bus.everything("proposals", status="open")
    found: dict[str, Any] = proposal
    return found


async def test_every_field_that_is_promised_is_there(hospital: Any) -> None:
    async with hospital() as bus:
        proposal = await feed(bus)
        message = await bus.get(f"messages/{(await bus.everything('messages'))[-1]['id']}")
        (chart,) = (await bus.post("charts/search", {"visit": "V1"})).json()["items"]
        openapi = (await bus.api.get("/openapi.json")).json()
        for path in ("writebacks", "parked", "controls", "signals", "audit"):
            assert (await bus.get(path)).keys() == {"items", "next_cursor"}
    assert message.keys() >= MESSAGE
    assert (message["unmapped"], message["raw"][:4]) == (["ZZZ"], "MSH|")
    assert [event["kind"] for event in message["events"]] == ["encounter.admitted"]
    assert chart.keys() >= CHART
    assert chart["patient"] == {"id": "PV1", "name": "王建国", "birth_date": None, "sex": ""}
    assert chart["location"] == {"ward": "W3", "room": "301", "bed": "2"}
    assert proposal.keys() >= PROPOSAL
    assert (proposal["visit"], proposal["rule"], proposal["state"]) == ("V1", "R02", "absent")
    assert proposal["message"].keys() == {"zh", "en"}
    assert [item["path"] for item in proposal["evidence"]] == ["admitted"]
    assert "/api/v1/proposals/{id}/decision" in openapi["paths"]


async def test_a_decision_is_bound_to_what_was_seen_and_made_once(hospital: Any) -> None:
    async with His() as his, hospital(send="{}:{}".format(*his.address)) as bus:
        proposal = await feed(bus)
        path = f"proposals/{proposal['id']}"
        tag = (await bus.api.get(f"/api/v1/{path}")).headers["ETag"]
        answers = [
            await bus.post(f"{path}/decision", {"decision": "accept"}),
            await bus.post(f"{path}/decision", {"decision": "accept"}, **{"If-Match": '"another"'}),
            await bus.post(f"{path}/decision", {"decision": "reject"}, **{"If-Match": tag}),
            await bus.post(f"{path}/decision", {"decision": "accept"}, **{"If-Match": tag}),
            await bus.post(f"{path}/decision", {"decision": "accept"}, **{"If-Match": tag}),
        ]
        assert [answer.status_code for answer in answers] == [428, 412, 422, 200, 409]
        assert {answer.headers["content-type"] for answer in answers if answer.status_code != 200} == {
            "application/problem+json"
        }
        await bus.idle()
        (writeback,) = await bus.everything("writebacks")
        history = [change["status"] for change in (await bus.get(path))["history"]]
    assert (writeback["status"], writeback["proposal"]) == ("applied", proposal["id"])
    assert his.effects == {writeback["id"]: 1}
    assert history == ["open", "accepted", "writeback.queued", "writeback.sending", "writeback.applied"]


async def test_what_the_his_never_answered_waits_for_a_person_who_answers_it(hospital: Any) -> None:
    behaviours = [Behaviour("apply_close")]
    async with His(behaviours=behaviours) as his, hospital(send="{}:{}".format(*his.address)) as bus:
        proposal = await feed(bus)
        path = f"proposals/{proposal['id']}"
        tag = (await bus.api.get(f"/api/v1/{path}")).headers["ETag"]
        await bus.post(f"{path}/decision", {"decision": "accept"}, **{"If-Match": tag})
        await bus.idle()
        (undecided,) = await bus.everything("writebacks")
        assert (undecided["status"], undecided["code"]) == ("undecided", "closed")
        answer = {"resolution": "applied", "note": "seen in the HIS"}
        resolved = await bus.post(f"writebacks/{undecided['id']}/resolution", answer)
        assert resolved.status_code == 200
        assert [item["status"] for item in await bus.everything("writebacks")] == ["applied"]
    assert list(his.effects.values()) == [1]


async def test_a_person_who_finds_nothing_in_the_his_has_it_sent_again(hospital: Any) -> None:
    async with His(behaviours=[Behaviour("half_close")]) as his, hospital(send="{}:{}".format(*his.address)) as bus:
        proposal = await feed(bus)
        path = f"proposals/{proposal['id']}"
        tag = (await bus.api.get(f"/api/v1/{path}")).headers["ETag"]
        await bus.post(f"{path}/decision", {"decision": "edit", "payload": {"note": "已电话通知"}}, **{"If-Match": tag})
        await bus.idle()
        (undecided,) = await bus.everything("writebacks")
        assert (undecided["status"], his.effects) == ("undecided", {})
        answer = {"resolution": "not_applied", "note": "not there"}
        await bus.post(f"writebacks/{undecided['id']}/resolution", answer)
        await bus.idle()
        assert [item["status"] for item in await bus.everything("writebacks")] == ["applied"]
    (document,) = his.documents.values()
    assert any("已电话通知" in line for line in document.lines)
