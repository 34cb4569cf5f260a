"""Codes in a browser: an admin sees what waits for an answer, says what a code is, and it is open no more."""

from datetime import UTC, datetime

import pytest
from playwright.async_api import Page, expect
from tests.browser.pages import shot

from hisbus.connector import LookedUp
from hisbus_bus.kernel import codes, tables
from hisbus_bus.kernel.codes import Key, Looked
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Code

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def seen(ward: Site, *sent: Code) -> None:
    """Have the first message of the ward look codes up."""
    looked = [
        Looked("m0", NOON, Key("his", "EMR^HOSP", "document", code.code), LookedUp("document", "document:*", code))
        for code in sent
    ]
    async with ward.database.write() as connection:
        await codes.Answered().hold(connection, looked)
        rows = [{"message": "m0", "code": one.key.id, "common": one.key.common.id, "answer": ""} for one in looked]
        await connection.execute(tables.lookups.insert(), rows)


async def test_an_admin_says_what_a_code_is(page_at: Page, ward: Site) -> None:
    page = page_at
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None)
    await seen(ward, Code(code="BL01", text="首次病程记录", system="L"), Code(code="HL07", text="护理记录", system="L"))
    await page.fill("input[name=name]", "root")
    await page.fill("input[name=password]", "a-long-password")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/findings")
    await page.click("nav a[href='/codes']")
    forms = page.locator("form.resolve")
    await expect(forms).to_have_count(2)
    await shot(page, "codes-open")

    row = page.locator("tr", has_text="BL01").locator("xpath=following-sibling::tr[1]")
    await row.locator("select").select_option("C0037")
    await row.get_by_role("button").click()
    await expect(forms).to_have_count(1)
    await expect(page.locator("tbody")).not_to_contain_text("BL01")
    await page.click("a[href='/codes?status=answered']")
    await expect(page.locator("tbody")).to_contain_text("C0037 · 首次病程记录")
    await shot(page, "codes-answered")
    assert complaints == []
