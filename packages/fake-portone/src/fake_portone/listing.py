"""Which payments are listed, in which order, and which page of them: PortOne's filter, as far as the fake knows it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from fake_portone.ledger import Ledger, PaymentRecord, Status, invalid

_PAGED_MOST = 60_000
_DEFAULT_WINDOW = timedelta(days=90)
_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One question for payments."""

    number: int = 0
    size: int = 10
    store_id: str | None = None
    by_creation: bool = False
    since: datetime | None = None
    until: datetime | None = None
    statuses: frozenset[Status] | None = None
    is_test: bool | None = None
    currency: str | None = None
    sort_by_request: bool = False
    newest_first: bool = True

    def check(self) -> None:
        """Raise RefusedError for a page that PortOne does not give."""
        if self.number < 0 or self.size < 1 or (self.number + 1) * self.size > _PAGED_MOST:
            raise invalid(f"page: number from 0, size from 1, and (number + 1) × size at most {_PAGED_MOST}")


@dataclass(frozen=True, slots=True)
class Listed:
    """A payment as the list has it: ``at`` is when its status changed, by the list's clock."""

    payment: PaymentRecord
    at: datetime


class SortedPayments:
    """The payments that match the last filter asked for, in order, until any payment changes.

    Whoever pages through a hundred thousand would else have them sorted anew for each page.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._found: list[PaymentRecord] = []
        self._moments: list[datetime] = []
        self._of: tuple[Listing, int] | None = None

    def page(self, listing: Listing, now: datetime, first: int, last: int) -> tuple[list[PaymentRecord], int]:
        """Those of ``listing`` from the ``first`` on, before the ``last``; and how many there are in all."""
        self._sort(listing, now)
        begin = bisect_left(self._moments, _since(listing, now))
        end = len(self._moments) if listing.until is None else bisect_right(self._moments, listing.until)
        total = max(0, end - begin)
        if listing.newest_first:
            first, last = max(0, total - last), max(0, total - first)
        page = self._found[begin + first : min(begin + last, end)]
        return page[::-1] if listing.newest_first else page, total

    def _sort(self, listing: Listing, now: datetime) -> None:
        payments = self._ledger.payments()
        always = replace(listing, number=0, size=1, since=_EVER, until=None, newest_first=False)
        if self._of != (always, self._ledger.changes):
            self._of = (always, self._ledger.changes)
            self._found = matching([Listed(p, p.status_changed_at) for p in payments], always, now)
            self._moments = [_moment(payment, listing) for payment in self._found]


def matching(payments: list[Listed], listing: Listing, now: datetime) -> list[PaymentRecord]:
    """What matches, in order. Both ends of the window belong to it; PortOne does not say, and more is safer."""

    def order(listed: Listed) -> datetime:
        return listed.payment.requested_at if listing.sort_by_request else listed.at

    since = _since(listing, now)
    wanted = [listed for listed in payments if _is_within(listed, since, listing) and _fits(listed.payment, listing)]
    return [listed.payment for listed in sorted(wanted, key=order, reverse=listing.newest_first)]


def _is_within(listed: Listed, since: datetime, listing: Listing) -> bool:
    at = listed.payment.requested_at if listing.by_creation else listed.at
    return since <= at and (listing.until is None or at <= listing.until)


def _fits(payment: PaymentRecord, listing: Listing) -> bool:
    return (
        listing.store_id in (None, payment.purchase.store_id)
        and (listing.statuses is None or payment.status in listing.statuses)
        and listing.is_test in (None, payment.purchase.channel_type == "TEST")
        and listing.currency in (None, payment.purchase.currency)
    )


def _moment(payment: PaymentRecord, listing: Listing) -> datetime:
    return payment.requested_at if listing.by_creation else payment.status_changed_at


def _since(listing: Listing, now: datetime) -> datetime:
    return listing.since or (listing.until or now) - _DEFAULT_WINDOW
