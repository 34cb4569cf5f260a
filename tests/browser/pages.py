"""What the tests of a page in a browser share: a log-in, and a picture that can be looked at afterwards."""

from pathlib import Path

from playwright.async_api import Browser, Page

SHOTS = Path(__file__).parents[2] / "var" / "screenshots"


async def shot(page: Page, name: str, *, whole: bool = True) -> None:
    """Keep a picture of a page; of all of it, or of what a screen shows."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SHOTS / f"{name}.png", full_page=whole)


async def log_in(page: Page, name: str, password: str) -> None:
    """Log in on the page for it, and come to the findings."""
    await page.fill("input[name=name]", name)
    await page.fill("input[name=password]", password)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/findings")


async def signed_in(browser: Browser, url: str, *, width: int = 1280, height: int = 800) -> Page:
    """Return a page of a running site, in Chinese, with its tester logged in."""
    context = await browser.new_context(
        base_url=url, viewport={"width": width, "height": height}, locale="zh-CN", timezone_id="Asia/Shanghai"
    )
    page = await context.new_page()
    await page.goto("/login")
    await log_in(page, "tester", "a long enough password")
    return page
