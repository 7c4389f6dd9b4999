"""What can be bought."""

from __future__ import annotations

from dataclasses import dataclass

from domain.ids import ProductId
from domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Something with a price. ``available`` counts what is neither sold nor held; None means without limit."""

    id: ProductId
    name: str
    price: Money
    available: int | None = None
