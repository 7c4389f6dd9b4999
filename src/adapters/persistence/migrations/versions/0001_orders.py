"""Orders, refunds, history, webhooks, products, placements; and the rules that hold even for a stray UPDATE.

Times are microseconds since 1970 in UTC, money is minor units beside its currency, ``lines`` and ``data`` are JSON.
A rule's name is its sentence, and is what the error of breaking it says.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SQLITE = {"int": "INTEGER", "text": "TEXT", "strict": "STRICT"}
_POSTGRESQL = {"int": "BIGINT", "text": 'TEXT COLLATE "C"', "strict": ""}  # C: by code point, whatever the locale

_TABLES = (
    """
    CREATE TABLE orders (
      id {text} NOT NULL PRIMARY KEY,
      payment_id {text} NOT NULL UNIQUE,
      token_hash {text} NOT NULL,
      name {text} NOT NULL,
      lines {text} NOT NULL,
      price_minor {int} NOT NULL,
      price_currency {text} NOT NULL,
      created_at {int} NOT NULL,
      expires_at {int} NOT NULL,
      status {text} NOT NULL,
      reason {text},
      captured_minor {int},
      captured_currency {text},
      refunded_minor {int} NOT NULL,
      refunded_currency {text} NOT NULL,
      owed_minor {int} NOT NULL,
      observed_said {text},
      observed_attempt {text},
      observed_changed_at {int},
      observed_updated_at {int},
      attention {text},
      seq {int} NOT NULL,
      version {int} NOT NULL,
      look_at {int},
      looks {int} NOT NULL,
      failures {int} NOT NULL,
      CONSTRAINT "an order costs something" CHECK (price_minor > 0),
      CONSTRAINT "an order has a known status" CHECK (status IN ('PENDING', 'COMPLETED', 'CANCELLED')),
      CONSTRAINT "a CANCELLED order has a reason, and no other has" CHECK
        ((status = 'CANCELLED') = (reason IS NOT NULL)),
      CONSTRAINT "a reason is a known one" CHECK
        (reason IN ('EXPIRED', 'ABANDONED', 'MISMATCH', 'REFUNDED', 'PAYMENT_CANCELLED')),
      CONSTRAINT "a COMPLETED order was paid in full" CHECK (status <> 'COMPLETED' OR (captured_minor IS NOT NULL
        AND captured_minor = price_minor AND captured_currency = price_currency)),
      CONSTRAINT "money has a currency and is never negative" CHECK
        ((captured_minor IS NULL) = (captured_currency IS NULL) AND COALESCE(captured_minor, 0) >= 0
        AND refunded_minor >= 0 AND owed_minor >= 0),
      CONSTRAINT "money goes back in the currency it came in" CHECK
        (refunded_currency = COALESCE(captured_currency, price_currency)),
      CONSTRAINT "no more goes back than was captured" CHECK
        (refunded_minor + owed_minor <= COALESCE(captured_minor, 0))
    ) {strict}
    """,
    "CREATE INDEX orders_due ON orders (look_at, id) WHERE look_at IS NOT NULL",
    "CREATE INDEX orders_by_age ON orders (created_at, id)",
    "CREATE INDEX orders_by_status ON orders (status, created_at, id)",
    "CREATE INDEX orders_for_a_person ON orders (created_at, id) WHERE attention IS NOT NULL",
    """
    CREATE TABLE history (
      order_id {text} NOT NULL,
      seq {int} NOT NULL,
      kind {text} NOT NULL,
      at {int} NOT NULL,
      status {text} NOT NULL,
      reason {text},
      refunded_minor {int} NOT NULL,
      refunded_currency {text} NOT NULL,
      data {text} NOT NULL,
      PRIMARY KEY (order_id, seq),
      CONSTRAINT "everything belongs to an order" FOREIGN KEY (order_id) REFERENCES orders (id)
        DEFERRABLE INITIALLY DEFERRED
    ) {strict}
    """,
    """
    CREATE TABLE refunds (
      id {text} NOT NULL PRIMARY KEY,
      order_id {text} NOT NULL,
      minor {int} NOT NULL,
      currency {text} NOT NULL,
      reason {text} NOT NULL,
      requested_by {text} NOT NULL,
      requested_at {int} NOT NULL,
      status {text} NOT NULL,
      settled_at {int},
      failure {text},
      CONSTRAINT "a refund gives something back" CHECK (minor > 0),
      CONSTRAINT "a refund has a known status" CHECK (status IN ('REQUESTED', 'SUCCEEDED', 'FAILED')),
      CONSTRAINT "a refund that has ended says when" CHECK ((status = 'REQUESTED') = (settled_at IS NULL)),
      CONSTRAINT "everything belongs to an order" FOREIGN KEY (order_id) REFERENCES orders (id)
    ) {strict}
    """,
    "CREATE INDEX refunds_of_order ON refunds (order_id)",
    """
    CREATE TABLE webhooks (
      id {text} NOT NULL PRIMARY KEY,
      type {text} NOT NULL,
      payment_id {text},
      store_id {text},
      occurred_at {int},
      received_at {int} NOT NULL,
      outcome {text} NOT NULL
    ) {strict}
    """,
    """
    CREATE TABLE products (
      id {text} NOT NULL PRIMARY KEY,
      name {text} NOT NULL,
      minor {int} NOT NULL,
      currency {text} NOT NULL,
      available {int},
      CONSTRAINT "a price is never negative" CHECK (minor >= 0),
      CONSTRAINT "stock is never negative" CHECK (available >= 0)
    ) {strict}
    """,
    """
    CREATE TABLE placements (
      key_hash {text} NOT NULL PRIMARY KEY,
      order_id {text} NOT NULL UNIQUE,
      fingerprint {text} NOT NULL,
      salt {text} NOT NULL,
      CONSTRAINT "everything belongs to an order" FOREIGN KEY (order_id) REFERENCES orders (id)
        DEFERRABLE INITIALLY DEFERRED
    ) {strict}
    """,
)

_IDENTITY = ("id", "payment_id", "token_hash", "name", "lines", "price_minor", "price_currency", "created_at")
_TOLD = ("status", "reason", "captured_minor", "captured_currency", "refunded_minor", "refunded_currency", "owed_minor")
_REFUND_IDENTITY = ("id", "order_id", "minor", "currency", "reason", "requested_by", "requested_at")

_ENTRY = """EXISTS (SELECT 1 FROM history h WHERE h.order_id = NEW.id AND h.seq = NEW.seq AND h.status = NEW.status
  AND h.reason {same} NEW.reason AND h.refunded_minor = NEW.refunded_minor
  AND h.refunded_currency = NEW.refunded_currency)"""
_EDGES = """((OLD.status = 'PENDING' AND NEW.status IN ('COMPLETED', 'CANCELLED'))
  OR (OLD.status = 'COMPLETED' AND NEW.status = 'CANCELLED'))"""
_GAP = "NEW.seq <> 1 AND NOT EXISTS (SELECT 1 FROM history h WHERE h.order_id = NEW.order_id AND h.seq = NEW.seq - 1)"
_NOT_OWED = """(SELECT COALESCE(SUM(r.minor), 0) FROM refunds r WHERE r.order_id = NEW.order_id
  AND r.status = 'REQUESTED') > (SELECT o.owed_minor FROM orders o WHERE o.id = NEW.order_id
  AND o.refunded_currency = NEW.currency)"""


def _changed(names: tuple[str, ...], differs: str) -> str:
    return "(" + " OR ".join(f"OLD.{name} {differs} NEW.{name}" for name in names) + ")"


def _rules(same: str, differs: str) -> list[tuple[str, str, str, str]]:
    """Each rule: the table, the moment, the condition under which it is broken, and the sentence that says so."""
    entry = _ENTRY.format(same=same)
    untold = f"""NEW.seq < OLD.seq OR (NEW.seq = OLD.seq AND {_changed(_TOLD, differs)})
      OR (NEW.seq > OLD.seq AND NOT {entry})"""
    captured_anew = f"OLD.captured_minor IS NOT NULL AND {_changed(('captured_minor', 'captured_currency'), differs)}"
    ended_twice = f"OLD.status <> 'REQUESTED' AND {_changed(('status', 'settled_at', 'failure'), differs)}"
    return [
        ("orders", "BEFORE INSERT", "NEW.status <> 'PENDING'", "an order begins PENDING"),
        ("orders", "BEFORE INSERT", f"NOT {entry}", "a change has its history entry"),
        ("orders", "BEFORE UPDATE", _changed(_IDENTITY, differs), "an order keeps its identity"),
        ("orders", "BEFORE UPDATE", f"OLD.status <> NEW.status AND NOT {_EDGES}", "an order never moves back"),
        ("orders", "BEFORE UPDATE", captured_anew, "what was captured never changes"),
        ("orders", "BEFORE UPDATE", "NEW.refunded_minor < OLD.refunded_minor", "what went back stays back"),
        ("orders", "BEFORE UPDATE", untold, "a change has its history entry"),
        ("orders", "BEFORE DELETE", "TRUE", "an order is never deleted"),
        ("history", "BEFORE INSERT", _GAP, "the history has no gaps"),
        ("history", "BEFORE UPDATE", "TRUE", "the history is only ever added to"),
        ("history", "BEFORE DELETE", "TRUE", "the history is only ever added to"),
        ("refunds", "AFTER INSERT", "NEW.status <> 'REQUESTED'", "a refund begins REQUESTED"),
        ("refunds", "AFTER INSERT", _NOT_OWED, "a refund is owed by its order"),
        ("refunds", "BEFORE UPDATE", _changed(_REFUND_IDENTITY, differs), "a refund keeps its identity"),
        ("refunds", "BEFORE UPDATE", ended_twice, "a refund ends once"),
        ("refunds", "BEFORE DELETE", "TRUE", "a refund is never deleted"),
    ]


def upgrade() -> None:
    """Make the tables and their rules."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    for ddl in _TABLES:
        op.execute(ddl.format(**(_SQLITE if sqlite else _POSTGRESQL)))
    same, differs = ("IS", "IS NOT") if sqlite else ("IS NOT DISTINCT FROM", "IS DISTINCT FROM")
    rules = _rules(same, differs)
    for table, moment in dict.fromkeys((table, moment) for table, moment, _, _ in rules):
        its = [(broken, sentence) for of, at, broken, sentence in rules if (of, at) == (table, moment)]
        leased = (table, moment) == ("orders", "BEFORE UPDATE")  # a lease changes none of these, and pays nothing
        when = f"WHEN {_changed((*_IDENTITY, *_TOLD, 'seq'), differs)}" if leased else ""
        (_guard_sqlite if sqlite else _guard_postgresql)(table, moment, when, its)


def downgrade() -> None:
    """Drop everything."""
    for table in ("placements", "products", "webhooks", "refunds", "history", "orders"):
        op.execute(f"DROP TABLE {table}")
    if op.get_bind().dialect.name != "sqlite":
        for name in dict.fromkeys(_name(table, moment) for table, moment, _, _ in _rules("", "")):
            op.execute(f"DROP FUNCTION {name}()")


def _guard_sqlite(table: str, moment: str, when: str, rules: list[tuple[str, str]]) -> None:
    checks = " ".join(f"SELECT RAISE(ABORT, 'rule: {sentence}') WHERE {broken};" for broken, sentence in rules)
    op.execute(f"CREATE TRIGGER {_name(table, moment)} {moment} ON {table} {when} BEGIN {checks} END")


def _guard_postgresql(table: str, moment: str, when: str, rules: list[tuple[str, str]]) -> None:
    name = _name(table, moment)
    checks = " ".join(
        f"IF {broken} THEN RAISE EXCEPTION 'rule: {sentence}' USING ERRCODE = 'check_violation'; END IF;"
        for broken, sentence in rules
    )
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $rules$ BEGIN {checks} "
        f"RETURN {'OLD' if moment == 'BEFORE DELETE' else 'NEW'}; END $rules$"
    )
    op.execute(f"CREATE TRIGGER {name} {moment} ON {table} FOR EACH ROW {when} EXECUTE FUNCTION {name}()")
    if moment == "BEFORE DELETE":
        op.execute(f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION {name}()")


def _name(table: str, moment: str) -> str:
    return f"{table}_{moment.lower().replace(' ', '_')}"
