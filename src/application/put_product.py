"""Say what can be bought."""

from __future__ import annotations

from application.ports import Store
from application.transact import retrying
from domain.catalog import Product


class PutProduct:
    """Add a product, or replace it, stock included."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, product: Product) -> None:
        """Orders that were placed before keep what they bought, at their price."""

        async def put() -> None:
            async with self._store.writing() as unit:
                await unit.catalog.put(product)
                await unit.commit()

        await retrying(put)
