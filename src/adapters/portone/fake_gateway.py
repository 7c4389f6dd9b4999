"""The fake as a payment gateway in process: the same ledger, faults and records, no HTTP between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar

import msgspec

from adapters.portone import wire
from application.errors import (
    GatewayBusyError,
    GatewayDeniedError,
    GatewayRefusedError,
    GatewayUnavailableError,
    Refusal,
)
from application.ports import CancelPayment, ChangedPage, PaymentGateway
from domain.ids import PaymentId
from domain.money import Money
from domain.payment import Cancellation, Payment
from fake_portone import FakePortOne
from fake_portone.api import SpoiledError
from fake_portone.ledger import Cancel, RefusedError
from fake_portone.listing import Listing
from fake_portone.readings import Seen
from fake_portone.shapes import cancellation_json, payment_json

_T = TypeVar("_T")


class FakePortOneGateway(PaymentGateway):
    """``fake`` is asked with its account's secret or the one given.

    ``patience`` is how many seconds an answer may take before it counts as none.
    """

    def __init__(self, fake: FakePortOne, *, api_secret: str | None = None, patience: float = 60.0) -> None:
        self._api = fake.api
        self._secret = fake.api_secret if api_secret is None else api_secret
        self._patience = patience

    async def get(self, payment_id: PaymentId) -> Payment | None:
        """See PaymentGateway. Without a storeId the fake answers for every store of the account."""
        try:
            return _payment(await self._answer(self._api.get(self._secret, payment_id, None)))
        except GatewayRefusedError as refused:
            if refused.code == "PAYMENT_NOT_FOUND":
                return None
            raise

    async def cancel(self, cancel: CancelPayment) -> Cancellation:
        """See PaymentGateway."""
        asked = Cancel(
            reason=f"[{cancel.refund_id}] {cancel.reason}",
            amount=cancel.amount.minor,
            expected_left=cancel.left.minor,
            tax_free=cancel.tax_free.minor,
            to_account=cancel.account is not None,
            store_id=cancel.store_id,
        )
        done = await self._answer(self._api.cancel(self._secret, cancel.payment_id, asked, cancel.key))
        answer = msgspec.json.encode({"cancellation": cancellation_json(done)})
        return wire.read_cancellation(answer, cancel.amount.currency)

    async def pre_register(self, payment_id: PaymentId, total: Money, tax_free: Money) -> None:
        """See PaymentGateway."""
        registering = self._api.pre_register(
            self._secret, payment_id, total.minor, total.currency, None, tax_free=tax_free.minor or None
        )
        await self._answer(registering)

    async def close_virtual_account(self, payment_id: PaymentId, store_id: str | None) -> None:
        """See PaymentGateway."""
        await self._answer(self._api.close_account(self._secret, payment_id, store_id, None))

    async def changed_page(
        self, store_id: str, since: datetime, until: datetime, *, number: int, size: int
    ) -> ChangedPage:
        """See PaymentGateway."""
        listing = Listing(number=number, size=size, store_id=store_id, since=since, until=until, newest_first=False)
        page = await self._answer(self._api.page(self._secret, listing))
        return ChangedPage(payments=[wire.read_listed(_record(item)) for item in page.items], total=page.total)

    async def _answer(self, asked: Awaitable[_T]) -> _T:
        try:
            async with asyncio.timeout(self._patience):
                return await asked
        except RefusedError as refused:
            raise _translated(refused) from refused
        except SpoiledError as error:
            raise GatewayUnavailableError(f"no usable answer from the fake: {error}") from error
        except TimeoutError as error:
            raise GatewayUnavailableError("the fake did not answer in time") from error


def _translated(refused: RefusedError) -> GatewayDeniedError | GatewayBusyError | GatewayRefusedError:
    if refused.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return GatewayDeniedError("the fake does not accept our credentials")
    if refused.kind == "IDEMPOTENCY_OUTSTANDING_REQUEST":
        return GatewayBusyError("the fake is still working on this very request")
    return GatewayRefusedError(refused.kind, refused.message, kind=wire.REFUSALS.get(refused.kind, Refusal.LATER))


def _payment(seen: Seen) -> Payment:
    """The record as our own client reads it: what stands in it is decided in one place."""
    return wire.read_payment(_record(seen))


def _record(seen: Seen) -> bytes:
    return msgspec.json.encode(payment_json(seen.payment, seen.said, strange=seen.strange))
