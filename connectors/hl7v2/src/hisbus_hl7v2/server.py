"""The MLLP server: takes connections, within bounds, and gives each a conversation."""

import asyncio
import socket
import ssl
from collections import Counter
from functools import partial

from hisbus.observe import gauge, logger
from hisbus_hl7v2.conversation import CLOSE_S, Conversation, Limits, Receive
from hisbus_hl7v2.tls import Context, refusal

_LARGE_PLACES = 4
_HANDSHAKE_S = 10.0
_ACCEPT_AGAIN_S = 1.0

_CONNECTIONS = gauge("hisbus_mllp_connections", "Open connections.", ["connector"])


class Server:
    """Listens, and hands every frame to ``receive``."""

    def __init__(self, name: str, limits: Limits, receive: Receive, tls: Context | None = None) -> None:
        self._name = name
        self._limits = limits
        self._receive = receive
        self._tls = tls
        self._peers: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
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
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

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
            limits = self._limits
            if len(self._tasks) >= limits.connections or self._peers[peer] >= limits.connections_per_peer:
                self._log.warning("mllp.too_many_connections", peer=peer, count=len(self._tasks))
                connection.close()
                continue
            self._peers[peer] += 1
            task = asyncio.create_task(self._attend(connection, peer))
            self._tasks.add(task)
            _CONNECTIONS.labels(self._name).set(len(self._tasks))
            task.add_done_callback(partial(self._gone, peer))

    def _gone(self, peer: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]
        _CONNECTIONS.labels(self._name).set(len(self._tasks))
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("mllp.failed", peer=peer, exc_info=error)

    async def _attend(self, connection: socket.socket, peer: str) -> None:
        conversation = Conversation(self._name, self._limits, self._receive, self._large)
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
