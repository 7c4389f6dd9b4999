"""Products, and how much of each is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapters.persistence.memory.tables import MemoryTransaction
from application.errors import ProductNotFoundError, SoldOutError
from application.ports import Catalog
from domain.catalog import Product
from domain.ids import ProductId


class MemoryCatalog(Catalog):
    """The products in memory."""

    def __init__(self, unit: MemoryTransaction) -> None:
        self._unit = unit

    async def put(self, product: Product) -> None:
        """Keep this product."""
        self._unit.must_write()
        if product.available is not None and product.available < 0:
            raise self._unit.refuse("stock is never negative")
        self._unit.tables.products[product.id] = product

    async def products(self) -> Sequence[Product]:
        """Every product, by name."""
        return sorted(self._unit.tables.products.values(), key=lambda product: (product.name, product.id))

    async def hold(self, product_id: ProductId, quantity: int) -> Product:
        """Take some off what is available."""
        self._unit.must_write()
        product = self._unit.tables.products.get(product_id)
        if product is None:
            raise ProductNotFoundError(f"there is no product {product_id}")
        if product.available is None:
            return product
        if product.available < quantity:
            raise SoldOutError(f"less than {quantity} of {product.name} is left")
        return self._keep(replace(product, available=product.available - quantity))

    async def release(self, product_id: ProductId, quantity: int) -> None:
        """Put some back."""
        self._unit.must_write()
        product = self._unit.tables.products.get(product_id)
        if product is not None and product.available is not None:
            self._keep(replace(product, available=product.available + quantity))

    def _keep(self, product: Product) -> Product:
        self._unit.tables.products[product.id] = product
        return product
