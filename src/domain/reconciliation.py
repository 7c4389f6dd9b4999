"""Bring an order in line with what the gateway says of its payment. Whatever changes an order begins here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from domain import schedule
from domain.attention import AttentionKind, Concern
from domain.decision import Decision, decide, unpaid_until
from domain.errors import NothingToAnswerError, RefundNotPossibleError
from domain.history import HistoryKind
from domain.ids import OrderId, PaymentId, RefundId
from domain.knowledge import knows_less
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order, OrderLine
from domain.payment import Payment, PaymentStatus, Shop
from domain.policy import Policy
from domain.refund import Need, Refund, RefundStatus
from domain.revision import Reconciliation, Revision

_NO_REFUND = RefundId("")  # for a reconciliation that is only compared, and never kept
_FAILED_LONG = 6  # failed checks in a row before a person is asked to see
_USUAL = Policy()


def place(
    *,
    order_id: OrderId,
    payment_id: PaymentId,
    token_hash: str,
    lines: Sequence[OrderLine],
    now: datetime,
    expires_at: datetime,
    policy: Policy = _USUAL,
) -> Reconciliation:
    """A new PENDING order for ``lines`` (at least one, all in one currency) and the entry that says so.

    One that costs nothing is COMPLETED at once: there is nothing to pay, and nothing to ask the gateway.
    """
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
    revision = Revision(replace(order, check_at=schedule.first_check(order, policy)), now, policy)
    revision.write(HistoryKind.PLACED, {"price": price.minor, "currency": price.currency})
    if not price:
        revision.give_away()
    return revision.close()


def reconcile(
    order: Order,
    payment: Payment | None,
    *,
    shop: Shop,
    now: datetime,
    refund_id: RefundId,
    policy: Policy = _USUAL,
    refunds: Sequence[Refund] = (),
    announces_more: bool | None = None,
    give_up: bool = False,
    on_schedule: bool = False,
) -> Reconciliation:
    """Bring this order in line with the gateway's record (None: the gateway knows no such payment).

    ``refunds`` are all that this order has; ``refund_id`` is a fresh id, used if a refund becomes due.
    ``announces_more``: whether a signed webhook told of more than this record shows; None where no webhook came.
    ``on_schedule`` says that this is the check that was due: a check in between that finds no news puts nothing off.
    Reconciling twice with one record changes nothing more. A record that knows less than the one applied last is
    ignored; at a check that was due, that counts as a check that failed. But no order waits for ever for its record to
    catch up: once an unpaid one has no time left, by what was seen, it is as if the gateway knew no such payment. A
    status that nobody here knows may mean money, however old: then it waits, and a person is asked.
    """
    if payment is not None and knows_less(payment, order):
        if not on_schedule or payment.status is PaymentStatus.UNKNOWN or not _has_no_time_left(order, now, policy):
            return _ignored(order, now, policy, announces_more=announces_more, on_schedule=on_schedule)
        payment, give_up = None, False
    revision = Revision(order, now, policy, payment)
    revision.hear(announces_more=announces_more)
    revision.await_refunds(refunds)
    decision = decide(revision.order, payment, shop, now, policy=policy, give_up=give_up)
    if payment is not None:
        revision.observe(payment)
        revision.resolve(payment, refunds)
    revision.transition(decision)
    if decision.refund_rest:
        revision.give_back_rest(refund_id)
    revision.ask_person(decision.concern)
    revision.schedule(on_schedule=on_schedule, puzzled=_may_be_taken_back(decision))
    return revision.close()


def request_refund(
    order: Order,
    amount: Money | None,
    *,
    refund_id: RefundId,
    reason: str,
    requested_by: str,
    now: datetime,
    needs: Need | None = None,
) -> Reconciliation:
    """Ask back ``amount`` of an order that was paid (None: all that is left).

    ``needs`` is what whoever asks will have to hand over with it: nobody else can carry it out. A refusal that a
    person was asked about is answered by this, unless a rest would be left that must not be kept.
    Raises RefundNotPossibleError if nothing was taken, or less than ``amount`` is left.
    """
    if order.status is OrderStatus.PENDING:
        raise RefundNotPossibleError(f"the order is {order.status}; only one that was paid can be refunded")
    wanted = order.refundable if amount is None else amount
    if not wanted or wanted.currency != order.refundable.currency or wanted > order.refundable:
        raise RefundNotPossibleError(f"{wanted} was asked back and {order.refundable} can be refunded")
    revision = Revision(replace(order, checks=0, check_at=now), now, _USUAL)
    revision.ask_back(wanted, refund_id, reason, requested_by, needs)
    rest_may_stay = order.status is OrderStatus.COMPLETED or not revision.order.refundable
    if rest_may_stay and order.attention is not None and order.attention.kind is AttentionKind.REFUND_REFUSED:
        revision.end_attention(requested_by, "asked back anew")
    return revision.close()


def refuse_refund(order: Order, refund: Refund, failure: str, needs: Need, now: datetime) -> Reconciliation:
    """The gateway will never do ``refund`` as it is: it is at its end, its sum is free, and a person is asked."""
    revision = Revision(order, now, _USUAL)
    revision.end_refund(refund.refused(failure, needs, now), needs)
    return revision.close()


def withdraw_refund(order: Order, refund: Refund, *, by: str, now: datetime) -> Reconciliation:
    """Nobody asks for ``refund`` any more. What must not be kept all the same is asked back by the check that follows.

    Raises RefundNotPossibleError where it may have been carried out already.
    """
    if refund.status is not RefundStatus.REQUESTED:
        raise RefundNotPossibleError(f"this refund is {refund.status}: there is nothing to withdraw")
    if not refund.may_be_withdrawn(now):
        raise RefundNotPossibleError(
            "the gateway was asked for this refund less than three hours ago; it may be done at any moment"
        )
    revision = Revision(replace(order, checks=0, check_at=now), now, _USUAL)
    revision.end_refund(refund.withdrawn(now))
    if refund.needs is Need.WORD and order.attention is not None:
        revision.end_attention(by, "the refund was withdrawn")
    revision.ask_about_rest()
    return revision.close()


def doubt_refund(order: Order, refund: Refund, now: datetime) -> Reconciliation:
    """Nobody can tell whether ``refund`` was carried out: it is not asked for again until a person has said."""
    why = f"a refund of {refund.amount} may have been carried out: a cancellation of that sum names nobody"
    revision = Revision(order, now, _USUAL)
    revision.keep_refund(replace(refund, needs=Need.WORD))
    revision.ask_person(Concern(kind=AttentionKind.REFUND_UNCLEAR, why=why))
    return revision.close()


def end_attention(order: Order, *, by: str, note: str, now: datetime) -> Reconciliation:
    """A person has seen to what the order asked about. Raises NothingToAnswerError where it asks nothing."""
    if order.attention is None:
        raise NothingToAnswerError("this order asks for nobody")
    revision = Revision(replace(order, checks=0, check_at=now), now, _USUAL)
    revision.end_attention(by, note)
    return revision.close()


def check_failed(order: Order, why: str, now: datetime) -> Reconciliation:
    """This order after a check that could not be finished: it stays as it is, and is checked again.

    Unless somebody else's check brought it to rest meanwhile: then nothing is left that failed.
    """
    if order.check_at is None:
        return Reconciliation(order=order)
    order = replace(order, failures=order.failures + 1)
    revision = Revision(replace(order, check_at=schedule.retry_check(order, now)), now, _USUAL)
    if order.failures >= _FAILED_LONG and order.attention is None:  # else two questions would go on by turns
        revision.ask_person(Concern(kind=AttentionKind.CHECKS_FAIL, why=f"checking has kept failing: {why}"))
    return revision.close()


def differs_from(order: Order, payment: Payment, *, shop: Shop, now: datetime, policy: Policy = _USUAL) -> bool:
    """Whether reconciling by ``payment`` would be news of this order. A later time on the same record is none."""
    return bool(reconcile(order, payment, shop=shop, now=now, policy=policy, refund_id=_NO_REFUND).entries)


def _ignored(
    order: Order, now: datetime, policy: Policy, *, announces_more: bool | None, on_schedule: bool
) -> Reconciliation:
    """A record knows less than we do. What was announced with it is remembered all the same."""
    revision = Revision(order, now, policy)
    revision.hear(announces_more=announces_more)
    if on_schedule:
        failed = check_failed(revision.order, "the gateway's record knows less than it did before", now)
        return replace(failed, is_stale=True)
    return replace(revision.close(), is_stale=True)


def _has_no_time_left(order: Order, now: datetime, policy: Policy) -> bool:
    if order.captured is not None:
        return False
    return order.status is not OrderStatus.PENDING or now >= unpaid_until(order, None, policy)


def _may_be_taken_back(decision: Decision) -> bool:
    return decision.concern is not None and decision.concern.kind in _MAY_BE_TAKEN_BACK


_MAY_BE_TAKEN_BACK = frozenset({AttentionKind.CONTRADICTION, AttentionKind.DIFFERENT_PAYMENT})
"""What one strange answer raises, and the next one may take back."""
