"""PortOne's REST API V2 as our payment gateway.

Paths, fields, errors and the idempotency rule: PortOne's OpenAPI document, and developers.portone.io, api/rest-v2.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from adapters.portone import wire
from adapters.portone.transport import ANSWER_MOST
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

_ANSWER_MOST = 2**20
_PAGE_MOST = 16 * 2**20  # a hundred records, each with the log of its webhooks
_REASON_MOST = 200
_DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for PortOne, in seconds.

    ``ask`` bounds one try of a request that changes nothing, ``asking`` all of them until its answer is there,
    ``change`` the only try of one that does: PortOne advises 60 s there. Before each further try we pause for up to
    the next of ``pauses``.
    """

    connect: float = 5
    ask: float = 10
    asking: float = 12
    change: float = 60
    pauses: tuple[float, ...] = (0.2, 0.8)


@dataclass(frozen=True, slots=True)
class _Answer:
    """``body`` is empty unless it was JSON: what a proxy or an error page has to say proves nothing."""

    status: int
    body: bytes

    @property
    def succeeded(self) -> bool:
        return self.status == HTTPStatus.OK and bool(self.body)


class PortOneGateway(PaymentGateway):
    """The real gateway. ``client`` comes from ``gateway_client`` and stays the caller's to close.

    ``api_secret`` is sent with each request and kept nowhere else. Only reads are tried again; a change whose
    outcome is not known is told as such, and it is for the caller to check before anything else is done.
    """

    def __init__(
        self, client: httpx.AsyncClient, *, api_secret: str, store_id: str, patience: Patience | None = None
    ) -> None:
        self._client = client
        self._store_id = store_id
        self._in_our_store = _in_store(store_id)
        self._patience = patience or Patience()
        self._base_url = str(client.base_url).rstrip("/")
        self._ask_limits = _limits(self._patience.connect, self._patience.ask)
        self._change_limits = _limits(self._patience.connect, self._patience.change)
        self._headers = httpx.Headers(  # its repr hides the secret
            {
                "Authorization": f"PortOne {api_secret}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "gyeolje",
            }
        )

    async def get(self, payment_id: PaymentId) -> Payment | None:
        """See PaymentGateway. A payment not found in our store is sought once more wherever the secret reaches."""
        path = _payment_path(payment_id)
        until = self._deadline()
        answer = await self._ask(path + self._in_our_store, until)
        if _says_not_found(answer):
            answer = await self._ask(path, until)
            if _says_not_found(answer):
                return None
        payment = wire.read_payment(answer.body)
        if payment.id != payment_id:
            raise GatewayUnavailableError("the gateway answered with another payment than the one asked for")
        return payment

    async def cancel(self, cancel: CancelPayment) -> Cancellation:
        """See PaymentGateway. Sent once: a second try is for whoever has checked the payment again."""
        body: dict[str, object] = {
            "reason": f"[{cancel.refund_id}] {cancel.reason}"[:_REASON_MOST],
            "requester": "CUSTOMER" if cancel.by_customer else "ADMIN",
            "currentCancellableAmount": cancel.left.minor,
        }
        if cancel.store_id is not None:
            body["storeId"] = cancel.store_id
        if cancel.amount != cancel.left:
            body["amount"] = cancel.amount.minor
        if cancel.tax_free:
            body["taxFreeAmount"] = cancel.tax_free.minor
        if cancel.account is not None:
            body["refundAccount"] = {
                "bank": cancel.account.bank,
                "number": cancel.account.number,
                "holderName": cancel.account.holder,
            }
        done = await self._change(
            f"{_payment_path(cancel.payment_id)}/cancel", body, {"Idempotency-Key": f'"{cancel.key}"'}
        )
        return wire.read_cancellation(done, cancel.amount.currency)

    async def pre_register(self, payment_id: PaymentId, total: Money, tax_free: Money) -> None:
        """See PaymentGateway."""
        body = {"storeId": self._store_id, "totalAmount": total.minor, "currency": total.currency}
        if tax_free:
            body["taxFreeAmount"] = tax_free.minor
        await self._change(f"{_payment_path(payment_id)}/pre-register", body)

    async def close_virtual_account(self, payment_id: PaymentId, store_id: str | None) -> None:
        """See PaymentGateway."""
        await self._change(f"{_payment_path(payment_id)}/virtual-account/close{_in_store(store_id)}")

    async def changed_page(
        self, store_id: str, since: datetime, until: datetime, *, number: int, size: int
    ) -> ChangedPage:
        """See PaymentGateway. What PortOne calls the change of a payment's status, it filters by."""
        asked = {
            "page": {"number": number, "size": size},
            "filter": {
                "storeId": store_id,
                "timestampType": "STATUS_CHANGED_AT",
                "from": _rfc3339(since),
                "until": _rfc3339(until),
                "sortBy": "STATUS_CHANGED_AT",
                "sortOrder": "ASC",
            },
        }
        url = f"/payments?requestBody={quote(msgspec.json.encode(asked), safe='')}"
        answer = await self._ask(url, self._deadline(), most=_PAGE_MOST)
        return wire.read_changed_page(answer.body)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._patience.asking

    async def _ask(self, url: str, until: float, *, most: int = _ANSWER_MOST) -> _Answer:
        """Ask for what asking does not change, again if need be: 200 with JSON, or PAYMENT_NOT_FOUND."""
        try:
            async with asyncio.timeout_at(until):
                for pause in self._patience.pauses:
                    try:
                        return await self._ask_once(url, most)
                    except GatewayUnavailableError:
                        await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads load, hides nothing
                return await self._ask_once(url, most)
        except TimeoutError as error:
            raise GatewayUnavailableError("the gateway did not answer in time") from error

    async def _ask_once(self, url: str, most: int) -> _Answer:
        answer = await self._send("GET", url, self._headers, extensions={**self._ask_limits, ANSWER_MOST: most})
        if answer.succeeded or _says_not_found(answer):
            return answer
        raise _unusable(answer)

    async def _change(
        self, url: str, body: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Ask for a change, once: the answer's body if it was made."""
        sent = httpx.Headers(self._headers)
        sent.update(headers)
        if body is not None:
            sent["Content-Type"] = "application/json"
        content = b"" if body is None else msgspec.json.encode(body)
        try:
            async with asyncio.timeout(self._patience.change):
                answer = await self._send("POST", url, sent, content=content, extensions=self._change_limits)
        except TimeoutError as error:
            raise GatewayUnavailableError("the gateway did not answer in time") from error
        if answer.succeeded:
            return answer.body
        code = wire.refusal_code(answer.body)
        if code == "IDEMPOTENCY_OUTSTANDING_REQUEST":
            raise GatewayBusyError("the gateway is still working on this very request")
        if code is None or not _is_definite(answer.status):
            raise _unusable(answer)
        raise GatewayRefusedError(code[:64], kind=wire.REFUSALS.get(code, Refusal.LATER))

    async def _send(
        self, method: str, url: str, headers: httpx.Headers, *, extensions: dict[str, Any], content: bytes | None = None
    ) -> _Answer:
        request = httpx.Request(method, self._base_url + url, headers=headers, content=content, extensions=extensions)
        try:
            response = await self._client.send(request)
        except httpx.HTTPError as error:
            raise GatewayUnavailableError(f"no answer from the gateway: {type(error).__name__}") from error
        if response.status_code in _DENIED:
            raise GatewayDeniedError(f"the gateway does not accept our credentials: {response.status_code}")
        return _Answer(response.status_code, response.content if _is_json(response) else b"")


def _is_json(response: httpx.Response) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == "application/json"


def _is_definite(status: int) -> bool:
    return status // 100 == 4 and status not in _LATER  # noqa: PLR2004 - 4xx


def _says_not_found(answer: _Answer) -> bool:
    return answer.status == HTTPStatus.NOT_FOUND and wire.refusal_code(answer.body) == "PAYMENT_NOT_FOUND"


def _unusable(answer: _Answer) -> GatewayUnavailableError:
    code = wire.refusal_code(answer.body)
    return GatewayUnavailableError(
        f"no usable answer from the gateway: {answer.status}" + (f" {code[:64]}" if code else "")
    )


def _limits(connect: float, read: float) -> dict[str, Any]:
    return {"timeout": httpx.Timeout(read, connect=connect).as_dict()}


def _payment_path(payment_id: PaymentId) -> str:
    return f"/payments/{quote(payment_id, safe='')}"


def _in_store(store_id: str | None) -> str:
    return "" if store_id is None else f"?storeId={quote(store_id, safe='')}"


def _rfc3339(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
