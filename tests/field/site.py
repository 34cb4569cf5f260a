"""A site that messages of the field are told to, from taking them to findings, without a wire."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select

from hisbus_bus.app import App
from hisbus_bus.flow.intake import Intake
from hisbus_bus.flow.lag import lag
from hisbus_bus.host.agents import AgentHost
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys
from hisbus_bus.play import PLAYED, findings
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_schemas import Chart

INPUTS = Path(__file__).parent / "inputs"
HIS = {"name": "his", "type": "hl7v2", "timezone": "Asia/Shanghai", "clock": "feed"}
DEADLINE_S = 60
POLL_S = 0.02
SPLIT = Hl7v2Connector(HIS).split


def sent(name: str) -> list[bytes]:
    """Return the messages of an input; one that goes on is in several files, ``NAME-1``, ``NAME-2``."""
    one = INPUTS / f"{name}.hl7"
    if not one.exists():
        return [path.read_bytes() for path in sorted(INPUTS.glob(f"{name}-*.hl7"))]
    whole = one.read_bytes()
    return SPLIT(whole) if name.isalpha() else [whole]


def adt(trigger: str, at: str, patient: str, visit: str, stay: str = "1|I|W1^101^1") -> bytes:
    """Return an ADT of the HIS."""
    lines = [
        rf"MSH|^~\&|HIS|HOSP|HISBUS|QC|{at}+0800||ADT^{trigger}|{trigger}{patient}|P|2.5||||||UNICODE UTF-8",
        f"EVN||{at}+0800",
        f"PID|1||{patient}||Test^Case||19700101|M",
        f"PV1|{stay}||||||||||||||||{visit}",
    ]
    return "\r".join(lines).encode()


def admission(number: str, authority: str = "^^^HOSP") -> bytes:
    """Return the A01 that admits patient ``P<number>`` to visit ``V<number>``."""
    return adt("A01", "20260302083000", f"P{number}{authority}{'^MR' if authority else ''}", f"V{number}{authority}")


LATER = adt("A04", "20260303180000", "PCLOCK^^^HOSP^MR", "VCLOCK^^^HOSP", "1|O|W1^101^1")
"""Of another patient; the feed's clock is 18:00 of the next day."""


@dataclass(frozen=True, slots=True)
class Message:
    """What became of a message."""

    status: str
    reason: str
    flags: Sequence[str]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the site knows in the end."""

    answers: Sequence[str]
    """MSA-1 of each message."""
    charts: Mapping[str, Chart]
    """By number of visit."""
    open: Sequence[str]
    """The open findings, ``V1 R02``."""
    messages: Mapping[str, Message]
    """By control id."""
    stays: int
    """How many, whatever their numbers."""
    waiting: Sequence[str]
    """Why events are in no chart: each is work for a person."""

    @property
    def findings(self) -> set[str]:
        """The open findings, each once."""
        return set(self.open)


class Field:
    """Tells messages to new sites."""

    def __init__(self, hosts: Sequence[AgentHost]) -> None:
        self._hosts = hosts

    async def told(self, *messages: bytes, connectors: Sequence[dict[str, Any]] = (), **key: Any) -> Seen:
        """Tell messages to a site and return what it knows.

        Args:
            messages: in the order in which they come; those with MSH-3 ``LIS`` to the connector ``lis`` where there is
                one.
            connectors: tables of the site; none: the HIS alone.
            key: more keys of each of these tables.
        """
        tables_ = [{**HIS, **table, **key} for table in connectors or ({},)]
        async with self._site(tables_) as (site, intakes):
            answers = []
            for message in messages:
                by = "lis" if b"|LIS|" in message.split(b"\r")[0] and "lis" in intakes else "his"
                connector, intake = intakes[by]
                answers.append(await connector.take(message, intake.store))
            await _idle(site)
            return await _seen(site, answers)

    async def sees(self, name: str, *, by: str | None = None, **more: Any) -> Seen:
        """Tell an input with what stands around it: the patient was admitted, and a day passes."""
        return await self.told(admission(by or name[:2]), *sent(name), LATER, **more)

    @asynccontextmanager
    async def _site(self, tables_: list[dict[str, Any]]) -> AsyncIterator[tuple[Site, dict[str, Any]]]:
        with TemporaryDirectory(prefix="hisbus-field-") as name:
            folder = Path(name)
            log = await SqliteLog.open(folder / "log.db")
            database = Database(f"sqlite:///{folder}/hisbus.db")
            async with database.write() as connection:
                await connection.run_sync(tables.metadata.create_all)
            settings = made(tables_)
            site = Site(settings, Keys(b"field"), log, database)
            try:
                async with App(settings, PLAYED, site=site, hosts=self._hosts).running() as app:
                    intakes = {one.name: (one, Intake(site, one.name, app.mappings)) for one in app.connectors}
                    yield site, intakes
            finally:
                await log.close()
                await database.close()


def made(tables_: Sequence[dict[str, Any]]) -> Settings:
    """Return the settings of a site whose log and database are given otherwise."""
    return Settings(
        site="field",
        log={"url": "sqlite:////nowhere/log.db"},
        database={"url": "sqlite:////nowhere/hisbus.db"},
        retry={"attempts": 2, "first_s": 0.05, "longest_s": 0.2},
        agents={"qc-text": {"enabled": False}},
        connectors=list(tables_),
    )


async def _idle(site: Site) -> None:
    """Wait until nothing is left to do."""
    async with asyncio.timeout(DEADLINE_S):
        while any(count for step, count in (await lag(site, ["qc"])).items() if step != "writeback"):
            await asyncio.sleep(POLL_S)


async def _seen(site: Site, answers: Sequence[str]) -> Seen:
    found = await findings(site)
    async with site.database.read() as connection:
        ids = list(await connection.scalars(select(tables.encounters.c.id)))
        known = await charts.charts(connection, ids)
        rows = list(await connection.execute(select(tables.messages)))
        waiting = await charts.unassigned(connection, 100)
    return Seen(
        answers,
        {chart.visit.number: chart for chart in known.values()},
        [f"{one.visit} {one.rule}" for one in found if one.status == "open"],
        {row.control_id: Message(row.status, row.reason, json.loads(row.flags)) for row in rows},
        len(known),
        [one.flag for one in waiting],
    )
