"""What can be bought is said by the shop."""

from __future__ import annotations

from adapters.persistence.memory import MemoryStore
from application.put_product import PutProduct
from application.read_order import ListProducts
from domain.catalog import Product
from domain.ids import ProductId
from domain.money import Money

TEA = Product(id=ProductId("tea"), name="차", price=Money(4_500, "KRW"), available=3)


async def test_a_product_is_added_and_one_of_the_same_id_replaced_stock_included() -> None:
    store = MemoryStore()
    put = PutProduct(store)
    await put(TEA)
    dearer = Product(id=TEA.id, name="좋은 차", price=Money(9_000, "KRW"))
    await put(dearer)
    assert list(await ListProducts(store)()) == [dearer]
