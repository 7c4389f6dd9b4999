"""A check that goes wrong, and what becomes of its order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.persistence.memory import MemoryStore, MemoryUnit
from application.errors import GatewayUnavailableError, StoreUnavailableError
from application.ports import CancelPayment
from domain.attention import AttentionKind
from domain.ids import PaymentId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.payment import Cancellation, Payment
from domain.schedule import LEASE
from fake_portone.faults import Fault


class Gateway:
    """The gateway before which it stands, with a way of going wrong: ``get`` hangs, or raises ``trouble``."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.hangs_for: PaymentId | None = None
        self._hanging = asyncio.Event()
        self._answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.trouble: dict[PaymentId, Exception] = {}
        self.forgets = self.forgets_after_cancel = self.cancels_hang = False
        self.lags: Payment | None = None
        self.cancelled: list[CancelPayment] = []

    async def get(self, payment_id: PaymentId) -> Any:
        if payment_id == self.hangs_for:
            self._hanging.set()
            await self._answer
        if payment_id in self.trouble:
            raise self.trouble[payment_id]
        if self.lags is not None:
            return self.lags
        return None if self.forgets else await self._inner.get(payment_id)

    async def cancel(self, cancel: CancelPayment) -> Cancellation:
        self.cancelled.append(cancel)
        if self.cancels_hang:
            await asyncio.Event().wait()
        done: Cancellation = await self._inner.cancel(cancel)
        self.forgets = self.forgets_after_cancel
        return done

    async def hanging(self) -> None:
        async with asyncio.timeout(5):
            await self._hanging.wait()

    def answer_at_last(self, error: Exception) -> None:
        self._answer.set_exception(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class FullDisk(MemoryStore):
    """Takes nothing more once ``full``."""

    full = False

    def writing(self) -> MemoryUnit:
        if self.full:
            raise StoreUnavailableError("the disk is full")
        return super().writing()


async def a_check_that_waits(world: Any) -> tuple[Any, asyncio.Task[Any]]:
    """A paid order, and a check of it that waits for the gateway; whoever asks next is answered."""
    placed = await world.place()
    world.pay(placed)
    world.pass_time(seconds=40)
    world.gateway.hangs_for = placed.order.payment_id
    check = asyncio.create_task(world.check_due_orders())
    await world.gateway.hanging()
    world.gateway.hangs_for = None
    return placed, check


async def test_a_check_that_dies_leaves_its_order_due_when_its_lease_ends(new_world: Any) -> None:
    world = await new_world(Gateway)
    placed, check = await a_check_that_waits(world)
    check.cancel()
    with pytest.raises(asyncio.CancelledError):
        await check
    assert await world.check(seconds=LEASE.total_seconds() - 1) == []
    assert len(await world.check(seconds=1)) == 1
    assert (await world.record(placed)).order.status is OrderStatus.COMPLETED


async def test_a_check_that_fails_after_a_webhook_reconciled_its_order_wakes_nobody(new_world: Any) -> None:
    world = await new_world(Gateway)
    placed, check = await a_check_that_waits(world)
    await world.webhook(placed)
    world.gateway.answer_at_last(GatewayUnavailableError("503 from the gateway"))
    [checked] = await check
    assert checked.failure == "503 from the gateway"
    order = (await world.record(placed)).order
    assert (order.status, order.check_at, order.failures) == (OrderStatus.COMPLETED, None, 0)


async def test_no_more_orders_are_checked_together_than_one_process_can_carry(world: Any) -> None:
    placed = [await world.place(("programme", 1)) for _ in range(20)]
    checked = await world.check(seconds=40)
    assert len(checked) == 16
    checked += await world.check()
    assert {check.order_id for check in checked} == {each.order.id for each in placed}
    assert await world.check() == []


async def test_while_nothing_is_due_nothing_is_asked_of_those_who_write(overheard_world: Any) -> None:
    assert await overheard_world.check() == []
    assert [name for name, _ in overheard_world.store.heard] == ["reading"]


async def test_what_nobody_foresaw_is_handed_on_and_keeps_no_other_order_from_its_check(new_world: Any) -> None:
    world = await new_world(Gateway)
    broken, whole = await world.place(("programme", 1)), await world.place(("programme", 1))
    world.pay(whole)
    bug = ZeroDivisionError("what it says may hold what must not be kept")
    world.gateway.trouble[broken.order.payment_id] = bug
    checked = {check.order_id: check for check in await world.check(seconds=40)}
    assert (checked[broken.order.id].failure, checked[broken.order.id].error) == ("ZeroDivisionError", bug)
    assert (checked[whole.order.id].failure, checked[whole.order.id].error) == (None, None)
    assert (await world.record(whole)).order.status is OrderStatus.COMPLETED
    order = (await world.record(broken)).order
    assert order.failures == 1
    assert timedelta(seconds=1) < order.check_at - world.now() < timedelta(seconds=3)


async def test_checks_that_keep_failing_tell_a_person_why(new_world: Any) -> None:
    world = await new_world(Gateway)
    spoilt, broken = await world.place(("programme", 1)), await world.place(("programme", 1))
    world.gateway.trouble[spoilt.order.payment_id] = GatewayUnavailableError("503 from the gateway")
    world.gateway.trouble[broken.order.payment_id] = ZeroDivisionError("secret")
    for _ in range(6):
        await world.check(minutes=10)
    asked = [(await world.record(placed)).order.attention for placed in (spoilt, broken)]
    assert {attention.kind for attention in asked} == {AttentionKind.CHECKS_FAIL}
    assert [attention.why for attention in asked] == [
        "checking has kept failing: 503 from the gateway",
        "checking has kept failing: ZeroDivisionError",
    ]


@pytest.mark.parametrize("bug", [None, ZeroDivisionError("a bug")])
async def test_a_failure_that_cannot_even_be_kept_is_handed_on_and_the_first_one_counts(
    new_world: Any, bug: Exception | None
) -> None:
    world = await new_world(Gateway, FullDisk())
    placed = await world.place()
    world.gateway.trouble[placed.order.payment_id] = bug or GatewayUnavailableError("503 from the gateway")
    get = world.gateway.get

    async def then_the_disk_is_full(payment_id: PaymentId) -> Any:
        world.store.full = True
        return await get(payment_id)

    world.gateway.get = then_the_disk_is_full
    (checked,) = await world.check(seconds=40)
    assert checked.order_id == placed.order.id
    assert checked.failure == ("ZeroDivisionError" if bug else "503 from the gateway")
    assert checked.error is bug if bug else isinstance(checked.error, StoreUnavailableError)


async def test_one_buyers_slow_check_keeps_no_other_buyer_waiting(new_world: Any) -> None:
    world = await new_world(Gateway)
    slow, quick = await world.place(("programme", 1)), await world.place(("programme", 1))
    world.pay(quick)
    world.gateway.hangs_for = slow.order.payment_id
    waiting = asyncio.create_task(world.verify_payment(slow.order.id, slow.token))
    await world.gateway.hanging()
    async with asyncio.timeout(5):
        assert (await world.verify_payment(quick.order.id, quick.token)).status is OrderStatus.COMPLETED
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_no_two_checks_of_one_buyer_are_within_a_second_whoever_else_checks(world: Any) -> None:
    first, second, third = [await world.place(("programme", 1)) for _ in range(3)]

    async def asks(placed: Any) -> bool:
        world.faults(Fault(name="gateway_5xx", times=1, match="get"))
        await world.verify_payment(placed.order.id, placed.token)
        return bool(world.faults_left() == 0)

    assert await asks(first)
    world.pass_time(seconds=0.5)
    assert await asks(second)
    world.pass_time(seconds=0.5)
    assert await asks(third)
    world.pass_time(seconds=0.4)
    assert not await asks(second)
    assert await asks(first)
    world.pass_time(seconds=0.1)
    assert await asks(second)


async def test_a_clock_set_back_keeps_no_buyer_from_checking(world: Any) -> None:
    placed = await world.place()
    world.pass_time(minutes=5)
    await world.verify_payment(placed.order.id, placed.token)
    world.pass_time(minutes=-2)
    world.pay(placed)
    assert (await world.verify_payment(placed.order.id, placed.token)).status is OrderStatus.COMPLETED


# --- a check that gives money back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["honest", "cancel_failed"])
async def test_a_payment_that_vanishes_while_its_money_goes_back_spoils_no_check(new_world: Any, answer: str) -> None:
    world = await new_world(Gateway)
    placed = await world.place()
    world.pay(placed, total=1_000)
    if answer != "honest":
        world.faults(Fault(name=answer, times=1))
    world.gateway.forgets_after_cancel = True
    for _ in range(2):
        (checked,) = await world.check(seconds=40)
        assert checked.failure is None
        assert (await world.record(placed)).order.owed.minor == 1_000, "the gateway's record is what counts"
    world.gateway.forgets = world.gateway.forgets_after_cancel = False
    await world.rest(placed)
    assert world.net(placed) == 0


async def test_a_record_from_before_the_money_was_taken_gives_none_back_and_breaks_no_check(new_world: Any) -> None:
    """It is of another attempt, which was for another sum in another currency."""
    world = await new_world(Gateway)
    placed = await world.place()
    world.fake.buyer.open(placed.order.payment_id, world.purchase(placed))
    before = await world.gateway.get(placed.order.payment_id)
    world.pass_time(seconds=1)
    world.pay(placed, currency="USD")
    await world.webhook(placed)
    world.gateway.lags = before
    (checked,) = await world.check(seconds=1)
    assert (checked.failure, checked.error, world.gateway.cancelled) == (None, None, [])
    assert (await world.record(placed)).order.owed == Money(355_000, "USD")
    world.gateway.lags = None
    await world.rest(placed)
    assert world.net(placed) == 0


async def test_nothing_goes_back_in_a_currency_that_the_record_does_not_say(new_world: Any) -> None:
    world = await new_world(Gateway)
    placed = await world.place()
    world.pay(placed, currency="USD")
    await world.webhook(placed)
    paid = await world.gateway.get(placed.order.payment_id)
    world.gateway.lags = replace(paid, total=placed.order.price, cancelled=Money.zero("KRW"))
    (checked,) = await world.check(seconds=1)
    assert (checked.failure, checked.error, world.gateway.cancelled) == (None, None, [])
    order = (await world.record(placed)).order
    assert order.attention.why == "the gateway says it took 355000 KRW, and said 355000 USD before"
    world.gateway.lags = None
    await world.rest(placed)
    assert world.net(placed) == 0


async def test_money_the_bank_thinks_about_is_not_checked_again_at_once(world: Any) -> None:
    placed = await world.place()
    world.pay(placed, total=1_000)
    world.faults(Fault(name="cancel_requested", times=1, seconds=6 * 60 * 60))
    await world.check(seconds=40)
    order = (await world.record(placed)).order
    assert order.owed.minor == 1_000
    assert order.check_at - world.now() > timedelta(seconds=4)


async def test_refunds_that_hang_keep_no_other_order_from_its_check_and_are_few(new_world: Any) -> None:
    world = await new_world(Gateway, slow_patience=0.01)
    owing = [await world.place(("programme", 1)) for _ in range(20)]
    for placed in owing:
        world.pay(placed, total=1000)
        await world.webhook(placed)
    world.gateway.cancels_hang = True
    paid = await world.place()
    world.pay(paid)
    world.pass_time(seconds=40)

    for _ in range(3):
        await world.check_due_orders()
    assert (await world.record(paid)).order.status is OrderStatus.COMPLETED
    assert len(world.gateway.cancelled) == 8
    world.gateway.cancels_hang = False
    await world.check_due_orders.finish(0)
    assert await until_given_back(world, owing)


async def until_given_back(world: Any, owing: list[Any]) -> bool:
    """Check for an hour; whether all of it went back."""
    for _ in range(60):
        await world.check(minutes=1)
    return all(world.fake.ledger.balance(placed.order.payment_id).net == 0 for placed in owing)
