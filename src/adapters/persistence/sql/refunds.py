"""Refunds: one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Row, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from adapters.persistence.sql.transaction import SqlTransaction
from adapters.persistence.tables import refunds
from application.ports import Refunds
from domain.ids import OrderId, RefundId
from domain.money import Money
from domain.refund import Need, Refund, RefundStatus, Sent

_REFUNDS_OF_ORDER = (
    select(refunds).where(refunds.c.order_id == bindparam("key")).order_by(refunds.c.requested_at, refunds.c.id)
)

_REFUNDS_OF_ORDERS = (
    select(refunds)
    .where(refunds.c.order_id.in_(bindparam("keys", expanding=True)))
    .order_by(refunds.c.requested_at, refunds.c.id)
)


def _keep_refund(module: Any) -> Executable:
    statement = module.insert(refunds)
    names = [name for name in refunds.c.keys() if name != "id"]  # noqa: SIM118 - a column collection
    set_ = {name: statement.excluded[name] for name in names}
    kept: Executable = statement.on_conflict_do_update(index_elements=["id"], set_=set_)
    return kept


_KEEP_REFUND = {"sqlite": _keep_refund(sqlite), "postgresql": _keep_refund(postgresql)}


class SqlRefunds(Refunds):
    """Refunds in the database."""

    def __init__(self, unit: SqlTransaction) -> None:
        self._unit = unit

    async def save(self, refund: Refund) -> None:
        """Keep a new or changed refund."""
        self._unit.must_write()
        values = {
            "id": refund.id,
            "order_id": refund.order_id,
            "minor": refund.amount.minor,
            "currency": refund.amount.currency,
            "reason": refund.reason,
            "requested_by": refund.requested_by,
            "requested_at": refund.requested_at,
            "status": refund.status.value,
            "ended_at": refund.ended_at,
            "failure": refund.failure,
            "needs": refund.needs.value if refund.needs else None,
            "cancellation_id": refund.cancellation_id,
            **_sent_values(refund.sent),
        }
        await self._unit.run(_KEEP_REFUND[self._unit.dialect], values)

    async def of_order(self, order_id: OrderId) -> Sequence[Refund]:
        """Every refund of this order."""
        return [_refund(row) for row in (await self._unit.run(_REFUNDS_OF_ORDER, {"key": order_id})).all()]

    async def of_orders(self, order_ids: Sequence[OrderId]) -> Mapping[OrderId, Sequence[Refund]]:
        """Every refund of these orders."""
        found: dict[OrderId, list[Refund]] = {}
        for row in (await self._unit.run(_REFUNDS_OF_ORDERS, {"keys": list(order_ids)})).all():
            found.setdefault(OrderId(row.order_id), []).append(_refund(row))
        return found


def _refund(row: Row[Any]) -> Refund:
    return Refund(
        id=RefundId(row.id),
        order_id=OrderId(row.order_id),
        amount=Money(row.minor, row.currency),
        reason=row.reason,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        status=RefundStatus(row.status),
        ended_at=row.ended_at,
        failure=row.failure,
        needs=Need(row.needs) if row.needs is not None else None,
        sent=_sent(row),
        cancellation_id=row.cancellation_id,
    )


def _sent_values(sent: Sent | None) -> dict[str, Any]:
    return {
        "sent_key": sent.key if sent else None,
        "sent_minor": sent.amount.minor if sent else None,
        "sent_tax_free_minor": sent.tax_free.minor if sent else None,
        "sent_left_minor": sent.left.minor if sent else None,
        "sent_gone_minor": sent.gone.minor if sent else None,
        "sent_at": sent.at if sent else None,
        "sent_times": sent.times if sent else None,
    }


def _sent(row: Row[Any]) -> Sent | None:
    if row.sent_key is None:
        return None
    return Sent(
        key=row.sent_key,
        amount=Money(row.sent_minor, row.currency),
        tax_free=Money(row.sent_tax_free_minor, row.currency),
        left=Money(row.sent_left_minor, row.currency),
        gone=Money(row.sent_gone_minor, row.currency),
        at=row.sent_at,
        times=row.sent_times,
    )
