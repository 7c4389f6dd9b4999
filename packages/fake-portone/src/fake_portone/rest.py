"""PortOne's REST API V2 over HTTP, as far as a shop that takes single payments needs it.

Paths, fields and errors: PortOne's OpenAPI document 1.16.0. Fields the fake does not know are refused and named, never
ignored: a filter that silently does nothing is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from litestar import Request, Response, get, post
from litestar.enums import MediaType
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import ExceptionHandlersMap, Receive, Scope, Send

from fake_portone.api import Listing, PortOneApi, Spoiled, SpoiledError
from fake_portone.ledger import Cancel, RefusedError, Status, invalid
from fake_portone.shapes import cancellation_json, payment_json, time_json, webhook_json

_T = TypeVar("_T")
_Asked = Request[Any, Any, Any]
_SCHEME = "PortOne "
_KEY = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"', re.ASCII)  # RFC 8941, section 3.3.3
_KEY_LEAST, _KEY_MOST = 16, 256
_HTML = b"<!doctype html><html><body><h1>We will be back soon</h1></body></html>"
_CUT_SHORT = b'{"status":"PAID","id":"pay'
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


def rest_routes(api: PortOneApi) -> list[HTTPRouteHandler]:
    """PortOne's endpoints on ``api``."""

    @get("/payments/{payment_id:str}")
    async def get_payment(request: _Asked) -> Response[bytes]:
        seen = await api.get(_secret(request), _payment_id(request), request.query_params.get("storeId"))
        return json_response(payment_json(seen.payment, seen.said, strange=seen.strange))

    @get("/payments")
    async def list_payments(request: _Asked) -> Response[bytes]:
        asked = request.query_params.get("requestBody")
        body = await request.body() if asked is None else asked.encode("utf-8", "surrogatepass")
        listing = decode(body or b"{}", _ListBody).listing()
        page = await api.page(_secret(request), listing)
        items = [payment_json(seen.payment, seen.said, strange=seen.strange) for seen in page.items]
        counts = {"number": listing.number, "size": listing.size, "totalCount": page.total}
        return json_response({"items": items, "page": counts})

    @post("/payments/{payment_id:str}/cancel", status_code=HTTPStatus.OK)
    async def cancel_payment(request: _Asked) -> Response[bytes]:
        body = decode(await request.body(), _CancelBody)
        cancel = Cancel(
            reason=body.reason,
            amount=body.amount,
            expected_left=body.current_cancellable_amount,
            tax_free=body.tax_free_amount or 0,
            vat=body.vat_amount,
            store_id=body.store_id,
            skip_webhook=body.skip_webhook or False,
        )
        cancelled = await api.cancel(_secret(request), _payment_id(request), cancel, _key(request))
        return json_response({"cancellation": cancellation_json(cancelled)})

    @post("/payments/{payment_id:str}/pre-register", status_code=HTTPStatus.OK)
    async def pre_register_payment(request: _Asked) -> Response[bytes]:
        body = decode(await request.body(), _PreRegisterBody)
        await api.pre_register(_secret(request), _payment_id(request), body.total_amount, body.currency, _key(request))
        return json_response({})

    @post("/payments/{payment_id:str}/virtual-account/close", status_code=HTTPStatus.OK)
    async def close_virtual_account(request: _Asked) -> Response[bytes]:
        store_id = request.query_params.get("storeId")
        closed = await api.close_account(_secret(request), _payment_id(request), store_id, _key(request))
        return json_response({"closedAt": time_json(closed)})

    @post("/payments/{payment_id:str}/resend-webhook", status_code=HTTPStatus.OK)
    async def resend_webhook(request: _Asked) -> Response[bytes]:
        body = decode(await request.body(), _ResendBody)
        delivery = await api.resend_webhook(
            _secret(request), _payment_id(request), body.store_id, body.webhook_id, _key(request)
        )
        return json_response({"webhook": webhook_json(delivery)})

    return [get_payment, list_payments, cancel_payment, pre_register_payment, close_virtual_account, resend_webhook]


def decode(body: bytes, kind: type[_T]) -> _T:
    """A request's JSON body, strictly. Raises RefusedError that says what is wrong with it."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise invalid(str(error)) from error


def json_response(body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response[bytes]:
    """``body`` as JSON."""
    return Response(msgspec.json.encode(body), status_code=status, media_type=MediaType.JSON)


def _refused(_: _Asked, refusal: RefusedError) -> Response[bytes]:
    return json_response({"type": refusal.kind, "message": refusal.message}, refusal.status)


def _not_served(_: _Asked, error: HTTPException) -> Response[bytes]:
    status = HTTPStatus(error.status_code)
    kind = "INVALID_REQUEST" if status == HTTPStatus.BAD_REQUEST else status.name
    return json_response({"type": kind, "message": error.detail}, status)


def _spoiled(_: _Asked, spoiled: SpoiledError) -> Response[bytes]:
    match spoiled.how:
        case Spoiled.SERVER_ERROR:
            body = {"type": "SERVICE_UNAVAILABLE", "message": "a fault of the fake"}
            return json_response(body, HTTPStatus.SERVICE_UNAVAILABLE)
        case Spoiled.TOO_MANY_REQUESTS:
            body = {"type": "TOO_MANY_REQUESTS", "message": "a fault of the fake"}
            return json_response(body, HTTPStatus.TOO_MANY_REQUESTS)
        case Spoiled.PG_ERROR:
            body = {"type": "PG_PROVIDER", "message": "a fault of the fake", "pgCode": "FAKE", "pgMessage": "later"}
            return json_response(body, HTTPStatus.BAD_GATEWAY)
        case Spoiled.HTML:
            return Response(_HTML, media_type=MediaType.HTML)
        case Spoiled.TRUNCATED:
            return Response(_CUT_SHORT, media_type=MediaType.JSON)
        case Spoiled.LOST:
            return _LostResponse(b"", media_type=MediaType.JSON)


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    RefusedError: _refused,
    SpoiledError: _spoiled,
    HTTPException: _not_served,
}
"""How errors read on the wire: as PortOne's do."""


class _LostResponse(Response[bytes]):
    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return _Lost(body=b"")


class _Lost(ASGIResponse):
    """Promises a body and ends before it: the server can but close the connection, and the caller learns nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        headers = [(b"content-type", b"application/json"), (b"content-length", b"512")]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})


def _secret(request: _Asked) -> str | None:
    said = request.headers.get("authorization", "")
    return said.removeprefix(_SCHEME) if said.startswith(_SCHEME) else None


def _payment_id(request: _Asked) -> str:
    return str(request.path_params["payment_id"])


def _key(request: _Asked) -> str | None:
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
