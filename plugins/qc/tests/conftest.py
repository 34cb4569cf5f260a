"""A stay that a test writes down as a ward would: times on the clock of Shanghai, documents by their type."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hisbus import Case
from hisbus_qc import Agent
from hisbus_schemas import (
    Assessment,
    Chart,
    ChartDocument,
    ChartProcedure,
    ChartReading,
    Code,
    Moment,
    Section,
    VisitId,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


def moment(text: str) -> Moment:
    return Moment(at=utc(text), offset=480)


FIRST = ["R01", "R02", "R10", "R13", "R27", "R45", "R48"]
"""The rules that a stay of these tests is judged by, if a test names no others: those of "the first seven rules"."""


class Stay:
    """An inpatient stay, admitted on 2 March 2026 at 08:30, with nothing written yet."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {
            "status": "admitted",
            "patient_class": "inpatient",
            "admitted": moment("2026-03-02 08:30:00"),
            "timezone": "Asia/Shanghai",
        }
        self.documents: list[ChartDocument] = []
        self.procedures: list[ChartProcedure] = []
        self.vitals: list[ChartReading] = []
        self.results: list[ChartReading] = []

    def document(self, type: str, signed: str | None = None, **fields: Any) -> ChartDocument:
        id = f"D{len(self.documents) + 1}"
        text = fields.pop("text", "主诉：胸痛3小时。")
        filed = moment(fields.pop("filed", signed or "2026-03-02 09:00:00"))
        about = fields.pop("about", None)
        document = ChartDocument(
            **{
                "id": id,
                "version": f"e-{id}",
                "number": id,
                "type": Code(code=type),
                "status": "signed" if signed else "draft",
                "signed": moment(signed) if signed else None,
                "about": moment(about) if about else None,
                "received": filed.at,
                "filed": filed,
                "sections": [Section(name="TEXT", text=text)],
                **fields,
            }
        )
        self.documents.append(document)
        return document

    def operation(self, start: str, end: str | None, name: str = "腹腔镜阑尾切除术", **fields: Any) -> ChartProcedure:
        id = f"OP{len(self.procedures) + 1}"
        procedure = ChartProcedure(
            **{
                "id": id,
                "version": f"e-{id}",
                "key": id,
                "code": Code(code="47.0100", text=name),
                "start": moment(start),
                "end": moment(end) if end else None,
                "operation": True,
                **fields,
            }
        )
        self.procedures.append(procedure)
        return procedure

    def reading(self, loinc: str, *values: str, unit: str = "", **fields: Any) -> ChartReading:
        id = f"V{len(self.vitals) + 1}"
        reading = ChartReading(
            **{
                "id": id,
                "version": f"e-{id}",
                "report": "VS1",
                "service": Code(code="VS"),
                "item": Code(code=loinc, system="LN"),
                "values": list(values),
                "unit": unit,
                "status": "final",
                **fields,
            }
        )
        self.vitals.append(reading)
        return reading

    def discharged(self, at: str, **fields: Any) -> None:
        self.facts |= {"status": "discharged", "discharged": moment(at), **fields}

    def chart(self, now: datetime) -> Chart:
        return Chart(
            encounter="enc",
            version=1,
            now=now,
            visit=VisitId(authority="HOSP", number="V1"),
            documents=self.documents,
            procedures=self.procedures,
            vitals=self.vitals,
            results=self.results,
            **self.facts,
        )

    def assess(self, now: str = "2026-03-02 09:00:00", settings: dict[str, Any] | None = None) -> Assessment:
        case = Case(event=None, chart=self.chart(utc(now)), now=utc(now), settings={"only": FIRST} | (settings or {}))
        return asyncio.run(Agent().assess(case))

    def says(self, rule: str, now: str = "2026-03-02 09:00:00", settings: dict[str, Any] | None = None) -> list[str]:
        """Return what one rule says at a time: ``absent``, ``late``, or ``found`` for rules without a state."""
        return [item.state or "found" for item in self.assess(now, settings).proposals if item.rule == rule]

    def wakes(self, now: str) -> dict[str, str]:
        """Return when the agent wants to look again, on the clock of Shanghai."""
        return {
            wake.name: wake.due.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S") for wake in self.assess(now).wakes
        }


@pytest.fixture
def stay() -> Stay:
    return Stay()


@pytest.fixture
def new_stay() -> Callable[[], Stay]:
    return Stay
