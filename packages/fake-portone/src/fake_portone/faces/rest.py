"""PortOne's REST API V2 over HTTP, as far as a shop that takes single payments needs it.

Paths, fields and errors: PortOne's OpenAPI document 1.16.0. Fields the fake does not know are refused and named, never
ignored: a filter that silently does nothing is worse than none.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fake_portone.api import PortOneApi
from fake_portone.faces.resources import body_of, decode, json_response, query_of, resource
from fake_portone.ledger import Cancel, Status, invalid
from fake_portone.listing import Listing
from fake_portone.shapes import cancellation_json, payment_json, time_json, webhook_json

_SCHEME = "PortOne "
_KEY = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"', re.ASCII)  # RFC 8941, section 3.3.3
_KEY_LEAST, _KEY_MOST = 16, 256
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Amount = Annotated[int, msgspec.Meta(ge=-(10**15), le=10**15)]


class _Body(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    store_id: str | None = None


class _RefundAccount(msgspec.Struct, frozen=True, rename="camel"):
    bank: str
    number: str
    holder_name: str


class _CancelBody(_Body, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    reason: str
    amount: _Amount | None = None
    tax_free_amount: _Amount | None = None
    vat_amount: _Amount | None = None
    requester: Literal["CUSTOMER", "ADMIN"] | None = None
    promotion_discount_retain_option: Literal["RETAIN", "RELEASE"] | None = None
    current_cancellable_amount: _Amount | None = None
    refund_account: _RefundAccount | None = None
    refund_email: str | None = None
    skip_webhook: bool | None = None

    def cancel(self) -> Cancel:
        return Cancel(
            reason=self.reason,
            amount=self.amount,
            expected_left=self.current_cancellable_amount,
            tax_free=self.tax_free_amount or 0,
            vat=self.vat_amount,
            to_account=self.refund_account is not None,
            store_id=self.store_id,
            skip_webhook=self.skip_webhook or False,
        )


class _PreRegisterBody(_Body, frozen=True, rename="camel", forbid_unknown_fields=True):
    total_amount: Annotated[int, msgspec.Meta(ge=0, le=10**15)] | None = None
    tax_free_amount: Annotated[int, msgspec.Meta(ge=0, le=10**15)] | None = None
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")] | None = None


class _ResendBody(_Body, frozen=True, rename="camel", forbid_unknown_fields=True):
    webhook_id: str | None = None


class _PageInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int = 0
    size: int = 10


class _Filter(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    merchant_id: str | None = None
    store_id: str | None = None
    timestamp_type: Literal["CREATED_AT", "STATUS_CHANGED_AT"] | None = None
    since: _Instant | None = msgspec.field(name="from", default=None)
    until: _Instant | None = None
    status: (
        list[Literal["READY", "PENDING", "VIRTUAL_ACCOUNT_ISSUED", "PAID", "FAILED", "PARTIAL_CANCELLED", "CANCELLED"]]
        | None
    ) = None
    is_test: bool | None = None
    version: Literal["V1", "V2"] | None = None
    currency: str | None = None
    sort_by: Literal["REQUESTED_AT", "STATUS_CHANGED_AT"] | None = None
    sort_order: Literal["ASC", "DESC"] | None = None


class _ListBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    page: _PageInput | None = None
    filter: _Filter | None = None

    def listing(self) -> Listing:
        page, wanted = self.page or _PageInput(), self.filter or _Filter()
        if wanted.version == "V1":
            raise invalid("filter.version: the fake keeps V2 payments only")
        return Listing(
            number=page.number,
            size=page.size,
            store_id=wanted.store_id,
            by_creation=wanted.timestamp_type == "CREATED_AT",
            since=wanted.since,
            until=wanted.until,
            statuses=frozenset(map(_status, wanted.status)) if wanted.status is not None else None,
            is_test=wanted.is_test,
            currency=wanted.currency,
            sort_by_request=wanted.sort_by == "REQUESTED_AT",
            newest_first=wanted.sort_order != "ASC",
        )


def rest_routes(api: PortOneApi) -> list[Route]:
    """PortOne's endpoints on ``api``."""

    async def get_payment(request: Request) -> Response:
        seen = await api.get(_secret(request), _payment_id(request), query_of(request, "storeId"))
        return json_response(payment_json(seen.payment, seen.said, strange=seen.strange))

    async def list_payments(request: Request) -> Response:
        asked = query_of(request, "requestBody")
        body = await body_of(request) if asked is None else asked.encode("utf-8", "surrogatepass")
        listing = decode(body or b"{}", _ListBody).listing()
        page = await api.page(_secret(request), listing)
        items = [payment_json(seen.payment, seen.said, strange=seen.strange) for seen in page.items]
        counts = {"number": listing.number, "size": listing.size, "totalCount": page.total}
        return json_response({"items": items, "page": counts})

    async def cancel_payment(request: Request) -> Response:
        cancel = decode(await body_of(request), _CancelBody).cancel()
        cancelled = await api.cancel(_secret(request), _payment_id(request), cancel, _key(request))
        return json_response({"cancellation": cancellation_json(cancelled)})

    async def pre_register_payment(request: Request) -> Response:
        body = decode(await body_of(request), _PreRegisterBody)
        await api.pre_register(
            _secret(request),
            _payment_id(request),
            body.total_amount,
            body.currency,
            _key(request),
            tax_free=body.tax_free_amount,
        )
        return json_response({})

    async def close_virtual_account(request: Request) -> Response:
        store_id = query_of(request, "storeId")
        closed = await api.close_account(_secret(request), _payment_id(request), store_id, _key(request))
        return json_response({"closedAt": time_json(closed)})

    async def resend_webhook(request: Request) -> Response:
        body = decode(await body_of(request), _ResendBody)
        delivery = await api.resend_webhook(
            _secret(request), _payment_id(request), body.store_id, body.webhook_id, _key(request)
        )
        return json_response({"webhook": webhook_json(delivery)})

    return [
        resource("/payments", GET=list_payments),
        resource("/payments/{payment_id}", GET=get_payment),
        resource("/payments/{payment_id}/cancel", POST=cancel_payment),
        resource("/payments/{payment_id}/pre-register", POST=pre_register_payment),
        resource("/payments/{payment_id}/virtual-account/close", POST=close_virtual_account),
        resource("/payments/{payment_id}/resend-webhook", POST=resend_webhook),
    ]


def _secret(request: Request) -> str | None:
    said = request.headers.get("authorization", "")
    return said.removeprefix(_SCHEME) if said.startswith(_SCHEME) else None


def _payment_id(request: Request) -> str:
    return str(request.path_params["payment_id"])


def _key(request: Request) -> str | None:
    said = request.headers.get("idempotency-key")
    if said is None:
        return None
    quoted = _KEY.fullmatch(said)
    if quoted is None:
        raise invalid('Idempotency-Key must be a quoted string of ASCII characters: "…" (RFC 8941)')
    key = re.sub(r"\\(.)", r"\1", quoted[1])
    if not _KEY_LEAST <= len(key) <= _KEY_MOST:
        raise invalid(f"Idempotency-Key must have from {_KEY_LEAST} to {_KEY_MOST} characters, not {len(key)}")
    return key


def _status(said: str) -> Status:
    return Status.PAY_PENDING if said == "PENDING" else Status(said)
