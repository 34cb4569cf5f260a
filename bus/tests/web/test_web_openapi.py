"""The description of the API, and that nothing it describes breaks."""

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def description(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def test_every_agreed_path_is_described_with_models(description: dict[str, Any]) -> None:
    agreed = {
        ("get", "messages"), ("post", "messages/search"), ("get", "messages/{id}"),
        ("post", "charts/search"), ("get", "charts/{id}"), ("get", "charts/{id}/assessments"),
        ("get", "proposals"), ("get", "proposals/{id}"), ("post", "proposals/{id}/decision"),
        ("post", "proposals/{id}/decision/undo"),
        ("get", "writebacks"), ("post", "writebacks/{id}/resolution"),
        ("get", "parked"), ("post", "parked/{id}/replay"), ("get", "audit"),
        ("get", "users"), ("post", "users"), ("get", "users/{name}"), ("post", "users/{name}/role"),
        ("post", "users/{name}/password"), ("post", "users/{name}/disable"), ("post", "users/{name}/enable"),
        ("post", "users/{name}/sessions/end"), ("post", "users/{name}/details"), ("post", "users/{name}/numbers"),
        ("post", "users/{name}/numbers/remove"), ("get", "users/{name}/tokens"), ("post", "users/{name}/tokens"),
        ("post", "users/{name}/tokens/{id}/revoke"),
        ("post", "messages/{id}/assignment"), ("get", "proposals/{id}/messages"), ("get", "work-items"),
        ("get", "controls"), ("post", "controls"), ("get", "signals"), ("get", "codes"), ("post", "codes"),
        ("get", "losses"),
    }  # fmt: skip
    described = {
        (method, path.removeprefix("/api/v1/"))
        for path, methods in description["paths"].items()
        for method in methods
        if path.startswith("/api/v1/")
    }
    assert described == agreed
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/api/v1/"):
                schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
                assert "$ref" in schema, (method, path)
                assert "application/problem+json" in operation["responses"]["422"]["content"], (method, path)


async def test_the_description_needs_no_page_from_elsewhere(client: Any) -> None:
    assert (await client().get("/openapi.json")).status_code == 200
    for path in ("/docs", "/redoc"):
        assert (await client().get(path)).status_code == 404


async def test_the_contract_of_the_topics_is_served_as_it_is_kept(client: Any) -> None:
    kept = Path(__file__).parents[3] / "schemas/asyncapi.json"
    answer = await client().get("/asyncapi.json")
    assert answer.json() == json.loads(kept.read_text(encoding="utf-8"))


async def test_nothing_that_fits_the_description_breaks_the_api(app: FastAPI) -> None:
    schema = schemathesis.openapi.from_dict(app.openapi())
    operations = [result.ok() for result in schema.get_all_operations()]
    cases = st.one_of([operation.as_strategy() for operation in operations])
    asked: list[Any] = []

    @settings(max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(cases)
    def collect(case: Any) -> None:
        asked.append(case.as_transport_kwargs(base_url="http://hisbus.test"))

    collect()
    async with AsyncClient(transport=ASGITransport(app), headers={"Authorization": "Bearer admin-token"}) as client:
        for request in asked:
            wanted = {key: request[key] for key in ("method", "url", "params", "json", "headers") if request.get(key)}
            wanted["headers"] = {
                name: value for name, value in wanted.get("headers", {}).items() if name.lower() == "if-match"
            }
            answer = await client.request(**wanted)
            assert answer.status_code < 500, (wanted["method"], wanted["url"], answer.text)
