"""The audit finds the place of each captured won, and says so where there is none. The fake's ledger is the judge."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from adapters.persistence.memory import MemoryStore
from adapters.portone.fake_gateway import FakePortOneGateway
from application.answer_attention import AnswerAttentionCommand
from application.audit_payments import Audit, AuditPayments, AuditProgress
from application.errors import GatewayUnavailableError, UnreadableRecordError
from application.place_order import Placed
from application.ports import ChangedPage
from application.refund_order import RefundOrderCommand
from domain.attention import AttentionKind
from domain.audit import Balance, Finding, FindingKind
from domain.ids import OrderId, PaymentId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order
from domain.payment import UNREADABLE, Payment, PaymentStatus, Shop
from fake_portone.faults import Fault
from fake_portone.ledger import Cancel, CancelStatus, Purchase, Status

PRICE = 20_000


async def audit(world: Any, since: datetime | None = None, until: datetime | None = None) -> Audit:
    return cast("Audit", await world.audit_payments(since, until))


async def won(world: Any) -> Balance:
    return (await audit(world)).balances["KRW"]


async def only(world: Any) -> Finding:
    (finding,) = (await audit(world)).findings
    return finding


async def completed(world: Any, **paid: Any) -> Placed:
    placed: Placed = await world.place(("programme", 1))
    world.pay(placed, **paid)
    await world.webhook(placed)
    return placed


def cancel_in_console(world: Any, placed: Placed, amount: int | None = None) -> None:
    world.fake.ledger.cancel(placed.order.payment_id, Cancel(reason="the console", amount=amount, trigger="CONSOLE"))


def falsify(world: Any, placed: Placed, **changed: Any) -> None:
    """Write what no rule of ours would let through, as a restored backup or a stray hand might."""
    kept = cast("MemoryStore", world.store)._kept.orders
    kept[OrderId(placed.order.id)] = replace(kept[OrderId(placed.order.id)], **changed)


def order_of(world: Any, placed: Placed) -> Order:
    return cast("MemoryStore", world.store)._kept.orders[OrderId(placed.order.id)]


def forget_payment(world: Any, placed: Placed) -> None:
    """The gateway has never heard of it."""
    del world.fake.ledger._payments._records[str(placed.order.payment_id)]


# --- what is explained ------------------------------------------------------------------------------------------


async def test_a_shop_that_sold_nothing_has_nothing_to_explain(world: Any) -> None:
    found = await audit(world)

    assert found.is_clean
    assert (found.payments, found.balances, list(found.findings)) == (0, {}, [])


async def test_money_of_a_completed_order_is_on_a_completed_order(world: Any) -> None:
    await completed(world)

    assert await won(world) == Balance(captured=PRICE, completed=PRICE)


async def test_money_that_went_back_is_refunded_in_part_or_in_whole(world: Any) -> None:
    partly, wholly = await completed(world), await completed(world)
    cancel_in_console(world, partly, 5_000)
    cancel_in_console(world, wholly)
    for placed in (partly, wholly):
        await world.webhook(placed, "Transaction.Cancelled")

    assert await won(world) == Balance(captured=2 * PRICE, completed=15_000, refunded=25_000)


async def test_a_refund_that_was_asked_for_is_owed_until_it_is_done(world: Any) -> None:
    placed = await completed(world)
    command = RefundOrderCommand(
        order_id=placed.order.id, amount=Money(3_000, "KRW"), reason="", requested_by="me", idempotency_key="1"
    )
    await world.refund_order(command)
    assert await won(world) == Balance(captured=PRICE, completed=17_000, owed=3_000)

    await world.check()
    assert await won(world) == Balance(captured=PRICE, completed=17_000, refunded=3_000)


async def test_a_mismatch_that_waits_to_be_given_back_is_owed(world: Any) -> None:
    await completed(world, total=7)

    assert await won(world) == Balance(captured=7, owed=7)


async def test_a_refund_that_failed_is_owed_as_long_as_the_order_owes_it(world: Any) -> None:
    placed = await completed(world, total=7)
    world.faults(Fault(name="cancel_failed", times=1))
    await world.check()
    attention = order_of(world, placed).attention
    assert attention is not None
    assert attention.kind is AttentionKind.REFUND_FAILED
    assert await won(world) == Balance(captured=7, owed=7)

    falsify(world, placed, owed=Money(0, "KRW"))
    assert await won(world) == Balance(captured=7, unexplained=7)


async def test_currencies_are_never_mixed(world: Any) -> None:
    await completed(world)
    await completed(world, currency="USD")

    assert (await audit(world)).balances == {
        "KRW": Balance(captured=PRICE, completed=PRICE),
        "USD": Balance(captured=PRICE, owed=PRICE),
    }


async def test_money_that_moved_a_moment_ago_waits_to_be_reconciled_and_only_for_minutes(world: Any) -> None:
    placed = await world.place(("programme", 1))
    world.pay(placed)
    assert await won(world) == Balance(captured=PRICE, unreconciled=PRICE)
    assert (await only(world)).kind is FindingKind.UNRECONCILED

    world.pass_time(minutes=20)
    assert await won(world) == Balance(captured=PRICE, unexplained=PRICE)


async def test_money_whose_order_is_at_rest_does_not_wait_for_anything(world: Any) -> None:
    placed = await completed(world)
    cancel_in_console(world, placed, 5_000)

    found = await only(world)
    assert (found.kind, found.amount) == (FindingKind.UNEXPLAINED, Money(PRICE, "KRW"))
    assert found.why == "15000 KRW is left at the gateway, and 20000 KRW by the order"
    await world.sweep_payments()
    await world.check()
    assert await won(world) == Balance(captured=PRICE, completed=15_000, refunded=5_000)


async def test_an_orphan_is_explained_as_one_and_named(world: Any) -> None:
    placed = await completed(world)
    world.fake.buyer.pay("strange", world.purchase(placed, total=5_000))
    found = await audit(world)

    assert found.is_clean
    assert found.balances["KRW"] == Balance(captured=25_000, completed=PRICE, orphaned=5_000)
    assert [(one.kind, one.payment_id, one.order_id) for one in found.findings] == [
        (FindingKind.ORPHANED, "strange", None)
    ]


async def test_an_orphan_that_was_given_back_is_refunded(world: Any) -> None:
    placed = await world.place()
    world.fake.buyer.pay("strange", world.purchase(placed, total=5_000))
    world.fake.ledger.cancel("strange", Cancel(reason="by hand"))

    assert await won(world) == Balance(captured=5_000, refunded=5_000)


async def test_money_that_came_and_went_before_its_order_heard_of_it_is_refunded(world: Any) -> None:
    placed = await world.place()
    world.pay(placed, total=5_000)
    cancel_in_console(world, placed)
    world.pass_time(days=2)

    assert await won(world) == Balance(captured=5_000, refunded=5_000)


# --- what is not ------------------------------------------------------------------------------------------------


def _retag(world: Any, placed: Placed, **changed: Any) -> None:
    payments = world.fake.ledger._payments._records
    record = payments[str(placed.order.payment_id)]
    payments[record.id] = replace(record, purchase=replace(record.purchase, **changed))


Wrong = Callable[[Any, Placed], object]

AT_REST: dict[str, tuple[Wrong, str, int]] = {
    "the gateway has lost it": (
        forget_payment,
        "the order is COMPLETED and says that 20000 KRW was taken, and the gateway knows no such payment",
        PRICE,
    ),
    "a capture that is half of ours": (
        lambda world, placed: falsify(world, placed, captured=Money(2 * PRICE, "KRW"), price=Money(2 * PRICE, "KRW")),
        "the gateway took 20000 KRW, and the order says 40000 KRW",
        2 * PRICE,
    ),
    "another currency": (
        lambda world, placed: falsify(world, placed, captured=Money(PRICE, "USD")),
        "the gateway took 20000 KRW, and the order says 20000 USD",
        PRICE,
    ),
    "a refund that only we know of": (
        lambda world, placed: falsify(world, placed, refunded=Money(PRICE, "KRW")),
        "20000 KRW is left at the gateway, and 0 KRW by the order",
        PRICE,
    ),
    "a cancelled order that keeps its money": (
        lambda world, placed: falsify(world, placed, status=OrderStatus.CANCELLED),
        "the order is CANCELLED, and 20000 KRW is neither given back nor owed",
        PRICE,
    ),
    "another price": (
        lambda world, placed: falsify(world, placed, price=Money(1, "KRW")),
        "the order is COMPLETED, and its payment differs in amount",
        PRICE,
    ),
    "a TEST channel": (
        lambda world, placed: _retag(world, placed, channel_type="TEST"),
        "the order is COMPLETED, and its payment differs in channel",
        PRICE,
    ),
    "another store": (
        lambda world, placed: _retag(world, placed, store_id="store-2"),
        "the order is COMPLETED, and its payment differs in store",
        PRICE,
    ),
    "an order that was set back": (
        lambda world, placed: falsify(world, placed, status=OrderStatus.PENDING),
        "the order is PENDING, although it knows of the money",
        PRICE,
    ),
    "an order that forgot": (
        lambda world, placed: falsify(world, placed, status=OrderStatus.PENDING, captured=None),
        "the order is PENDING and has not heard of the money",
        PRICE,
    ),
    "a console cancel nobody told of": (
        cancel_in_console,
        "0 KRW is left at the gateway, and 20000 KRW by the order",
        PRICE,
    ),
}


@pytest.mark.proves("an audit explains every captured won, or says that it cannot")
@pytest.mark.parametrize("name", AT_REST)
async def test_what_the_two_sides_do_not_both_bear_out_is_unexplained(world: Any, name: str) -> None:
    wrong, why, amount = AT_REST[name]
    for _ in range(4):
        await completed(world)
    placed = await completed(world)
    wrong(world, placed)
    found = await audit(world)

    assert not found.is_clean
    (finding,) = found.findings
    assert (finding.kind, finding.order_id) == (FindingKind.UNEXPLAINED, placed.order.id)
    assert finding.payment_id == placed.order.payment_id
    assert finding.why == why
    assert finding.amount is not None
    assert finding.amount.minor == amount
    assert found.balances["KRW"].unexplained == amount
    assert found.balances["KRW"].completed == 4 * PRICE


@pytest.mark.proves("an audit explains every captured won, or says that it cannot")
async def test_two_errors_that_cancel_each_other_are_two_errors(world: Any) -> None:
    """We believe one payment refunded that was not, and miss the refund of another: the sums agree."""
    kept, gone = await completed(world), await completed(world)
    falsify(world, kept, refunded=Money(PRICE, "KRW"))
    cancel_in_console(world, gone)
    found = await audit(world)

    assert found.counts[FindingKind.UNEXPLAINED] == 2
    assert found.balances["KRW"].unexplained == 2 * PRICE


async def test_more_back_than_was_taken_is_unexplained(world: Any) -> None:
    placed = await completed(world)
    gateway = Made(world, cancelled=Money(PRICE + 1, "KRW"))
    found = await gateway.audit(world, placed)

    assert found.balances["KRW"] == Balance(captured=PRICE, refunded=PRICE, unexplained=1)


class Made:
    """A gateway that tells one payment as a test made it up."""

    def __init__(self, world: Any, **changed: Any) -> None:
        self._inner = FakePortOneGateway(world.fake)
        self._changed = changed
        self.asked = 0
        self.honest_after: int | None = None

    async def get(self, payment_id: PaymentId) -> Payment | None:
        self.asked += 1
        payment = await self._inner.get(payment_id)
        if payment is None or (self.honest_after is not None and self.asked > self.honest_after):
            return payment
        return replace(payment, **self._changed)

    async def changed_page(self, *asked: Any, **more: Any) -> ChangedPage:
        page = await self._inner.changed_page(*asked, **more)
        return replace(page, payments=[replace(payment, **self._changed) for payment in page.payments])

    async def audit(self, world: Any, _: Placed) -> Audit:
        world.audit_payments._gateway = self
        return await audit(world)


async def test_what_moved_between_the_two_readings_is_read_again(world: Any) -> None:
    """The listing is from before a refund, the order from after it."""
    placed = await completed(world)
    cancel_in_console(world, placed, 5_000)
    await world.webhook(placed, "Transaction.PartialCancelled")
    gateway = Made(world, cancelled=Money(0, "KRW"))
    gateway.honest_after = 1
    found = await gateway.audit(world, placed)

    assert found.is_clean
    assert gateway.asked == 2


@pytest.mark.parametrize("minutes", [0, 20])
async def test_an_unknown_status_of_an_order_of_ours_is_open_for_minutes_and_then_unexplained(
    world: Any, minutes: int
) -> None:
    placed = await world.place(("programme", 1))
    world.pay(placed)
    world.faults(Fault(name="unknown_status"))
    world.pass_time(minutes=minutes)
    finding = await only(world)

    assert finding.kind is (FindingKind.UNEXPLAINED if minutes else FindingKind.UNRECONCILED)
    assert finding.amount == Money(PRICE, "KRW")
    assert "'ON_HOLD'" in finding.why


async def test_an_unreadable_record_of_an_order_of_ours_is_asked_for_by_itself(world: Any) -> None:
    await completed(world)
    world.faults(Fault(name="unknown_status", match="list"))

    assert await won(world) == Balance(captured=PRICE, completed=PRICE)


async def test_an_unknown_status_of_somebody_elses_payment_is_told_and_sums_to_nothing(world: Any) -> None:
    placed = await world.place()
    world.fake.buyer.pay("strange", world.purchase(placed))
    world.faults(Fault(name="unknown_status"))
    found = await audit(world)

    assert found.is_clean
    assert found.balances == {}
    assert [one.kind for one in found.findings] == [FindingKind.ORPHANED]


# --- the period, and how it is gone through ---------------------------------------------------------------------


async def test_money_paid_into_another_store_of_ours_is_covered(world: Any) -> None:
    await completed(world, store_id="store-2")

    assert await won(world) == Balance(captured=PRICE, owed=PRICE)


async def test_only_what_last_changed_in_the_period_belongs_to_it(world: Any) -> None:
    start = world.now()
    await completed(world)
    world.pass_time(days=2)
    await completed(world)
    day = timedelta(days=1)

    assert (await audit(world, start - day, start + day)).balances["KRW"].captured == PRICE
    assert (await audit(world, start + day, start + 3 * day)).balances["KRW"].captured == PRICE
    assert (await audit(world, start - day, start + 3 * day)).balances["KRW"].captured == 2 * PRICE
    assert (await audit(world, start + day, start + day + day / 2)).payments == 0


async def test_changes_dated_ahead_of_our_clock_are_audited_too(world: Any) -> None:
    world.fake.clock.set(advance=86_400.0)
    await completed(world)

    assert await won(world) == Balance(captured=PRICE, completed=PRICE)


async def test_a_payment_that_changes_while_it_is_listed_is_entered_once(world: Any) -> None:
    placed = await completed(world)
    gateway = Made(world)
    inner = gateway.changed_page

    async def twice(*asked: Any, number: int, size: int) -> ChangedPage:
        (payment,) = (await inner(*asked, number=0, size=size)).payments
        names = (payment.id, "1", "2", payment.id, "3", "4", "5", payment.id)
        on_page = [replace(payment, id=name, said="PAID" + " " * number) for name in names]
        return ChangedPage(payments=on_page[number * size : (number + 1) * size], total=6)

    gateway.changed_page = twice  # type: ignore[method-assign]
    found = await gateway.audit(world, placed)

    assert found.balances["KRW"] == Balance(captured=6 * PRICE, completed=PRICE, orphaned=5 * PRICE)


async def test_a_gateway_that_fails_fails_the_audit(world: Any) -> None:
    await completed(world)
    world.faults(Fault(name="gateway_5xx"))
    with pytest.raises(GatewayUnavailableError):
        await audit(world)


async def test_it_tells_how_far_it_has_got(world: Any) -> None:
    for _ in range(7):
        await completed(world)
    told: list[AuditProgress] = []
    await world.audit_payments(None, None, told.append)

    assert [step.payments for step in told] == [3, 6, 7]
    assert [step.at for step in told] == [None, None, world.now()], "a window counts once it was read to its end"
    assert told[-1].so_far.payments == 7


async def test_it_names_a_thousand_of_a_kind_and_counts_the_rest(world: Any) -> None:
    placed = await completed(world)
    purchase: Purchase = world.purchase(placed)
    for n in range(1_001):
        world.fake.buyer.pay(f"strange {n}", purchase)
    found = await audit(world)

    assert found.counts[FindingKind.ORPHANED] == 1_001
    assert len(found.findings) == 1_000
    assert found.payments == 1_002


async def test_it_writes_nothing(world: Any) -> None:
    await completed(world, total=3)
    world.store.writing = None
    assert (await audit(world)).is_clean


# --- what cannot be read, and what was broken off -----------------------------------------------------------------


class Broken:
    """The gateway, one of whose records nobody can read, and which is gone after so many requests."""

    def __init__(self, world: Any, *, unreadable: str | None = None, requests: int = 10**9) -> None:
        self._inner = FakePortOneGateway(world.fake)
        self._unreadable = unreadable
        self._requests = requests

    async def get(self, payment_id: PaymentId) -> Payment | None:
        self._count()
        if payment_id == self._unreadable:
            raise UnreadableRecordError("a payment record cannot be read")
        return await self._inner.get(payment_id)

    async def changed_page(self, *asked: Any, **more: Any) -> ChangedPage:
        self._count()
        page = await self._inner.changed_page(*asked, **more)
        unread: dict[str, Any] = {"status": PaymentStatus.UNKNOWN, "said": UNREADABLE}
        return replace(page, payments=[replace(p, **unread) if p.id == self._unreadable else p for p in page.payments])

    def _count(self) -> None:
        self._requests -= 1
        if self._requests < 0:
            raise GatewayUnavailableError("gone")


async def test_one_record_that_cannot_be_read_is_a_finding_and_the_rest_is_read(world: Any) -> None:
    placed = [await completed(world) for _ in range(7)]
    world.audit_payments._gateway = Broken(world, unreadable=placed[3].order.payment_id)
    found = await audit(world)

    (finding,) = found.findings
    assert not found.is_clean
    assert (finding.kind, finding.order_id) == (FindingKind.UNREADABLE, placed[3].order.id)
    assert found.balances["KRW"] == Balance(captured=6 * PRICE, completed=6 * PRICE, unexplained=PRICE)
    assert found.payments == 7


async def test_a_record_that_is_in_no_list_and_cannot_be_read_is_a_finding_too(world: Any) -> None:
    placed = await completed(world, store_id="store-2")
    await completed(world)
    world.audit_payments._gateway = Broken(world, unreadable=placed.order.payment_id)
    found = await audit(world)

    assert [(f.kind, f.order_id) for f in found.findings] == [(FindingKind.UNREADABLE, placed.order.id)]
    assert (found.payments, found.unlisted) == (2, 1)


async def a_month(world: Any) -> None:
    """Ninety payments over a month: some of nobody's, some in another store, some of which only one side knows all."""
    for number in range(90):
        placed = await completed(world, **({"store_id": "store-2"} if number % 17 == 0 else {}))
        if number % 7 == 0:
            cancel_in_console(world, placed, 1_000)
        if number % 11 == 0:
            world.fake.buyer.pay(f"strange {number}", world.purchase(placed, total=5_000))
        world.pass_time(hours=7)


@pytest.mark.proves("an audit that is broken off goes on where it was, and comes to the same sums")
async def test_an_audit_that_is_broken_off_anywhere_goes_on_to_the_same_sums(world: Any, cases: Any) -> None:
    await a_month(world)
    whole = await audit(world)
    assert whole.payments > 90
    kinds = {FindingKind.UNEXPLAINED, FindingKind.ORPHANED, FindingKind.OWED_LATE}
    assert {kind for kind, count in whole.counts.items() if count} == kinds
    requests, broken = 0, 0
    while True:
        told: list[AuditProgress] = []
        world.audit_payments._gateway = Broken(world, requests=requests)
        try:
            assert await world.audit_payments(None, None, told.append) == whole
            break
        except GatewayUnavailableError:
            broken += 1
        resume = told[-1].cursor if told else None
        world.audit_payments._gateway = Broken(world)
        ended = await world.audit_payments(resume=resume)
        assert replace(ended, findings=[]) == replace(whole, findings=[]), requests
        requests += 3
    cases.run += broken
    assert broken > 20


async def test_what_was_found_before_it_was_broken_off_is_told(world: Any) -> None:
    await a_month(world)
    whole = await audit(world)
    told: list[AuditProgress] = []
    world.audit_payments._gateway = Broken(world, requests=60)
    with pytest.raises(GatewayUnavailableError):
        await world.audit_payments(None, None, told.append)
    before = told[-1].so_far
    assert list(before.findings) == list(whole.findings)[: len(before.findings)]
    assert before.findings


# --- all that there ever was, and what is unfinished --------------------------------------------------------------


async def test_in_full_everything_since_the_first_order_is_covered(world: Any) -> None:
    first = await completed(world)
    world.pass_time(days=400)
    await completed(world)
    cancel_in_console(world, first)
    found = await world.audit_payments(full=True)
    assert found.balances["KRW"].captured == 2 * PRICE
    assert found.since == first.order.created_at - timedelta(days=1)

    world.pass_time(days=400)
    assert (await audit(world)).payments == 0
    assert (await world.audit_payments(full=True)).balances["KRW"].captured == 2 * PRICE


async def test_in_full_an_order_is_covered_however_its_payment_is_dated(world: Any) -> None:
    """Neither the list, which is asked for a time, nor the period of the order would have it."""
    for days in (-10_000, 10_000):
        placed = await completed(world)
        dated = world.now() + timedelta(days=days)
        record = world.fake.ledger._payments._records[str(placed.order.payment_id)]
        world.fake.ledger._payments._records[record.id] = replace(record, status_changed_at=dated)
        observed = order_of(world, placed).observed
        assert observed is not None
        falsify(world, placed, observed=replace(observed, changed_at=dated))
    assert (await world.audit_payments(full=True)).payments == 2
    assert (await audit(world)).payments == 1, "to come, and nobody said until when"


async def test_of_a_shop_that_sold_nothing_there_is_nothing_in_full(world: Any) -> None:
    found = await world.audit_payments(full=True)
    assert (found.payments, found.since) == (0, world.now() - timedelta(days=1))


async def test_what_is_owed_is_late_after_a_day_and_covered_however_old(world: Any) -> None:
    placed = await completed(world)
    command = RefundOrderCommand(
        order_id=placed.order.id, amount=Money(3_000, "KRW"), reason="", requested_by="me", idempotency_key="1"
    )
    await world.refund_order(command)
    for days, late in ((0.9, False), (0.2, True), (100, True)):
        world.pass_time(days=days)
        found = await audit(world)
        assert [f.kind for f in found.findings] == [FindingKind.OWED_LATE] * late
        assert found.is_clean is not late
        assert found.balances["KRW"] == Balance(captured=PRICE, completed=17_000, owed=3_000), "once"


async def test_a_refund_that_is_refused_for_good_is_told_until_somebody_answers_however_old(world: Any) -> None:
    placed = await completed(world)
    command = RefundOrderCommand(
        order_id=placed.order.id, amount=Money(3_000, "KRW"), reason="", requested_by="me", idempotency_key="1"
    )
    await world.refund_order(command)
    world.faults(Fault(name="cancel_refused", times=1))
    await world.check()
    for days in (0, 100):
        world.pass_time(days=days)
        (finding,) = (await audit(world)).findings
        assert (finding.kind, finding.amount) == (FindingKind.UNANSWERED, Money(3_000, "KRW"))
    await world.answer_attention(AnswerAttentionCommand(order_id=placed.order.id, by="me", note="in cash"))
    assert (await audit(world)).is_clean


async def test_money_that_came_back_is_unexplained(world: Any) -> None:
    """A refund that had succeeded bounces: the gateway has the money again, and an order that asks for a person."""
    placed = await completed(world)
    cancel_in_console(world, placed)
    await world.webhook(placed, "Transaction.Cancelled")
    world.pass_time(hours=1)
    ledger = world.fake.ledger._payments._records
    record = ledger[str(placed.order.payment_id)]
    undone = replace(record.cancellations[0], status=CancelStatus.FAILED)
    moved = {"status_changed_at": world.now(), "updated_at": world.now()}
    ledger[record.id] = replace(record, status=Status.PAID, cancellations=(undone,), **moved)
    await world.sweep_payments()
    await world.check()
    assert order_of(world, placed).attention is not None
    (finding,) = (await audit(world)).findings
    assert (finding.kind, finding.amount) == (FindingKind.UNEXPLAINED, Money(PRICE, "KRW"))


async def test_payments_of_every_store_of_ours_are_in_the_sums(world: Any) -> None:
    placed = await completed(world)
    world.fake.buyer.pay("strange", world.purchase(placed, store_id="store-2", total=5_000))
    assert (await audit(world)).balances["KRW"] == Balance(captured=PRICE, completed=PRICE)
    both = AuditPayments(
        store=world.store,
        gateway=world.gateway,
        shop=Shop(store_id="store-1", channel_type="LIVE"),
        clock=world.now,
        other_stores=["store-2", "store-3"],
        batch=3,
    )
    assert (await both()).balances["KRW"] == Balance(captured=PRICE + 5_000, completed=PRICE, orphaned=5_000)
    assert (await both()).unlisted == 0


async def a_day_of_business(world: Any, chance: random.Random) -> list[Placed]:
    """Purchases, honest and not, refunds in the console, webhooks that come or not, payments nobody ordered."""
    placed: list[Placed] = []
    for number in range(chance.randrange(1, 9)):
        one = await world.place(("programme", chance.randrange(1, 4)))
        placed.append(one)
        if chance.random() < 0.8:
            lie: list[dict[str, Any]] = [
                {"total": 7},
                {"currency": "USD"},
                {"channel_type": "TEST"},
                {"store_id": "store-2"},
                {},
                {},
                {},
            ]
            world.pay(one, **chance.choice(lie))
        if chance.random() < 0.6:
            await world.webhook(one)
        if chance.random() < 0.3 and world.net(one):
            cancel_in_console(world, one, chance.choice([None, 1]))
        if chance.random() < 0.3:
            world.fake.buyer.pay(f"strange {world.new_id()} {number}", world.purchase(one))
        world.pass_time(seconds=chance.randrange(2_000))
    return placed


@pytest.mark.proves("an audit explains every captured won, or says that it cannot")
async def test_once_at_rest_the_balance_is_the_ledgers_after_any_history(world: Any, cases: Any, *, full: bool) -> None:
    for seed in range(400 if full else 25):
        placed = await a_day_of_business(world, random.Random(seed))  # noqa: S311 - repeatable, not secret
        for one in placed:
            await world.rest(one)
        await world.sweep_payments()
        for one in placed:
            await world.rest(one)
        found = await audit(world, world.now() - timedelta(days=3_000))
        cases.run += 1
        assert found.is_clean, (seed, found.findings)
        for currency, balance in world.fake.ledger.totals().items():
            told = found.balances[currency]
            assert (told.captured, told.refunded) == (balance.captured, balance.cancelled), (seed, currency)
            assert told.captured == told.completed + told.refunded + told.orphaned, (seed, currency)
