"""What is kept of a payment, and what is asked of it: frozen values, in PortOne's words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Status(StrEnum):
    """PortOne's statuses of a payment."""

    READY = "READY"
    PAY_PENDING = "PAY_PENDING"
    VIRTUAL_ACCOUNT_ISSUED = "VIRTUAL_ACCOUNT_ISSUED"
    PAID = "PAID"
    FAILED = "FAILED"
    PARTIAL_CANCELLED = "PARTIAL_CANCELLED"
    CANCELLED = "CANCELLED"


CAPTURED = frozenset({Status.PAID, Status.PARTIAL_CANCELLED, Status.CANCELLED})


class CancelStatus(StrEnum):
    """How far a cancellation got."""

    REQUESTED = "REQUESTED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What the browser asked the payment window for. It is recorded as it is asked, honest or not.

    ``tax_free`` of ``total`` has no value added tax in it.
    """

    store_id: str
    channel_key: str
    order_name: str
    total: int
    currency: str
    tax_free: int = 0
    channel_type: str = "LIVE"
    notice_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """One request to cancel. ``amount`` None means all that is left; ``expected_left`` is currentCancellableAmount.

    ``tax_free`` of it is untaxed. None: whatever fits, as when it is not the shop that asks. ``to_account``: an account
    is named for the money to go to.
    """

    reason: str
    amount: int | None = None
    expected_left: int | None = None
    tax_free: int | None = 0
    vat: int | None = None
    to_account: bool = False
    store_id: str | None = None
    skip_webhook: bool = False
    trigger: str = "API"


@dataclass(frozen=True, slots=True)
class Dating:
    """How a change is dated: when it happens, or ``early``, so many seconds before the change that it follows.

    ``stays``: a change that leaves the status leaves its date as well. ``updated``: updatedAt is dated early too.
    """

    early: float | None = None
    stays: bool = False
    updated: bool = False

    def of(self, payment: PaymentRecord, status: Status, now: datetime) -> datetime:
        """The date of this payment's change to ``status``."""
        if self.stays and payment.status is status:
            return payment.status_changed_at
        return now if self.early is None else payment.status_changed_at - timedelta(seconds=self.early)


PUNCTUAL = Dating()


@dataclass(frozen=True, slots=True)
class Course:
    """What becomes of a cancellation: ``at_once``, and where that is REQUESTED, ``then`` after so many ``seconds``.

    ``then`` None: it stays REQUESTED. One that succeeded is undone so many seconds later where ``undone_after`` says
    so, and the shop is told unless ``silently``.
    """

    at_once: CancelStatus = CancelStatus.SUCCEEDED
    then: CancelStatus | None = CancelStatus.SUCCEEDED
    seconds: float = 0.0
    dating: Dating = PUNCTUAL
    undone_after: float | None = None
    silently: bool = False


SMOOTHLY = Course()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """One cancellation, done or not. ``discount`` is what points and coupons had paid and went back along with it."""

    id: str
    status: CancelStatus
    amount: int
    tax_free: int
    vat: int
    reason: str
    requested_at: datetime
    trigger: str
    skip_webhook: bool
    cancelled_at: datetime | None = None
    discount: int = 0

    @property
    def moved(self) -> int:
        """All that went back with it."""
        return self.amount + self.discount


@dataclass(frozen=True, slots=True)
class VirtualAccount:
    """An account that waits for a deposit."""

    number: str
    issued_at: datetime
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """The buyer denies the payment to the card network, until it is resolved."""

    reason: str
    created_at: datetime
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRecord:
    """One payment. ``transaction_id`` names its latest attempt; ``discount`` is what points or coupons paid of it.

    ``keeps_discount``: only what the buyer paid can be cancelled, and the discount goes back along with the last of it.
    """

    id: str
    purchase: Purchase
    status: Status
    transaction_id: str
    requested_at: datetime
    updated_at: datetime
    status_changed_at: datetime
    paid_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str | None = None
    account: VirtualAccount | None = None
    discount: int = 0
    keeps_discount: bool = False
    cancellations: tuple[Cancelled, ...] = ()
    disputes: tuple[Dispute, ...] = ()

    @property
    def captured(self) -> int:
        """What was taken from the buyer."""
        return self.purchase.total if self.status in CAPTURED else 0

    @property
    def cancelled(self) -> int:
        """What went back."""
        return self._sum(CancelStatus.SUCCEEDED)

    @property
    def cancellable(self) -> int:
        """What may still be asked back: neither gone nor on its way."""
        return self._cancellable_in_all - self.cancelled - self._sum(CancelStatus.REQUESTED)

    @property
    def is_all_back(self) -> bool:
        """Whether all that can go back has gone back."""
        return self.cancelled == self._cancellable_in_all

    @property
    def cancelled_tax_free(self) -> int:
        """How much of what went back was untaxed."""
        return sum(c.tax_free for c in self.cancellations if c.status is CancelStatus.SUCCEEDED)

    @property
    def cancellable_tax_free(self) -> int:
        """How much of what may still be asked back is untaxed."""
        gone = sum(c.tax_free for c in self.cancellations if c.status is not CancelStatus.FAILED)
        return self.purchase.tax_free - gone if self.captured else 0

    @property
    def cancellable_vat(self) -> int:
        """How much value added tax is in what may still be asked back."""
        gone = sum(c.vat for c in self.cancellations if c.status is not CancelStatus.FAILED)
        return vat_within(self.captured - self.purchase.tax_free) - gone if self.captured else 0

    @property
    def _cancellable_in_all(self) -> int:
        return self.captured - self.discount if self.captured and self.keeps_discount else self.captured

    def _sum(self, status: CancelStatus) -> int:
        return sum(c.amount for c in self.cancellations if c.status is status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something PortOne tells the shop of by webhook. ``type`` is the webhook's, without ``Transaction.``."""

    type: str
    payment: PaymentRecord
    at: datetime
    cancellation_id: str | None = None


def vat_within(amount: int) -> int:
    """The value added tax in a fully taxed ``amount``: an eleventh, rounded to the nearest."""
    return (2 * amount + 11) // 22
