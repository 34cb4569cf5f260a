"""The hand-written cases put as FHIR: another format, another profile, the same findings."""

from pathlib import Path

import pytest

from hisbus_bus.kernel.settings import Settings
from hisbus_bus.lab.conversations import read
from hisbus_bus.play import play_all, stage
from hisbus_fhir import FhirConnector

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
PUT = ROOT / "connectors" / "fhir" / "tests" / "cases"
EHR = {"name": "ehr", "type": "fhir", "timezone": "Asia/Shanghai"}


def settings(folder: Path) -> Settings:
    """Return the configuration of a site that exists nowhere."""
    return Settings(
        site="test",
        log={"url": f"sqlite:///{folder}/site/log.db"},
        database={"url": f"sqlite:///{folder}/site/hisbus.db"},
        connectors=[EHR],
    )


async def test_the_cases_put_as_fhir_end_as_they_were_written(tmp_path: Path) -> None:
    connector = FhirConnector(EHR)
    paths = sorted(PUT.glob("*.json"))
    assert [path.name[:2] for path in paths] == "01 02 03 04 05 06 07 08 09 12 13 15".split()
    cases = [
        read(ROOT / "tests" / "cases" / path.name, lambda _hl7, path=path: connector.split(path.read_bytes()))
        for path in paths
    ]
    async with stage(settings(tmp_path)) as on:
        assert [(case.name, lines) async for case, lines in play_all(on, cases)] == [(case.name, []) for case in cases]
