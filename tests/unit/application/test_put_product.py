"""What can be bought is said by the shop, and what is sold and held of it stays so whatever the shop says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.persistence.memory import MemoryStore
from application.errors import SoldOutError
from application.put_product import PutProduct, PutProductCommand
from application.read_order import ListProducts
from domain.catalog import Product
from domain.errors import BelowHeldError, BeyondLimitsError, InvalidProductError
from domain.ids import ProductId
from domain.limits import Limits
from domain.money import Money

TEA = PutProductCommand(id=ProductId("tea"), name="차", price=Money(4_500, "KRW"), capacity=3)
SEAT = PutProductCommand(id=ProductId("seat"), name="VIP 1열 1번", price=Money(355_000, "KRW"), capacity=1)
BY_KAKAOPAY = Limits(amounts=((Money(100, "KRW"), Money(2_000_000, "KRW")),))


async def kept(store: MemoryStore) -> list[Product]:
    return list(await ListProducts(store)())


async def test_a_product_is_added_with_its_stock_and_taxed() -> None:
    store = MemoryStore()
    assert await PutProduct(store)(TEA) == Product(id=TEA.id, name="차", price=TEA.price, capacity=3)
    assert [(p.capacity, p.held, p.tax_free) for p in await kept(store)] == [(3, 0, False)]


async def test_a_new_product_of_which_no_stock_is_said_has_no_limit() -> None:
    assert (await PutProduct(MemoryStore())(replace(TEA, capacity=None))).capacity is None


async def test_what_is_not_said_stays_as_it_is() -> None:
    put = PutProduct(MemoryStore())
    await put(replace(TEA, tax_free=True))
    dearer = await put(PutProductCommand(id=TEA.id, name="좋은 차", price=Money(9_000, "KRW")))
    assert dearer == Product(id=TEA.id, name="좋은 차", price=Money(9_000, "KRW"), capacity=3, tax_free=True)
    assert (await put(replace(TEA, tax_free=False))).tax_free is False


async def test_a_limit_can_be_taken_away_and_set_again() -> None:
    put = PutProduct(MemoryStore())
    await put(TEA)
    assert (await put(replace(TEA, capacity=None, unlimited=True))).capacity is None
    assert (await put(replace(TEA, capacity=5))).capacity == 5


async def test_a_new_price_puts_no_seat_that_is_held_on_sale_again(world: Any) -> None:
    await world.place(("seat", 1))
    for capacity in (None, 1):
        await world.put_product(replace(SEAT, price=Money(365_000, "KRW"), capacity=capacity))
        with pytest.raises(SoldOutError):
            await world.place(("seat", 1))


async def test_less_than_what_is_held_is_refused_and_nothing_changes(world: Any) -> None:
    placed = await world.place(("poster", 4))
    before = await kept(world.store)
    less = PutProductCommand(id=ProductId("poster"), name="poster", price=Money(999, "USD"), capacity=3)
    with pytest.raises(BelowHeldError, match="4 of 'poster' are sold or held, which is more than a stock of 3"):
        await world.put_product(less)
    assert await kept(world.store) == before
    assert placed.order.lines[0].held == 4


async def test_less_than_what_is_held_may_be_said_to_be_meant_and_nothing_more_is_sold(world: Any) -> None:
    placed = await world.place(("poster", 4))
    less = PutProductCommand(id=ProductId("poster"), name="poster", price=Money(999, "USD"), capacity=3)
    await world.put_product(replace(less, below_held=True))
    assert await world.available("poster") == 0
    await world.put_product(replace(less, name="a poster"))  # a name is not a stock, so there is nothing to mean
    await world.cancel_order(placed.order.id, placed.token)
    assert await world.available("poster") == 3


@pytest.mark.parametrize("goes_on", ["sold", "given up"])
async def test_going_from_no_limit_to_one_and_back_makes_no_units_up(world: Any, goes_on: str) -> None:
    before_limit = await world.place(("programme", 2))
    book = PutProductCommand(id=ProductId("programme"), name="프로그램 북", price=Money(20_000, "KRW"), capacity=5)
    await world.put_product(book)
    within_limit = await world.place(("programme", 3))
    assert await world.available("programme") == 2
    if goes_on == "given up":
        await world.cancel_order(before_limit.order.id, before_limit.token)
        assert await world.available("programme") == 2, "it had taken nothing off"
    await world.put_product(replace(book, capacity=None, unlimited=True))
    after_limit = await world.place(("programme", 4))
    await world.put_product(book)
    assert await world.available("programme") == 2
    for placed in (after_limit, within_limit):
        await world.cancel_order(placed.order.id, placed.token)
    assert await world.available("programme") == 5


NEVER: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"id": ""}, InvalidProductError, "1 to 64 characters, and not 0"),
    ({"id": "x" * 65}, InvalidProductError, "1 to 64 characters, and not 65"),
    ({"id": " tea"}, InvalidProductError, "spaces at its ends"),
    ({"id": "te\x00a"}, InvalidProductError, "control characters"),
    ({"id": "te\x9fa"}, InvalidProductError, "control characters"),
    ({"id": "te\ud800a"}, InvalidProductError, "control characters"),
    ({"name": ""}, InvalidProductError, "a name that buyers can see"),
    ({"name": " \t"}, InvalidProductError, "a name that buyers can see"),
    ({"name": "\u200b\u3164"}, InvalidProductError, "a name that buyers can see"),
    ({"name": "a\nb"}, InvalidProductError, "control characters"),
    ({"name": "a\u2028b"}, InvalidProductError, "control characters"),
    ({"name": "가" * 1001}, InvalidProductError, "at most 1000 characters, and not 1001"),
    ({"capacity": -1}, InvalidProductError, "and not -1"),
    ({"capacity": 2**63}, InvalidProductError, "from 0 to 9223372036854775807"),
    ({"price": Money(99, "KRW")}, BeyondLimitsError, "a price of 99 KRW .* 100 to 2,000,000 KRW"),
    ({"price": Money(2_000_001, "KRW")}, BeyondLimitsError, "2,000,001 KRW .* 100 to 2,000,000 KRW"),
]


@pytest.mark.parametrize(("said", "error", "sentence"), NEVER)
async def test_what_nobody_could_ever_buy_is_refused_and_not_kept(
    said: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    store = MemoryStore()
    with pytest.raises(error, match=sentence):
        await PutProduct(store, BY_KAKAOPAY)(replace(TEA, **said))
    assert await kept(store) == []


@pytest.mark.parametrize(
    "said",
    [
        {"id": "x" * 64},
        {"id": "좌석 1-1"},
        {"name": "가" * 1000},
        {"name": "\U0001f468\u200d\U0001f469\u200d\U0001f467"},
        {"capacity": 0},
        {"capacity": 2**63 - 1},
        {"price": Money(0, "KRW")},
        {"price": Money(100, "KRW")},
        {"price": Money(2_000_000, "KRW")},
        {"price": Money(1, "USD")},
        {"price": Money(10**15, "JPY")},
    ],
)
async def test_what_somebody_could_buy_is_kept(said: dict[str, Any]) -> None:
    store = MemoryStore()
    put = await PutProduct(store, BY_KAKAOPAY)(replace(TEA, **said))
    assert await kept(store) == [put]
