"""The whole of our background work: an order that is not at rest has a time to be checked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from application.carry_out_refunds import CarryOutRefunds
from application.errors import GatewayError
from application.ports import Clock, PaymentGateway, Store
from application.reconcile_order import Reconciled, ReconcileOrder
from domain.ids import OrderId
from domain.order import Order
from domain.payment import Payment
from domain.schedule import LEASE

_AT_ONCE = 16
_SLOW_AT_ONCE = 8
_PATIENCE = 2.0  # seconds that a round of checks waits for its slow work before it leaves that to itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One check: of which order, and why it could not be finished, if so. ``error`` is set for what nobody foresaw."""

    order_id: OrderId
    failure: str | None = None
    error: Exception | None = None


class CheckDueOrders:
    """Lease orders that are due, check each, reconcile them, and carry out what is owed.

    A check that fails makes its order due again later; one that dies leaves it due when its lease ends. Money that is
    given back, and accounts that are closed, may take a minute each: no more than ``slow_at_once`` of them are under
    way, and what takes longer than a moment goes on by itself while other orders are checked.
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
        slow_at_once: int = _SLOW_AT_ONCE,
        patience: float = _PATIENCE,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._reconcile = reconcile
        self._carry_out_refunds = carry_out_refunds
        self._clock = clock
        self._at_once = at_once
        self._slow_at_once = slow_at_once
        self._patience = patience
        self._slow: dict[OrderId, asyncio.Task[Checked]] = {}

    async def __call__(self) -> Sequence[Checked]:
        """Check every order that is due now once, at most as many as fit; none means that nothing was due.

        With them comes what became of slow work that earlier calls left to itself.
        """
        orders = await self._lease()
        checked = await asyncio.gather(*(self._check(order) for order in orders))
        if begun := [self._slow[order.id] for order in orders if order.id in self._slow]:
            await asyncio.wait(begun, timeout=self._patience)
        return [*(each for each in checked if each is not None), *self._ended()]

    async def finish(self, within: float) -> None:
        """Wait at most so many seconds for slow work, and cancel the rest: its orders are due again by themselves."""
        if not self._slow:
            return
        await asyncio.wait(self._slow.values(), timeout=within)
        for task in self._slow.values():
            task.cancel()
        await asyncio.wait(self._slow.values())
        self._slow.clear()

    async def _lease(self) -> Sequence[Order]:
        now = self._clock()
        async with self._store.reading() as unit:
            if not await unit.orders.due_count(now):
                return ()
        async with self._store.writing() as unit:
            orders = await unit.orders.lease_due(now, now + LEASE, self._at_once)
            await unit.commit()
        return orders

    async def _check(self, order: Order) -> Checked | None:
        """Check one order; None where that goes on as slow work."""
        try:
            payment = await self._gateway.get(order.payment_id)
            reconciled = await self._reconcile(order, payment, on_schedule=True)
        except Exception as error:  # noqa: BLE001 - one order's trouble must not stop the others; the caller reports it
            return await self._failed(order, error)
        if payment is None or reconciled.is_stale or not (reconciled.close_account or reconciled.order.owed):
            return Checked(order_id=order.id)
        return self._begin_slowly(reconciled, payment)

    def _begin_slowly(self, reconciled: Reconciled, payment: Payment) -> Checked | None:
        """Have the slow part done, unless it is under way already, or too much is: then a later check comes to it."""
        order = reconciled.order
        if order.id in self._slow or len(self._slow) >= self._slow_at_once:
            return Checked(order_id=order.id)
        self._slow[order.id] = asyncio.create_task(self._work_slowly(reconciled, payment))
        return None

    async def _work_slowly(self, reconciled: Reconciled, payment: Payment) -> Checked:
        order = reconciled.order
        try:
            if reconciled.close_account:
                await self._gateway.close_virtual_account(order.payment_id, payment.store_id)
            if order.owed:
                await self._carry_out_refunds(order, payment)
        except Exception as error:  # noqa: BLE001 - the caller reports it
            return await self._failed(order, error)
        return Checked(order_id=order.id)

    async def _failed(self, order: Order, error: Exception) -> Checked:
        foreseen = isinstance(error, GatewayError)
        why = str(error) if foreseen else type(error).__name__
        try:
            await self._reconcile.failed(order, why)
        except Exception as worse:  # noqa: BLE001 - its lease will end; the caller reports it
            return Checked(order_id=order.id, failure=why, error=worse if foreseen else error)
        return Checked(order_id=order.id, failure=why, error=None if foreseen else error)

    def _ended(self) -> list[Checked]:
        ended = {order_id: task for order_id, task in self._slow.items() if task.done()}
        for order_id in ended:
            del self._slow[order_id]
        return [task.result() for task in ended.values() if not task.cancelled()]
