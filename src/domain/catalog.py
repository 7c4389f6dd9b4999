"""What can be bought, and what never could be."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from domain.errors import InvalidProductError
from domain.ids import ProductId
from domain.limits import Limits
from domain.money import Money

ID_MOST = 64  # characters: what a request to place an order may name
_NAME_MOST = 1000  # characters
_CAPACITY_MOST = 2**63 - 1  # what a column of 64 bits holds
_UNSEEN = frozenset("\u115f\u1160\u3164\uffa0")  # letters by their kind, which show nothing
_NO_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, halves of one, breaks of lines and paragraphs


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Something with a price. ``tax_free``: no value added tax is part of it.

    ``capacity`` is how many units are ever for sale, those that are sold and held among them; None means without limit.
    ``held`` is how many of them live orders have taken; what was bought while there was no limit is not among them.
    """

    id: ProductId
    name: str
    price: Money
    capacity: int | None = None
    held: int = 0
    tax_free: bool = False

    @property
    def available(self) -> int | None:
        """What is neither sold nor held; None without limit."""
        return None if self.capacity is None else max(0, self.capacity - self.held)

    @property
    def is_counted(self) -> bool:
        """Whether an order takes something off it."""
        return self.capacity is not None


def check_buyable(product: Product, limits: Limits) -> None:
    """Raise InvalidProductError or BeyondLimitsError for what nobody could ever order, or pay."""
    if not 1 <= len(product.id) <= ID_MOST:
        raise InvalidProductError(f"an id has 1 to {ID_MOST} characters, and not {len(product.id)}")
    if not _is_text(product.id) or product.id != product.id.strip():
        raise InvalidProductError(f"the id {product.id!a} has control characters in it, or spaces at its ends")
    if not any(_shows(character) for character in product.name):
        raise InvalidProductError("a product has a name that buyers can see")
    if not _is_text(product.name):
        raise InvalidProductError(f"the name {product.name[:64]!a} has control characters in it")
    if len(product.name) > _NAME_MOST:
        raise InvalidProductError(f"a name has at most {_NAME_MOST} characters, and not {len(product.name)}")
    if product.capacity is not None and not 0 <= product.capacity <= _CAPACITY_MOST:
        raise InvalidProductError(f"there can be from 0 to {_CAPACITY_MOST} of a product, and not {product.capacity}")
    limits.check_amount(product.price, "a price")


def _is_text(said: str) -> bool:
    return not any(unicodedata.category(character) in _NO_TEXT for character in said)


def _shows(character: str) -> bool:
    return not (character.isspace() or character in _UNSEEN or unicodedata.category(character)[0] == "C")
