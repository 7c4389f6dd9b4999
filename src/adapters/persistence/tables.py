"""The tables, and how the domain's values lie in them. What guards them stands in the migrations."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect

from application.ports import PlacedBefore
from domain.catalog import Product
from domain.history import HistoryEntry, HistoryKind
from domain.ids import OrderId, PaymentId, ProductId, RefundId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Observed, Order, OrderLine
from domain.refund import Refund, RefundStatus

REVISION = "0001"  # the schema below, as the migrations number it

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BIGINT = BigInteger().with_variant(Integer, "sqlite")  # STRICT tables know only INTEGER, which has 64 bits there


class Moment(TypeDecorator[datetime]):
    """An aware time as whole microseconds since 1970 in UTC: exact, sortable and the same on every database."""

    impl = _BIGINT
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the base class's signature
        """What is stored."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the base class's signature
        """What was stored."""
        return None if value is None else _EPOCH + value * _MICROSECOND


class Words(TypeDecorator[str]):
    """Any text. What UTF-8 or PostgreSQL cannot hold (lone surrogates, NUL) is stored as its escape, never refused.

    It sorts by code point everywhere, whatever the locale of the server.
    """

    impl = Text().with_variant(Text(collation="C"), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the base class's signature
        """What is stored."""
        if value is None:
            return None
        if "\0" in value:
            value = value.replace("\0", "\\x00")
        return str(value) if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


metadata = MetaData()


def _money(name: str, *, nullable: bool = False) -> tuple[Column[int], Column[str]]:
    return (
        Column(f"{name}_minor", _BIGINT, nullable=nullable),
        Column(f"{name}_currency", Words, nullable=nullable),
    )


orders = Table(
    "orders",
    metadata,
    Column("id", Words, nullable=False),
    Column("payment_id", Words, nullable=False),
    Column("token_hash", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("lines", Words, nullable=False),
    *_money("price"),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("status", Words, nullable=False),
    Column("reason", Words),
    *_money("captured", nullable=True),
    *_money("refunded"),
    *_money("owed"),
    Column("observed_said", Words),
    Column("observed_attempt", Words),
    Column("observed_changed_at", Moment),
    Column("observed_updated_at", Moment),
    Column("attention", Words),
    Column("seq", _BIGINT, nullable=False),
    Column("version", _BIGINT, nullable=False),
    Column("look_at", Moment),
    Column("looks", _BIGINT, nullable=False),
    Column("failures", _BIGINT, nullable=False),
    PrimaryKeyConstraint("id", name="orders_pkey"),
    UniqueConstraint("payment_id", name="one order per payment"),
    CheckConstraint("status IN ('PENDING', 'COMPLETED', 'CANCELLED')", name="an order has a known status"),
    CheckConstraint(
        "(status = 'CANCELLED') = (reason IS NOT NULL)", name="a CANCELLED order has a reason, and no other has"
    ),
    CheckConstraint(
        "status <> 'COMPLETED' OR (captured_minor IS NOT NULL AND captured_minor = price_minor"
        " AND captured_currency = price_currency)",
        name="a COMPLETED order was paid in full",
    ),
    CheckConstraint(
        "(captured_minor IS NULL) = (captured_currency IS NULL) AND price_minor >= 0 AND refunded_minor >= 0"
        " AND owed_minor >= 0 AND COALESCE(captured_minor, 0) >= 0",
        name="money is never negative, nor without its currency",
    ),
    CheckConstraint(
        "refunded_currency = COALESCE(captured_currency, price_currency)"
        " AND owed_currency = COALESCE(captured_currency, price_currency)",
        name="money goes back in the currency it came in",
    ),
    CheckConstraint(
        "refunded_minor + owed_minor <= COALESCE(captured_minor, 0)", name="no more goes back than was captured"
    ),
    Index("orders_newest", "created_at", "id"),
    Index("orders_newest_of_status", "status", "created_at", "id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
_due, _attention = orders.c.look_at.is_not(None), orders.c.attention.is_not(None)
Index("orders_due", orders.c.look_at, orders.c.id, postgresql_where=_due, sqlite_where=_due)
Index(
    "orders_attention", orders.c.created_at, orders.c.id, postgresql_where=_attention, sqlite_where=_attention
)

refunds = Table(
    "refunds",
    metadata,
    Column("id", Words, nullable=False),
    Column("order_id", Words, nullable=False),
    *_money("amount"),
    Column("reason", Words, nullable=False),
    Column("requested_by", Words, nullable=False),
    Column("requested_at", Moment, nullable=False),
    Column("status", Words, nullable=False),
    Column("settled_at", Moment),
    Column("failure", Words),
    PrimaryKeyConstraint("id", name="refunds_pkey"),
    ForeignKeyConstraint(
        ["order_id"], ["orders.id"], name="a refund belongs to an order", deferrable=True, initially="DEFERRED"
    ),
    CheckConstraint("status IN ('REQUESTED', 'SUCCEEDED', 'FAILED')", name="a refund has a known status"),
    CheckConstraint("amount_minor > 0", name="a refund gives something back"),
    Index("refunds_of_order", "order_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

history = Table(
    "history",
    metadata,
    Column("order_id", Words, nullable=False),
    Column("seq", _BIGINT, nullable=False),
    Column("kind", Words, nullable=False),
    Column("at", Moment, nullable=False),
    Column("status", Words, nullable=False),
    Column("reason", Words),
    *_money("refunded"),
    Column("data", Words, nullable=False),
    PrimaryKeyConstraint("order_id", "seq", name="history_pkey"),
    ForeignKeyConstraint(
        ["order_id"], ["orders.id"], name="history belongs to an order", deferrable=True, initially="DEFERRED"
    ),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Words, nullable=False),
    Column("type", Words, nullable=False),
    Column("payment_id", Words),
    Column("store_id", Words),
    Column("occurred_at", Moment),
    Column("received_at", Moment, nullable=False),
    Column("outcome", Words, nullable=False),
    PrimaryKeyConstraint("id", name="webhooks_pkey"),
    Index("webhooks_newest", "received_at", "id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

products = Table(
    "products",
    metadata,
    Column("id", Words, nullable=False),
    Column("name", Words, nullable=False),
    *_money("price"),
    Column("available", _BIGINT),
    PrimaryKeyConstraint("id", name="products_pkey"),
    CheckConstraint("available >= 0", name="stock is never negative"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

placements = Table(
    "placements",
    metadata,
    Column("key_hash", Words, nullable=False),
    Column("order_id", Words, nullable=False),
    Column("fingerprint", Words, nullable=False),
    Column("salt", Words, nullable=False),
    PrimaryKeyConstraint("key_hash", name="placements_pkey"),
    ForeignKeyConstraint(
        ["order_id"], ["orders.id"], name="a key placed an order", deferrable=True, initially="DEFERRED"
    ),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)


def order_row(order: Order) -> dict[str, object]:
    """An order as a row."""
    captured, observed = order.captured, order.observed
    return {
        "id": order.id,
        "payment_id": order.payment_id,
        "token_hash": order.token_hash,
        "name": order.name,
        "lines": _text([[i.product_id, i.name, i.quantity, i.price.minor, i.price.currency] for i in order.lines]),
        "price_minor": order.price.minor,
        "price_currency": order.price.currency,
        "created_at": order.created_at,
        "expires_at": order.expires_at,
        "status": order.status.value,
        "reason": order.reason.value if order.reason else None,
        "captured_minor": captured.minor if captured else None,
        "captured_currency": captured.currency if captured else None,
        "refunded_minor": order.refunded.minor,
        "refunded_currency": order.refunded.currency,
        "owed_minor": order.owed.minor,
        "owed_currency": order.owed.currency,
        "observed_said": observed.said if observed else None,
        "observed_attempt": observed.attempt if observed else None,
        "observed_changed_at": observed.changed_at if observed else None,
        "observed_updated_at": observed.updated_at if observed else None,
        "attention": order.attention,
        "seq": order.seq,
        "version": order.version,
        "look_at": order.look_at,
        "looks": order.looks,
        "failures": order.failures,
    }


def order_of(row: Row[Any]) -> Order:
    """The order in a row."""
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
        reason=CancelReason(row.reason) if row.reason else None,
        captured=None if row.captured_minor is None else Money(row.captured_minor, row.captured_currency),
        refunded=Money(row.refunded_minor, row.refunded_currency),
        owed=Money(row.owed_minor, row.owed_currency),
        observed=_observed(row),
        attention=row.attention,
        seq=row.seq,
        version=row.version,
        look_at=row.look_at,
        looks=row.looks,
        failures=row.failures,
    )


def refund_row(refund: Refund) -> dict[str, object]:
    """A refund as a row."""
    return {
        "id": refund.id,
        "order_id": refund.order_id,
        "amount_minor": refund.amount.minor,
        "amount_currency": refund.amount.currency,
        "reason": refund.reason,
        "requested_by": refund.requested_by,
        "requested_at": refund.requested_at,
        "status": refund.status.value,
        "settled_at": refund.settled_at,
        "failure": refund.failure,
    }


def refund_of(row: Row[Any]) -> Refund:
    """The refund in a row."""
    return Refund(
        id=RefundId(row.id),
        order_id=OrderId(row.order_id),
        amount=Money(row.amount_minor, row.amount_currency),
        reason=row.reason,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        status=RefundStatus(row.status),
        settled_at=row.settled_at,
        failure=row.failure,
    )


def entry_row(entry: HistoryEntry) -> dict[str, object]:
    """A history entry as a row."""
    return {
        "order_id": entry.order_id,
        "seq": entry.seq,
        "kind": entry.kind.value,
        "at": entry.at,
        "status": entry.status.value,
        "reason": entry.reason.value if entry.reason else None,
        "refunded_minor": entry.refunded.minor,
        "refunded_currency": entry.refunded.currency,
        "data": _text(entry.data),
    }


def entry_of(row: Row[Any]) -> HistoryEntry:
    """The history entry in a row."""
    return HistoryEntry(
        order_id=OrderId(row.order_id),
        seq=row.seq,
        kind=HistoryKind(row.kind),
        at=row.at,
        status=OrderStatus(row.status),
        reason=CancelReason(row.reason) if row.reason else None,
        refunded=Money(row.refunded_minor, row.refunded_currency),
        data=json.loads(row.data),
    )


def product_row(product: Product) -> dict[str, object]:
    """A product as a row."""
    return {
        "id": product.id,
        "name": product.name,
        "price_minor": product.price.minor,
        "price_currency": product.price.currency,
        "available": product.available,
    }


def product_of(row: Row[Any]) -> Product:
    """The product in a row."""
    return Product(
        id=ProductId(row.id),
        name=row.name,
        price=Money(row.price_minor, row.price_currency),
        available=row.available,
    )


def placed_of(row: Row[Any]) -> PlacedBefore:
    """The used Idempotency-Key in a row."""
    return PlacedBefore(
        key_hash=row.key_hash, order_id=OrderId(row.order_id), fingerprint=row.fingerprint, salt=row.salt
    )


def _line(product_id: str, name: str, quantity: int, minor: int, currency: str) -> OrderLine:
    return OrderLine(product_id=ProductId(product_id), name=name, quantity=quantity, price=Money(minor, currency))


def _observed(row: Row[Any]) -> Observed | None:
    if row.observed_said is None:
        return None
    return Observed(
        said=row.observed_said,
        attempt=row.observed_attempt,
        changed_at=row.observed_changed_at,
        updated_at=row.observed_updated_at,
    )


def _text(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
