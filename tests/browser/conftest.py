"""Chromium, and a page that shows a ward."""

import asyncio
import importlib.util
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, Page, async_playwright
from sqlalchemy import delete, select, update

from hisbus_bus.desk import AgentState, ModelState, create_app
from hisbus_bus.kernel import people as users
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site
from hisbus_mapping import NONE, Asks
from hisbus_schemas import Decision

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "a-long-password"


def _shared(name: str) -> Any:
    """Return what the tests of the web part share; tests are no package, so it is loaded by its place."""
    place = Path(__file__).parents[2] / "bus" / "tests" / "web" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ward_rows = _shared("ward")


async def stand_in(site: Site) -> None:
    """Do what the write-back step and a patient HIS do, a moment later."""
    table = tables.writebacks
    while True:
        await asyncio.sleep(0.2)
        async with site.database.write() as connection:
            waiting = select(tables.outbox).where(tables.outbox.c.topic == "decisions")
            for row in (await connection.execute(waiting)).all():
                made = Decision.model_validate_json(row.value)
                if made.decision != "reject":
                    await ward_rows.put_writeback(connection, made.proposal, made.encounter)
                await connection.execute(delete(tables.outbox).where(tables.outbox.c.id == row.id))
        await asyncio.sleep(0.8)
        async with site.database.write() as connection:
            done = {"status": "applied", "code": "AA", "changed": datetime.now(UTC)}
            await connection.execute(update(table).where(table.c.status == "queued").values(**done))


@pytest.fixture
def shared() -> Callable[[str], Any]:
    """Return what gives a module that the tests of the web part share."""
    return _shared


@pytest_asyncio.fixture(loop_scope="module")
async def ward(tmp_path: Path) -> AsyncIterator[Site]:
    """Return a site with a ward's rows and three users."""
    async with ward_rows.opened(tmp_path, f"sqlite:///{tmp_path}/hisbus.db") as site:
        for name, role in (("li.na", "reviewer"), ("root", "admin"), ("guest", "viewer")):
            await users.add(site.database, name, role, PASSWORD)
        yield site


@asynccontextmanager
async def served(site: Site) -> AsyncIterator[str]:
    """Serve the page on a free port while the block lasts."""
    agents = ward_rows.Agents(
        [
            AgentState("qc", "running", "qc", "1"),
            AgentState("qc-text", "quarantined", "qc", "1", reason="memory", asks=True),
            AgentState("coding", "running", "coding", "1", waits_for="llm"),
        ],
        ModelState("down", "qwen3-32b", "llm_unreachable"),
    )
    mappings: Any = {"his": SimpleNamespace(asks={"document": Asks("document:*", ["C0034", "C0037", NONE])})}
    app = create_app(site, connectors=[ward_rows.Quiet()], mappings=mappings, process=agents)
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Return Chromium, started once for all tests of a file."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: the page was not looked at in a browser (apt install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page_at(ward: Site, browser: Browser) -> AsyncIterator[Page]:
    """Return a browser's page at the log-in, with the write-back's stand-in running."""
    writing = asyncio.create_task(stand_in(ward))
    async with served(ward) as address:
        context = await browser.new_context(
            base_url=address, viewport={"width": 1280, "height": 800}, locale="zh-CN", timezone_id="Asia/Shanghai"
        )
        page = await context.new_page()
        await page.goto("/login")
        yield page
        await context.close()
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
