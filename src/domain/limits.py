"""How much one order may be: in units, so that nobody holds a shop's stock for nothing, and in money.

A payment provider takes no payment beyond its own limits, and its window tells the buyer only that something failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from domain.errors import BeyondLimitsError
from domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``amounts``: for each currency that has limits, the least and the most of one payment.

    ``order_units`` are those of one order together, ``product_units`` those of one product in it.
    """

    amounts: tuple[tuple[Money, Money], ...] = ()
    order_units: int = 20
    product_units: int = 10

    def check_units(self, quantities: Iterable[tuple[str, int]]) -> None:
        """Raise BeyondLimitsError where one order holds too much; ``quantities`` are products and how many of each."""
        units = 0
        for product, quantity in quantities:
            units += quantity
            if quantity > self.product_units:
                raise BeyondLimitsError(f"one order takes at most {self.product_units} of {product!r}")
        if units > self.order_units:
            raise BeyondLimitsError(f"one order takes at most {self.order_units} units, and these are {units}")

    def check_amount(self, amount: Money, what: str) -> None:
        """Raise BeyondLimitsError where ``what``, which is ``amount``, can never be paid. Nothing need not be."""
        if not amount:
            return
        for least, most in self.amounts:
            if amount.currency == least.currency and not least <= amount <= most:
                raise BeyondLimitsError(
                    f"{what} of {amount.minor:,} {amount.currency} is beyond the limits of a payment, "
                    f"{least.minor:,} to {most.minor:,} {amount.currency}"
                )
