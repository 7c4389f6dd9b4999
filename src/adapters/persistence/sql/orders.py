"""Orders: one row each, mapped by hand to frozen values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, Row, bindparam, func, insert, or_, select, text, tuple_, update

from adapters.persistence.sql.transaction import SqlTransaction
from adapters.persistence.sql.values import as_json, cursor
from adapters.persistence.tables import Moment, orders
from application.ports import Orders
from domain.attention import Attention, AttentionKind
from domain.ids import OrderId, PaymentId, ProductId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Observed, Order, OrderLine
from domain.schedule import LONGEST

_ORDER_COLUMNS = tuple(orders.c[name] for name in orders.c.keys())  # noqa: SIM118 - a column collection, not a dict
_ORDERS = select(*_ORDER_COLUMNS)
_BY_ID = _ORDERS.where(orders.c.id == bindparam("key"))
_BY_PAYMENT = _ORDERS.where(orders.c.payment_id == bindparam("key"))
_BY_PAYMENTS = _ORDERS.where(orders.c.payment_id.in_(bindparam("keys", expanding=True)))
_BY_ID_HELD = _BY_ID.with_for_update(key_share=True)  # which says nothing on SQLite: there the unit is alone
_BY_PAYMENT_HELD = _BY_PAYMENT.with_for_update(key_share=True)
_ADD_ORDER = insert(orders)
_SAVED = tuple(name for name in orders.c.keys() if name not in {"id", "version"})  # noqa: SIM118 - a column collection
_SAVE_ORDER = (
    update(orders)
    .where(orders.c.id == bindparam("its_id"), orders.c.version == bindparam("its_version"))
    .values({name: bindparam(name) for name in _SAVED} | {"version": bindparam("its_version") + 1})
)
_MOVED_AT = func.coalesce(orders.c.observed_changed_at, orders.c.created_at, type_=Moment)
_CAPTURED_BETWEEN = (
    _ORDERS.where(orders.c.captured_minor.is_not(None), _MOVED_AT.between(bindparam("since"), bindparam("until")))
    .order_by(_MOVED_AT, orders.c.id)
    .limit(bindparam("most"))
)
_UNFINISHED = _ORDERS.where(text("(owed_minor > 0 OR attention IS NOT NULL)")).order_by(  # as its index has it
    orders.c.created_at, orders.c.id
)
_FIRST_PLACED = select(func.min(orders.c.created_at, type_=Moment))
_DUE = or_(orders.c.check_at <= bindparam("now"), orders.c.check_at > bindparam("beyond"))
_COUNT_DUE = select(  # each an index range of its own
    select(func.count()).select_from(orders).where(orders.c.check_at <= bindparam("now")).scalar_subquery()
    + select(func.count()).select_from(orders).where(orders.c.check_at > bindparam("beyond")).scalar_subquery()
)
_FIND_DUE = (
    _ORDERS.where(_DUE)
    .order_by(orders.c.check_at, orders.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, key_share=True)
)
_LEASE = (
    update(orders)
    .where(orders.c.id.in_(bindparam("ids", expanding=True)))
    .values(check_at=bindparam("until"), version=orders.c.version + 1)
)


class SqlOrders(Orders):
    """Orders in the database; each is one row."""

    def __init__(self, unit: SqlTransaction) -> None:
        self._unit = unit

    async def add(self, order: Order) -> None:
        """Keep a new order."""
        self._unit.must_write()
        await self._unit.run(_ADD_ORDER, _order_values(order))

    async def save(self, order: Order) -> None:
        """Keep a changed order, if nobody changed it since."""
        self._unit.must_write()
        values = _order_values(order)
        its = {"its_id": values.pop("id"), "its_version": values.pop("version")}
        result = await self._unit.run(_SAVE_ORDER, values | its)
        if result.rowcount != 1:
            raise self._unit.conflict("somebody else has changed this order")

    async def by_id(self, order_id: OrderId) -> Order | None:
        """The order with this id."""
        return await self._one(_BY_ID_HELD if self._unit.writes else _BY_ID, order_id)

    async def by_payment(self, payment_id: str) -> Order | None:
        """The order with this payment."""
        return await self._one(_BY_PAYMENT_HELD if self._unit.writes else _BY_PAYMENT, payment_id)

    async def by_payments(self, payment_ids: Sequence[str]) -> Mapping[str, Order]:
        """The orders of these payments."""
        rows = (await self._unit.run(_BY_PAYMENTS, {"keys": list(payment_ids)})).all()
        return {row.payment_id: _order(row) for row in rows}

    async def captured_between(
        self, since: datetime, until: datetime, *, after: tuple[datetime, OrderId] | None = None, limit: int = 50
    ) -> Sequence[Order]:
        """Orders of which anything was captured, by when they moved."""
        statement = _CAPTURED_BETWEEN
        if after is not None:
            statement = statement.where(tuple_(_MOVED_AT, orders.c.id) > cursor(*after))
        rows = (await self._unit.run(statement, {"since": since, "until": until, "most": limit})).all()
        return [_order(row) for row in rows]

    async def unfinished(self, *, after: tuple[datetime, OrderId] | None = None, limit: int = 50) -> Sequence[Order]:
        """Orders that owe or ask for a person, the oldest first."""
        statement = _UNFINISHED.limit(limit)
        if after is not None:
            statement = statement.where(tuple_(orders.c.created_at, orders.c.id) > cursor(*after))
        return [_order(row) for row in (await self._unit.run(statement)).all()]

    async def first_placed_at(self) -> datetime | None:
        """When the first order was placed."""
        first: datetime | None = (await self._unit.run(_FIRST_PLACED)).scalar_one()
        return first

    async def lease_due(self, now: datetime, until: datetime, limit: int) -> Sequence[Order]:
        """Orders to check, the longest due first."""
        self._unit.must_write()
        due = [
            _order(row)
            for row in (await self._unit.run(_FIND_DUE, {"now": now, "beyond": now + LONGEST, "most": limit})).all()
        ]
        if due:
            await self._unit.run(_LEASE, {"until": until, "ids": [order.id for order in due]})
        return [replace(order, check_at=until, version=order.version + 1) for order in due]

    async def due_count(self, now: datetime) -> int:
        """How many orders are due."""
        return int((await self._unit.run(_COUNT_DUE, {"now": now, "beyond": now + LONGEST})).scalar_one())

    async def page(
        self,
        *,
        status: OrderStatus | None = None,
        attention: bool = False,
        before: tuple[datetime, OrderId] | None = None,
        limit: int = 50,
    ) -> Sequence[Order]:
        """The newest orders that match."""
        statement = _ORDERS.order_by(orders.c.created_at.desc(), orders.c.id.desc()).limit(limit)
        if status is not None:
            statement = statement.where(orders.c.status == status.value)
        if attention:
            statement = statement.where(orders.c.attention.is_not(None))
        if before is not None:
            statement = statement.where(tuple_(orders.c.created_at, orders.c.id) < cursor(*before))
        return [_order(row) for row in (await self._unit.run(statement)).all()]

    async def _one(self, statement: Executable, key: str) -> Order | None:
        row = (await self._unit.run(statement, {"key": key})).one_or_none()
        return None if row is None else _order(row)


def _order_values(order: Order) -> dict[str, Any]:
    seen, asks = order.observed, order.attention
    lines = [_line_values(line) for line in order.lines]
    return {
        "id": order.id,
        "payment_id": order.payment_id,
        "token_hash": order.token_hash,
        "name": order.name,
        "lines": as_json(lines),
        "price_minor": order.price.minor,
        "price_currency": order.price.currency,
        "created_at": order.created_at,
        "expires_at": order.expires_at,
        "status": order.status.value,
        "reason": order.reason.value if order.reason else None,
        "captured_minor": order.captured.minor if order.captured is not None else None,
        "captured_currency": order.captured.currency if order.captured is not None else None,
        "refunded_minor": order.refunded.minor,
        "refunded_currency": order.refunded.currency,
        "owed_minor": order.owed.minor,
        "observed_said": seen.said if seen else None,
        "observed_attempt": seen.attempt if seen else None,
        "observed_changed_at": seen.changed_at if seen else None,
        "observed_updated_at": seen.updated_at if seen else None,
        "observed_back_minor": seen.went_back if seen else None,
        "observed_deposit_due": seen.deposit_due if seen else None,
        "observed_disputed": int(seen.disputed) if seen else None,
        "announced_at": order.announced_at,
        "attention": asks.why if asks else None,
        "attention_kind": asks.kind.value if asks else None,
        "attention_since": asks.since if asks else None,
        "by_hand": int(order.by_hand),
        "seq": order.seq,
        "version": order.version,
        "check_at": order.check_at,
        "checks": order.checks,
        "failures": order.failures,
    }


def _order(row: Row[Any]) -> Order:
    observed = None
    if row.observed_said is not None:
        observed = Observed(
            said=row.observed_said,
            attempt=row.observed_attempt,
            changed_at=row.observed_changed_at,
            updated_at=row.observed_updated_at,
            went_back=row.observed_back_minor,
            deposit_due=row.observed_deposit_due,
            disputed=bool(row.observed_disputed),
        )
    captured = row.captured_minor
    return Order(
        id=OrderId(row.id),
        payment_id=PaymentId(row.payment_id),
        token_hash=row.token_hash,
        name=row.name,
        lines=tuple(_line(*line) for line in json.loads(row.lines)),
        price=Money(row.price_minor, row.price_currency),
        created_at=row.created_at,
        expires_at=row.expires_at,
        status=OrderStatus(row.status),
        reason=CancelReason(row.reason) if row.reason is not None else None,
        captured=Money(captured, row.captured_currency) if captured is not None else None,
        refunded=Money(row.refunded_minor, row.refunded_currency),
        owed=Money(row.owed_minor, row.refunded_currency),
        observed=observed,
        announced_at=row.announced_at,
        attention=_attention(row),
        by_hand=bool(row.by_hand),
        seq=row.seq,
        version=row.version,
        check_at=row.check_at,
        checks=row.checks,
        failures=row.failures,
    )


def _attention(row: Row[Any]) -> Attention | None:
    if row.attention_kind is None:
        return None
    return Attention(kind=AttentionKind(row.attention_kind), why=row.attention, since=row.attention_since)


def _line_values(line: OrderLine) -> list[str | int]:
    """A line to keep. One that holds nothing and is taxed is kept as all of them were once: it stays the same."""
    values: list[str | int] = [line.product_id, line.name, line.quantity, line.price.minor, line.price.currency]
    return [*values, line.held, int(line.tax_free)] if line.held or line.tax_free else values


def _line(  # noqa: PLR0917 - as they stand in a row
    product_id: str, name: str, quantity: int, minor: int, currency: str, held: int = 0, tax_free: int = 0
) -> OrderLine:
    """A line as it is kept."""
    return OrderLine(
        product_id=ProductId(product_id),
        name=name,
        quantity=quantity,
        price=Money(minor, currency),
        held=held,
        tax_free=bool(tax_free),
    )
