"""The tables as the queries know them. Their rules stand in the migrations alone, so that nothing can drift apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Text, TypeDecorator, column, table
from sqlalchemy.engine import Dialect

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware time as whole microseconds since 1970 in UTC: exact, sortable, and the same on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the base's
        """What is stored."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the base's
        """What was stored."""
        return None if value is None else _EPOCH + value * _MICROSECOND


class Words(TypeDecorator[str]):
    """Any text. What a database cannot hold (NUL, lone surrogates) is stored as its escape, and never refused."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the base's
        """What is stored."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


orders = table(
    "orders",
    column("id", Words),
    column("payment_id", Words),
    column("token_hash", Words),
    column("name", Words),
    column("lines", Words),
    column("price_minor", BigInteger),
    column("price_currency", Words),
    column("created_at", Moment),
    column("expires_at", Moment),
    column("status", Words),
    column("reason", Words),
    column("captured_minor", BigInteger),
    column("captured_currency", Words),
    column("refunded_minor", BigInteger),
    column("refunded_currency", Words),
    column("owed_minor", BigInteger),
    column("observed_said", Words),
    column("observed_attempt", Words),
    column("observed_changed_at", Moment),
    column("observed_updated_at", Moment),
    column("attention", Words),
    column("seq", BigInteger),
    column("version", BigInteger),
    column("check_at", Moment),
    column("checks", BigInteger),
    column("failures", BigInteger),
    column("observed_back_minor", BigInteger),
    column("observed_deposit_due", Moment),
    column("observed_disputed", BigInteger),
    column("announced_at", Moment),
    column("attention_kind", Words),
    column("attention_since", Moment),
    column("by_hand", BigInteger),
)

refunds = table(
    "refunds",
    column("id", Words),
    column("order_id", Words),
    column("minor", BigInteger),
    column("currency", Words),
    column("reason", Words),
    column("requested_by", Words),
    column("requested_at", Moment),
    column("status", Words),
    column("ended_at", Moment),
    column("failure", Words),
    column("needs", Words),
    column("cancellation_id", Words),
    column("sent_key", Words),
    column("sent_minor", BigInteger),
    column("sent_tax_free_minor", BigInteger),
    column("sent_left_minor", BigInteger),
    column("sent_gone_minor", BigInteger),
    column("sent_at", Moment),
    column("sent_times", BigInteger),
)

history = table(
    "history",
    column("order_id", Words),
    column("seq", BigInteger),
    column("kind", Words),
    column("at", Moment),
    column("status", Words),
    column("reason", Words),
    column("refunded_minor", BigInteger),
    column("refunded_currency", Words),
    column("data", Words),
)

webhooks = table(
    "webhooks",
    column("id", Words),
    column("type", Words),
    column("payment_id", Words),
    column("store_id", Words),
    column("occurred_at", Moment),
    column("received_at", Moment),
    column("outcome", Words),
)

products = table(
    "products",
    column("id", Words),
    column("name", Words),
    column("minor", BigInteger),
    column("currency", Words),
    column("capacity", BigInteger),
    column("held", BigInteger),
    column("tax_free", BigInteger),
)

placements = table(
    "placements",
    column("key_hash", Words),
    column("order_id", Words),
    column("fingerprint", Words),
    column("salt", Words),
)

orphans = table(
    "orphans",
    column("payment_id", Words),
    column("store_id", Words),
    column("said", Words),
    column("currency", Words),
    column("captured_minor", BigInteger),
    column("cancelled_minor", BigInteger),
    column("changed_at", Moment),
    column("first_seen_at", Moment),
    column("last_seen_at", Moment),
)

sweeps = table(
    "sweeps",
    column("id", BigInteger),
    column("reached", Moment),
    column("holder", Words),
    column("held_until", Moment),
    column("version", BigInteger),
    column("again_at", Moment),
)

api_keys = table(
    "api_keys",
    column("id", Words),
    column("name", Words),
    column("kind", Words),
    column("hash", Words),
    column("scopes", Words),
    column("created_at", Moment),
    column("expires_at", Moment),
    column("revoked_at", Moment),
    column("last_used_at", Moment),
)
