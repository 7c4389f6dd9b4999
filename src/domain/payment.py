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
    """One time that money went back, or was asked to, by anybody: us, the console, the card network."""

    id: str
    status: CancellationStatus
    amount: Money
    reason: str

    def carries(self, refund_id: RefundId) -> bool:
        """Whether this cancellation is the one we asked for under ``refund_id``, which its reason then contains."""
        return f"[{refund_id}]" in self.reason


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

    @property
    def captured(self) -> Money | None:
        """What the gateway took, whether or not it went back; None while it took nothing."""
        return self.total if self.status in _CAPTURED else None

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
        return (self.captured or Money.zero(self.total.currency)).less(self.cancelled)

    def has_left(self, amount: Money) -> bool:
        """Whether ``amount`` was captured and has not gone back: never in another currency than the record's."""
        return amount.currency == self.total.currency and self.left >= amount

    def cancellation(self, refund_id: RefundId) -> Cancellation | None:
        """The cancellation asked for under ``refund_id`` (the furthest if several); None if there is none."""
        ours = (c for c in self.cancellations if c.carries(refund_id))
        return max(ours, key=lambda c: _FURTHEST_LAST.index(c.status), default=None)

    def including(self, cancellation: Cancellation) -> Payment:
        """This record with a cancellation the gateway told us of, where the record does not list it yet."""
        if any(c.id == cancellation.id for c in self.cancellations):
            return self
        return replace(self, cancellations=(*self.cancellations, cancellation))
