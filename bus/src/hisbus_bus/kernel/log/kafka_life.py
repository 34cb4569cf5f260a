"""Whether a client of aiokafka still lives: it may fall silent without an error.

Its clients fetch, and learn of new leaders, in tasks of their own. Where such a task ends by an error that the library
does not expect, nobody is told: a consumer then finds nothing for ever, and a producer waits for ever.

One such error is mended at its root. With uvloop, a write to a connection that was reset is a RuntimeError until its
reader has heard of it, two rounds of the loop later; with asyncio it is nothing, and the library expects an OSError at
most. A broker that is killed resets its connections, and the busier a process is, the longer such a round.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


def send(connection: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Awaitable[Any]:
    """Send a request; a connection that was reset is closed, as one that breaks later.

    Raises:
        KafkaConnectionError: the connection is gone.
    """
    try:
        answer: Awaitable[Any] = _send(connection, request, expect_response)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
        raise KafkaConnectionError("The connection was reset.") from error
    return answer


AIOKafkaConnection.send = send

_COORDINATION = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")

Client: TypeAlias = AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaClient


def fell_silent(client: Client) -> bool:
    """Tell whether a client that was started has lost a task without which it finds nothing, and learns nothing."""
    tasks = [_base(client)._sync_task]
    if isinstance(client, AIOKafkaConsumer) and client._fetcher is not None:
        tasks.append(client._fetcher.error_future)
    return any(task is not None and task.done() for task in tasks)


async def abandon(client: Client, within_s: float) -> None:
    """End a client that does not stop in order, with all its tasks: a heartbeat that goes on would keep partitions."""
    tasks = {_base(client)._sync_task}
    if isinstance(client, AIOKafkaProducer):
        tasks.add(client._sender.sender_task)
    elif isinstance(client, AIOKafkaConsumer):
        fetcher, coordinator = client._fetcher, client._coordinator
        tasks |= {fetcher.error_future} if fetcher else set()
        tasks |= {getattr(coordinator, name, None) for name in _COORDINATION}
    client._closed = True
    alive = {task for task in tasks if task is not None and not task.done()}
    for task in alive:
        task.cancel()
    for connection in _base(client)._conns.values():
        connection.close()
    if alive:
        await asyncio.wait(alive, timeout=within_s)


def _base(client: Client) -> AIOKafkaClient:
    if isinstance(client, AIOKafkaConsumer):
        return client._client
    return client.client if isinstance(client, AIOKafkaProducer) else client
