"""Where money goes back: a refund is decided in one commit, and carried out after it, at most once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from application.errors import IdempotencyKeyReusedError, OrderNotFoundError
from application.ports import CancelPayment, Clock, OrderNotifier, PaymentGateway, Store
from application.reconcile_order import ReconcileOrder
from application.transact import record, retrying
from domain.ids import OrderId, RefundId
from domain.money import Money
from domain.order import Order
from domain.payment import CancellationStatus, Payment
from domain.reconciliation import request_refund
from domain.refund import Refund, RefundStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrderCommand:
    """``amount`` None asks all that is left back. ``requested_by`` names whoever asked, for the record.

    ``idempotency_key`` is the caller's name for this one intent: whoever got no answer asks again with the same key.
    """

    order_id: OrderId
    amount: Money | None
    reason: str
    requested_by: str
    idempotency_key: str


class RefundOrder:
    """Decide to give money of a COMPLETED order back. It is owed from the commit on, and carried out at the next check.

    Asked again with one order's Idempotency-Key, it answers with the refund of the first time, however that stands by
    then. Raises OrderNotFoundError, RefundNotPossibleError where less than that is left, and
    IdempotencyKeyReusedError where the key asked another sum back.
    """

    def __init__(self, store: Store, notifier: OrderNotifier, clock: Clock) -> None:
        self._store = store
        self._notifier = notifier
        self._clock = clock

    async def __call__(self, command: RefundOrderCommand) -> Refund:
        """The refund; REQUESTED, if it is new."""
        refund = await retrying(lambda: self._request(command))
        await self._notifier.publish(command.order_id)
        return refund

    async def _request(self, command: RefundOrderCommand) -> Refund:
        refund_id = _refund_id(command)
        async with self._store.reading() as unit:
            order = await unit.orders.by_id(command.order_id)
            if order is None:
                raise OrderNotFoundError(f"there is no order {command.order_id!r}")
            refunds = await unit.refunds.of_order(order.id)
        for refund in refunds:
            if refund.id == refund_id:
                return _again(refund, command)
        reconciliation = request_refund(
            order,
            command.amount,
            refund_id=refund_id,
            reason=command.reason,
            requested_by=command.requested_by,
            now=self._clock(),
        )
        async with self._store.writing() as unit:
            await record(unit, order, reconciliation)
            await unit.commit()
        return reconciliation.refunds[0]


def _refund_id(command: RefundOrderCommand) -> RefundId:
    """One name for one intent, of which 128 bits are as many as any id of ours has."""
    return RefundId(hashlib.sha256(f"refund {command.order_id} {command.idempotency_key}".encode()).hexdigest()[:32])


def _again(refund: Refund, command: RefundOrderCommand) -> Refund:
    if command.amount not in (None, refund.amount):
        raise IdempotencyKeyReusedError(
            f"this Idempotency-Key asked {refund.amount} back; use a new key for a new refund"
        )
    return refund


class CarryOutRefunds:
    """Ask the gateway for every refund that is owed and that its record does not show yet, one after the other.

    The answer to a cancellation is never believed on its own: the gateway's record is read again and reconciled by.
    Raises GatewayError where the outcome is not known or was refused; the next check starts from the record again.
    """

    def __init__(self, store: Store, gateway: PaymentGateway, reconcile: ReconcileOrder) -> None:
        self._store = store
        self._gateway = gateway
        self._reconcile = reconcile

    async def __call__(self, order: Order, payment: Payment) -> None:
        """Carry out what ``order`` owes, as far as ``payment``, the gateway's record, has it left."""
        for refund in await self._requested(order):
            if payment.cancellation(refund.id) is not None or not payment.has_left(refund.amount):
                continue  # the record shows it, or is an old one, or a later check will find it impossible
            cancellation = await self._gateway.cancel(
                CancelPayment(
                    payment_id=order.payment_id,
                    store_id=payment.store_id,
                    refund_id=refund.id,
                    amount=refund.amount,
                    left=payment.left,
                    reason=refund.reason,
                )
            )
            read = await self._gateway.get(order.payment_id)
            if read is None:
                return
            if cancellation.status is CancellationStatus.FAILED:
                read = read.including(cancellation)
            payment = read
            order = (await self._reconcile(order, payment, on_schedule=True)).order

    async def _requested(self, order: Order) -> list[Refund]:
        async with self._store.reading() as unit:
            refunds = await unit.refunds.of_order(order.id)
        return [refund for refund in refunds if refund.status is RefundStatus.REQUESTED]
