"""The whole way of a set of codes: proposed by the agent, changed by a person, received by the HIS."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hisbus.terms import Release, store, table
from hisbus_simulator.his import His

TABLE = "编码,名称\nJ18.900,肺炎\nI10.x00,高血压病\nJ15.900,细菌性肺炎\n"
ADMISSION = (
    b"MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|1|P|2.5||||||UNICODE UTF-8\r"
    b"EVN||20260302083000+0800\rPID|1||P1^^^HOSP^MR||X^Y||19590814|M\rPV1|1|I|W3||||||||||||||||V1^^^HOSP\r"
    + "DG1|1||^肺炎^ICD-10||20260302083000+0800|A\rDG1|2||^高血压病^ICD-10||20260302083000+0800|A\r".encode()
)


@pytest.fixture
def backbone(embedded: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "terms.db"
    facts = {"version": "2.0", "source": "made-up.csv", "sha256": "0" * 64, "loaded": "2026-03-01T00:00:00+00:00"}
    store.load(file, Release("ICD-10-CN", "diagnosis", licence="made up", **facts), table.read(TABLE.encode()).rows)
    return embedded | {"terms_file": file}


async def test_codes_are_proposed_changed_and_acknowledged_by_the_his(hospital: Any, tmp_path: Path) -> None:
    ours = tmp_path / "our-his.toml"
    ours.write_text('out.MSH-5 = "EMR"\nout.TXA-2.words.QC = "ZKTZ"\n', encoding="utf-8")
    async with His() as his, hospital(send="{}:{}".format(*his.address), profile=ours, agents={"coding": {}}) as bus:
        await bus.send([ADMISSION])
        await bus.idle()
        (item,) = await bus.everything("proposals", agent="coding", rule="codes")
        codes = item["payload"]["codes"]
        assert [(entry["code"], entry["role"], entry["rank"]) for entry in codes] == [
            ("J18.900", "principal", 1),
            ("I10.x00", "other", 2),
        ]
        etag = (await bus.api.get(f"/api/v1/proposals/{item['id']}")).headers["etag"]
        changed = {"decision": "edit", "payload": {"codes": [codes[0] | {"code": "J15.900", "display": "细菌性肺炎"}]}}
        answer = await bus.post(f"proposals/{item['id']}/decision", changed, **{"If-Match": etag})
        assert answer.status_code == 200, answer.text
        async with asyncio.timeout(30):
            while not his.documents:
                await asyncio.sleep(0.02)
        (document,) = his.documents.values()
    assert (document.type, document.completion, document.availability) == ("ZKTZ", "PA", "UN")
    assert (document.receiver, document.name, document.number_type) == ("EMR", ("X", "Y"), "MR")
    assert "主要诊断 1: J15.900 细菌性肺炎 [ICD-10-CN 2.0] 入院时已有" in document.lines
    assert "依据: 肺炎 (2026-03-02 08:30) 肺炎" in document.lines
    assert not any("I10.x00" in line for line in document.lines)
    assert any("tester" in line for line in document.lines)
