"""The field's words: an order is *checked* and *reconciled*, a refund *ends*. Names change, and one word of one column.

No process of the older version works on the new names, nor one of this version on the old: each of its statements
fails, its webhooks get 503, and PortOne sends them again. So stop the old processes first.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("orders", "look_at", "check_at"),
    ("orders", "looks", "checks"),
    ("refunds", "settled_at", "ended_at"),
)
_OUTCOMES = ("settled", "reconciled")


def upgrade() -> None:
    """Say it in the new words."""
    for table, old, new in _COLUMNS:
        _rename(table, old, new)
    _reword(*_OUTCOMES)


def downgrade() -> None:
    """Say it in the old ones."""
    for table, old, new in _COLUMNS:
        _rename(table, new, old)
    _reword(*reversed(_OUTCOMES))


def _rename(table: str, old: str, new: str) -> None:
    """Indexes, constraints and SQLite's triggers follow by themselves; PostgreSQL keeps its functions as text."""
    op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    if op.get_bind().dialect.name == "sqlite":
        return
    functions = op.get_bind().execute(
        text(
            "SELECT DISTINCT pg_get_functiondef(t.tgfoid) FROM pg_trigger t "
            "WHERE t.tgrelid = CAST(:name AS regclass) AND NOT t.tgisinternal"
        ),
        {"name": table},
    )
    for (definition,) in functions.all():
        if f".{old}" in definition:
            op.get_bind().exec_driver_sql(definition.replace(f".{old}", f".{new}"))


def _reword(old: str, new: str) -> None:
    op.get_bind().execute(text("UPDATE webhooks SET outcome = :new WHERE outcome = :old"), {"new": new, "old": old})
