"""Every sentence of the PaymentGateway port, for the fake in process and for the real client over HTTP."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.portone.fake_gateway import FakePortOneGateway
from adapters.portone.gateway import Patience, PortOneGateway
from adapters.portone.transport import gateway_client
from application.errors import (
    GatewayBusyError,
    GatewayDeniedError,
    GatewayError,
    GatewayRefusedError,
    GatewayUnavailableError,
    Refusal,
)
from application.ports import PAGED_MOST, CancelPayment, ChangedPage, PaymentGateway
from domain.ids import PaymentId, RefundId
from domain.money import Money
from domain.payment import Cancellation, CancellationStatus, Payment, PaymentStatus
from fake_portone import FakePortOne
from fake_portone.faults import Fault
from fake_portone.ledger import Cancel, Purchase

STORE = "store-00000000-0000-4000-8000-00000000000a"
OTHER_STORE = "store-00000000-0000-4000-8000-00000000000b"
SECRET = "the fake's secret"
AGES_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_OFF = datetime(2100, 1, 1, tzinfo=UTC)
UNHURRIED = 10.0
HURRIED = 0.2


@dataclass(slots=True)
class World:
    """The fake behind a gateway of one kind."""

    fake: FakePortOne
    connect: Callable[[str, float], PaymentGateway]

    @property
    def gateway(self) -> PaymentGateway:
        return self.connect(SECRET, UNHURRIED)

    def paid(self, total: int = 71_000, *, currency: str = "KRW", store: str = STORE) -> PaymentId:
        payment_id = PaymentId(uuid.uuid4().hex)
        self.fake.buyer.pay(payment_id, purchase(total, currency=currency, store=store))
        return payment_id

    def faults(self, *faults: Fault) -> None:
        self.fake.faults.put(faults)

    def net(self, payment_id: str) -> int:
        return self.fake.ledger.balance(payment_id).net


@pytest.fixture(params=["in process", "over HTTP"])
async def world(request: pytest.FixtureRequest, fake_portone: FakePortOne) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        if request.param == "in process":
            await stack.enter_async_context(fake_portone.running())
            yield World(
                fake_portone,
                lambda secret, patience: FakePortOneGateway(fake_portone, api_secret=secret, patience=patience),
            )
            return
        served = request.getfixturevalue("serve")
        client = gateway_client(await stack.enter_async_context(served(fake_portone.app())))
        stack.push_async_callback(client.aclose)

        def connect(secret: str, patience: float) -> PaymentGateway:
            bounds = Patience(ask=patience, asking=2 * patience, change=patience, pauses=(0.0,))
            return PortOneGateway(client, api_secret=secret, store_id=STORE, patience=bounds)

        yield World(fake_portone, connect)


def purchase(total: int = 71_000, *, currency: str = "KRW", store: str = STORE) -> Purchase:
    return Purchase(store_id=store, channel_key="channel-key", order_name="VIP", total=total, currency=currency)


def refund_of(
    payment_id: PaymentId,
    amount: int,
    *,
    left: int = 71_000,
    refund_id: str | None = None,
    store: str | None = STORE,
    currency: str = "KRW",
) -> CancelPayment:
    name = RefundId(refund_id or uuid.uuid4().hex)
    return CancelPayment(
        payment_id=payment_id,
        store_id=store,
        refund_id=name,
        key=f"{name}-1",
        amount=Money(amount, currency),
        tax_free=Money.zero(currency),
        left=Money(left, currency),
        reason="late money",
    )


async def page_of(
    gateway: PaymentGateway,
    number: int = 0,
    size: int = 100,
    *,
    since: datetime = AGES_AGO,
    until: datetime = FAR_OFF,
    store: str = STORE,
) -> ChangedPage:
    return await gateway.changed_page(store, since, until, number=number, size=size)


async def names_on(gateway: PaymentGateway, number: int = 0, size: int = 100, **of: Any) -> list[str]:
    return [payment.id for payment in (await page_of(gateway, number, size, **of)).payments]


async def seen(gateway: PaymentGateway, payment_id: PaymentId) -> Payment:
    payment = await gateway.get(payment_id)
    assert payment is not None
    return payment


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 - the ledger notifies nobody
            await asyncio.sleep(0.001)


Call = Callable[[PaymentGateway, PaymentId], Awaitable[object]]
CALLS: dict[str, Call] = {
    "get": lambda gateway, payment_id: gateway.get(payment_id),
    "cancel": lambda gateway, payment_id: gateway.cancel(refund_of(payment_id, 1_000)),
    "pre_register": lambda gateway, payment_id: gateway.pre_register(
        payment_id, Money(71_000, "KRW"), Money(1_000, "KRW")
    ),
    "close_virtual_account": lambda gateway, payment_id: gateway.close_virtual_account(payment_id, STORE),
    "changed_page": lambda gateway, _: page_of(gateway),
}
READ = [call for name, call in CALLS.items() if name in ("get", "cancel", "changed_page")]
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def subject_of(call: Call, world: World) -> PaymentId:
    """A payment on which ``call`` would succeed."""
    if call is CALLS["close_virtual_account"]:
        payment_id = PaymentId(uuid.uuid4().hex)
        world.fake.buyer.issue_account(payment_id, purchase())
        return payment_id
    return PaymentId(uuid.uuid4().hex) if call is CALLS["pre_register"] else world.paid()


# --- Every method may raise GatewayUnavailableError (outcome unknown) and GatewayDeniedError ---


@each_call
async def test_a_wrong_secret_is_denied_and_changes_nothing(world: World, call: Call) -> None:
    payment_id = subject_of(call, world)
    before = world.fake.ledger.payments()
    with pytest.raises(GatewayDeniedError):
        await call(world.connect("another secret", UNHURRIED), payment_id)
    assert world.fake.ledger.payments() == before


@each_call
@pytest.mark.parametrize("fault", ["gateway_5xx", "gateway_html"])
async def test_what_is_no_answer_is_unavailable(world: World, call: Call, fault: str) -> None:
    payment_id = subject_of(call, world)
    world.faults(Fault(fault))
    with pytest.raises(GatewayUnavailableError):
        await call(world.gateway, payment_id)


@pytest.mark.parametrize("call", READ)
async def test_an_answer_cut_short_is_unavailable(world: World, call: Call) -> None:
    payment_id = subject_of(call, world)
    world.faults(Fault("gateway_truncated"))
    with pytest.raises(GatewayUnavailableError):
        await call(world.gateway, payment_id)


@each_call
async def test_an_answer_that_takes_too_long_is_unavailable(world: World, call: Call) -> None:
    payment_id = subject_of(call, world)
    world.faults(Fault("gateway_slow", seconds=5 * HURRIED))
    with pytest.raises(GatewayUnavailableError):
        await call(world.connect(SECRET, HURRIED), payment_id)


@each_call
async def test_the_same_call_succeeds_once_the_faults_are_over(world: World, call: Call) -> None:
    payment_id = subject_of(call, world)
    await call(world.gateway, payment_id)


# --- get ---


async def test_get_is_the_gateways_record(world: World) -> None:
    payment_id = world.paid(2_599, currency="USD")
    record = world.fake.ledger.find(payment_id)
    assert await world.gateway.get(payment_id) == Payment(
        id=payment_id,
        status=PaymentStatus.PAID,
        said="PAID",
        total=Money(2_599, "USD"),
        cancelled=Money(0, "USD"),
        store_id=STORE,
        channel_type="LIVE",
        attempt=record.transaction_id,
        changed_at=record.status_changed_at,
        updated_at=record.updated_at,
        paid=Money(2_599, "USD"),
        tax_free=Money(0, "USD"),
        cancelled_tax_free=Money(0, "USD"),
        disputed=False,
    )


async def test_get_tells_every_status(world: World) -> None:
    payment_id = PaymentId(uuid.uuid4().hex)
    buyer, gateway = world.fake.buyer, world.gateway
    said = []
    for happens in (
        lambda: buyer.open(payment_id, purchase()),
        lambda: buyer.pend(payment_id),
        lambda: buyer.fail(payment_id),
        lambda: buyer.issue_account(payment_id),
        lambda: buyer.deposit(payment_id),
        lambda: buyer.cancel_in_console(payment_id, 1_000),
        lambda: buyer.cancel_in_console(payment_id),
    ):
        happens()
        payment = await seen(gateway, payment_id)
        assert payment.status.value == payment.said
        said.append((payment.said, payment.cancelled.minor))
    assert said == [
        ("READY", 0),
        ("PAY_PENDING", 0),
        ("FAILED", 0),
        ("VIRTUAL_ACCOUNT_ISSUED", 0),
        ("PAID", 0),
        ("PARTIAL_CANCELLED", 1_000),
        ("CANCELLED", 71_000),
    ]


async def test_get_tells_when_a_deposit_is_due(world: World) -> None:
    payment_id = PaymentId(uuid.uuid4().hex)
    world.fake.buyer.issue_account(payment_id, purchase())
    account = world.fake.ledger.find(payment_id).account
    assert account is not None
    assert (await seen(world.gateway, payment_id)).deposit_due == account.due
    world.fake.buyer.deposit(payment_id)
    assert (await seen(world.gateway, payment_id)).deposit_due is None


async def test_get_tells_of_a_dispute_while_it_lasts(world: World) -> None:
    payment_id = world.paid()
    told = [(await seen(world.gateway, payment_id)).disputed]
    world.fake.ledger.dispute(payment_id, "it was not me")
    told.append((await seen(world.gateway, payment_id)).disputed)
    world.fake.ledger.resolve_disputes(payment_id)
    told.append((await seen(world.gateway, payment_id)).disputed)
    assert told == [False, True, False]


async def test_get_tells_who_took_the_money_back(world: World) -> None:
    payment_id = world.paid()
    world.fake.buyer.cancel_in_console(payment_id, 1_000)
    assert not (await seen(world.gateway, payment_id)).is_charged_back
    world.fake.ledger.cancel(payment_id, Cancel(reason="fraud", trigger="CHARGEBACK"))
    assert (await seen(world.gateway, payment_id)).is_charged_back


async def test_get_tells_money_that_was_sent_to_an_account(world: World) -> None:
    payment_id = PaymentId(uuid.uuid4().hex)
    world.fake.buyer.issue_account(payment_id, purchase())
    world.fake.buyer.deposit(payment_id)
    assert (await seen(world.gateway, payment_id)).by_account
    assert not (await seen(world.gateway, world.paid())).by_account


async def test_get_tells_what_points_covered(world: World) -> None:
    world.faults(Fault("paid_with_points"))
    payment = await seen(world.gateway, world.paid())
    assert payment.paid == payment.left_paid == Money(63_900, "KRW")
    assert payment.left == Money(71_000, "KRW")


async def test_get_finds_a_payment_whichever_of_our_stores_it_was_made_in(world: World) -> None:
    payment_id = world.paid(store=OTHER_STORE)
    assert (await seen(world.gateway, payment_id)).store_id == OTHER_STORE


async def test_get_is_none_for_a_payment_the_gateway_does_not_know(world: World) -> None:
    assert await world.gateway.get(PaymentId("f" * 32)) is None


async def test_an_unknown_status_is_unknown_and_its_word_is_kept(world: World) -> None:
    payment_id = world.paid()
    world.faults(Fault("unknown_status"))
    payment = await seen(world.gateway, payment_id)
    assert (payment.status, payment.said) == (PaymentStatus.UNKNOWN, "ON_HOLD")


async def test_a_type_of_channel_that_nobody_knows_is_told_as_it_is(world: World) -> None:
    payment_id = world.paid()
    world.faults(Fault("unknown_channel_type", times=1))
    payment = await seen(world.gateway, payment_id)
    assert (payment.status, payment.channel_type, payment.unknown_channel) == (PaymentStatus.PAID, "SANDBOX", "SANDBOX")
    assert (await seen(world.gateway, payment_id)).unknown_channel is None


async def test_a_payment_tried_again_has_another_attempt_and_a_later_change(world: World) -> None:
    payment_id = PaymentId(uuid.uuid4().hex)
    world.fake.buyer.fail(payment_id, purchase())
    first = await seen(world.gateway, payment_id)
    world.fake.buyer.pay(payment_id)
    second = await seen(world.gateway, payment_id)
    assert first.attempt != second.attempt
    assert first.changed_at is not None
    assert second.changed_at is not None
    assert first.changed_at < second.changed_at


# --- cancel ---


async def test_cancel_gives_back_the_amount(world: World) -> None:
    payment_id = world.paid()
    cancellation = await world.gateway.cancel(refund_of(payment_id, 30_000))
    assert (cancellation.status, cancellation.amount) == (CancellationStatus.SUCCEEDED, Money(30_000, "KRW"))
    assert world.net(payment_id) == 41_000


async def test_cancel_gives_back_everything_that_is_left(world: World) -> None:
    payment_id = world.paid()
    await world.gateway.cancel(refund_of(payment_id, 30_000))
    await world.gateway.cancel(refund_of(payment_id, 41_000, left=41_000))
    assert world.net(payment_id) == 0
    assert (await seen(world.gateway, payment_id)).status is PaymentStatus.CANCELLED


async def test_a_cancellation_carries_its_refund_in_the_answer_and_in_the_record(world: World) -> None:
    payment_id = world.paid()
    asked = refund_of(payment_id, 30_000)
    answered = await world.gateway.cancel(asked)
    assert answered.quotes(asked.refund_id)
    assert answered.requested_at is not None
    payment = await seen(world.gateway, payment_id)
    assert payment.cancellation(asked.refund_id, asked.amount) == answered
    assert payment.cancellations == (answered,)


async def test_cancel_reaches_a_payment_of_another_store(world: World) -> None:
    payment_id = world.paid(store=OTHER_STORE)
    await world.gateway.cancel(refund_of(payment_id, 71_000, store=OTHER_STORE))
    assert world.net(payment_id) == 0


async def test_the_answer_may_say_failed(world: World) -> None:
    payment_id = world.paid()
    world.faults(Fault("cancel_failed"))
    asked = refund_of(payment_id, 71_000)
    cancellation = await world.gateway.cancel(asked)
    payment = await seen(world.gateway, payment_id)
    assert cancellation.status is CancellationStatus.FAILED
    assert payment.cancellation(asked.refund_id, asked.amount) == cancellation
    assert (payment.status, world.net(payment_id)) == (PaymentStatus.PAID, 71_000)


@pytest.mark.parametrize(
    ("fault", "end", "left"),
    [
        ("cancel_requested", CancellationStatus.SUCCEEDED, 41_000),
        ("cancel_requested_then_failed", CancellationStatus.FAILED, 71_000),
    ],
)
async def test_the_answer_may_say_requested_and_the_record_tells_how_it_ended(
    world: World, fault: str, end: CancellationStatus, left: int
) -> None:
    payment_id = world.paid()
    world.faults(Fault(fault, seconds=60))
    asked = refund_of(payment_id, 30_000)
    assert (await world.gateway.cancel(asked)).status is CancellationStatus.REQUESTED
    waiting = await seen(world.gateway, payment_id)
    assert (waiting.status, waiting.cancelled.minor) == (PaymentStatus.PAID, 0)
    world.fake.clock.set(advance=60)
    ended = (await seen(world.gateway, payment_id)).cancellation(asked.refund_id, asked.amount)
    assert ended is not None
    assert (ended.status, world.net(payment_id)) == (end, left)


async def test_the_same_refund_again_changes_nothing_and_gives_the_same_answer(world: World) -> None:
    payment_id = world.paid()
    asked = refund_of(payment_id, 30_000)
    first = await world.gateway.cancel(asked)
    assert await world.gateway.cancel(asked) == first
    assert world.net(payment_id) == 41_000


async def test_a_refund_whose_answer_was_lost_is_not_carried_out_twice(world: World) -> None:
    payment_id = world.paid()
    world.faults(Fault("cancel_answer_lost", times=1))
    asked = refund_of(payment_id, 30_000)
    with pytest.raises(GatewayUnavailableError):
        await world.gateway.cancel(asked)
    assert world.net(payment_id) == 41_000
    assert (await world.gateway.cancel(asked)).quotes(asked.refund_id)
    assert world.net(payment_id) == 41_000


async def test_another_key_is_another_request_and_what_is_left_guards_the_money(world: World) -> None:
    payment_id = world.paid()
    asked = refund_of(payment_id, 30_000)
    first = await world.gateway.cancel(asked)
    with pytest.raises(GatewayRefusedError) as refused:
        await world.gateway.cancel(replace(asked, key=f"{asked.refund_id}-2"))
    assert refused.value.kind is Refusal.MOVED
    second = await world.gateway.cancel(replace(asked, key=f"{asked.refund_id}-3", left=Money(41_000, "KRW")))
    assert first.id != second.id
    assert world.net(payment_id) == 11_000


async def test_a_refund_that_never_arrived_can_be_asked_for_again(world: World) -> None:
    payment_id = world.paid()
    world.faults(Fault("gateway_5xx", times=1))
    asked = refund_of(payment_id, 30_000)
    with pytest.raises(GatewayUnavailableError):
        await world.gateway.cancel(asked)
    await world.gateway.cancel(asked)
    assert world.net(payment_id) == 41_000


async def test_a_refund_whose_caller_gave_up_is_finished_all_the_same(world: World) -> None:
    payment_id = world.paid()
    world.faults(Fault("gateway_slow", seconds=2 * HURRIED, times=1))
    with pytest.raises(GatewayUnavailableError):
        await world.connect(SECRET, HURRIED).cancel(refund_of(payment_id, 30_000))
    await until(lambda: world.net(payment_id) == 41_000)


async def test_beyond_the_gateways_memory_what_is_left_still_guards_the_money(world: World) -> None:
    payment_id = world.paid()
    asked = refund_of(payment_id, 30_000)
    await world.gateway.cancel(asked)
    world.fake.clock.set(advance=timedelta(hours=3).total_seconds())
    with pytest.raises(GatewayRefusedError) as refused:
        await world.gateway.cancel(asked)
    assert refused.value.code == "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN"
    assert world.net(payment_id) == 41_000


async def test_two_refunds_of_the_same_amount_are_two(world: World) -> None:
    payment_id = world.paid()
    await world.gateway.cancel(refund_of(payment_id, 30_000))
    await world.gateway.cancel(refund_of(payment_id, 30_000, left=41_000))
    assert world.net(payment_id) == 11_000


@pytest.mark.parametrize(("left", "amount"), [(70_999, 30_000), (71_001, 30_000), (41_000, 41_000)])
async def test_cancel_is_refused_when_something_else_is_left(world: World, left: int, amount: int) -> None:
    payment_id = world.paid()
    with pytest.raises(GatewayRefusedError) as refused:
        await world.gateway.cancel(refund_of(payment_id, amount, left=left))
    assert (refused.value.code, refused.value.kind) == ("CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN", Refusal.MOVED)
    assert world.net(payment_id) == 71_000


async def test_cancel_is_refused_beyond_what_is_left(world: World) -> None:
    payment_id = world.paid()
    with pytest.raises(GatewayRefusedError) as refused:
        await world.gateway.cancel(refund_of(payment_id, 71_001))
    assert (refused.value.code, refused.value.kind) == ("CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT", Refusal.MOVED)


async def test_cancel_is_refused_for_good_where_it_was_cancelled_too_often(world: World) -> None:
    payment_id = world.paid()
    world.faults(Fault("cancel_refused"))
    with pytest.raises(GatewayRefusedError) as refused:
        await world.gateway.cancel(refund_of(payment_id, 30_000))
    assert (refused.value.code, refused.value.kind) == ("MAX_CANCEL_COUNT_REACHED", Refusal.NEVER)


async def test_cancel_is_refused_where_more_is_said_to_be_untaxed_than_is(world: World) -> None:
    payment_id = world.paid()
    with pytest.raises(GatewayRefusedError) as refused:
        await world.gateway.cancel(replace(refund_of(payment_id, 30_000), tax_free=Money(1, "KRW")))
    assert refused.value.kind is Refusal.TAX_PART
    assert world.net(payment_id) == 71_000


async def test_cancel_is_refused_for_what_was_never_paid(world: World) -> None:
    payment_id = PaymentId(uuid.uuid4().hex)
    world.fake.buyer.open(payment_id, purchase())
    with pytest.raises(GatewayRefusedError) as refused:
        await world.gateway.cancel(refund_of(payment_id, 71_000))
    assert refused.value.code == "PAYMENT_NOT_PAID"


async def test_cancel_is_refused_where_everything_went_back(world: World) -> None:
    payment_id = world.paid()
    world.fake.buyer.cancel_in_console(payment_id)
    with pytest.raises(GatewayRefusedError) as refused:
        await world.gateway.cancel(refund_of(payment_id, 71_000))
    assert refused.value.code == "PAYMENT_ALREADY_CANCELLED"


async def test_cancel_is_refused_for_a_payment_the_gateway_does_not_know(world: World) -> None:
    with pytest.raises(GatewayRefusedError) as refused:
        await world.gateway.cancel(refund_of(PaymentId("f" * 32), 71_000))
    assert refused.value.code == "PAYMENT_NOT_FOUND"


async def test_cancel_is_busy_while_the_same_refund_is_worked_on(world: World) -> None:
    payment_id = world.paid()
    world.faults(Fault("gateway_slow", seconds=0.5, times=1))
    asked = refund_of(payment_id, 30_000)
    first = asyncio.create_task(world.gateway.cancel(asked))
    await until(lambda: world.fake.faults.on()[0][1] == 1)
    with pytest.raises(GatewayBusyError):
        await world.gateway.cancel(asked)
    answer = await first
    assert await world.gateway.cancel(asked) == answer
    assert world.net(payment_id) == 41_000


async def test_of_twenty_at_once_for_the_whole_sum_one_is_carried_out(world: World) -> None:
    payment_id = world.paid()
    gateway = world.gateway

    async def attempt() -> Cancellation | GatewayError:
        try:
            return await gateway.cancel(refund_of(payment_id, 71_000))
        except GatewayError as error:
            return error

    outcomes = await asyncio.gather(*(attempt() for _ in range(20)))
    assert len([o for o in outcomes if isinstance(o, Cancellation)]) == 1
    assert len([o for o in outcomes if isinstance(o, GatewayRefusedError)]) == 19
    assert world.net(payment_id) == 0


# --- pre_register ---


async def test_pre_register_tells_the_gateway_which_sum_the_payment_must_have(world: World) -> None:
    payment_id = PaymentId(uuid.uuid4().hex)
    await world.gateway.pre_register(payment_id, Money(71_000, "KRW"), Money(1_000, "KRW"))
    assert world.fake.ledger.registered(payment_id) == (71_000, "KRW")
    assert world.fake.ledger.registered_tax_free(payment_id) == 1_000


async def test_pre_register_is_refused_once_it_is_paid(world: World) -> None:
    payment_id = world.paid()
    with pytest.raises(GatewayRefusedError) as refused:
        await world.gateway.pre_register(payment_id, Money(71_000, "KRW"), Money(1_000, "KRW"))
    assert refused.value.code == "ALREADY_PAID"


# --- close_virtual_account ---


@pytest.mark.parametrize("store", [STORE, None])
async def test_a_closed_account_takes_no_deposit(world: World, store: str | None) -> None:
    payment_id = PaymentId(uuid.uuid4().hex)
    world.fake.buyer.issue_account(payment_id, purchase())
    await world.gateway.close_virtual_account(payment_id, store)
    assert (await seen(world.gateway, payment_id)).status is PaymentStatus.FAILED


async def test_close_virtual_account_is_refused_if_none_is_waiting(world: World) -> None:
    with pytest.raises(GatewayRefusedError) as refused:
        await world.gateway.close_virtual_account(world.paid(), STORE)
    assert refused.value.code == "PAYMENT_NOT_WAITING_FOR_DEPOSIT"


# --- changed_page ---


async def test_a_page_holds_the_payments_whose_status_changed_from_the_first_moment_to_the_last(world: World) -> None:
    ids = [world.paid() for _ in range(4)]
    at = [world.fake.ledger.find(payment_id).status_changed_at for payment_id in ids]
    assert set(await names_on(world.gateway, since=at[1], until=at[2])) == set(ids[1:3])


async def test_a_payment_that_changes_again_is_where_it_changed_last(world: World) -> None:
    first, second = world.paid(), world.paid()
    before = world.fake.ledger.find(second).status_changed_at
    world.fake.buyer.cancel_in_console(first)
    assert await names_on(world.gateway, until=before) == [second]
    assert set(await names_on(world.gateway)) == {first, second}


async def test_a_listed_payment_is_the_whole_record(world: World) -> None:
    payment_id = world.paid()
    world.fake.buyer.cancel_in_console(payment_id, 1_000)
    assert list((await page_of(world.gateway)).payments) == [await world.gateway.get(payment_id)]


async def test_a_page_holds_the_payments_of_the_store_that_was_asked_for(world: World) -> None:
    theirs, ours = world.paid(store=OTHER_STORE), world.paid()
    assert await names_on(world.gateway) == [ours]
    assert await names_on(world.gateway, store=OTHER_STORE) == [theirs]


async def test_pages_hold_so_many_each_fewer_on_the_last_and_none_after_it(world: World) -> None:
    ids = {world.paid() for _ in range(25)}
    pages = [await names_on(world.gateway, number, 10) for number in range(4)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert {name for page in pages for name in page} == ids


async def test_every_page_names_how_many_there_are_in_all_of_the_time(world: World) -> None:
    ids = [world.paid() for _ in range(25)]
    at = world.fake.ledger.find(ids[20]).status_changed_at
    assert [(await page_of(world.gateway, number, 10)).total for number in range(4)] == [25] * 4
    assert (await page_of(world.gateway, 0, 10, until=at)).total == 21
    assert (await page_of(world.gateway, until=AGES_AGO)).total == 0


async def test_nobody_pages_past_so_many(world: World) -> None:
    world.paid()
    assert await names_on(world.gateway, 1, PAGED_MOST // 2) == []
    with pytest.raises(GatewayError):
        await page_of(world.gateway, 2, PAGED_MOST // 2)


async def test_a_record_of_an_unknown_status_is_listed_among_the_others(world: World) -> None:
    first, second = world.paid(), world.paid()
    world.faults(Fault("unknown_status", match=first))
    listed = (await page_of(world.gateway)).payments
    assert {(p.id, p.status, p.said) for p in listed} == {
        (first, PaymentStatus.UNKNOWN, "ON_HOLD"),
        (second, PaymentStatus.PAID, "PAID"),
    }
