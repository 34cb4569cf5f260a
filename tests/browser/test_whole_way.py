"""The whole way: a HIS sends, a person decides in a browser, and the HIS gets the answer."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect
from tests.browser.pages import shot, signed_in

from hisbus_simulator.his import His

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

COPIED = {"qc": {"settings": {"only": ["R45"]}}}
CASE = Path(__file__).parents[1] / "cases" / "09-copied-note.hl7"


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_a_copied_note_is_found_accepted_by_key_and_acknowledged_by_the_his(
    hospital: Any, browser: Browser
) -> None:
    messages = [block.replace(b"\n", b"\r") + b"\r" for block in CASE.read_bytes().strip().split(b"\n\n")]
    async with His() as his, hospital(send="{}:{}".format(*his.address), agents=COPIED) as bus:
        await bus.send(messages)
        await bus.idle()
        page = await signed_in(browser, str(bus.api.base_url))
        await page.keyboard.press("Enter")
        await page.wait_for_url(re.compile("/findings/.+"))

        card = page.locator("html[data-ready] article.card.active")
        await expect(card).to_contain_text("R45")
        await expect(page.locator(".record mark.on").first).to_contain_text("双肺呼吸音清，未闻及啰音")
        await page.keyboard.press("a")
        await expect(card.locator(".receipt")).to_contain_text("HIS 已确认", timeout=15_000)
        await shot(page, "whole-way", whole=False)
        await page.context.close()
        (document,) = his.documents.values()
    assert (document.type, document.completion, document.availability) == ("QC", "PA", "UN")
    assert (document.patient, document.visit) == ("P1", "V1")
    assert "病历质控 R45: 病程记录雷同" in document.lines
    assert any("双肺呼吸音清" in line for line in document.lines)
    assert any("tester" in line for line in document.lines)
