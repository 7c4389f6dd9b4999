"""All that the store holds of one order, as it was committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from application.ports import Store
from domain.attention import AttentionKind
from domain.history import HistoryEntry, HistoryKind
from domain.ids import OrderId
from domain.order import Order
from domain.refund import Refund


@dataclass(frozen=True, slots=True)
class Kept:
    """All that the store holds of one order."""

    order: Order
    history: Sequence[HistoryEntry]
    refunds: Sequence[Refund]

    @property
    def standing(self) -> tuple[object, ...]:
        """What delivering anything again must not change."""
        order = self.order
        return (order.status, order.reason, order.captured, order.refunded, order.owed, order.seq, len(self.refunds))

    @property
    def was_completed(self) -> bool:
        """Whether the buyer ever got what was ordered."""
        return any(entry.kind is HistoryKind.COMPLETED for entry in self.history)

    @property
    def asks_after_refusal(self) -> bool:
        """Whether it asked money back by itself although the gateway had refused that for good."""
        kinds = [entry.kind for entry in self.history]
        if HistoryKind.REFUND_REFUSED not in kinds:
            return False
        by_itself = {refund.id for refund in self.refunds if refund.requested_by == "gyeolje"}
        later = self.history[kinds.index(HistoryKind.REFUND_REFUSED) :]
        return any(e.kind is HistoryKind.REFUND_REQUESTED and e.data.get("refund") in by_itself for e in later)

    def was_asked(self, kind: AttentionKind) -> bool:
        """Whether a person was ever asked about this."""
        return any(e.kind is HistoryKind.ATTENTION and e.data.get("kind") == kind.value for e in self.history)


async def read(store: Store, order_id: OrderId) -> Kept | None:
    """The order as it is committed; None where its parts were read on both sides of a commit."""
    async with store.reading() as unit:
        order = await unit.orders.by_id(order_id)
        if order is None:
            return None
        history, refunds = await unit.history.of_order(order_id), await unit.refunds.of_order(order_id)
        again = await unit.orders.by_id(order_id)
    return Kept(order, history, refunds) if again == order else None
