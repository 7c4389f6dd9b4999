"""What the gateway said about a payment. An observation, never a promise: only the gateway can change it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from domain.ids import RefundId
from domain.money import Money


class PaymentStatus(StrEnum):
    """The gateway's statuses that we know; every other word is UNKNOWN."""

    READY = "READY"
    PAY_PENDING = "PAY_PENDING"
    VIRTUAL_ACCOUNT_ISSUED = "VIRTUAL_ACCOUNT_ISSUED"
    PAID = "PAID"
    FAILED = "FAILED"
    PARTIAL_CANCELLED = "PARTIAL_CANCELLED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


UNREADABLE = "unreadable"
"""What ``Payment.said`` is for a listed payment whose record could not be read."""

_CAPTURED = frozenset({PaymentStatus.PAID, PaymentStatus.PARTIAL_CANCELLED, PaymentStatus.CANCELLED})


class CancellationStatus(StrEnum):
    """How far one cancellation got at the gateway; every word we do not know is UNKNOWN."""

    REQUESTED = "REQUESTED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


_FURTHEST_LAST = (
    CancellationStatus.FAILED,
    CancellationStatus.UNKNOWN,
    CancellationStatus.REQUESTED,
    CancellationStatus.SUCCEEDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """One time that money went back, or was asked to, by anybody: us, the console, the network (``charged_back``)."""

    id: str
    status: CancellationStatus
    amount: Money
    reason: str
    charged_back: bool = False
    requested_at: datetime | None = None

    def quotes(self, refund_id: RefundId) -> bool:
        """Whether its reason names this refund. Anybody may write so: the amount has to be the refund's as well."""
        return f"[{refund_id}]" in self.reason

    @property
    def may_move_money(self) -> bool:
        """Whether it has given money back, or may yet."""
        return self.status is not CancellationStatus.FAILED

    @property
    def is_under_way(self) -> bool:
        """Whether it has come to no end that we know of."""
        return self.status in (CancellationStatus.REQUESTED, CancellationStatus.UNKNOWN)


_CHANNEL_TYPES = ("LIVE", "TEST")  # PortOne's OpenAPI document 1.16.0, ``SelectedChannelType``


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Who we are at the gateway: our store, and the only channel type (LIVE or TEST) whose money counts."""

    store_id: str
    channel_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """The gateway's record of one paymentId, as it stood at ``changed_at`` / ``updated_at``.

    ``said`` is the status word as the gateway wrote it. ``cancelled`` is how much of ``total`` went back so far.
    ``paid`` is ``total`` less what coupons and points covered, None where the gateway does not say. ``tax_free`` is
    the part of ``total`` without tax, ``cancelled_tax_free`` how much of that went back. ``by_account``: the buyer
    sends the money to an account, and it goes back only to one that is named. ``disputed``: the buyer denies
    it; None where the record does not say.
    ``attempt`` is PortOne's transactionId, which changes when the buyer tries again.
    """

    id: str
    status: PaymentStatus
    said: str
    total: Money
    cancelled: Money
    store_id: str | None
    channel_type: str | None
    attempt: str | None = None
    changed_at: datetime | None = None
    updated_at: datetime | None = None
    deposit_due: datetime | None = None
    cancellations: tuple[Cancellation, ...] = ()
    paid: Money | None = None
    tax_free: Money | None = None
    cancelled_tax_free: Money | None = None
    by_account: bool = False
    disputed: bool | None = None

    @property
    def captured(self) -> Money | None:
        """What the gateway took, whether or not it went back; None while it took nothing."""
        return self.total if self.status in _CAPTURED else None

    @property
    def is_unreadable(self) -> bool:
        """Whether the gateway listed it, and what it said of it could not be read."""
        return self.status is PaymentStatus.UNKNOWN and self.said == UNREADABLE

    @property
    def waits_for_deposit(self) -> bool:
        """Whether an account was issued for the buyer to send the money to."""
        return self.status is PaymentStatus.VIRTUAL_ACCOUNT_ISSUED

    @property
    def unknown_channel(self) -> str | None:
        """The type of its channel where that is a word we do not know, which nobody can call right or wrong."""
        return self.channel_type if self.channel_type not in (None, *_CHANNEL_TYPES) else None

    @property
    def left(self) -> Money:
        """What was captured and has not gone back."""
        if self.captured is None or self.status is PaymentStatus.CANCELLED:
            return Money.zero(self.total.currency)
        return self.total.less(self.cancelled)

    @property
    def went_back(self) -> Money:
        """How much of ``total`` went back: all of it once the gateway says so, whatever coupons covered."""
        return self.total if self.status is PaymentStatus.CANCELLED else min(self.cancelled, self.total)

    @property
    def unlisted(self) -> Money:
        """How much went back of which no cancellation tells. What a coupon paid comes back without one, and is none."""
        listed = sum(c.amount.minor for c in self.cancellations if c.may_move_money)
        return self.cancelled.less(Money(listed, self.total.currency))

    @property
    def left_paid(self) -> Money:
        """The same as ``left``, if only what the buyer paid counts, and not what coupons and points covered."""
        return self.left if self.paid is None else min(self.left, self.paid.less(self.cancelled))

    @property
    def on_its_way(self) -> Money:
        """What is being given back, and has not gone back yet."""
        under_way = (c.amount for c in self.cancellations if c.status is CancellationStatus.REQUESTED)
        return sum(under_way, start=Money.zero(self.total.currency))

    def tax_free_of(self, amount: Money) -> Money:
        """How much of ``amount`` must go back untaxed: what is left with tax goes first, so that it always fits."""
        untaxed = (self.tax_free or Money.zero(amount.currency)).less(
            self.cancelled_tax_free or Money.zero(amount.currency)
        )
        return min(untaxed, amount.less(self.left.less(untaxed)))

    @property
    def is_charged_back(self) -> bool:
        """Whether the card network took any of it back."""
        return any(c.charged_back and c.status is CancellationStatus.SUCCEEDED for c in self.cancellations)

    def has_left(self, amount: Money) -> bool:
        """Whether ``amount`` was captured and has not gone back: never in another currency than the record's."""
        return amount.currency == self.total.currency and self.left >= amount

    def cancellation(self, refund_id: RefundId, amount: Money, known_as: str | None = None) -> Cancellation | None:
        """The cancellation of ``amount`` that was asked for under ``refund_id``; None if there is none.

        ``known_as`` is the gateway's own id of it, where it told: then no other is. Else the furthest that quotes us.
        """
        if known_as is not None and (known := [c for c in self.cancellations if c.id == known_as]):
            return known[0]
        ours = (c for c in self.cancellations if c.quotes(refund_id) and c.amount == amount)
        return max(ours, key=lambda c: _FURTHEST_LAST.index(c.status), default=None)

    def including(self, cancellation: Cancellation) -> Payment:
        """This record with a cancellation the gateway told us of, where the record does not list it yet."""
        if any(c.id == cancellation.id for c in self.cancellations):
            return self
        return replace(self, cancellations=(*self.cancellations, cancellation))
