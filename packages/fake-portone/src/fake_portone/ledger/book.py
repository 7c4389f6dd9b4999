"""The book of money: every won taken and given back, apart from what the payments say of themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace


class LedgerBrokenError(AssertionError):
    """The ledger would hold something impossible. A defect of the fake, never an answer to anybody."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Of one payment, or of one currency: what was taken, what went back."""

    captured: int = 0
    cancelled: int = 0

    @property
    def net(self) -> int:
        """What is left with the shop."""
        return self.captured - self.cancelled

    def __add__(self, other: Balance) -> Balance:
        return Balance(self.captured + other.captured, self.cancelled + other.cancelled)


class MoneyBook:
    """Every movement of money, written once and summed apart from the payments' own fields.

    Raises LedgerBrokenError for a second capture of one payment, for a won more back than was taken, and for one more
    that comes back than had gone.
    """

    def __init__(self) -> None:
        self._balances: dict[str, Balance] = {}

    def capture(self, payment_id: str, amount: int) -> None:
        """Money was taken."""
        if payment_id in self._balances:
            raise LedgerBrokenError(f"{payment_id} would be paid twice")
        self._balances[payment_id] = Balance(captured=amount)

    def give_back(self, payment_id: str, amount: int) -> None:
        """Money went back."""
        before = self._balances.get(payment_id, Balance())
        if not 0 < amount <= before.net:
            raise LedgerBrokenError(f"{payment_id}: {amount} would go back of {before.net}")
        self._balances[payment_id] = replace(before, cancelled=before.cancelled + amount)

    def take_back(self, payment_id: str, amount: int) -> None:
        """Money that had gone back is with the shop again."""
        before = self._balances.get(payment_id, Balance())
        if not 0 < amount <= before.cancelled:
            raise LedgerBrokenError(f"{payment_id}: {amount} would come back of {before.cancelled}")
        self._balances[payment_id] = replace(before, cancelled=before.cancelled - amount)

    def of(self, payment_id: str) -> Balance:
        """What was taken and went back for one payment."""
        return self._balances.get(payment_id, Balance())
