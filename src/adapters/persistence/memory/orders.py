"""Orders, and the rules that the databases hold theirs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from adapters.persistence.memory.tables import MemoryTransaction
from application.ports import Orders
from domain.history import HistoryEntry
from domain.ids import OrderId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order
from domain.schedule import LONGEST


class MemoryOrders(Orders):
    """Orders in memory."""

    def __init__(self, unit: MemoryTransaction) -> None:
        self._unit = unit

    async def add(self, order: Order) -> None:
        """Keep a new order."""
        self._unit.must_write()
        tables = self._unit.tables
        if order.id in tables.orders or order.payment_id in tables.payments:
            raise self._unit.conflict("an order of this id or payment is there already")
        self._check(None, order)
        tables.orders[order.id] = order
        tables.payments[order.payment_id] = order.id

    async def save(self, order: Order) -> None:
        """Keep a changed order."""
        self._unit.must_write()
        before = self._unit.tables.orders.get(order.id)
        if before is None or before.version != order.version:
            raise self._unit.conflict("somebody else has changed this order")
        self._check(before, order)
        self._unit.tables.orders[order.id] = replace(order, version=order.version + 1)

    async def by_id(self, order_id: OrderId) -> Order | None:
        """The order with this id."""
        return self._unit.tables.orders.get(order_id)

    async def by_payment(self, payment_id: str) -> Order | None:
        """The order with this payment."""
        order_id = self._unit.tables.payments.get(payment_id)
        return None if order_id is None else self._unit.tables.orders[order_id]

    async def by_payments(self, payment_ids: Sequence[str]) -> Mapping[str, Order]:
        """The orders of these payments."""
        tables = self._unit.tables
        return {name: tables.orders[tables.payments[name]] for name in payment_ids if name in tables.payments}

    async def captured_between(
        self, since: datetime, until: datetime, *, after: tuple[datetime, OrderId] | None = None, limit: int = 50
    ) -> Sequence[Order]:
        """Orders of which anything was captured, by when they moved."""
        matching = [
            order
            for order in self._unit.tables.orders.values()
            if order.captured is not None
            and since <= order.moved_at <= until
            and (after is None or (order.moved_at, order.id) > after)
        ]
        return sorted(matching, key=lambda order: (order.moved_at, order.id))[:limit]

    async def unfinished(self, *, after: tuple[datetime, OrderId] | None = None, limit: int = 50) -> Sequence[Order]:
        """Orders that owe or ask for a person, the oldest first."""
        matching = [
            order
            for order in self._unit.tables.orders.values()
            if (order.owed or order.attention is not None) and (after is None or (order.created_at, order.id) > after)
        ]
        return sorted(matching, key=lambda order: (order.created_at, order.id))[:limit]

    async def first_placed_at(self) -> datetime | None:
        """When the first order was placed."""
        return min((order.created_at for order in self._unit.tables.orders.values()), default=None)

    async def lease_due(self, now: datetime, until: datetime, limit: int) -> Sequence[Order]:
        """Orders to check, the longest due first."""
        self._unit.must_write()
        due = sorted(self._due(now), key=lambda pair: (pair[0], pair[1].id))[:limit]
        leased = [replace(order, check_at=until, version=order.version + 1) for _, order in due]
        self._unit.tables.orders.update({order.id: order for order in leased})
        return leased

    async def due_count(self, now: datetime) -> int:
        """How many orders are due."""
        return len(self._due(now))

    async def page(
        self,
        *,
        status: OrderStatus | None = None,
        attention: bool = False,
        before: tuple[datetime, OrderId] | None = None,
        limit: int = 50,
    ) -> Sequence[Order]:
        """The newest orders that match."""
        matching = [
            order
            for order in self._unit.tables.orders.values()
            if (status is None or order.status is status)
            and (not attention or order.attention is not None)
            and (before is None or (order.created_at, order.id) < before)
        ]
        return sorted(matching, key=lambda order: (order.created_at, order.id), reverse=True)[:limit]

    def _due(self, now: datetime) -> list[tuple[datetime, Order]]:
        orders = self._unit.tables.orders.values()
        return [(at, order) for order in orders if (at := order.check_at) is not None and not now < at <= now + LONGEST]

    def _check(self, before: Order | None, order: Order) -> None:
        entries = self._unit.tables.history.get(order.id, ())
        broken = _broken_by_step(before, order)
        if broken is None and not _is_told(before, order, entries):
            broken = "a change has its history entry"
        broken = broken or _broken_by_state(order)
        if broken is not None:
            raise self._unit.refuse(broken)


_EDGES = frozenset(
    {
        (OrderStatus.PENDING, OrderStatus.COMPLETED),
        (OrderStatus.PENDING, OrderStatus.CANCELLED),
        (OrderStatus.COMPLETED, OrderStatus.CANCELLED),
    }
)


def _broken_by_state(order: Order) -> str | None:
    """The rule that ``order`` breaks, whatever it was before."""
    captured = Money.zero(order.price.currency) if order.captured is None else order.captured
    if (order.status is OrderStatus.CANCELLED) is (order.reason is None):
        return "a CANCELLED order has a reason, and no other has"
    if order.status is OrderStatus.COMPLETED and order.captured != order.price:
        return "a COMPLETED order was paid in full"
    if {order.refunded.currency, order.owed.currency} != {captured.currency}:
        return "money goes back in the currency it came in"
    if order.refunded + order.owed > captured:
        return "no more goes back than was captured"
    return None


def _broken_by_step(before: Order | None, order: Order) -> str | None:
    """The rule that going from ``before`` to ``order`` breaks."""
    if before is None:
        begins = order.status is OrderStatus.PENDING or not order.price
        return None if begins else "an order begins PENDING"
    if _identity(before) != _identity(order):
        return "an order keeps its identity"
    if before.status is not order.status and (before.status, order.status) not in _EDGES:
        return "an order never moves back"
    if before.captured is not None and before.captured != order.captured:
        return "what was captured never changes"
    if before.refunded.minor > order.refunded.minor:
        return "what went back stays back"
    return None


def _identity(order: Order) -> tuple[object, ...]:
    return (order.payment_id, order.token_hash, order.name, order.lines, order.price, order.created_at)


def _is_told(before: Order | None, order: Order, entries: Sequence[HistoryEntry]) -> bool:
    """Whether the history says what ``order`` has become."""
    if before is not None and order.seq == before.seq:
        return _told(before) == _told(order)
    if before is not None and order.seq < before.seq:
        return False
    last = entries[order.seq - 1] if 0 < order.seq <= len(entries) else None
    return last is not None and (last.status, last.reason, last.refunded) == (
        order.status,
        order.reason,
        order.refunded,
    )


def _told(order: Order) -> tuple[object, ...]:
    return (order.status, order.reason, order.captured, order.refunded, order.owed)
