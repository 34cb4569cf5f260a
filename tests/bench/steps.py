"""What single pieces cost, in this process: reading an ADT, and taking the 5,000th event of a stay into its chart."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from tests.bench import floor_translate, message
from tests.bench.figures import Figure, compared

from hisbus import Raw
from hisbus_bus.flow.chart import ChartStep
from hisbus_bus.kernel import migrations
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys, digest
from hisbus_hl7v2.connector import Hl7v2Connector
from hisbus_mapping import Mapping
from hisbus_schemas import Event, Fact, Position, Translated
from hisbus_simulator.facts import Admitted, Filed, Measured, Place, Reading, Section, Updated
from hisbus_simulator.people import doctor, patient
from hisbus_simulator.speech import Context, say
from hisbus_simulator.week import START, ZONE

RUNS = 5
MESSAGES = 400
EARLY, LATE, AROUND = 50, 5000, 20
MAPPING = Mapping(Hl7v2Connector({"name": "his", "type": "hl7v2", "timezone": "Asia/Shanghai"}))


def translate_adt_us() -> Figure:
    """Return the CPU of reading one ADT, beside hand-written Python that reads the same facts of that one message."""
    now = datetime.now(UTC)
    bodies = [message.body(shot) for shot in islice(message.shots("translate"), MESSAGES)]
    raws = [Raw(f"m{n}", body, now) for n, body in enumerate(bodies)]

    def ours() -> None:
        for raw in raws:
            MAPPING.translate(raw)

    def floor() -> None:
        for body in bodies:
            floor_translate.translate(body)

    ours()
    floor()
    turns = [(_cpu_us(floor), _cpu_us(ours)) for _ in range(RUNS)]
    return compared("translate_adt_us", "µs", [turn[1] for turn in turns], [turn[0] for turn in turns])


def _cpu_us(work: Callable[[], None]) -> float:
    begun = time.process_time()
    work()
    return (time.process_time() - begun) / MESSAGES * 1e6


def late_stay_ratio(folder: Path) -> tuple[float, float, float]:
    """Return what event 5,000 of a stay costs the chart step, through event 50: in order, each in a transaction.

    Also the CPU of the early and of the late one, microseconds.
    """
    return sorted(asyncio.run(_stay(folder / f"stay-{turn}.db")) for turn in range(RUNS))[RUNS // 2]


async def _stay(path: Path) -> tuple[float, float, float]:
    """Return the ratio, and the median CPU microseconds around the early and the late event."""
    database = Database(f"sqlite:///{path}")
    try:
        await migrations.upgrade(database)
        log: Any = _Nowhere()
        step = ChartStep(Site(Settings(site="bench"), Keys(b"bench"), log, database))
        records = [_record(n, body) for n, body in enumerate(_told(LATE + AROUND + 1))]
        early = await _around(step, records, EARLY)
        for at in range(EARLY + AROUND, LATE - AROUND, 50):
            batch = records[at : min(at + 50, LATE - AROUND)]
            await step.handle(Batch(batch, {0: batch[-1].offset + 1}))
        late = await _around(step, records, LATE)
        return late / early, early, late
    finally:
        await database.close()


async def _around(step: ChartStep, records: Sequence[Record], number: int) -> float:
    """Deliver events one by one up to a little behind a number; return the median cost of those around it."""
    costs = []
    for record in records[max(0, number - AROUND) if number == LATE else 0 : number + AROUND]:
        begun = time.process_time()
        await step.handle(Batch([record], {0: record.offset + 1}))
        costs.append((time.process_time() - begun) * 1e6)
    return median(costs[-2 * AROUND :])


class _Nowhere:
    """A log that takes everything and keeps nothing."""

    async def append(self, records: Sequence[Any]) -> None:
        """Take records."""


def _told(events: int) -> list[bytes]:
    """Return the messages of a long stay: vital signs, a note every tenth time, an update every twenty-fifth."""
    rng = Random(1)
    who, by = patient(rng, "800001", (60, 80), START), doctor("D101")
    context = Context(who, Place("W1", "101", "1"), "CARD", by, by)
    begun = datetime.combine(START, datetime.min.time(), ZONE)
    bodies = []
    for n in range(events):
        at = begun + timedelta(minutes=17 * n)
        if n == 0:
            fact: Any = Admitted(at=at, visit="V1", admitted=at, diagnoses=(("I21.9", "急性心肌梗死"),))
        elif n % 25 == 0:
            fact = Updated(at=at, visit="V1", diagnoses=(("I21.9", "急性心肌梗死"),))
        elif n % 10 == 0:
            note = Section("NOTE", "病程记录", f"患者今日第{n}次查房，诉胸痛缓解，生命体征平稳。")
            fact = Filed(
                at=at,
                visit="V1",
                number=f"D{n}",
                type="C0038",
                title="日常病程记录",
                about=at,
                signed=at,
                sections=(note,),
            )
        else:
            signs = tuple(Reading(code, code, 36 + n % 3, "1", 0, 100, 0) for code in ("8310-5", "8867-4", "9279-1"))
            fact = Measured(at=at, visit="V1", number=f"V{n}", readings=signs)
        bodies.append(say(fact, context, f"C{n}", "UNICODE UTF-8").encode())
    return bodies


def _record(n: int, body: bytes) -> Record:
    """Return what translate would append for a message."""
    stored = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=n)
    position = Position(recorded=stored, partition=0, offset=n)
    id = digest("bench", n)
    events = [
        Event(
            **{name: getattr(fact, name) for name in Fact.model_fields},
            id=digest(id, 1, ordinal),
            message=id,
            revision=1,
            ordinal=ordinal,
            connector="his",
            position=position,
        )
        for ordinal, fact in enumerate(MAPPING.translate(Raw(id, body, stored)).facts)
    ]
    told = Translated(
        message=id, revision=1, connector="his", key="k", timezone="Asia/Shanghai", position=position, events=events
    )
    return Record("events", 0, n, "k", told.model_dump_json().encode(), {"message": id}, stored)
