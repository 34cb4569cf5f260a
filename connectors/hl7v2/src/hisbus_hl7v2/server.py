"""The MLLP server: takes connections, within bounds, and gives each a conversation."""

import asyncio
import contextlib
import socket
import ssl
from functools import partial
from time import monotonic
from typing import NamedTuple

from hisbus.observe import gauge, logger
from hisbus_hl7v2.conversation import CLOSE_S, Conversation, Limits, Receive
from hisbus_hl7v2.tls import Context, refusal

_LARGE_PLACES = 4
_HANDSHAKE_S = 10.0
_ACCEPT_AGAIN_S = 1.0

_CONNECTIONS = gauge("hisbus_mllp_connections", "Open connections.", ["connector"])


class _Held(NamedTuple):
    """A connection that counts."""

    peer: str
    connection: socket.socket
    conversation: Conversation


class Server:
    """Listens, and hands every frame to ``receive``."""

    def __init__(self, name: str, limits: Limits, receive: Receive, tls: Context | None = None) -> None:
        self._name = name
        self._limits = limits
        self._receive = receive
        self._tls = tls
        self._held: dict[asyncio.Task[None], _Held] = {}
        """The connections that count."""
        self._leaving: set[asyncio.Task[None]] = set()
        """Those that make room for others and are being closed."""
        self._large = asyncio.Semaphore(_LARGE_PLACES)
        self._log = logger(connector=name)
        self.listening = asyncio.Event()
        self.address: tuple[str, int] | None = None
        """Where it listens, once it does."""

    async def serve(self, host: str, port: int) -> None:
        """Take connections until cancelled.

        Raises:
            OSError: the address cannot be bound.
            ConfigError: the files for TLS cannot be used.
        """
        if self._tls is not None:
            self._tls.current()
        with bind(host, port) as listening:
            self.address = listening.getsockname()[:2]
            self.listening.set()
            try:
                await self._accept(listening)
            finally:
                self.listening.clear()
                self.address = None
                listening.close()
                tasks = [*self._held, *self._leaving]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        """Take the connections ourselves, so that the bounds hold before a handshake has cost anything."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, (peer, *_) = await loop.sock_accept(listening)
            except OSError:
                # Gone before we took it, or no more file descriptors: those that close make room.
                self._log.warning("mllp.accept_failed", exc_info=True)
                await asyncio.sleep(_ACCEPT_AGAIN_S)
                continue
            if not self._has_room(peer):
                self._log.warning("mllp.too_many_connections", peer=peer, count=len(self._held))
                connection.close()
                continue
            conversation = Conversation(self._name, self._limits, self._receive, self._large)
            task = asyncio.create_task(self._attend(connection, peer, conversation))
            self._held[task] = _Held(peer, connection, conversation)
            _CONNECTIONS.labels(self._name).set(len(self._held))
            task.add_done_callback(partial(self._gone, peer))

    def _has_room(self, peer: str) -> bool:
        """Tell whether one more connection can be taken, for which an idle one may have to make room."""
        limits = self._limits
        same = [task for task, held in self._held.items() if held.peer == peer]
        if len(same) >= limits.connections_per_peer:
            among = same
        elif len(self._held) >= limits.connections:
            among = list(self._held)
        else:
            return True
        # Who has never sent anything goes first, so that who only connects puts out nobody that works.
        idle = [
            (held.conversation.heard, since, task)
            for task in among
            if (since := (held := self._held[task]).conversation.idle_since) is not None
        ]
        if not idle or len(self._leaving) >= limits.connections:
            return False
        _, since, task = min(idle, key=lambda one: one[:2])
        held = self._held.pop(task)
        self._leaving.add(task)
        if not held.conversation.make_room():
            with contextlib.suppress(OSError):
                held.connection.shutdown(socket.SHUT_RDWR)
        idle_s = round(monotonic() - since, 1)
        self._log.warning("mllp.made_room", peer=held.peer, seconds=idle_s, count=len(self._held) + 1)
        return True

    def _gone(self, peer: str, task: asyncio.Task[None]) -> None:
        self._held.pop(task, None)
        self._leaving.discard(task)
        _CONNECTIONS.labels(self._name).set(len(self._held))
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("mllp.failed", peer=peer, exc_info=error)

    async def _attend(self, connection: socket.socket, peer: str, conversation: Conversation) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self._tls is None:
                await loop.connect_accepted_socket(lambda: conversation, connection)
            else:
                await loop.connect_accepted_socket(
                    lambda: conversation,
                    connection,
                    ssl=self._tls.current(),
                    ssl_handshake_timeout=_HANDSHAKE_S,
                    ssl_shutdown_timeout=CLOSE_S,
                )
        except ssl.SSLError as error:
            self._log.warning("mllp.tls_refused", peer=peer, code=refusal(error))
        except OSError:
            self._log.info("mllp.connection_lost", peer=peer)
        else:
            await conversation.run()


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        OSError: the address cannot be bound.
    """
    listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setblocking(False)
    return listening
