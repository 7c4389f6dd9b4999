"""The sweep finds what no order asked about, reconciles nothing, skips nothing, and goes on from where it got to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from adapters.persistence.memory import MemoryStore
from application.errors import GatewayUnavailableError
from application.place_order import Placed
from application.ports import ChangedPage, PaymentGateway
from application.sweep_payments import SweepPayments, SweepProgress, Swept
from domain.ids import PaymentId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.payment import Payment, PaymentStatus, Shop
from domain.policy import Policy
from domain.reconciliation import differs_from
from domain.sweep import AHEAD, FIRST, LEASE, MARGIN, OVERLAP, Orphan, Sweep
from fake_portone.faults import Fault
from fake_portone.ledger import Cancel

START = datetime(2026, 1, 1, 9, tzinfo=UTC)


async def completed(world: Any) -> Placed:
    placed: Placed = await world.place(("programme", 1))
    world.pay(placed)
    await world.webhook(placed)
    assert (await world.record(placed)).order.check_at is None
    return placed


async def sweep(world: Any, since: datetime | None = None) -> Swept:
    swept = await world.sweep_payments(since)
    assert swept is not None
    return cast("Swept", swept)


async def kept(world: Any) -> Sweep:
    async with world.store.reading() as unit:
        return cast("Sweep", await unit.sweeps.read())


async def orphans(world: Any) -> list[Orphan]:
    async with world.store.reading() as unit:
        return list(await unit.orphans.page(limit=10_000))


def cancel_in_console(world: Any, placed: Placed, amount: int | None = None) -> None:
    world.fake.ledger.cancel(placed.order.payment_id, Cancel(reason="the console", amount=amount, trigger="CONSOLE"))


# --- what it finds ----------------------------------------------------------------------------------------------


@pytest.mark.proves("a sweep finds every payment that differs from its order")
@pytest.mark.parametrize(("amount", "status"), [(None, OrderStatus.CANCELLED), (3_000, OrderStatus.COMPLETED)])
async def test_a_refund_in_the_console_whose_webhook_was_lost_is_found(
    world: Any, amount: int | None, status: OrderStatus
) -> None:
    placed = await completed(world)
    world.pass_time(days=2)
    cancel_in_console(world, placed, amount)

    assert (await sweep(world)).differing == 1
    order = (await world.record(placed)).order
    assert (order.status, order.check_at) == (OrderStatus.COMPLETED, world.now()), "the sweep reconciles nothing"
    assert order.refunded.minor == 0

    await world.check()
    order = (await world.record(placed)).order
    assert (order.status, order.refunded.minor, order.check_at) == (status, amount or 20_000, None)
    assert (await sweep(world)).differing == 0


@pytest.mark.proves("a sweep finds every payment that differs from its order")
async def test_an_expired_order_that_was_paid_after_its_last_late_check_is_found(world: Any) -> None:
    placed = await world.place()
    assert (await world.rest(placed)).order.reason is CancelReason.EXPIRED
    world.pass_time(days=3)
    world.pay(placed)

    assert (await sweep(world)).differing == 1
    await world.rest(placed)
    assert world.net(placed) == 0


@pytest.mark.proves("a sweep finds every payment that differs from its order")
async def test_a_pending_order_whose_webhook_was_lost_need_not_wait(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    before = (await world.record(placed)).order.check_at
    await sweep(world)
    after = (await world.record(placed)).order.check_at

    assert after == world.now() < before
    await world.check()
    assert (await world.record(placed)).order.status is OrderStatus.COMPLETED


@pytest.mark.proves("a sweep finds every payment that differs from its order")
async def test_whatever_reconciling_would_change_is_found_and_nothing_else(world: Any, cases: Any) -> None:
    """Every way in which a payment can have moved on, each for an order in every state, eight at a time."""
    moves: dict[str, Callable[[Placed], object]] = {
        "nothing": lambda _: None,
        "paid": world.pay,
        "mismatch": lambda p: world.pay(p, total=1),
        "dollars": lambda p: world.pay(p, currency="USD"),
        "test": lambda p: world.pay(p, channel_type="TEST"),
        "opened": lambda p: world.fake.ledger.open(p.order.payment_id, world.purchase(p)),
    }
    more: dict[str, Callable[[Placed], object]] = {
        "": lambda _: None,
        "part back": lambda p: cancel_in_console(world, p, 1),
        "all back": lambda p: cancel_in_console(world, p),
    }
    for reconcile_first in (False, True):
        for name, move in moves.items():
            for then, next_move in more.items():
                if then and name in ("nothing", "opened"):
                    continue
                if name == "mismatch" and then == "part back":
                    continue
                placed = await world.place(("programme", 1))
                move(placed)
                if reconcile_first:
                    await world.rest(placed)
                    if name in ("mismatch", "dollars", "test"):
                        continue  # everything went back already
                world.pass_time(seconds=1)
                next_move(placed)
                payment = await world.gateway.get(placed.order.payment_id)
                order = (await world.record(placed)).order
                shop = Shop(store_id="store-1", channel_type="LIVE")
                differs = payment is not None and differs_from(order, payment, shop=shop, now=world.now())
                swept = await sweep(world, world.now() - timedelta(seconds=1))
                cases.run += 1
                assert swept.differing == differs, (reconcile_first, name, then)
                assert differs is (name != "nothing" and (not reconcile_first or bool(then))), (
                    reconcile_first,
                    name,
                    then,
                )
                await world.rest(placed)
                world.pass_time(minutes=1)


async def test_a_payment_in_line_with_its_order_costs_no_write_of_it(world: Any) -> None:
    placed = [await completed(world) for _ in range(7)]
    before = [await world.record(one) for one in placed]
    swept = await sweep(world)

    assert (swept.payments, swept.differing, swept.orphans) == (7, 0, 0)
    assert [await world.record(one) for one in placed] == before


async def test_an_order_that_is_due_already_is_not_saved_again(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    world.pass_time(minutes=1)
    before = (await world.record(placed)).order
    assert (await sweep(world)).differing == 1

    assert (await world.record(placed)).order == before


async def test_the_sweep_moves_no_money_and_asks_nothing_of_single_payments() -> None:
    """Its gateway has one method, so that any other would raise."""
    world = Stage([payment("1" * 32)])

    assert (await sweep(world)).payments == 1


# --- orphans ----------------------------------------------------------------------------------------------------


@pytest.mark.proves("a sweep finds every payment without an order")
async def test_a_payment_without_an_order_is_kept_and_never_given_back(world: Any) -> None:
    placed = await world.place()
    world.fake.buyer.pay("somebody-elses-payment", world.purchase(placed, total=5_000))
    assert (await sweep(world)).orphans == 1
    await world.rest(placed)

    (orphan,) = await orphans(world)
    assert (orphan.payment_id, orphan.said, orphan.captured) == ("somebody-elses-payment", "PAID", Money(5_000, "KRW"))
    assert (orphan.store_id, orphan.left) == ("store-1", Money(5_000, "KRW"))
    assert world.fake.ledger.balance("somebody-elses-payment").net == 5_000


async def test_an_orphan_that_is_seen_again_is_known_and_told_as_it_is_then(world: Any) -> None:
    placed = await world.place()
    world.fake.buyer.pay("strange", world.purchase(placed, total=5_000))
    await sweep(world)
    first = world.now()
    world.pass_time(minutes=5)
    world.fake.ledger.cancel("strange", Cancel(reason="by hand", amount=2_000))
    swept = await sweep(world)

    assert (swept.orphans, swept.known_orphans) == (0, 1)
    (orphan,) = await orphans(world)
    assert (orphan.said, orphan.cancelled, orphan.left) == (
        "PARTIAL_CANCELLED",
        Money(2_000, "KRW"),
        Money(3_000, "KRW"),
    )
    assert (orphan.first_seen_at, orphan.last_seen_at) == (first, world.now())


@pytest.mark.parametrize(
    ("status", "is_orphan"),
    [
        (PaymentStatus.READY, False),
        (PaymentStatus.FAILED, False),
        (PaymentStatus.UNKNOWN, False),
        (PaymentStatus.PAY_PENDING, True),
        (PaymentStatus.VIRTUAL_ACCOUNT_ISSUED, True),
        (PaymentStatus.PAID, True),
        (PaymentStatus.PARTIAL_CANCELLED, True),
        (PaymentStatus.CANCELLED, True),
    ],
)
async def test_an_orphan_is_a_payment_for_which_money_was_or_may_be_taken(
    status: PaymentStatus, *, is_orphan: bool
) -> None:
    world = Stage([payment("1" * 32, status=status)])
    await sweep(world)

    assert len(await orphans(world)) == is_orphan


async def test_a_record_that_cannot_be_read_makes_its_order_due_and_is_nothing_to_any_other(world: Any) -> None:
    placed = await completed(world)
    world.fake.buyer.pay("strange", world.purchase(placed))
    world.faults(Fault(name="unknown_status", match="list"))
    swept = await sweep(world)

    assert (swept.payments, swept.differing, swept.orphans) == (2, 1, 0)
    world.faults()
    await world.check()
    assert (await world.record(placed)).order.check_at is None


async def test_another_stores_payment_is_no_orphan_of_ours(world: Any) -> None:
    placed = await world.place()
    world.fake.buyer.pay("strange", world.purchase(placed, store_id="store-2"))

    assert (await sweep(world)).payments == 0


# --- where it has got to ----------------------------------------------------------------------------------------


class Stage:
    """A sweep over payments that a test makes up, on a clock it moves."""

    def __init__(self, payments: list[Payment], *, batch: int = 3) -> None:
        self.at = START
        self.payments = payments
        self.asked: list[tuple[datetime, datetime]] = []
        self.broken_after: int | None = None
        self.hangs_after: int | None = None
        self.hanging = asyncio.Event()
        self.handed_out = 0
        self.store = MemoryStore()
        self.ids = 0
        self.sweep_payments = self.sweeper(batch)

    def sweeper(self, batch: int = 3) -> SweepPayments:
        shop = Shop(store_id="store-1", channel_type="LIVE")
        gateway = cast("PaymentGateway", self)
        return SweepPayments(
            store=self.store, gateway=gateway, shop=shop, clock=self.now, new_id=self.new_id, batch=batch
        )

    def now(self) -> datetime:
        return self.at

    def new_id(self) -> str:
        self.ids += 1
        return f"{self.ids:032x}"

    async def changed_page(
        self, store_id: str, since: datetime, until: datetime, *, number: int, size: int
    ) -> ChangedPage:
        assert store_id == "store-1"
        if not number:
            self.asked.append((since, until))
        within = [p for p in self.payments if p.changed_at is None or since <= p.changed_at <= until]
        on_page = range(number * size, min((number + 1) * size, len(within)))
        if self.broken_after in on_page:
            raise GatewayUnavailableError("a page could not be read")
        if self.hangs_after in on_page:
            self.hanging.set()
            await asyncio.Event().wait()
        self.handed_out += len(on_page)
        return ChangedPage(payments=[within[place] for place in on_page], total=len(within))


def payment(payment_id: str, *, at: datetime | None = START, status: PaymentStatus = PaymentStatus.PAID) -> Payment:
    return Payment(
        id=payment_id,
        status=status,
        said=status.value,
        total=Money(1_000, "KRW"),
        cancelled=Money(0, "KRW"),
        store_id="store-1",
        channel_type="LIVE",
        changed_at=at,
    )


def every_minute(count: int, since: datetime = START - timedelta(hours=1)) -> list[Payment]:
    return [payment(f"{n:032d}", at=since + timedelta(minutes=n)) for n in range(count)]


async def test_the_first_sweep_goes_back_a_week_and_the_next_one_to_just_before_the_end_of_the_last() -> None:
    world = Stage(every_minute(5))
    await sweep(world)
    await sweep(world)

    assert world.asked == [
        (START - FIRST - OVERLAP, START + AHEAD),
        (START - MARGIN - OVERLAP, START + AHEAD),
    ]
    assert (await kept(world)).reached == START - MARGIN


async def test_a_sweep_without_any_change_moves_the_point_all_the_same() -> None:
    """It is the end of our own window: what was not there was seen not to be."""
    world = Stage([])
    await sweep(world)

    assert (await kept(world)).reached == START - MARGIN


async def test_more_than_fit_a_window_are_swept_window_by_window_and_the_point_follows() -> None:
    world = Stage(every_minute(2_500, START - timedelta(days=3)), batch=100)
    page = world.changed_page

    async def until_a_day_ago(
        store_id: str, since: datetime, until: datetime, *, number: int, size: int
    ) -> ChangedPage:
        found = await page(store_id, since, until, number=number, size=size)
        if found.total <= 1_000 and until > START - timedelta(days=2):
            raise GatewayUnavailableError("a page could not be read")
        return found

    world.changed_page = until_a_day_ago  # type: ignore[method-assign]
    with pytest.raises(GatewayUnavailableError):
        await sweep(world)

    reached = (await kept(world)).reached
    assert reached is not None
    assert START - timedelta(days=3) < reached <= START - timedelta(days=2)
    seen = await orphans(world)
    assert {p.id for p in world.payments if p.changed_at is not None and p.changed_at <= reached} <= {
        one.payment_id for one in seen
    }
    world.changed_page, world.asked = page, []  # type: ignore[method-assign]
    await sweep(world)
    assert world.asked[0][0] == reached - OVERLAP
    assert len(await orphans(world)) == 2_500


async def test_a_sweep_that_the_gateway_breaks_off_keeps_what_was_done_and_the_next_one_goes_on() -> None:
    world = Stage(every_minute(10))
    world.broken_after = 7
    with pytest.raises(GatewayUnavailableError):
        await sweep(world)

    assert len(await orphans(world)) == 6, "the pages before the one that could not be read"
    assert (await kept(world)).reached is None, "the window was not read to its end"
    world.broken_after = None
    world.at += timedelta(seconds=1)
    swept = await sweep(world)
    assert (swept.orphans, len(await orphans(world))) == (4, 10)


@pytest.mark.proves("a sweep that dies is gone on with, and skips nothing")
async def test_a_sweep_that_dies_anywhere_is_gone_on_with(cases: Any) -> None:
    for dies_after in range(12):
        world = Stage(every_minute(11))
        world.hangs_after = dies_after
        sweeping = asyncio.create_task(world.sweep_payments())
        waiting = asyncio.create_task(world.hanging.wait())
        await asyncio.wait({sweeping, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        sweeping.cancel()
        await asyncio.wait([sweeping])
        whole = dies_after // 3 * 3
        assert len(await orphans(world)) == (whole if dies_after < 11 else 11)

        world.hangs_after, world.handed_out = None, 0
        await sweep(world)
        cases.run += 1
        assert len(await orphans(world)) == 11
        assert (await kept(world)).reached == START - MARGIN


async def test_a_sweep_from_an_earlier_time_does_not_move_the_point_back() -> None:
    world = Stage(every_minute(30))
    await sweep(world)
    reached = (await kept(world)).reached
    world.payments = world.payments[:5]
    swept = await sweep(world, START - timedelta(days=30))

    assert (swept.since, swept.payments) == (START - timedelta(days=30), 5)
    assert (await kept(world)).reached == reached


async def test_a_sweep_from_an_earlier_time_may_move_the_point_on() -> None:
    world = Stage(every_minute(10))
    await sweep(world)
    world.at += timedelta(hours=1)
    await sweep(world, START - timedelta(days=30))

    assert (await kept(world)).reached == START + timedelta(hours=1) - MARGIN


async def test_a_sweep_that_leaves_a_gap_behind_the_point_does_not_move_it() -> None:
    world = Stage(every_minute(30))
    await sweep(world, START - timedelta(minutes=20))
    assert (await kept(world)).reached is None

    await sweep(world)
    world.at += timedelta(hours=1)
    await sweep(world, START)
    assert (await kept(world)).reached == START - MARGIN
    world.payments.append(payment("9" * 32, at=START - timedelta(seconds=30)))
    assert (await sweep(world)).orphans == 1


async def test_changes_dated_ahead_of_our_clock_are_seen_and_the_point_stays_behind_it() -> None:
    ahead = payment("1" * 32, at=START + timedelta(days=1))
    world = Stage([payment("0" * 32, at=START - timedelta(hours=1)), ahead])
    assert (await sweep(world)).payments == 2
    assert (await kept(world)).reached == START - MARGIN

    world.payments.insert(1, payment("2" * 32, at=START - timedelta(minutes=9)))
    world.at += timedelta(seconds=30)
    assert (await sweep(world)).orphans == 1, "a change that shows late, and long before the latest one seen"


async def test_a_clock_of_ours_that_jumps_ahead_skips_nothing() -> None:
    world = Stage(every_minute(5))
    world.at += timedelta(days=365)
    await sweep(world, START - timedelta(days=1))
    await sweep(world)
    world.at = START
    world.payments += [payment("9" * 32)]

    assert (await sweep(world, None)).payments >= 1
    assert "9" * 32 in {one.payment_id for one in await orphans(world)}


async def test_a_clock_of_ours_that_falls_back_skips_nothing() -> None:
    world = Stage(every_minute(5))
    await sweep(world)
    world.at = START - timedelta(days=365)
    world.payments += [payment("9" * 32)]

    assert (await sweep(world)).orphans == 1


async def test_payments_without_a_time_do_not_stop_the_sweep() -> None:
    world = Stage([payment(f"{n:032d}", at=None) for n in range(4)])
    assert (await sweep(world)).payments == 4
    assert (await kept(world)).reached == START - MARGIN


# --- one at a time ----------------------------------------------------------------------------------------------


async def test_who_comes_second_does_not_sweep() -> None:
    world = Stage(every_minute(5))
    world.hangs_after = 4
    sweeping = asyncio.create_task(world.sweep_payments())
    await world.hanging.wait()

    assert await world.sweep_payments() is None
    sweeping.cancel()
    await asyncio.wait([sweeping])
    world.hangs_after = None
    assert await world.sweep_payments() is not None, "whoever is stopped lets go"


async def test_a_sweeper_that_died_is_taken_over_when_its_lease_ends_and_does_nothing_if_it_wakes() -> None:
    world = Stage(every_minute(11))
    world.hangs_after = 4
    asleep = world.sweeper()
    sleeping = asyncio.create_task(asleep())
    await world.hanging.wait()
    world.hangs_after = None
    world.at += LEASE - timedelta(seconds=1)
    assert await world.sweep_payments() is None
    world.at += timedelta(seconds=1)

    assert (await sweep(world)).payments == 11
    version = (await kept(world)).version
    sleeping.cancel()
    await asyncio.wait([sleeping])
    assert (await kept(world)).version == version


async def test_a_sweeper_that_lost_its_lease_stops_at_its_next_batch() -> None:
    world = Stage(every_minute(11))
    slow, other = world.sweeper(), world.sweeper()
    taken_over: list[Swept | None] = []

    async def while_another_takes_over(*asked: Any, number: int, size: int) -> ChangedPage:
        if number == 1:
            world.at += LEASE
            world.changed_page = page  # type: ignore[method-assign]
            taken_over.append(await other())
        return await page(*asked, number=number, size=size)

    page, world.changed_page = world.changed_page, while_another_takes_over  # type: ignore[method-assign,assignment]
    swept = await slow()

    assert swept is not None
    assert swept.payments == 3
    assert [end and end.payments for end in taken_over] == [11]
    assert not (await kept(world)).is_held(world.at)


async def test_a_lease_that_a_wrong_clock_took_for_ever_holds_nobody_up() -> None:
    world = Stage(every_minute(2))
    async with world.store.writing() as unit:
        await unit.sweeps.save(Sweep().held_by("somebody", START + timedelta(days=365)))
        await unit.commit()

    assert await world.sweep_payments() is not None


# --- how much it holds ------------------------------------------------------------------------------------------


@pytest.mark.proves("a sweep holds one batch of payments, however many there are")
async def test_no_payment_of_a_batch_is_asked_for_before_the_batch_before_it_was_kept() -> None:
    world = Stage(every_minute(1_000), batch=100)
    held: list[int] = []
    await world.sweep_payments(None, lambda told: held.append(world.handed_out - told.so_far.payments))

    assert held == [0] * 11, "ten full pages, and one that shows that they were all"


async def test_progress_tells_what_was_found_after_each_batch(world: Any) -> None:
    placed = [await completed(world) for _ in range(4)]
    cancel_in_console(world, placed[0])
    world.fake.buyer.pay("strange", world.purchase(placed[0]))
    told: list[SweepProgress] = []
    swept = await world.sweep_payments(None, told.append)

    assert [step.so_far.payments for step in told] == [3, 5]
    assert told[-1].so_far == swept == replace(swept, payments=5, differing=1, orphans=1)
    assert [order_id for step in told for order_id in step.differing] == [placed[0].order.id]
    assert [one.payment_id for step in told for one in step.orphans] == ["strange"]


async def test_an_order_that_somebody_changes_meanwhile_is_read_and_decided_again(world: Any) -> None:
    placed = await completed(world)
    cancel_in_console(world, placed)
    payment_id = PaymentId(placed.order.payment_id)
    changing = world.store.writing
    changed: list[object] = []

    def writing() -> Any:
        unit = changing()
        keep = unit.orders.save

        async def save(order: Any) -> None:
            if not changed:
                changed.append(order)
                raise unit.conflict("somebody was faster")
            await keep(order)

        unit.orders.save = save
        return unit

    world.store.writing = writing
    assert (await sweep(world)).differing == 1
    assert changed
    assert (await world.record(placed)).order.check_at == world.now()
    assert payment_id == placed.order.payment_id


async def test_a_sweep_goes_by_the_shops_own_time_for_a_deposit(new_world: Any) -> None:
    world = await new_world(policy=Policy(deposit_within=timedelta(days=3)))
    placed = await world.place()
    world.fake.buyer.issue_account(placed.order.payment_id, world.purchase(placed))
    await world.webhook(placed, "Transaction.VirtualAccountIssued", implies=frozenset())
    world.pass_time(hours=5)
    assert (await sweep(world)).differing == 0, "by the usual time it would have to be given up"
