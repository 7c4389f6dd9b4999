"""Products, how much there is of each, and how much of that is held."""

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
        if product.capacity is not None and product.capacity < 0:
            raise self._unit.refuse("stock is never negative")
        before = self._unit.tables.products.get(product.id)
        self._keep(replace(product, held=before.held if before is not None else 0))

    async def by_id(self, product_id: ProductId) -> Product | None:
        """The product of this id."""
        return self._unit.tables.products.get(product_id)

    async def products(self) -> Sequence[Product]:
        """Every product, by name."""
        return sorted(self._unit.tables.products.values(), key=lambda product: (product.name, product.id))

    async def hold(self, product_id: ProductId, quantity: int) -> Product:
        """Hold some of what is available."""
        self._unit.must_write()
        product = self._unit.tables.products.get(product_id)
        if product is None:
            raise ProductNotFoundError(f"there is no product {product_id!r}")
        if product.available is None:
            return product
        if product.available < quantity:
            raise SoldOutError(f"less than {quantity} of {product.name} is left")
        return self._keep(replace(product, held=product.held + quantity))

    async def release(self, product_id: ProductId, quantity: int) -> None:
        """Let go of some."""
        self._unit.must_write()
        product = self._unit.tables.products.get(product_id)
        if product is not None:
            self._keep(replace(product, held=max(0, product.held - quantity)))

    def _keep(self, product: Product) -> Product:
        self._unit.tables.products[product.id] = product
        return product
