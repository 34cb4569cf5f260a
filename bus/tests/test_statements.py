"""However many stays a batch has, a step sends the database the same few statements."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from hisbus.frames import AgentInfo
from hisbus_bus.desk.read import followed, sources
from hisbus_bus.flow import timers, translate
from hisbus_bus.flow.chart import store
from hisbus_bus.flow.dispatch import Dispatch
from hisbus_bus.flow.review import Review, opinions
from hisbus_bus.flow.review import step as review
from hisbus_bus.flow.timers import Timers
from hisbus_bus.host.agents import AgentHost
from hisbus_bus.kernel import charts, reading, tables
from hisbus_bus.kernel.consumer import Batch, Step
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Assessed, Assessment, Charted, Evidence, Finding, Text, Unevaluated, Wake

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
QC = AgentInfo(name="qc", version="1", kinds=frozenset(), grants=frozenset())
ONE, MANY = ["e0"], [f"e{number}" for number in range(1, 40)]


CHECK = AgentInfo(name="check", version="1", kinds=frozenset({"proposals.changed"}), grants=frozenset({"findings"}))


class Host:
    agents = [QC, CHECK]

    async def assess(self, _agent: str, _case: Any, _deadline_s: float, _priority: Any) -> Assessment:
        return Assessment()


def assessed(stays: list[str], version: int, *, finding: str, due: datetime) -> Batch:
    assessment = Assessment(
        evaluated=frozenset({"R01"}),
        proposals=[
            Finding(key="R01", rule="R01", message=Text(zh="缺", en="missing"), evidence=[Evidence(value=finding)])
        ],
        wakes=[Wake(name="w", due=due)],
        unevaluated=[Unevaluated(rule="R02", text=Text(zh="缺", en="missing"))],
    )
    about = {"agent": "qc", "agent_version": "1", "event": "e", "key": "k", "now": NOON, "assessment": assessment}
    values = [Assessed(id=f"{stay}.{version}", encounter=stay, version=version, **about) for stay in stays]
    return batch("assessments", {value.encounter: value.model_dump_json().encode() for value in values})


def charted(stays: list[str]) -> Batch:
    values = [Charted(id=stay, encounter=stay, version=1, event=stay, kind="x.y", key="k") for stay in stays]
    return batch("charted", {value.encounter: value.model_dump_json().encode() for value in values})


def batch(topic: Any, values: dict[str, bytes]) -> Batch:
    return Batch([Record(topic, 0, 0, key, value, {}, NOON) for key, value in values.items()], {0: 1})


Statements = Callable[[Site, Step, Batch], Awaitable[int]]


@pytest.fixture
def statements(counted: Any) -> Statements:
    """How many statements a step sends for a batch."""

    async def number(site: Site, step: Step, batch: Batch) -> int:
        with counted(site.database) as sent:
            await step.handle(batch)
        return len(sent)

    return number


@pytest.mark.parametrize("step", [Review, lambda site: Timers(site, {})])
async def test_what_changes_nothing_costs_many_stays_no_more_statements_than_one(
    site: Site, step: Any, statements: Statements
) -> None:
    made = step(site)
    counts = []
    for stays in (ONE, MANY):
        await made.handle(assessed(stays, 1, finding="first", due=NOON))
        counts.append(await statements(site, made, assessed(stays, 2, finding="first", due=NOON)))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("step", [Review, lambda site: Timers(site, {})])
async def test_what_is_new_costs_many_stays_no_more_statements_than_one(
    site: Site, step: Any, statements: Statements
) -> None:
    made = step(site)
    counts = [await statements(site, made, assessed(stays, 1, finding="first", due=NOON)) for stays in (ONE, MANY)]
    assert counts[0] == counts[1]


async def test_wakes_that_move_cost_many_stays_no_more_statements_than_one(site: Site, statements: Statements) -> None:
    timers = Timers(site, {})
    counts = []
    for stays in (ONE, MANY):
        await timers.handle(assessed(stays, 1, finding="first", due=NOON))
        later = assessed(stays, 2, finding="first", due=NOON + timedelta(hours=1))
        counts.append(await statements(site, timers, later))
    assert counts[0] == counts[1]


async def test_many_charts_are_read_with_the_statements_of_one(site: Site, statements: Statements) -> None:
    blank: dict[type, Any] = {str: "", int: 1, bytes: b"", bool: False, object: NOON}
    needed = {one.name: blank[one.type.python_type] for one in tables.encounters.columns if not one.nullable}
    async with site.database.write() as connection:
        rows = [needed | {"id": stay, "stay": '{"status":"admitted"}'} for stay in ("first", *ONE, *MANY)]
        await connection.execute(tables.encounters.insert(), rows)
    counts = {}
    for agent in (QC, CHECK):
        dispatch = Dispatch(site, cast(AgentHost, Host()), agent, [QC, CHECK])
        await dispatch.handle(charted(["first"]))  # registers what the agent goes by
        counts[agent.name] = [await statements(site, dispatch, charted(stays)) for stays in (ONE, MANY)]
        assert counts[agent.name][0] == counts[agent.name][1]
        again = [await statements(site, dispatch, charted(stays)) for stays in (ONE, MANY)]
        assert again == [counts[agent.name][0] - 1] * 2, "entries are read where a stay has changed"
    assert counts["check"][0] == counts["qc"][0] + 1, "other agents' proposals are read for those that asked"


async def test_news_of_changes_cost_one_statement_more_and_nothing_where_nobody_asked(
    site: Site, statements: Statements
) -> None:
    review = Review(site)
    for stays in (ONE, MANY):
        await review.handle(assessed(stays, 1, finding="first", due=NOON))
        # A proposal that says something new is superseded alone, so the two differ in nothing but the news.
        quiet = await statements(site, review, assessed(stays, 2, finding="second", due=NOON))
        told = assessed(stays, 3, finding="third", due=NOON)
        heard = [replace(record, headers={"announce": "1"}) for record in told.records]
        assert await statements(site, review, Batch(heard, told.offsets)) == quiet + 1


LOOKED_UP = {
    "the ledger": translate._CONCERNED, "outputs": store._OUTPUTS, "patients": store._PATIENTS,
    "stays": store._ENCOUNTERS, "stays of patients": store._OWNED, "entries": store._SLOTS,
    "charts": charts._STAYS, "their entries": charts._CHANGED["postgresql"], "events": charts._EVENTS,
    "reconciled": review._HEADS, "proposals": review._STANDING, "wakes": timers._STORED,
    "open proposals": reading._OPEN, "waiting calls": reading._PARKED,
    "opinions": opinions._SAID, "sources": sources._BY_EVENT,
    "the stays of patients": followed._OFFERED, "what agents said": followed._HEADS, "their findings": followed._SAID,
    "parked calls": followed._PARKED, "what a message looked up": followed._OPEN,
    "what a message made": followed._CHARTED, "its events": followed._EVENTS,
}  # fmt: skip


@pytest.mark.postgres
@pytest.mark.parametrize("name", LOOKED_UP)
async def test_what_is_looked_up_by_key_is_not_sought_by_reading_a_new_table_whole(
    postgres_url: str, name: str
) -> None:
    """PostgreSQL keeps the plan that it made for an empty table while that grows."""
    database = Database(postgres_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
    async with database.read() as connection:
        looked_up: Any = LOOKED_UP[name]
        statement = getattr(looked_up, "statement", looked_up).compile(dialect=connection.dialect)
        given = {name: "[]" if value is None else value for name, value in statement.params.items()}
        plan = (await connection.exec_driver_sql(f"EXPLAIN {statement}", given)).all()
        whole = [line for (line,) in plan if "Seq Scan on" in line]
    await database.close()
    assert not whole, "\n".join(line for (line,) in plan)
