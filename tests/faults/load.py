"""A numbered load: every MSH-10 is ``RUN-PATIENT-SEQ``, in order for each patient, sent again until acknowledged."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from hisbus import RetryLater
from hisbus_hl7v2.client import Connection
from hisbus_simulator import ward_week
from hisbus_simulator.week import Message, Week

WAIT_S = 0.2
ANSWER_S = 6.0
EVERYTHING = slice(None)


def sequence(control_id: str) -> tuple[str, int]:
    """Return who a message is about and which of theirs it is."""
    patient, _, number = control_id.rpartition("-")
    return patient, int(number)


def numbered(seed: int, patients: int) -> Week:
    """Return a ward's week whose control ids say patient and sequence."""
    week = ward_week(seed=seed, patients=patients)
    run = secrets.token_hex(2)
    patients_seen: dict[str, int] = {}
    told: Counter[str] = Counter()
    messages = []
    for message in week.messages:
        patient = patients_seen.setdefault(message.visit, len(patients_seen))
        told[message.visit] += 1
        id = f"{run}-{patient}-{told[message.visit]}"
        messages.append(_renumbered(message, id))
    return replace(week, messages=tuple(messages))


def _renumbered(message: Message, id: str) -> Message:
    text = message.text.replace(f"|{message.control_id}|", f"|{id}|", 1)
    return replace(message, control_id=id, text=text)


@dataclass
class Load:
    """What was sent, and what came back."""

    week: Week
    acked: Counter[str] = field(default_factory=Counter)
    """By control id: how often it was acknowledged as stored."""
    refused: Counter[str] = field(default_factory=Counter)
    """How often which other code came back: AE, CE, ``closed``, ``silence``, ``no_connection``."""
    refused_for_good: list[str] = field(default_factory=list)
    asked: set[object] = field(default_factory=set)
    """One for each message whose answer is waited for."""
    resent: int = 0
    longest_wait_s: float = 0.0

    @property
    def sent(self) -> list[str]:
        return [message.control_id for message in self.week.messages]

    def parts(self, count: int) -> list[slice]:
        """Cut what is to be sent into so many parts."""
        cuts = [len(self.sent) * n // count for n in range(count + 1)]
        return [slice(*cut) for cut in pairwise(cuts)]

    async def feed(self, ports: Sequence[int], lanes: int, pace: float = 0, part: slice = EVERYTHING) -> None:
        """Send it over so many connections; all of one patient over the same.

        Args:
            ports: where intakes listen; a lane that is refused goes to the next.
            lanes: connections.
            pace: messages a second, over all lanes; 0: as fast as they are acknowledged.
            part: only these messages.
        """
        dealt: list[list[tuple[float, Message]]] = [[] for _ in range(lanes)]
        patients: dict[str, int] = {}
        for n, message in enumerate(self.week.messages[part]):
            lane = patients.setdefault(message.visit, len(patients)) % lanes
            dealt[lane].append((n / pace if pace else 0.0, message))
        begun = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for n, lane_messages in enumerate(dealt):
                group.create_task(
                    self._lane([*ports[n % len(ports) :], *ports[: n % len(ports)]], lane_messages, begun)
                )

    async def answered(self) -> None:
        """Wait until all that is under way now has its answer."""
        asked = self.asked.copy()
        while asked & self.asked:
            await asyncio.sleep(0.01)

    async def _lane(self, ports: list[int], messages: list[tuple[float, Message]], begun: float) -> None:
        now = asyncio.get_running_loop().time
        connection: Connection | None = None
        for due, message in messages:
            await asyncio.sleep(begun + due - now())
            first = now()
            while True:
                connection, stored = await self._attempt(connection, ports, message)
                if stored:
                    break
                self.resent += 1
                await asyncio.sleep(WAIT_S)
            self.longest_wait_s = max(self.longest_wait_s, now() - first)
        if connection is not None:
            await connection.close()

    async def _attempt(
        self, connection: Connection | None, ports: list[int], message: Message
    ) -> tuple[Connection | None, bool]:
        try:
            connection = connection or await Connection.open("127.0.0.1", ports[0], 2)
        except RetryLater as error:
            self.refused[error.code] += 1
            ports.append(ports.pop(0))
            return None, False
        asked = object()
        self.asked.add(asked)
        try:
            answer = await connection.exchange(message.body, message.control_id, ANSWER_S)
        finally:
            self.asked.remove(asked)
        if answer.outcome == "applied":
            self.acked[message.control_id] += 1
            return connection, True
        self.refused[answer.code] += 1
        if answer.outcome == "rejected":
            self.refused_for_good.append(message.control_id)
            return connection, True
        if answer.outcome == "unknown":  # what comes later here could be taken for another answer
            await connection.close()
            ports.append(ports.pop(0))
            return None, False
        return connection, False
