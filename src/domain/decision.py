"""The decision table: order status × what the gateway says → what the order becomes. Pure, total, on one page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from domain.attention import AttentionKind, Concern
from domain.knowledge import came_back
from domain.lifecycle import CancelReason, OrderStatus
from domain.order import Order
from domain.payment import Payment, PaymentStatus, Shop
from domain.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an observation makes of an order.

    ``refund_rest``: all that is left at the gateway must go back. ``concern``: a person should see this.
    ``differs``: the fields in which the payment is not the one we asked for.
    """

    status: OrderStatus
    reason: CancelReason | None = None
    refund_rest: bool = False
    concern: Concern | None = None
    differs: tuple[str, ...] = ()


def decide(
    order: Order, payment: Payment | None, shop: Shop, now: datetime, *, policy: Policy, give_up: bool
) -> Decision:
    """What ``order`` becomes, given the gateway's record (None: it knows no such payment).

    ``give_up`` says that the buyer wants the order cancelled; it counts only where no money can be on its way.
    """
    if payment is not None and payment.status is PaymentStatus.UNKNOWN:
        why = f"the gateway says {payment.said[:64]!r}, a status this version does not know"
        return _unchanged(order, AttentionKind.UNKNOWN_STATUS, why)
    if payment is not None and order.contradicts(payment):
        why = f"the gateway says it took {payment.total}, and said {order.captured} before"
        return _unchanged(order, AttentionKind.CONTRADICTION, why)
    decision = _decide(order, payment, shop, now, policy=policy, give_up=give_up)
    if payment is not None and came_back(payment, order):
        return replace(decision, concern=_came_back(order, payment))
    return decision


def _decide(
    order: Order, payment: Payment | None, shop: Shop, now: datetime, *, policy: Policy, give_up: bool
) -> Decision:
    match order.status:
        case OrderStatus.PENDING:
            return _decide_pending(order, payment, shop, now, policy=policy, give_up=give_up)
        case OrderStatus.COMPLETED:
            return _decide_completed(order, payment, shop)
        case OrderStatus.CANCELLED:
            return _decide_cancelled(order, payment)
        case _:
            assert_never(order.status)


def mismatches(order: Order, payment: Payment, shop: Shop) -> tuple[str, ...]:
    """The names of the fields in which ``payment`` is not what ``order`` asked for. An absent field differs.

    But for the untaxed part: it moves no money, so that a record which does not tell it is no reason to give all back.
    """
    pairs = {
        "id": (payment.id, order.payment_id),
        "store": (payment.store_id, shop.store_id),
        "channel": (payment.channel_type, shop.channel_type),
        "amount": (payment.total.minor, order.price.minor),
        "currency": (payment.total.currency, order.price.currency),
    }
    if payment.tax_free is not None:
        pairs["tax"] = (payment.tax_free.minor, order.tax_free.minor)
    return tuple(name for name, (theirs, ours) in pairs.items() if theirs != ours)


def unpaid_until(order: Order, payment: Payment | None, policy: Policy) -> datetime:
    """The moment from which an unpaid order is given up, a moment of grace after its time.

    Sooner where nobody has opened the payment window: the gateway knows of no payment, nor ever did. Later where an
    account waits for its deposit, where a payment is under way, or where a signed webhook told of more than the record
    shows; each of them within a bound. What was seen counts on where the record has forgotten it.
    """
    until = order.expires_at
    seen = payment or order.observed
    if policy.first_hold is not None and seen is None and order.announced_at is None:
        until = min(until, order.created_at + policy.first_hold)
        return until + _grace(until - order.created_at, policy)
    if seen is not None and seen.waits_for_deposit:
        until = max(until, _deposit_until(order, seen.deposit_due, policy))
    if payment is None and order.observed is not None and order.observed.is_under_way:
        until = max(until, order.expires_at + policy.pending_most)
    if order.announced_at is not None:
        until = max(until, order.announced_at + policy.announced_most)
    return until + grace(order, policy)


def grace(order: Order, policy: Policy) -> timedelta:
    """What lies between the end of the buyer's time and the moment at which the goods go back on sale."""
    return _grace(order.expires_at - order.created_at, policy)


def _grace(time: timedelta, policy: Policy) -> timedelta:
    return min(time / 10, policy.grace_most)


def _deposit_until(order: Order, due: datetime | None, policy: Policy) -> datetime:
    if policy.deposit_within is None:
        return order.expires_at
    most = order.created_at + policy.deposit_within
    return min(due, most) if due is not None else most


def _decide_pending(
    order: Order, payment: Payment | None, shop: Shop, now: datetime, *, policy: Policy, give_up: bool
) -> Decision:
    status = payment.status if payment else None
    match status:
        case None | PaymentStatus.READY | PaymentStatus.FAILED:
            return _decide_unpaid(order, payment, now, policy, give_up=give_up)
        case PaymentStatus.VIRTUAL_ACCOUNT_ISSUED:
            assert payment is not None  # noqa: S101 - narrowing: a status came from it
            return _decide_issued(order, payment, shop, now, policy, give_up=give_up)
        case PaymentStatus.PAY_PENDING:
            assert payment is not None  # noqa: S101 - narrowing: a status came from it
            return _decide_under_way(order, payment, shop, now, policy)
        case PaymentStatus.UNKNOWN:
            return _unchanged(order)
        case PaymentStatus.PAID | PaymentStatus.PARTIAL_CANCELLED:
            assert payment is not None  # noqa: S101 - narrowing: a status came from it
            return _decide_paid(order, payment, shop)
        case PaymentStatus.CANCELLED:
            return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.PAYMENT_CANCELLED)
        case _:
            assert_never(status)


def _decide_unpaid(order: Order, payment: Payment | None, now: datetime, policy: Policy, *, give_up: bool) -> Decision:
    if order.captured is not None:
        says = payment.said if payment else "that it knows no such payment"
        why = f"the gateway took {order.captured}, and now says {says}"
        return _unchanged(order, AttentionKind.CONTRADICTION, why)
    if give_up and not _may_be_moving(order, payment):
        return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.ABANDONED)
    if now >= unpaid_until(order, payment, policy):
        return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.EXPIRED)
    return _unchanged(order)


def _decide_issued(
    order: Order, payment: Payment, shop: Shop, now: datetime, policy: Policy, *, give_up: bool
) -> Decision:
    """One that takes something else than was ordered is closed at once; what nobody can judge ends in time too."""
    differs = mismatches(order, payment, shop)
    against = _decide_mismatch(order, payment, differs) if differs else None
    if against is not None and against.status is OrderStatus.CANCELLED:
        return against
    unpaid = _decide_unpaid(order, payment, now, policy, give_up=give_up)
    return unpaid if against is None or unpaid.status is OrderStatus.CANCELLED else against


def _decide_paid(order: Order, payment: Payment, shop: Shop) -> Decision:
    if differs := mismatches(order, payment, shop):
        return _decide_mismatch(order, payment, differs)
    if not payment.went_back:
        return Decision(status=OrderStatus.COMPLETED, concern=_dispute(order, payment))
    why = f"{payment.went_back} went back before the order was completed: see to it before goods go out"
    concern = Concern(kind=AttentionKind.PART_GONE_FIRST, why=why)
    return Decision(status=OrderStatus.COMPLETED, concern=concern)


def _decide_under_way(order: Order, payment: Payment, shop: Shop, now: datetime, policy: Policy) -> Decision:
    """The approval takes its time, even past the order's; but what is not ours anyway holds no stock past it."""
    if now < order.expires_at + grace(order, policy):
        return _unchanged(order)
    differs = mismatches(order, payment, shop)
    against = _decide_mismatch(order, payment, differs) if differs else None
    if against is not None and against.status is OrderStatus.CANCELLED:
        return against
    if now >= order.expires_at + policy.pending_most:
        return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.EXPIRED)
    if against is not None:
        return against
    why = "its time is up, and the gateway still says that the payment is under way"
    return _unchanged(order, AttentionKind.PENDING_LONG, why)


def _decide_mismatch(order: Order, payment: Payment, differs: tuple[str, ...]) -> Decision:
    """Something else was, or is about to be, paid than what was ordered. A word nobody knows is no mismatch."""
    if differs == ("channel",) and payment.unknown_channel is not None:
        why = f"paid over a channel of type {payment.unknown_channel[:64]!r}, which this version does not know"
        concern = Concern(kind=AttentionKind.UNKNOWN_CHANNEL, why=why)
        return Decision(status=order.status, concern=concern, differs=differs)
    captured = payment.captured is not None
    return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.MISMATCH, refund_rest=captured, differs=differs)


def _may_be_moving(order: Order, payment: Payment | None) -> bool:
    """Whether money may be on its way, by what was announced, or seen before the record forgot it."""
    forgotten = payment is None and order.observed is not None and order.observed.is_under_way
    return order.announced_at is not None or forgotten


def _decide_completed(order: Order, payment: Payment | None, shop: Shop) -> Decision:
    status = payment.status if payment else None
    match status:
        case PaymentStatus.PAID | PaymentStatus.PARTIAL_CANCELLED:
            assert payment is not None  # noqa: S101 - narrowing: a status came from it
            return _decide_still_paid(order, payment, shop)
        case PaymentStatus.CANCELLED:
            assert payment is not None  # noqa: S101 - narrowing: a status came from it
            if not payment.is_charged_back:
                return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.REFUNDED)
            concern = Concern(kind=AttentionKind.CHARGED_BACK, why="the card network took the money back")
            return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.CHARGED_BACK, concern=concern)
        case (
            None
            | PaymentStatus.READY
            | PaymentStatus.FAILED
            | PaymentStatus.PAY_PENDING
            | PaymentStatus.VIRTUAL_ACCOUNT_ISSUED
            | PaymentStatus.UNKNOWN
        ):
            if payment is None and not order.price:  # it cost nothing, and the gateway was never told of it
                return _unchanged(order)
            why = f"completed, but the gateway says {status or 'that it knows no such payment'}"
            return _unchanged(order, AttentionKind.CONTRADICTION, why)
        case _:
            assert_never(status)


def _decide_still_paid(order: Order, payment: Payment, shop: Shop) -> Decision:
    if differs := mismatches(order, payment, shop):
        why = f"completed, but the payment differs in {', '.join(differs)}"
        concern = Concern(kind=AttentionKind.DIFFERENT_PAYMENT, why=why)
        return Decision(status=order.status, concern=concern, differs=differs)
    if payment.is_charged_back and payment.went_back > order.refunded:
        return _unchanged(order, AttentionKind.CHARGED_BACK, "the card network took a part of the money back")
    return Decision(status=order.status, concern=_dispute(order, payment))


def _dispute(order: Order, payment: Payment) -> Concern | None:
    why = "the buyer denies the payment: answer at the payment provider"
    silent = payment.disputed is None and order.observed is not None
    disputed = order.observed.disputed if silent and order.observed is not None else payment.disputed
    return Concern(kind=AttentionKind.DISPUTED, why=why) if disputed else None


def _decide_cancelled(order: Order, payment: Payment | None) -> Decision:
    status = payment.status if payment else None
    match status:
        case PaymentStatus.PAID | PaymentStatus.PARTIAL_CANCELLED:
            assert payment is not None  # noqa: S101 - narrowing: a status came from it
            if not order.refunded or payment.went_back >= order.refunded:
                return Decision(status=order.status, reason=order.reason, refund_rest=True)
            asks = order.refundable and (order.observed is None or not order.observed.is_of(payment))
            concern = _came_back(order, payment) if asks else None
            return Decision(status=order.status, reason=order.reason, concern=concern)
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


def _came_back(order: Order, payment: Payment) -> Concern:
    """Nothing is given back by itself on top of what came back: how much is left to give is not clear any more."""
    why = f"the gateway says that {payment.went_back} went back, and said {order.refunded} before"
    return Concern(kind=AttentionKind.MONEY_CAME_BACK, why=why)


def _unchanged(order: Order, kind: AttentionKind | None = None, why: str = "") -> Decision:
    concern = None if kind is None else Concern(kind=kind, why=why)
    return Decision(status=order.status, reason=order.reason, concern=concern)
