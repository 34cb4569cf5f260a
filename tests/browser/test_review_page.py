"""The page in a browser: a reviewer finds the evidence, decides by keyboard, and sees what the HIS answered."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Dialog, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SHOTS = Path(__file__).parents[2] / "var" / "screenshots"


async def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SHOTS / f"{name}.png")


ACTIVE = "html[data-ready] article.card.active"
"""The finding that the keys are for, once they answer."""


async def log_in(page: Page, name: str = "li.na") -> None:
    await page.fill("input[name=name]", name)
    await page.fill("input[name=password]", "a-long-password")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/findings")


async def test_a_reviewer_decides_by_keyboard_and_sees_the_receipt(page_at: Page) -> None:
    page = page_at
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(error.message))
    await shot(page, "1-login")
    await log_in(page)
    await shot(page, "2-worklist")

    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile("/findings/.+"))
    card = page.locator(ACTIVE)
    await expect(card).to_contain_text("R45")
    evidence = page.locator(".record mark.on")
    await expect(evidence).to_have_count(1)
    await expect(evidence).to_contain_text("患者神志清，精神可，诉咳嗽、咳痰较前减轻")
    await expect(evidence).to_be_in_viewport()
    await shot(page, "3-case")

    await page.keyboard.press("a")
    await expect(card.locator(".status").first).to_have_text("已采纳")
    await expect(card.locator(".receipt")).to_contain_text("HIS 已确认", timeout=10_000)
    await shot(page, "4-receipt")
    assert complaints == []


async def test_a_rejection_takes_a_reason_by_its_number(page_at: Page) -> None:
    page = page_at
    await log_in(page)
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    card = page.locator(ACTIVE)
    await expect(card).to_contain_text("R01")
    await page.keyboard.press("x")
    await expect(card.locator("[data-panel=reject]")).to_be_visible()
    await shot(page, "5-reject")
    await page.keyboard.press("3")
    await expect(card.locator(".status").first).to_have_text("已驳回")
    await expect(card.locator(".receipt")).to_have_count(0)


async def test_an_edit_is_made_in_place(page_at: Page) -> None:
    page = page_at
    await log_in(page)
    await page.get_by_role("link", name=re.compile("R27")).click()
    card = page.locator(ACTIVE)
    await expect(card).to_contain_text("R27")
    await page.keyboard.press("e")
    await card.locator("textarea[name=zh]").fill("体温93.6℃为录入错误，应为36.9℃。")
    await shot(page, "6-edit")
    await card.locator("[data-panel=edit] button.primary").click()
    await expect(card.locator(".status").first).to_have_text("修改后采纳")
    await expect(card.locator(".receipt")).to_contain_text("HIS 已确认", timeout=10_000)


async def test_what_somebody_typed_is_left_only_when_they_say_so(page_at: Page) -> None:
    page = page_at
    asked: list[str] = []
    answers = iter([False, False, True])

    async def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        await (dialog.accept() if next(answers) else dialog.dismiss())

    page.on("dialog", answer)
    await log_in(page)
    await page.get_by_role("link", name=re.compile("R27")).click()
    card = page.locator(ACTIVE)
    await expect(card).to_contain_text("R27")
    await page.keyboard.press("e")
    text = card.locator("textarea[name=zh]")
    await text.fill("应为36.9℃。")
    await page.keyboard.press("Escape")
    await expect(text).to_have_value("应为36.9℃。")
    await page.locator(".stay").click()
    for key in "jkex":
        await page.keyboard.press(key)
    await expect(card).to_contain_text("R27")
    await expect(text).to_be_visible()
    assert len(asked) == 1 and "尚未保存" in asked[0], "the keys do nothing, and ask nothing"
    await card.locator("[data-act=accept]").click()
    await expect(text).to_have_value("应为36.9℃。")
    await text.focus()
    await page.keyboard.press("Escape")
    await expect(text).to_be_hidden()
    assert len(asked) == 3
    await expect(card.locator(".status").first).to_have_text("待处理")


async def test_a_stale_finding_cannot_be_accepted(page_at: Page) -> None:
    page = page_at
    await log_in(page)
    await page.get_by_role("link", name=re.compile("R13")).click()
    card = page.locator(ACTIVE)
    await expect(card.locator(".alert.stale")).to_be_visible()
    await expect(card.locator("[data-act=accept]")).to_be_disabled()
    await page.keyboard.press("a")
    await expect(card.locator(".status").first).to_have_text("病历已变更")
    await shot(page, "7-stale")


async def test_keys_move_through_a_stay_and_what_cannot_be_verified_comes_last(page_at: Page) -> None:
    page = page_at
    await log_in(page)
    await page.get_by_role("link", name=re.compile("R01")).click()
    cards = page.locator("article.card")
    await expect(cards).to_have_count(4)
    await expect(cards.first).to_have_class(re.compile("active"))
    await expect(cards.last).to_contain_text("依据无法核对")
    await shot(page, "8-late")
    for rule in ("R27", "R45", "R60"):
        await page.keyboard.press("j")
        await expect(page.locator(ACTIVE)).to_contain_text(rule)
    await shot(page, "9-unverified")
    await page.keyboard.press("k")
    await page.keyboard.press("k")
    await expect(page.locator(ACTIVE)).to_contain_text("R27")
    await expect(page.locator(".record mark.on")).to_have_text("93.6")
    await page.keyboard.press("?")
    await expect(page.locator("dialog#help")).to_be_visible()
    await shot(page, "10-help")


async def test_the_page_speaks_english_when_asked(page_at: Page) -> None:
    page = page_at
    await page.click("text=English")
    await expect(page.locator("h1")).to_have_text("Log in")
    await log_in(page, "root")
    await expect(page.locator("h1")).to_have_text("Quality worklist")
    await shot(page, "11-english")
    await page.get_by_role("link", name=re.compile("R10")).click()
    await expect(page.locator(ACTIVE)).to_contain_text("No signed operative record")
    await shot(page, "12-english-case")
    for name in ("messages", "messages/0.0", "writebacks", "parked", "audit"):
        await page.goto(f"/{name}")
        await shot(page, f"13-{name.replace('/', '-')}")


async def test_a_message_is_found_without_its_patient_in_the_address(page_at: Page) -> None:
    page = page_at
    await log_in(page)
    await page.goto("/messages")
    await page.fill("input[name=text]", "张^建国")
    await page.keyboard.press("Enter")
    await expect(page.locator("tbody tr")).to_have_count(4)
    assert page.url.endswith("/messages/search")
    await shot(page, "14-search")
    await page.locator("tbody tr").first.click()
    await expect(page.locator(".segments").first).to_contain_text("张^建国")
    assert "张" not in await page.title()
