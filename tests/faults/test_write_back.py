"""The HIS answers a write-back late, wrongly or not at all: at most one effect, and what is unknown is shown."""

from typing import Any

import pytest

from hisbus_simulator.his import Behaviour, His

pytestmark = pytest.mark.long

ADMISSION = (
    b"MSH|^~\\&|EMR|HOSP|HISBUS|QC|%s+0800||ADT^A01^ADT_A01|%s|P|2.5||||||UNICODE UTF-8\r"
    b"EVN||%s+0800\rPID|1||%s^^^HOSP^MR||Wang^X\rPV1|1|I|W3||||||||||||||||%s^^^HOSP\r"
)


def admission(time: bytes, visit: bytes) -> bytes:
    return ADMISSION % (time, visit, time, b"P" + visit, visit)


async def accept_the_finding(bus: Any) -> None:
    """Admit V1, let nine hours pass, and accept the finding that its first note is missing."""
    await bus.send([admission(b"20260302083000", b"V1"), admission(b"20260302173000", b"VZ")])
    await bus.idle()
    (proposal,) = await bus.everything("proposals", status="open")
    path = f"proposals/{proposal['id']}"
    tag = (await bus.api.get(f"/api/v1/{path}")).headers["ETag"]
    assert (await bus.post(f"{path}/decision", {"decision": "accept"}, **{"If-Match": tag})).status_code == 200


@pytest.mark.parametrize(
    "manner, status, code, effects",
    [
        ("nak", "applied", "AA", 1),
        ("refuse", "rejected_by_his", "AR", 0),
        ("silent", "undecided", "silence", 0),
        ("apply_silent", "undecided", "silence", 1),
        ("apply_close", "undecided", "closed", 1),
        ("half_close", "undecided", "closed", 0),
        ("wrong_msa2", "undecided", "wrong_msa2", 1),
    ],
)
async def test_whatever_the_his_does_it_takes_effect_at_most_once(
    hospital: Any, manner: Any, status: str, code: str, effects: int
) -> None:
    async with (
        His(behaviours=[Behaviour(manner)]) as his,
        hospital(send="{}:{}".format(*his.address), answer_s=1) as bus,
    ):
        await accept_the_finding(bus)
        await bus.idle()
        (writeback,) = await bus.everything("writebacks")
        assert (writeback["status"], writeback["code"], his.effects.total()) == (status, code, effects)
        if status == "undecided":
            answer = {"resolution": "applied" if effects else "not_applied", "note": "looked it up"}
            await bus.post(f"writebacks/{writeback['id']}/resolution", answer)
            await bus.idle()
            assert [item["status"] for item in await bus.everything("writebacks")] == ["applied"]
        assert max(his.effects.values(), default=0) == (0 if status == "rejected_by_his" else 1)


async def test_while_the_his_takes_no_connection_it_waits_and_then_leaves_once(
    hospital: Any, unused_tcp_port: int
) -> None:
    async with hospital(send=f"127.0.0.1:{unused_tcp_port}") as bus:
        await accept_the_finding(bus)
        waiting = []
        while not waiting:  # one attempt has found nobody
            waiting = [item for item in await bus.everything("writebacks") if item["code"] == "no_connection"]
        assert [item["status"] for item in waiting] == ["queued"]
        async with His(port=unused_tcp_port) as his:
            await bus.idle()
            assert [item["status"] for item in await bus.everything("writebacks")] == ["applied"]
    assert list(his.effects.values()) == [1]
