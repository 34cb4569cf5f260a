"""The ward after its week: the next one goes on hour by hour, and five things to try with it."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from hisbus_simulator.sender import Sender
from hisbus_simulator.week import Message

HOUR_S = 60.0
"""Seconds that an hour of the ward takes."""
_BEFORE = timedelta(minutes=2)


async def live(
    messages: Sequence[Message],
    sender: Sender,
    *,
    hour_s: float = HOUR_S,
    sent: Callable[[Message], None] = lambda message: None,
) -> None:
    """Send what happens when it happens, from shortly before the first message on.

    Args:
        hour_s: seconds that an hour of the ward takes.
        sent: called after each acknowledgement.

    Raises:
        SendError: a message was refused, or nobody stored it in time.
    """
    loop = asyncio.get_running_loop()
    begun, first = loop.time(), messages[0].at - _BEFORE
    try:
        for message in messages:
            await asyncio.sleep(begun + _seconds(message.at, first, hour_s) - loop.time())
            await sender.send(message.body, message.control_id)
            sent(message)
    finally:
        await sender.close()


def _seconds(at: datetime, first: datetime, hour_s: float) -> float:
    return (at - first) / timedelta(hours=1) * hour_s


def to_try(url: str, *, command: str, folder: str, visit: str, finding: str, agent: int | None) -> list[str]:
    """Return five things to try, in lines.

    Args:
        url: of the page.
        command: with ``{visit}`` in it: what signs the first progress note of a stay.
        folder: of the demo.
        visit: a stay whose first progress note is missing.
        finding: id of a finding to accept.
        agent: process of the rules, where the system tells.
    """
    kill = f"kill -9 {agent}" if agent else f"end the process of qc ({url}/agents names the agents)"
    return [
        f"1. Accept one: {url}/findings/{finding} (press a); the document that leaves is counted below.",
        f"2. Sign what is missing: {command.format(visit=visit)}",
        f"   and watch its finding close within a second: {url}/findings",
        f"3. Kill the agent: {kill}; it is back in seconds, and nothing is lost: {url}/agents",
        f'4. Give it a model: [llm] url = "https://HOST:PORT" and model = "NAME" in {folder}/hisbus.toml, then '
        "hisbus up with that file (or make test-vllm's: python -m hisbus_servers vllm prints the lines)",
        "5. The same on a real broker and database: make demo-kafka",
    ]
