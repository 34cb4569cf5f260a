"""What the tests of the fhir connector share."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvloop

from hisbus import Raw, Translation
from hisbus_fhir import FhirConnector
from hisbus_mapping import Mapping

RECEIVED = datetime(2026, 3, 31, tzinfo=UTC)
TOKEN = "a-token-of-this-test"


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what uses sockets on both event loops: theirs differ."""
    own = {"asyncio": asyncio.new_event_loop}
    return own | {"uvloop": uvloop.new_event_loop} if item.path.stem == "test_fhir_server" else own


class Translator:
    """A connector with a shorter way to say which bundle."""

    def __init__(self, **table: Any) -> None:
        self.connector = FhirConnector({"name": "ehr", "timezone": "Asia/Shanghai", **table})
        self.mapping = Mapping(self.connector)

    def bundle(self, *resources: dict[str, Any], **fields: Any) -> bytes:
        entry = [
            {"fullUrl": f"http://his.hospital/fhir/{one['resourceType']}/{one.get('id', number)}", "resource": one}
            for number, one in enumerate(resources)
        ]
        said = {
            "resourceType": "Bundle",
            "type": "collection",
            "timestamp": "2026-03-02T12:00:00+08:00",
            "entry": entry,
        }
        return json.dumps(said | fields).encode()

    def __call__(self, *resources: dict[str, Any], **fields: Any) -> Translation:
        return self.read(self.bundle(*resources, **fields))

    def read(self, body: bytes) -> Translation:
        return self.mapping.translate(Raw("id", body, RECEIVED))


@pytest.fixture
def translate() -> Translator:
    return Translator()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file
