"""Codes and findings of one stay, from HL7 to the page: the second voice on codes stands beside both."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hisbus.terms import Release, store, table
from hisbus_bus.command.main import app as command
from hisbus_servers import fake_model as fake
from hisbus_servers.fake_model import FakeServer

TABLE = """编码,名称
J18.900,肺炎
S72.000,股骨颈骨折
W19.x00,跌倒
"""
AGENTS = {name: {"enabled": True} for name in ("coding", "coding-rules", "coding-check")}
HEAD = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|202603{at}+0800||{type}|{at}|P|2.5||||||UNICODE UTF-8\r"
WHO = "EVN||202603{at}+0800\rPID|1||P1^^^HOSP^MR||王^芳||19600504|F\r"
STAY = "PV1|1|I|W3^301^2^HOSP||||D100^李^明|||CARD|||||||||V1^^^HOSP|||||||||||||||||||||||||202603{begin}+0800|{end}\r"


def message(type: str, at: str, *segments: str, end: str = "") -> bytes:
    stay = STAY.format(begin="02083000", end=end)
    return (HEAD.format(type=type, at=at) + WHO.format(at=at) + stay + "".join(f"{one}\r" for one in segments)).encode()


def admitted() -> bytes:
    return message("ADT^A01^ADT_A01", "02083000")


def summary(at: str, text: str, trigger: str = "T02") -> bytes:
    signed = f"D100^李^明^^^^^^^^^^^^202603{at}+0800"
    txa = f"TXA|1|C0049|TX|202603{at}+0800|||||D100^李^明|||D1|||||AU||AV|||{signed}"
    return message(f"MDM^{trigger}^MDM_T02", at, txa, f"OBX|1|TX|TEXT^正文||{text}||||||F")


def discharged(*diagnoses: str) -> bytes:
    return message("ADT^A03^ADT_A03", "06100000", *diagnoses, end="20260306100000+0800")


@pytest.fixture
def terms(tmp_path: Path) -> Path:
    file = tmp_path / "terms.db"
    facts = {"version": "1", "source": "made-up.csv", "sha256": "0" * 64, "loaded": "2026-03-01T00:00:00+00:00"}
    store.load(file, Release("MADE-UP", "diagnosis", **facts, licence="made up"), table.read(TABLE.encode()).rows)
    return file


async def open_proposals(bus: Any) -> dict[tuple[str, str], dict[str, Any]]:
    its = await bus.everything("proposals", status="open")
    return {(item["agent"], item["rule"]): item for item in its}


def voices(item: dict[str, Any]) -> list[tuple[str, str]]:
    return [(voice["agent"], voice["verdict"]) for voice in item["opinions"]]


async def test_a_code_that_rests_on_another_persons_note_is_disputed_until_the_note_is_mended(
    hospital: Any, terms: Path
) -> None:
    async with hospital(terms_file=terms, agents=AGENTS) as bus:
        await bus.send([admitted(), summary("06090000", "患者李强，男，诉发热。出院诊断：肺炎"), discharged()])
        await bus.idle()
        its = await open_proposals(bus)
        assert ("qc", "R47") in its
        codes = its["coding", "codes"]
        assert voices(codes) == [("coding-check", "dispute")]
        (voice,) = codes["opinions"]
        assert "J18.900" in voice["message"]["zh"] and "R47" in voice["message"]["zh"]
        assert {"肺炎"} <= {item.get("quote") for item in voice["evidence"]}
        assert voices(its["qc", "R47"]) == [], "the set does not answer it"

        await bus.send([summary("06110000", "患者王芳，女，诉发热。出院诊断：肺炎", "T10")])
        await bus.idle()
        its = await open_proposals(bus)
        assert ("qc", "R47") not in its
        assert voices(its["coding", "codes"]) == []
        assert await bus.everything("parked") == []


async def test_a_set_that_answers_a_finding_is_confirmed_on_both_sides(hospital: Any, terms: Path) -> None:
    async with hospital(terms_file=terms, agents=AGENTS) as bus:
        fall = "DG1|1||W19.x00^跌倒^I10|||F|||||||||1"
        await bus.send([admitted(), summary("06090000", "出院诊断：1.股骨颈骨折 2.跌倒"), discharged(fall)])
        await bus.idle()
        its = await open_proposals(bus)
        codes, finding = its["coding", "codes"], its["qc", "R51"]
        assert voices(codes) == [("coding-check", "confirm")] == voices(finding)
        (voice,) = finding["opinions"]
        assert voice["message"]["en"] == "R51: The proposed principal diagnosis is S72.000."
        assert voice["evidence"][0]["quote"] == "股骨颈骨折"
        assert ("coding-rules", "R51.external") not in its, "the defect is named once"
        assert "coding-check" not in {agent for agent, _ in its}, "it has opinions, and no proposals of its own"
        assert await bus.everything("parked") == []


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)  # the command is given the embedded files
async def test_a_table_that_is_loaded_while_the_site_runs_codes_the_stays_that_waited_for_it(
    hospital: Any, tmp_path: Path, embedded: dict[str, Any]
) -> None:
    config, codes = tmp_path / "hisbus.toml", tmp_path / "codes.csv"
    urls = f'[log]\nurl = "{embedded["log"]["url"]}"\n[database]\nurl = "{embedded["database"]["url"]}"\n'
    config.write_text(f'site = "test"\nterms_file = "{tmp_path}/terms.db"\n{urls}', encoding="utf-8")
    codes.write_text(TABLE, encoding="utf-8")
    load = ["--config", str(config), "terms", "load", str(codes), "--system", "MADE-UP", "--version", "1"]
    async with hospital(terms_file=tmp_path / "terms.db", agents=AGENTS) as bus:
        await bus.send([admitted(), summary("06090000", "出院诊断：肺炎"), discharged()])
        await bus.idle()
        assert await bus.everything("proposals", kind="codeset") == []
        done = await asyncio.to_thread(CliRunner().invoke, command, load)
        assert done.exit_code == 0 and "1 stays are judged again" in done.output, (done.output, done.exception)
        await bus.idle()
        (found,) = await bus.everything("proposals", kind="codeset")
        assert found["payload"]["codes"][0]["code"] == "J18.900"


async def test_while_the_model_is_down_the_verified_set_stays_and_what_needs_no_model_goes_on(
    hospital: Any, terms: Path
) -> None:
    kept = {"candidate": "C1", "verdict": "keep", "reason": "stated", "confidence": 90}
    quotes = [{"document": "D1", "text": "出院诊断：肺炎"}]
    async with FakeServer() as server:
        server.otherwise = fake.answer({"judgements": [kept | {"quotes": quotes}]})
        llm = {"url": server.url, "model": "tiny", "breaker_failures": 1, "breaker_pause_s": 0.1}
        async with hospital(terms_file=terms, agents=AGENTS, llm=llm) as bus:
            await bus.send([admitted(), summary("06090000", "患者诉发热。出院诊断：肺炎")])
            await bus.idle()
            before = (await open_proposals(bus))["coding", "codes"]
            assert [code["verified"] for code in before["payload"]["codes"]] == ["confirmed"]

            await server.kill()
            await bus.send([discharged("DG1|1||Q99.999^无此编码^I10|||F|||||||||1")])

            async def rules_went_on() -> bool:
                its = await open_proposals(bus)
                return ("coding-rules", "R51.invalid") in its and its["coding", "codes"]["id"] == before["id"]

            async with asyncio.timeout(60):
                while not await rules_went_on():
                    await asyncio.sleep(0.02)
            lag = (await bus.api.get("/readyz")).json()["lag"]
            assert lag["dispatch.coding"]

            await server.start()
            await bus.idle()
            (after,) = [one for one in await bus.everything("proposals", agent="coding") if one["status"] == "open"]
            assert after["payload"]["verified_by"] == "model"
            assert await bus.everything("parked") == []
