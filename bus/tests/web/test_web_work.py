"""Work items: one list of what only a person can settle, page by page, each with where it is settled."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from hisbus_bus.desk.cursors import Place
from hisbus_bus.desk.read import work
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.codes import Key
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Event, Moment, Position

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def put_code(site: Site, code: str, sender: str = "EMR", word: str | None = None) -> str:
    key = Key("his", sender, "class", code)
    about = {"system": "", "text": "", "item": "class", "message": "m0", "seen": NOON, "who": "", "pending": False}
    row = {"id": key.id, "common": key.common.id, **key._asdict(), **about, "word": word}
    async with site.database.write() as connection:
        await connection.execute(insert(tables.codes).values(**row))
        looked_up = {"message": "m0", "code": key.id, "common": key.common.id, "answer": word or ""}
        await connection.execute(insert(tables.lookups).values(**looked_up))
    return key.id


async def put_event(site: Site, message: str, number: int, flag: str = "unassigned_visit") -> None:
    place = Position(recorded=NOON, partition=0, offset=0)
    who = {"id": f"{message}-{number}", "message": message, "revision": 1, "ordinal": number, "connector": "his"}
    body = Event(kind="x.y", time=Moment(at=NOON), position=place, **who).model_dump_json()
    texts = dict.fromkeys(("kind", "connector", "timezone", "order", "touched"), "") | {"body": body}
    async with site.database.write() as connection:
        row = {"id": f"{message}-{number}", "message": message, "flag": flag}
        await connection.execute(insert(tables.events).values(**row, **texts))


async def walk(client: Any, **query: Any) -> list[dict[str, Any]]:
    items, cursor = [], None
    while True:
        more = {"cursor": cursor} if cursor else {}
        answer = (await client("viewer").get("/api/v1/work-items", params=query | more)).json()
        items += answer["items"]
        if (cursor := answer["next_cursor"]) is None:
            return items


async def test_everything_that_is_open_is_in_one_list_with_where_it_is_settled(client: Any, site: Site) -> None:
    code = await put_code(site, "X")
    for number in range(2):
        await put_event(site, "m0", number)
    async with site.database.read() as connection:
        sent = await connection.scalar(select(tables.writebacks.c.id))
    found = {item["kind"]: item for item in await walk(client)}
    assert {kind: item["link"] for kind, item in found.items()} == {
        "unknown_code": f"/codes?one={code}",
        "unassigned": "/messages/0.0",
        "parked": "/parked?one=parked-1",
        "undecided": f"/writebacks?one={sent}",
    }
    assert {item["connector"] for item in found.values()} == {"his"}
    assert (found["unassigned"]["about"], found["parked"]["about"]) == ("unassigned_visit", "bad_segment")
    assert (found["parked"]["message"], found["parked"]["step"]) == ("0.1", "translate")
    page = client("admin", page=True)
    listed = (await page.get("/work-items")).text
    for item in found.values():
        assert f'href="{item["link"]}"' in listed
        assert (await page.get(item["link"])).status_code == 200
    assert re.search("已搁置|搁置中", (await page.get("/parked?one=parked-1")).text)
    assert "X" in (await page.get(f"/codes?one={code}")).text


async def test_what_is_settled_is_open_no_more(client: Any, site: Site) -> None:
    await put_code(site, "X")
    await put_code(site, "X", sender="", word="inpatient")  # answered for any sender
    await put_event(site, "m0", 0, flag="circular_merge")  # which is parked, and waits there
    async with site.database.write() as connection:
        await connection.execute(update(tables.parked).values(status="closed"))
        await connection.execute(update(tables.writebacks).values(status="applied"))
    assert await walk(client) == []
    assert "没有待办事项" in (await client("viewer", page=True).get("/work-items")).text


async def test_pages_hold_every_item_once_from_the_newest_to_the_oldest(client: Any, site: Site) -> None:
    for number in range(5):
        await put_code(site, f"X{number}")  # all seen at one moment
    await put_event(site, "m0", 0)
    items = await walk(client, limit=2)
    assert len({(item["kind"], item["id"]) for item in items}) == len(items) == 8
    places = [(item["since"], item["id"]) for item in items]
    assert places == sorted(places, reverse=True)
    assert [item["kind"] for item in await walk(client, kind="parked", limit=1)] == ["parked"]
    assert await walk(client, connector="another") == []
    assert (await client("viewer").get("/api/v1/work-items", params={"kind": "x"})).status_code == 422


@pytest.mark.postgres
@pytest.mark.parametrize("after", [None, Place(NOON + timedelta(days=1), "x")])
async def test_what_is_open_is_found_by_indexes_however_much_is_settled(postgres_url: str, after: Place | None) -> None:
    """PostgreSQL keeps the plan that it made for an empty table while that grows."""
    database = Database(postgres_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
    async with database.read() as connection:
        statement = work.statement(work.KINDS, "", 51, after).compile(dialect=connection.dialect)
        await connection.exec_driver_sql("SET enable_seqscan = off")  # what then remains has no index to go by
        plan = (await connection.exec_driver_sql(f"EXPLAIN {statement}", statement.params)).all()
    await database.close()
    whole = [line for (line,) in plan if "Seq Scan on" in line]
    assert not whole, "\n".join(line for (line,) in plan)
    for index in ("codes_open", "events_unassigned", "parked_waiting", "writebacks_undecided"):
        assert any(index in line for (line,) in plan), index
