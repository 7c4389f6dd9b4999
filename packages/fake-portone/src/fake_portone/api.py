"""PortOne's API behind both its faces, HTTP and in process: who may ask, what goes wrong on the way, what is done."""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from http import HTTPStatus
from typing import Generic, TypeVar

from fake_portone.clock import Background, FakeClock
from fake_portone.courses import Courses, quote
from fake_portone.faults import Faults
from fake_portone.ledger import Cancel, Cancelled, IdempotencyKeys, Ledger, RefusedError, invalid
from fake_portone.listing import Listing
from fake_portone.readings import Page, Readings, Seen
from fake_portone.webhooks import Delivery, Webhooks

_T = TypeVar("_T")


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
        self._readings = Readings(ledger, faults, clock)
        self._courses = Courses(faults)
        self._requests: Counter[tuple[str, ...]] = Counter()

    def requests(self, operation: str, payment_id: str) -> int:
        """How many requests for this operation on this payment came in, whatever became of them."""
        return self._requests[operation, payment_id]

    async def get(self, secret: str | None, payment_id: str, store_id: str | None) -> Seen:
        """One payment."""
        return await self._read(secret, ("get", payment_id), lambda: self._readings.find(payment_id, store_id))

    async def page(self, secret: str | None, listing: Listing) -> Page:
        """One page of payments."""
        listing.check()
        return await self._read(secret, ("list",), lambda: self._readings.page(listing))

    async def cancel(self, secret: str | None, payment_id: str, cancel: Cancel, key: str | None) -> Cancelled:
        """Give money back; 200 with FAILED or REQUESTED are answers too."""
        if cancel.amount is not None and cancel.amount <= 0:
            raise invalid("amount must be more than 0")
        if (cancel.tax_free or 0) < 0 or (cancel.vat or 0) < 0:
            raise invalid("taxFreeAmount and vatAmount must not be negative")

        def carry_out() -> Cancelled:
            if self._faults.fires("console_cancel_quotes_refund", payment_id):
                quote(self._ledger, payment_id, cancel)
            return self._ledger.cancel(payment_id, cancel, self._courses.asked_by_the_shop(payment_id, cancel))

        done = await self._change(secret, ("cancel", payment_id), carry_out, key)
        return self._readings.cancelled(payment_id, done)

    async def pre_register(
        self,
        secret: str | None,
        payment_id: str,
        total: int | None,
        currency: str | None,
        key: str | None,
        *,
        tax_free: int | None = None,
    ) -> None:
        """Note which sum a payment must have."""
        await self._change(
            secret,
            ("pre_register", payment_id),
            lambda: self._ledger.pre_register(payment_id, total, currency, tax_free or 0),
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
        if self._faults.fires("cancel_502", *labels) or self._faults.holds("cancel_deposit_lacking", labels[1]):
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
