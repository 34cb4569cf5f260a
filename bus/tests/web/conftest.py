"""The application over a ward's rows, and clients with each role."""

import hashlib
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import select

from hisbus_bus.desk import AgentState, create_app
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site
from hisbus_mapping import NONE, Asks

ROLES = ("viewer", "reviewer", "admin")


def _shared(name: str) -> Any:
    """Return what the tests of the web part share; tests are no package, so it is loaded by its place."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ward_rows = _shared("ward")
coder = _shared("coder")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@pytest.fixture
async def site(tmp_path: Path, database_url: str) -> AsyncIterator[Site]:
    """A ward whose users are named after their roles; each has a token ROLE-token and a session ROLE-cookie."""
    async with ward_rows.opened(tmp_path, database_url) as site:
        async with site.database.write() as connection:
            for role in ROLES:
                user = {"name": role, "role": role, "password": "", "active": True, "failures": 0}
                await connection.execute(tables.users.insert(), user)
                now = datetime.now(UTC)
                token = {"id": role, "hash": _hash(f"{role}-token"), "user": role, "purpose": "", "created": now}
                await connection.execute(
                    tables.tokens.insert(), token | {"until": now + timedelta(days=1), "used": now}
                )
                session = {"id": _hash(f"{role}-cookie"), "user": role, "csrf": f"{role}-form", "created": now}
                await connection.execute(tables.sessions.insert(), session | {"seen": now})
        yield site


@pytest.fixture
def app(site: Site) -> FastAPI:
    agents = ward_rows.Agents([AgentState("qc", "running", "qc", "1")])
    asks = {"class": Asks("class", ["inpatient", "outpatient", NONE])}
    mappings: Any = {"his": SimpleNamespace(asks=asks)}
    return create_app(site, connectors=[ward_rows.Quiet()], mappings=mappings, process=agents)


Client = Callable[..., AsyncClient]


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[Client]:
    """Return a client: ``client("reviewer")`` for the API, ``client("reviewer", page=True)`` for the page."""
    async with AsyncExitStack() as stack:

        def made(role: str = "", *, page: bool = False) -> AsyncClient:
            headers = {"Authorization": f"Bearer {role}-token"} if role and not page else {}
            cookies = {"hisbus_session": f"{role}-cookie"} if role and page else {}
            transport = ASGITransport(app)
            one = AsyncClient(transport=transport, base_url="http://hisbus.test", headers=headers, cookies=cookies)
            stack.push_async_callback(one.aclose)
            return one

        yield made


@pytest.fixture
async def coded(site: Site) -> Any:
    """A set of codes for the first stay, as its row."""
    chart = ward_rows.pneumonia()
    async with site.database.write() as connection:
        id = await ward_rows.put_finding(connection, chart, coder.code_set(), datetime.now(UTC), "coding")
        return (await connection.execute(select(tables.proposals).where(tables.proposals.c.id == id))).one()


@pytest.fixture
def coding() -> Any:
    """What a coder's agent proposes."""
    return coder


@pytest.fixture
def rows() -> Any:
    """What the ward is made of."""
    return ward_rows
