"""The rules, which every test in here asks."""

from collections.abc import AsyncIterator

import pytest_asyncio
from tests.field.site import HIS, Field, made

from hisbus_bus.host.agents import start_all
from hisbus_bus.host.registry import plugins


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def field() -> AsyncIterator[Field]:
    """The rules, started once; each telling has a site of its own."""
    settings = made([HIS])
    hosts = await start_all([one for one in plugins(settings) if one.name == "qc"], settings)
    try:
        yield Field(hosts)
    finally:
        for host in hosts:
            await host.close()
