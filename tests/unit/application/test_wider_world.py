"""The gateway as it may really be: it announces and lags, forgets, takes its time, and undoes what it said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from application.handle_webhook_event import WebhookOutcome
from domain.attention import AttentionKind
from domain.ids import PaymentId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.payment import Payment, PaymentStatus
from domain.policy import Policy
from fake_portone.faults import Fault
from fake_portone.ledger import Cancel

COMPLETED, CANCELLED, PENDING = OrderStatus.COMPLETED, OrderStatus.CANCELLED, OrderStatus.PENDING
PRICE = 355_000
UNDER_WAY = frozenset({PaymentStatus.PAY_PENDING, PaymentStatus.PAID})


class Gateway:
    """The gateway before which it stands; while ``says`` is set, that is its record, and None is none."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.says: Any = ...
        self.asked = 0

    async def get(self, payment_id: PaymentId) -> Payment | None:
        self.asked += 1
        said: Payment | None = await self._inner.get(payment_id) if self.says is ... else self.says
        return said

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture
async def shop(new_world: Any) -> Any:
    return await new_world(Gateway)


async def completed(world: Any) -> Any:
    placed = await world.place()
    world.pay(placed)
    await world.webhook(placed)
    return placed


async def standing(world: Any, placed: Any) -> tuple[OrderStatus, CancelReason | None, AttentionKind | None]:
    order = (await world.record(placed)).order
    return order.status, order.reason, order.attention and order.attention.kind


async def checks(world: Any, minutes: int) -> None:
    for _ in range(minutes):
        await world.check(minutes=1)


# --- announced, seen, vanished ----------------------------------------------------------------------------------


@pytest.mark.parametrize("record", ["READY", "FAILED", "nothing"])
async def test_a_payment_announced_in_the_last_minutes_is_waited_for_and_completes_the_order(
    shop: Any, record: str
) -> None:
    placed = await shop.place()
    shop.fake.buyer.open(placed.order.payment_id, shop.purchase(placed))
    if record == "FAILED":
        shop.fake.buyer.fail(placed.order.payment_id, shop.purchase(placed))
    lagging = None if record == "nothing" else await shop.gateway.get(placed.order.payment_id)
    shop.pass_time(minutes=14, seconds=55)
    shop.gateway.says = lagging
    await shop.webhook(placed)
    await checks(shop, 25)
    assert (await standing(shop, placed))[0] is PENDING
    assert await shop.available("seat") == 0

    shop.gateway.says = ...
    shop.pay(placed)
    await shop.rest(placed)
    assert await standing(shop, placed) == (COMPLETED, None, None)


async def test_a_second_cancel_of_a_part_that_the_record_does_not_list_yet_is_asked_for_again(shop: Any) -> None:
    placed = await completed(shop)
    some = Cancel(reason="console", amount=1000, tax_free=None, trigger="CONSOLE")
    partly = frozenset({PaymentStatus.PARTIAL_CANCELLED, PaymentStatus.CANCELLED})
    first = shop.fake.ledger.cancel(placed.order.payment_id, some)
    await shop.webhook(placed, "Transaction.PartialCancelled", implies=partly, cancellation_id=first.id)
    assert (await shop.record(placed)).order.check_at is None
    shop.pass_time(minutes=1)
    second = shop.fake.ledger.cancel(placed.order.payment_id, some)
    shop.faults(Fault(name="gateway_lag", seconds=30))
    await shop.webhook(placed, "Transaction.PartialCancelled", implies=partly, cancellation_id=second.id)
    shop.faults()
    assert (await shop.rest(placed)).order.refunded == Money(2000, "KRW")


async def test_what_was_announced_and_never_came_is_given_up_after_half_an_hour(shop: Any) -> None:
    placed = await shop.place()
    shop.pass_time(minutes=14)
    await shop.webhook(placed)
    for _ in range(20):  # told again and again
        await shop.webhook(placed)
        await shop.check(minutes=1)
    assert (await standing(shop, placed))[0] is PENDING
    await checks(shop, 12)
    assert (await standing(shop, placed))[:2] == (CANCELLED, CancelReason.EXPIRED)
    assert await shop.available("seat") == 1


async def test_what_was_announced_while_the_gateway_was_away_does_not_expire_either(shop: Any) -> None:
    placed = await shop.place()
    shop.pass_time(minutes=14, seconds=55)
    shop.faults(Fault(name="gateway_5xx"))
    assert await shop.webhook(placed) is WebhookOutcome.STORED
    shop.faults()
    await checks(shop, 20)
    assert (await standing(shop, placed))[0] is PENDING


@pytest.mark.parametrize("kind", ["Transaction.Ready", "Transaction.Failed", "Transaction.Cancelled"])
async def test_a_webhook_that_tells_of_no_money_postpones_nothing(shop: Any, kind: str) -> None:
    placed = await shop.place()
    shop.pass_time(minutes=14, seconds=55)
    implies = frozenset({PaymentStatus.CANCELLED}) if kind.endswith("Cancelled") else frozenset()
    await shop.webhook(placed, kind, implies=implies)
    await checks(shop, 2)
    assert (await standing(shop, placed))[:2] == (CANCELLED, CancelReason.EXPIRED)


async def test_a_payment_under_way_that_one_answer_does_not_know_stays_under_way(shop: Any) -> None:
    placed = await shop.place()
    shop.fake.buyer.pend(placed.order.payment_id, shop.purchase(placed))
    await shop.webhook(placed, "Transaction.PayPending", implies=UNDER_WAY)
    shop.gateway.says = None
    await checks(shop, 60)
    assert (await standing(shop, placed))[0] is PENDING
    shop.gateway.says = ...
    shop.pay(placed)
    await shop.rest(placed)
    assert await standing(shop, placed) == (COMPLETED, None, None)


async def test_an_approval_that_takes_hours_asks_a_person_and_ends_after_a_day(shop: Any) -> None:
    placed = await shop.place()
    shop.fake.buyer.pend(placed.order.payment_id, shop.purchase(placed))
    await shop.webhook(placed, "Transaction.PayPending", implies=UNDER_WAY)
    for _ in range(23):
        await shop.check(hours=1)
    assert await standing(shop, placed) == (PENDING, None, AttentionKind.PENDING_LONG)
    for _ in range(3):
        await shop.check(hours=1)
    assert await standing(shop, placed) == (CANCELLED, CancelReason.EXPIRED, None)
    assert await shop.available("seat") == 1
    shop.pay(placed)
    await shop.webhook(placed)
    await shop.rest(placed)
    assert shop.net(placed) == 0


async def test_an_account_that_one_answer_does_not_know_is_not_left_open(new_world: Any) -> None:
    shop = await new_world(Gateway, policy=Policy(deposit_within=timedelta(hours=3)))
    placed = await shop.place()
    shop.fake.buyer.issue_account(placed.order.payment_id, shop.purchase(placed))
    await shop.webhook(placed, "Transaction.VirtualAccountIssued", implies=frozenset())
    shop.gateway.says = None
    await checks(shop, 60)
    assert (await standing(shop, placed))[0] is PENDING
    shop.gateway.says = ...
    await checks(shop, 150)
    assert (await standing(shop, placed))[:2] == (CANCELLED, CancelReason.EXPIRED)
    assert shop.fake.ledger.find(placed.order.payment_id).status == "FAILED"


# --- what the browser asked for, and we never offered -----------------------------------------------------------


async def test_an_account_that_is_due_in_years_holds_a_seat_no_longer_than_the_order(shop: Any) -> None:
    placed = await shop.place()
    shop.fake.buyer.issue_account(placed.order.payment_id, shop.purchase(placed))
    await shop.webhook(placed, "Transaction.VirtualAccountIssued", implies=frozenset())
    await checks(shop, 17)
    assert (await standing(shop, placed))[:2] == (CANCELLED, CancelReason.EXPIRED)
    assert await shop.available("seat") == 1
    assert shop.fake.ledger.find(placed.order.payment_id).status == "FAILED"


@pytest.mark.parametrize("tampered", [{"total": 1}, {"currency": "USD"}, {"channel_type": "TEST"}])
async def test_an_account_for_something_else_is_closed_at_the_first_sight_of_it(
    shop: Any, tampered: dict[str, Any]
) -> None:
    placed = await shop.place()
    shop.fake.buyer.issue_account(placed.order.payment_id, shop.purchase(placed, **tampered))
    await shop.webhook(placed, "Transaction.VirtualAccountIssued", implies=frozenset())
    assert (await standing(shop, placed))[:2] == (CANCELLED, CancelReason.MISMATCH)
    assert await shop.available("seat") == 1
    await shop.rest(placed)
    assert shop.fake.ledger.find(placed.order.payment_id).status == "FAILED"


async def test_a_payment_of_nothing_in_another_currency_spoils_no_check(shop: Any) -> None:
    placed = await shop.place()
    shop.pay(placed)
    paid = await shop.gateway.get(placed.order.payment_id)
    nothing = Money.zero("USD")
    shop.gateway.says = replace(paid, total=nothing, cancelled=nothing)
    assert await shop.webhook(placed) is WebhookOutcome.RECONCILED
    record = await shop.rest(placed)
    assert (record.order.status, record.order.reason) == (CANCELLED, CancelReason.MISMATCH)
    assert (record.order.captured, record.order.owed, record.refunds) == (nothing, nothing, [])


# --- charged back, disputed, come back ---------------------------------------------------------------------------


def cancel(world: Any, placed: Any, amount: int | None = None, trigger: str = "CONSOLE") -> None:
    world.fake.ledger.cancel(placed.order.payment_id, Cancel(reason="why not", amount=amount, trigger=trigger))


async def test_a_seat_whose_money_was_charged_back_is_not_sold_again_by_itself(shop: Any) -> None:
    placed = await completed(shop)
    cancel(shop, placed, trigger="CHARGEBACK")
    await shop.webhook(placed, "Transaction.Cancelled")
    assert await standing(shop, placed) == (CANCELLED, CancelReason.CHARGED_BACK, AttentionKind.CHARGED_BACK)
    assert await shop.available("seat") == 0


@pytest.mark.parametrize(("restock", "available"), [(True, 1), (False, 0)])
async def test_a_seat_whose_payment_was_cancelled_in_the_console_is_sold_again_as_the_shop_says(
    new_world: Any, available: int, *, restock: bool
) -> None:
    shop = await new_world(Gateway, policy=Policy(restock_cancelled=restock))
    placed = await completed(shop)
    cancel(shop, placed)
    await shop.webhook(placed, "Transaction.Cancelled")
    assert await standing(shop, placed) == (CANCELLED, CancelReason.REFUNDED, None)
    assert await shop.available("seat") == available


async def test_a_part_that_went_back_before_we_heard_asks_a_person_before_goods_go_out(shop: Any) -> None:
    placed = await shop.place()
    shop.pay(placed)
    cancel(shop, placed, 5_000)
    await shop.webhook(placed)
    assert await standing(shop, placed) == (COMPLETED, None, AttentionKind.PART_GONE_FIRST)


async def test_a_dispute_is_flagged_while_it_lasts_and_told_from_beginning_to_end(shop: Any) -> None:
    placed = await completed(shop)
    shop.fake.ledger.dispute(placed.order.payment_id, "it was not me")
    await shop.webhook(placed, "Transaction.DisputeCreated", implies=frozenset())
    assert await standing(shop, placed) == (COMPLETED, None, AttentionKind.DISPUTED)
    shop.fake.ledger.resolve_disputes(placed.order.payment_id)
    await shop.webhook(placed, "Transaction.DisputeResolved", implies=frozenset())
    assert await standing(shop, placed) == (COMPLETED, None, None)
    kinds = await shop.kinds(placed)
    assert kinds[3:] == ["payment_disputed", "attention", "dispute_ended"]


async def test_money_that_came_back_asks_a_person_and_the_audit_says_so_too(shop: Any) -> None:
    placed = await completed(shop)
    paid = await shop.gateway.get(placed.order.payment_id)
    shop.pass_time(minutes=1)
    cancel(shop, placed)
    await shop.webhook(placed, "Transaction.Cancelled")
    shop.pass_time(minutes=1)
    shop.gateway.says = replace(paid, changed_at=shop.now(), updated_at=shop.now())
    await shop.webhook(placed)
    assert await standing(shop, placed) == (CANCELLED, CancelReason.REFUNDED, AttentionKind.MONEY_CAME_BACK)
    assert (await shop.record(placed)).refunds == []


# --- one strange answer ----------------------------------------------------------------------------------------------


async def test_what_one_strange_answer_flagged_is_checked_again_and_taken_back(shop: Any) -> None:
    placed = await completed(shop)
    shop.gateway.says = None
    await shop.webhook(placed)
    assert await standing(shop, placed) == (COMPLETED, None, AttentionKind.CONTRADICTION)
    shop.gateway.says = ...
    (checked,) = await shop.check(minutes=2)
    assert checked.failure is None
    assert await standing(shop, placed) == (COMPLETED, None, None)
    assert (await shop.record(placed)).order.check_at is None


async def test_a_record_that_knows_less_at_a_due_check_carries_nothing_out_and_counts(shop: Any) -> None:
    placed = await shop.place()
    shop.pay(placed, total=1_000)
    before = await shop.gateway.get(placed.order.payment_id)
    shop.pass_time(seconds=1)
    cancel(shop, placed, 400)
    await shop.webhook(placed, "Transaction.PartialCancelled")
    shop.gateway.says = before
    for _ in range(6):
        await shop.check(minutes=6)
    order = (await shop.record(placed)).order
    assert (order.owed.minor, order.failures) == (600, 6)
    assert order.attention.kind is AttentionKind.CHECKS_FAIL
    assert shop.net(placed) == 600
    shop.gateway.says = ...
    await shop.rest(placed)
    assert (shop.net(placed), (await standing(shop, placed))[2]) == (0, None)


async def test_an_order_that_a_wrong_clock_planned_to_check_in_a_year_is_checked_now(shop: Any) -> None:
    placed = await shop.place()
    shop.pay(placed)
    shop.pass_time(days=365)
    shop.faults(Fault(name="gateway_5xx"))
    await shop.check()
    shop.faults()
    shop.pass_time(days=-365)
    (checked,) = await shop.check(seconds=1)
    assert checked.failure is None
    assert await standing(shop, placed) == (COMPLETED, None, None)
