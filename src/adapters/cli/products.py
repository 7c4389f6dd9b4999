"""What the command line shows of products, as a table or JSON."""

from __future__ import annotations

from adapters.cli.printing import money_json, print_json, print_table, shown
from application.use_cases import UseCases
from domain.catalog import Product
from domain.ids import ProductId
from domain.money import Money


async def print_products(use_cases: UseCases, *, as_json: bool) -> None:
    """Print what can be bought."""
    products = await use_cases.list_products()
    if as_json:
        print_json({"items": [_product_json(product) for product in products]})
        return
    rows = ((p.id, p.name, shown(p.price), "∞" if p.available is None else str(p.available)) for p in products)
    print_table(("id", "name", "price", "available"), rows)


async def put_product(
    use_cases: UseCases, product_id: str, *, name: str, price: int, currency: str, stock: int | None
) -> None:
    """Add or replace one product. Raises InvalidMoneyError."""
    product = Product(id=ProductId(product_id), name=name, price=Money(price, currency), available=stock)
    await use_cases.put_product(product)


def _product_json(product: Product) -> dict[str, object]:
    return {
        "id": product.id,
        "name": product.name,
        "price": money_json(product.price),
        "available": product.available,
    }
