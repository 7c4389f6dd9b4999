"""A buyer with a real browser: the shop's page, PortOne's window, and what the fake's ledger says in the end.

Any error on a page's console fails its test, but for network errors while the service is down on purpose.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, FrameLocator, Locator, Page, async_playwright
from playwright.async_api import expect as expected

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "src" / "adapters" / "http" / "storefront" / "index.html"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "user_agent": "Mozilla/5.0 (Linux; Android 14; SM-S911N) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36",
    "is_mobile": True,
    "has_touch": True,
}
SEAT = 355_000


def missing(what: str) -> NoReturn:
    """Under CI nothing is skipped."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        missing("the browser tests need Debian's chromium: apt-get install chromium")
    if not BUILT.exists():
        missing("the browser tests need the shop page: make page")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@dataclass(slots=True)
class Tab:
    """One page of the shop, and everything it complained about."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    allowed: str = "\0"

    def listen(self) -> None:
        self.page.on("console", lambda message: self._hear(message))  # noqa: PLW0108 - playwright marks what it is given
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and self.allowed not in message.text:
            self.complaints.append(message.text)

    def get(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    @property
    def window(self) -> FrameLocator:
        return self.page.frame_locator("[data-testid=fake-portone-frame]")

    async def open(self, path: str = "/") -> None:
        await self.page.goto(self.url + path)

    async def buy(self, product: str = "vip-1-1") -> None:
        await self.page.locator(f"[data-product-id={product}]").get_by_test_id("buy").click()

    async def choose(self, choice: str = "approve", *, webhook: str = "normal", **inputs: str) -> None:
        """Choose in the payment window, in its frame or, on a phone, on its own page."""
        window: FrameLocator | Page = self.page if "/_fake/" in self.page.url else self.window
        await window.get_by_test_id(f"choice-{choice}").check()
        for name, value in inputs.items():
            field = window.get_by_test_id(name.replace("_", "-"))
            await (field.select_option(value) if name == "other_channel" else field.fill(value))
        await window.get_by_test_id("webhook-fate").select_option(webhook)
        await window.get_by_test_id("window-submit").click()

    async def shows(self, *states: str, seconds: float = 20) -> None:
        wanted = ",".join(f"[data-testid=order][data-state={state}]" for state in states)
        await expected(self.page.locator(wanted)).to_be_visible(timeout=seconds * 1000)

    async def order_id(self) -> str:
        return (await self.get("order-id").inner_text()).strip()


@dataclass(slots=True)
class Scene:
    """The service, the fake, and as many browsers as it takes."""

    town: Any
    shop: Any
    fake: Any
    process: Any
    database_url: str
    port: int
    browser: Browser
    tabs: list[Tab] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    async def tab(self, context: BrowserContext | None = None, **options: Any) -> Tab:
        if context is None:
            context = await self.browser.new_context(**({"locale": "ko-KR"} | options))
            self.contexts.append(context)
        tab = Tab(await context.new_page(), self.shop.url)
        tab.listen()
        self.tabs.append(tab)
        return tab

    async def ledger(self) -> Any:
        return (await self.town.http.get(f"{self.fake.url}/_fake/ledger")).json()

    async def nets(self) -> list[int]:
        return sorted(payment["net"] for payment in (await self.ledger())["payments"])

    async def until_nets(self, *wanted: int) -> None:
        async with asyncio.timeout(20):
            while await self.nets() != sorted(wanted):  # noqa: ASYNC110 - another process's ledger
                await asyncio.sleep(0.05)


@pytest.fixture
async def scene(
    town: Any, new_database: Any, a_free_port: int, browser: Browser, request: pytest.FixtureRequest
) -> AsyncIterator[Scene]:
    variables = getattr(request, "param", {})
    url = new_database("sqlite")
    shop_url = f"http://127.0.0.1:{a_free_port}"
    fake = await town.fake(f"{shop_url}/api/v1/webhooks/portone", "--speed", "60")
    shop, process = await town.serve(url, fake, a_free_port, **({"GYEOLJE_PUBLIC_URL": shop_url} | variables))
    scene = Scene(town, shop, fake, process, url, a_free_port, browser)
    yield scene
    complaints = [complaint for tab in scene.tabs for complaint in tab.complaints]
    for context in scene.contexts:
        await context.close()
    assert complaints == []


async def test_a_buyer_pays_and_sees_it(scene: Scene) -> None:
    tab = await scene.tab()
    await tab.open()
    await tab.buy()
    await expected(tab.window.get_by_test_id("amount")).to_contain_text("355,000")
    await tab.choose()
    await tab.shows("paid")
    assert await scene.nets() == [SEAT]
    await tab.get("back-to-shop").click()
    await expected(tab.page.locator("[data-product-id=vip-1-1]").get_by_test_id("buy")).to_be_disabled()


async def test_a_declined_payment_can_be_tried_again_on_the_same_order(scene: Scene) -> None:
    tab = await scene.tab()
    await tab.open()
    await tab.buy()
    await tab.choose("decline")
    await tab.shows("failed")
    order = await tab.order_id()
    await tab.get("pay").click()
    await tab.choose()
    await tab.shows("paid")
    assert await tab.order_id() == order
    assert await scene.nets() == [SEAT]


async def test_the_buyer_closes_the_window_and_gives_up(scene: Scene) -> None:
    tab = await scene.tab()
    await tab.open()
    await tab.buy()
    await tab.window.get_by_test_id("choose-close").click()
    await tab.shows("closed")
    await tab.get("give-up").click()
    await tab.shows("given-up")
    await tab.get("back-to-shop").click()
    await expected(tab.page.locator("[data-product-id=vip-1-1]").get_by_test_id("buy")).to_be_enabled()
    assert sum(await scene.nets()) == 0


async def test_a_double_click_places_one_order(scene: Scene) -> None:
    tab = await scene.tab()
    await tab.open()
    await tab.page.locator("[data-product-id=standing]").get_by_test_id("buy").dblclick()
    await tab.choose()
    await tab.shows("paid")
    assert await scene.nets() == [132_000]
    products = (await scene.town.http.get(f"{scene.shop.url}/api/v1/products")).json()["items"]
    assert next(item["available"] for item in products if item["id"] == "standing") == 499


async def test_the_second_buyer_of_the_last_seat_is_told_that_it_is_gone(scene: Scene) -> None:
    first, second = await scene.tab(), await scene.tab()
    second.allowed = "409"  # the browser itself complains of every 4xx
    await second.open()
    await expected(second.page.locator("[data-product-id=vip-1-1]").get_by_test_id("buy")).to_be_enabled()
    await first.open()
    await first.buy()
    await second.buy()
    await expected(second.get("shop-problem")).to_be_visible()
    await expected(second.page.locator("[data-product-id=vip-1-1]").get_by_test_id("buy")).to_be_disabled()
    await first.choose()
    await first.shows("paid")
    assert await scene.nets() == [SEAT]


@pytest.mark.parametrize(
    "lie",
    [
        {"other_amount": "1000"},
        {"other_currency": "USD"},
        {"other_store": "store-of-somebody-else"},
        {"other_channel": "TEST"},
    ],
)
async def test_what_a_dishonest_browser_paid_comes_back_and_the_page_says_so(scene: Scene, lie: dict[str, str]) -> None:
    tab = await scene.tab()
    await tab.open()
    await tab.buy()
    await tab.choose("dishonest", **lie)
    await tab.shows("mismatch")
    await scene.until_nets(0)


@pytest.mark.parametrize("webhook", ["never", "twice", "before_return"])
async def test_the_page_shows_paid_whatever_becomes_of_the_webhook(scene: Scene, webhook: str) -> None:
    tab = await scene.tab()
    await tab.open()
    await tab.buy()
    await tab.choose(webhook=webhook)
    await tab.shows("paid")
    assert await scene.nets() == [SEAT]


@pytest.mark.parametrize("scene", [{"GYEOLJE_ORDER_TTL": "4"}], indirect=True)
async def test_money_that_comes_after_the_end_goes_back(scene: Scene) -> None:
    tab = await scene.tab()
    await tab.open()
    await tab.buy()
    await expected(tab.window.get_by_test_id("amount")).to_be_visible()
    await tab.window.get_by_test_id("choose-close").click()
    await tab.shows("expired", seconds=30)
    placed = (await scene.ledger())["payments"][0]
    assert placed["status"] == "READY"
    answer = await scene.town.http.post(f"{scene.fake.url}/_fake/payments/{placed['id']}/pay", json={})
    assert answer.is_success, answer.text
    async with asyncio.timeout(20):
        while (await scene.ledger())["payments"][0]["cancelled"] != SEAT:  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.05)
    await tab.page.reload()
    await tab.shows("late")


async def test_a_reload_in_the_middle_resumes(scene: Scene) -> None:
    tab = await scene.tab()
    await tab.open()
    await tab.buy()
    await tab.choose("pending")
    await tab.shows("confirming", "waiting", "closed")
    order = await tab.order_id()
    await tab.page.reload()
    await tab.shows("confirming", "waiting", "closed")
    assert await tab.order_id() == order
    payment = (await scene.ledger())["payments"][0]["id"]
    await scene.town.http.post(f"{scene.fake.url}/_fake/payments/{payment}/pay", json={})
    await tab.shows("paid")
    await tab.page.reload()
    await tab.shows("paid")
    assert await scene.nets() == [SEAT]


async def test_a_deposit_that_comes_later_completes_the_order(scene: Scene) -> None:
    tab = await scene.tab()
    await tab.open()
    await tab.buy()
    await tab.choose("virtual-account")
    await tab.shows("confirming", "waiting")
    payment = (await scene.ledger())["payments"][0]["id"]
    answer = await scene.town.http.post(f"{scene.fake.url}/_fake/payments/{payment}/deposit", json={})
    assert answer.is_success, answer.text
    await tab.shows("paid")
    assert await scene.nets() == [SEAT]


async def test_the_page_is_used_by_keyboard_alone_and_in_english(scene: Scene) -> None:
    tab = await scene.tab(locale="en-US")
    await tab.open()
    await expected(tab.page.locator("html")).to_have_attribute("lang", "en")
    await tab.page.locator("[data-product-id=vip-1-1]").get_by_test_id("buy").focus()
    await tab.page.keyboard.press("Enter")
    await expected(tab.window.get_by_test_id("window-submit")).to_be_visible()
    await tab.page.keyboard.press("Escape")
    await tab.shows("closed")
    await tab.get("pay").focus()
    await tab.page.keyboard.press("Enter")
    await expected(tab.window.get_by_test_id("window-submit")).to_be_focused()
    await tab.page.keyboard.press("Enter")
    await tab.shows("paid")
    assert await scene.nets() == [SEAT]


async def test_two_tabs_on_one_order_show_the_same(scene: Scene) -> None:
    first = await scene.tab()
    await first.open()
    await first.buy()
    await first.window.get_by_test_id("choose-close").click()
    await first.shows("closed")
    second = await scene.tab(first.page.context)
    await second.open(f"/?order={await first.order_id()}")
    await second.shows("waiting", "closed")
    await second.get("pay").click()
    await second.choose()
    await second.shows("paid")
    await first.shows("paid")
    assert await scene.nets() == [SEAT]


async def test_a_phone_is_sent_to_the_window_and_back(scene: Scene) -> None:
    tab = await scene.tab(**PHONE)
    await tab.open()
    await tab.buy()
    await tab.page.wait_for_url("**/_fake/**")
    await tab.choose()
    await tab.page.wait_for_url(f"{scene.shop.url}/**")
    await tab.shows("paid")
    assert await scene.nets() == [SEAT]
    width = await tab.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360


async def test_a_phone_comes_back_from_a_declined_payment_and_tries_again(scene: Scene) -> None:
    tab = await scene.tab(**PHONE)
    await tab.open()
    await tab.buy()
    await tab.page.wait_for_url("**/_fake/**")
    await tab.choose("decline")
    await tab.page.wait_for_url(f"{scene.shop.url}/**")
    await tab.shows("failed")
    await tab.get("pay").click()
    await tab.page.wait_for_url("**/_fake/**")
    await tab.choose()
    await tab.page.wait_for_url(f"{scene.shop.url}/**")
    await tab.shows("paid")
    assert await scene.nets() == [SEAT]


async def test_whoever_comes_back_in_another_apps_browser_sees_that_it_is_paid_and_nothing_else(scene: Scene) -> None:
    placed = await scene.shop.place()
    back = placed["checkout"]["redirectUrl"].replace(scene.shop.url, "")
    tab = await scene.tab()
    await tab.open(f"{back}&paymentId={placed['order']['paymentId']}")
    await tab.shows("open")
    await scene.fake.pay(placed)
    await tab.shows("paid")
    await expected(tab.get("order-title")).to_have_text("결제되었습니다")
    await expected(tab.get("order-id")).to_have_count(0)
    await tab.page.reload()
    await tab.shows("paid")
    await tab.get("language").click()
    await expected(tab.get("order-title")).to_have_text("Paid")
    tab.allowed = "404"
    await tab.open(back[:-1] + ("0" if back[-1] != "0" else "1"))
    await tab.shows("gone")


async def test_an_attempt_that_failed_is_told_to_a_page_that_did_not_see_its_window(scene: Scene) -> None:
    tab = await scene.tab()
    await tab.open()
    await tab.buy()
    await expected(tab.window.get_by_test_id("amount")).to_be_visible()
    await tab.page.reload()
    await tab.shows("waiting")
    payment = (await scene.ledger())["payments"][0]["id"]
    await scene.town.http.post(f"{scene.fake.url}/_fake/payments/{payment}/fail", json={})
    await tab.shows("failed")
    await tab.get("pay").click()
    await tab.choose()
    await tab.shows("paid")


async def test_what_costs_nothing_is_the_buyers_at_once(scene: Scene) -> None:
    variables = scene.town.variables(scene.database_url, scene.fake)
    invitation = ("products", "put", "invitation", "--name", "초대권", "--price", "0", "--stock", "1")
    await scene.town.run(*invitation, **variables)
    tab = await scene.tab()
    await tab.open()
    await tab.buy("invitation")
    await tab.shows("paid")
    assert await scene.nets() == []
    await tab.get("back-to-shop").click()
    await expected(tab.page.locator("[data-product-id=invitation]").get_by_test_id("buy")).to_be_disabled()


async def test_what_is_not_taxed_is_paid_for_as_such(scene: Scene) -> None:
    variables = scene.town.variables(scene.database_url, scene.fake)
    await scene.town.run("products", "put", "book", "--name", "책", "--price", "20000", "--tax-free", **variables)
    tab = await scene.tab()
    await tab.open()
    await tab.buy("book")
    await tab.choose()
    await tab.shows("paid")
    assert await scene.nets() == [20_000]


async def test_the_page_survives_a_restart_of_the_service(scene: Scene) -> None:
    tab = await scene.tab()
    await tab.open()
    await tab.buy()
    await expected(tab.window.get_by_test_id("amount")).to_be_visible()
    tab.allowed = "net::ERR_"
    await scene.process.kill()
    await tab.choose(webhook="never")
    await expected(tab.get("link")).to_have_attribute("data-link", "lost", timeout=20_000)
    variables = {"GYEOLJE_PUBLIC_URL": scene.shop.url}
    await scene.town.serve(scene.database_url, scene.fake, scene.port, **variables)
    await tab.shows("paid", seconds=40)
    assert await scene.nets() == [SEAT]


async def test_an_order_that_is_not_this_browsers_is_a_sentence_and_a_way_forward(scene: Scene) -> None:
    tab = await scene.tab()
    await tab.open(f"/?order={'f' * 32}")
    await tab.shows("gone")
    await tab.get("back-to-shop").click()
    await expected(tab.get("shop")).to_be_visible()


async def test_a_service_that_is_down_is_a_sentence_and_a_way_forward(scene: Scene) -> None:
    tab = await scene.tab()
    await tab.open()
    await expected(tab.page.locator("[data-product-id=vip-1-1]")).to_be_visible()
    tab.allowed = "net::ERR_"
    await scene.process.kill()
    await tab.buy()
    await expected(tab.get("shop-problem")).to_be_visible(timeout=20_000)
    await scene.town.serve(scene.database_url, scene.fake, scene.port, GYEOLJE_PUBLIC_URL=scene.shop.url)
    await tab.get("try-again").click()
    await tab.choose()
    await tab.shows("paid")
    assert await scene.nets() == [SEAT]


async def test_the_fakes_own_page_shows_all_of_it_live_and_its_buttons_act(scene: Scene) -> None:
    shop, own = await scene.tab(), await scene.tab(locale="en-US")
    await own.page.goto(scene.fake.url + "/")
    await expected(own.get("connection")).to_contain_text("live")
    await own.get("fault-webhook_duplicated").check()
    await shop.open()
    await shop.buy()
    await shop.choose()
    await shop.shows("paid")
    await expected(own.get("payment-status")).to_have_text("PAID")
    await expected(own.get("total-KRW")).to_contain_text("355,000")
    paid = own.get("delivery").filter(has_text="Transaction.Paid")
    await expected(paid.get_by_test_id("delivery-attempt")).to_have_count(2)
    await own.get("payment-cancel").click()
    await expected(own.get("payment-status")).to_have_text("CANCELLED")
    await scene.until_nets(0)
    await shop.page.reload()
    await shop.shows("returned")


async def test_how_long_it_takes_from_approval_to_the_page_showing_paid(
    scene: Scene, record_testsuite_property: Any
) -> None:
    """Measured and reported, never asserted; and no request polls while the stream is open."""
    tab = await scene.tab()
    took: list[float] = []
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    for _ in range(20):
        await tab.open()
        await tab.buy("programme")
        await tab.window.get_by_test_id("choice-approve").check()
        await expected(tab.window.get_by_test_id("window-submit")).to_be_enabled()
        asked.clear()
        begun = time.perf_counter()
        await tab.window.get_by_test_id("window-submit").click()
        await tab.shows("paid")
        took.append(time.perf_counter() - begun)
        api = [url for url in asked if "/api/v1/orders" in url and not url.endswith(("/verify", "/events"))]
        assert api == [], "the stream tells; nobody asks again and again"
        await tab.get("back-to-shop").click()
    took.sort()
    figures = {"median_ms": round(median(took) * 1000), "p95_ms": round(took[18] * 1000), "runs": len(took)}
    record_testsuite_property("approve_to_paid", figures)
    print(f"\napprove → paid: {figures}")  # noqa: T201 - the figure is the point
