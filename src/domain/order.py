"""An order: what the buyer wants, what the gateway said of its payment, what went back of the money and what will."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime

from domain.attention import Attention
from domain.ids import OrderId, PaymentId, ProductId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.payment import Payment, PaymentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """So many of one product, at the price it had when the order was placed, with tax in it or without.

    ``held`` is how many were taken off its stock, and go back on it: none where it had no limit.
    """

    product_id: ProductId
    name: str
    quantity: int
    price: Money
    held: int = 0
    tax_free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the gateway's record said that was applied last. ``knowledge`` decides whether another knows more.

    ``went_back`` is how much it said had gone back (minor units; None where it said that nothing was taken): less than
    the order's own ``refunded`` after money came back. ``deposit_due`` is until when an issued account takes money,
    ``disputed`` whether the buyer denies the payment.
    """

    said: str
    attempt: str | None = None
    changed_at: datetime | None = None
    updated_at: datetime | None = None
    went_back: int | None = None
    deposit_due: datetime | None = None
    disputed: bool = False

    def is_of(self, payment: Payment) -> bool:
        """Whether this is what ``payment`` says, as far as that is dated."""
        return (
            self.said == payment.said
            and payment.changed_at in (None, self.changed_at)
            and payment.updated_at in (None, self.updated_at)
        )

    @property
    def waits_for_deposit(self) -> bool:
        """Whether an account was issued for the buyer to send the money to."""
        return self.said == PaymentStatus.VIRTUAL_ACCOUNT_ISSUED

    @property
    def is_under_way(self) -> bool:
        """Whether the approval was taking its time."""
        return self.said == PaymentStatus.PAY_PENDING

    @property
    def has_failed(self) -> bool:
        """Whether the buyer's last attempt failed."""
        return self.said == PaymentStatus.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order. Its price is the server's and never changes; its payment has one id for life.

    ``captured`` is what the gateway took, in the currency it took it in; None while it took nothing. ``refunded`` is
    what went back, ``owed`` what REQUESTED refunds will still give back: ``refunded + owed`` never passes ``captured``.
    ``seq`` is the number of the last history entry, ``version`` the stored row's, which changes with every save.
    ``by_hand``: the gateway has refused to give its money back, so nothing is asked back any more but by a person.
    ``announced_at`` is since when a signed webhook tells of more than the record shows; None once the record does.
    ``check_at`` None means at rest. ``checks`` counts checks in the present state, ``failures`` failed ones in a row.
    ``token_hash`` is the SHA-256 (hex) of the buyer's token.
    """

    id: OrderId
    payment_id: PaymentId
    token_hash: str
    name: str
    lines: tuple[OrderLine, ...]
    price: Money
    created_at: datetime
    expires_at: datetime
    refunded: Money
    owed: Money
    status: OrderStatus = OrderStatus.PENDING
    reason: CancelReason | None = None
    captured: Money | None = None
    observed: Observed | None = None
    announced_at: datetime | None = None
    attention: Attention | None = None
    by_hand: bool = False
    seq: int = 0
    version: int = 0
    check_at: datetime | None = None
    checks: int = 0
    failures: int = 0

    @property
    def refundable(self) -> Money:
        """What may still be asked back: captured, not gone back, and not on its way back."""
        if self.captured is None:
            return Money.zero(self.price.currency)
        return self.captured.less(self.refunded + self.owed)

    @property
    def tax_free(self) -> Money:
        """The part of the price that has no value added tax in it."""
        untaxed = sum(line.price.minor * line.quantity for line in self.lines if line.tax_free)
        return Money(untaxed, self.price.currency)

    @property
    def moved_at(self) -> datetime:
        """When the gateway last changed its payment, as far as we were told; else when it was placed."""
        return (self.observed.changed_at if self.observed else None) or self.created_at

    def contradicts(self, payment: Payment) -> bool:
        """Whether ``payment`` claims that another sum was captured than the gateway said before."""
        return self.captured is not None and payment.captured not in (None, self.captured)

    def admits(self, token: str) -> bool:
        """Whether ``token`` is the one given to this order's buyer, in the same time for right and wrong."""
        return hmac.compare_digest(hash_token(token), self.token_hash)

    def check_by(self, moment: datetime) -> Order:
        """This order, to be checked by ``moment`` at the latest."""
        return replace(self, check_at=min(self.check_at or moment, moment))


def hash_token(token: str) -> str:
    """What is kept of a buyer's token: the SHA-256 of its 256 random bits, in hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
