"""The users in a browser: an admin shuts a reviewer out who is logged in, and the reviewer's next click ends there."""

import pytest
from playwright.async_api import Browser, Page, expect
from tests.browser.pages import log_in, shot

from hisbus_bus.kernel import people
from hisbus_bus.kernel.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_an_admin_shuts_out_who_is_logged_in(page_at: Page, browser: Browser, ward: Site) -> None:
    page = page_at
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None)
    await people.add_number(ward.database, "li.na", "D101", "HIS")
    await people.token(ward.database, "li.na", purpose="统计报表")
    details = {"full_name": "李娜", "department": "病案科", "title": "编码员"}
    await people.describe(ward.database, "li.na", **details)
    address = page.url.removesuffix("/login")
    context = await browser.new_context(base_url=address, locale="zh-CN")
    theirs = await context.new_page()
    await theirs.goto("/login")
    await log_in(theirs, "li.na", "a-long-password")

    await log_in(page, "root", "a-long-password")
    await page.click("nav a[href='/users']")
    await expect(page.locator("tbody tr")).to_have_count(3)
    await shot(page, "users")
    await page.click("a[href='/users/li.na']")
    await shot(page, "user")
    await page.get_by_role("button", name="停用").click()
    await expect(page.locator(".bar .status")).to_have_text("已停用")
    await shot(page, "user-disabled")

    await theirs.locator("tr.row a").first.click()
    await theirs.wait_for_url("**/login")
    await context.close()
    assert complaints == []
