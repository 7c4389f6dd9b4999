"""Every fault of the fake's catalogue, played against the service as it is wired, over real HTTP both ways.

The judge is the fake's own ledger: the order ends as it should, and the money is where it should be. Time is the
test's: the service, its worker and the fake share one clock, which jumps from one thing that is due to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from dependency_injector import providers

from adapters.portone.gateway import Patience
from application.errors import ListIncompleteError
from application.read_order import OrderRecord
from application.refund_order import RefundOrderCommand
from application.use_cases import UseCases
from bootstrap import service
from bootstrap.container import Container
from bootstrap.settings import FAKE_API_SECRET, FAKE_STORE_ID, FAKE_WEBHOOK_SECRET, read_settings
from domain.attention import AttentionKind
from domain.ids import OrderId
from domain.money import Money
from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock
from fake_portone.faults import CATALOGUE, Fault
from fake_portone.ledger import CancelStatus, Purchase
from fake_portone.webhooks import Answer, State
from gyeolje_demo.samples import load_samples

PRICE = 355_000
PART = 100_000
HURRIED = Patience(connect=5.0, ask=1.0, asking=2.5, change=2.0, pauses=(0.0,))
TOO_SLOW = 2.5
STEPS_MOST = 800


class Time:
    """The one clock of everybody."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def now(self) -> datetime:
        return self.at

    def seconds(self) -> float:
        return self.at.timestamp()


@dataclass(slots=True)
class Place:
    """The service and the fake, each behind a server of its own."""

    time: Time
    fake: FakePortOne
    use_cases: UseCases
    http: httpx.AsyncClient
    shop: str
    posting: set[asyncio.Future[None]]

    async def place(self) -> Any:
        body = {"items": [{"productId": "vip-1-1", "quantity": 1}]}
        answer = await self.http.post(f"{self.shop}/api/v1/orders", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def purchase(self, placed: Any) -> Purchase:
        asked = placed["checkout"]
        return Purchase(
            store_id=asked["storeId"],
            channel_key=asked["channelKey"],
            order_name=asked["orderName"],
            total=asked["totalAmount"],
            currency=asked["currency"],
        )

    async def open(self, placed: Any) -> None:
        self.fake.buyer.open(payment_of(placed), self.purchase(placed))
        await self.quiet()

    async def pay(self, placed: Any) -> None:
        await self.open(placed)
        self.fake.buyer.pay(payment_of(placed))
        await self.quiet()

    async def refund(self, placed: Any, amount: int) -> None:
        order_id = OrderId(placed["order"]["id"])
        command = RefundOrderCommand(
            order_id=order_id,
            amount=Money(amount, "KRW"),
            reason="a gift",
            requested_by="clerk",
            idempotency_key=f"gift of {amount}",
        )
        await self.use_cases.refund_order(command)

    async def record(self, placed: Any) -> OrderRecord:
        return await self.use_cases.show_order(OrderId(placed["order"]["id"]))

    async def available(self) -> int:
        items = (await self.http.get(f"{self.shop}/api/v1/products")).json()["items"]
        return int(next(item["available"] for item in items if item["id"] == "vip-1-1"))

    async def quiet(self) -> None:
        """Everything that can happen without time passing has happened."""
        turns = 0
        async with asyncio.timeout(10):
            while turns < 20:
                turns += 1
                await asyncio.sleep(0)
                if self.posting:
                    await asyncio.wait(self.posting)
                    turns = 0

    async def pass_time(self, seconds: float) -> None:
        self.time.at += timedelta(seconds=seconds)
        self.fake.clock.set()
        await self.quiet()
        await self.use_cases.check_due_orders()
        await self.quiet()

    async def rest(self, placed: Any, asks: str | None) -> OrderRecord:
        """Let time pass, from one thing that is due to the next, until nothing is left to do for anybody.

        Or until a person is asked about ``asks``, if that is a refund that will not come to an end by itself.
        """
        for _ in range(STEPS_MOST):
            record = await self.record(placed)
            asked = record.order.attention
            if asked is not None and asks == asked.kind == AttentionKind.REFUND_LATE:
                return record
            due = [d.at - self.fake.clock.elapsed() for d in self.fake.ledger._agenda._due]
            if record.order.check_at is not None:
                due.append((record.order.check_at - self.time.at).total_seconds())
            if any(delivery.state is State.WAITING for delivery in self.fake.webhooks.deliveries):
                due.append(60.0)
            if not due:
                return record
            await self.pass_time(max(min(due), 0.001))
        raise AssertionError(f"not at rest after {STEPS_MOST} steps")


def payment_of(placed: Any) -> str:
    return str(placed["checkout"]["paymentId"])


@pytest.fixture
async def place(new_database: Callable[..., str], serve: Callable[[Any], Any]) -> AsyncIterator[Place]:
    time, posting, shop = Time(), set[asyncio.Future[None]](), list[str]()
    settings = FakePortOneSettings(
        api_secret=FAKE_API_SECRET,
        store_id=FAKE_STORE_ID,
        webhook_secret=FAKE_WEBHOOK_SECRET,
        webhook_url="/api/v1/webhooks/portone",
    )
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:

        async def post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
            answered = asyncio.get_running_loop().create_future()
            posting.add(answered)
            try:
                answer = await http.post(shop[0] + url, headers=headers, content=body)
            finally:
                posting.discard(answered)
                answered.set_result(None)
            return Answer(answer.status_code, answer.text)

        clock = FakeClock(now=time.now, monotonic=time.seconds)
        fake = FakePortOne(settings, clock=clock, post=post)
        async with serve(fake.app()) as portone:
            container = Container(
                settings=read_settings(
                    {},
                    GYEOLJE_GATEWAY="fake",
                    GYEOLJE_DATABASE_URL=new_database("sqlite"),
                    PORTONE_API_URL=portone,
                    GYEOLJE_PUBLIC_URL="https://shop.example",
                    GYEOLJE_DEPOSIT_TTL=str(2 * 24 * 3600),  # longer than the fake's accounts are open
                ),
                clock=providers.Object(time.now),
            )
            container.gateway.add_kwargs(patience=HURRIED)
            async with service.opened(container), serve(service.application(container)) as url:
                await load_samples(container.use_cases())
                shop.append(url)
                yield Place(time, fake, container.use_cases(), http, url, posting)
                await http.aclose()  # a server that stops waits for open connections


# --- stories: each ends with an order about which the rest is left to time ---

Story = Callable[[Place, tuple[Fault, ...]], Awaitable[Any]]


async def buys(place: Place, faults: tuple[Fault, ...]) -> Any:
    """An honest buyer, on a day on which something goes wrong."""
    placed = await place.place()
    place.fake.faults.put(faults)
    await place.pay(placed)
    return placed


async def buys_and_the_webhook_tells(place: Place, faults: tuple[Fault, ...]) -> Any:
    """The same, and the order is COMPLETED before anybody checked it by the clock."""
    placed = await buys(place, faults)
    assert (await place.record(placed)).order.status == "COMPLETED"
    return placed


async def buys_in_vain_at_first(place: Place, faults: tuple[Fault, ...]) -> Any:
    """The same, and nothing is completed nor cancelled by what PortOne could not say."""
    placed = await buys(place, faults)
    assert (await place.record(placed)).order.status == "PENDING"
    return placed


async def gets_a_part_back(place: Place, faults: tuple[Fault, ...]) -> Any:
    """The shop gives a part of a paid order back: a part that went back twice would be seen."""
    placed = await buys_and_the_webhook_tells(place, ())
    place.fake.faults.put(faults)
    await place.refund(placed, PART)
    return placed


async def pays_late(place: Place, faults: tuple[Fault, ...]) -> Any:
    """The order expired, and then it is paid: none of that may be kept."""
    placed = await place.place()
    await place.pass_time(931)
    assert (await place.record(placed)).order.reason == "EXPIRED"
    place.fake.faults.put(faults)
    await place.pay(placed)
    return placed


async def opens_the_window(place: Place, faults: tuple[Fault, ...]) -> Any:
    """Nobody pays, whatever a stranger says."""
    placed = await place.place()
    place.fake.faults.put(faults)
    await place.open(placed)
    assert (await place.record(placed)).order.status == "PENDING"
    return placed


async def buys_and_is_swept(place: Place, faults: tuple[Fault, ...]) -> Any:
    """Nothing tells of the payment but the list, whatever the list has to say."""
    placed = await place.place()
    await place.open(placed)
    dropped = Fault("webhook_dropped")
    place.fake.faults.put((*faults, dropped))
    await place.pay(placed)
    place.fake.faults.put(faults)
    with suppress(ListIncompleteError):
        await place.use_cases.sweep_payments()
    return placed


async def sends_money(place: Place, faults: tuple[Fault, ...]) -> Any:
    """The buyer takes a virtual account, and sends the money to it."""
    placed = await place.place()
    place.fake.faults.put(faults)
    place.fake.buyer.issue_account(payment_of(placed), place.purchase(placed))
    place.fake.buyer.deposit(payment_of(placed))
    await place.quiet()
    return placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What must be so in the end.

    ``asks`` is what a person is asked about, ``sold`` whether the seat is still taken, ``gave`` how many cancellations
    of ours stand (None: as many as refunds SUCCEEDED), ``answers`` every status the shop answered to any webhook.
    """

    status: str = "COMPLETED"
    reason: str | None = None
    captured: int = PRICE
    net: int = PRICE
    refunds: tuple[str, ...] = ()
    asks: str | None = None
    sold: bool = True
    owed: int = 0
    gave: int | None = None
    answers: frozenset[int] = frozenset({200})


PAID = Ends()
PARTLY_BACK = Ends(net=PRICE - PART, refunds=("SUCCEEDED",))
ALL_BACK = Ends(status="CANCELLED", reason="EXPIRED", net=0, refunds=("SUCCEEDED",), sold=False)
ALL_BACK_AT_THE_SECOND_TRY = replace(ALL_BACK, refunds=("FAILED", "SUCCEEDED"))
PART_FAILED = Ends(refunds=("FAILED",), asks="refund_refused")
PART_REFUSED = Ends(refunds=("REFUSED",), asks="refund_refused")
PART_LATE = Ends(refunds=("REQUESTED",), asks="refund_late", owed=PART)
CAME_BACK = Ends(refunds=("SUCCEEDED",), asks="money_came_back", gave=0)
TAKEN_BACK_BY_OTHERS = Ends(status="CANCELLED", reason="REFUNDED", net=0, sold=False)
CHARGED_BACK = Ends(status="CANCELLED", reason="CHARGED_BACK", net=0, asks="charged_back")
NEVER_PAID = Ends(status="CANCELLED", reason="EXPIRED", captured=0, net=0, sold=False)
REFUSED_FIRST = Ends(answers=frozenset({200, 400}))


def tampered(captured: int = PRICE) -> Ends:
    return Ends(status="CANCELLED", reason="MISMATCH", captured=captured, net=0, refunds=("SUCCEEDED",), sold=False)


@dataclass(frozen=True, slots=True)
class Case:
    fault: Fault
    story: Story
    ends: Ends = field(default=PAID)


GETS = 6
"""How often PortOne must not be there for the handlers of two webhooks, and a check after them, to give up."""

CASES = (
    Case(Fault("webhook_duplicated"), buys_and_the_webhook_tells),
    Case(Fault("webhook_dropped", match="Transaction.Paid"), buys_in_vain_at_first),
    Case(Fault("webhook_delayed", seconds=7200), buys_in_vain_at_first),
    Case(Fault("webhook_reordered"), buys),
    Case(Fault("webhook_before_answer"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("webhook_signed_twice"), buys_and_the_webhook_tells),
    Case(Fault("webhook_other_secret", times=1, match="Transaction.Paid"), buys_in_vain_at_first, REFUSED_FIRST),
    Case(Fault("webhook_stale", times=1, match="Transaction.Paid"), buys_in_vain_at_first, REFUSED_FIRST),
    Case(
        Fault("webhook_forged"),
        opens_the_window,
        replace(NEVER_PAID, answers=frozenset({200, 400})),
    ),
    Case(Fault("webhook_2024_01_01"), buys_and_the_webhook_tells),
    Case(Fault("webhook_2024_01_01_form"), buys_and_the_webhook_tells),
    Case(Fault("unknown_webhook_type"), buys_and_the_webhook_tells),
    Case(Fault("unknown_webhook_fields"), buys_and_the_webhook_tells),
    Case(Fault("gateway_slow", seconds=TOO_SLOW, times=GETS, match="get"), buys_in_vain_at_first),
    Case(Fault("gateway_slow", seconds=TOO_SLOW, times=1, match="cancel"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("gateway_5xx", times=GETS, match="get"), buys_in_vain_at_first),
    Case(Fault("gateway_5xx", times=1, match="cancel"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("gateway_html", times=GETS, match="get"), buys_in_vain_at_first),
    Case(Fault("gateway_html", times=1, match="cancel"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("gateway_reset", times=GETS, match="get"), buys_in_vain_at_first),
    Case(Fault("gateway_reset", times=1, match="cancel"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("gateway_truncated", times=GETS, match="get"), buys_in_vain_at_first),
    Case(Fault("gateway_truncated", times=1, match="cancel"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("gateway_401", times=GETS, match="get"), buys_in_vain_at_first),
    Case(Fault("gateway_401", times=1, match="cancel"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("gateway_429", times=GETS, match="get"), buys_in_vain_at_first),
    Case(Fault("gateway_429", times=1, match="cancel"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("gateway_lag", match="get"), buys_in_vain_at_first),
    Case(Fault("gateway_lag", match="get"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("gateway_lag", match="get"), pays_late, ALL_BACK),
    Case(Fault("unknown_status", times=GETS), buys_in_vain_at_first),
    Case(Fault("unknown_channel_type", times=GETS), buys_in_vain_at_first),
    Case(Fault("unknown_payment_fields"), buys_and_the_webhook_tells),
    Case(Fault("cancel_answer_lost", times=1), gets_a_part_back, PARTLY_BACK),
    Case(Fault("cancel_answer_lost", times=1), pays_late, ALL_BACK),
    Case(Fault("cancel_502", times=1), gets_a_part_back, PARTLY_BACK),
    Case(Fault("cancel_done_502", times=1), gets_a_part_back, PARTLY_BACK),
    Case(Fault("cancel_outstanding", times=2), gets_a_part_back, PARTLY_BACK),
    Case(Fault("cancel_refused", times=1), gets_a_part_back, PART_REFUSED),
    Case(Fault("cancel_failed", times=1), pays_late, ALL_BACK_AT_THE_SECOND_TRY),
    Case(Fault("cancel_failed", times=1), gets_a_part_back, PART_FAILED),
    Case(Fault("cancel_requested"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("cancel_requested_then_failed", times=1), pays_late, ALL_BACK_AT_THE_SECOND_TRY),
    Case(Fault("cancel_requested_then_failed", times=1), gets_a_part_back, PART_FAILED),
    Case(Fault("amount_tampered"), buys, tampered(PRICE // 2)),
    Case(Fault("currency_tampered"), buys, tampered()),
    Case(Fault("store_tampered"), buys, tampered()),
    Case(Fault("channel_tampered"), buys, tampered()),
    Case(Fault("failed_then_paid"), buys_and_the_webhook_tells),
    Case(Fault("approval_pending", seconds=1200), buys_in_vain_at_first),
    Case(Fault("approval_late", seconds=300), buys_in_vain_at_first),
    Case(Fault("approval_late", seconds=1200), buys_in_vain_at_first, ALL_BACK),
    Case(Fault("deposit_late", seconds=7200), sends_money),
    Case(Fault("deposit_late", seconds=25 * 3600), sends_money, NEVER_PAID),
    Case(Fault("paid_with_points"), buys_and_the_webhook_tells),
    Case(Fault("console_cancel"), buys_and_the_webhook_tells, TAKEN_BACK_BY_OTHERS),
    Case(Fault("console_cancel_part"), buys_and_the_webhook_tells, Ends(net=PRICE - PRICE // 2)),
    Case(Fault("disputed"), buys_and_the_webhook_tells),
    Case(Fault("charged_back"), buys_and_the_webhook_tells, CHARGED_BACK),
    # --- other readings of PortOne's documents ---
    Case(Fault("stamps_in_seconds"), buys_and_the_webhook_tells),
    Case(Fault("paid_dated_early"), buys_and_the_webhook_tells),
    Case(Fault("cancelled_dated_early"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("cancelled_dated_early"), pays_late, ALL_BACK),
    Case(Fault("second_part_cancel_unstamped"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("list_by_approval_time"), buys_and_is_swept),
    Case(Fault("list_late"), buys_and_is_swept),
    Case(Fault("list_unsorted"), buys_and_is_swept),
    Case(Fault("list_short_count"), buys_and_is_swept),
    Case(Fault("record_vanishes", times=1), buys),
    Case(Fault("reason_cut"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("reason_changed"), gets_a_part_back, PARTLY_BACK),
    Case(Fault("reason_changed"), pays_late, ALL_BACK),
    Case(Fault("cancel_undone", times=1), gets_a_part_back, CAME_BACK),
    Case(Fault("cancel_bounces", times=1), gets_a_part_back, CAME_BACK),
    Case(Fault("cancel_period_over"), gets_a_part_back, PART_LATE),
    Case(Fault("cancel_deposit_lacking"), gets_a_part_back, PART_LATE),
    Case(Fault("cancel_needs_tax_part"), gets_a_part_back, PART_REFUSED),
    Case(Fault("cancel_requested_for_ever"), gets_a_part_back, PART_LATE),
    Case(
        Fault("console_cancel_quotes_refund", times=1),
        gets_a_part_back,
        replace(PARTLY_BACK, net=PRICE - PART - PART // 2),
    ),
    Case(Fault("zero_amount_capture"), buys, replace(tampered(0), refunds=())),
    Case(Fault("account_by_browser"), buys, NEVER_PAID),
    Case(Fault("tax_free_by_browser"), buys, tampered()),
    Case(Fault("discount_limits_cancel"), pays_late, ALL_BACK),
    Case(Fault("pending_for_ever"), buys, NEVER_PAID),
)


def test_every_fault_of_the_catalogue_has_a_case() -> None:
    assert {case.fault.name for case in CASES} == set(CATALOGUE)


@pytest.mark.proves("Every fault of the catalogue is survived")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.fault.name}-{case.story.__name__}")
async def test_the_order_ends_as_it_should_and_the_money_is_where_it_should_be(place: Place, case: Case) -> None:
    placed = await case.story(place, (case.fault,))
    record = await place.rest(placed, case.ends.asks)
    if case.ends.gave is not None:  # nobody is told of what came back but by the list
        await place.use_cases.sweep_payments()
        record = await place.rest(placed, case.ends.asks)
    payment = place.fake.ledger.find(payment_of(placed))
    balance = place.fake.ledger.balance(payment.id)

    assert [fired > 0 for _, fired in place.fake.faults.on()] == [True]
    assert (balance.captured, balance.net) == (case.ends.captured, case.ends.net)
    assert (record.order.status, record.order.reason) == (case.ends.status, case.ends.reason)
    asks = record.order.attention and record.order.attention.kind
    assert (record.order.owed.minor, asks) == (case.ends.owed, case.ends.asks)
    assert tuple(sorted(refund.status for refund in record.refunds)) == case.ends.refunds
    ours = [c for c in payment.cancellations if c.trigger == "API" and c.status is CancelStatus.SUCCEEDED]
    assert len(ours) == (case.ends.refunds.count("SUCCEEDED") if case.ends.gave is None else case.ends.gave)
    assert await place.available() == (0 if case.ends.sold else 1)

    deliveries = [d for d in place.fake.webhooks.deliveries if d.state is not State.DROPPED]
    assert {attempt.status for d in deliveries for attempt in d.attempts} == case.ends.answers
    assert {d.state for d in deliveries if not d.forged} <= {State.SUCCEEDED}
    assert {attempt.status for d in deliveries if d.forged for attempt in d.attempts} <= {400}
