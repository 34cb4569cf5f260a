"""One message makes the mapping fail: it is set aside with its bytes, and nobody waits for it, not even its patient."""

from typing import Any

import pytest

from hisbus_bus.kernel import parked
from hisbus_mapping import Mapping

ADMISSION = (
    b"MSH|^~\\&|EMR|HOSP|HISBUS|QC|2026030208300%d+0800||ADT^%s|%s|P|2.5||||||UNICODE UTF-8\r"
    b"EVN||2026030208300%d+0800\rPID|1||P1^^^HOSP^MR||Wang^X\rPV1|1|I|%s||||||||||||||||V1^^^HOSP\r"
)


def adt(n: int, trigger: bytes, id: bytes, ward: bytes) -> bytes:
    return ADMISSION % (n, trigger, id, n, ward)


async def test_a_poison_message_is_parked_the_key_moves_on_and_a_replay_takes_its_place(
    hospital: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    translate, tried = Mapping.translate, []

    def failing(self: Any, raw: Any, answers: Any = None) -> Any:
        if raw.control_id == "poison":
            tried.append(raw)
            raise ValueError(raw.body)
        return translate(self, raw, answers)

    monkeypatch.setattr(Mapping, "translate", failing)
    async with hospital() as bus:
        acks = await bus.send(
            [
                adt(1, b"A01^ADT_A01", b"first", b"W1^301^2"),
                adt(2, b"A02^ADT_A02", b"poison", b"W2^301^2"),
                adt(3, b"A08^ADT_A01", b"third", b""),
            ]
        )
        assert all(b"\rMSA|AA|" in ack for ack in acks), "stored is stored"
        await bus.idle()
        messages = {item["control_id"]: item["status"] for item in await bus.everything("messages")}
        assert messages == {"first": "mapped", "poison": "parked", "third": "mapped"}
        (row,) = await bus.everything("parked")
        assert (row["step"], row["reason"], row["attempts"]) == ("translate", "bug.ValueError", 4)
        assert 4 <= len(tried) <= 5, "once among others, then so often alone"

        monkeypatch.undo()
        async with bus.app.site.database.write() as connection:
            await parked.replay(connection, row["id"])
        await bus.idle()
        messages = {item["control_id"]: item["status"] for item in await bus.everything("messages")}
        assert set(messages.values()) == {"mapped"}
        (chart,) = (await bus.post("charts/search", {"visit": "V1"})).json()["items"]
        shown = await bus.get(f"charts/{chart['id']}")
        assert shown["location"]["ward"] == "W2", "the move took its place between the two"
        assert await bus.everything("parked", status="parked") == []
