"""Webhook, return, timer and refund on one order: whichever comes, in whichever order, the end is the same."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from application.errors import GatewayUnavailableError, IdempotencyKeyReusedError, OrderNotFoundError
from application.handle_webhook_event import WebhookOutcome
from application.put_product import PutProductCommand
from application.refund_order import RefundOrderCommand
from domain.attention import AttentionKind
from domain.errors import OrderNotCancellableError, RefundNotPossibleError
from domain.ids import OrderId, ProductId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.payment import PaymentStatus
from domain.policy import Policy
from domain.refund import RefundStatus
from domain.schedule import LAGGING
from fake_portone.faults import Fault

COMPLETED, CANCELLED, PENDING = OrderStatus.COMPLETED, OrderStatus.CANCELLED, OrderStatus.PENDING


async def test_a_webhook_for_a_paid_order_completes_it(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    assert await world.webhook(placed) is WebhookOutcome.RECONCILED
    record = await world.record(placed)
    assert record.order.status is COMPLETED
    assert record.order.check_at is None
    assert await world.kinds(placed) == ["placed", "payment_observed", "completed"]


async def test_the_same_webhook_again_is_a_duplicate_and_changes_nothing(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    event = world.event(placed)
    await world.handle_webhook_event(event)
    before = await world.record(placed)
    assert await world.handle_webhook_event(event) is WebhookOutcome.DUPLICATE
    assert await world.record(placed) == before


async def test_a_webhook_that_was_seen_costs_the_gateway_nothing(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    event = world.event(placed)
    await world.handle_webhook_event(event)
    world.faults(Fault(name="gateway_5xx", times=1))
    assert await world.handle_webhook_event(event) is WebhookOutcome.DUPLICATE
    await world.verify_payment(placed.order.id, placed.token)
    assert world.faults_left() == 1, "an order at rest is not asked about either"


async def test_a_webhook_that_changes_nothing_is_kept_all_the_same(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    await world.webhook(placed)
    event = world.event(placed)
    assert await world.handle_webhook_event(event) is WebhookOutcome.RECONCILED
    assert await world.handle_webhook_event(event) is WebhookOutcome.DUPLICATE


async def test_a_webhook_that_left_its_order_open_is_a_duplicate_when_it_comes_again(world: Any) -> None:
    event = world.event(await world.place(), "Transaction.Ready", implies=frozenset())
    assert await world.handle_webhook_event(event) is WebhookOutcome.RECONCILED
    assert await world.handle_webhook_event(event) is WebhookOutcome.DUPLICATE


async def test_each_webhook_is_kept_with_what_became_of_it_and_when_it_came(overheard_world: Any) -> None:
    world = overheard_world
    placed = await world.place()
    ignored, stored, reconciled = (
        replace(world.event(placed), understood=False),
        world.event(placed),
        world.event(placed),
    )
    outcomes = [await world.handle_webhook_event(ignored)]
    world.faults(Fault(name="gateway_5xx"))
    outcomes.append(await world.handle_webhook_event(stored))
    world.faults()
    outcomes.append(await world.handle_webhook_event(reconciled))
    kept = [asked for name, asked in world.store.heard if name == "add"]
    assert kept == [
        (event, word, world.now()) for event, word in zip((ignored, stored, reconciled), outcomes, strict=True)
    ]
    outcomes.append(await world.handle_webhook_event(reconciled))
    assert outcomes == ["ignored", "stored", "reconciled", "duplicate"]


async def test_an_order_that_nobody_changed_is_not_read_again_to_reconcile_it(overheard_world: Any) -> None:
    world = overheard_world
    placed = await world.place()
    world.store.heard.clear()
    first = await world.reconcile(placed.order, None, on_schedule=True)
    assert [name for name, _ in world.store.heard] == ["writing"]
    assert first.order.checks == 1
    again = await world.reconcile(placed.order, None, on_schedule=True)
    assert [name for name, _ in world.store.heard] == ["writing"] * 2 + ["reading", "writing"]
    assert again.order == first.order, "an order that somebody changed is read, and decided anew; his plan stands"


async def test_news_notifies_whoever_follows_the_order_and_nothing_else_does(world: Any) -> None:
    placed, other = await world.place(("programme", 1)), await world.place(("programme", 1))
    event = world.event(placed)
    world.pay(placed)
    with world.notifier.subscribe(placed.order.id) as subscription, world.notifier.subscribe(other.order.id) as others:
        await world.reconcile(placed.order, None, on_schedule=True)
        assert not await subscription.wait(0), "nothing new was found"
        await world.handle_webhook_event(event)
        assert await subscription.wait(0)
        order = (await world.record(placed)).order
        twice = await world.reconcile(order, None, event=event)
        assert (twice.duplicate, twice.order, twice.close_account) == (True, order, False)
        assert not await subscription.wait(0), "a duplicate is not news"
        await refund(world, placed, 1)
        assert await subscription.wait(0)
        assert not await others.wait(0)


async def test_a_webhook_without_news_leaves_the_stored_order_alone(world: Any) -> None:
    placed = await completed(world)
    before = (await world.record(placed)).order
    assert await world.webhook(placed) is WebhookOutcome.RECONCILED
    assert (await world.record(placed)).order == before


async def test_an_order_that_is_not_there_cannot_be_reconciled_or_refunded(world: Any) -> None:
    placed = await world.place()
    missing = replace(placed.order, id=OrderId("f" * 32))
    with pytest.raises(OrderNotFoundError, match=r"there is no order f{32}"):
        await world.reconcile(missing, None, on_schedule=True)
    with pytest.raises(OrderNotFoundError, match=r"there is no order 'f{32}'"):
        await refund(world, replace(placed, order=missing), 1)


async def test_two_workers_at_once_check_an_order_once(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    world.pass_time(seconds=40)
    checks = await asyncio.gather(*(world.check_due_orders() for _ in range(5)))
    assert sum(len(checked) for checked in checks) == 1
    assert (await world.record(placed)).order.status is COMPLETED


async def test_a_check_that_the_gateway_spoilt_says_why_and_is_no_error_of_ours(world: Any) -> None:
    await world.place()
    world.faults(Fault(name="gateway_5xx"))
    (checked,) = await world.check(seconds=40)
    assert checked.error is None
    assert checked.failure


async def test_a_hundred_copies_at_once_reconcile_once(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    event = world.event(placed)
    outcomes = await asyncio.gather(*(world.handle_webhook_event(event) for _ in range(100)))
    assert sorted(outcomes).count(WebhookOutcome.RECONCILED) == 1
    assert outcomes.count(WebhookOutcome.DUPLICATE) == 99
    assert (await world.kinds(placed)).count("completed") == 1


async def test_a_webhook_about_nothing_of_ours_is_kept_and_ignored(world: Any) -> None:
    placed = await world.place()
    elsewhere = world.event(placed)
    world.pay(placed)
    for event in (
        replace(elsewhere, payment_id=None),
        replace(elsewhere, id="other", payment_id="not-ours"),
        replace(elsewhere, id="strange", type="Transaction.Reincarnated", understood=False),
    ):
        assert await world.handle_webhook_event(event) is WebhookOutcome.IGNORED
        assert await world.handle_webhook_event(event) is WebhookOutcome.DUPLICATE
    assert (await world.record(placed)).order.status is PENDING


async def test_a_webhook_says_paid_and_the_record_lags_so_it_is_checked_soon(world: Any) -> None:
    placed = await world.place()
    world.fake.buyer.open(placed.order.payment_id, world.purchase(placed))
    assert await world.webhook(placed) is WebhookOutcome.RECONCILED
    order = (await world.record(placed)).order
    assert order.status is PENDING
    assert order.check_at is not None
    assert (order.check_at - world.now()).total_seconds() == 3
    world.pay(placed)
    await world.check(seconds=3)
    assert (await world.record(placed)).order.status is COMPLETED


@pytest.mark.parametrize("fault", ["gateway_5xx", "gateway_html", "gateway_truncated", "gateway_slow"])
async def test_a_webhook_that_meets_a_gateway_in_trouble_is_stored_and_checked_at_once(
    new_world: Any, fault: str
) -> None:
    world = await new_world(budget=0.05)
    placed = await world.place()
    world.pay(placed)
    world.faults(Fault(name=fault))
    event = world.event(placed)
    assert await world.handle_webhook_event(event) is WebhookOutcome.STORED
    assert await world.handle_webhook_event(event) is WebhookOutcome.DUPLICATE
    order = (await world.record(placed)).order
    assert (order.status, order.check_at) == (PENDING, world.now())
    world.faults()
    await world.check()
    assert (await world.record(placed)).order.status is COMPLETED


async def test_a_lost_webhook_is_made_up_for_by_a_check(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    await world.check(seconds=40)
    assert (await world.record(placed)).order.status is COMPLETED


async def test_a_declined_payment_leaves_the_order_open_and_a_second_try_completes_it(world: Any) -> None:
    placed = await world.place()
    world.fake.buyer.fail(placed.order.payment_id, world.purchase(placed))
    await world.webhook(placed, "Transaction.Failed", implies=frozenset())
    assert (await world.record(placed)).order.status is PENDING
    world.pay(placed)
    await world.webhook(placed)
    assert (await world.record(placed)).order.status is COMPLETED


async def test_an_unpaid_order_expires_after_asking_and_gives_its_seat_back(world: Any) -> None:
    placed = await world.place()
    await world.check(minutes=16)
    record = await world.record(placed)
    assert (record.order.status, record.order.reason) == (CANCELLED, CancelReason.EXPIRED)
    assert await world.available("seat") == 1
    await world.rest(placed)


async def test_an_order_does_not_expire_while_the_gateway_cannot_be_asked(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    world.faults(Fault(name="gateway_5xx"))
    for _ in range(8):
        await world.check(minutes=10)
    order = (await world.record(placed)).order
    assert order.status is PENDING
    assert order.attention is not None
    world.faults()
    record = await world.rest(placed)
    assert record.order.status is COMPLETED
    assert record.order.attention is None


async def test_a_channel_type_that_nobody_knows_gives_nothing_back_and_waits_for_a_person(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    world.faults(Fault(name="unknown_channel_type"))
    await world.webhook(placed)
    world.pass_time(hours=1)
    for _ in range(3):
        await world.check(minutes=5)
    record = await world.record(placed)
    assert (record.order.status, record.refunds) == (PENDING, [])
    assert record.order.attention.kind is AttentionKind.UNKNOWN_CHANNEL
    assert "'SANDBOX'" in record.order.attention.why
    assert world.net(placed) == 355_000
    assert not (await world.audit_payments()).is_clean
    world.faults()
    record = await world.rest(placed)
    assert (record.order.status, record.order.attention) == (COMPLETED, None)
    assert (await world.audit_payments()).is_clean


@pytest.mark.parametrize("answer", ["honest", "cancel_answer_lost", "cancel_failed", "cancel_requested"])
async def test_late_money_goes_back_in_full_whatever_the_gateway_answers(world: Any, answer: str) -> None:
    placed = await world.place()
    await world.check(minutes=16)
    world.pay(placed)
    if answer != "honest":
        world.faults(Fault(name=answer, times=1))
    await world.webhook(placed)
    record = await world.rest(placed)
    assert (record.order.status, record.order.reason) == (CANCELLED, CancelReason.EXPIRED)
    assert world.net(placed) == 0
    assert record.order.refunded == Money(355_000, "KRW")
    ends = [refund.status for refund in record.refunds]
    assert ends.count(RefundStatus.SUCCEEDED) == 1
    assert len(ends) == (2 if answer == "cancel_failed" else 1)
    assert await world.available("seat") == 1


@pytest.mark.parametrize(
    ("tampered", "differs"),
    [
        ({"total": 1_000}, ["amount"]),
        ({"currency": "USD"}, ["currency"]),
        ({"store_id": "store-2"}, ["store"]),
        ({"channel_type": "TEST"}, ["channel"]),
        ({"total": 1, "currency": "JPY", "channel_type": "TEST"}, ["channel", "amount", "currency"]),
    ],
)
async def test_a_payment_that_is_not_what_was_ordered_is_given_back_and_named(
    world: Any, tampered: dict[str, Any], differs: list[str]
) -> None:
    placed = await world.place()
    world.pay(placed, **tampered)
    await world.webhook(placed)
    record = await world.rest(placed)
    assert (record.order.status, record.order.reason) == (CANCELLED, CancelReason.MISMATCH)
    assert world.net(placed) == 0
    assert [refund.status for refund in record.refunds] == [RefundStatus.SUCCEEDED]
    assert next(e.data["differs"] for e in record.history if e.kind == "cancelled") == differs


async def test_no_other_webhook_puts_a_refund_off_that_is_due(world: Any) -> None:
    placed = await world.place()
    world.pay(placed, total=1_000)
    await world.webhook(placed, "Transaction.Paid")
    await world.webhook(placed, "Transaction.Ready", implies=frozenset())
    assert (await world.record(placed)).order.check_at == world.now()


async def test_the_order_of_events_makes_no_difference_in_the_end(world: Any) -> None:
    ways: list[Callable[[Any], Awaitable[Any]]] = [
        lambda placed: world.webhook(placed, "Transaction.Ready", implies=frozenset()),
        lambda placed: world.webhook(placed, "Transaction.Paid"),
        lambda placed: world.verify_payment(placed.order.id, placed.token),
        lambda _placed: world.check(seconds=40),
    ]
    for order in itertools.permutations(ways):
        placed = await world.place(("programme", 1))
        world.pay(placed)
        for way in order:
            await way(placed)
        record = await world.rest(placed)
        assert record.order.status is COMPLETED
        assert await world.kinds(placed) == ["placed", "payment_observed", "completed"]


async def test_everybody_at_once_makes_one_transition_and_one_refund(world: Any) -> None:
    placed = await world.place()
    world.pay(placed, total=1_000)
    event = world.event(placed)
    world.pass_time(seconds=40)
    await asyncio.gather(
        *(world.handle_webhook_event(event) for _ in range(100)),
        *(world.verify_payment(placed.order.id, placed.token) for _ in range(20)),
        *(world.check_due_orders() for _ in range(5)),
    )
    record = await world.rest(placed)
    kinds = [entry.kind.value for entry in record.history]
    assert kinds.count("cancelled") == 1
    assert len(record.refunds) == 1
    assert world.net(placed) == 0
    assert [entry.seq for entry in record.history] == list(range(1, len(kinds) + 1))


# --- the buyer comes back, or gives up ---------------------------------------------------------------------------


async def test_coming_back_reconciles_the_order(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    assert (await world.verify_payment(placed.order.id, placed.token)).status is COMPLETED


async def test_coming_back_while_the_gateway_is_down_answers_the_order_as_it_stands(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    world.faults(Fault(name="gateway_5xx"))
    assert (await world.verify_payment(placed.order.id, placed.token)).status is PENDING


async def test_everybody_who_returns_at_once_is_told_what_the_one_check_found(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    world.faults(Fault(name="gateway_slow", seconds=0.01))
    orders = await asyncio.gather(*(world.verify_payment(placed.order.id, placed.token) for _ in range(20)))
    assert {order.status for order in orders} == {COMPLETED}


async def test_twenty_returns_at_once_ask_the_gateway_once(world: Any) -> None:
    placed = await world.place()
    world.faults(Fault(name="gateway_5xx", times=1, match="get"))
    world.pay(placed)
    orders = await asyncio.gather(*(world.verify_payment(placed.order.id, placed.token) for _ in range(20)))
    assert {order.status for order in orders} == {PENDING}, "the one question failed, and no other was asked"
    world.pass_time(seconds=1)
    assert (await world.verify_payment(placed.order.id, placed.token)).status is COMPLETED


@pytest.mark.parametrize("what", ["token", "order"])
async def test_a_wrong_token_and_a_wrong_order_are_told_alike(world: Any, what: str) -> None:
    placed = await world.place()
    order_id = placed.order.id if what == "token" else OrderId("f" * 32)
    token = "not the token" if what == "token" else placed.token
    said = set()
    for use_case in (world.read_order, world.verify_payment, world.cancel_order):
        with pytest.raises(OrderNotFoundError) as caught:
            await use_case(order_id, token)
        said.add(str(caught.value))
    assert said == {"there is no such order, or this token is not its token"}


async def test_the_buyer_gives_up_an_unpaid_order(world: Any) -> None:
    placed = await world.place()
    order = await world.cancel_order(placed.order.id, placed.token)
    assert (order.status, order.reason) == (CANCELLED, CancelReason.ABANDONED)
    assert await world.available("seat") == 1
    assert await world.cancel_order(placed.order.id, placed.token) == order


async def test_a_paid_order_cannot_be_given_up_and_is_completed_instead(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    with pytest.raises(OrderNotCancellableError, match="is paid"):
        await world.cancel_order(placed.order.id, placed.token)
    assert (await world.record(placed)).order.status is COMPLETED


async def test_an_order_whose_payment_is_under_way_cannot_be_given_up(world: Any) -> None:
    placed = await world.place()
    world.fake.buyer.pend(placed.order.payment_id, world.purchase(placed))
    with pytest.raises(OrderNotCancellableError, match="being worked on"):
        await world.cancel_order(placed.order.id, placed.token)
    assert (await world.record(placed)).order.status is PENDING


async def test_nothing_is_given_up_while_the_gateway_cannot_say(world: Any) -> None:
    placed = await world.place()
    world.faults(Fault(name="gateway_5xx"))
    with pytest.raises(GatewayUnavailableError):
        await world.cancel_order(placed.order.id, placed.token)
    assert (await world.record(placed)).order.status is PENDING


async def test_giving_up_closes_the_account_that_waits_for_a_deposit(world: Any) -> None:
    placed = await world.place()
    world.fake.buyer.issue_account(placed.order.payment_id, world.purchase(placed))
    await world.cancel_order(placed.order.id, placed.token)
    assert world.fake.ledger.find(placed.order.payment_id).status != "VIRTUAL_ACCOUNT_ISSUED"


async def test_an_account_is_closed_in_the_store_it_was_issued_in(overheard_world: Any) -> None:
    world = overheard_world
    given_up, expired = await world.place(("programme", 1)), await world.place(("programme", 1))
    for placed in (given_up, expired):
        world.fake.buyer.issue_account(placed.order.payment_id, world.purchase(placed, store_id="store-2"))
    await world.cancel_order(given_up.order.id, given_up.token)
    await world.rest(expired)
    closed = [asked for name, asked in world.store.heard if name == "close_virtual_account"]
    assert closed == [(given_up.order.payment_id, "store-2"), (expired.order.payment_id, "store-2")]


async def test_where_no_account_was_issued_none_is_closed(overheard_world: Any) -> None:
    world = overheard_world
    placed = await world.place()
    world.fake.buyer.open(placed.order.payment_id, world.purchase(placed))
    await world.cancel_order(placed.order.id, placed.token)
    assert "close_virtual_account" not in [name for name, _ in world.store.heard]


async def test_an_account_that_could_not_be_closed_is_closed_by_a_later_check(world: Any) -> None:
    placed = await world.place()
    world.fake.buyer.issue_account(placed.order.payment_id, world.purchase(placed))
    world.faults(Fault(name="gateway_5xx", match="close_virtual_account"))
    await world.cancel_order(placed.order.id, placed.token)
    assert world.fake.ledger.find(placed.order.payment_id).status == "VIRTUAL_ACCOUNT_ISSUED"
    world.faults()
    await world.rest(placed)
    assert world.fake.ledger.find(placed.order.payment_id).status != "VIRTUAL_ACCOUNT_ISSUED"


async def test_an_account_that_cannot_be_closed_is_tried_until_it_is(world: Any) -> None:
    placed = await world.place()
    world.fake.buyer.issue_account(placed.order.payment_id, world.purchase(placed))
    world.faults(Fault(name="gateway_5xx", match="close_virtual_account"))
    await world.cancel_order(placed.order.id, placed.token)
    for _ in range(12):
        await world.check(hours=2)
    order = (await world.record(placed)).order
    assert order.check_at is not None
    assert order.attention is not None
    world.faults()
    record = await world.rest(placed)
    assert world.fake.ledger.find(placed.order.payment_id).status != "VIRTUAL_ACCOUNT_ISSUED"
    assert record.order.attention is None


async def test_a_deposit_after_the_orders_own_time_completes_it_where_the_shop_allows_for_it(new_world: Any) -> None:
    world = await new_world(policy=Policy(deposit_within=timedelta(days=1)))
    placed = await world.place()
    world.fake.buyer.issue_account(placed.order.payment_id, world.purchase(placed))
    await world.webhook(placed, "Transaction.VirtualAccountIssued", implies=frozenset())
    await world.check(hours=2)
    assert (await world.record(placed)).order.status is PENDING
    world.fake.buyer.deposit(placed.order.payment_id)
    await world.webhook(placed)
    assert (await world.record(placed)).order.status is COMPLETED


# --- refunds -----------------------------------------------------------------------------------------------------


async def completed(world: Any) -> Any:
    placed = await world.place()
    world.pay(placed)
    await world.webhook(placed)
    return placed


async def refund(world: Any, placed: Any, minor: int | None, key: str | None = None) -> Any:
    command = RefundOrderCommand(
        order_id=placed.order.id,
        amount=None if minor is None else Money(minor, "KRW"),
        reason="asked",
        requested_by="merchant:1",
        idempotency_key=key or world.new_id(),
    )
    return await world.refund_order(command)


async def test_a_refund_that_is_asked_for_again_is_the_same_one(world: Any) -> None:
    """Whoever got no answer asks again; also once the money is back."""
    placed = await completed(world)
    first = await refund(world, placed, 55_000, key="mine")
    assert await refund(world, placed, 55_000, key="mine") == first
    await world.rest(placed)
    again = await refund(world, placed, 55_000, key="mine")
    assert (again.id, again.status) == (first.id, RefundStatus.SUCCEEDED)
    assert world.net(placed) == 300_000


async def test_a_refund_is_named_by_128_bits_like_everything_else(world: Any) -> None:
    asked = await refund(world, await completed(world), 55_000)
    assert re.fullmatch(r"[0-9a-f]{32}", asked.id)


async def test_a_refund_the_bank_is_thinking_about_holds_up_no_other(overheard_world: Any) -> None:
    world = overheard_world
    placed = await completed(world)
    first = await refund(world, placed, 100_000)
    world.faults(Fault(name="cancel_requested", times=1, seconds=6 * 60 * 60))
    await world.check()
    world.pass_time(seconds=1)
    second = await refund(world, placed, 55_000)
    world.store.heard.clear()
    await world.check()
    asked = [told[0].refund_id for name, told in world.store.heard if name == "cancel"]
    assert set(asked) == {second.id}, "and not the first again"
    world.pass_time(hours=6)
    record = await world.rest(placed)
    assert {each.id: each.status for each in record.refunds} == dict.fromkeys(
        (first.id, second.id), RefundStatus.SUCCEEDED
    )
    assert world.net(placed) == 200_000


async def test_all_that_is_left_can_be_asked_for_again_when_nothing_is_left(world: Any) -> None:
    placed = await completed(world)
    first = await refund(world, placed, None, key="mine")
    await world.rest(placed)
    assert (await refund(world, placed, None, key="mine")).id == first.id


async def test_one_key_asks_for_one_sum(world: Any) -> None:
    placed = await completed(world)
    await refund(world, placed, 55_000, key="mine")
    with pytest.raises(IdempotencyKeyReusedError, match="55000 KRW"):
        await refund(world, placed, 55_001, key="mine")


async def test_another_key_is_another_refund(world: Any) -> None:
    placed = await completed(world)
    await refund(world, placed, 55_000, key="one")
    await refund(world, placed, 55_000, key="two")
    await world.rest(placed)
    assert world.net(placed) == 245_000


async def test_one_key_for_two_orders_is_two_refunds(world: Any) -> None:
    first = await world.place(("programme", 1))
    second = await world.place(("programme", 1))
    for placed in (first, second):
        world.pay(placed)
        await world.webhook(placed)
        await refund(world, placed, 1_000, key="mine")
        await world.rest(placed)
        assert world.net(placed) == 19_000


async def test_a_refund_asked_for_twice_at_once_is_one(world: Any) -> None:
    placed = await completed(world)
    first, second = await asyncio.gather(*(refund(world, placed, 55_000, key="mine") for _ in range(2)))
    assert first == second
    await world.rest(placed)
    assert world.net(placed) == 300_000


async def test_a_partial_refund_leaves_the_order_completed(world: Any) -> None:
    placed = await completed(world)
    await refund(world, placed, 55_000)
    record = await world.rest(placed)
    assert record.order.status is COMPLETED
    assert record.order.refunded == Money(55_000, "KRW")
    assert world.net(placed) == 300_000


async def test_a_full_refund_cancels_the_order_and_gives_the_seat_back(world: Any) -> None:
    placed = await completed(world)
    await refund(world, placed, None)
    record = await world.rest(placed)
    assert (record.order.status, record.order.reason) == (CANCELLED, CancelReason.REFUNDED)
    assert world.net(placed) == 0
    assert await world.available("seat") == 1


async def test_a_refund_is_kept_with_who_asked_for_it_and_why(world: Any) -> None:
    placed = await completed(world)
    asked = await refund(world, placed, 100_000)
    (kept,) = (await world.record(placed)).refunds
    assert kept == asked
    assert (kept.reason, kept.requested_by, kept.requested_at) == ("asked", "merchant:1", world.now())


async def test_the_gateway_is_told_which_store_gives_how_much_back_and_why(overheard_world: Any) -> None:
    world = overheard_world
    placed = await world.place()
    world.pay(placed, store_id="store-2")
    await world.webhook(placed)
    record = await world.rest(placed)
    (cancel,) = [asked[0] for name, asked in world.store.heard if name == "cancel"]
    assert (cancel.payment_id, cancel.store_id) == (placed.order.payment_id, "store-2")
    assert cancel.refund_id == record.refunds[0].id
    assert (cancel.amount, cancel.left) == (Money(355_000, "KRW"), Money(355_000, "KRW"))
    assert cancel.reason == "order MISMATCH"


async def test_a_refund_asked_for_while_the_bank_thinks_about_another_is_carried_out_in_the_end(world: Any) -> None:
    placed = await completed(world)
    world.faults(Fault(name="cancel_requested", times=1, seconds=60 * 60))
    await refund(world, placed, 100_000)
    await world.check()
    await refund(world, placed, 200_000)
    record = await world.rest(placed)
    assert [r.status for r in record.refunds] == [RefundStatus.SUCCEEDED, RefundStatus.SUCCEEDED]
    assert world.net(placed) == 55_000


class FasterConsole:
    """Behind every cancel of ours, somebody takes 100,000 more in the console."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.console: Callable[..., Any] | None = None

    async def cancel(self, cancel: Any) -> Any:
        done = await self._inner.cancel(cancel)
        if self.console is not None:
            self.console(cancel.payment_id, 100_000)
            self.console = None
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def test_a_refund_that_became_impossible_between_two_others_holds_up_neither(new_world: Any) -> None:
    world = await new_world(FasterConsole)
    placed = await completed(world)
    for minor in (100_000, 200_000, 50_000):
        await refund(world, placed, minor)
    world.gateway.console = world.fake.buyer.cancel_in_console
    await world.check()
    ends = {r.amount.minor: r.status for r in (await world.record(placed)).refunds}
    assert ends == {
        100_000: RefundStatus.SUCCEEDED,
        200_000: RefundStatus.FAILED,
        50_000: RefundStatus.SUCCEEDED,
    }
    assert world.net(placed) == 105_000


async def test_products_go_back_in_the_order_in_which_every_unit_takes_them(overheard_world: Any) -> None:
    world = overheard_world
    book = PutProductCommand(id=ProductId("programme"), name="프로그램 북", price=Money(20_000, "KRW"), capacity=9)
    await world.put_product(book)
    placed = await world.place(("seat", 1), ("programme", 2))
    await world.cancel_order(placed.order.id, placed.token)
    taken = [asked for name, asked in world.store.heard if name == "hold"]
    returned = [asked for name, asked in world.store.heard if name == "release"]
    assert taken == returned == [("programme", 2), ("seat", 1)], "or two units could wait for each other"


async def test_what_had_no_limit_took_nothing_and_nothing_goes_back(overheard_world: Any) -> None:
    world = overheard_world
    placed = await world.place(("seat", 1), ("programme", 2))
    await world.cancel_order(placed.order.id, placed.token)
    assert [asked for name, asked in world.store.heard if name == "release"] == [("seat", 1)]


async def test_two_refunds_at_once_never_give_back_more_than_was_paid(world: Any) -> None:
    placed = await completed(world)
    wanted = [refund(world, placed, 200_000) for _ in range(10)]
    results = await asyncio.gather(*wanted, return_exceptions=True)
    assert sum(isinstance(result, RefundNotPossibleError) for result in results) == 9
    await world.rest(placed)
    assert world.net(placed) == 155_000


async def test_two_equal_partial_refunds_are_both_carried_out(world: Any) -> None:
    placed = await completed(world)
    await refund(world, placed, 100_000)
    await refund(world, placed, 100_000)
    record = await world.rest(placed)
    assert [r.status for r in record.refunds] == [RefundStatus.SUCCEEDED, RefundStatus.SUCCEEDED]
    assert world.net(placed) == 155_000


async def test_a_partial_refund_whose_answer_was_lost_is_not_carried_out_twice(world: Any) -> None:
    placed = await completed(world)
    world.faults(Fault(name="cancel_answer_lost", times=1))
    await refund(world, placed, 100_000)
    record = await world.rest(placed)
    assert [r.status for r in record.refunds] == [RefundStatus.SUCCEEDED]
    assert world.net(placed) == 255_000


async def test_a_cancellation_the_bank_thinks_about_for_hours_is_asked_for_once(world: Any) -> None:
    placed = await completed(world)
    world.faults(Fault(name="cancel_requested", times=1, seconds=6 * 60 * 60))
    await refund(world, placed, None)
    for _ in range(10):
        await world.check(minutes=30)
    order = (await world.record(placed)).order
    assert (order.owed.minor, order.failures) == (355_000, 0)
    assert len(world.fake.ledger.find(placed.order.payment_id).cancellations) == 1


async def test_a_failure_that_only_the_answer_told_of_is_asked_for_again(forgetful_world: Any) -> None:
    world = forgetful_world
    placed = await world.place()
    world.pay(placed, total=1_000)
    world.faults(Fault(name="cancel_failed", times=1))
    await world.webhook(placed)
    record = await world.rest(placed, within=6)
    assert [r.status for r in record.refunds] == [RefundStatus.FAILED, RefundStatus.SUCCEEDED]
    assert world.net(placed) == 0


async def test_an_unpaid_order_has_nothing_to_refund(world: Any) -> None:
    placed = await world.place()
    with pytest.raises(RefundNotPossibleError):
        await refund(world, placed, 1)


async def test_a_cancellation_in_the_console_is_taken_over(world: Any) -> None:
    placed = await completed(world)
    world.fake.buyer.cancel_in_console(placed.order.payment_id, 55_000)
    await world.webhook(placed, "Transaction.PartialCancelled")
    assert (await world.record(placed)).order.refunded == Money(55_000, "KRW")
    world.fake.buyer.cancel_in_console(placed.order.payment_id)
    await world.webhook(placed, "Transaction.Cancelled")
    order = (await world.record(placed)).order
    assert (order.status, order.reason) == (CANCELLED, CancelReason.REFUNDED)


async def test_the_console_was_faster_than_our_refund(world: Any) -> None:
    placed = await completed(world)
    await refund(world, placed, 300_000)
    world.fake.buyer.cancel_in_console(placed.order.payment_id)
    record = await world.rest(placed)
    assert [r.status for r in record.refunds] == [RefundStatus.FAILED]
    assert (record.order.status, record.order.owed.minor) == (CANCELLED, 0)
    assert world.net(placed) == 0


async def test_an_unknown_status_changes_nothing_and_asks_for_a_person(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    world.faults(Fault(name="unknown_status"))
    await world.webhook(placed)
    order = (await world.record(placed)).order
    assert order.status is PENDING
    assert order.attention.kind is AttentionKind.UNKNOWN_STATUS
    assert "does not know" in order.attention.why
    world.faults()
    record = await world.rest(placed)
    assert record.order.status is COMPLETED
    assert record.order.attention is None


async def test_an_announcement_that_the_record_does_not_show_is_checked_after_whatever_is_due_now(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    await world.webhook(placed)
    await refund(world, placed, 1)
    event = replace(world.event(placed, "Transaction.Cancelled"), implies=frozenset({PaymentStatus.CANCELLED}))
    assert await world.handle_webhook_event(event) is WebhookOutcome.RECONCILED
    assert (await world.record(placed)).order.check_at == world.now() + LAGGING


async def test_a_check_ends_only_the_plan_that_it_was_for(world: Any) -> None:
    placed = await world.place()
    soon = world.now() + LAGGING
    assert soon < placed.order.check_at
    await world.handle_webhook_event(replace(world.event(placed), implies=frozenset({PaymentStatus.PAID})))
    await world.reconcile(placed.order, None, on_schedule=True)
    assert (await world.record(placed)).order.check_at == soon, "what somebody planned since stands"
    for _ in range(5):  # the last of which would be tried again after half a minute
        await world.reconcile.failed(placed.order, "503")
    assert (await world.record(placed)).order.check_at <= soon, "nor is it put off by a check that failed"
