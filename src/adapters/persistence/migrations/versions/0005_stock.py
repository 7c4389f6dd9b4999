"""How many there ever are of a product and how many of those are held, as two numbers; goods that are not taxed.

What is held is found from the orders that are not CANCELLED: their lines held what they bought, if there is a limit.
A line that holds nothing and is taxed stays as it was written.
Going down, a line says neither what it held nor whether it was taxed, and what is available is what is not held.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from alembic import op
from sqlalchemy import text

from adapters.persistence.migrating import change_check, is_sqlite, without_rules

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_AT_ONCE = 1000  # orders
_LINE = 5  # product, name, quantity, price, currency: what a line was before
_RULE = "stock is never negative"
_ONE, _BOTH = "capacity >= 0", "capacity >= 0 AND held >= 0"


def upgrade() -> None:
    """Find what is held, and count it among what there ever is."""
    number = "INTEGER" if is_sqlite() else "BIGINT"
    op.execute("ALTER TABLE products RENAME COLUMN available TO capacity")
    for column in ("held", "tax_free"):
        op.execute(f"ALTER TABLE products ADD COLUMN {column} {number} NOT NULL DEFAULT 0")
    change_check("products", (_RULE, _ONE), (_RULE, _BOTH))
    connection = op.get_bind()
    limited = {row.id for row in connection.execute(text("SELECT id FROM products WHERE capacity IS NOT NULL"))}
    held: Counter[str] = Counter()

    def hold(line: list[Any]) -> list[Any]:
        product, quantity = line[0], line[2]
        if product not in limited:
            return line
        held[product] += quantity
        return [*line, quantity, 0]

    _rewrite(hold, "status <> 'CANCELLED'")
    for product, quantity in held.items():
        connection.execute(
            text("UPDATE products SET held = :n, capacity = capacity + :n WHERE id = :id"),
            {"n": quantity, "id": product},
        )


def downgrade() -> None:
    """Say what is available."""
    _rewrite(lambda line: line[:_LINE], "TRUE")
    op.execute(
        "UPDATE products SET capacity = CASE WHEN capacity > held THEN capacity - held ELSE 0 END "
        "WHERE capacity IS NOT NULL"
    )
    change_check("products", (_RULE, _BOTH), (_RULE, _ONE))
    for column in ("tax_free", "held"):
        op.execute(f"ALTER TABLE products DROP COLUMN {column}")
    op.execute("ALTER TABLE products RENAME COLUMN capacity TO available")


def _rewrite(change: Callable[[list[Any]], list[Any]], which: str) -> None:
    """Put what ``change`` makes of each line in its place: which is no change of the order, so no rule has a say."""
    connection = op.get_bind()
    with without_rules("orders"):
        for orders in _orders(which):
            changed = [
                {"id": name, "lines": written}
                for name, lines in orders
                if (written := _as_kept([change(line) for line in json.loads(lines)])) != lines
            ]
            if changed:
                connection.execute(text("UPDATE orders SET lines = :lines WHERE id = :id"), changed)


def _orders(which: str) -> Iterator[list[tuple[str, str]]]:
    query = text(f"SELECT id, lines FROM orders WHERE {which} AND id > :after ORDER BY id LIMIT {_AT_ONCE}")  # noqa: S608 - words of ours
    after = ""
    while found := [(row.id, row.lines) for row in op.get_bind().execute(query, {"after": after})]:
        yield found
        after = found[-1][0]


def _as_kept(lines: list[Any]) -> str:
    """JSON as the store writes it, whatever a name has in it."""
    said = json.dumps(lines, ensure_ascii=False, separators=(",", ":"))
    return said.encode("utf-8", "backslashreplace").decode()
