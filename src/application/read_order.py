"""Reading: the buyer's one order, the shop's products, the operator's lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from application.errors import OrderNotFoundError
from application.ports import Store
from domain.catalog import Product
from domain.history import HistoryEntry
from domain.ids import OrderId
from domain.lifecycle import OrderStatus
from domain.order import Order, hash_token
from domain.refund import Refund
from domain.sweep import Orphan


class ReadOrder:
    """A buyer's order, for whoever holds its token.

    Raises the same OrderNotFoundError, after the same work, where there is no such order and where the token is wrong.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, order_id: OrderId, token: str) -> Order:
        """The order as it is stored now."""
        async with self._store.reading() as unit:
            order = await unit.orders.by_id(order_id)
        if order is None:
            hash_token(token)  # so that an unknown order takes as long as a wrong token
        if order is None or not order.admits(token):
            raise OrderNotFoundError("there is no such order, or this token is not its token")
        return order


class ListProducts:
    """What can be bought, with price and what is left."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self) -> Sequence[Product]:
        """Every product, by name."""
        async with self._store.reading() as unit:
            return await unit.catalog.products()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """All there is about one order."""

    order: Order
    history: Sequence[HistoryEntry]
    refunds: Sequence[Refund]


class ShowOrder:
    """All there is about one order, for the operator."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, order_id: OrderId) -> OrderRecord:
        """Raise OrderNotFoundError if there is no such order."""
        async with self._store.reading() as unit:
            order = await unit.orders.by_id(order_id)
            if order is None:
                raise OrderNotFoundError(f"there is no order {order_id!r}")
            return OrderRecord(
                order=order,
                history=await unit.history.of_order(order_id),
                refunds=await unit.refunds.of_order(order_id),
            )


class ListOrders:
    """Orders for the operator, the newest first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(
        self,
        *,
        status: OrderStatus | None = None,
        attention: bool = False,
        before: tuple[datetime, OrderId] | None = None,
        limit: int = 50,
    ) -> Sequence[Order]:
        """At most ``limit`` orders older than ``before``; with ``attention``, only those that need a person."""
        async with self._store.reading() as unit:
            return await unit.orders.page(status=status, attention=attention, before=before, limit=limit)


class ListOrphans:
    """Payments without an order for the operator, those first seen last before the others."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, *, before: tuple[datetime, str] | None = None, limit: int = 50) -> Sequence[Orphan]:
        """At most ``limit`` orphans that come after ``before``, the last one of the page before."""
        async with self._store.reading() as unit:
            return await unit.orphans.page(before=before, limit=limit)
