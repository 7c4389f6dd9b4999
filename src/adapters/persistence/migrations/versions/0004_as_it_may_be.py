"""What an order knows of its payment and asks of a person, a refund's life in full, and orders that cost nothing.

And when the last days were swept again, and the way in which audits find orders that owe or ask, however old.

Going down, what the older version has no word for becomes the nearest one it has; it is refused where an order cost
nothing, for which there is none.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NEW = {
    "orders": (
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
    types = _SQLITE if _is_sqlite() else _POSTGRESQL
    for table, columns in _NEW.items():
        for name, kind in columns:
            op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {types[kind]}")
    for table, old, was, new, becomes in _CHECKS:
        _change_check(table, (old, was), (new, becomes))
    _change_rule("orders", "before_insert", *_BEGINS)
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
    with _without_rules("orders", "refunds", "history"):
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
    _change_rule("orders", "before_insert", *reversed(_BEGINS))
    for table, old, was, new, becomes in reversed(_CHECKS):
        _change_check(table, (new, becomes), (old, was))
    for table, columns in _NEW.items():
        for name, _ in reversed(columns):
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")


def _is_sqlite() -> bool:
    return bool(op.get_bind().dialect.name == "sqlite")


def _run(statement: str, **values: str) -> None:
    op.get_bind().execute(text(statement), values)


def _change_check(table: str, before: tuple[str, str], after: tuple[str, str]) -> None:
    """Put another constraint in the place of one.

    SQLite has no statement for that. What it documents instead, for a change that no stored row has to follow, is to
    write the table's own text anew (sqlite.org, "Making Other Kinds Of Table Schema Changes").
    """
    if not _is_sqlite():
        op.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{before[0]}"')
        op.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{after[0]}" CHECK ({after[1]})')
        return
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    [made] = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).one()
    written = made.replace(f'"{before[0]}"', f'"{after[0]}"').replace(f"({before[1]})", f"({after[1]})")
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql("UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?", (written, table))
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")


def _change_rule(table: str, moment: str, before: str, after: str) -> None:
    """Put another condition in the place of one in the trigger ``table_moment``."""
    connection, name = op.get_bind(), f"{table}_{moment}"
    if _is_sqlite():
        [made] = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).one()
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    else:
        where = "proname = :name AND pronamespace = current_schema()::regnamespace"
        query = text(f"SELECT pg_get_functiondef(oid) FROM pg_proc WHERE {where}")  # noqa: S608 - words of ours
        made = connection.execute(query, {"name": name}).scalar_one()
    connection.exec_driver_sql(made.replace(before, after))


class _without_rules:  # noqa: N801 - a context, written as one
    """While this lasts, the tables' triggers say nothing: words of rows change, and nothing has happened to them."""

    def __init__(self, *tables: str) -> None:
        self._tables = tables
        self._made: list[str] = []

    def __enter__(self) -> None:
        connection = op.get_bind()
        for table in self._tables:
            if not _is_sqlite():
                op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                continue
            query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
            for name, made in connection.exec_driver_sql(query, (table,)).all():
                self._made.append(made)
                connection.exec_driver_sql(f"DROP TRIGGER {name}")

    def __exit__(self, *_: object) -> None:
        for made in self._made:
            op.get_bind().exec_driver_sql(made)
        if not _is_sqlite():
            for table in self._tables:
                op.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
