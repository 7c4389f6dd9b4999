"""The player, with a shop of a few lines that is not ours: it gets webhooks, and speaks PortOne's API."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest

from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.ledger import Cancel, Purchase
from fake_portone.scenario import Player, StoryFailedError
from fake_portone.script import Scenario
from fake_portone.webhooks import Answer

PRICE = 71_000


class Shop:
    """Answers webhooks as it is told to, and gives back what it is told to."""

    def __init__(self) -> None:
        self.answer = 200
        self.gives_back = 0
        self.fake: FakePortOne

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        said = json.loads(body)
        if said["type"] == "Transaction.Paid":
            payment_id = said["data"]["paymentId"]
            await self.fake.api.get("s", payment_id, None)
            for _ in range(self.gives_back):
                await self.fake.api.cancel("s", payment_id, Cancel(reason="why not", amount=1_000), None)
        return Answer(self.answer, '{"what": "the shop says"}')

    async def order(self, payment_id: str = "order-1", total: int = PRICE) -> None:
        await self.fake.api.pre_register("s", payment_id, total, "KRW", None)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    settings = FakePortOneSettings(
        api_secret="s",
        store_id="store-a",
        webhook_secret="c2VjcmV0c2VjcmV0c2VjcmV0",
        webhook_url="http://shop.example/",
    )
    shop.fake = FakePortOne(settings, post=shop)
    async with shop.fake.running():
        yield shop


def story(*steps: Mapping[str, Any], seconds: float = 5.0, **more: Any) -> Scenario:
    return msgspec.convert({"title": "A story", "timeout": seconds, "step": steps, **more}, Scenario)


def step(do: str, payment: str | None = "ticket", **more: Any) -> dict[str, Any]:
    return {"do": do, **({} if payment is None else {"payment": payment}), **more}


async def plays(shop: Shop, *steps: Mapping[str, Any], **more: Any) -> list[str]:
    told: list[str] = []
    await Player(shop.fake, story(*steps, **more), told.append).play()
    return told


async def fails(shop: Shop, *steps: Mapping[str, Any]) -> str:
    with pytest.raises(StoryFailedError) as failed:
        await plays(shop, *steps, seconds=0.1)
    return str(failed.value)


BOUGHT = (step("await_payment"), step("pay"), step("await_webhook", type="Transaction.Paid"))


async def test_what_the_shop_pre_registered_is_paid_and_every_step_is_told(shop: Shop) -> None:
    await shop.order()
    told = await plays(
        shop,
        step("await_payment", note="place an order"),
        step("pay"),
        step("expect_payment", status="PAID", captured=PRICE, cancelled=0, net=PRICE, readsAtLeast=1),
        step("expect_webhooks", answered=200, atLeast=2),
        step("expect_totals", None, currency="KRW", net=PRICE),
    )
    assert told == [
        "A story: 5 steps",
        "[1/5] await_payment ticket  # place an order",
        "      ticket is order-1",
        "[2/5] pay ticket",
        f'[3/5] expect_payment ticket status="PAID" captured={PRICE} cancelled=0 net={PRICE} readsAtLeast=1',
        "[4/5] expect_webhooks ticket atLeast=2",
        f'[5/5] expect_totals currency="KRW" net={PRICE}',
        "the story went as it should",
    ]
    purchase = shop.fake.ledger.find("order-1").purchase
    assert (purchase.store_id, purchase.total, purchase.currency) == ("store-a", PRICE, "KRW")


async def test_payments_are_named_in_the_order_the_shop_brings_them_up_or_by_their_id(shop: Shop) -> None:
    await shop.order("first")
    page = Purchase(store_id="store-a", channel_key="page", order_name="by page", total=5, currency="USD")
    shop.fake.buyer.open("second", page)
    await shop.order("third")
    told = await plays(
        shop,
        step("await_payment", "c", id="third"),
        step("await_payment", "a"),
        step("await_payment", "b"),
        step("pay", "b"),
    )
    assert [line.strip() for line in told if " is " in line] == ["c is third", "a is first", "b is second"]
    assert shop.fake.ledger.find("second").purchase == page


async def test_a_shop_may_come_later(shop: Shop) -> None:
    playing = asyncio.create_task(plays(shop, step("await_payment"), step("pay")))
    await asyncio.sleep(0)
    await shop.order()
    await playing
    assert shop.fake.ledger.balance("order-1").net == PRICE


async def test_a_dishonest_browser_asks_for_something_else(shop: Shop) -> None:
    await shop.order()
    await plays(
        shop,
        step("await_payment"),
        step("open", orderName="tickets"),
        step("pay", totalAmount=100, channelType="TEST"),
        window={"channelKey": "of the window"},
    )
    purchase = shop.fake.ledger.find("order-1").purchase
    assert (purchase.total, purchase.channel_type, purchase.order_name) == (100, "TEST", "tickets")
    assert purchase.channel_key == "of the window"


async def test_whatever_may_happen_to_a_payment_happens(shop: Shop) -> None:
    await shop.order()
    await plays(
        shop,
        step("await_payment"),
        step("open"),
        step("fail"),
        step("expect_payment", status="FAILED"),
        step("open"),
        step("pending"),
        step("expect_payment", status="PAY_PENDING"),
        step("issue_virtual_account"),
        step("expect_payment", status="VIRTUAL_ACCOUNT_ISSUED"),
        step("deposit"),
        step("cancel_in_console", amount=1_000, reason="a scratch"),
        step("expect_payment", status="PARTIAL_CANCELLED", net=PRICE - 1_000, cancellationsAtMost=1),
        step("resend_webhook", type="Transaction.Paid"),
        step("await_webhook", type="Transaction.Paid", times=2, answered=200),
    )


async def test_faults_and_time_are_part_of_the_story(shop: Shop) -> None:
    await shop.order()
    await plays(
        shop,
        step("await_payment"),
        step("clock", None, speed=0),
        step("faults", None, on=[{"name": "console_cancel", "seconds": 3600, "payment": "ticket"}]),
        step("pay"),
        step("expect_payment", status="PAID"),
        step("clock", None, advance=3600),
        step("expect_payment", status="CANCELLED"),
        step("faults", None),
    )
    assert shop.fake.faults.on() == []


async def test_a_refusal_may_be_what_is_expected(shop: Shop) -> None:
    await shop.order()
    await plays(shop, step("await_payment"), step("pay"), step("pay", refused="ALREADY_PAID"))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            [step("await_payment", "seat")],
            r"step 4 of 4 failed: await_payment seat\n  wanted: a payment .*; seen: none",
        ),
        ([step("pay")], r"step 4 of 4 failed: pay ticket\n  PortOne refused it: ALREADY_PAID, "),
        ([step("pay", refused="NO")], r"PortOne refused it: ALREADY_PAID"),
        ([step("cancel_in_console", refused="NO")], r"wanted: a refusal, NO; seen: it was done"),
        ([step("deposit")], r"PortOne refused it: PAYMENT_NOT_WAITING_FOR_DEPOSIT"),
        ([step("resend_webhook", type="Transaction.Failed")], r"PortOne refused it: WEBHOOK_NOT_FOUND"),
        ([step("clock", None, advance=10**9)], r"failed: clock advance=1000000000.0\n  time goes forward only"),
        ([step("expect_payment", status="CANCELLED")], r"wanted: status CANCELLED; seen: PAID"),
        ([step("expect_payment", net=0, captured=1)], r"wanted: captured 1; seen: 71000\n  wanted: net 0; seen: 71000"),
        ([step("expect_payment", readsAtLeast=2)], r"wanted: the shop asks for the payment 2 times; seen: 1"),
        ([step("await_webhook", answered=503)], r"wanted: 1 × a webhook answered 503; seen: 200 .*, 200 "),
        ([step("expect_webhooks", answered=[201, 204])], r"wanted: Transaction.Ready answered 201 or 204; seen: 200 "),
        ([step("expect_webhooks", atLeast=3)], r"wanted: at least 3 × a webhook; seen: 2"),
        ([step("expect_webhooks", forged=True)], r"wanted: at least 1 × a webhook; seen: 0"),
        ([step("expect_totals", None, currency="USD", net=1)], r"wanted: net 1; seen: 0"),
    ],
)
async def test_what_is_not_so_is_told_with_what_was_seen_instead(
    shop: Shop, steps: list[dict[str, Any]], said: str
) -> None:
    await shop.order()
    account = await fails(shop, *BOUGHT, *steps)
    assert re.search(said, account), account


async def test_the_account_tells_all_that_was_seen_of_the_payment(shop: Shop) -> None:
    await shop.order()
    account = await fails(shop, *BOUGHT, step("expect_payment", net=0))
    assert account.splitlines() == [
        "step 4 of 4 failed: expect_payment ticket net=0",
        "  wanted: net 0; seen: 71000",
        "  ticket (order-1): READY → PAID; 71000 taken, 0 went back",
        "    the shop asked for it 1×, and to cancel it 0×",
        '    Transaction.Ready (succeeded): 200 {"what": "the shop says"}',
        '    Transaction.Paid (succeeded): 200 {"what": "the shop says"}',
    ]


@pytest.mark.parametrize(
    ("expects", "said"),
    [
        ({"cancellationsAtMost": 1}, "wanted: at most 1 cancellations; seen: 2"),
        ({"cancelRequestsAtMost": 1}, "wanted: at most 1 requests to cancel; seen: 2"),
    ],
)
async def test_what_time_cannot_mend_is_not_waited_for(shop: Shop, expects: dict[str, Any], said: str) -> None:
    await shop.order()
    shop.gives_back = 2
    with pytest.raises(StoryFailedError, match=said):
        async with asyncio.timeout(10):
            await plays(shop, *BOUGHT, step("expect_payment", timeout=1000, **expects))


async def test_a_cancellation_that_failed_is_none(shop: Shop) -> None:
    await shop.order()
    shop.gives_back = 1
    await plays(
        shop,
        step("await_payment"),
        step("faults", None, on=[{"name": "cancel_failed"}]),
        step("pay"),
        step("await_webhook", type="Transaction.Paid"),
        step("expect_payment", status="PAID", cancellationsAtMost=0, cancelRequestsAtMost=1),
    )


async def test_a_step_may_have_less_patience_than_the_story(shop: Shop) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(StoryFailedError, match="failed: await_payment ticket"):
            await plays(shop, step("await_payment", timeout=0.05), seconds=1000)


async def test_a_webhook_that_is_under_way_was_not_answered_yet(shop: Shop) -> None:
    await shop.order()
    account = await fails(
        shop,
        step("await_payment"),
        step("clock", None, speed=0),
        step("faults", None, on=[{"name": "webhook_delayed", "match": "Transaction.Paid"}]),
        step("pay"),
        step("expect_webhooks"),
    )
    assert "wanted: Transaction.Paid answered 200; seen: it is still under way" in account
    assert "Transaction.Paid (waiting): not tried yet" in account


async def test_a_webhook_before_the_answer_is_delivered_before_the_next_step(shop: Shop) -> None:
    await shop.order()
    await plays(shop, step("await_payment"), step("faults", None, on=[{"name": "webhook_before_answer"}]), step("pay"))
    assert [bool(delivery.attempts) for delivery in shop.fake.webhooks.deliveries] == [True, True]


async def test_what_holds_must_go_on_holding(shop: Shop) -> None:
    await shop.order()
    shop.fake.clock.set(speed=100)
    on = [{"name": "console_cancel", "seconds": 20}]
    with pytest.raises(StoryFailedError, match="wanted: status PAID; seen: CANCELLED"):
        await plays(
            shop,
            step("await_payment"),
            step("faults", None, on=on),
            step("pay"),
            step("expect_payment", status="PAID", hold=5),
        )


async def test_a_wrong_answer_is_not_made_good_by_a_right_one_later(shop: Shop) -> None:
    await shop.order()
    shop.answer = 500
    await plays(shop, step("await_payment"), step("clock", None, speed=0), step("pay"))
    await plays(shop, step("await_payment"), step("await_webhook", type="Transaction.Paid", answered=500))
    shop.answer = 200
    shop.fake.clock.set(advance=300)
    account = await fails(
        shop,
        step("await_payment"),
        step("await_webhook", type="Transaction.Paid", answered=200, timeout=5),
        step("expect_webhooks"),
    )
    assert "wanted: Transaction.Ready answered 200; seen: 500" in account


async def test_without_a_price_nothing_can_be_paid(shop: Shop) -> None:
    await shop.fake.api.pre_register("s", "order-1", None, None, None)
    account = await fails(shop, step("await_payment"), step("pay"))
    assert "PortOne refused it: INVALID_REQUEST, the payment window needs totalAmount, currency" in account
    assert "no window was opened" in account


def test_the_format_is_what_toml_reads() -> None:
    text = 'title = "A story"\n[[step]]\ndo = "clock"\nadvance = 3\n'
    assert msgspec.convert(tomllib.loads(text), Scenario) == story(step("clock", None, advance=3), seconds=30.0)
