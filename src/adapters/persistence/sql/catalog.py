"""Products, and how much of each is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, Row, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from adapters.persistence.sql.transaction import SqlTransaction
from adapters.persistence.sql.values import MOST
from adapters.persistence.tables import products
from application.errors import ProductNotFoundError, SoldOutError
from application.ports import Catalog
from domain.catalog import Product
from domain.ids import ProductId
from domain.money import Money

_PRODUCTS = select(products).order_by(products.c.name, products.c.id)
_PRODUCT = select(products).where(products.c.id == bindparam("key"))
_HOLD = (
    update(products)
    .where(products.c.id == bindparam("key"), products.c.available >= bindparam("quantity"))
    .values(available=products.c.available - bindparam("quantity"))
    .returning(*products.c)
)
_RELEASE = (
    update(products)
    .where(products.c.id == bindparam("key"), products.c.available.is_not(None))
    .values(available=products.c.available + bindparam("quantity"))
)


def _keep_product(module: Any) -> Executable:
    statement = module.insert(products)
    set_ = {name: statement.excluded[name] for name in ("name", "minor", "currency", "available")}
    kept: Executable = statement.on_conflict_do_update(index_elements=["id"], set_=set_)
    return kept


_KEEP_PRODUCT = {"sqlite": _keep_product(sqlite), "postgresql": _keep_product(postgresql)}


class SqlCatalog(Catalog):
    """The products in the database."""

    def __init__(self, unit: SqlTransaction) -> None:
        self._unit = unit

    async def put(self, product: Product) -> None:
        """Keep this product."""
        self._unit.must_write()
        values = {
            "id": product.id,
            "name": product.name,
            "minor": product.price.minor,
            "currency": product.price.currency,
            "available": product.available,
        }
        await self._unit.run(_KEEP_PRODUCT[self._unit.dialect], values)

    async def products(self) -> Sequence[Product]:
        """Every product, by name."""
        return [_product(row) for row in (await self._unit.run(_PRODUCTS)).all()]

    async def hold(self, product_id: ProductId, quantity: int) -> Product:
        """Take some off what is available."""
        self._unit.must_write()
        row = (await self._unit.run(_HOLD, {"key": product_id, "quantity": min(quantity, MOST)})).one_or_none()
        return _product(row) if row is not None else await self._not_counted(product_id, quantity)

    async def release(self, product_id: ProductId, quantity: int) -> None:
        """Put some back."""
        self._unit.must_write()
        await self._unit.run(_RELEASE, {"key": product_id, "quantity": quantity})

    async def _not_counted(self, product_id: ProductId, quantity: int) -> Product:
        """The product, if it is without limit: nothing is taken off it, and so no buyer waits for another."""
        row = (await self._unit.run(_PRODUCT, {"key": product_id})).one_or_none()
        if row is None:
            raise ProductNotFoundError(f"there is no product {product_id!r}")
        if row.available is not None:
            raise SoldOutError(f"less than {quantity} of {row.name} is left")
        return _product(row)


def _product(row: Row[Any]) -> Product:
    price = Money(row.minor, row.currency)
    return Product(id=ProductId(row.id), name=row.name, price=price, available=row.available)
