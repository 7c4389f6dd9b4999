"""Where the money of one payment is, by both sides' books: each answer with its sum, sentence and whom it is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.audit import RECONCILING, Balance, Explanation, Finding, FindingKind, explain
from domain.ids import OrderId, PaymentId, ProductId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Order, OrderLine
from domain.payment import Payment, PaymentStatus, Shop
from domain.reconciliation import place

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
SHOP = Shop(store_id="store-ours", channel_type="LIVE")
UNEXPLAINED, ORPHANED, UNRECONCILED = FindingKind.UNEXPLAINED, FindingKind.ORPHANED, FindingKind.UNRECONCILED


def krw(minor: int) -> Money:
    return Money(minor, "KRW")


def order(status: OrderStatus = OrderStatus.COMPLETED, *, captured: Money | None = None, **other: object) -> Order:
    placed = place(
        order_id=OrderId("a" * 32),
        payment_id=PaymentId("p" * 32),
        token_hash="0" * 64,
        lines=[OrderLine(product_id=ProductId("seat"), name="VIP 1열 1번", quantity=1, price=krw(1000))],
        now=LONG_AGO,
        expires_at=LONG_AGO + timedelta(minutes=15),
    ).order
    cancelled = status is OrderStatus.CANCELLED
    its = {"reason": CancelReason.MISMATCH if cancelled else None, "check_at": None, "captured": captured} | other
    return replace(placed, status=status, **its)  # type: ignore[arg-type]


def payment(
    status: PaymentStatus = PaymentStatus.PAID, *, total: int = 1000, cancelled: int = 0, **other: object
) -> Payment:
    usual = Payment(
        id="p" * 32,
        status=status,
        said=status.value,
        total=krw(total),
        cancelled=krw(cancelled),
        store_id="store-ours",
        channel_type="LIVE",
        changed_at=LONG_AGO,
    )
    return replace(usual, **other)  # type: ignore[arg-type]


def told(kind: FindingKind, amount: Money, why: str, *, ours: bool = True) -> Finding:
    its = OrderId("a" * 32) if ours else None
    return Finding(kind=kind, payment_id="p" * 32, order_id=its, amount=amount, why=why)


def explained(order: Order | None, payment: Payment | None) -> Explanation:
    return explain(order, payment, shop=SHOP, now=NOW)


PARTLY, ALL_BACK = PaymentStatus.PARTIAL_CANCELLED, PaymentStatus.CANCELLED
NOTHING = Explanation()


@pytest.mark.parametrize(
    ("payment", "expected"),
    [
        (
            payment(),
            Explanation(
                currency="KRW",
                balance=Balance(captured=1000, orphaned=1000),
                finding=told(ORPHANED, krw(1000), "1000 KRW was taken by a payment that no order is for", ours=False),
            ),
        ),
        (
            payment(PARTLY, cancelled=400),
            Explanation(
                currency="KRW",
                balance=Balance(captured=1000, refunded=400, orphaned=600),
                finding=told(ORPHANED, krw(600), "600 KRW was taken by a payment that no order is for", ours=False),
            ),
        ),
        (
            payment(ALL_BACK, cancelled=1000),
            Explanation(currency="KRW", balance=Balance(captured=1000, refunded=1000)),
        ),
        (payment(PaymentStatus.READY), NOTHING),
        (payment(PaymentStatus.FAILED), NOTHING),
        (None, NOTHING),
        (
            payment(PaymentStatus.UNKNOWN, said="X" * 65),
            Explanation(
                finding=told(
                    ORPHANED,
                    krw(1000),
                    f"the gateway says '{'X' * 64}', from which nobody can tell whether money was taken",
                    ours=False,
                )
            ),
        ),
    ],
)
def test_of_a_payment_without_an_order_it_tells_what_was_taken_and_is_left(
    payment: Payment | None, expected: Explanation
) -> None:
    assert explained(None, payment) == expected
    assert not expected.is_open


@pytest.mark.parametrize(
    ("order", "payment", "balance"),
    [
        (order(captured=krw(1000)), payment(), Balance(captured=1000, completed=1000)),
        (
            order(captured=krw(1000), refunded=krw(400)),
            payment(PARTLY, cancelled=400),
            Balance(captured=1000, refunded=400, completed=600),
        ),
        (
            order(captured=krw(1000), refunded=krw(400), owed=krw(100)),
            payment(PARTLY, cancelled=400),
            Balance(captured=1000, refunded=400, completed=500, owed=100),
        ),
        (
            order(OrderStatus.CANCELLED, captured=krw(1000), owed=krw(1000)),
            payment(),
            Balance(captured=1000, owed=1000),
        ),
        (
            order(OrderStatus.CANCELLED, captured=krw(1000), refunded=krw(1000)),
            payment(ALL_BACK, cancelled=1000),
            Balance(captured=1000, refunded=1000),
        ),
        (
            order(OrderStatus.CANCELLED),
            payment(ALL_BACK, cancelled=1000),
            Balance(captured=1000, refunded=1000),
        ),
    ],
)
def test_where_both_sides_agree_nothing_is_to_be_said(order: Order, payment: Payment, balance: Balance) -> None:
    assert explained(order, payment) == Explanation(currency="KRW", balance=balance)


@pytest.mark.parametrize("status", [None, PaymentStatus.READY, PaymentStatus.FAILED])
def test_where_neither_side_knows_of_money_there_is_none(status: PaymentStatus | None) -> None:
    assert explained(order(OrderStatus.PENDING), None if status is None else payment(status)) == NOTHING


@pytest.mark.parametrize(
    ("order", "payment", "amount", "why"),
    [
        (
            order(OrderStatus.PENDING),
            payment(PARTLY, total=900, cancelled=200),
            700,
            "the order is PENDING and has not heard of the money",
        ),
        (
            order(captured=krw(4000), refunded=krw(3000)),
            payment(),
            4000,
            "the gateway took 1000 KRW, and the order says 4000 KRW",
        ),
        (
            order(captured=krw(1000), refunded=krw(500)),
            payment(PARTLY, cancelled=200),
            800,
            "800 KRW is left at the gateway, and 500 KRW by the order",
        ),
        (
            order(captured=krw(1000), refunded=krw(200)),
            payment(PARTLY, cancelled=500),
            800,
            "500 KRW is left at the gateway, and 800 KRW by the order",
        ),
        (order(captured=krw(1000)), payment(PARTLY, cancelled=1300), 300, "300 KRW more went back than was taken"),
        (
            order(OrderStatus.PENDING, captured=krw(1000)),
            payment(),
            1000,
            "the order is PENDING, although it knows of the money",
        ),
        (
            order(captured=krw(1000)),
            payment(store_id="theirs", channel_type="TEST"),
            1000,
            "the order is COMPLETED, and its payment differs in store, channel",
        ),
        (
            order(OrderStatus.CANCELLED, captured=krw(1000), owed=krw(300)),
            payment(),
            1000,
            "the order is CANCELLED, and 700 KRW is neither given back nor owed",
        ),
    ],
)
def test_what_is_not_borne_out_by_both_sides_is_unexplained(
    order: Order, payment: Payment, amount: int, why: str
) -> None:
    found = explained(order, payment)
    assert found.finding == told(UNEXPLAINED, krw(amount), why)
    went_back = min(payment.cancelled.minor, payment.total.minor)
    assert found.currency == "KRW"
    assert found.balance == Balance(captured=payment.total.minor, refunded=went_back, unexplained=amount)
    assert found.is_open


@pytest.mark.parametrize(
    ("payment", "amount"),
    [(payment(PARTLY, cancelled=400), 600), (payment(ALL_BACK, cancelled=1000), 1000)],
)
def test_where_the_currencies_differ_the_sum_is_in_the_gateways(payment: Payment, amount: int) -> None:
    """A sum of ours in it would be dollars among won."""
    found = explained(order(captured=Money(77, "USD"), refunded=Money(0, "USD")), payment)
    assert found.finding == told(UNEXPLAINED, krw(amount), "the gateway took 1000 KRW, and the order says 77 USD")
    assert (found.currency, found.balance.unexplained) == ("KRW", amount)


@pytest.mark.parametrize(
    ("status", "said"),
    [(None, "knows no such payment"), (PaymentStatus.READY, "says 'READY'"), (PaymentStatus.FAILED, "says 'FAILED'")],
)
def test_an_order_that_says_money_was_taken_where_none_was_is_unexplained(
    status: PaymentStatus | None, said: str
) -> None:
    found = explained(order(captured=krw(1000)), None if status is None else payment(status))
    why = f"the order is COMPLETED and says that 1000 KRW was taken, and the gateway {said}"
    assert found.finding == told(UNEXPLAINED, krw(1000), why)
    assert (found.currency, found.balance) == ("KRW", Balance(unexplained=1000))


def test_a_long_word_for_nothing_is_cut() -> None:
    found = explained(order(captured=krw(1000)), payment(PaymentStatus.READY, said="X" * 65))
    assert found.finding is not None
    assert found.finding.why.endswith(f"the gateway says '{'X' * 64}'")


@pytest.mark.parametrize(
    ("ago", "check_at", "kind"),
    [
        (RECONCILING, NOW, UNEXPLAINED),
        (RECONCILING - timedelta(microseconds=1), NOW, UNRECONCILED),
        (RECONCILING - timedelta(microseconds=1), None, UNEXPLAINED),
        (None, NOW, UNEXPLAINED),
    ],
)
@pytest.mark.parametrize("unknown", [False, True])
def test_what_moved_within_minutes_and_will_be_checked_is_not_reconciled_yet(
    ago: timedelta | None, check_at: datetime | None, kind: FindingKind, *, unknown: bool
) -> None:
    word = "the gateway says 'ON_HOLD', from which nobody can tell whether money was taken"
    why = word if unknown else "the order is PENDING and has not heard of the money"
    changed = None if ago is None else NOW - ago
    status = PaymentStatus.UNKNOWN if unknown else PaymentStatus.PAID
    said = payment(status, said="ON_HOLD" if unknown else "PAID", changed_at=changed)
    found = explained(order(OrderStatus.PENDING, check_at=check_at), said)
    assert found.finding == told(kind, krw(1000), why)
    assert found.balance == Balance(captured=0 if unknown else 1000, **{kind.value: 1000})
    assert found.is_open == (kind is UNEXPLAINED)


def test_of_an_unknown_status_what_the_order_says_was_taken_is_open_else_its_price() -> None:
    said = payment(PaymentStatus.UNKNOWN, said="ON_HOLD")
    taken = explained(order(captured=krw(900)), said).finding
    expected = explained(order(OrderStatus.PENDING), said).finding
    assert taken is not None
    assert expected is not None
    assert (taken.amount, expected.amount) == (krw(900), krw(1000))
