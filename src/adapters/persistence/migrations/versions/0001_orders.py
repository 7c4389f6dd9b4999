"""Orders, refunds, history, webhooks, products, placements; and the rules that hold even for a stray UPDATE.

Times are microseconds since 1970 in UTC, money is minor units beside its currency, ``lines`` and ``data`` are JSON.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    """
    CREATE TABLE orders (
      id TEXT PRIMARY KEY,
      payment_id TEXT NOT NULL UNIQUE,
      token_hash TEXT NOT NULL,
      name TEXT NOT NULL,
      lines TEXT NOT NULL,
      price_minor {int} NOT NULL CHECK (price_minor > 0),
      price_currency TEXT NOT NULL,
      created_at {int} NOT NULL,
      expires_at {int} NOT NULL,
      status TEXT NOT NULL,
      reason TEXT,
      captured_minor {int},
      captured_currency TEXT,
      refunded_minor {int} NOT NULL CHECK (refunded_minor >= 0),
      refunded_currency TEXT NOT NULL,
      owed_minor {int} NOT NULL CHECK (owed_minor >= 0),
      observed_said TEXT,
      observed_attempt TEXT,
      observed_changed_at {int},
      observed_updated_at {int},
      attention TEXT,
      seq {int} NOT NULL CHECK (seq > 0),
      version {int} NOT NULL,
      look_at {int},
      looks {int} NOT NULL,
      failures {int} NOT NULL,
      CONSTRAINT status_is_known CHECK (status IN ('PENDING', 'COMPLETED', 'CANCELLED')),
      CONSTRAINT cancelled_has_a_reason CHECK ((status = 'CANCELLED') = (reason IS NOT NULL)),
      CONSTRAINT reason_is_known CHECK
        (reason IN ('EXPIRED', 'ABANDONED', 'MISMATCH', 'REFUNDED', 'PAYMENT_CANCELLED')),
      CONSTRAINT captured_has_a_currency CHECK ((captured_minor IS NULL) = (captured_currency IS NULL)),
      CONSTRAINT completed_was_paid_in_full CHECK (status <> 'COMPLETED' OR (captured_minor IS NOT NULL
        AND captured_minor = price_minor AND captured_currency = price_currency)),
      CONSTRAINT no_more_goes_back_than_was_captured CHECK
        (refunded_minor + owed_minor <= COALESCE(captured_minor, 0)),
      CONSTRAINT money_goes_back_in_the_currency_it_came_in CHECK
        (refunded_currency = COALESCE(captured_currency, price_currency))
    ) {strict}
    """,
    "CREATE INDEX orders_due ON orders (look_at) WHERE look_at IS NOT NULL",
    "CREATE INDEX orders_by_age ON orders (created_at, id)",
    "CREATE INDEX orders_by_status ON orders (status, created_at, id)",
    "CREATE INDEX orders_for_a_person ON orders (created_at, id) WHERE attention IS NOT NULL",
    """
    CREATE TABLE history (
      order_id TEXT NOT NULL REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED,
      seq {int} NOT NULL,
      kind TEXT NOT NULL,
      at {int} NOT NULL,
      status TEXT NOT NULL,
      reason TEXT,
      refunded_minor {int} NOT NULL,
      refunded_currency TEXT NOT NULL,
      data TEXT NOT NULL,
      PRIMARY KEY (order_id, seq)
    ) {strict}
    """,
    """
    CREATE TABLE refunds (
      id TEXT PRIMARY KEY,
      order_id TEXT NOT NULL REFERENCES orders (id),
      minor {int} NOT NULL CHECK (minor > 0),
      currency TEXT NOT NULL,
      reason TEXT NOT NULL,
      requested_by TEXT NOT NULL,
      requested_at {int} NOT NULL,
      status TEXT NOT NULL CHECK (status IN ('REQUESTED', 'SUCCEEDED', 'FAILED')),
      settled_at {int},
      failure TEXT,
      CONSTRAINT settled_once_it_has_ended CHECK ((status = 'REQUESTED') = (settled_at IS NULL))
    ) {strict}
    """,
    "CREATE INDEX refunds_of_order ON refunds (order_id)",
    """
    CREATE TABLE webhooks (
      id TEXT PRIMARY KEY,
      type TEXT NOT NULL,
      payment_id TEXT,
      store_id TEXT,
      occurred_at {int},
      received_at {int} NOT NULL,
      outcome TEXT NOT NULL
    ) {strict}
    """,
    """
    CREATE TABLE products (
      id TEXT PRIMARY KEY,
      name TEXT NOT NULL,
      minor {int} NOT NULL CHECK (minor >= 0),
      currency TEXT NOT NULL,
      available {int} CONSTRAINT stock_is_never_negative CHECK (available >= 0)
    ) {strict}
    """,
    """
    CREATE TABLE placements (
      key_hash TEXT PRIMARY KEY,
      order_id TEXT NOT NULL UNIQUE REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED,
      fingerprint TEXT NOT NULL,
      salt TEXT NOT NULL
    ) {strict}
    """,
)

_IDENTITY = ("id", "payment_id", "token_hash", "name", "lines", "price_minor", "price_currency", "created_at")
_TOLD = ("status", "reason", "captured_minor", "captured_currency", "refunded_minor", "owed_minor")
_REFUND_IDENTITY = ("id", "order_id", "minor", "currency", "reason", "requested_by", "requested_at")

_ENTRY = """EXISTS (SELECT 1 FROM history h WHERE h.order_id = NEW.id AND h.seq = NEW.seq AND h.status = NEW.status
  AND h.reason {same} NEW.reason AND h.refunded_minor = NEW.refunded_minor)"""


def _changed(names: tuple[str, ...], differs: str) -> str:
    return "(" + " OR ".join(f"OLD.{name} {differs} NEW.{name}" for name in names) + ")"


def _rules(same: str, differs: str) -> list[tuple[str, str, str, str]]:
    """Each rule: the table, the moment, the condition under which it is broken, and the sentence that says so."""
    entry = _ENTRY.format(same=same)
    edges = """NOT ((OLD.status = 'PENDING' AND NEW.status IN ('COMPLETED', 'CANCELLED'))
      OR (OLD.status = 'COMPLETED' AND NEW.status = 'CANCELLED'))"""
    untold = f"""NEW.seq < OLD.seq OR (NEW.seq = OLD.seq AND {_changed(_TOLD, differs)})
      OR (NEW.seq > OLD.seq AND NOT {entry})"""
    return [
        ("orders", "INSERT", "NEW.status <> 'PENDING'", "an order begins PENDING"),
        ("orders", "INSERT", f"NOT {entry}", "a change has its history entry"),
        ("orders", "UPDATE", _changed(_IDENTITY, differs), "an order keeps its identity"),
        ("orders", "UPDATE", f"OLD.status <> NEW.status AND {edges}", "an order never moves back"),
        (
            "orders",
            "UPDATE",
            f"OLD.captured_minor IS NOT NULL AND {_changed(('captured_minor', 'captured_currency'), differs)}",
            "what was captured never changes",
        ),
        ("orders", "UPDATE", "NEW.refunded_minor < OLD.refunded_minor", "what went back stays back"),
        ("orders", "UPDATE", untold, "a change has its history entry"),
        ("orders", "DELETE", "", "an order is never deleted"),
        ("history", "UPDATE", "", "the history is only ever added to"),
        ("history", "DELETE", "", "the history is only ever added to"),
        (
            "history",
            "INSERT",
            "NEW.seq > 1 + (SELECT COALESCE(MAX(h.seq), 0) FROM history h WHERE h.order_id = NEW.order_id)",
            "the history has no gaps",
        ),
        ("refunds", "UPDATE", _changed(_REFUND_IDENTITY, differs), "a refund keeps its identity"),
        ("refunds", "UPDATE", "OLD.status <> 'REQUESTED' AND OLD.status <> NEW.status", "a refund ends once"),
        ("refunds", "DELETE", "", "a refund is never deleted"),
    ]


def upgrade() -> None:
    """Make the tables and their rules."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    for ddl in _TABLES:
        op.execute(ddl.format(int="INTEGER" if sqlite else "BIGINT", strict="STRICT" if sqlite else ""))
    if sqlite:
        _guard_sqlite()
    else:
        _guard_postgresql()


def downgrade() -> None:
    """Drop everything."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table in ("placements", "products", "webhooks", "refunds", "history", "orders"):
        op.execute(f"DROP TABLE {table}" if sqlite else f"DROP TABLE {table} CASCADE")
    if not sqlite:
        for table in ("orders", "history", "refunds"):
            for moment in ("insert", "update", "delete"):
                op.execute(f"DROP FUNCTION IF EXISTS {table}_{moment}_rules()")


def _guard_sqlite() -> None:
    for number, (table, moment, broken, sentence) in enumerate(_rules("IS", "IS NOT")):
        when = f"WHEN {broken}" if broken else ""
        op.execute(
            f"CREATE TRIGGER {table}_rule_{number} BEFORE {moment} ON {table} {when} "
            f"BEGIN SELECT RAISE(ABORT, 'rule: {sentence}'); END"
        )


def _guard_postgresql() -> None:
    rules = _rules("IS NOT DISTINCT FROM", "IS DISTINCT FROM")
    for table, moment in dict.fromkeys((table, moment) for table, moment, _, _ in rules):
        checks = "\n".join(
            f"IF {broken or 'TRUE'} THEN RAISE EXCEPTION 'rule: {sentence}' USING ERRCODE = 'check_violation'; END IF;"
            for its_table, its_moment, broken, sentence in rules
            if (its_table, its_moment) == (table, moment)
        )
        name = f"{table}_{moment.lower()}_rules"
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $rules$ BEGIN {checks} "
            f"RETURN {'OLD' if moment == 'DELETE' else 'NEW'}; END $rules$"
        )
        watched = (*_IDENTITY, *_TOLD, "seq")
        leased = table == "orders" and moment == "UPDATE"
        when = f"WHEN {_changed(watched, 'IS DISTINCT FROM')}" if leased else ""
        op.execute(f"CREATE TRIGGER {name} BEFORE {moment} ON {table} FOR EACH ROW {when} EXECUTE FUNCTION {name}()")
