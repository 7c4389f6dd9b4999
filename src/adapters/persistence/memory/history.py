"""The history: entries that are only ever added."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.persistence.memory.tables import MemoryTransaction
from application.ports import History
from domain.history import HistoryEntry
from domain.ids import OrderId


class MemoryHistory(History):
    """The history in memory."""

    def __init__(self, unit: MemoryTransaction) -> None:
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
