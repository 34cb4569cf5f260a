"""Who may send, and who may see it: the whole way."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

HEAD = rb"MSH|^~\&|%s|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|7|P|2.5||||||UNICODE UTF-8"
ADMISSION = HEAD + b"\rEVN||20260302083000+0800\rPID|1||P1^^^HOSP^MR||Wang^X\rPV1|1|I|W3||||||||||||||||V1^^^HOSP\r"


@pytest.fixture
def backbone(embedded: dict[str, Any]) -> dict[str, Any]:
    """Who may connect has nothing to do with the log."""
    return embedded


async def send(bus: Any, body: bytes, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection(*bus.mllp, ssl=context)
    try:
        writer.write(b"\x0b" + body + b"\x1c\r")
        async with asyncio.timeout(30):
            return await reader.readuntil(b"\x1c\r")
    finally:
        writer.transport.abort()


async def test_what_a_certificate_may_not_send_is_refused_and_parked_with_its_bytes(
    tmp_path: Path, hospital: Any
) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert("lab.hospital").configure_cert(context)
    ours = authority.issue_cert("127.0.0.1")
    files = {"ca": authority.cert_pem, "certificate": ours.cert_chain_pems[0], "key": ours.private_key_pem}
    for name, pem in files.items():
        pem.write_to_path(str(tmp_path / name))
    async with hospital(
        tls_certificate_file=str(tmp_path / "certificate"),
        tls_key_file=str(tmp_path / "key"),
        tls_client_ca_file=str(tmp_path / "ca"),
        clients=[{"certificate": "lab.hospital", "senders": ["LAB^HOSP"]}],
    ) as bus:
        assert b"MSA|AR|7|sender_not_allowed" in await send(bus, ADMISSION % b"EMR", context)
        assert b"MSA|AA|7" in await send(bus, ADMISSION % b"LAB", context)
        await bus.idle()
        (parked,) = await bus.everything("parked")
        refused = await bus.everything("messages", status="parked")
        assert parked["reason"] == "sender_not_allowed"
        assert [message["reason"] for message in refused] == ["sender_not_allowed"]
        assert (await bus.get(f"messages/{refused[0]['id']}"))["raw"].startswith("MSH|^~\\&|EMR|")
        assert (await bus.api.get("/readyz")).json()["plaintext"] == []


async def test_a_waiver_of_tls_is_shown(hospital: Any) -> None:
    async with hospital(send="his.invalid:2575", allow_plaintext=True) as bus:
        assert (await bus.api.get("/readyz")).json()["plaintext"] == ["his"]
