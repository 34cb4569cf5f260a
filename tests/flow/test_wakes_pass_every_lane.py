"""A wake comes behind all that was stored of its stay when it fired, under whichever keys that came.

Keys differ where a message is of several patients, where patients are merged or swap their beds, where a second
connector brings the same stay, and once a connector's authority is another. Each key is a lane of its own: any may
stand still while the others go on.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from hisbus.connector import Arrival
from hisbus_bus.flow.chart import ChartStep
from hisbus_bus.flow.intake import Intake
from hisbus_bus.flow.timers import Timers
from hisbus_bus.flow.translate import Translate
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.live import Live
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.outbox import Relay
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_mapping import Mapping
from hisbus_schemas import Charted, PatientId, VisitId

if TYPE_CHECKING:
    from hisbus_bus.kernel.log import Log

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
Lane = tuple[str, str]
"""Topic and key."""


def connector(name: str, authority: str) -> Mapping:
    table = {"name": name, "type": "hl7v2", "timezone": "Asia/Shanghai", "clock": "feed", "authority": authority}
    return Mapping(Hl7v2Connector(table))


HIS, LAB, RENAMED = connector("his", "HOSP"), connector("lab", "LIS"), connector("his", "GROUP")


def message(type: str, minute: int, *lines: str) -> str:
    head = rf"MSH|^~\&|EMR|HOSP|HISBUS|QC|20260302{8 + minute // 60:02}{minute % 60:02}00||{type}|{minute}|P|2.5"
    return "\r".join([head, f"EVN||20260302{8 + minute // 60:02}{minute % 60:02}00", *lines])


def of(patient: str, visit: str, bed: str = "1") -> tuple[str, str]:
    return f"PID|1||{patient}", f"PV1|1|I|W1^1^{bed}||||||||||||||||{visit}^^^HOSP"


def result(number: str, patient: str, visit: str) -> tuple[str, ...]:
    return (*of(patient, visit), f"OBR|1||{number}|GLU^Glucose^L", f"OBX|1|NM|GLU^Glucose^L||{number[1:]}|mmol/L|||||F")


STORY: Sequence[tuple[Mapping, str]] = (
    (HIS, message("ADT^A01", 0, *of("P1", "V1"))),
    (HIS, message("ADT^A01", 1, *of("P2", "V2", "2"))),
    (HIS, message("ORU^R01", 2, *result("R2", "P2", "V2"), *result("R3", "P1", "V1"))),
    (LAB, message("ORU^R01", 3, *result("R4", "L7", "V1")).replace("PID|1||L7", "PID|1||P1^^^HOSP")),
    (HIS, message("ADT^A17", 4, *of("P2", "V2", "1"), *of("P1", "V1", "2"))),
    (HIS, message("ORU^R01", 5, *result("R5", "P2", "V2"), *result("R6", "P1", "V1"))),
    (HIS, message("ADT^A40", 6, "PID|1||P9", "MRG|P1")),
    (HIS, message("ORU^R01", 7, *result("R7", "P9", "V1"))),
    (RENAMED, message("ADT^A40", 8, "PID|1||P9", "MRG|P9^^^HOSP")),
    (RENAMED, message("ORU^R01", 9, *result("R8", "P9", "V1"))),
    (HIS, message("ORU^R01", 10, *result("R9", "P1", "V1"))),
    (HIS, message("ORU^R01", 11, *result("R10", "P2", "V2"), *result("R11", "P9", "V1"))),
)


class Lanes:
    """A log whose keys are lanes: what stands first in one may be taken before or after what stands first elsewhere."""

    def __init__(self) -> None:
        self.waiting: dict[Lane, deque[Record]] = {}
        self.charted: list[Charted] = []
        self._offsets = 0

    async def append(self, records: Iterable[NewRecord]) -> None:
        for record in records:
            self._offsets += 1
            stored = Record(record.topic, 0, self._offsets, record.key, record.value, record.headers, NOON)
            if record.topic == "charted":
                self.charted.append(Charted.model_validate_json(record.value))
            else:
                self.waiting.setdefault((record.topic, record.key), deque()).append(stored)

    def ready(self, *, but: str = "") -> list[Lane]:
        return [lane for lane, records in self.waiting.items() if records and lane[1] != but]


class Bus:
    """The steps from intake to the charts, each taking one record at a time from the lane that it is told."""

    def __init__(self, site: Site, log: Lanes) -> None:
        self.site, self.log = site, log
        self._chart = ChartStep(site)
        self._timers = Timers(site, {"his": "feed", "lab": "feed"})
        self._relay = Relay(site)
        self._mappings = {HIS.connector.name: HIS, LAB.connector.name: LAB}
        self.stay = site.keys.encounter(VisitId(authority="HOSP", number="V1"))

    async def take(self, number: int) -> None:
        mapping, body = STORY[number]
        self._mappings[mapping.connector.name] = mapping
        arrival = Arrival(f"m{number}", body.encode(), NOON, type=body.split("|")[8])
        await Intake(self.site, mapping.connector.name, self._mappings).store(arrival)

    async def step(self, lane: Lane) -> None:
        record = self.log.waiting[lane].popleft()
        step = self._chart if lane[0] == "events" else Translate(self.site, Live(self._mappings.values()))
        await step.handle(Batch([record], {0: record.offset + 1}))

    async def wake(self) -> set[str] | None:
        """Fire a wake of the stay; None: it is not there yet.

        Returns:
            The messages that are stored and not charted under keys that messages of the stay have had.
        """
        async with self.site.database.write() as connection:
            row = tables.encounters.c
            lanes = await connection.scalar(select(row.lanes).where(row.id == self.stay, row.version > 0))
            if lanes is None:
                return None
            due = {"encounter": self.stay, "agent": "qc", "name": "look", "due": NOON, "key": ""}
            await connection.execute(insert(tables.wakes), due | {"clock": "wall", "fired": False})
        waiting = [record for (_, key), records in self.log.waiting.items() for record in records if key in lanes]
        assert await self._timers.fire() == 1
        await self._relay._chunk()
        return {record.headers["message"] for record in waiting}

    async def charted(self) -> set[str]:
        """Return the messages that the charts know."""
        async with self.site.database.read() as connection:
            return set((await connection.scalars(select(tables.charted_messages.c.message))).all())

    def arrives_behind(self, waiting: set[str] | None, charted: set[str]) -> None:
        """Fail where the wake has arrived before what was waiting when it fired."""
        assert waiting is None or not self.woken or waiting <= charted

    @property
    def woken(self) -> bool:
        return any(one.kind == "timer.due" and one.encounter == self.stay for one in self.log.charted)


async def lived(known: int, turns: Sequence[int], fires: int, patient: PatientId) -> None:
    """Let the story happen, and look at what is charted when the wake arrives.

    Args:
        known: how many of its messages were charted one after the other, before others came.
        turns: which lane goes on next.
        fires: at which of the turns the wake fires.
        patient: whose lane stands still as long as the others go on.
    """
    with TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/hisbus.db")
        async with database.engine.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
        log = Lanes()
        bus = Bus(Site(Settings(site="lanes"), Keys(b"lanes"), cast("Log", log), database), log)
        stalled = bus.site.keys.patient(patient)
        try:
            for number in range(len(STORY)):
                await bus.take(number)
                while number < known and (lanes := log.ready()):
                    await bus.step(lanes[0])
            behind = await bus.wake() if fires == 0 else None
            for turn, choice in enumerate(turns, 1):
                if lanes := log.ready(but=stalled):
                    await bus.step(lanes[choice % len(lanes)])
                bus.arrives_behind(behind, await bus.charted())
                behind = await bus.wake() if turn == fires and behind is None else behind
            while lanes := log.ready():
                await bus.step(lanes[0])
                bus.arrives_behind(behind, await bus.charted())
            assert behind is None or bus.woken
        finally:
            await database.close()


# Each example is a site of its own: to shrink one would take minutes.
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate])
@given(
    st.integers(1, len(STORY)),
    st.lists(st.integers(0, 5), min_size=8, max_size=40),
    st.integers(0, 12),
    st.sampled_from([("HOSP", "P1"), ("HOSP", "P2"), ("HOSP", "P9"), ("GROUP", "P9")]),
)
def test_a_wake_overtakes_nothing_of_its_stay(
    known: int, turns: list[int], fires: int, stalled: tuple[str, str]
) -> None:
    asyncio.run(lived(known, turns, fires, PatientId(authority=stalled[0], number=stalled[1])))
