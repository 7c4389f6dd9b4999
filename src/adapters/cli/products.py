"""What the command line shows of products, as a table or JSON, and how it changes them."""

from __future__ import annotations

from adapters.cli.printing import money_json, print_json, print_table, refuse, shown
from application.put_product import PutProductCommand
from application.use_cases import UseCases
from domain.catalog import Product
from domain.errors import BelowHeldError, BeyondLimitsError, InvalidMoneyError, InvalidProductError
from domain.ids import ProductId
from domain.money import Money

_COLUMNS = ("id", "name", "price", "tax", "available", "stock", "held")


async def print_products(use_cases: UseCases, *, as_json: bool) -> None:
    """Print what can be bought."""
    products = await use_cases.list_products()
    if as_json:
        print_json({"items": [_product_json(product) for product in products]})
        return
    print_table(_COLUMNS, (_row(product) for product in products))


async def put_product(
    use_cases: UseCases,
    product_id: str,
    *,
    name: str,
    price: int,
    currency: str,
    stock: int | None,
    unlimited: bool,
    tax_free: bool | None,
    below_held: bool,
) -> None:
    """Add or change one product; what cannot be taken is refused in one sentence."""
    try:
        command = PutProductCommand(
            id=ProductId(product_id),
            name=name,
            price=Money(price, currency),
            capacity=stock,
            unlimited=unlimited,
            tax_free=tax_free,
            below_held=below_held,
        )
        await use_cases.put_product(command)
    except BelowHeldError as error:
        refuse(f"{error}; say --below-held if no more is to be sold until some of them come back")
    except (InvalidProductError, InvalidMoneyError, BeyondLimitsError) as error:
        refuse(str(error))


def _row(product: Product) -> tuple[str, ...]:
    tax = "free" if product.tax_free else ""
    return (product.id, product.name, shown(product.price), tax, *_stock(product))


def _stock(product: Product) -> tuple[str, str, str]:
    if product.capacity is None:
        return ("∞", "∞", str(product.held) if product.held else "")
    return (str(product.available), str(product.capacity), str(product.held))


def _product_json(product: Product) -> dict[str, object]:
    return {
        "id": product.id,
        "name": product.name,
        "price": money_json(product.price),
        "taxFree": product.tax_free,
        "available": product.available,
        "stock": product.capacity,
        "held": product.held,
    }
