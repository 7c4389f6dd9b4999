"""Money: a whole number of minor units, never without its currency."""

from __future__ import annotations

import re
from dataclasses import dataclass

from domain.errors import InvalidMoneyError

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_MOST = 10**15  # fits a signed 64-bit column with room for sums, and exceeds any real payment


@dataclass(frozen=True, slots=True)
class Money:
    """``minor`` units of an ISO 4217 ``currency``: 1 KRW is 1, 1.00 USD is 100. Never negative.

    Raises InvalidMoneyError for anything else, and whenever two currencies would be mixed.
    """

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int or not 0 <= self.minor <= _MOST:
            raise InvalidMoneyError(f"{self.minor!r} is not a whole number of minor units from 0 to {_MOST}")
        if not _CURRENCY.fullmatch(self.currency):
            raise InvalidMoneyError(f"{self.currency!r} is not a three-letter currency code")

    @classmethod
    def zero(cls, currency: str) -> Money:
        """Nothing, in ``currency``."""
        return cls(0, currency)

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._same_currency(other).minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._same_currency(other).minor, self.currency)

    def __mul__(self, times: int) -> Money:
        return Money(self.minor * times, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same_currency(other).minor

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._same_currency(other).minor

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._same_currency(other).minor

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._same_currency(other).minor

    def __bool__(self) -> bool:
        return self.minor > 0

    def __str__(self) -> str:
        return f"{self.minor} {self.currency}"

    def less(self, other: Money) -> Money:
        """What is left after ``other`` is taken away, and nothing rather than less than nothing."""
        return Money(max(0, self.minor - self._same_currency(other).minor), self.currency)

    def _same_currency(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise InvalidMoneyError(f"{self} and {other} are in different currencies")
        return other
