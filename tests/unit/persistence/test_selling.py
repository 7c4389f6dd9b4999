"""What selling costs the database: one statement for each product, and nobody who waits for what has no limit."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.persistence.engine import create_engine
from adapters.persistence.sql import SqlStore
from adapters.portone.fake_gateway import FakePortOneGateway
from adapters.portone.window import PortOneWindow
from application.errors import SoldOutError
from application.place_order import PlaceOrder, PlaceOrderCommand
from domain.catalog import Product
from domain.ids import ProductId
from domain.money import Money
from fake_portone import FakePortOne, FakePortOneSettings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = "a key that is hard to guess"
CATALOGUE = (
    Product(id=ProductId("seat"), name="seat", price=Money(1000, "KRW"), capacity=3),
    Product(id=ProductId("hall"), name="hall", price=Money(1000, "KRW"), capacity=9),
    Product(id=ProductId("programme"), name="programme", price=Money(1000, "KRW")),
)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[AsyncEngine, SqlStore]]:
    engine = create_engine(url)
    store = SqlStore(engine)
    async with store.writing() as unit:
        for product in CATALOGUE:
            await unit.catalog.put(product)
        await unit.commit()
    try:
        yield engine, store
    finally:
        await engine.dispose()


def selling(store: SqlStore) -> Callable[..., Any]:
    """Places an order for one of each product that is named."""
    ids = itertools.count(1)
    fake = FakePortOne(FakePortOneSettings(api_secret="s", store_id="store", webhook_secret="c2VjcmV0c2VjcmV0"))
    place = PlaceOrder(
        store=store,
        gateway=FakePortOneGateway(fake),
        window=PortOneWindow(store_id="store", channel_key="channel", public_url="https://shop.example"),
        clock=lambda: NOW,
        new_id=lambda: f"{next(ids):032x}",
        ttl=timedelta(minutes=15),
    )

    async def sell(*products: str, key: str | None = None) -> Any:
        items = tuple((ProductId(name), 1) for name in products)
        return await place(PlaceOrderCommand(items=items, idempotency_key=key))

    return sell


@pytest.mark.parametrize(
    ("products", "statements"),
    [
        (("seat",), ["UPDATE products"]),
        (("seat", "hall"), ["UPDATE products", "UPDATE products"]),
        (("programme",), ["UPDATE products", "SELECT products"]),
    ],
)
async def test_an_order_costs_one_statement_for_each_product_that_is_counted(
    database_url: str, products: tuple[str, ...], statements: list[str]
) -> None:
    async with opened(database_url) as (engine, store):
        told: list[str] = []

        @event.listens_for(engine.sync_engine, "before_cursor_execute")
        def statement(_c: object, _u: object, said: str, _p: object, _x: object, _m: object) -> None:
            words = said.replace("INSERT INTO", "INSERT").split()
            told.append(" ".join(words[:2]).partition(".")[0])

        await selling(store)(*products, key=KEY)

    told = [said for said in told if not said.startswith("BEGIN")]
    assert told == ["SELECT placements", *statements, "INSERT history", "INSERT orders", "INSERT placements"]


async def test_who_buys_what_has_no_limit_waits_for_nobody(new_database: Any) -> None:
    async with opened(new_database("postgresql")) as (_, store), store.writing() as one, store.writing() as another:
        await one.catalog.hold(ProductId("programme"), 1)
        async with asyncio.timeout(1):
            assert await another.catalog.hold(ProductId("programme"), 1) == CATALOGUE[2]


async def test_ten_who_order_the_last_three_seats_at_once_get_three(database_url: str) -> None:
    async with opened(database_url) as (_, store):
        sell = selling(store)
        ended = await asyncio.gather(*(sell("seat") for _ in range(10)), return_exceptions=True)
        async with store.reading() as unit:
            seat = await unit.catalog.by_id(ProductId("seat"))
    assert [type(end) for end in ended if isinstance(end, Exception)] == [SoldOutError] * 7
    assert seat is not None
    assert (seat.held, seat.available) == (3, 0)
    assert [line.held for end in ended if not isinstance(end, BaseException) for line in end.order.lines] == [1] * 3
