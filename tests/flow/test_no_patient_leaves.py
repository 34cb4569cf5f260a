"""One patient whose every field is a canary goes the whole way, also through what fails. None may be found outside."""

import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hisbus_simulator.his import His

CASES = Path(__file__).parents[1] / "cases"
CANARIES = {
    "王^建国": "金丝雀^飞飞", "刘^桂兰": "金丝雀^飞飞", "P1^^^HOSP": "CANARY77^^^HOSP", "V1^^^HOSP": "CANARY88^^^HOSP",
    "110101196005041226": "110101196005041226",
}  # fmt: skip
SEEN = ("金丝雀", "飞飞", "CANARY77", "CANARY88", "110101196005041226", "19600504", "病例特点")


def conversation(name: str) -> list[bytes]:
    text = (CASES / name).read_text(encoding="utf-8")
    for old, new in CANARIES.items():
        text = text.replace(old, new)
    return [block.replace("\n", "\r").encode() + b"\r" for block in text.strip().split("\n\n")]


def found_in(text: str) -> list[str]:
    return [canary for canary in SEEN if canary in text]


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_no_field_of_a_patient_is_in_logs_metrics_keys_headers_reasons_or_the_audit(
    tmp_path: Path, hospital: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="hisbus")
    messages = conversation("10-front-page.hl7")[:6]
    broken = messages[1].replace(b"TXA|1|C0037", b"TXA|1|").replace(b"|||D1|||||AU", b"||||||||AU")
    merges = [
        messages[0].split(b"\rPV1")[0].replace(b"ADT^A01^ADT_A01", b"ADT^A40^ADT_A39").replace(b"10-001", control)
        + b"\rMRG|" + prior + b"^^^HOSP^MR\r"
        for control, prior in ((b"m-1", b"OTHER1"), (b"m-2", b"CANARY77"))
    ]  # fmt: skip
    async with His() as his, hospital(send="{}:{}".format(*his.address)) as bus:
        await bus.send([*messages, broken, b"MSH|garbage " + "金丝雀".encode(), *merges])
        await bus.idle()
        for proposal in await bus.everything("proposals", status="open"):
            path = f"proposals/{proposal['id']}"
            tag = (await bus.api.get(f"/api/v1/{path}")).headers["ETag"]
            await bus.post(f"{path}/decision", {"decision": "accept"}, **{"If-Match": tag})
        await bus.idle()
        await bus.post("charts/search", {"visit": "CANARY88"})
        await bus.post("messages/search", {"patient": "CANARY77"})
        outside = {
            "metrics": (await bus.api.get("/metrics")).text,
            "readiness": (await bus.api.get("/readyz")).text,
            "parked": repr([item | {"value": ""} for item in await bus.everything("parked")]),
            "audit": repr(await bus.everything("audit")),
            "refusals": "".join(
                [
                    (await bus.post("charts/search", {"visti": "CANARY88"})).text,
                    (await bus.post("messages/search", {"patient": ["CANARY77"]})).text,
                    (await bus.api.get("/api/v1/charts/CANARY88")).text,
                ]
            ),
        }
        assert his.documents, "what was accepted did not arrive"
    outside["log"] = caplog.text
    with sqlite3.connect(f"file:{tmp_path}/log.db?mode=ro", uri=True) as log:
        rows = log.execute("SELECT topic, key, headers FROM records").fetchall()
    outside["keys and headers"] = repr(rows)
    assert {row[0] for row in rows} >= {"raw", "events", "charted", "assessments", "decisions", "receipts"}
    assert all(reason in outside["parked"] for reason in ("bad_delimiters", "self_merge", "no_document_number"))
    assert {where: found_in(text) for where, text in outside.items()} == {where: [] for where in outside}
