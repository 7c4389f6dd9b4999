"""Where the sweep has got to, the payments it met that no order is for, and the way in which audits read orders."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SQLITE = {"int": "INTEGER", "text": "TEXT", "strict": "STRICT"}
_POSTGRESQL = {"int": "BIGINT", "text": 'TEXT COLLATE "C"', "strict": ""}

_TABLES = (
    """
    CREATE TABLE orphans (
      payment_id {text} NOT NULL PRIMARY KEY,
      store_id {text},
      said {text} NOT NULL,
      currency {text} NOT NULL,
      captured_minor {int} NOT NULL,
      cancelled_minor {int} NOT NULL,
      changed_at {int},
      first_seen_at {int} NOT NULL,
      last_seen_at {int} NOT NULL,
      CONSTRAINT "money is never negative" CHECK (captured_minor >= 0 AND cancelled_minor >= 0)
    ) {strict}
    """,
    "CREATE INDEX orphans_by_age ON orphans (first_seen_at, payment_id)",
    """
    CREATE TABLE sweeps (
      id {int} NOT NULL PRIMARY KEY,
      reached {int},
      holder {text},
      held_until {int},
      version {int} NOT NULL,
      CONSTRAINT "there is one sweep" CHECK (id = 1),
      CONSTRAINT "a sweep is held by somebody until some time, or by nobody" CHECK
        ((holder IS NULL) = (held_until IS NULL))
    ) {strict}
    """,
    "INSERT INTO sweeps (id, version) VALUES (1, 0)",
    """
    CREATE INDEX orders_by_change ON orders (COALESCE(observed_changed_at, created_at), id)
      WHERE captured_minor IS NOT NULL
    """,
)


def upgrade() -> None:
    """Make the tables, and the one row."""
    for ddl in _TABLES:
        op.execute(ddl.format(**(_SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL)))


def downgrade() -> None:
    """Drop them; what they held is found again by sweeping."""
    op.execute("DROP INDEX orders_by_change")
    op.execute("DROP TABLE sweeps")
    op.execute("DROP TABLE orphans")
