"""A database that knew only what was available of a product: what is held of it is found from its orders."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.persistence.engine import create_engine, migrate
from adapters.persistence.sql import SqlStore
from domain.ids import OrderId, ProductId

SEAT, PROGRAMME = "seat", "programme"
ODD = 'a "name" \\ 좌석 \\ud800'
ORDERS: dict[str, tuple[str, list[list[Any]]]] = {
    f"{0x01:032x}": ("PENDING", [[SEAT, ODD, 2, 10, "KRW"], [PROGRAMME, "p", 3, 10, "KRW"]]),
    f"{0x02:032x}": ("COMPLETED", [[SEAT, "S", 1, 10, "KRW"], ["gone", "g", 1, 40, "KRW"]]),
    f"{0x03:032x}": ("CANCELLED", [[SEAT, "S", 5, 10, "KRW"]]),
}
PRODUCTS = {SEAT: 4, PROGRAMME: None, "untouched": 7, "sold out": 0}


@pytest.fixture
async def old(empty_database_url: str) -> AsyncIterator[AsyncEngine]:
    """Each database, as the version before leaves it."""
    engine = create_engine(empty_database_url)
    await migrate(engine, "0004")
    async with engine.begin() as connection:
        for name, available in PRODUCTS.items():
            put = "INSERT INTO products (id, name, minor, currency, available) VALUES (:id, :id, 10, 'KRW', :n)"
            await connection.execute(text(put), {"id": name, "n": available})
        for number, (name, (status, lines)) in enumerate(ORDERS.items()):
            await _insert(
                connection, name, number, status, json.dumps(lines, ensure_ascii=False, separators=(",", ":"))
            )
    yield engine
    await engine.dispose()


async def _insert(connection: Any, name: str, number: int, status: str, lines: str) -> None:
    history = """
        INSERT INTO history (order_id, seq, kind, at, status, refunded_minor, refunded_currency, data)
        VALUES (:id, 1, 'placed', 0, 'PENDING', 0, 'KRW', '{}')
    """
    order = """
        INSERT INTO orders (id, payment_id, token_hash, name, lines, price_minor, price_currency, created_at,
          expires_at, status, refunded_minor, refunded_currency, owed_minor, seq, version, checks, failures)
        VALUES (:id, :payment, 't', 'n', :lines, 50, 'KRW', 0, 1, 'PENDING', 0, 'KRW', 0, 1, 0, 0, 0)
    """
    await connection.execute(text(history), {"id": name})
    await connection.execute(text(order), {"id": name, "payment": f"{number:032x}", "lines": lines})
    if status == "PENDING":
        return
    reason = "EXPIRED" if status == "CANCELLED" else None
    ended = """
        INSERT INTO history (order_id, seq, kind, at, status, reason, refunded_minor, refunded_currency, data)
        VALUES (:id, 2, 'ended', 0, :status, :reason, 0, 'KRW', '{}')
    """
    captured = ", captured_minor = 50, captured_currency = 'KRW'" if status == "COMPLETED" else ""
    move = f"UPDATE orders SET status = :status, reason = :reason, seq = 2{captured} WHERE id = :id"  # noqa: S608 - words of ours
    for statement in (ended, move):
        await connection.execute(text(statement), {"id": name, "status": status, "reason": reason})


async def kept(engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    """What a fresh connection is told."""
    await engine.dispose()
    async with engine.connect() as connection:
        return [tuple(row) for row in (await connection.execute(text(query))).all()]


async def test_what_is_held_is_what_orders_that_are_not_over_have_bought(old: AsyncEngine) -> None:
    await migrate(old)

    async with SqlStore(old).reading() as unit:
        stock = {product.id: (product.capacity, product.held) for product in await unit.catalog.products()}
        lines = {name: (await unit.orders.by_id(OrderId(name))).lines for name in ORDERS}  # type: ignore[union-attr]

    assert stock == {SEAT: (7, 3), PROGRAMME: (None, 0), "untouched": (7, 0), "sold out": (0, 0)}
    held = {name: [line.held for line in of_order] for name, of_order in lines.items()}
    assert list(held.values()) == [[2, 0], [1, 0], [0]]
    assert [line.quantity for line in lines[f"{3:032x}"]] == [5], "what was bought is not forgotten"


async def test_what_is_left_is_the_same_before_and_after(old: AsyncEngine) -> None:
    await migrate(old)

    async with SqlStore(old).reading() as unit:
        assert {product.id: product.available for product in await unit.catalog.products()} == PRODUCTS


async def test_orders_and_products_are_the_same_rows_on_the_way_down(old: AsyncEngine) -> None:
    queries = ("SELECT id, lines, version FROM orders ORDER BY id", "SELECT * FROM products ORDER BY id")
    before = [await kept(old, query) for query in queries]
    await migrate(old)
    await migrate(old, "0004")
    assert [await kept(old, query) for query in queries] == before
    await migrate(old)
    assert (await kept(old, "SELECT capacity, held FROM products WHERE id = 'seat'")) == [(7, 3)]


async def test_less_is_left_than_none_of_what_was_oversold_and_the_way_down_says_none(old: AsyncEngine) -> None:
    await migrate(old)
    async with SqlStore(old).writing() as unit:
        seat = await unit.catalog.by_id(ProductId(SEAT))
        assert seat is not None
        assert seat.held == 3
        await unit.run(text("UPDATE products SET capacity = 1 WHERE id = 'seat'"))
        await unit.commit()
    await migrate(old, "0004")
    assert await kept(old, "SELECT available FROM products WHERE id = 'seat'") == [(0,)]


async def test_the_rules_of_orders_hold_again_afterwards(old: AsyncEngine) -> None:
    await migrate(old)
    for wrong, rule in {
        "UPDATE orders SET lines = '[]'": "an order keeps its identity",
        "UPDATE orders SET status = 'PENDING' WHERE status = 'COMPLETED'": "an order never moves back",
        "UPDATE products SET held = -1": "stock is never negative",
        "UPDATE products SET capacity = -1": "stock is never negative",
    }.items():
        with pytest.raises(Exception, match=rule):
            async with old.begin() as connection:
                await connection.execute(text(wrong))
