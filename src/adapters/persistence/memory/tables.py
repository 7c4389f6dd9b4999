"""The tables, and one transaction on a draft of them."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from dataclasses import dataclass, field

from adapters.persistence.unit import Unit
from application.ports import PlacedBefore
from domain.api_key import ApiKey
from domain.catalog import Product
from domain.history import HistoryEntry
from domain.ids import ApiKeyId, OrderId, ProductId, RefundId, WebhookId
from domain.order import Order
from domain.refund import Refund
from domain.sweep import Orphan, Sweep
from domain.webhook_event import WebhookEvent


@dataclass(frozen=True, slots=True)
class Tables:
    """All that is kept, by its keys."""

    orders: ChainMap[OrderId, Order] = field(default_factory=ChainMap)
    payments: ChainMap[str, OrderId] = field(default_factory=ChainMap)
    refunds: ChainMap[RefundId, Refund] = field(default_factory=ChainMap)
    history: ChainMap[OrderId, tuple[HistoryEntry, ...]] = field(default_factory=ChainMap)
    inbox: ChainMap[WebhookId, WebhookEvent] = field(default_factory=ChainMap)
    products: ChainMap[ProductId, Product] = field(default_factory=ChainMap)
    placements: ChainMap[str, PlacedBefore] = field(default_factory=ChainMap)
    orphans: ChainMap[str, Orphan] = field(default_factory=ChainMap)
    sweeps: ChainMap[None, Sweep] = field(default_factory=ChainMap)
    api_keys: ChainMap[ApiKeyId, ApiKey] = field(default_factory=ChainMap)

    def draft(self) -> Tables:
        """The same, on which changes show to nobody else yet."""
        return Tables(*(getattr(self, name).new_child() for name in Tables.__slots__))

    def publish(self, draft: Tables) -> None:
        """Take over what was changed on a draft."""
        for name in Tables.__slots__:
            getattr(self, name).update(getattr(draft, name).maps[0])


class MemoryTransaction(Unit):
    """A unit on a draft of the tables."""

    def __init__(self, kept: Tables, lock: asyncio.Lock | None, seconds: float) -> None:
        super().__init__(writes=lock is not None, seconds=seconds)
        self._kept = kept
        self._lock = lock
        self._held = False
        self.tables = kept if lock is None else kept.draft()  # who only reads needs no draft

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
