"""Decide that money goes back, or that it does not after all; ``carry_out_refunds`` has it done."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from application.errors import IdempotencyKeyReusedError, OrderNotFoundError, RefundNotFoundError
from application.ports import Clock, OrderNotifier, Store
from application.transact import record, retrying
from domain.ids import OrderId, RefundId
from domain.money import Money
from domain.reconciliation import request_refund, withdraw_refund
from domain.refund import Refund


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
    """Decide to give money of a paid order back. It is owed from the commit on, and carried out at the next check.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawRefundCommand:
    """``by`` names whoever withdraws it, for the record."""

    order_id: OrderId
    refund_id: RefundId
    by: str


class WithdrawRefund:
    """Take a refund back that the gateway was not asked for yet, or of which nobody can tell whether it was done.

    Raises OrderNotFoundError, RefundNotFoundError and RefundNotPossibleError.
    """

    def __init__(self, store: Store, notifier: OrderNotifier, clock: Clock) -> None:
        self._store = store
        self._notifier = notifier
        self._clock = clock

    async def __call__(self, command: WithdrawRefundCommand) -> Refund:
        """The refund, WITHDRAWN."""
        refund = await retrying(lambda: self._withdraw(command))
        await self._notifier.publish(command.order_id)
        return refund

    async def _withdraw(self, command: WithdrawRefundCommand) -> Refund:
        async with self._store.reading() as unit:
            order = await unit.orders.by_id(command.order_id)
            if order is None:
                raise OrderNotFoundError(f"there is no order {command.order_id!r}")
            refunds = await unit.refunds.of_order(order.id)
        refund = next((refund for refund in refunds if refund.id == command.refund_id), None)
        if refund is None:
            raise RefundNotFoundError(f"the order has no refund {command.refund_id!r}")
        reconciliation = withdraw_refund(order, refund, by=command.by, now=self._clock())
        async with self._store.writing() as unit:
            await record(unit, order, reconciliation)
            await unit.commit()
        return reconciliation.refunds[0]
