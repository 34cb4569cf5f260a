"""Makes the README's picture from the demo's hospital: ``python -m tests.browser.picture``.

A fresh hisbus takes a ward's week, a reviewer logs in and opens the first finding of the worklist.
"""

import asyncio
import re
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright
from rich.console import Console

from hisbus_simulator.demo import USER, Demo, Wanted

PLACE = Path(__file__).parents[2] / "ops" / "page.png"
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SEED, PATIENTS = 1, 24


async def look(url: str, password: str, to: Path) -> None:
    """Log in as a reviewer, open the first finding, and keep what is seen."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        context = await browser.new_context(
            base_url=url, viewport={"width": 1280, "height": 720}, locale="zh-CN", timezone_id="Asia/Shanghai"
        )
        page = await context.new_page()
        await page.goto("/login")
        await page.fill("input[name=name]", USER)
        await page.fill("input[name=password]", password)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/findings")
        await page.keyboard.press("Enter")
        await page.wait_for_url(re.compile("/findings/.+"))
        await page.locator("html[data-ready] article.card.active").wait_for()
        await page.screenshot(path=to)
        await browser.close()


async def main() -> None:
    """Play the demo until nothing waits, and look at it."""
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(Path(folder) / "demo", Wanted(SEED, PATIENTS, past=0), Console(file=sys.stderr))
        async with demo.fed() as (child, _, _, password):
            await look(child.url, password, PLACE)


if __name__ == "__main__":
    asyncio.run(main())
