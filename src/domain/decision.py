"""The decision table: order status × what the gateway says → what the order becomes. Pure, total, on one page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from domain.lifecycle import CancelReason, OrderStatus
from domain.order import Order
from domain.payment import Payment, PaymentStatus, Shop


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an observation makes of an order.

    ``refund_rest``: all that is left at the gateway must go back. ``flag``: a person should see this, and why.
    ``differs``: the fields in which the payment is not the one we asked for.
    """

    status: OrderStatus
    reason: CancelReason | None = None
    refund_rest: bool = False
    flag: str | None = None
    differs: tuple[str, ...] = ()


def decide(order: Order, payment: Payment | None, shop: Shop, now: datetime, *, give_up: bool) -> Decision:
    """What ``order`` becomes, given the gateway's record (None: it knows no such payment).

    ``give_up`` says that the buyer wants the order cancelled; it counts only where no money can be on its way.
    """
    if payment is not None and payment.status is PaymentStatus.UNKNOWN:
        return _unchanged(order, f"the gateway says {payment.said[:64]!r}, a status this version does not know")
    if payment is not None and order.contradicts(payment):
        return _unchanged(order, f"the gateway says it took {payment.total}, and said {order.captured} before")
    match order.status:
        case OrderStatus.PENDING:
            return _decide_pending(order, payment, shop, now, give_up=give_up)
        case OrderStatus.COMPLETED:
            return _decide_completed(order, payment, shop)
        case OrderStatus.CANCELLED:
            return _decide_cancelled(order, payment)
        case _:
            assert_never(order.status)


def mismatches(order: Order, payment: Payment, shop: Shop) -> tuple[str, ...]:
    """The names of the fields in which ``payment`` is not what ``order`` asked for. An absent field differs."""
    pairs = {
        "id": (payment.id, order.payment_id),
        "store": (payment.store_id, shop.store_id),
        "channel": (payment.channel_type, shop.channel_type),
        "amount": (payment.total.minor, order.price.minor),
        "currency": (payment.total.currency, order.price.currency),
    }
    return tuple(name for name, (theirs, ours) in pairs.items() if theirs != ours)


def unpaid_until(order: Order, payment: Payment | None) -> datetime:
    """The moment from which an unpaid order is given up: its own, or the deposit's where an account was issued."""
    if payment is not None and payment.waits_for_deposit:
        return payment.deposit_due or order.expires_at
    return order.expires_at


def _decide_pending(order: Order, payment: Payment | None, shop: Shop, now: datetime, *, give_up: bool) -> Decision:
    status = payment.status if payment else None
    match status:
        case None | PaymentStatus.READY | PaymentStatus.FAILED | PaymentStatus.VIRTUAL_ACCOUNT_ISSUED:
            if give_up:
                return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.ABANDONED)
            if now >= unpaid_until(order, payment):
                return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.EXPIRED)
            return _unchanged(order)
        case PaymentStatus.PAY_PENDING | PaymentStatus.UNKNOWN:
            return _unchanged(order)
        case PaymentStatus.PAID | PaymentStatus.PARTIAL_CANCELLED:
            assert payment is not None  # noqa: S101 - narrowing: a status came from it
            differs = mismatches(order, payment, shop)
            if not differs:
                return Decision(status=OrderStatus.COMPLETED)
            if differs == ("channel",) and payment.unknown_channel is not None:
                flag = f"paid over a channel of type {payment.unknown_channel[:64]!r}, which this version does not know"
                return Decision(status=order.status, flag=flag, differs=differs)
            return Decision(
                status=OrderStatus.CANCELLED, reason=CancelReason.MISMATCH, refund_rest=True, differs=differs
            )
        case PaymentStatus.CANCELLED:
            return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.PAYMENT_CANCELLED)
        case _:
            assert_never(status)


def _decide_completed(order: Order, payment: Payment | None, shop: Shop) -> Decision:
    status = payment.status if payment else None
    match status:
        case PaymentStatus.PAID | PaymentStatus.PARTIAL_CANCELLED:
            assert payment is not None  # noqa: S101 - narrowing: a status came from it
            differs = mismatches(order, payment, shop)
            if not differs:
                return _unchanged(order)
            return Decision(
                status=order.status,
                flag=f"completed, but the payment differs in {', '.join(differs)}",
                differs=differs,
            )
        case PaymentStatus.CANCELLED:
            return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.REFUNDED)
        case (
            None
            | PaymentStatus.READY
            | PaymentStatus.FAILED
            | PaymentStatus.PAY_PENDING
            | PaymentStatus.VIRTUAL_ACCOUNT_ISSUED
            | PaymentStatus.UNKNOWN
        ):
            return _unchanged(order, f"completed, but the gateway says {status or 'that it knows no such payment'}")
        case _:
            assert_never(status)


def _decide_cancelled(order: Order, payment: Payment | None) -> Decision:
    status = payment.status if payment else None
    match status:
        case PaymentStatus.PAID | PaymentStatus.PARTIAL_CANCELLED:
            return Decision(status=order.status, reason=order.reason, refund_rest=True)
        case (
            None
            | PaymentStatus.READY
            | PaymentStatus.FAILED
            | PaymentStatus.PAY_PENDING
            | PaymentStatus.VIRTUAL_ACCOUNT_ISSUED
            | PaymentStatus.CANCELLED
            | PaymentStatus.UNKNOWN
        ):
            return _unchanged(order)
        case _:
            assert_never(status)


def _unchanged(order: Order, flag: str | None = None) -> Decision:
    return Decision(status=order.status, reason=order.reason, flag=flag)
