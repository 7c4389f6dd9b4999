"""Say what can be bought."""

from __future__ import annotations

from dataclasses import dataclass, replace

from application.ports import Store
from application.transact import retrying
from domain.catalog import Product, check_buyable
from domain.errors import BelowHeldError
from domain.ids import ProductId
from domain.limits import Limits
from domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class PutProductCommand:
    """What is None stays as it is; a new product has no limit, and is taxed.

    ``capacity`` is how many there ever are, those that are sold and held among them; ``unlimited`` takes a limit away.
    ``below_held`` says that it may be less than is sold and held, so that no more is sold until some comes back.
    """

    id: ProductId
    name: str
    price: Money
    capacity: int | None = None
    unlimited: bool = False
    tax_free: bool | None = None
    below_held: bool = False


class PutProduct:
    """Add a product, or change one. What is held of it stays held.

    Raises InvalidProductError and BeyondLimitsError for what nobody could buy, and BelowHeldError.
    """

    def __init__(self, store: Store, limits: Limits | None = None) -> None:
        self._store = store
        self._limits = limits or Limits()

    async def __call__(self, command: PutProductCommand) -> Product:
        """The product as it is now. Orders that were placed before keep what they bought, at their price."""
        return await retrying(lambda: self._put(command))

    async def _put(self, command: PutProductCommand) -> Product:
        check_buyable(_changed(None, command), self._limits)
        async with self._store.writing() as unit:
            before = await unit.catalog.by_id(command.id)
            product = _changed(before, command)
            if before is not None and _is_below_held(product, before) and not command.below_held:
                raise BelowHeldError(
                    f"{product.held} of {product.id!r} are sold or held, which is more than a stock of "
                    f"{product.capacity}"
                )
            await unit.catalog.put(product)
            await unit.commit()
        return product


def _changed(before: Product | None, command: PutProductCommand) -> Product:
    product = before or Product(id=command.id, name=command.name, price=command.price)
    capacity = None if command.unlimited else command.capacity if command.capacity is not None else product.capacity
    tax_free = product.tax_free if command.tax_free is None else command.tax_free
    return replace(product, name=command.name, price=command.price, capacity=capacity, tax_free=tax_free)


def _is_below_held(product: Product, before: Product) -> bool:
    """Whether the capacity was said anew, and to be less than is held."""
    said_anew = product.capacity is not None and product.capacity != before.capacity
    return said_anew and product.capacity is not None and product.capacity < product.held
