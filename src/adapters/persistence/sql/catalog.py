"""Products, how much there is of each, and how much of that is held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, Row, bindparam, case, select, update
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
_PRODUCT_HELD = _PRODUCT.with_for_update(key_share=True)  # which says nothing on SQLite: there the unit is alone
_HOLD = (
    update(products)
    .where(products.c.id == bindparam("key"), products.c.capacity - products.c.held >= bindparam("quantity"))
    .values(held=products.c.held + bindparam("quantity"))
    .returning(*products.c)
)
_RELEASE = (
    update(products)
    .where(products.c.id == bindparam("key"))
    .values(held=case((products.c.held > bindparam("quantity"), products.c.held - bindparam("quantity")), else_=0))
)


def _keep_product(module: Any) -> Executable:
    statement = module.insert(products)
    set_ = {name: statement.excluded[name] for name in ("name", "minor", "currency", "capacity", "tax_free")}
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
            "capacity": product.capacity,
            "held": 0,
            "tax_free": int(product.tax_free),
        }
        await self._unit.run(_KEEP_PRODUCT[self._unit.dialect], values)

    async def products(self) -> Sequence[Product]:
        """Every product, by name."""
        return [_product(row) for row in (await self._unit.run(_PRODUCTS)).all()]

    async def by_id(self, product_id: ProductId) -> Product | None:
        """The product of this id."""
        statement = _PRODUCT_HELD if self._unit.writes else _PRODUCT
        row = (await self._unit.run(statement, {"key": product_id})).one_or_none()
        return None if row is None else _product(row)

    async def hold(self, product_id: ProductId, quantity: int) -> Product:
        """Hold some of what is available."""
        self._unit.must_write()
        row = (await self._unit.run(_HOLD, {"key": product_id, "quantity": min(quantity, MOST)})).one_or_none()
        return _product(row) if row is not None else await self._not_counted(product_id, quantity)

    async def release(self, product_id: ProductId, quantity: int) -> None:
        """Let go of some."""
        self._unit.must_write()
        await self._unit.run(_RELEASE, {"key": product_id, "quantity": quantity})

    async def _not_counted(self, product_id: ProductId, quantity: int) -> Product:
        """The product, if it is without limit."""
        row = (await self._unit.run(_PRODUCT, {"key": product_id})).one_or_none()
        if row is None:
            raise ProductNotFoundError(f"there is no product {product_id!r}")
        if row.capacity is not None:
            raise SoldOutError(f"less than {quantity} of {row.name} is left")
        return _product(row)


def _product(row: Row[Any]) -> Product:
    price = Money(row.minor, row.currency)
    return Product(
        id=ProductId(row.id),
        name=row.name,
        price=price,
        capacity=row.capacity,
        held=row.held,
        tax_free=bool(row.tax_free),
    )
