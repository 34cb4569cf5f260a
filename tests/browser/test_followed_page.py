"""A message followed in a browser: to its finding and back; and one of no stay, from the work items to a stay."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect
from tests.browser.pages import shot, signed_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

COPIED = {"qc": {"settings": {"only": ["R45"]}}}
CASE = Path(__file__).parents[1] / "cases" / "09-copied-note.hl7"
LOST = (
    "MSH|^~\\&|LIS|HOSP|HISBUS|QC|20260303093000+0800||ORU^R01|LOST-1|P|2.5||||||UNICODE UTF-8\r"
    "PID|1||P404^^^HOSP^MR||Wang^X\r"
    "OBR|1||L404^LIS|CBC^Blood count^L|||20260303090000+0800\r"
    "OBX|1|NM|WBC^White cells^L||6.1|10*9/L|||||F\r"
)


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_a_message_leads_to_its_finding_and_the_finding_back(hospital: Any, browser: Browser) -> None:
    messages = [block.replace(b"\n", b"\r") + b"\r" for block in CASE.read_bytes().strip().split(b"\n\n")]
    async with hospital(agents=COPIED) as bus:
        await bus.send(messages)
        await bus.idle()
        (finding,) = await bus.everything("proposals", status="open")
        sources = (await bus.get(f"proposals/{finding['id']}/messages"))["items"]
        cited = next(one for one in sources if one["evidence"])
        page = await signed_in(browser, str(bus.api.base_url), width=1366, height=768)
        await page.goto(f"/messages/{cited['message']}")
        way = page.locator(".way")
        await expect(way).to_contain_text("document.")
        await expect(way).to_contain_text("已调用")
        await shot(page, "message-followed")

        await way.get_by_role("link", name="R45").click()
        await page.wait_for_url(re.compile("/findings/.+"))
        card = page.locator("html[data-ready] article.card.active")
        await expect(card).to_contain_text("来源消息")
        await shot(page, "finding-back")
        await card.locator(f"a[href='/messages/{cited['message']}']").click()
        await page.wait_for_url(f"**/messages/{cited['message']}")
        await page.context.close()
        followed = (await bus.get(f"messages/{cited['message']}"))["way"]
        (stay,) = followed["stays"]
        (agent,) = [one for one in stay["agents"] if one["agent"] == "qc"]
        (rule,) = [one for one in agent["rules"] if one["judged"] == "found"]
        assert (agent["called"], rule["rule"], rule["proposals"]) == ("called", "R45", [finding["id"]])
        assert rule["rests_on_it"] and agent["version"] >= stay["version"]
        views = [row for row in await bus.everything("audit", action="message.viewed")]
        assert {row["encounter"] for row in views} == {stay["encounter"]}


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_a_message_of_no_stay_is_given_to_one_and_is_in_its_chart(hospital: Any, browser: Browser) -> None:
    messages = [block.replace(b"\n", b"\r") + b"\r" for block in CASE.read_bytes().strip().split(b"\n\n")]
    async with hospital(agents=COPIED) as bus:
        await bus.send([*messages, LOST.encode()])
        await bus.idle()
        (item,) = await bus.everything("work-items", kind="unassigned")
        assert (item["about"], item["link"]) == ("unassigned_visit", f"/messages/{item['id']}")
        page = await signed_in(browser, str(bus.api.base_url), width=1366, height=768)
        await page.click("nav a[href='/work-items']")
        row = page.locator("tr", has_text="未归入住院")
        await expect(row).to_have_count(1)
        await shot(page, "work-items")
        await row.get_by_role("link", name="未归入住院").click()
        way = page.locator(".way")
        await expect(way).to_contain_text("找不到对应的住院")
        await shot(page, "message-of-no-stay")

        await way.locator("input[name=visit]").fill("V404")
        await way.get_by_role("button", name="确认归入").click()
        await expect(page.get_by_role("alert")).to_contain_text("没有这次住院")
        await way.locator("input[name=visit]").fill("V1")
        await way.get_by_role("button", name="确认归入").click()
        await expect(page.get_by_role("alert")).to_contain_text("不是该次住院的患者")
        await way.get_by_label("仍然归入该次住院").check()
        await way.get_by_role("button", name="确认归入").click()
        await page.wait_for_url("**/messages/*given=yes")
        await bus.idle()
        await page.get_by_role("link", name="刷新").click()
        await expect(way).to_contain_text("人工归入")
        await expect(way).not_to_contain_text("找不到对应的住院")
        await shot(page, "message-given")
        await page.click("nav a[href='/work-items']")
        await expect(page.locator("tbody tr", has_text="未归入住院")).to_have_count(0)
        (found,) = (await bus.post("charts/search", {"visit": "V1"})).json()["items"]
        chart = await bus.get(f"charts/{found['id']}")
        assert [one["item"]["code"] for one in chart["results"]] == ["WBC"]
        (decided,) = await bus.everything("audit", action="message.assigned")
        assert (decided["actor"], decided["encounter"]) == ("user:tester", found["id"])

        await page.goto(item["link"])
        await way.locator("summary", has_text="人工归入住院").click()
        await way.locator("input[type=radio][value='']").check()
        await way.get_by_role("button", name="确认归入").click()
        await page.wait_for_url("**/messages/*given=yes")
        await bus.idle()
        await page.context.close()
        assert (await bus.get(f"charts/{found['id']}"))["results"] == []
        (again,) = await bus.everything("work-items", kind="unassigned")
        assert again["id"] == item["id"]
