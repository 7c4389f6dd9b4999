"""Decide that money goes back, or that it does not after all; ``carry_out_refunds`` has it done."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass

from application.carry_out_refunds import CarryOutRefunds
from application.errors import GatewayError, IdempotencyKeyReusedError, OrderNotFoundError, RefundNotFoundError
from application.ports import Clock, OrderNotifier, PaymentGateway, RefundAccount, Store
from application.transact import record, retrying
from domain.ids import OrderId, RefundId
from domain.money import Money
from domain.reconciliation import request_refund, withdraw_refund
from domain.refund import Need, Refund, RefundStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrderCommand:
    """``amount`` None asks all that is left back. ``requested_by`` names whoever asked, for the record.

    ``idempotency_key`` is the caller's name for this one intent: whoever got no answer asks again with the same key.
    ``account`` is where the money of a virtual account goes. It is handed to the gateway at once, and kept nowhere.
    """

    order_id: OrderId
    amount: Money | None
    reason: str
    requested_by: str
    idempotency_key: str
    account: RefundAccount | None = None


class RefundOrder:
    """Decide to give money of a paid order back. It is owed from the commit on, and carried out at the next check.

    With an account it is carried out at once, for nobody else has the account; a gateway that is away then leaves it
    REQUESTED, and it is asked for again with the same Idempotency-Key and account.

    Asked again with one order's Idempotency-Key, it answers with the refund of the first time, however that stands by
    then. Raises OrderNotFoundError, RefundNotPossibleError where less than that is left, and
    IdempotencyKeyReusedError where the key asked another sum back.
    """

    def __init__(
        self,
        store: Store,
        notifier: OrderNotifier,
        clock: Clock,
        *,
        gateway: PaymentGateway,
        carry_out_refunds: CarryOutRefunds,
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._clock = clock
        self._gateway = gateway
        self._carry_out_refunds = carry_out_refunds

    async def __call__(self, command: RefundOrderCommand) -> Refund:
        """The refund; REQUESTED, if it is new and has no account."""
        refund = await retrying(lambda: self._request(command))
        await self._notifier.publish(command.order_id)
        if command.account is None or refund.status is not RefundStatus.REQUESTED:
            return refund
        with suppress(GatewayError):
            await self._hand_over(command.order_id, command.account)
        return await self._read(refund)

    async def _hand_over(self, order_id: OrderId, account: RefundAccount) -> None:
        async with self._store.reading() as unit:
            order = await unit.orders.by_id(order_id)
        assert order is not None, "an order is never deleted"  # noqa: S101 - it was there a moment ago
        payment = await self._gateway.get(order.payment_id)
        if payment is not None:
            await self._carry_out_refunds(order, payment, account=account)

    async def _read(self, refund: Refund) -> Refund:
        async with self._store.reading() as unit:
            return next(kept for kept in await unit.refunds.of_order(refund.order_id) if kept.id == refund.id)

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
            needs=Need.ACCOUNT if command.account else None,
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
