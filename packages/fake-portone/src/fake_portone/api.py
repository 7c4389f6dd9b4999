"""PortOne's API behind both its faces, HTTP and in process: who may ask, what goes wrong on the way, what is done."""

from __future__ import annotations

import asyncio
import hmac
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from http import HTTPStatus
from typing import Generic, TypeVar

from fake_portone.clock import Background, FakeClock
from fake_portone.faults import Faults
from fake_portone.ledger import (
    SMOOTHLY,
    Cancel,
    Cancelled,
    CancelStatus,
    Course,
    IdempotencyKeys,
    Ledger,
    PaymentRecord,
    RefusedError,
    Status,
    invalid,
)
from fake_portone.webhooks import Delivery, Webhooks

_T = TypeVar("_T")
_PAGED_MOST = 60_000
_DEFAULT_WINDOW = timedelta(days=90)
_EVER = datetime.min.replace(tzinfo=UTC)
_UNKNOWN_STATUS = "ON_HOLD"
_UNKNOWN_CHANNEL_TYPE = "SANDBOX"


class Spoiled(Enum):
    """What the caller gets in place of an answer."""

    SERVER_ERROR = auto()
    TOO_MANY_REQUESTS = auto()
    PG_ERROR = auto()
    HTML = auto()
    TRUNCATED = auto()
    LOST = auto()


_NOT_DONE = {
    "gateway_429": Spoiled.TOO_MANY_REQUESTS,
    "gateway_5xx": Spoiled.SERVER_ERROR,
    "gateway_html": Spoiled.HTML,
    "gateway_reset": Spoiled.LOST,
}


class SpoiledError(Exception):
    """The request has no usable answer. The caller cannot tell from it whether anything was done."""

    def __init__(self, how: Spoiled) -> None:
        super().__init__(how.name)
        self.how = how


@dataclass(frozen=True, slots=True)
class Seen:
    """A payment as it is shown: ``said`` replaces its status, and ``strange`` adds fields, where a fault has it so."""

    payment: PaymentRecord
    said: str | None = None
    strange: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which payments to list, and which page of them: PortOne's filter, as far as the fake knows it."""

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
class Page:
    """One page, and how many payments match in all."""

    items: list[Seen]
    total: int


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[_T]):
    value: _T | None = None
    refusal: RefusedError | None = None


class PortOneApi:
    """Every operation takes the caller's secret, and raises RefusedError or SpoiledError.

    What was begun is finished even if the caller goes away.
    """

    def __init__(
        self,
        *,
        secret: str,
        ledger: Ledger,
        webhooks: Webhooks,
        faults: Faults,
        clock: FakeClock,
        background: Background,
    ) -> None:
        self._secret = secret
        self._ledger = ledger
        self._webhooks = webhooks
        self._faults = faults
        self._clock = clock
        self._background = background
        self._keys = IdempotencyKeys(clock)
        self._sorted = _Sorted(ledger)
        self._requests: Counter[tuple[str, ...]] = Counter()

    def requests(self, operation: str, payment_id: str) -> int:
        """How many requests for this operation on this payment came in, whatever became of them."""
        return self._requests[operation, payment_id]

    async def get(self, secret: str | None, payment_id: str, store_id: str | None) -> Seen:
        """One payment."""
        return await self._read(secret, ("get", payment_id), lambda: self._find(payment_id, store_id))

    async def page(self, secret: str | None, listing: Listing) -> Page:
        """One page of payments."""
        listing.check()
        return await self._read(secret, ("list",), lambda: self._list(listing))

    async def cancel(self, secret: str | None, payment_id: str, cancel: Cancel, key: str | None) -> Cancelled:
        """Give money back; 200 with FAILED or REQUESTED are answers too."""
        if cancel.amount is not None and cancel.amount <= 0:
            raise invalid("amount must be more than 0")
        if cancel.tax_free < 0 or (cancel.vat or 0) < 0:
            raise invalid("taxFreeAmount and vatAmount must not be negative")

        def carry_out() -> Cancelled:
            return self._ledger.cancel(payment_id, cancel, self._course(payment_id))

        return await self._change(secret, ("cancel", payment_id), carry_out, key)

    async def pre_register(
        self, secret: str | None, payment_id: str, total: int | None, currency: str | None, key: str | None
    ) -> None:
        """Note which sum a payment must have."""
        await self._change(
            secret,
            ("pre_register", payment_id),
            lambda: self._ledger.pre_register(payment_id, total, currency),
            key,
        )

    async def close_account(
        self, secret: str | None, payment_id: str, store_id: str | None, key: str | None
    ) -> datetime:
        """Close a virtual account; when that was."""
        return await self._change(
            secret,
            ("close_virtual_account", payment_id),
            lambda: self._ledger.close_account(payment_id, store_id),
            key,
        )

    async def resend_webhook(
        self, secret: str | None, payment_id: str, store_id: str | None, webhook_id: str | None, key: str | None
    ) -> Delivery:
        """Send a webhook again."""

        def resend() -> Delivery:
            self._ledger.find(payment_id, store_id)
            return self._webhooks.resend(payment_id, webhook_id)

        return await self._change(secret, ("resend_webhook", payment_id), resend, key)

    async def tell_first(self, payment_id: str) -> None:
        """Where the fault says so, wait until the webhooks of this payment were delivered."""
        if self._faults.fires("webhook_before_answer", payment_id):
            await self._webhooks.tried(payment_id)

    def _find(self, payment_id: str, store_id: str | None) -> Seen:
        payment = self._as_read("get", self._ledger.find(payment_id, store_id))
        if payment is None:
            raise RefusedError("PAYMENT_NOT_FOUND", "there is no such payment", HTTPStatus.NOT_FOUND)
        return self._see("get", payment)

    def _list(self, listing: Listing) -> Page:
        first, last = listing.number * listing.size, (listing.number + 1) * listing.size
        if not self._faults.on() and listing.by_creation is listing.sort_by_request:
            items, total = self._sorted.page(listing, self._clock.wall(), first, last)
            return Page([Seen(payment) for payment in items], total)
        read = [p for p in (self._as_read("list", payment) for payment in self._ledger.payments()) if p is not None]
        found = _matching(read, listing, self._clock.wall())
        return Page([self._see("list", payment) for payment in found[first:last]], len(found))

    def _as_read(self, operation: str, payment: PaymentRecord) -> PaymentRecord | None:
        lag = self._faults.fires("gateway_lag", operation, payment.id)
        return self._ledger.as_it_was(payment, lag.seconds) if lag else payment

    def _see(self, operation: str, payment: PaymentRecord) -> Seen:
        fires, labels = self._faults.fires, (operation, payment.id)
        said = _UNKNOWN_STATUS if fires("unknown_status", *labels) else None
        if fires("unknown_channel_type", *labels):
            payment = replace(payment, purchase=replace(payment.purchase, channel_type=_UNKNOWN_CHANNEL_TYPE))
        return Seen(payment, said, fires("unknown_payment_fields", *labels) is not None)

    def _course(self, payment_id: str) -> Course:
        fires = self._faults.fires
        if fires("cancel_refused", payment_id):
            raise RefusedError("MAX_CANCEL_COUNT_REACHED", "it was cancelled too often")
        if fires("cancel_failed", payment_id):
            return Course(CancelStatus.FAILED)
        if fault := fires("cancel_requested", payment_id):
            return Course(CancelStatus.REQUESTED, CancelStatus.SUCCEEDED, fault.seconds)
        if fault := fires("cancel_requested_then_failed", payment_id):
            return Course(CancelStatus.REQUESTED, CancelStatus.FAILED, fault.seconds)
        return SMOOTHLY

    async def _read(self, secret: str | None, labels: tuple[str, ...], read: Callable[[], _T]) -> _T:
        self._requests[labels] += 1
        self._authorize(secret)
        await self._spoil_before(labels)
        seen = read()
        self._spoil_after(labels)
        return seen

    async def _change(
        self, secret: str | None, labels: tuple[str, ...], carry_out: Callable[[], _T], key: str | None
    ) -> _T:
        self._requests[labels] += 1
        self._authorize(secret)
        work = self._change_once(labels, carry_out, key)
        return await asyncio.shield(self._background.spawn(work))

    async def _change_once(self, labels: tuple[str, ...], carry_out: Callable[[], _T], key: str | None) -> _T:
        before = self._keys.begin(key) if key is not None else None
        try:
            await self._spoil_before(labels)
            self._spoil_cancel(labels, key)
        except BaseException:
            if key is not None and before is None:
                self._keys.abandon(key)
            raise
        outcome: _Outcome[_T] = before if isinstance(before, _Outcome) else _try(carry_out)
        if key is not None:
            self._keys.finish(key, outcome)
        if outcome.refusal is not None:
            raise outcome.refusal
        await self.tell_first(labels[-1])
        self._spoil_after(labels)
        return outcome.value  # type: ignore[return-value]  # no refusal, so it is the value, which may be None

    def _authorize(self, secret: str | None) -> None:
        if secret is None or not hmac.compare_digest(secret.encode(), self._secret.encode()):
            raise RefusedError("UNAUTHORIZED", "the API secret is not right", HTTPStatus.UNAUTHORIZED)

    async def _spoil_before(self, labels: tuple[str, ...]) -> None:
        if fault := self._faults.fires("gateway_slow", *labels):
            await asyncio.sleep(fault.seconds)
        if self._faults.fires("gateway_401", *labels):
            raise RefusedError("UNAUTHORIZED", "the API secret is not right", HTTPStatus.UNAUTHORIZED)
        for name, how in _NOT_DONE.items():
            if self._faults.fires(name, *labels):
                raise SpoiledError(how)

    def _spoil_cancel(self, labels: tuple[str, ...], key: str | None) -> None:
        if labels[0] != "cancel":
            return
        if key is not None and self._faults.fires("cancel_outstanding", *labels):
            raise RefusedError("IDEMPOTENCY_OUTSTANDING_REQUEST", "a request with this key is still under way")
        if self._faults.fires("cancel_502", *labels):
            raise SpoiledError(Spoiled.PG_ERROR)

    def _spoil_after(self, labels: tuple[str, ...]) -> None:
        if self._faults.fires("gateway_truncated", *labels):
            raise SpoiledError(Spoiled.TRUNCATED)
        if labels[0] == "cancel" and self._faults.fires("cancel_answer_lost", *labels):
            raise SpoiledError(Spoiled.LOST)
        if labels[0] == "cancel" and self._faults.fires("cancel_done_502", *labels):
            raise SpoiledError(Spoiled.PG_ERROR)


def _try(carry_out: Callable[[], _T]) -> _Outcome[_T]:
    try:
        return _Outcome(carry_out())
    except RefusedError as refusal:
        return _Outcome(refusal=refusal)


class _Sorted:
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
        payments = self._ledger.payments()
        always = replace(listing, number=0, size=1, since=_EVER, until=None, newest_first=False)
        if self._of != (always, self._ledger.changes):
            self._of = (always, self._ledger.changes)
            self._found = _matching(payments, always, now)
            self._moments = [_moment(payment, listing) for payment in self._found]
        begin = bisect_left(self._moments, _since(listing, now))
        end = len(self._moments) if listing.until is None else bisect_right(self._moments, listing.until)
        total = max(0, end - begin)
        if listing.newest_first:
            first, last = max(0, total - last), max(0, total - first)
        page = self._found[begin + first : min(begin + last, end)]
        return page[::-1] if listing.newest_first else page, total


def _matching(payments: list[PaymentRecord], listing: Listing, now: datetime) -> list[PaymentRecord]:
    """What matches, in order. Both ends of the window belong to it; PortOne does not say, and more is safer."""

    def order(payment: PaymentRecord) -> datetime:
        return payment.requested_at if listing.sort_by_request else payment.status_changed_at

    since = _since(listing, now)
    wanted = [
        payment
        for payment in payments
        if since <= _moment(payment, listing)
        and (listing.until is None or _moment(payment, listing) <= listing.until)
        and listing.store_id in (None, payment.purchase.store_id)
        and (listing.statuses is None or payment.status in listing.statuses)
        and listing.is_test in (None, payment.purchase.channel_type == "TEST")
        and listing.currency in (None, payment.purchase.currency)
    ]
    return sorted(wanted, key=order, reverse=listing.newest_first)


def _moment(payment: PaymentRecord, listing: Listing) -> datetime:
    return payment.requested_at if listing.by_creation else payment.status_changed_at


def _since(listing: Listing, now: datetime) -> datetime:
    return listing.since or (listing.until or now) - _DEFAULT_WINDOW
