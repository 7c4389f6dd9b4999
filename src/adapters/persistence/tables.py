"""The tables as the queries know them. Their rules stand in the migrations alone, so that nothing can drift apart."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text, column, table

_ORDER_TEXTS = (
    "id",
    "payment_id",
    "token_hash",
    "name",
    "lines",
    "price_currency",
    "status",
    "reason",
    "captured_currency",
    "refunded_currency",
    "observed_said",
    "observed_attempt",
    "attention",
)
_ORDER_NUMBERS = (
    "price_minor",
    "created_at",
    "expires_at",
    "captured_minor",
    "refunded_minor",
    "owed_minor",
    "observed_changed_at",
    "observed_updated_at",
    "seq",
    "version",
    "look_at",
    "looks",
    "failures",
)

orders = table(
    "orders",
    *(column(name, Text) for name in _ORDER_TEXTS),
    *(column(name, BigInteger) for name in _ORDER_NUMBERS),
)

refunds = table(
    "refunds",
    *(column(n, Text) for n in ("id", "order_id", "currency", "reason", "requested_by", "status", "failure")),
    *(column(n, BigInteger) for n in ("minor", "requested_at", "settled_at")),
)

history = table(
    "history",
    *(column(n, Text) for n in ("order_id", "kind", "status", "reason", "refunded_currency", "data")),
    *(column(n, BigInteger) for n in ("seq", "at", "refunded_minor")),
)

webhooks = table(
    "webhooks",
    *(column(n, Text) for n in ("id", "type", "payment_id", "store_id", "outcome")),
    *(column(n, BigInteger) for n in ("occurred_at", "received_at")),
)

products = table(
    "products",
    *(column(n, Text) for n in ("id", "name", "currency")),
    *(column(n, BigInteger) for n in ("minor", "available")),
)

placements = table("placements", *(column(n, Text) for n in ("key_hash", "order_id", "fingerprint", "salt")))
