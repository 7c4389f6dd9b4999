"""The audit: where each captured won is. It trusts neither side: what the two do not both bear out is unexplained."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum

from domain.decision import mismatches
from domain.ids import OrderId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order
from domain.payment import Payment, PaymentStatus, Shop

RECONCILING = timedelta(minutes=15)  # money that moved this short a time ago may wait for its order to be checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Sums in minor units of one currency.

    ``captured`` is the sum of all the others where ``unexplained`` is nothing. That one is a sum of absolute amounts,
    each of one payment: no two errors cancel.
    """

    captured: int = 0
    completed: int = 0
    refunded: int = 0
    owed: int = 0
    unreconciled: int = 0
    orphaned: int = 0
    unexplained: int = 0

    def __add__(self, other: Balance) -> Balance:
        return Balance(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


class FindingKind(StrEnum):
    """What an audit names one by one."""

    UNEXPLAINED = "unexplained"
    ORPHANED = "orphaned"
    UNRECONCILED = "unreconciled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One payment about which there is something to say: how much, and ``why``, in a sentence."""

    kind: FindingKind
    payment_id: str
    order_id: OrderId | None
    amount: Money
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where the money of one payment is. ``currency`` is None where there is none of it."""

    currency: str | None = None
    balance: Balance = Balance()
    finding: Finding | None = None

    @property
    def is_open(self) -> bool:
        """Whether something of it is not explained."""
        return self.finding is not None and self.finding.kind is FindingKind.UNEXPLAINED


def explain(order: Order | None, payment: Payment | None, *, shop: Shop, now: datetime) -> Explanation:
    """Where the money of ``payment`` is, by the gateway's record of it (None: there is none) and by our ``order``."""
    if payment is not None and payment.status is PaymentStatus.UNKNOWN:
        return _explain_unknown(order, payment, now)
    if payment is None or payment.captured is None:
        return _explain_nothing(order, payment)
    rest = _explain_rest(order, payment, shop, now)
    moved = Balance(captured=payment.total.minor, refunded=payment.total.minor - payment.left.minor)
    return replace(rest, currency=payment.total.currency, balance=moved + rest.balance)


def _explain_rest(order: Order | None, payment: Payment, shop: Shop, now: datetime) -> Explanation:
    """What was taken and has not gone back."""
    if payment.cancelled > payment.total:
        more = payment.cancelled - payment.total
        return _found(FindingKind.UNEXPLAINED, order, payment.id, more, f"{more} more went back than was taken")
    if order is None:
        why = f"{payment.left} was taken by a payment that no order is for"
        return _found(FindingKind.ORPHANED, None, payment.id, payment.left, why) if payment.left else Explanation()
    disagreement = _disagreement(order, payment)
    if disagreement is None:
        return _explain_agreed(order, payment, shop)
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


def _explain_agreed(order: Order, payment: Payment, shop: Shop) -> Explanation:
    """Where the rest is that both sides say the same of."""
    left = payment.left
    if not left:
        return Explanation()
    differs = mismatches(order, payment, shop)
    kept = left.less(order.owed)
    why = None
    if order.status is OrderStatus.PENDING:
        why = "the order is PENDING, although it knows of the money"
    elif order.status is OrderStatus.COMPLETED and differs:
        why = f"the order is COMPLETED, and its payment differs in {', '.join(differs)}"
    elif order.status is OrderStatus.CANCELLED and kept:
        why = f"the order is CANCELLED, and {kept} is neither given back nor owed"
    if why is not None:
        return _found(FindingKind.UNEXPLAINED, order, payment.id, left, why)
    return Explanation(balance=Balance(completed=kept.minor, owed=left.minor - kept.minor))


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
        told = _found(FindingKind.ORPHANED, None, payment.id, payment.total, why)
        return replace(told, currency=None, balance=Balance())
    kind = FindingKind.UNRECONCILED if _is_reconciling(order, payment, now) else FindingKind.UNEXPLAINED
    return _found(kind, order, payment.id, order.captured or order.price, why)


def _is_reconciling(order: Order, payment: Payment, now: datetime) -> bool:
    """Whether the order will be checked, and need not have been by now."""
    return order.check_at is not None and payment.changed_at is not None and now - payment.changed_at < RECONCILING


def _found(kind: FindingKind, order: Order | None, payment_id: str, amount: Money, why: str) -> Explanation:
    finding = Finding(kind=kind, payment_id=payment_id, order_id=order.id if order else None, amount=amount, why=why)
    balance = Balance(**{kind.value: amount.minor})
    return Explanation(currency=amount.currency, balance=balance, finding=finding)
