"""Where the money of one payment is, by both sides' books: each answer with its sum, sentence and whom it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.attention import Attention, AttentionKind
from domain.audit import (
    LATE,
    RECONCILING,
    Balance,
    Explanation,
    Finding,
    FindingKind,
    explain,
    explain_unreadable,
)
from domain.ids import OrderId, PaymentId, ProductId, RefundId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Order, OrderLine
from domain.payment import UNREADABLE, Payment, PaymentStatus, Shop
from domain.reconciliation import place
from domain.refund import Refund, RefundStatus

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


def only(kind: FindingKind, amount: Money, why: str, *, ours: bool = True) -> tuple[Finding, ...]:
    return (told(kind, amount, why, ours=ours),)


def refund(amount: Money, status: RefundStatus = RefundStatus.REQUESTED, **other: object) -> Refund:
    usual = Refund(
        id=RefundId("f" * 32),
        order_id=OrderId("a" * 32),
        amount=amount,
        reason="",
        requested_by="me",
        requested_at=NOW - timedelta(hours=1),
        status=status,
    )
    return replace(usual, **other)  # type: ignore[arg-type]


def explained(order: Order | None, payment: Payment | None, refunds: Sequence[Refund] | None = None) -> Explanation:
    """With a refund for what the order owes, unless it is about others."""
    if refunds is None:
        refunds = [refund(order.owed)] if order is not None and order.owed else []
    return explain(order, payment, refunds, shop=SHOP, now=NOW)


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
                findings=only(ORPHANED, krw(1000), "1000 KRW was taken by a payment that no order is for", ours=False),
            ),
        ),
        (
            payment(PARTLY, cancelled=400),
            Explanation(
                currency="KRW",
                balance=Balance(captured=1000, refunded=400, orphaned=600),
                findings=only(ORPHANED, krw(600), "600 KRW was taken by a payment that no order is for", ours=False),
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
                findings=only(
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
    assert found.findings == only(UNEXPLAINED, krw(amount), why)
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
    assert found.findings == only(UNEXPLAINED, krw(amount), "the gateway took 1000 KRW, and the order says 77 USD")
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
    assert found.findings == only(UNEXPLAINED, krw(1000), why)
    assert (found.currency, found.balance) == ("KRW", Balance(unexplained=1000))


def test_a_long_word_for_nothing_is_cut() -> None:
    found = explained(order(captured=krw(1000)), payment(PaymentStatus.READY, said="X" * 65))
    (finding,) = found.findings
    assert finding.why.endswith(f"the gateway says '{'X' * 64}'")


TICK = timedelta(microseconds=1)
DUE, OVERDUE, LATER = NOW - RECONCILING + TICK, NOW - RECONCILING, NOW + RECONCILING


@pytest.mark.parametrize(
    ("ago", "check_at", "kind"),
    [
        (timedelta(days=1), NOW, UNRECONCILED),
        (timedelta(days=1), DUE, UNRECONCILED),
        (timedelta(days=1), OVERDUE, UNEXPLAINED),
        (timedelta(days=1), LATER - TICK, UNRECONCILED),
        (timedelta(days=1), LATER, UNEXPLAINED),
        (RECONCILING - TICK, LATER, UNRECONCILED),
        (timedelta(0), LATER, UNRECONCILED),
        (-TICK, LATER, UNEXPLAINED),
        (RECONCILING, LATER, UNEXPLAINED),
        (timedelta(0), OVERDUE, UNEXPLAINED),
        (timedelta(0), None, UNEXPLAINED),
        (None, None, UNEXPLAINED),
        (None, NOW, UNRECONCILED),
        (None, LATER, UNEXPLAINED),
        (-timedelta(days=365), None, UNEXPLAINED),
    ],
)
@pytest.mark.parametrize("unknown", [False, True])
def test_what_is_about_to_be_checked_by_our_own_clock_is_not_reconciled_yet(
    ago: timedelta | None, check_at: datetime | None, kind: FindingKind, *, unknown: bool
) -> None:
    word = "the gateway says 'ON_HOLD', from which nobody can tell whether money was taken"
    why = word if unknown else "the order is PENDING and has not heard of the money"
    changed = None if ago is None else NOW - ago
    status = PaymentStatus.UNKNOWN if unknown else PaymentStatus.PAID
    said = payment(status, said="ON_HOLD" if unknown else "PAID", changed_at=changed)
    found = explained(order(OrderStatus.PENDING, check_at=check_at), said)
    assert found.findings == only(kind, krw(1000), why)
    assert found.balance == Balance(captured=0 if unknown else 1000, **{kind.value: 1000})
    assert found.is_open == (kind is UNEXPLAINED)


@pytest.mark.parametrize(
    ("kind", "stuck"),
    [
        (AttentionKind.CHECKS_FAIL, True),
        (AttentionKind.CONTRADICTION, True),
        (AttentionKind.DIFFERENT_PAYMENT, True),
        (AttentionKind.UNKNOWN_STATUS, True),
        (AttentionKind.MONEY_CAME_BACK, True),
        (AttentionKind.DISPUTED, False),
        (AttentionKind.PART_GONE_FIRST, False),
    ],
)
def test_what_another_check_will_not_reconcile_is_unexplained_however_soon_that_is(
    kind: AttentionKind, *, stuck: bool
) -> None:
    asks = Attention(kind=kind, why="see to it", since=NOW)
    (finding,) = explained(
        order(captured=krw(1000), refunded=krw(1000), check_at=NOW, attention=asks), payment()
    ).findings
    assert finding.kind is (UNEXPLAINED if stuck else UNRECONCILED)
    assert finding.why == "1000 KRW is left at the gateway, and 0 KRW by the order"


# --- what was promised --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked_back", [[], [400], [200], [300, 1], [300, 300]])
def test_what_is_owed_is_what_the_refunds_ask_back_and_not_what_the_order_says(asked_back: list[int]) -> None:
    refunds = [refund(krw(minor), id=RefundId(f"{n}" * 32)) for n, minor in enumerate(asked_back)]
    found = explained(order(captured=krw(1000), owed=krw(300)), payment(), refunds)
    why = f"the order owes 300 KRW, and its refunds ask {sum(asked_back)} KRW back"
    assert found.findings == only(UNEXPLAINED, krw(1000), why)
    assert found.balance == Balance(captured=1000, unexplained=1000)


def test_refunds_that_have_ended_ask_nothing_back() -> None:
    ended = [refund(krw(100), status, id=RefundId(status)) for status in RefundStatus if status != "REQUESTED"]
    found = explained(order(captured=krw(1000), owed=krw(300)), payment(), [*ended, refund(krw(300))])
    assert found.balance == Balance(captured=1000, completed=700, owed=300)


@pytest.mark.parametrize(("ago", "late"), [(LATE, True), (LATE - TICK, False), (90 * LATE, True)])
def test_what_is_owed_for_a_day_is_late(ago: timedelta, *, late: bool) -> None:
    refunds = [refund(krw(300), requested_at=NOW - ago)]
    found = explained(order(captured=krw(1000), owed=krw(300)), payment(), refunds)
    since = f"{NOW - ago:%Y-%m-%d %H:%M} UTC"
    why = f"300 KRW is owed back since {since}"
    assert found.findings == (only(FindingKind.OWED_LATE, krw(300), why) if late else ())
    assert found.balance == Balance(captured=1000, completed=700, owed=300), "owed it is all the same"
    assert not found.is_open


@pytest.mark.parametrize(
    ("kind", "status"),
    [(AttentionKind.REFUND_REFUSED, RefundStatus.REFUSED), (AttentionKind.REFUND_UNCLEAR, RefundStatus.REQUESTED)],
)
def test_a_refund_that_waits_for_a_person_is_told_with_its_sum(kind: AttentionKind, status: RefundStatus) -> None:
    asks = Attention(kind=kind, why="see to it", since=NOW - timedelta(hours=2))
    requested = status is RefundStatus.REQUESTED
    its = order(captured=krw(1000), owed=krw(300 if requested else 0), attention=asks)
    others = [refund(krw(n), RefundStatus.FAILED, id=RefundId(f"{n}" * 32)) for n in (1, 2)]
    found = explained(its, payment(), [others[0], refund(krw(300), status), others[1]])
    why = "a person is asked since 2026-11-24 07:00 UTC: see to it"
    assert found.findings == only(FindingKind.UNANSWERED, krw(300), why)


@pytest.mark.parametrize(
    "kind", sorted(set(AttentionKind) - {AttentionKind.REFUND_REFUSED, AttentionKind.REFUND_UNCLEAR})
)
def test_what_else_a_person_is_asked_is_no_finding(kind: AttentionKind) -> None:
    asks = Attention(kind=kind, why="see to it", since=NOW)
    assert explained(order(captured=krw(1000), attention=asks), payment()).findings == ()


@pytest.mark.parametrize("answered", [False, True])
def test_what_the_gateway_refuses_to_give_back_is_given_back_by_hand(*, answered: bool) -> None:
    """Even where something else was asked first: the question about the refund stands behind it."""
    asks = Attention(kind=AttentionKind.PART_GONE_FIRST, why="see to it", since=NOW)
    attention = None if answered else asks
    its = order(OrderStatus.CANCELLED, captured=krw(1000), by_hand=True, attention=attention)
    found = explained(its, payment(), [refund(krw(1000), RefundStatus.REFUSED)])
    assert found.balance == Balance(captured=1000, by_hand=1000)
    assert [finding.kind for finding in found.findings] == ([] if answered else [FindingKind.UNANSWERED])


def test_a_refund_that_the_gateway_does_not_bear_out_is_unmatched_and_may_be_asked_for_again() -> None:
    done = refund(krw(300), RefundStatus.SUCCEEDED)
    its = order(captured=krw(1000), refunded=krw(300))
    found = explained(its, payment(PARTLY, cancelled=300), [done])
    why = f"refund {'f' * 32} of 300 KRW is SUCCEEDED, and the gateway lists no such cancellation"
    assert found.findings == only(FindingKind.UNMATCHED, krw(300), why)
    assert found.is_open
    assert found.balance == Balance(captured=1000, refunded=300, completed=700)


# --- what cannot be read ------------------------------------------------------------------------------------------


def test_a_record_that_cannot_be_read_leaves_open_what_the_order_says_was_taken_or_its_price() -> None:
    unread = payment(PaymentStatus.UNKNOWN, said=UNREADABLE, total=0)
    why = "the gateway's record of it cannot be read"
    for its, amount in ((order(captured=krw(900)), 900), (order(OrderStatus.PENDING), 1000)):
        found = explained(its, unread)
        assert found == explain_unreadable(its, "p" * 32)
        assert found.findings == only(FindingKind.UNREADABLE, krw(amount), why)
        assert (found.currency, found.balance) == ("KRW", Balance(unexplained=amount))
        assert found.is_open


def test_a_record_of_nobodys_that_cannot_be_read_is_told_without_a_sum() -> None:
    found = explained(None, payment(PaymentStatus.UNKNOWN, said=UNREADABLE))
    (finding,) = found.findings
    assert (finding.kind, finding.payment_id, finding.amount) == (FindingKind.UNREADABLE, "p" * 32, None)
    assert (found.currency, found.balance) == (None, Balance())


def test_orphans_and_what_is_about_to_be_checked_are_nobodys_fault() -> None:
    assert {kind for kind in FindingKind if not kind.is_wrong} == {ORPHANED, UNRECONCILED}


def test_of_an_unknown_status_what_the_order_says_was_taken_is_open_else_its_price() -> None:
    said = payment(PaymentStatus.UNKNOWN, said="ON_HOLD")
    (taken,) = explained(order(captured=krw(900)), said).findings
    (expected,) = explained(order(OrderStatus.PENDING), said).findings
    assert (taken.amount, expected.amount) == (krw(900), krw(1000))
