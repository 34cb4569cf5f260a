"""The connector on a real socket: who may send, what is answered, and when."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from hisbus import Arrival, ConfigError, RetryLater, Verdict
from hisbus_fhir import FhirConnector
from hisbus_mapping.testing import Cursor, Store

TOKEN = "a-token-of-this-test"
BUNDLE = json.dumps({"resourceType": "Bundle", "type": "collection"}).encode()
FHIR = {"Content-Type": "application/fhir+json"}


@asynccontextmanager
async def listening(token_file: Path, sink: Any = None, **table: Any) -> AsyncIterator[Any]:
    """Run a connector, and yield a client that knows the token, with what was stored."""
    connector = FhirConnector({"name": "ehr", "listen": "127.0.0.1:0", "token_file": token_file, **table})
    store = sink or Store(connector)
    task = asyncio.create_task(connector.listen(store, Cursor()))
    await connector.listening.wait()
    assert connector.address is not None
    host, port = connector.address
    try:
        headers = FHIR | {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", headers=headers, trust_env=False) as client:
            client.store = store  # type: ignore[attr-defined]
            yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert connector.address is None


def code(answer: httpx.Response) -> str:
    (issue,) = answer.json()["issue"]
    return str(issue.get("details", {"coding": [{"code": ""}]})["coding"][0]["code"])


@pytest.mark.parametrize("place", ["/", "/Bundle", "/Bundle?_format=json"])
async def test_a_bundle_is_answered_once_it_is_stored(token_file: Path, place: str) -> None:
    async with listening(token_file) as client:
        for number in (1, 2):  # on one connection
            answer = await client.post(place, content=BUNDLE)
            assert (answer.status_code, code(answer)) == (200, "")
            assert len(client.store.stored) == number
        assert client.store.stored[0].arrival.body == BUNDLE


async def test_the_answer_waits_for_the_store(token_file: Path) -> None:
    stored, reached = asyncio.Event(), asyncio.Event()

    async def slow(arrival: Arrival) -> Verdict:
        reached.set()
        await stored.wait()
        return Verdict("", arrival.acknowledge(""))

    async with listening(token_file, slow) as client:
        asked = asyncio.create_task(client.post("/", content=BUNDLE))
        await reached.wait()
        assert not asked.done()
        stored.set()
        assert (await asked).status_code == 200


async def test_a_transaction_is_answered_entry_by_entry(token_file: Path) -> None:
    entry = {
        "resource": {"resourceType": "Basic", "code": {"text": "x"}},
        "request": {"method": "POST", "url": "Basic"},
    }
    body = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry, entry]})
    async with listening(token_file) as client:
        answer = (await client.post("/", content=body)).json()
    assert (answer["type"], len(answer["entry"])) == ("transaction-response", 2)


@pytest.mark.parametrize(
    "shown", [None, "Bearer another-token-of-16", "Basic " + TOKEN, "Bearer", "Bearer " + TOKEN[:-1]]
)
async def test_who_does_not_show_the_token_is_not_heard(token_file: Path, shown: str | None) -> None:
    async with listening(token_file) as client:
        del client.headers["Authorization"]
        answer = await client.post("/", content=b" " * 500_000, headers={"Authorization": shown} if shown else {})
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert not client.store.stored


async def test_a_new_token_counts_at_once(token_file: Path) -> None:
    async with listening(token_file) as client:
        token_file.write_text("another-token-of-this-test")
        assert (await client.post("/", content=BUNDLE)).status_code == 401
        answer = await client.post("/", content=BUNDLE, headers={"Authorization": "bearer another-token-of-this-test"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "place", "headers", "status", "said"),
    [
        ("GET", "/", {}, 405, "not_post"),
        ("POST", "/Patient", {}, 404, "no_such_place"),
        ("POST", "/", {"Content-Type": "application/fhir+xml"}, 415, "not_this_type"),
        ("POST", "/", {"Content-Encoding": "gzip"}, 415, "not_this_type"),
    ],
)
async def test_another_request_is_told_what_to_do(
    token_file: Path, method: str, place: str, headers: dict[str, str], status: int, said: str
) -> None:
    async with listening(token_file) as client:
        answer = await client.request(method, place, content=BUNDLE if method == "POST" else None, headers=headers)
        assert (answer.status_code, code(answer)) == (status, said)
        assert not client.store.stored


async def test_what_is_refused_is_stored_and_answered_without_what_it_says(token_file: Path) -> None:
    async with listening(token_file) as client:
        body = BUNDLE.replace(b"collection", b"the name of Li")
        answer = await client.post("/", content=body)
        assert (answer.status_code, code(answer)) == (400, "bundle_type")
        assert "Li" not in answer.text
        assert [one.verdict.code for one in client.store.stored] == ["bundle_type"]


async def test_a_body_above_the_cap_is_stored_in_part_and_refused(token_file: Path) -> None:
    async with listening(token_file, max_mb=0.5) as client:
        answer = await client.post("/", content=BUNDLE + b" " * 5_000_000)
        assert (answer.status_code, code(answer)) == (413, "too_large")
        (stored,) = client.store.stored
        assert (len(stored.arrival.body), stored.verdict.code) == (65536, "too_large")


async def test_what_cannot_be_stored_now_is_sent_again(token_file: Path) -> None:
    async def away(arrival: Arrival) -> Verdict:
        raise RetryLater("The log is away.")

    async with listening(token_file, away) as client:
        answer = await client.post("/", content=BUNDLE)
        assert (answer.status_code, code(answer), answer.headers["Retry-After"]) == (503, "retry_later", "5")


async def exchanged(client: Any, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_what_is_no_http_is_answered_and_ends(token_file: Path) -> None:
    async with listening(token_file) as client:
        assert (await exchanged(client, b"MSH|^~\\&|\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        head = b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
        head += b"Content-Type: application/json\r\n"
        torn = await exchanged(client, head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert torn.startswith(b"HTTP/1.1 400 ")
        assert (await client.post("/", content=BUNDLE)).status_code == 200


async def test_a_sender_that_asks_first_is_told_to_go_on(token_file: Path) -> None:
    async with listening(token_file) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(BUNDLE)}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(BUNDLE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_does_not_end_is_not_stored_and_its_connection_ends(token_file: Path) -> None:
    async with listening(token_file, request_s=0.1) as client:
        head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
        assert await exchanged(client, f"{head}Content-Length: 99\r\n\r\n{{".encode()) == b""
        assert not client.store.stored


async def test_more_connections_than_allowed_are_closed(token_file: Path) -> None:
    async with listening(token_file, max_connections=1) as client:
        assert (await client.post("/", content=BUNDLE)).status_code == 200  # it stays open
        assert await exchanged(client, b"") == b""


async def test_over_tls_the_connector_shows_its_certificate(token_file: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "bus.pem", tmp_path / "bus.key"
    own.cert_chain_pems[0].write_to_path(certificate)
    own.private_key_pem.write_to_path(key)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    async with listening(token_file, tls_certificate_file=certificate, tls_key_file=key) as client:
        where = f"https://{client.base_url.host}:{client.base_url.port}/"
        async with httpx.AsyncClient(verify=trusted, headers=client.headers, trust_env=False) as over_tls:
            assert (await over_tls.post(where, content=BUNDLE)).status_code == 200
    key.write_text("no key")
    broken = FhirConnector({"name": "ehr", "tls_certificate_file": certificate, "tls_key_file": key})
    assert await broken.check() == [
        "ehr: tls_certificate_file, tls_key_file: they are no certificate with its key, PEM."
    ]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"listen": "127.0.0.1:0"}, "token_file: it is needed"),
        ({"listen": "0.0.0.0:8443", "token_file": "t"}, "listen: messages would travel unencrypted"),
        ({"listen": "8443"}, "listen: where bundles are taken in"),
        ({"tls_key_file": "k"}, "tls_key_file: it needs tls_certificate_file"),
        ({"send": "127.0.0.1:1"}, "send: no key of this connector"),
        ({"timezone": "CST"}, "timezone: 'CST' may mean several zones"),
    ],
)
def test_a_wrong_key_is_named_with_what_belongs_there(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FhirConnector({"name": "ehr", **table})
    assert words in str(caught.value)


def test_what_the_operator_waived_is_shown() -> None:
    table = {"name": "ehr", "listen": "0.0.0.0:8443", "token_file": "t", "allow_plaintext": True}
    assert FhirConnector(table).plaintext == ["listen"]


async def test_check_names_a_token_and_an_address_that_cannot_be_used(token_file: Path) -> None:
    async with listening(token_file) as client:
        taken = f"{client.base_url.host}:{client.base_url.port}"
        token_file.write_text("short")
        connector = FhirConnector({"name": "ehr", "listen": taken, "token_file": token_file})
        token, address = await connector.check()
    assert token.startswith("ehr: token_file: write one token") and address.startswith("ehr: listen: ")
    assert "is taken by another process" in address
    with pytest.raises(ConfigError, match="token_file: write one token"):
        await connector.listen(Store(connector), Cursor())
