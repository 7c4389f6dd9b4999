"""The store, and its unit of work with everything that is kept in it."""

from __future__ import annotations

import asyncio

from adapters.persistence.memory.api_keys import MemoryApiKeys
from adapters.persistence.memory.catalog import MemoryCatalog
from adapters.persistence.memory.history import MemoryHistory
from adapters.persistence.memory.inbox import MemoryInbox
from adapters.persistence.memory.orders import MemoryOrders
from adapters.persistence.memory.placements import MemoryPlacements
from adapters.persistence.memory.refunds import MemoryRefunds
from adapters.persistence.memory.sweeps import MemoryOrphans, MemorySweeps
from adapters.persistence.memory.tables import MemoryTransaction, Tables
from adapters.persistence.unit import SECONDS
from application.ports import Store


class MemoryStore(Store):
    """All of it in dictionaries. One writing unit at a time; what it wrote shows to others once it is committed."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._kept = Tables()
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


class MemoryUnit(MemoryTransaction):
    """One unit of work."""

    def __init__(self, kept: Tables, lock: asyncio.Lock | None, seconds: float) -> None:
        super().__init__(kept, lock, seconds)
        self.orders = MemoryOrders(self)
        self.refunds = MemoryRefunds(self)
        self.history = MemoryHistory(self)
        self.inbox = MemoryInbox(self)
        self.catalog = MemoryCatalog(self)
        self.placements = MemoryPlacements(self)
        self.orphans = MemoryOrphans(self)
        self.sweeps = MemorySweeps(self)
        self.api_keys = MemoryApiKeys(self)
