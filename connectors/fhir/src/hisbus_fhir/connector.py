"""The fhir connector: FHIR R4B bundles in, over HTTP."""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from hisbus import Arrival, BadMessage, BusError, ConfigError, Format, Place, Raw, Reads, RetryLater, Sink
from hisbus.addresses import bind
from hisbus.observe import logger
from hisbus_fhir import outcome
from hisbus_fhir.identity import identified
from hisbus_fhir.server import Answer, Handler, Head, Limits, Server
from hisbus_fhir.settings import read_settings, tls, token
from hisbus_fhir.source import FORMAT, FhirSource, parsed
from hisbus_schemas import Effect, Receipt, WriteBack

_PLACES = frozenset({"/", "/Bundle"})
_JSON = frozenset({"application/fhir+json", "application/json"})
_RETRY_S = 5
"""Seconds after which a sender may try again."""


class FhirConnector:
    """Takes bundles in that are posted to it, and reads them. It does not write."""

    profile = Path(__file__).with_name("profile.toml")
    format: Format | None = FORMAT
    meaning: Mapping[str, str] = {}
    polls = False
    writes = False
    his_drops_duplicates = False

    def __init__(self, table: dict[str, Any]) -> None:
        self._settings = settings = read_settings(table)
        self.name = settings.name
        self.timezone = settings.timezone
        self.clock = settings.clock
        self.authority = settings.authority
        self.over = settings.profile
        self.plaintext: Sequence[str] = settings.plaintext
        """The key ``listen`` where the operator has waived encryption."""
        self._log = logger(connector=settings.name)
        self._sink: Sink | None = None
        limits = Limits(settings.max_bytes, settings.idle_s, settings.request_s, settings.max_connections)
        self._server = Server(settings.name, limits, Handler(self._admit, self._receive, partial(_told, "bad_request")))

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port it listens at; None: it does not listen now."""
        return self._server.address

    @property
    def listening(self) -> asyncio.Event:
        """Set while it listens."""
        return self._server.listening

    async def check(self) -> list[str]:
        """Try the token, the files for TLS and the address of ``listen``."""
        settings = self._settings
        wrong = []
        if settings.token_file is not None:
            wrong += self._tried(partial(token, settings.token_file))
        wrong += self._tried(partial(tls, settings))
        if settings.listen and self.address is None:
            where = settings.listen
            wrong += self._tried(lambda: bind(where).close(), "listen: ")
        return wrong

    def _tried(self, part: Callable[[], Any], key: str = "") -> list[str]:
        try:
            part()
        except ConfigError as error:
            return [f"{self.name}: {key}{error}"]
        return []

    async def listen(self, sink: Sink, place: Place) -> None:
        """Take bundles in until cancelled; senders keep their own place.

        Raises:
            ConfigError: the address cannot be bound, or the token or the files for TLS cannot be used.
        """
        settings = self._settings
        if settings.listen is None or settings.token_file is None:
            await asyncio.Event().wait()
            return
        self._sink = sink
        try:
            token(settings.token_file)
            context = tls(settings)
            bound = bind(settings.listen)
        except ConfigError as error:
            raise ConfigError(f"connector {self.name}: {error}") from error
        await self._server.serve(bound, context)

    def _admit(self, head: Head) -> Answer | None:
        """Return the refusal of a request that is not to be read on."""
        if not self._is_known(head.headers.get("authorization", "")):
            return _told("unauthorized", ("WWW-Authenticate", "Bearer"))
        if head.path not in _PLACES:
            return _told("no_such_place")
        if head.method != "POST":
            return _told("not_post", ("Allow", "POST"))
        type = head.headers.get("content-type", "").partition(";")[0].strip().lower()
        if type not in _JSON or head.headers.get("content-encoding", "identity") != "identity":
            return _told("not_this_type")
        return None

    def _is_known(self, shown: str) -> bool:
        """Tell whether a sender showed the token. Its file is read each time, so a new one needs no restart."""
        scheme, _, given = shown.partition(" ")
        try:
            wanted = token(self._settings.token_file) if self._settings.token_file is not None else b""
        except ConfigError:
            self._log.error("http.no_token")
            return False
        same = hmac.compare_digest(given.strip().encode("latin-1"), wanted)
        return bool(wanted) and same and scheme.lower() == "bearer"

    async def _receive(self, body: bytes, too_large: bool) -> Answer:
        """Store a body and answer it; the answer leaves after the store has confirmed."""
        if self._sink is None:
            raise BusError("A request came before anybody listened.")
        try:
            verdict = await self._sink(self._arrival(body, "too_large" if too_large else ""))
        except RetryLater:
            return _told("retry_later", ("Retry-After", str(_RETRY_S)))
        said = verdict.acknowledgement
        return Answer(outcome.status(verdict.code), said if verdict.code else _answer(body, said))

    def _arrival(self, body: bytes, refusal: str = "") -> Arrival:
        id, number = identified(self.name, body)
        return Arrival(
            id=id,
            body=body,
            received=datetime.now(UTC),
            control_id=number,
            type="Bundle",
            refusal=refusal,
            acknowledge=outcome.outcome,
        )

    async def take(self, body: bytes, sink: Sink) -> str:
        """Take one message as if it had been posted. Return the HTTP status it is answered with."""
        verdict = await sink(self._arrival(body))
        return str(outcome.status(verdict.code))

    def read(self, raw: Raw, _reads: Reads | None = None) -> FhirSource:
        """Read a message. Pure.

        Raises:
            BadMessage: it cannot be read.
        """
        return FhirSource.read(raw)

    def split(self, file: bytes) -> list[bytes]:
        """Return the bundles of a file: one, a JSON list of them, or one on each line."""
        try:
            held = json.loads(file)
        except ValueError:
            return [line.strip() for line in file.splitlines() if line.strip()]
        if not isinstance(held, list):
            return [file]
        return [json.dumps(one, ensure_ascii=False).encode() for one in held]

    async def write(self, writeback: WriteBack, begin: Callable[[], Awaitable[None]]) -> Receipt:
        """Raise ConfigError: nothing can be written back through it."""
        raise ConfigError(f"Connector {self.name}: nothing can be written back through it.")

    async def find(self, writeback: WriteBack) -> Effect:
        """Answer ``unknown``: nothing is written through it."""
        return "unknown"


def _told(code: str, *headers: tuple[str, str]) -> Answer:
    return Answer(outcome.status(code), outcome.outcome(code), headers)


def _answer(body: bytes, said: str) -> str:
    """Return what the sender of a stored bundle gets: of a transaction and a batch a response to each entry."""
    try:
        node = parsed(body)
    except BadMessage:
        return said
    entries = node.get("entry")
    return outcome.answer(str(node.get("type")), len(entries) if isinstance(entries, list) else 0) or said
