"""The history: rows that are only ever added."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Executable, bindparam, insert, literal_column, select

from adapters.persistence.sql.transaction import SqlTransaction
from adapters.persistence.sql.values import MOST, as_json
from adapters.persistence.tables import history
from application.ports import History
from domain.history import HistoryEntry, HistoryKind
from domain.ids import OrderId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money

_APPEND: Executable = insert(history).returning(
    literal_column("1")
)  # returning makes many rows one statement, not many
_HISTORY_OF_ORDER = (
    select(history)
    .where(history.c.order_id == bindparam("key"), history.c.seq > bindparam("after"))
    .order_by(history.c.seq)
)


class SqlHistory(History):
    """The history in the database."""

    def __init__(self, unit: SqlTransaction) -> None:
        self._unit = unit

    async def append(self, entries: Sequence[HistoryEntry]) -> None:
        """Add entries, in one statement."""
        self._unit.must_write()
        values = [
            {
                "order_id": entry.order_id,
                "seq": entry.seq,
                "kind": entry.kind.value,
                "at": entry.at,
                "status": entry.status.value,
                "reason": entry.reason.value if entry.reason else None,
                "refunded_minor": entry.refunded.minor,
                "refunded_currency": entry.refunded.currency,
                "data": as_json(dict(entry.data)),
            }
            for entry in entries
        ]
        if values:
            await self._unit.run(_APPEND, values)

    async def of_order(self, order_id: OrderId, *, after: int = 0) -> Sequence[HistoryEntry]:
        """The entries of this order."""
        rows = (await self._unit.run(_HISTORY_OF_ORDER, {"key": order_id, "after": min(after, MOST)})).all()
        return [
            HistoryEntry(
                order_id=OrderId(row.order_id),
                seq=row.seq,
                kind=HistoryKind(row.kind),
                at=row.at,
                status=OrderStatus(row.status),
                reason=CancelReason(row.reason) if row.reason is not None else None,
                refunded=Money(row.refunded_minor, row.refunded_currency),
                data=json.loads(row.data),
            )
            for row in rows
        ]
