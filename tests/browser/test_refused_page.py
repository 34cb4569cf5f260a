"""A refused message in a browser: its character set was mended, and an admin has it judged again on its own page."""

import re
from typing import Any

import pytest
from playwright.async_api import Browser, expect
from tests.browser.pages import shot, signed_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

HEAD = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||{type}|{id}|P|2.5\rEVN||20260302083000+0800\r"
STAY = "PID|1||P1^^^HOSP^MR||王^建国\rPV1|1|I|呼吸一区||||||||||||||||V1^^^HOSP\r"
GBK = (HEAD.format(type="ADT^A01", id="1") + STAY).encode("gbk")
BROKEN = b"MSH|^~\\&|no more\xff"


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_a_message_refused_for_its_bytes_is_read_once_the_setting_is_mended(
    hospital: Any, browser: Browser
) -> None:
    async with hospital(user="before") as bus:
        acks = await bus.send([GBK, BROKEN])
        await bus.idle()
        assert b"|undecodable" in acks[0] or b"AE" in acks[0]
    async with hospital(charset="GBK") as bus:
        page = await signed_in(browser, str(bus.api.base_url))
        complaints: list[str] = []
        page.on("console", lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None)
        await page.click("nav a[href='/parked']")
        await expect(page.locator("tbody tr")).to_have_count(2)
        (refused,) = [one for one in await bus.everything("messages") if one["control_id"] == "1"]
        await page.click(f"a[href='/messages/{refused['id']}']")
        await expect(page.locator("ol.segments").first).to_contain_text("王^建国")
        await page.get_by_role("button", name="重放").click()
        await page.wait_for_url(re.compile(r"/parked\?about="))
        await expect(page.locator(".panel[role=status]")).to_contain_text("已接收并读取（mapped）：1 个事件")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await shot(page, "refused-and-read")
        await page.goto(f"/messages/{refused['id']}")
        await expect(page.locator(".bar .status")).to_have_class(re.compile("mapped"))

        await page.goto("/parked")
        await page.get_by_role("button", name="重放").click()
        await expect(page.locator(".panel[role=status]")).to_contain_text("仍被拒收：undecodable。")
        await shot(page, "refused-still")
        (listed,) = (await bus.post("charts/search", {"visit": "V1"})).json()["items"]
        assert (await bus.get(f"charts/{listed['id']}"))["patient"]["name"] == "王建国"
        assert complaints == []


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_one_in_whose_place_another_came_is_shown_with_it_and_read_when_it_is_wanted(
    hospital: Any, browser: Browser
) -> None:
    async with hospital(user="before") as bus:
        await bus.send([GBK])
        await bus.idle()
    async with hospital(charset="GBK") as bus:
        await bus.send([GBK.replace(b"V1^^^", b"V2^^^")])
        await bus.idle()
        (other,) = await bus.everything("messages", status="mapped")
        page = await signed_in(browser, str(bus.api.base_url))
        await page.goto("/parked")
        await page.get_by_role("button", name="重放").click()
        await expect(page.locator(".panel[role=status]")).to_contain_text(other["id"])
        await shot(page, "refused-overtaken")
        await page.get_by_role("button", name="仍然读取这一条").click()
        await expect(page.locator(".panel[role=status]")).to_contain_text("已接收并读取（mapped）：1 个事件")
        assert [len((await bus.post("charts/search", {"visit": v})).json()["items"]) for v in ("V1", "V2")] == [1, 1]
