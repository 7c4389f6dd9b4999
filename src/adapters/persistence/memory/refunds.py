"""Refunds, and the rules that the databases hold theirs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.persistence.memory.tables import MemoryTransaction
from application.ports import Refunds
from domain.ids import OrderId
from domain.refund import Refund, RefundStatus


class MemoryRefunds(Refunds):
    """Refunds in memory."""

    def __init__(self, unit: MemoryTransaction) -> None:
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

    async def of_orders(self, order_ids: Sequence[OrderId]) -> Mapping[OrderId, Sequence[Refund]]:
        """Every refund of these orders."""
        wanted, found = set(order_ids), dict[OrderId, list[Refund]]()
        for refund in sorted(self._unit.tables.refunds.values(), key=lambda refund: (refund.requested_at, refund.id)):
            if refund.order_id in wanted:
                found.setdefault(refund.order_id, []).append(refund)
        return found

    def _broken_by_sum(self, refund: Refund) -> str | None:
        tables = self._unit.tables
        owed = tables.orders[refund.order_id].owed
        others = [r for r in tables.refunds.values() if r.order_id == refund.order_id and r.id != refund.id]
        wanted = [r.amount for r in [*others, refund] if r.status is RefundStatus.REQUESTED]
        is_new = refund.id not in tables.refunds
        return "a refund is owed by its order" if is_new and sum(m.minor for m in wanted) > owed.minor else None


def _broken_by_refund(before: Refund | None, refund: Refund) -> str | None:
    """The rule that going from ``before`` to ``refund`` breaks."""
    if not refund.amount:
        return "a refund gives something back"
    if (refund.status is RefundStatus.REQUESTED) is not (refund.ended_at is None):
        return "a refund that has ended says when"
    if before is None:
        return None if refund.status is RefundStatus.REQUESTED else "a refund begins REQUESTED"
    if _identity(before) != _identity(refund):
        return "a refund keeps its identity"
    if before.status is not RefundStatus.REQUESTED and _end(before) != _end(refund):
        return "a refund ends once"
    return None


def _identity(refund: Refund) -> tuple[object, ...]:
    return (refund.order_id, refund.amount, refund.reason, refund.requested_by, refund.requested_at)


def _end(refund: Refund) -> tuple[object, ...]:
    return (refund.status, refund.ended_at, refund.failure)
