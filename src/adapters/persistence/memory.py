"""Everything in this process's memory, under the same rules as the databases: for simulations and quick tests."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from adapters.persistence.unit import SECONDS, Unit
from application.errors import ProductNotFoundError, SoldOutError
from application.ports import (
    Catalog,
    History,
    Inbox,
    Orders,
    Orphans,
    PlacedBefore,
    Placements,
    Refunds,
    Store,
    Sweeps,
)
from domain.catalog import Product
from domain.history import HistoryEntry
from domain.ids import OrderId, ProductId, RefundId, WebhookId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order
from domain.refund import Refund, RefundStatus
from domain.sweep import Orphan, Sweep
from domain.webhook_event import WebhookEvent


class MemoryStore(Store):
    """All of it in dictionaries. One writing unit at a time; what it wrote shows to others once it is committed."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._kept = _Tables()
        self._lock = asyncio.Lock()
        self._seconds = seconds

    def reading(self) -> MemoryUnit:
        """A new unit that only reads."""
        return MemoryUnit(self._kept, None, self._seconds)

    def writing(self) -> MemoryUnit:
        """A new unit that may write."""
        return MemoryUnit(self._kept, self._lock, self._seconds)

    async def check(self) -> None:
        """Memory always answers."""


@dataclass(frozen=True, slots=True)
class _Tables:
    orders: ChainMap[OrderId, Order] = field(default_factory=ChainMap)
    payments: ChainMap[str, OrderId] = field(default_factory=ChainMap)
    refunds: ChainMap[RefundId, Refund] = field(default_factory=ChainMap)
    history: ChainMap[OrderId, tuple[HistoryEntry, ...]] = field(default_factory=ChainMap)
    inbox: ChainMap[WebhookId, WebhookEvent] = field(default_factory=ChainMap)
    products: ChainMap[ProductId, Product] = field(default_factory=ChainMap)
    placements: ChainMap[str, PlacedBefore] = field(default_factory=ChainMap)
    orphans: ChainMap[str, Orphan] = field(default_factory=ChainMap)
    sweeps: ChainMap[None, Sweep] = field(default_factory=ChainMap)

    def draft(self) -> _Tables:
        return _Tables(*(getattr(self, name).new_child() for name in _Tables.__slots__))

    def publish(self, draft: _Tables) -> None:
        for name in _Tables.__slots__:
            getattr(self, name).update(getattr(draft, name).maps[0])


class MemoryUnit(Unit):
    """One unit on a draft of the tables."""

    def __init__(self, kept: _Tables, lock: asyncio.Lock | None, seconds: float) -> None:
        super().__init__(writes=lock is not None, seconds=seconds)
        self._kept = kept
        self._lock = lock
        self._held = False
        self.tables = kept if lock is None else kept.draft()  # who only reads needs no draft
        self.orders = MemoryOrders(self)
        self.refunds = MemoryRefunds(self)
        self.history = MemoryHistory(self)
        self.inbox = MemoryInbox(self)
        self.catalog = MemoryCatalog(self)
        self.placements = MemoryPlacements(self)
        self.orphans = MemoryOrphans(self)
        self.sweeps = MemorySweeps(self)

    async def _begin(self) -> None:
        if self._lock is not None:
            self._held = await self._lock.acquire()

    async def _commit(self) -> None:
        missing = [order_id for order_id in self.tables.history.maps[0] if order_id not in self.tables.orders]
        missing += [p.order_id for p in self.tables.placements.maps[0].values() if p.order_id not in self.tables.orders]
        if missing:
            raise self.refuse("everything belongs to an order")
        self._kept.publish(self.tables)
        self.tables = self._kept.draft()

    async def _end(self) -> None:
        if self._lock is not None and self._held:
            self._held = False
            self._lock.release()


class MemoryOrders(Orders):
    """Orders in memory."""

    def __init__(self, unit: MemoryUnit) -> None:
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

    async def lease_due(self, now: datetime, until: datetime, limit: int) -> Sequence[Order]:
        """Orders to look at, the longest due first."""
        self._unit.must_write()
        due = sorted(self._due(now), key=lambda pair: (pair[0], pair[1].id))[:limit]
        leased = [replace(order, look_at=until, version=order.version + 1) for _, order in due]
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
        return [(order.look_at, order) for order in orders if order.look_at is not None and order.look_at <= now]

    def _check(self, before: Order | None, order: Order) -> None:
        entries = self._unit.tables.history.get(order.id, ())
        broken = _broken_by_step(before, order)
        if broken is None and not _is_told(before, order, entries):
            broken = "a change has its history entry"
        broken = broken or _broken_by_state(order)
        if broken is not None:
            raise self._unit.refuse(broken)


class MemoryRefunds(Refunds):
    """Refunds in memory."""

    def __init__(self, unit: MemoryUnit) -> None:
        self._unit = unit

    async def save(self, refund: Refund) -> None:
        """Keep a new or changed refund."""
        self._unit.must_write()
        tables = self._unit.tables
        if refund.order_id not in tables.orders:
            raise self._unit.refuse("everything belongs to an order")
        broken = _broken_by_refund(tables.refunds.get(refund.id), refund) or self._broken_by_sum(refund)
        if broken is not None:
            raise self._unit.refuse(broken)
        tables.refunds[refund.id] = refund

    async def of_order(self, order_id: OrderId) -> Sequence[Refund]:
        """Every refund of this order."""
        refunds = [refund for refund in self._unit.tables.refunds.values() if refund.order_id == order_id]
        return sorted(refunds, key=lambda refund: (refund.requested_at, refund.id))

    def _broken_by_sum(self, refund: Refund) -> str | None:
        tables = self._unit.tables
        owed = tables.orders[refund.order_id].owed
        others = [r for r in tables.refunds.values() if r.order_id == refund.order_id and r.id != refund.id]
        wanted = [r.amount for r in [*others, refund] if r.status is RefundStatus.REQUESTED]
        is_new = refund.id not in tables.refunds
        return "a refund is owed by its order" if is_new and sum(m.minor for m in wanted) > owed.minor else None


class MemoryHistory(History):
    """The history in memory."""

    def __init__(self, unit: MemoryUnit) -> None:
        self._unit = unit

    async def append(self, entries: Sequence[HistoryEntry]) -> None:
        """Add entries."""
        self._unit.must_write()
        history = self._unit.tables.history
        for entry in entries:
            told = history.get(entry.order_id, ())
            if entry.seq <= len(told):
                raise self._unit.conflict("this history entry is there already")
            if entry.seq != len(told) + 1:
                raise self._unit.refuse("the history has no gaps")
            history[entry.order_id] = (*told, entry)

    async def of_order(self, order_id: OrderId, *, after: int = 0) -> Sequence[HistoryEntry]:
        """The entries of this order."""
        return list(self._unit.tables.history.get(order_id, ())[after:])


class MemoryInbox(Inbox):
    """The webhook events in memory."""

    def __init__(self, unit: MemoryUnit) -> None:
        self._unit = unit

    async def seen(self, webhook_id: WebhookId) -> bool:
        """Whether an event of this id was kept."""
        return webhook_id in self._unit.tables.inbox

    async def add(self, event: WebhookEvent, *, outcome: str, received_at: datetime) -> bool:  # noqa: ARG002 - nobody asks for them here
        """Keep the event."""
        self._unit.must_write()
        if event.id in self._unit.tables.inbox:
            return False
        self._unit.tables.inbox[event.id] = event
        return True


class MemoryCatalog(Catalog):
    """The products in memory."""

    def __init__(self, unit: MemoryUnit) -> None:
        self._unit = unit

    async def put(self, product: Product) -> None:
        """Keep this product."""
        self._unit.must_write()
        if product.available is not None and product.available < 0:
            raise self._unit.refuse("stock is never negative")
        self._unit.tables.products[product.id] = product

    async def products(self) -> Sequence[Product]:
        """Every product, by name."""
        return sorted(self._unit.tables.products.values(), key=lambda product: (product.name, product.id))

    async def hold(self, product_id: ProductId, quantity: int) -> Product:
        """Take some off what is available."""
        self._unit.must_write()
        product = self._unit.tables.products.get(product_id)
        if product is None:
            raise ProductNotFoundError(f"there is no product {product_id}")
        if product.available is None:
            return product
        if product.available < quantity:
            raise SoldOutError(f"less than {quantity} of {product.name} is left")
        return self._keep(replace(product, available=product.available - quantity))

    async def release(self, product_id: ProductId, quantity: int) -> None:
        """Put some back."""
        self._unit.must_write()
        product = self._unit.tables.products.get(product_id)
        if product is not None and product.available is not None:
            self._keep(replace(product, available=product.available + quantity))

    def _keep(self, product: Product) -> Product:
        self._unit.tables.products[product.id] = product
        return product


class MemoryPlacements(Placements):
    """The Idempotency-Keys in memory."""

    def __init__(self, unit: MemoryUnit) -> None:
        self._unit = unit

    async def by_key(self, key_hash: str) -> PlacedBefore | None:
        """What this key placed."""
        return self._unit.tables.placements.get(key_hash)

    async def add(self, placed: PlacedBefore) -> None:
        """Remember a key."""
        self._unit.must_write()
        if any(
            placed.key_hash == p.key_hash or placed.order_id == p.order_id
            for p in self._unit.tables.placements.values()
        ):
            raise self._unit.conflict("this Idempotency-Key was used already")
        self._unit.tables.placements[placed.key_hash] = placed


class MemoryOrphans(Orphans):
    """Payments without an order in memory."""

    def __init__(self, unit: MemoryUnit) -> None:
        self._unit = unit

    async def keep(self, orphans: Sequence[Orphan]) -> int:
        """Keep them."""
        self._unit.must_write()
        kept = self._unit.tables.orphans
        new = 0
        for orphan in orphans:
            before = kept.get(orphan.payment_id)
            kept[orphan.payment_id] = replace(orphan, first_seen_at=before.first_seen_at) if before else orphan
            new += before is None
        return new

    async def page(self, *, before: tuple[datetime, str] | None = None, limit: int = 50) -> Sequence[Orphan]:
        """The ones seen first last."""
        kept = [(orphan.first_seen_at, orphan.payment_id) for orphan in self._unit.tables.orphans.values()]
        wanted = sorted((at for at in kept if before is None or at < before), reverse=True)[:limit]
        return [self._unit.tables.orphans[name] for _, name in wanted]


class MemorySweeps(Sweeps):
    """The sweep in memory."""

    def __init__(self, unit: MemoryUnit) -> None:
        self._unit = unit

    async def read(self) -> Sweep:
        """The sweep as it stands."""
        return self._unit.tables.sweeps.get(None, Sweep())

    async def save(self, sweep: Sweep) -> Sweep:
        """Keep it."""
        self._unit.must_write()
        if (await self.read()).version != sweep.version:
            raise self._unit.conflict("somebody else is sweeping")
        stored = replace(sweep, version=sweep.version + 1)
        self._unit.tables.sweeps[None] = stored
        return stored


_EDGES = frozenset(
    {
        (OrderStatus.PENDING, OrderStatus.COMPLETED),
        (OrderStatus.PENDING, OrderStatus.CANCELLED),
        (OrderStatus.COMPLETED, OrderStatus.CANCELLED),
    }
)


def _broken_by_state(order: Order) -> str | None:
    """The rule that ``order`` breaks, whatever it was before."""
    captured = order.captured or Money.zero(order.price.currency)
    if not order.price:
        return "an order costs something"
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
        return None if order.status is OrderStatus.PENDING else "an order begins PENDING"
    if _identity(before) != _identity(order):
        return "an order keeps its identity"
    if before.status is not order.status and (before.status, order.status) not in _EDGES:
        return "an order never moves back"
    if before.captured is not None and before.captured != order.captured:
        return "what was captured never changes"
    if before.refunded.minor > order.refunded.minor:
        return "what went back stays back"
    return None


def _broken_by_refund(before: Refund | None, refund: Refund) -> str | None:
    """The rule that going from ``before`` to ``refund`` breaks."""
    if not refund.amount:
        return "a refund gives something back"
    if (refund.status is RefundStatus.REQUESTED) is not (refund.settled_at is None):
        return "a refund that has ended says when"
    if before is None:
        return None if refund.status is RefundStatus.REQUESTED else "a refund begins REQUESTED"
    if replace(before, status=refund.status, settled_at=refund.settled_at, failure=refund.failure) != refund:
        return "a refund keeps its identity"
    if before.status is not RefundStatus.REQUESTED and before != refund:
        return "a refund ends once"
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
