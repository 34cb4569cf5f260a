"""TLS on both sides: who may speak to us, as whom, and whom we speak to."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from hisbus import ConfigError, RetryLater
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_hl7v2.message import Message
from hisbus_hl7v2.mllp import Decoder, encode
from hisbus_mapping import Mapping
from hisbus_mapping.testing import Cursor, Store, Stored, make_writeback

PATIENCE = 20
HOST = "127.0.0.1"
MEANING = Mapping(Hl7v2Connector({"name": "his", "type": "hl7v2"}))
WRITEBACK = MEANING.leaving(make_writeback("his", patient_name="王建国"))


class Papers:
    """A CA, and certificates of it in files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))

    def issue(self, name: str, common: str | None = None) -> tuple[Path, Path]:
        """Write a certificate with this name, and its key, in place of any earlier one."""
        issued = self.authority.issue_cert(name, common_name=common)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        for pem, path in ((issued.cert_chain_pems[0], certificate), (issued.private_key_pem, key)):
            pem.write_to_path(str(path.with_suffix(".new")))
            path.with_suffix(".new").replace(path)
        return certificate, key

    def listening(self, name: str = HOST) -> dict[str, str]:
        certificate, key = self.issue(name)
        return {"tls_certificate_file": str(certificate), "tls_key_file": str(key)}

    def trust(self, client: str | None = None, common: str | None = None) -> ssl.SSLContext:
        """Return a client's context, with a certificate of its own if it is given a name."""
        context = ssl.create_default_context(cafile=self.ca)
        if client is not None:
            context.load_cert_chain(*self.issue(client, common))
        return context


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path / "papers")


@pytest.fixture
def others(tmp_path: Path) -> Papers:
    return Papers(tmp_path / "others")


class Site:
    """A connector that listens under TLS."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.connector = Hl7v2Connector({"name": "his", "listen": f"{HOST}:0", **table})
        self.sink = Store(self.connector)

    @property
    def stored(self) -> list[Stored]:
        return self.sink.stored

    async def ask(self, body: bytes, context: ssl.SSLContext | None) -> str:
        """Send one message on a connection of its own, and return MSA behind its name; empty: no answer."""
        assert self.connector.address
        writer = None
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(*self.connector.address, ssl=context)
                self.server_certificate = writer.get_extra_info("peercert")
                writer.write(encode(body))
                decoder = Decoder(10_000)
                while data := await reader.read(1000):
                    for frame in decoder.feed(data):
                        return Message.read(frame.body, "utf-8").all("MSA")[0].text.removeprefix("MSA|")
                return ""
        except OSError:
            return ""
        finally:
            if writer is not None:
                writer.transport.abort()


@asynccontextmanager
async def running(**table: Any) -> AsyncIterator[Site]:
    site = Site(table)
    listening = asyncio.create_task(site.connector.listen(site.sink, Cursor()))
    async with asyncio.timeout(PATIENCE):
        await site.connector.listening.wait()
    try:
        yield site
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


def message(application: str = "EMR", facility: str = "HOSP", type: str = "ADT^A01^ADT_A01") -> bytes:
    return (
        f"MSH|^~\\&|{application}|{facility}|HISBUS|QC|20260302083000+0800||{type}|A-1|P|2.5\rPID|1||P1\rPV1|1|I\r"
    ).encode()


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if event in record.getMessage()]


# --- taking messages in ---


async def test_a_message_comes_in_over_tls(papers: Papers) -> None:
    async with running(**papers.listening()) as site:
        assert await site.ask(message(), papers.trust()) == "AA|A-1"
        assert len(site.stored) == 1


async def test_plaintext_gets_no_answer_where_tls_is_spoken(papers: Papers, caplog: pytest.LogCaptureFixture) -> None:
    async with running(**papers.listening()) as site:
        assert await site.ask(message(), None) == ""
        assert await site.ask(message(), papers.trust()) == "AA|A-1", "others go on"
        assert len(site.stored) == 1
    assert "not_tls" in said(caplog, "mllp.tls_refused")[0]


async def test_a_handshake_without_certificate_is_refused(papers: Papers, caplog: pytest.LogCaptureFixture) -> None:
    async with running(**papers.listening(), tls_client_ca_file=str(papers.ca)) as site:
        assert await site.ask(message(), papers.trust()) == ""
        assert site.stored == []
        assert await site.ask(message(), papers.trust("emr.hospital")) == "AA|A-1"
    assert "no_certificate" in said(caplog, "mllp.tls_refused")[0]


async def test_a_certificate_of_another_ca_is_refused(
    papers: Papers, others: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = papers.trust()
    stranger.load_cert_chain(*others.issue("emr.hospital"))
    async with running(**papers.listening(), tls_client_ca_file=str(papers.ca)) as site:
        assert await site.ask(message(), stranger) == ""
        assert site.stored == []
    assert "certificate_not_trusted" in said(caplog, "mllp.tls_refused")[0]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
async def test_a_downgrade_to_tls_1_1_is_refused(papers: Papers, caplog: pytest.LogCaptureFixture) -> None:
    old = papers.trust()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with running(**papers.listening()) as site:
        assert await site.ask(message(), old) == ""
        assert site.stored == []
        older = papers.trust()
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await site.ask(message(), older) == "AA|A-1", "TLS 1.2 is good enough"
    assert "tls_too_old" in said(caplog, "mllp.tls_refused")[0]


async def test_a_peer_that_never_shakes_hands_counts_as_a_connection_and_makes_room(papers: Papers) -> None:
    async with running(**papers.listening(), max_connections=1) as site:
        assert site.connector.address
        idle, writer = await asyncio.open_connection(*site.connector.address)
        async with asyncio.timeout(PATIENCE):
            while await site.ask(message(), papers.trust()) == "":
                await asyncio.sleep(0)
            with contextlib.suppress(ConnectionError):
                assert await idle.read() == b""
        writer.transport.abort()


async def test_a_rotated_certificate_is_used_by_the_next_connection(papers: Papers, others: Papers) -> None:
    table = papers.listening()
    async with running(**table) as site:
        assert site.connector.address
        reader, writer = await asyncio.open_connection(*site.connector.address, ssl=papers.trust())
        for old, new in zip(papers.issue(HOST), others.issue(HOST), strict=True):
            new.replace(old)
        assert await site.ask(message(), papers.trust()) == ""
        assert await site.ask(message(), others.trust()) == "AA|A-1"
        writer.write(encode(message()))
        async with asyncio.timeout(PATIENCE):
            assert b"MSA|AA|A-1" in await reader.readuntil(b"\x1c\r"), "the one before it goes on"
        writer.transport.abort()


async def test_a_rotation_that_is_half_done_keeps_the_certificate_before(
    papers: Papers, others: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    table = papers.listening()
    certificate, key = others.issue(HOST)
    async with running(**table) as site:
        certificate.replace(table["tls_certificate_file"])
        assert await site.ask(message(), papers.trust()) == "AA|A-1"
        assert said(caplog, "mllp.certificate_not_renewed")
        key.replace(table["tls_key_file"])
        assert await site.ask(message(), others.trust()) == "AA|A-1"


# --- who may send as whom ---


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        (("EMR", "HOSP"), "AA|A-1"),
        (("EMR^1.2.3^ISO", "HOSP^4.5.6^ISO"), "AA|A-1"),
        (("LAB", "HOSP"), "AR|A-1|sender_not_allowed"),
        (("EMR", "CLINIC"), "AR|A-1|sender_not_allowed"),
        (("emr", "HOSP"), "AR|A-1|sender_not_allowed"),
        (("", ""), "AR|A-1|sender_not_allowed"),
        (("*", "HOSP"), "AR|A-1|sender_not_allowed"),
        (("ANY", "WARD"), "AA|A-1"),
    ],
)
async def test_a_certificate_may_send_only_as_whom_it_is_bound_to(
    papers: Papers, sender: tuple[str, str], expected: str
) -> None:
    clients = [
        {"certificate": "emr.hospital", "senders": ["EMR^HOSP", "*^WARD"]},
        {"certificate": "lab.hospital", "senders": ["LAB^HOSP"]},
    ]
    async with running(**papers.listening(), tls_client_ca_file=str(papers.ca), clients=clients) as site:
        assert await site.ask(message(*sender), papers.trust("emr.hospital")) == expected
        (arrival,) = site.stored
    assert arrival.verdict.code == expected.partition("1")[2].removeprefix("|")
    assert arrival.arrival.body == message(*sender), "what is refused is kept as well"
    assert expected in arrival.verdict.acknowledgement


async def test_the_name_may_be_the_subjects_and_one_that_nobody_names_may_send_nothing(papers: Papers) -> None:
    clients = [{"certificate": "EMR interface", "senders": ["*^*"]}]
    async with running(**papers.listening(), tls_client_ca_file=str(papers.ca), clients=clients) as site:
        assert await site.ask(message(), papers.trust("a.hospital", "EMR interface")) == "AA|A-1"
        assert await site.ask(message(), papers.trust("b.hospital")) == "AR|A-1|sender_not_allowed"


@pytest.mark.parametrize(
    ("type", "expected"),
    [("ADT^A08^ADT_A01", "AA|A-1"), ("ORU^R01^ORU_R01", "AA|A-1"), ("MDM^T02^MDM_T02", "AR|A-1|type_not_allowed")],
)
async def test_a_certificate_may_be_bound_to_types_of_message(papers: Papers, type: str, expected: str) -> None:
    clients = [{"certificate": "emr.hospital", "senders": ["EMR^HOSP"], "types": ["ADT^*", "ORU^R01"]}]
    async with running(**papers.listening(), tls_client_ca_file=str(papers.ca), clients=clients) as site:
        assert await site.ask(message(type=type), papers.trust("emr.hospital")) == expected


async def test_what_has_no_header_is_refused_for_that(papers: Papers) -> None:
    clients = [{"certificate": "emr.hospital", "senders": ["EMR^HOSP"]}]
    async with running(**papers.listening(), tls_client_ca_file=str(papers.ca), clients=clients) as site:
        assert await site.ask(b"hello", papers.trust("emr.hospital")) == "AR||not_hl7"


# --- sending ---


async def write(connector: Hl7v2Connector) -> tuple[str, str, list[bool]]:
    begun: list[bool] = []

    async def begin() -> None:
        begun.append(True)

    async with asyncio.timeout(PATIENCE):
        try:
            receipt = await connector.write(WRITEBACK, begin)
        except RetryLater as error:
            return "later", error.code, begun
    return receipt.outcome, receipt.code, begun


def sending(site: Site, **table: Any) -> Hl7v2Connector:
    assert site.connector.address
    return Hl7v2Connector({"name": "his", "send": f"{HOST}:{site.connector.address[1]}", **table})


async def test_a_write_back_leaves_over_tls(papers: Papers) -> None:
    async with running(**papers.listening()) as site:
        client = sending(site, send_tls_ca_file=str(papers.ca))
        assert await client.check() == []
        assert await write(client) == ("applied", "AA", [True])
        assert [one.arrival.control_id for one in site.stored] == [WRITEBACK.id]


@pytest.mark.parametrize("name", ["other.hospital", "localhost"])
async def test_nothing_is_sent_to_a_server_of_another_name(papers: Papers, name: str) -> None:
    async with running(**papers.listening(name)) as site:
        client = sending(site, send_tls_ca_file=str(papers.ca))
        assert await write(client) == ("later", "certificate_not_trusted", [])
        (sentence,) = await client.check()
        assert sentence.startswith("his: send: the certificate at ")
        named = sending(site, send_tls_ca_file=str(papers.ca), send_server_name=name)
        assert await write(named) == ("applied", "AA", [True])


async def test_nothing_is_sent_to_a_server_of_another_ca(papers: Papers, others: Papers) -> None:
    async with running(**others.listening()) as site:
        assert await write(sending(site, send_tls_ca_file=str(papers.ca))) == ("later", "certificate_not_trusted", [])


async def test_nothing_is_sent_where_tls_is_not_spoken(papers: Papers) -> None:
    async with running() as site:
        client = sending(site, send_tls_ca_file=str(papers.ca), connect_s=1)
        outcome, code, begun = await write(client)
        assert (outcome, begun, site.stored) == ("later", [], [])
        assert code in ("tls", "no_connection")
        assert len(await client.check()) == 1


async def test_our_certificate_is_shown_to_a_server_that_asks(papers: Papers) -> None:
    certificate, key = papers.issue("bus.hospital")
    ours = {"send_certificate_file": str(certificate), "send_key_file": str(key)}
    clients = [{"certificate": "bus.hospital", "senders": ["HISBUS^QC"]}]
    async with running(**papers.listening(), tls_client_ca_file=str(papers.ca), clients=clients) as site:
        assert await write(sending(site, send_tls_ca_file=str(papers.ca), **ours)) == ("applied", "AA", [True])


async def test_nothing_is_sent_to_a_server_that_refuses_our_certificate(papers: Papers, others: Papers) -> None:
    certificate, key = others.issue("bus.hospital")
    theirs = {"send_certificate_file": str(certificate), "send_key_file": str(key)}
    async with running(**papers.listening(), tls_client_ca_file=str(papers.ca)) as site:
        for table in ({}, theirs):
            client = sending(site, send_tls_ca_file=str(papers.ca), **table)
            assert await write(client) == ("later", "certificate_refused", [])
            assert "does not take our certificate" in (await client.check())[0]
        assert site.stored == []


async def test_files_that_are_gone_when_sending_are_waited_for(papers: Papers) -> None:
    async with running(**papers.listening()) as site:
        client = sending(site, send_tls_ca_file=str(papers.ca))
        hidden = papers.ca.rename(papers.folder / "hidden.pem")
        assert await write(client) == ("later", "tls_files", [])
        hidden.rename(papers.ca)
        assert await write(client) == ("applied", "AA", [True])


# --- the configuration ---


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"listen": "0.0.0.0:2575"}, "listen: messages would travel unencrypted. Set tls_certificate_file, or "),
        ({"listen": "[::]:2575"}, "listen: messages would travel unencrypted."),
        ({"send": "his.hospital:2575"}, "send: messages would travel unencrypted. Set send_tls_ca_file, or "),
        ({"tls_certificate_file": "a"}, "tls_certificate_file: it needs tls_key_file as well."),
        ({"tls_key_file": "a"}, "tls_key_file: it needs tls_certificate_file as well."),
        ({"tls_client_ca_file": "a"}, "tls_client_ca_file: it needs tls_certificate_file as well."),
        ({"clients": [{"certificate": "a", "senders": ["A^B"]}]}, "clients: it needs tls_client_ca_file as well."),
        ({"clients": [{"certificate": "a", "senders": ["A"]}]}, "clients: tables [[connectors.clients]] with"),
        ({"clients": [{"certificate": "a"}]}, "clients: tables [[connectors.clients]] with"),
        ({"send_key_file": "a"}, "send_key_file: it needs send_certificate_file as well."),
        ({"send_server_name": "a"}, "send_server_name: it needs send_tls_ca_file as well."),
    ],
)
def test_what_does_not_go_together_is_named(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Hl7v2Connector({"name": "his", **table})
    assert words in str(caught.value)


@pytest.mark.parametrize("where", ["127.0.0.1:2575", "localhost:2575", "[::1]:2575", "127.8.0.1:2575"])
def test_plaintext_needs_no_word_on_this_machine(where: str) -> None:
    assert Hl7v2Connector({"name": "his", "listen": where, "send": where}).plaintext == []


def test_a_waiver_of_tls_is_noted() -> None:
    connector = Hl7v2Connector({"name": "his", "listen": "0.0.0.0:2575", "send": "his:1", "allow_plaintext": True})
    assert connector.plaintext == ["listen", "send"]


def broken(folder: Path, papers: Papers, others: Papers) -> Iterator[tuple[dict[str, str], str]]:
    certificate, key = (str(path) for path in papers.issue(HOST))
    _, other_key = (str(path) for path in others.issue(HOST))
    missing, text = str(folder / "missing.pem"), str(folder / "text.pem")
    Path(text).write_text("not PEM", encoding="ascii")
    good = {"tls_certificate_file": certificate, "tls_key_file": key}
    yield {**good, "tls_certificate_file": missing}, f"tls_certificate_file: {missing} cannot be read."
    yield {**good, "tls_key_file": missing}, f"tls_key_file: {missing} cannot be read."
    yield {**good, "tls_certificate_file": text}, f"tls_certificate_file: {text} holds no certificate in PEM form."
    yield {**good, "tls_key_file": text}, f"tls_key_file: {text} holds no key in PEM form without a password."
    yield {**good, "tls_key_file": other_key}, f"tls_key_file: {other_key} is not the key of tls_certificate_file."
    yield {**good, "tls_client_ca_file": text}, f"tls_client_ca_file: {text} holds no certificate in PEM form."


async def test_files_that_cannot_be_used_are_named_by_check_and_stop_the_start(
    tmp_path: Path, papers: Papers, others: Papers
) -> None:
    for table, words in broken(tmp_path, papers, others):
        connector = Hl7v2Connector({"name": "his", "listen": f"{HOST}:0", **table})
        (sentence,) = await connector.check()
        assert sentence.startswith(f"his: {words}")
        assert "[SSL" not in sentence
        with pytest.raises(ConfigError) as caught:
            await connector.listen(Site({}).sink, Cursor())
        assert words in str(caught.value)


async def test_a_key_with_a_password_is_refused_without_asking_for_it(tmp_path: Path, papers: Papers) -> None:
    from cryptography.hazmat.primitives import serialization

    certificate, key = papers.issue(HOST)
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(os.urandom(8).hex().encode()),
        )
    )
    connector = Hl7v2Connector({"name": "his", "tls_certificate_file": str(certificate), "tls_key_file": str(key)})
    assert await connector.check() == [f"his: tls_key_file: {key} holds no key in PEM form without a password."]
