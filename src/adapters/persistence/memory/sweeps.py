"""Where the sweep has got to, and the orphans it met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from adapters.persistence.memory.tables import MemoryTransaction
from application.ports import Orphans, Sweeps
from domain.sweep import Orphan, Sweep


class MemoryOrphans(Orphans):
    """Payments without an order in memory."""

    def __init__(self, unit: MemoryTransaction) -> None:
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

    def __init__(self, unit: MemoryTransaction) -> None:
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
