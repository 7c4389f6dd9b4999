"""The audit: where each captured won is. It trusts neither side: what the two do not both bear out is unexplained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum

from domain.attention import AttentionKind
from domain.decision import mismatches
from domain.ids import OrderId
from domain.lifecycle import OrderStatus
from domain.matching import unmatched
from domain.money import Money
from domain.order import Order
from domain.payment import Payment, PaymentStatus, Shop
from domain.refund import Refund, RefundStatus

RECONCILING = timedelta(minutes=15)  # so long may money wait for its order to be checked
LATE = timedelta(days=1)  # what is owed for longer is late


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Sums in minor units of one currency.

    ``captured`` is the sum of all the others where ``unexplained`` is nothing. That one is a sum of absolute amounts,
    each of one payment: no two errors cancel. ``by_hand``: the gateway refuses to give it back, and a person does.
    """

    captured: int = 0
    completed: int = 0
    refunded: int = 0
    owed: int = 0
    by_hand: int = 0
    unreconciled: int = 0
    orphaned: int = 0
    unexplained: int = 0

    def __add__(self, other: Balance) -> Balance:
        return Balance(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


class FindingKind(StrEnum):
    """What an audit names one by one."""

    UNEXPLAINED = "unexplained"
    UNREADABLE = "unreadable"
    INCOMPLETE = "incomplete"
    UNMATCHED = "unmatched"
    OWED_LATE = "owed_late"
    UNANSWERED = "unanswered"
    ORPHANED = "orphaned"
    UNRECONCILED = "unreconciled"

    @property
    def is_wrong(self) -> bool:
        """Whether somebody has to see to it: an orphan may be somebody else's, and what is new will be reconciled."""
        return self not in (FindingKind.ORPHANED, FindingKind.UNRECONCILED)


_MAY_HAVE_MOVED = frozenset({FindingKind.UNEXPLAINED, FindingKind.UNREADABLE, FindingKind.UNMATCHED})
"""What reading again may take back."""

_STUCK = frozenset(
    {
        AttentionKind.UNKNOWN_STATUS,
        AttentionKind.CONTRADICTION,
        AttentionKind.DIFFERENT_PAYMENT,
        AttentionKind.CHECKS_FAIL,
        AttentionKind.MONEY_CAME_BACK,
    }
)
"""What an order asks about where another check will not reconcile it."""

_UNANSWERED = frozenset({AttentionKind.REFUND_REFUSED, AttentionKind.REFUND_UNCLEAR})
"""Money that goes back no further until a person says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to say: of which payment, how much, and ``why``, in a sentence.

    ``payment_id`` is None where it is about no single one, ``amount`` where nobody can tell.
    """

    kind: FindingKind
    payment_id: str | None
    order_id: OrderId | None
    amount: Money | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where the money of one payment is. ``currency`` is None where there is none of it."""

    currency: str | None = None
    balance: Balance = Balance()
    findings: tuple[Finding, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether reading both sides again may tell more."""
        return any(finding.kind in _MAY_HAVE_MOVED for finding in self.findings)


def explain(
    order: Order | None, payment: Payment | None, refunds: Sequence[Refund] = (), *, shop: Shop, now: datetime
) -> Explanation:
    """Where the money of ``payment`` is, by the gateway's record of it (None: there is none) and by our ``order``.

    ``refunds`` are all that the order has.
    """
    explained = _explain_money(order, payment, refunds, shop, now)
    if order is None:
        return explained
    more = [*_promises(order, refunds, now)]
    if payment is not None and payment.status is not PaymentStatus.UNKNOWN:
        more += [_told(FindingKind.UNMATCHED, order, u.amount, u.why) for u in unmatched(refunds, payment)]
    return replace(explained, findings=(*explained.findings, *more))


def explain_unreadable(order: Order | None, payment_id: str) -> Explanation:
    """The gateway has a record, and nobody can read it. What the order says was taken, or is to be, stays open."""
    why = "the gateway's record of it cannot be read"
    if order is None:
        finding = Finding(kind=FindingKind.UNREADABLE, payment_id=payment_id, order_id=None, amount=None, why=why)
        return Explanation(findings=(finding,))
    amount = order.captured if order.captured is not None else order.price
    balance = Balance(unexplained=amount.minor)
    return Explanation(
        currency=amount.currency, balance=balance, findings=(_told(FindingKind.UNREADABLE, order, amount, why),)
    )


def _explain_money(
    order: Order | None, payment: Payment | None, refunds: Sequence[Refund], shop: Shop, now: datetime
) -> Explanation:
    if payment is not None and payment.is_unreadable:
        return explain_unreadable(order, payment.id)
    if payment is not None and payment.status is PaymentStatus.UNKNOWN:
        return _explain_unknown(order, payment, now)
    if payment is None or payment.captured is None:
        return _explain_nothing(order, payment)
    rest = _explain_rest(order, payment, refunds, shop, now)
    moved = Balance(captured=payment.total.minor, refunded=payment.total.minor - payment.left.minor)
    return replace(rest, currency=payment.total.currency, balance=moved + rest.balance)


def _promises(order: Order, refunds: Sequence[Refund], now: datetime) -> Sequence[Finding]:
    """What was promised and is not done: refunds that are late, and those that wait for a person."""
    late = [r for r in refunds if r.status is RefundStatus.REQUESTED and now - r.requested_at >= LATE]
    found = [
        _told(
            FindingKind.OWED_LATE, order, r.amount, f"{r.amount} is owed back since {r.requested_at:%Y-%m-%d %H:%M} UTC"
        )
        for r in late
    ]
    asks = order.attention
    if asks is not None and (asks.kind in _UNANSWERED or order.by_hand):
        waits = RefundStatus.REQUESTED if asks.kind is AttentionKind.REFUND_UNCLEAR else RefundStatus.REFUSED
        waiting = [r for r in refunds if r.status is waits] or list(refunds)
        amount = waiting[-1].amount if waiting else None
        since = f"since {asks.since:%Y-%m-%d %H:%M} UTC"
        found.append(_told(FindingKind.UNANSWERED, order, amount, f"a person is asked {since}: {asks.why}"))
    return found


def _explain_rest(
    order: Order | None, payment: Payment, refunds: Sequence[Refund], shop: Shop, now: datetime
) -> Explanation:
    """What was taken and has not gone back."""
    if payment.cancelled > payment.total:
        more = payment.cancelled - payment.total
        return _found(FindingKind.UNEXPLAINED, order, payment.id, more, f"{more} more went back than was taken")
    if order is None:
        why = f"{payment.left} was taken by a payment that no order is for"
        return _found(FindingKind.ORPHANED, None, payment.id, payment.left, why) if payment.left else Explanation()
    disagreement = _disagreement(order, payment)
    if disagreement is None:
        return _explain_agreed(order, payment, refunds, shop)
    if _is_reconciling(order, payment, now):
        return _found(FindingKind.UNRECONCILED, order, payment.id, payment.left, disagreement)
    return _found(FindingKind.UNEXPLAINED, order, payment.id, _disputed(order, payment), disagreement)


def _disagreement(order: Order, payment: Payment) -> str | None:
    """What the gateway and the order say differently about the money; None if nothing."""
    if order.captured is None:
        return f"the order is {order.status} and has not heard of the money" if payment.left else None
    if order.captured != payment.captured:
        return f"the gateway took {payment.captured}, and the order says {order.captured}"
    ours = order.captured.less(order.refunded)
    return None if ours == payment.left else f"{payment.left} is left at the gateway, and {ours} by the order"


def _disputed(order: Order, payment: Payment) -> Money:
    """How much they disagree about, in the gateway's currency, and rather too much than too little."""
    if order.captured is None or order.captured.currency != payment.total.currency:
        return payment.left or payment.total
    if order.captured != payment.captured:
        return max(order.captured, payment.total)
    return max(order.captured.less(order.refunded), payment.left)


def _explain_agreed(order: Order, payment: Payment, refunds: Sequence[Refund], shop: Shop) -> Explanation:
    """Where the rest is that both sides say the same of."""
    left = payment.left
    if not left:
        return Explanation()
    differs = mismatches(order, payment, shop)
    kept = left.less(order.owed)
    asked_back = sum(refund.amount.minor for refund in refunds if refund.status is RefundStatus.REQUESTED)
    why = None
    if asked_back != order.owed.minor:
        why = f"the order owes {order.owed}, and its refunds ask {Money(asked_back, left.currency)} back"
    elif order.status is OrderStatus.PENDING:
        why = "the order is PENDING, although it knows of the money"
    elif order.status is OrderStatus.COMPLETED and differs:
        why = f"the order is COMPLETED, and its payment differs in {', '.join(differs)}"
    elif order.status is OrderStatus.CANCELLED and kept and not order.by_hand:
        why = f"the order is CANCELLED, and {kept} is neither given back nor owed"
    if why is not None:
        return _found(FindingKind.UNEXPLAINED, order, payment.id, left, why)
    place = "by_hand" if order.status is OrderStatus.CANCELLED else "completed"
    return Explanation(balance=Balance(**{place: kept.minor}, owed=left.minor - kept.minor))


def _explain_nothing(order: Order | None, payment: Payment | None) -> Explanation:
    """The gateway took nothing: then no order may say that it did."""
    if order is None or not order.captured:
        return Explanation()
    says = f"says {payment.said[:64]!r}" if payment is not None else "knows no such payment"
    why = f"the order is {order.status} and says that {order.captured} was taken, and the gateway {says}"
    return _found(FindingKind.UNEXPLAINED, order, order.payment_id, order.captured, why)


def _explain_unknown(order: Order | None, payment: Payment, now: datetime) -> Explanation:
    """A status nobody here knows: of an order of ours it stays open, of anybody else's payment it is only told."""
    why = f"the gateway says {payment.said[:64]!r}, from which nobody can tell whether money was taken"
    if order is None:
        finding = Finding(
            kind=FindingKind.ORPHANED, payment_id=payment.id, order_id=None, amount=payment.total, why=why
        )
        return Explanation(findings=(finding,))
    kind = FindingKind.UNRECONCILED if _is_reconciling(order, payment, now) else FindingKind.UNEXPLAINED
    return _found(kind, order, payment.id, order.captured or order.price, why)


def _is_reconciling(order: Order, payment: Payment, now: datetime) -> bool:
    """Whether the order is about to be checked, and need not have been by now: by our own clock.

    What the gateway dates to come says nothing; what it dates a moment ago may wait for a check that is further away.
    """
    if order.check_at is None or now - order.check_at >= RECONCILING:
        return False
    if order.attention is not None and order.attention.kind in _STUCK:
        return False
    soon = order.check_at - now < RECONCILING
    return soon or (payment.changed_at is not None and timedelta(0) <= now - payment.changed_at < RECONCILING)


def _told(kind: FindingKind, order: Order, amount: Money | None, why: str) -> Finding:
    return Finding(kind=kind, payment_id=order.payment_id, order_id=order.id, amount=amount, why=why)


def _found(kind: FindingKind, order: Order | None, payment_id: str, amount: Money, why: str) -> Explanation:
    finding = Finding(kind=kind, payment_id=payment_id, order_id=order.id if order else None, amount=amount, why=why)
    balance = Balance(**{kind.value: amount.minor})
    return Explanation(currency=amount.currency, balance=balance, findings=(finding,))
