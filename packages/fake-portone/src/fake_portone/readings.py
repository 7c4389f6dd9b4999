"""How payments are read: as they stand, or as a fault shows them. What the ledger holds is never touched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus

from fake_portone.clock import FakeClock
from fake_portone.faults import Faults
from fake_portone.ledger import Cancelled, Ledger, PaymentRecord, RefusedError
from fake_portone.listing import Listed, Listing, SortedPayments, matching

_UNKNOWN_STATUS = "ON_HOLD"
_UNKNOWN_CHANNEL_TYPE = "SANDBOX"
_REASON_SHOWN = 10
_ANOTHER_REASON = "고객 요청"


@dataclass(frozen=True, slots=True)
class Seen:
    """A payment as it is shown: ``said`` replaces its status, and ``strange`` adds fields, where a fault has it so."""

    payment: PaymentRecord
    said: str | None = None
    strange: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page, and how many payments match in all."""

    items: list[Seen]
    total: int


class Readings:
    """Reads the ledger for whoever asks the API."""

    def __init__(self, ledger: Ledger, faults: Faults, clock: FakeClock) -> None:
        self._ledger = ledger
        self._faults = faults
        self._clock = clock
        self._sorted = SortedPayments(ledger)
        self._shown: set[str] = set()

    def find(self, payment_id: str, store_id: str | None) -> Seen:
        """One payment. Raises RefusedError."""
        payment = self._as_read("get", self._ledger.find(payment_id, store_id))
        vanished = payment_id in self._shown and self._faults.fires("record_vanishes", "get", payment_id)
        if payment is None or vanished:
            raise RefusedError("PAYMENT_NOT_FOUND", "there is no such payment", HTTPStatus.NOT_FOUND)
        self._shown.add(payment_id)
        return self._see("get", payment)

    def page(self, listing: Listing) -> Page:
        """One page of payments."""
        first, last = listing.number * listing.size, (listing.number + 1) * listing.size
        if not self._faults.on() and listing.by_creation is listing.sort_by_request:
            items, total = self._sorted.page(listing, self._clock.wall(), first, last)
            return Page([Seen(payment) for payment in items], total)
        read = [listed for listed in map(self._as_listed, self._ledger.payments()) if listed is not None]
        found = matching(read, listing, self._clock.wall())
        if self._faults.fires("list_unsorted", "list"):
            found = sorted(found, key=lambda payment: payment.id)
        return self._miscounted([self._see("list", payment) for payment in found[first:last]], len(found))

    def cancelled(self, payment_id: str, cancellation: Cancelled) -> Cancelled:
        """A cancellation as it is shown to whoever asked for it."""
        return replace(cancellation, reason=self._reason(payment_id, cancellation.reason))

    def _as_read(self, operation: str, payment: PaymentRecord) -> PaymentRecord | None:
        lag = self._faults.fires("gateway_lag", operation, payment.id)
        return self._ledger.as_it_was(payment, lag.seconds) if lag else payment

    def _as_listed(self, payment: PaymentRecord) -> Listed | None:
        late = self._faults.holds("list_late", payment.id)
        listed = self._ledger.as_it_was(payment, late.seconds) if late else self._as_read("list", payment)
        if listed is None:
            return None
        earlier = self._faults.holds("list_by_approval_time", payment.id)
        at = listed.status_changed_at - timedelta(seconds=earlier.seconds) if earlier else listed.status_changed_at
        return Listed(listed, at)

    def _miscounted(self, items: list[Seen], total: int) -> Page:
        """The page, with one payment too few of it, or counted."""
        fault = self._faults.fires("list_short_count", "list") if items else None
        if fault is None:
            return Page(items, total)
        return Page(items[:-1], total) if fault.also() else Page(items, total - 1)

    def _see(self, operation: str, payment: PaymentRecord) -> Seen:
        fires, labels = self._faults.fires, (operation, payment.id)
        said = _UNKNOWN_STATUS if fires("unknown_status", *labels) else None
        if fires("unknown_channel_type", *labels):
            payment = replace(payment, purchase=replace(payment.purchase, channel_type=_UNKNOWN_CHANNEL_TYPE))
        if payment.cancellations:
            payment = replace(
                payment, cancellations=tuple(self.cancelled(payment.id, c) for c in payment.cancellations)
            )
        if self._faults.holds("stamps_in_seconds", payment.id):
            payment = _in_seconds(payment)
        return Seen(payment, said, fires("unknown_payment_fields", *labels) is not None)

    def _reason(self, payment_id: str, reason: str) -> str:
        if self._faults.holds("reason_changed", payment_id):
            return _ANOTHER_REASON
        return reason[:_REASON_SHOWN] if self._faults.holds("reason_cut", payment_id) else reason


def _in_seconds(payment: PaymentRecord) -> PaymentRecord:
    """The same with every date cut to whole seconds."""
    cancellations = tuple(
        replace(c, requested_at=_cut(c.requested_at), cancelled_at=_cut_any(c.cancelled_at))
        for c in payment.cancellations
    )
    return replace(
        payment,
        requested_at=_cut(payment.requested_at),
        updated_at=_cut(payment.updated_at),
        status_changed_at=_cut(payment.status_changed_at),
        paid_at=_cut_any(payment.paid_at),
        failed_at=_cut_any(payment.failed_at),
        cancellations=cancellations,
    )


def _cut(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _cut_any(at: datetime | None) -> datetime | None:
    return at and _cut(at)
