"""What the tests of the hl7v2 connector share."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvloop

from hisbus import Raw, Translation
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_mapping import Mapping

REPOSITORY = Path(__file__).parents[3]
RECEIVED = datetime(2026, 3, 31, tzinfo=UTC)
ON_SOCKETS = {"test_hl7v2_server", "test_hl7v2_tls", "test_hl7v2_client"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what uses sockets on both event loops: theirs differ."""
    own = {"asyncio": asyncio.new_event_loop}
    return own | {"uvloop": uvloop.new_event_loop} if item.path.stem in ON_SOCKETS else own


@pytest.fixture
def corpus() -> Path:
    """The real messages beside the checkout."""
    folder = REPOSITORY.parent / "shared" / "corpora" / "hl7v2"
    if not folder.is_dir():
        pytest.skip("The message corpora do not lie beside the checkout, in ../shared/corpora.")
    return folder


@pytest.fixture
def cases() -> Path:
    """The conversations that are part of the project."""
    return REPOSITORY / "tests" / "cases"


def timeless(ack: str) -> str:
    """Return an acknowledgement without the time when it was made; all else is a pure function."""
    begin, _, rest = ack.partition("\r")
    fields = begin.split(begin[3:4] or "|")
    return "|".join([*fields[:6], "", *fields[7:]]) + "\r" + rest


class Translator:
    """A connector with a shorter way to say which message."""

    def __init__(self, **table: Any) -> None:
        table = {"name": "his", "type": "hl7v2", "timezone": "Asia/Shanghai", **table}
        self.mapping = Mapping(Hl7v2Connector(table))

    def __call__(self, *lines: str, flags: tuple[str, ...] = ()) -> Translation:
        return self.read("\r".join(lines).encode(), flags)

    def read(self, body: bytes, flags: tuple[str, ...] = ()) -> Translation:
        return self.mapping.translate(Raw("id", body, RECEIVED, flags=flags))


@pytest.fixture
def translate() -> Translator:
    return Translator()
