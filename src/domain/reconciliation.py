"""Bring an order in line with what the gateway says of its payment. Whatever changes an order begins here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from domain import schedule
from domain.decision import decide
from domain.errors import RefundNotPossibleError
from domain.history import HistoryKind
from domain.ids import OrderId, PaymentId, RefundId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order, OrderLine
from domain.payment import Payment, Shop
from domain.refund import Refund
from domain.revision import Reconciliation, Revision

_NO_REFUND = RefundId("")  # for a reconciliation that is only compared, and never kept
_FAILED_LONG = 6  # failed checks in a row before a person is asked


def place(
    *,
    order_id: OrderId,
    payment_id: PaymentId,
    token_hash: str,
    lines: Sequence[OrderLine],
    now: datetime,
    expires_at: datetime,
) -> Reconciliation:
    """A new PENDING order for ``lines`` (at least one, all in one currency) and the entry that says so."""
    price = lines[0].price * lines[0].quantity
    for line in lines[1:]:
        price = price + line.price * line.quantity
    others = f" 외 {len(lines) - 1}건" if len(lines) > 1 else ""
    order = Order(
        id=order_id,
        payment_id=payment_id,
        token_hash=token_hash,
        name=f"{lines[0].name}{others}",
        lines=tuple(lines),
        price=price,
        created_at=now,
        expires_at=expires_at,
        refunded=Money.zero(price.currency),
        owed=Money.zero(price.currency),
    )
    revision = Revision(replace(order, check_at=schedule.first_check(order)), now)
    revision.write(HistoryKind.PLACED, {"price": price.minor, "currency": price.currency})
    return revision.close()


def reconcile(
    order: Order,
    payment: Payment | None,
    *,
    shop: Shop,
    now: datetime,
    refund_id: RefundId,
    refunds: Sequence[Refund] = (),
    give_up: bool = False,
    on_schedule: bool = False,
) -> Reconciliation:
    """Bring this order in line with the gateway's record (None: the gateway knows no such payment).

    ``refunds`` are this order's REQUESTED refunds; ``refund_id`` is a fresh id, used if a refund becomes due.
    ``on_schedule`` says that this is the check that was due: a check in between that finds no news puts nothing off.
    Reconciling twice with one record changes nothing more. A record older than the last one applied is ignored.
    """
    if payment is not None and order.knows_more_than(payment):
        return Reconciliation(order=order)
    decision = decide(order, payment, shop, now, give_up=give_up)
    revision = Revision(order, now, payment)
    if payment is not None:
        revision.observe(payment)
        revision.resolve(payment, refunds)
    revision.transition(decision)
    if decision.refund_rest:
        revision.give_back_rest(refund_id)
    revision.flag(decision.flag)
    revision.schedule(on_schedule=on_schedule)
    return revision.close()


def request_refund(
    order: Order, amount: Money | None, *, refund_id: RefundId, reason: str, requested_by: str, now: datetime
) -> Reconciliation:
    """Ask back ``amount`` of a COMPLETED order (None: all that is left).

    Raises RefundNotPossibleError if the order is not COMPLETED or less than ``amount`` is left.
    """
    if order.status is not OrderStatus.COMPLETED:
        raise RefundNotPossibleError(f"the order is {order.status}; only a COMPLETED order can be refunded")
    wanted = order.refundable if amount is None else amount
    if not wanted or wanted > order.refundable:
        raise RefundNotPossibleError(f"{wanted} was asked back and {order.refundable} can be refunded")
    revision = Revision(replace(order, checks=0, check_at=now), now)
    revision.ask_back(wanted, refund_id, reason, requested_by)
    return revision.close()


def check_failed(order: Order, why: str, now: datetime) -> Reconciliation:
    """This order after a check that could not be finished: it stays as it is, and is checked again.

    Unless somebody else's check brought it to rest meanwhile: then nothing is left that failed.
    """
    if order.check_at is None:
        return Reconciliation(order=order)
    order = replace(order, failures=order.failures + 1)
    revision = Revision(replace(order, check_at=schedule.retry_check(order, now)), now)
    if order.failures == _FAILED_LONG:
        revision.flag(f"checking has kept failing: {why}")
    return revision.close()


def differs_from(order: Order, payment: Payment, *, shop: Shop, now: datetime) -> bool:
    """Whether reconciling by ``payment`` would be news of this order. A later time on the same record is none."""
    return bool(reconcile(order, payment, shop=shop, now=now, refund_id=_NO_REFUND).entries)
