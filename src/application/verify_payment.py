"""The buyer came back from the payment window: check now, whatever the browser claims."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from application.errors import GatewayError
from application.ports import Clock, PaymentGateway
from application.read_order import ReadOrder
from application.reconcile_order import ReconcileOrder
from domain.ids import OrderId
from domain.order import Order

_BUDGET = 8.0  # seconds the browser is kept waiting for the gateway
_APART = timedelta(seconds=1)


class VerifyPayment:
    """Check a buyer's order now; one check at a time for each order, and no two within a second.

    A gateway that is down changes nothing: the order is answered as it stands, and is checked again later.
    Raises OrderNotFoundError.
    """

    def __init__(self, read_order: ReadOrder, gateway: PaymentGateway, reconcile: ReconcileOrder, clock: Clock) -> None:
        self._read_order = read_order
        self._gateway = gateway
        self._reconcile = reconcile
        self._clock = clock
        self._turns = _Turns()

    async def __call__(self, order_id: OrderId, token: str) -> Order:
        """The order, reconciled by what the gateway says now."""
        order = await self._read_order(order_id, token)
        if order.check_at is None:
            return order
        async with self._turns.of(order_id):
            if self._turns.took_one(order_id, self._clock()):
                return await self._read_order(order_id, token)
            return await self._check(order)

    async def _check(self, order: Order) -> Order:
        try:
            async with asyncio.timeout(_BUDGET):
                payment = await self._gateway.get(order.payment_id)
        except (TimeoutError, GatewayError):
            return order
        return (await self._reconcile(order, payment)).order


class _Turns:
    """Who may check which order, one at a time, and who did a moment ago. Nothing is kept for longer than needed."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[OrderId, asyncio.Lock] = WeakValueDictionary()
        self._taken: OrderedDict[OrderId, datetime] = OrderedDict()

    @asynccontextmanager
    async def of(self, order_id: OrderId) -> AsyncIterator[None]:
        lock = self._locks.get(order_id)
        if lock is None:
            lock = self._locks[order_id] = asyncio.Lock()
        async with lock:
            yield

    def took_one(self, order_id: OrderId, now: datetime) -> bool:
        """Whether a turn at this order began within the last second; if not, one begins now."""
        while self._taken and abs(now - next(iter(self._taken.values()))) >= _APART:
            self._taken.popitem(last=False)
        if order_id in self._taken:
            return True
        self._taken[order_id] = now
        return False
