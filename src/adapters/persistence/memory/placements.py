"""Which Idempotency-Keys placed which orders."""

from __future__ import annotations

from adapters.persistence.memory.tables import MemoryTransaction
from application.ports import PlacedBefore, Placements


class MemoryPlacements(Placements):
    """The Idempotency-Keys in memory."""

    def __init__(self, unit: MemoryTransaction) -> None:
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
