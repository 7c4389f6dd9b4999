"""Take the pictures of the README from a real run: `python docs/pictures/take.py`.

Starts `gyeolje demo` on free ports, buys with a real browser (Debian's chromium), and writes PNG files beside this one.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect

HERE = Path(__file__).parent
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
PHONE = "Mozilla/5.0 (Linux; Android 14; SM-S911N) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36"


def free_port() -> int:
    """A port whose next one is free too, as far as one can know."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


async def until_ready(url: str) -> None:
    """Ask until the service answers."""

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=1):  # noqa: S310 - our own address
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    async with asyncio.timeout(30):
        while not await asyncio.to_thread(answers):  # noqa: ASYNC110 - another process is all there is to watch
            await asyncio.sleep(0.05)


async def shot(page: Page, name: str) -> None:
    """One picture."""
    await page.screenshot(path=HERE / f"{name}.png", animations="disabled")


async def on_a_pc(browser: Browser, shop: str, fake: str) -> None:
    """The shop, the window over it, the paid order, and the fake's own page."""
    context = await browser.new_context(locale="ko-KR", viewport={"width": 1080, "height": 760})
    page = await context.new_page()
    await page.goto(shop)
    await expect(page.locator("[data-product-id=vip-1-1]")).to_be_visible()
    await shot(page, "shop")
    await page.locator("[data-product-id=vip-1-1]").get_by_test_id("buy").click()
    window = page.frame_locator("[data-testid=fake-portone-frame]")
    await expect(window.get_by_test_id("amount")).to_be_visible()
    await shot(page, "window")
    await window.get_by_test_id("window-submit").click()
    await expect(page.locator("[data-testid=order][data-state=paid]")).to_be_visible()
    await shot(page, "paid")
    await page.get_by_test_id("back-to-shop").click()
    await page.locator("[data-product-id=standing]").get_by_test_id("buy").click()
    await window.get_by_test_id("choice-dishonest").check()
    await window.get_by_test_id("other-amount").fill("1000")
    await window.get_by_test_id("window-submit").click()
    await expect(page.locator("[data-testid=order][data-state=mismatch]")).to_be_visible(timeout=20_000)
    await shot(page, "mismatch")
    wide = await browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
    own = await wide.new_page()
    await own.goto(fake)
    await expect(own.get_by_text("Transaction.Paid").first).to_be_visible()
    await shot(own, "fake")


async def on_a_phone(browser: Browser, shop: str) -> None:
    """A phone in the dark."""
    context = await browser.new_context(
        locale="ko-KR",
        viewport={"width": 360, "height": 740},
        user_agent=PHONE,
        is_mobile=True,
        has_touch=True,
        color_scheme="dark",
    )
    page = await context.new_page()
    await page.goto(shop)
    await expect(page.locator("[data-product-id=vip-1-2]")).to_be_visible()
    await page.locator("[data-product-id=vip-1-2]").get_by_test_id("buy").click()
    await page.wait_for_url("**/_fake/**")
    await expect(page.get_by_test_id("amount")).to_be_visible()
    await shot(page, "phone-window")
    await page.get_by_test_id("window-submit").click()
    await expect(page.locator("[data-testid=order][data-state=paid]")).to_be_visible()
    await shot(page, "phone-paid")


async def main() -> None:
    """Run the demo, take every picture, end the demo."""
    port = free_port()
    shop, fake = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
    gyeolje = str(Path(sys.executable).with_name("gyeolje"))
    demo = await asyncio.create_subprocess_exec(gyeolje, "demo", "--port", str(port))
    try:
        await until_ready(shop)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
            await on_a_pc(browser, shop, fake)
            await on_a_phone(browser, shop)
            await browser.close()
    finally:
        demo.terminate()
        await demo.wait()


if __name__ == "__main__":
    asyncio.run(main())
