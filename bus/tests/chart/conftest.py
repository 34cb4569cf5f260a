"""A ward whose messages go straight into the chart step."""

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from hisbus_bus.flow.chart import ChartStep
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys, digest
from hisbus_schemas import (
    Chart,
    Charted,
    Code,
    Demographics,
    Document,
    Event,
    Merge,
    Moment,
    Move,
    PatientId,
    Position,
    Section,
    Stay,
    Translated,
    VisitId,
)

START = datetime(2026, 3, 2, tzinfo=UTC)


def at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


def moment(hour: float) -> Moment:
    return Moment(at=at(hour))


def patient(number: str) -> PatientId:
    return PatientId(authority="HOSP", number=number)


def visit(number: str) -> VisitId:
    number, _, counter = number.partition("/")
    return VisitId(authority="HOSP", number=number, counter=counter)


class Ward:
    """Makes messages and delivers them; tells what the charts say."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.step = ChartStep(site)
        self.messages = 0
        self.delivered = 0

    # --- making messages

    def fact(
        self, kind: str, hour: float, who: str | None = "P1", on: str | None = "V1", **more: Any
    ) -> dict[str, Any]:
        """One event that has no identity yet. It opens the stay that it names, unless said or of a patient alone."""
        return {
            "opens": not kind.startswith("patient."),
            "kind": kind,
            "time": moment(hour),
            "patient": patient(who) if who else None,
            "visit": visit(on) if on else None,
            **more,
        }

    def message(
        self, *facts: dict[str, Any], number: int | None = None, revision: int = 1, clock: str = "feed"
    ) -> Translated:
        """One translated message; ``number`` says where it lies in raw."""
        if number is None:
            self.messages += 1
            number = self.messages
        position = Position(recorded=at(1000) + timedelta(seconds=number), partition=0, offset=number)
        id = digest("message", number)
        events = [
            Event(
                id=digest(id, revision, ordinal),
                message=id,
                revision=revision,
                ordinal=ordinal,
                connector="his",
                position=position,
                **fact,
            )
            for ordinal, fact in enumerate(facts)
        ]
        return Translated(
            message=id,
            revision=revision,
            connector="his",
            key=f"key-{number}",
            timezone="Asia/Shanghai",
            clock=clock,
            position=position,
            events=events,
        )

    def adt(self, kind: str, hour: float, who: str = "P1", stay: str | None = "V1", **more: Any) -> Translated:
        """An ADT; keywords are fields of the stay or the patient."""
        demographics = {name: value for name, value in more.items() if name in Demographics.model_fields}
        facts = {name: value for name, value in more.items() if name in Stay.model_fields and name not in demographics}
        return self.message(
            self.fact(
                f"encounter.{kind}" if "." not in kind else kind,
                hour,
                who,
                stay,
                demographics=Demographics(**demographics) if demographics else None,
                stay=Stay(**facts) if facts else None,
            )
        )

    def document(
        self,
        hour: float,
        number: str = "D1",
        action: str = "file",
        who: str = "P1",
        stay: str | None = "V1",
        **more: Any,
    ) -> Translated:
        """A document of one section."""
        sections = [Section(name="TEXT", text=more.pop("text", "正文"))] if action != "withdraw" else []
        body = Document(number=number, action=action, type=Code(code="C0038"), sections=sections, **more)
        return self.message(self.fact("document.filed", hour, who, stay, data=body))

    def merge(self, hour: float, prior: str, into: str) -> Translated:
        """An A40."""
        return self.message(self.fact("patient.merged", hour, into, None, data=Merge(prior=patient(prior))))

    def move(self, hour: float, stay: str, to: str, prior: str | None = None) -> Translated:
        """An A45."""
        body = Move(prior=patient(prior) if prior else None, visit=visit(stay))
        return self.message(self.fact("encounter.moved", hour, to, None, data=body))

    # --- delivering them

    async def deliver(self, *messages: Translated, headers: dict[str, str] | None = None) -> list[Charted]:
        """Hand messages to the step as one batch; return what it appended."""
        log: Any = self.site.log
        before = len(log.appended)
        records = []
        for message in messages:
            self.delivered += 1
            value = message.model_dump_json().encode()
            named = {"message": message.message, **(headers or {})}
            records.append(Record("events", 0, self.delivered, message.key, value, named, at(1000)))
        await self.step.handle(Batch(records, {0: self.delivered + 1}))
        return [Charted.model_validate_json(record.value) for record in log.appended[before:]]

    async def each(self, messages: Iterable[Translated]) -> list[Charted]:
        """Deliver messages one by one."""
        return [output for message in messages for output in await self.deliver(message)]

    # --- looking

    def encounter(self, stay: str) -> str:
        """The id of a stay, ``number`` or ``number/counter``."""
        return self.site.keys.encounter(visit(stay))

    async def chart(self, stay: str = "V1") -> Chart:
        async with self.site.database.read() as connection:
            found = await charts.chart(connection, self.encounter(stay))
        assert found is not None
        return found

    async def flags(self) -> list[str]:
        """Why events are unassigned, sorted."""
        async with self.site.database.read() as connection:
            return sorted(item.flag for item in await charts.unassigned(connection, 1000))

    async def everything(self) -> dict[str, list[Any]]:
        """Every row of every table that the step writes."""
        names = [name for name, writer in tables.WRITER.items() if writer == "chart"] + ["parked"]
        async with self.site.database.read() as connection:
            return {
                name: sorted(map(repr, (await connection.execute(tables.metadata.tables[name].select())).all()))
                for name in names
            }

    async def said(self, stays: Sequence[str]) -> dict[str, Any]:
        """What must not depend on the order of arrival: charts, and where every event belongs."""
        found: dict[str, Any] = {}
        async with self.site.database.read() as connection:
            for stay in stays:
                chart = await charts.chart(connection, self.encounter(stay))
                left_out = {"version", "now", "key"}
                found[stay] = chart.model_dump(mode="json", exclude=left_out) if chart else None
            columns = (tables.events.c.id, tables.events.c.encounter, tables.events.c.flag)
            rows = await connection.execute(tables.events.select().with_only_columns(*columns))
            found["events"] = sorted(map(tuple, rows))
            numbers = await connection.execute(tables.patients.select().order_by(tables.patients.c.id))
            found["survivors"] = {row.number: row.survivor for row in numbers if row.survivor != row.id}
        return found


@pytest.fixture
def ward(site: Site) -> Ward:
    return Ward(site)


@pytest.fixture
def fresh_ward(log: Any) -> Iterator[Any]:
    """Open wards on databases of their own, for tests that need many."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        empty, opened = Path(folder, "empty.db"), itertools.count()
        engine = create_engine(f"sqlite:///{empty}")
        tables.metadata.create_all(engine)
        engine.dispose()

        @asynccontextmanager
        async def open_one() -> AsyncIterator[Ward]:
            path = shutil.copy(empty, Path(folder, f"{next(opened)}.db"))
            database = Database(f"sqlite:///{path}")
            try:
                yield Ward(Site(Settings(site="test"), Keys(b"test-secret"), log, database))
            finally:
                await database.close()

        yield open_one
