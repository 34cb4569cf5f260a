"""A whole bus in this process, spoken to as the outside world does: MLLP in, HTTP out."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hisbus_bus.app import App
from hisbus_bus.kernel import people as users
from hisbus_bus.kernel.log.kafka_cluster import Cluster
from hisbus_bus.kernel.settings import LogSettings, Settings
from hisbus_bus.kernel.topics import STEPS

DEADLINE_S = 60


class Hospital:
    """One running bus, its feed and its API."""

    def __init__(self, app: App, api: httpx.AsyncClient, mllp: tuple[str, int]) -> None:
        self.app = app
        self.api = api
        self.mllp = mllp

    async def send(self, messages: Sequence[bytes]) -> list[bytes]:
        """Send messages one after another and return the acknowledgements."""
        reader, writer = await asyncio.open_connection(*self.mllp)
        acks = []
        for message in messages:
            writer.write(b"\x0b" + message + b"\x1c\r")
            await writer.drain()
            acks.append((await asyncio.wait_for(reader.readuntil(b"\x1c\r"), DEADLINE_S))[1:-2])
        writer.close()
        await writer.wait_closed()
        return acks

    async def idle(self) -> dict[str, int]:
        """Wait until nothing is left to do."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                lag: dict[str, int] = (await self.api.get("/readyz")).json()["lag"]
                if not any(lag.values()):
                    return lag
                await asyncio.sleep(0.02)

    async def get(self, path: str, **params: Any) -> Any:
        """Return the JSON of a path of the API."""
        answer = await self.api.get(f"/api/v1/{path}", params=params)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    async def everything(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Return all items of a list, page by page."""
        items: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = await self.get(path, limit=500, **params, **({"cursor": cursor} if cursor else {}))
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items

    async def post(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        """Post to the API."""
        return await self.api.post(f"/api/v1/{path}", json=body, headers=headers)


_QUIET = {name: {"enabled": False} for name in ("coding", "coding-rules", "coding-check", "documentation", "qc-text")}
"""Agents that a test starts by name: most are about findings alone."""


def _unasked(agents: dict[str, Any]) -> dict[str, Any]:
    """Switch plugins off of which no agent is named: their processes would only be started and ended."""
    names = [name for name in ("coding", "documentation") if not any(agent.startswith(name) for agent in agents)]
    return {name: {"enabled": False} for name in names}


Start = Callable[..., AbstractAsyncContextManager[Hospital]]


@pytest.fixture
def embedded(tmp_path: Path) -> dict[str, Any]:
    """The settings of a site on the embedded log and database."""
    return {
        "site": "test",
        "log": {"url": f"sqlite:///{tmp_path}/log.db"},
        "database": {"url": f"sqlite:///{tmp_path}/hisbus.db"},
    }


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.kafka, pytest.mark.postgres])])
async def backbone(request: pytest.FixtureRequest, embedded: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The settings of a site of the test's own: on the embedded log and database, and on Kafka and PostgreSQL.

    What is about the embedded ones alone is given only these: ``parametrize("backbone", ["embedded"], indirect=True)``,
    or in a module a fixture ``backbone`` that returns ``embedded``.
    """
    if request.param == "embedded":
        return embedded
    secret = tmp_path / "site.secret"
    secret.write_text(secrets.token_hex(32))
    log = {"url": f"kafka://{request.getfixturevalue('kafka')}", "durability": "single-broker", "partitions": 3}
    site = f"test-{secrets.token_hex(4)}"
    await Cluster(LogSettings(**log), site).apply()
    database = {"url": request.getfixturevalue("postgres_url")}
    return {"site": site, "secret_file": secret, "log": log, "database": database}


@pytest.fixture
def hospital(backbone: dict[str, Any]) -> Start:
    """Start a bus: ``async with hospital(clock="feed") as bus``. Keywords go to the connector's table."""

    @asynccontextmanager
    async def start(
        agents: dict[str, Any] | None = None,
        plugins: dict[str, Any] | None = None,
        remote: dict[str, Any] | None = None,
        user: str = "tester",
        steps: Sequence[str] = STEPS,
        llm: dict[str, Any] | None = None,
        terms_file: Path | None = None,
        **connector: Any,
    ) -> AsyncIterator[Hospital]:
        settings = Settings(
            **backbone | ({"terms_file": terms_file} if terms_file else {}),
            web={"listen": "127.0.0.1:0"},
            retry={"first_s": 0.05, "longest_s": 0.2},
            writeback={"retry_s": 0.2},
            agents=_QUIET | (agents or {}),
            plugins=_unasked(agents or {}) | (plugins or {}),
            llm=llm or {},
            remote=remote or {},
            connectors=[
                {
                    "name": "his",
                    "type": "hl7v2",
                    "listen": "127.0.0.1:0",
                    "timezone": "Asia/Shanghai",
                    "clock": "feed",
                    **connector,
                }
            ],
        )
        async with App(settings, steps).running() as app:
            (his,) = app.connectors
            if "intake" in steps:
                await his.listening.wait()
            await users.add(app.site.database, user, "admin", "a long enough password")
            token = await users.token(app.site.database, user)
            headers = {"Authorization": f"Bearer {token}"}
            base = "http://{}:{}".format(*app.web_address)
            async with httpx.AsyncClient(base_url=base, headers=headers, timeout=DEADLINE_S) as api:
                yield Hospital(app, api, his.address)

    return start
