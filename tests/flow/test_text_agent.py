"""qc-text on the whole way: what the model says waits for a person, and without the model nothing closes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hisbus_servers import fake_model as fake
from hisbus_servers.fake_model import FakeServer

HEAD = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|202603020830{n:02}+0800||{type}|{n}|P|2.5||||||UNICODE UTF-8\r"
WHO = "EVN||202603020830{n:02}+0800\rPID|1||P{visit}^^^HOSP^MR||X^Y\rPV1|1|I|W3||||||||||||||||{visit}^^^HOSP\r"
SIGNED = "202603020830{n:02}+0800|||||D1^李|||D{of}|{parent}||||AU||AV|||D1^李^^^^^^^^^^^^^202603020830{n:02}+0800\r"
TEXT = "OBX|1|TX|TEXT^正文||{text}||||||F\r"


def admission(visit: str, n: int) -> bytes:
    return (HEAD.format(n=n, type="ADT^A01^ADT_A01") + WHO.format(n=n, visit=visit)).encode()


def record(visit: str, n: int, text: str, of: int = 0, parent: str = "", type: str = "T02") -> bytes:
    head = HEAD.format(n=n, type=f"MDM^{type}^MDM_T02") + WHO.format(n=n, visit=visit)
    signed = "TXA|1|C0034|TX|" + SIGNED.format(n=n, of=of or n, parent=parent)
    return (head + signed + TEXT.format(text=text)).encode()


def says(**answers: str) -> fake.Move:
    """Answer each question with the label that it knows and the words beside it; else that it cannot tell."""

    async def move(server: FakeServer, request: dict[str, Any]) -> fake.Said:
        form = request["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"]
        label = next((name for name in answers if name in form), "unclear")
        quotes = [{"document": "D1", "text": answers[label]}] if label in answers else []
        return await fake.answer({"quotes": quotes, "answer": label})(server, request)

    return move


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer() as running:
        running.otherwise = says(no_duration="胸痛")
        yield running


@pytest.fixture
def start(hospital: Any, server: FakeServer) -> Callable[[], Any]:
    llm = {"url": server.url, "model": "tiny", "breaker_failures": 1, "breaker_pause_s": 0.1}
    return lambda: hospital(agents={"qc-text": {}}, llm=llm)


async def found(bus: Any, status: str = "open") -> set[str]:
    items = await bus.everything("proposals", status=status)
    return {f"{item['visit']} {item['rule']}" for item in items if item["agent"] == "qc-text"}


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await true():
            await asyncio.sleep(0.02)


async def test_the_model_is_killed_between_two_assessments_and_no_finding_closes(
    start: Callable[[], Any], server: FakeServer
) -> None:
    async with start() as bus:
        await bus.send([admission("V1", 1), record("V1", 2, "主诉：胸痛。")])
        await bus.idle()
        assert await found(bus) == {"V1 R19"}

        await server.kill()
        # Without the model nobody can say that the corrected record is complete.
        corrected = record("V1", 3, "主诉：胸痛3小时。", of=3, parent="D2", type="T10")
        await bus.send([corrected, admission("V2", 4), record("V2", 5, "主诉：头晕。")])

        async def only_the_text_waits() -> bool:
            lag: dict[str, int] = (await bus.api.get("/readyz")).json()["lag"]
            return {step for step, count in lag.items() if count} == {"dispatch.qc-text"}

        await until(only_the_text_waits)
        assert await found(bus) | await found(bus, "stale") == {"V1 R19"}
        assert await found(bus, "resolved") == set() and await bus.everything("parked") == []

        server.otherwise = says(complete="3小时", no_duration="头晕")
        await server.start()
        await bus.idle()
        assert await found(bus, "resolved") == {"V1 R19"}
        assert await bus.everything("parked") == []


async def test_while_the_answers_are_of_no_use_the_finding_stands(start: Callable[[], Any], server: FakeServer) -> None:
    async with start() as bus:
        await bus.send([admission("V1", 1), record("V1", 2, "主诉：胸痛。")])
        await bus.idle()
        for n, move in enumerate((fake.text("无缺陷。"), fake.cut(), says(complete="胸痛")), 3):
            server.otherwise = move
            await bus.send([record("V1", n, "补充：同前。")])
            await bus.idle()
        assert await found(bus) == {"V1 R19"} and await found(bus, "resolved") == set()
        (proposal,) = [one for one in await bus.everything("proposals", status="open") if one["agent"] == "qc-text"]
        shown = await bus.get(f"proposals/{proposal['id']}")
        assert (shown["model"], shown["points"]) == ("tiny", 0)
        assert "由模型判断" in shown["message"]["zh"]
