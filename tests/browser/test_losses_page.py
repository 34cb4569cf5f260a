"""What is left unread, in a browser: from the messages to the totals, and on the message itself."""

import pytest
from playwright.async_api import Page, expect

from hisbus_bus.kernel.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_what_is_left_is_one_click_from_the_messages(page_at: Page, ward: Site) -> None:
    page = page_at
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None)
    await page.fill("input[name=name]", "root")
    await page.fill("input[name=password]", "a-long-password")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/findings")
    await page.click("nav a[href='/messages']")
    await page.click("main a[href='/losses']")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await expect(page.locator("tbody")).to_contain_text("ZPV-1")
    await page.goto("/messages/0.0")
    await expect(page.locator("main")).to_contain_text("PV1-50")
    assert complaints == []
