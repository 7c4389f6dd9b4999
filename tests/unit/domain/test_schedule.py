"""When an order is checked again, and when it is at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from domain import schedule
from domain.ids import OrderId, PaymentId, ProductId, RefundId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order, OrderLine
from domain.payment import Cancellation, CancellationStatus, Payment, PaymentStatus, Shop
from domain.policy import Policy
from domain.reconciliation import check_failed, place, reconcile, request_refund

T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
GRACE = timedelta(seconds=30)
OVER = timedelta(minutes=15) + GRACE
USUAL = Policy()
SHOP = Shop(store_id="store-ours", channel_type="LIVE")


def placed(order_id: str = "a" * 32, *, lives: timedelta = timedelta(minutes=15)) -> Order:
    line = OrderLine(product_id=ProductId("vip"), name="VIP 1열 1번", quantity=1, price=Money(1000, "KRW"))
    reconciliation = place(
        order_id=OrderId(order_id),
        payment_id=PaymentId("p" * 32),
        token_hash="0" * 64,
        lines=[line],
        now=T0,
        expires_at=T0 + lives,
    )
    return reconciliation.order


def payment(status: PaymentStatus, *, said: str | None = None, deposit_due: datetime | None = None) -> Payment:
    back = 1000 if status is PaymentStatus.CANCELLED else 0
    return Payment(
        id="p" * 32,
        status=status,
        said=said or status.value,
        total=Money(1000, "KRW"),
        cancelled=Money(back, "KRW"),
        store_id="store-ours",
        channel_type="LIVE",
        deposit_due=deposit_due,
    )


def hear(
    order: Order,
    said: Payment | None,
    now: datetime,
    *,
    on_schedule: bool = True,
    policy: Policy = USUAL,
    announces_more: bool | None = None,
) -> Order:
    return reconcile(
        order,
        said,
        shop=SHOP,
        now=now,
        policy=policy,
        refund_id=RefundId("r1"),
        on_schedule=on_schedule,
        announces_more=announces_more,
    ).order


def delays(order: Order, said: Payment | None, now: datetime, *, most: int = 30) -> list[timedelta]:
    """How long each check waits for the next, if each is made when it is due and finds the same; until rest."""
    waits: list[timedelta] = []
    while order.check_at is not None and len(waits) < most:
        waits.append(order.check_at - now)
        now = order.check_at
        order = hear(order, said, now)
    return waits


def about(*expected: timedelta) -> object:
    """Within the spread of a tenth either way."""
    return pytest.approx([wait.total_seconds() for wait in expected], rel=0.1)


def seconds(waits: list[timedelta]) -> list[float]:
    return [wait.total_seconds() for wait in waits]


def s(count: float) -> timedelta:
    return timedelta(seconds=count)


def m(count: float) -> timedelta:
    return timedelta(minutes=count)


def h(count: float) -> timedelta:
    return timedelta(hours=count)


def test_an_unpaid_order_is_checked_after_half_a_minute_doubling_to_four_minutes() -> None:
    waits = delays(placed(lives=h(1)), None, T0, most=7)
    assert seconds(waits) == about(s(30), s(60), s(120), s(240), s(240), s(240), s(240))


def test_the_last_checks_of_an_unpaid_order_are_exactly_at_its_time_and_when_it_is_given_up() -> None:
    order, now = placed(lives=m(5)), T0
    times = []
    while order.status is OrderStatus.PENDING:
        assert order.check_at is not None
        times.append(now := order.check_at)
        order = hear(order, None, now)
    assert times[-2:] == [T0 + m(5), T0 + m(5.5)]
    assert all(time < T0 + m(5) for time in times[:-2])


def test_an_order_that_lives_for_seconds_is_not_checked_after_its_time() -> None:
    assert placed(lives=s(5)).check_at == T0 + s(5)


@pytest.mark.parametrize("after", [OVER, h(1)])
def test_an_order_whose_money_may_be_moving_is_checked_from_its_time_on(after: timedelta) -> None:
    moving = payment(PaymentStatus.PAY_PENDING)
    waits = delays(hear(placed(), moving, T0 + after), moving, T0 + after, most=5)
    assert seconds(waits) == about(s(30), s(60), s(120), s(240), s(240))


def test_an_issued_account_is_checked_ever_less_often_and_exactly_at_its_own_time() -> None:
    issued, policy = payment(PaymentStatus.VIRTUAL_ACCOUNT_ISSUED, deposit_due=T0 + h(3)), Policy(deposit_within=h(4))
    order = hear(placed(lives=h(1)), issued, T0 + s(20), policy=policy)
    checks = [T0 + s(20)]
    while order.status is OrderStatus.PENDING:
        assert order.check_at is not None
        checks.append(order.check_at)
        order = hear(order, issued, order.check_at, policy=policy)
    assert checks[-1] == T0 + h(3) + GRACE
    assert T0 + h(1) in checks
    waits = [after - before for before, after in pairwise(checks) if after != T0 + h(1)]
    assert seconds(waits[:6]) == about(s(30), m(1), m(2), m(4), m(8), m(16))
    assert all(wait <= m(33) for wait in waits)


def test_an_order_is_checked_exactly_when_the_shops_own_bound_for_a_deposit_is_over() -> None:
    issued, policy = payment(PaymentStatus.VIRTUAL_ACCOUNT_ISSUED, deposit_due=T0 + h(9)), Policy(deposit_within=h(2))
    order = hear(placed(), issued, T0 + s(20), policy=policy)
    now = T0
    while order.status is OrderStatus.PENDING:
        assert order.check_at is not None
        order = hear(order, issued, now := order.check_at, policy=policy)
    assert now == T0 + h(2) + GRACE


def test_a_new_attempt_brings_the_next_check_nearer() -> None:
    order = replace(placed(lives=h(1)), checks=6, check_at=T0 + m(20))
    order = hear(order, payment(PaymentStatus.READY), T0 + m(16), on_schedule=False)
    assert order.check_at is not None
    assert seconds([order.check_at - T0 - m(16)]) == about(s(30))


@pytest.mark.parametrize("said", [None, payment(PaymentStatus.READY)])
def test_a_check_in_between_that_finds_nothing_new_puts_nothing_off(said: Payment | None) -> None:
    order = hear(placed(), said, T0 + s(30))
    for _ in range(20):
        assert hear(order, said, T0 + s(31), on_schedule=False) == order


def test_a_buyer_who_keeps_asking_does_not_use_up_the_late_checks() -> None:
    order = hear(placed(), None, T0 + OVER)
    for _ in range(20):
        order = hear(order, None, T0 + OVER, on_schedule=False)
    assert len(delays(order, None, T0 + OVER)) == 5


def test_a_cancelled_order_is_checked_five_times_over_a_day_for_late_money_and_then_rests() -> None:
    order = hear(placed(), None, T0 + OVER)
    assert order.status is OrderStatus.CANCELLED
    assert seconds(delays(order, None, T0 + OVER)) == about(m(2), m(15), h(1), h(6), h(24))


def test_a_cancelled_order_whose_money_was_announced_is_checked_every_hour_for_a_day_and_then_as_any_other() -> None:
    order = replace(hear(placed(), None, T0 + OVER), announced_at=T0 + OVER)
    waits = delays(order, None, T0 + OVER)
    hourly = [wait for wait in waits if timedelta(0) < wait <= h(1.1)]
    assert hourly[-1] >= h(0.9)
    assert timedelta(days=1) < sum(waits[: len(hourly)], timedelta(0)) < timedelta(days=1) + h(1.2)
    assert len(waits) < 40


def test_a_gateway_that_puzzled_us_for_hours_does_not_cost_a_cancelled_order_its_late_checks() -> None:
    order = hear(placed(), None, T0 + OVER)
    now, puzzle = T0 + m(16), payment(PaymentStatus.UNKNOWN, said="NEW")
    for _ in range(10):
        order = hear(order, puzzle, now)
        assert order.check_at is not None
        now = order.check_at
    order = hear(order, payment(PaymentStatus.FAILED), now)
    assert seconds(delays(order, payment(PaymentStatus.FAILED), now)) == about(m(2), m(15), h(1), h(6), h(24))


def test_an_order_at_rest_stays_there_however_often_the_same_is_said() -> None:
    paid = payment(PaymentStatus.PAID)
    order = hear(placed(), paid, T0 + s(30))
    assert order.check_at is None
    assert hear(order, paid, T0 + h(1), on_schedule=False) == order


def test_late_checks_that_are_over_do_not_begin_again() -> None:
    order = hear(placed(), None, T0 + OVER)
    while order.check_at is not None:
        order = hear(order, None, order.check_at)
    assert hear(order, None, T0 + h(48), on_schedule=False) == order
    assert hear(order.check_by(T0 + h(48)), None, T0 + h(48)).check_at is None


def test_an_attempt_on_a_cancelled_order_at_rest_begins_the_late_checks_again() -> None:
    order = replace(hear(placed(), None, T0 + OVER), check_at=None, checks=4)
    order = hear(order, payment(PaymentStatus.READY), T0 + h(48), on_schedule=False)
    assert seconds(delays(order, payment(PaymentStatus.READY), T0 + h(48))) == about(m(2), m(15), h(1), h(6), h(24))


def test_owed_money_is_checked_now_and_then_ever_less_often_up_to_an_hour() -> None:
    wrong = replace(payment(PaymentStatus.PAID), store_id="theirs")
    order = hear(placed(), wrong, T0 + s(30))
    assert order.check_at == T0 + s(30)
    waits = delays(order, wrong, T0 + s(30), most=13)
    expected = [s(10) * 2**doubled for doubled in range(9)]
    assert seconds(waits) == about(s(0), *expected, h(1), h(1), h(1))


def test_a_second_refund_is_checked_as_soon_as_the_first_was() -> None:
    paid = payment(PaymentStatus.PAID)
    order, now = hear(placed(), paid, T0), T0
    for again in range(2):
        order = request_refund(
            order, Money(100, "KRW"), refund_id=RefundId(f"r{again}"), reason="", requested_by="merchant", now=now
        ).order
        waits = delays(order, paid, now, most=6)
        assert seconds(waits) == about(s(0), s(10), s(20), s(40), s(80), s(160))
        for wait in waits:
            now += wait
            order = hear(order, paid, now)


def test_a_refund_that_fails_again_and_again_is_asked_for_ever_less_often() -> None:
    wrong = replace(payment(PaymentStatus.PAID), store_id="theirs")
    reconciliation = reconcile(placed(), wrong, shop=SHOP, now=T0, refund_id=RefundId("r0"), on_schedule=True)
    now, waits = T0, []
    for again in range(1, 6):
        (refund,) = (refund for refund in reconciliation.refunds if refund.ended_at is None)
        failed = Cancellation(
            id=refund.id, status=CancellationStatus.FAILED, amount=refund.amount, reason=f"[{refund.id}]"
        )
        reconciliation = reconcile(
            reconciliation.order,
            wrong.including(failed),
            shop=SHOP,
            now=now,
            refund_id=RefundId(f"r{again}"),
            refunds=[refund],
            on_schedule=True,
        )
        assert reconciliation.order.check_at is not None
        waits.append(reconciliation.order.check_at - now)
        now = reconciliation.order.check_at
    assert seconds(waits) == about(s(10), s(20), s(40), s(80), s(160))


def test_an_account_that_stays_open_on_a_cancelled_order_is_checked_up_to_every_hour_without_end() -> None:
    issued = payment(PaymentStatus.VIRTUAL_ACCOUNT_ISSUED)
    order = hear(placed(), issued, T0 + OVER)
    assert order.status is OrderStatus.CANCELLED
    waits = delays(order, issued, T0 + OVER, most=80)
    assert seconds(waits[:3] + waits[20:21] + waits[-1:]) == about(s(5), s(10), s(20), h(1), h(1))
    assert len(waits) == 80


def test_an_account_that_was_open_is_checked_on_though_its_record_is_not_found() -> None:
    order = hear(placed(), None, T0 + OVER)
    order = hear(order, payment(PaymentStatus.VIRTUAL_ACCOUNT_ISSUED), T0 + OVER)
    waits = delays(order, None, T0 + OVER)
    assert len(waits) == 30
    assert seconds(waits[-3:]) == about(h(1), h(1), h(1))


def test_a_status_we_do_not_know_is_checked_after_a_minute_doubling_to_an_hour() -> None:
    puzzle = payment(PaymentStatus.UNKNOWN, said="NEW")
    waits = delays(hear(placed(), puzzle, T0), puzzle, T0, most=9)
    assert seconds(waits) == about(m(1), m(2), m(4), m(8), m(16), m(32), h(1), h(1), h(1))


def test_failed_checks_back_off_from_two_seconds_to_five_minutes_without_end() -> None:
    order, now = placed(), T0
    waits = []
    for _ in range(11):
        order = check_failed(order, "time-out", now).order
        assert order.check_at is not None
        waits.append(order.check_at - now)
        now = order.check_at
    assert seconds(waits) == about(*(s(2**count) for count in range(1, 9)), m(5), m(5), m(5))
    for _ in range(100):
        order = check_failed(order, "time-out", now).order
    assert order.check_at is not None
    assert seconds([order.check_at - now]) == about(m(5))


def test_a_failed_check_never_expires_an_order() -> None:
    assert check_failed(placed(), "time-out", T0 + h(9)).order.status is OrderStatus.PENDING


def test_a_check_that_failed_wakes_no_order_that_came_to_rest_meanwhile() -> None:
    order = hear(placed(), payment(PaymentStatus.PAID), T0)
    assert order.check_at is None
    reconciliation = check_failed(order, "time-out", T0 + s(1))
    assert (reconciliation.order, reconciliation.entries) == (order, ())


def test_a_successful_check_forgets_the_failed_ones() -> None:
    order = check_failed(check_failed(placed(), "time-out", T0).order, "time-out", T0).order
    assert order.failures == 2
    assert hear(order, None, T0 + s(30)).failures == 0


@pytest.mark.parametrize(("planned", "expected"), [(None, T0), (T0 + s(1), T0), (T0, T0), (T0 - s(1), T0 - s(1))])
def test_an_order_can_be_asked_to_be_checked_sooner_but_never_later(
    planned: datetime | None, expected: datetime
) -> None:
    assert replace(placed(), check_at=planned).check_by(T0).check_at == expected


def first(order: Order) -> timedelta:
    assert order.check_at is not None
    return order.check_at - T0


def failed(order: Order) -> timedelta:
    return first(check_failed(order, "time-out", T0).order)


@pytest.mark.parametrize(("wait", "middle"), [(first, s(30)), (failed, s(2))])
def test_no_two_orders_march_in_step_and_none_strays_by_more_than_a_tenth(
    wait: Callable[[Order], timedelta], middle: timedelta
) -> None:
    waits = {wait(placed(f"{number:032x}")) for number in range(200)}
    assert len(waits) > 190
    assert middle * 0.9 <= min(waits) < middle * 0.93
    assert middle * 1.07 < max(waits) <= middle * 1.1
    assert wait(placed()) == wait(placed())


def test_one_orders_checks_are_not_all_spread_alike() -> None:
    waits = delays(placed(lives=h(9)), None, T0, most=20)
    assert len(set(waits[4:])) > 10


def test_what_puzzles_is_checked_after_a_minute_doubling_to_an_hour_without_end() -> None:
    order = hear(placed(), payment(PaymentStatus.PAID), T0)
    order = hear(order, None, T0)
    waits = delays(order, None, T0, most=9)
    assert seconds(waits) == about(m(1), m(2), m(4), m(8), m(16), m(32), h(1), h(1), h(1))


@pytest.mark.parametrize("count", [0, 1, 5, 30])
def test_no_check_is_ever_planned_further_away_than_the_longest_wait(count: int) -> None:
    policy = Policy(deposit_within=h(24 * 365), pending_most=h(24 * 365))
    said = [None, *(payment(status, said="NEW") for status in PaymentStatus)]
    for order in (placed(), placed(lives=h(24 * 365))):
        for after in (s(1), OVER, h(24 * 400)):
            for record in said:
                heard = hear(replace(order, checks=count), record, T0 + after, policy=policy, announces_more=True)
                failing = check_failed(replace(order, failures=count), "time-out", T0 + after).order
                for planned in (heard, failing):
                    assert planned.check_at is None or planned.check_at - T0 - after < schedule.LONGEST


def test_a_lease_is_longer_than_the_slowest_check() -> None:
    get, cancel = s(10), s(60)
    assert get + cancel + get < schedule.LEASE
