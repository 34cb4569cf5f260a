"""What was taken of messages and what was left: on each of them, and added up by connector and field."""

import json
import re
from typing import Any

import pytest
from sqlalchemy import insert, select

from hisbus_bus.desk.read import losses
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site

ZH, EN = {"accept-language": "zh"}, {"accept-language": "en"}


async def put(site: Site, number: int, connector: str, said: dict[str, Any], **fields: Any) -> None:
    """Enter a message that came after all others, the higher its number."""
    async with site.database.write() as connection:
        row = (await connection.execute(select(tables.messages).limit(1))).one()._asdict()
        row |= {"id": f"0.{number}", "message": f"m{number}", "connector": connector, "losses": json.dumps(said)}
        await connection.execute(insert(tables.messages).values(**row | {"first": True} | fields))


async def test_a_message_tells_what_was_taken_and_left(client: Any) -> None:
    said = (await client("viewer").get("/api/v1/messages/0.0")).json()["losses"]
    assert said["unread"] == {"ZPV-1": 2, "PV1-50": 1}
    assert (said["values"], said["read"], said["collided"], said["entries"]) == (30, 27, 1, {"report": 1})
    assert (await client("viewer").get("/api/v1/messages/0.1")).json()["losses"] is None


async def test_totals_are_by_connector_and_field(client: Any, site: Site) -> None:
    await put(site, 20, "lab", {"values": 9, "read": 4, "unread": {"OBX-17": 5}})
    await put(site, 21, "lab", {"values": 3, "read": 1, "unread": {"OBX-17": 1, "OBX-18": 1}, "collided": 4})
    await put(site, 22, "lab", {}, first=False)
    answer = (await client("viewer").get("/api/v1/losses", params={"connector": "lab"})).json()
    (lab,) = answer["connectors"]
    assert (answer["messages"], lab["messages"], lab["values"], lab["read"], lab["collided"]) == (2, 2, 12, 5, 4)
    assert lab["unread"] == [
        {"place": "OBX-17", "messages": 2, "values": 6},
        {"place": "OBX-18", "messages": 1, "values": 1},
    ]
    everything = (await client("viewer").get("/api/v1/losses", params={"limit": 1})).json()
    assert [(one["connector"], one["places"], len(one["unread"])) for one in everything["connectors"]] == [
        ("his", 2, 1),
        ("lab", 2, 1),
    ]
    assert answer["since"] is not None


async def test_the_newest_messages_are_added_up_page_by_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20, 27):
        await put(site, number, "lab", {"values": 1, "unread": {f"ZZZ-{number}": 1}})
    monkeypatch.setattr(losses, "PAGE", 2)
    found = await losses.totals(site.database, "lab", most=5)
    assert (found.messages, sorted(found.connectors[0].left)) == (5, [f"ZZZ-{number}" for number in range(22, 27)])
    assert (await losses.totals(site.database, "lab")).messages == 7
    assert (await losses.totals(site.database, "nobody")).since is None


@pytest.mark.parametrize(("language", "words"), [(ZH, "未读取："), (EN, "Left unread:")])
async def test_the_page_of_a_message_names_what_is_left(client: Any, language: Any, words: str) -> None:
    page = client("viewer", page=True)
    text = (await page.get("/messages/0.0", headers=language)).text
    assert words in text
    assert re.search(r"ZPV-1&nbsp;×&nbsp;2 PV1-50", text)
    assert words not in (await page.get("/messages/0.1", headers=language)).text


async def test_the_page_of_totals_shows_each_field(client: Any) -> None:
    page = client("viewer", page=True)
    assert 'href="/losses"' in (await page.get("/messages")).text
    text = (await page.get("/losses", headers=EN)).text
    assert re.search(r"ZPV-1</td><td class=\"end\">1</td><td class=\"end\">2</td>", text)
