"""What an order knows of its payment and asks of a person, a refund's life in full, and orders that cost nothing.

And when the last days were swept again, and the way in which audits find orders that owe or ask, however old.

Going down, what the older version has no word for becomes the nearest one it has; it is refused where an order cost
nothing, for which there is none.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from adapters.persistence.migrating import change_check, change_rule, is_sqlite, without_rules

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NEW = {
    "orders": (
        ("observed_back_minor", "int"),
        ("observed_deposit_due", "int"),
        ("observed_disputed", "int"),
        ("announced_at", "int"),
        ("attention_kind", "text"),
        ("attention_since", "int"),
        ("by_hand", "int"),
    ),
    "refunds": (
        ("needs", "text"),
        ("cancellation_id", "text"),
        ("sent_key", "text"),
        ("sent_minor", "int"),
        ("sent_tax_free_minor", "int"),
        ("sent_left_minor", "int"),
        ("sent_gone_minor", "int"),
        ("sent_at", "int"),
        ("sent_times", "int"),
    ),
    "sweeps": (("again_at", "int"),),
}
_SQLITE = {"int": "INTEGER", "text": "TEXT"}
_POSTGRESQL = {"int": "BIGINT", "text": 'TEXT COLLATE "C"'}

_CHECKS = (  # table, rule before, condition before, rule after, condition after
    ("orders", "an order costs something", "price_minor > 0", "a price is never negative", "price_minor >= 0"),
    (
        "orders",
        "a reason is a known one",
        "reason IN ('EXPIRED', 'ABANDONED', 'MISMATCH', 'REFUNDED', 'PAYMENT_CANCELLED')",
        "a reason is a known one",
        "reason IN ('EXPIRED', 'ABANDONED', 'MISMATCH', 'REFUNDED', 'PAYMENT_CANCELLED', 'CHARGED_BACK')",
    ),
    (
        "refunds",
        "a refund has a known status",
        "status IN ('REQUESTED', 'SUCCEEDED', 'FAILED')",
        "a refund has a known status",
        "status IN ('REQUESTED', 'SUCCEEDED', 'FAILED', 'REFUSED', 'WITHDRAWN')",
    ),
)
_BEGINS = "NEW.status <> 'PENDING'", "(NEW.status <> 'PENDING' AND NEW.price_minor > 0)"  # of orders that are added

_UNFINISHED = """
    CREATE INDEX orders_unfinished ON orders (created_at, id) WHERE owed_minor > 0 OR attention IS NOT NULL
"""

_KINDS = (  # what an older version asked a person about, by how it said so
    ("a refund failed%", "refund_failed"),
    ("%king has kept failing%", "checks_fail"),
    ("%a status this version does not know", "unknown_status"),
    ("paid over a channel%", "unknown_channel"),
    ("completed, but the payment differs%", "different_payment"),
    ("%", "contradiction"),
)


def upgrade() -> None:
    """Make room, and say of what is asked already which kind it is."""
    types = _SQLITE if is_sqlite() else _POSTGRESQL
    for table, columns in _NEW.items():
        for name, kind in columns:
            op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {types[kind]}")
    for table, old, was, new, becomes in _CHECKS:
        change_check(table, (old, was), (new, becomes))
    change_rule("orders", "before_insert", *_BEGINS)
    op.execute(_UNFINISHED)
    for said, kind in _KINDS:
        _run(
            "UPDATE orders SET attention_kind = :kind, attention_since = COALESCE((SELECT MAX(h.at) FROM history h "
            "WHERE h.order_id = orders.id AND h.kind = 'attention'), created_at) "
            "WHERE attention LIKE :said AND attention_kind IS NULL",
            kind=kind,
            said=said,
        )


def downgrade() -> None:
    """Say it in fewer words."""
    if op.get_bind().execute(text("SELECT 1 FROM orders WHERE price_minor = 0 LIMIT 1")).first() is not None:
        raise RuntimeError("there are orders that cost nothing, which the older version cannot keep")
    op.execute("DROP INDEX orders_unfinished")
    with without_rules("orders", "refunds", "history"):
        for table, column, wanting, nearest in (
            ("orders", "reason", "CHARGED_BACK", "REFUNDED"),
            ("history", "reason", "CHARGED_BACK", "REFUNDED"),
            ("refunds", "status", "REFUSED", "FAILED"),
            ("refunds", "status", "WITHDRAWN", "FAILED"),
            ("history", "kind", "refund_refused", "refund_failed"),
            ("history", "kind", "refund_withdrawn", "refund_failed"),
            ("history", "kind", "attention_ended", "attention"),
            ("history", "kind", "payment_disputed", "attention"),
            ("history", "kind", "dispute_ended", "attention"),
        ):
            _run(f"UPDATE {table} SET {column} = :new WHERE {column} = :old", new=nearest, old=wanting)  # noqa: S608 - names of ours
    change_rule("orders", "before_insert", *reversed(_BEGINS))
    for table, old, was, new, becomes in reversed(_CHECKS):
        change_check(table, (new, becomes), (old, was))
    for table, columns in _NEW.items():
        for name, _ in reversed(columns):
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")


def _run(statement: str, **values: str) -> None:
    op.get_bind().execute(text(statement), values)
