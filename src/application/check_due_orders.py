"""The whole of our background work: an order that is not at rest has a time to be checked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from application.carry_out_refunds import CarryOutRefunds
from application.errors import GatewayError
from application.ports import Clock, PaymentGateway, Store
from application.reconcile_order import ReconcileOrder
from domain.ids import OrderId
from domain.order import Order
from domain.schedule import LEASE

_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One check: of which order, and why it could not be finished, if so. ``error`` is set for what nobody foresaw."""

    order_id: OrderId
    failure: str | None = None
    error: Exception | None = None


class CheckDueOrders:
    """Lease orders that are due, check each, reconcile them, and carry out what is owed.

    A check that fails makes its order due again later; one that dies leaves it due when its lease ends.
    Raises StoreUnavailableError where none could be leased.
    """

    def __init__(
        self,
        *,
        store: Store,
        gateway: PaymentGateway,
        reconcile: ReconcileOrder,
        carry_out_refunds: CarryOutRefunds,
        clock: Clock,
        at_once: int = _AT_ONCE,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._reconcile = reconcile
        self._carry_out_refunds = carry_out_refunds
        self._clock = clock
        self._at_once = at_once

    async def __call__(self) -> Sequence[Checked]:
        """Check every order that is due now once, at most as many as fit; none means that nothing was due."""
        orders = await self._lease()
        return await asyncio.gather(*(self._check(order) for order in orders))

    async def _lease(self) -> Sequence[Order]:
        now = self._clock()
        async with self._store.reading() as unit:
            if not await unit.orders.due_count(now):
                return ()
        async with self._store.writing() as unit:
            orders = await unit.orders.lease_due(now, now + LEASE, self._at_once)
            await unit.commit()
        return orders

    async def _check(self, order: Order) -> Checked:
        try:
            await self._check_through(order)
        except GatewayError as error:
            return await self._failed(order, str(error), None)
        except Exception as error:  # noqa: BLE001 - one order's trouble must not stop the others; the caller reports it
            return await self._failed(order, f"{type(error).__name__}", error)
        return Checked(order_id=order.id)

    async def _check_through(self, order: Order) -> None:
        payment = await self._gateway.get(order.payment_id)
        reconciled = await self._reconcile(order, payment, on_schedule=True)
        if payment is None or reconciled.is_stale:
            return
        if reconciled.close_account:
            await self._gateway.close_virtual_account(order.payment_id, payment.store_id)
        if reconciled.order.owed:
            await self._carry_out_refunds(reconciled.order, payment)

    async def _failed(self, order: Order, why: str, error: Exception | None) -> Checked:
        try:
            await self._reconcile.failed(order, why)
        except Exception as worse:  # noqa: BLE001 - its lease will end; the caller reports it
            return Checked(order_id=order.id, failure=why, error=error or worse)
        return Checked(order_id=order.id, failure=why, error=error)
