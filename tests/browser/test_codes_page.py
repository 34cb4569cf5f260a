"""Codes, drafts and what a model said, in a browser: each leads to its words, and a coder decides by keyboard."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from hisbus_bus.kernel.site import Site
from hisbus_schemas import Assessment, Opinion, Text

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

SHOTS = Path(__file__).parents[2] / "var" / "screenshots"
ACTIVE = "html[data-ready] article.card.active"


async def shot(page: Page, name: str, *, whole: bool = False) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SHOTS / f"codes-{name}.png", full_page=whole)


@pytest_asyncio.fixture(loop_scope="module")
async def stay(ward: Site, shared: Any) -> AsyncIterator[dict[str, str]]:
    """Give the first stay a set of codes with a question and a dispute, a draft, and a finding of a model."""
    rows, coder = shared("ward"), shared("coder")
    chart, now = rows.pneumonia(), datetime.now(UTC)
    async with ward.database.write() as connection:
        made = {
            name: await rows.put_finding(connection, chart, said, now, agent)
            for name, said, agent in (
                ("codes", coder.code_set(), "coding"),
                ("question", coder.question(), "coding"),
                ("draft", coder.draft(), "documentation"),
                ("model", coder.judged_by_model(), "qc-text"),
            )
        }
        dispute = Opinion(
            proposal=made["codes"],
            verdict="dispute",
            message=Text(
                zh="未见病原学依据，编码J15.900依据不足。", en="No organism is documented: J15.900 is not borne out."
            ),
            evidence=[coder.span("社区获得性肺炎")],
        )
        await coder.put_heads(
            connection,
            coder.head("qc-text", coder.text_assessment()),
            coder.head("codes-check", Assessment(), [dispute]),
        )
    yield made


async def enter(page: Page, id: str) -> None:
    await page.fill("input[name=name]", "li.na")
    await page.fill("input[name=password]", "a-long-password")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/findings")
    await page.goto(f"/findings/{id}")
    await expect(page.locator(ACTIVE)).to_have_count(1)


async def test_a_coder_sees_each_code_beside_its_words(page_at: Page, stay: dict[str, str]) -> None:
    page = page_at
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(error.message))
    await enter(page, stay["codes"])
    card = page.locator(ACTIVE)
    await expect(card).to_contain_text("主要诊断")
    await card.locator(".place", has_text="社区获得性肺炎").first.click()
    mark = page.locator(f'.record mark[data-proof~="{stay["codes"]}-0"]')
    await expect(mark).to_have_text("社区获得性肺炎")
    await expect(mark).to_be_in_viewport()
    await shot(page, "1-wide")
    await card.locator("[data-go]").click()
    await expect(page.locator(ACTIVE)).to_contain_text("可选答复")
    await shot(page, "2-question")
    assert complaints == []


async def test_a_coder_changes_the_set_by_keyboard_and_it_leaves(page_at: Page, stay: dict[str, str]) -> None:
    page = page_at
    await enter(page, stay["codes"])
    card = page.locator(ACTIVE)
    await page.keyboard.press("e")
    form = card.locator("[data-panel=edit]")
    await expect(form.locator("[name=code-0-at]")).to_be_focused()
    await page.keyboard.type("1")  # the keys are for the form now
    await expect(form.locator("[name=code-0-at]")).to_have_value("1")
    await form.locator("[name=code-0-code]").select_option("J18.900")
    await form.locator("[name=code-2-code]").select_option("")
    await form.locator("[name=new-0-own]").fill("not a code")
    await shot(page, "3-edit")
    await form.locator("button.primary").click()
    await expect(card.locator(".alert").first).to_contain_text("编码不能保存")
    await page.keyboard.press("e")
    await form.locator("[name=code-0-code]").select_option("J18.900")
    await form.locator("[name=code-2-code]").select_option("")
    await form.locator("[name=new-0-own]").fill("D72.803")
    await form.locator("[name=new-0-display]").fill("白细胞增多")
    await form.locator("button.primary").click()
    await expect(card.locator(".status").first).to_have_text("修改后采纳")
    codes = card.locator(".codes ol .coded b")
    await expect(codes).to_have_text(["J18.900", "I10.x05", "D72.803"])
    await expect(card.locator(".receipt")).to_contain_text("HIS 已确认", timeout=10_000)
    await shot(page, "4-decided")


async def test_what_the_agents_say_of_their_work_stands_below(page_at: Page, stay: dict[str, str]) -> None:
    page = page_at
    await enter(page, stay["model"])
    await expect(page.locator(ACTIVE).locator(".by-model")).to_have_text("模型判断")
    await page.locator('a[href="#said"]').click()
    await expect(page.locator("#said")).to_be_in_viewport()
    await shot(page, "5-said")
    await page.goto(f"/findings/{stay['draft']}")
    await expect(page.locator(ACTIVE)).to_contain_text("入院体温39.1℃")
    await shot(page, "6-draft")


@pytest.mark.parametrize(("width", "name"), [(390, "phone"), (820, "narrow"), (1680, "wide")])
async def test_nothing_is_cut_off_whatever_the_width(
    page_at: Page, stay: dict[str, str], width: int, name: str
) -> None:
    page = page_at
    await page.set_viewport_size({"width": width, "height": 900})
    await page.click("text=English")
    await enter(page, stay["codes"])
    await page.keyboard.press("e")
    for box in ("body", ".findings", "article.card.active", ".code-rows"):
        over = await page.eval_on_selector(box, "box => box.scrollWidth - box.clientWidth")
        assert over <= 0, box
    await page.locator(ACTIVE).screenshot(path=SHOTS / f"codes-7-{name}-edit.png")
    await page.keyboard.press("Escape")
    await shot(page, f"8-{name}", whole=True)
    await page.goto("/agents")
    await shot(page, f"9-{name}-agents", whole=True)
    assert re.search("does not answer", await page.inner_text("main"))
