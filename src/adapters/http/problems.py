"""What went wrong, as the client is told: RFC 9457 problem documents, and the one table from errors to them.

``type`` is ``/problems/<slug>``. Slugs and statuses are part of the interface and stay; titles and details may change.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from application.errors import (
    ApiKeyNotFoundError,
    ConflictError,
    GatewayBusyError,
    GatewayDeniedError,
    GatewayError,
    GatewayRefusedError,
    GatewayUnavailableError,
    IdempotencyKeyReusedError,
    ListIncompleteError,
    OrderNotFoundError,
    OrderNotPlaceableError,
    ProductNotFoundError,
    RefundNotFoundError,
    ScopeMissingError,
    SoldOutError,
    StoreUnavailableError,
    TooManyStreamsError,
    UnauthenticatedError,
    UnreadableRecordError,
    WebhookRefusedError,
)
from domain.errors import (
    BelowHeldError,
    BeyondLimitsError,
    GyeoljeError,
    InvalidApiKeyError,
    InvalidIdError,
    InvalidMoneyError,
    InvalidProductError,
    MalformedApiKeyError,
    NothingToAnswerError,
    OrderNotCancellableError,
    RefundNotPossibleError,
)

PROBLEM_JSON = "application/problem+json"

_log = structlog.get_logger("gyeolje.http")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem. ``detail`` None: the error's own sentence is told, which its class promises to be safe.

    ``retry_after`` is how many seconds to wait before the same request may succeed.
    """

    status: int
    slug: str
    title: str
    detail: str | None = None
    retry_after: int | None = None


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field, named as in ``items[0].quantity``, or with one header."""

    field: str
    reason: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem document."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()


class BadRequestError(HTTPException):
    """A request that does not keep to the interface, and where."""

    status_code = 400

    def __init__(self, detail: str, *errors: FieldError) -> None:
        super().__init__(detail)
        self.errors = errors


MALFORMED = Kind(400, "malformed-request", "Malformed request", "The request could not be understood.")
NOT_FOUND = Kind(404, "not-found", "Not found", "There is nothing at this address.")
INTERNAL = Kind(500, "internal-error", "Internal error", "Something went wrong here. It was recorded.")

BY_STATUS = {
    kind.status: kind
    for kind in (
        MALFORMED,
        NOT_FOUND,
        Kind(405, "method-not-allowed", "Method not allowed", "This address does not take this method."),
        Kind(413, "content-too-large", "Content too large", "The body is larger than this address takes."),
        Kind(415, "unsupported-media-type", "Unsupported media type", "Send the body as application/json."),
        INTERNAL,
    )
}
"""What the framework itself refuses."""

_GATEWAY_AWAY = "The payment gateway gives no usable answer right now. Nothing is lost; try again in a moment."
_GATEWAY = Kind(503, "gateway-unavailable", "Payment gateway unavailable", _GATEWAY_AWAY, retry_after=5)
_NO_ORDER = "There is no such order, or this request may not know of it."
_KEY_WANTED = "This address takes an API key that is good: `Authorization: Bearer gyj_…`."
_UNAUTHENTICATED = Kind(401, "unauthenticated", "Unauthenticated", _KEY_WANTED)
_STORE_AWAY = "The service cannot promise to keep anything right now. Try again in a moment."

BY_ERROR: Mapping[type[GyeoljeError], Kind] = {
    GyeoljeError: INTERNAL,
    # domain
    InvalidMoneyError: Kind(422, "invalid-amount", "Amount not possible"),
    InvalidProductError: Kind(422, "invalid-product", "Product not possible"),
    BelowHeldError: Kind(409, "stock-below-held", "Stock below what is held"),
    BeyondLimitsError: Kind(409, "beyond-limits", "Beyond the limits of an order"),
    InvalidIdError: Kind(400, "invalid-id", "Malformed id"),
    InvalidApiKeyError: Kind(422, "invalid-api-key", "API key not possible"),
    MalformedApiKeyError: _UNAUTHENTICATED,
    OrderNotCancellableError: Kind(409, "order-not-cancellable", "Order cannot be cancelled"),
    RefundNotPossibleError: Kind(409, "refund-not-possible", "Refund not possible"),
    NothingToAnswerError: Kind(409, "nothing-to-answer", "Nothing to answer"),
    # application
    OrderNotFoundError: Kind(404, "order-not-found", "Order not found", _NO_ORDER),
    RefundNotFoundError: Kind(404, "refund-not-found", "Refund not found"),
    ProductNotFoundError: Kind(404, "product-not-found", "Product not found"),
    ApiKeyNotFoundError: Kind(404, "api-key-not-found", "API key not found"),
    UnauthenticatedError: _UNAUTHENTICATED,
    ScopeMissingError: Kind(403, "scope-missing", "Scope missing"),
    SoldOutError: Kind(409, "sold-out", "Sold out"),
    OrderNotPlaceableError: Kind(422, "order-not-placeable", "Order cannot be placed"),
    IdempotencyKeyReusedError: Kind(409, "idempotency-key-reused", "Idempotency-Key reused"),
    TooManyStreamsError: Kind(429, "too-many-streams", "Too many streams", retry_after=30),
    WebhookRefusedError: Kind(400, "webhook-refused", "Webhook refused", "The message could not be verified."),
    StoreUnavailableError: Kind(503, "store-unavailable", "Store unavailable", _STORE_AWAY, retry_after=5),
    ConflictError: Kind(503, "store-busy", "Store busy", _STORE_AWAY, retry_after=1),
    # the gateway; its own words are not for our clients
    GatewayError: _GATEWAY,
    GatewayUnavailableError: _GATEWAY,
    ListIncompleteError: _GATEWAY,
    UnreadableRecordError: _GATEWAY,
    GatewayBusyError: replace(_GATEWAY, slug="gateway-busy", title="Payment gateway busy"),
    GatewayDeniedError: replace(_GATEWAY, slug="gateway-denied", title="Payment gateway refuses us", retry_after=60),
    GatewayRefusedError: Kind(409, "gateway-refused", "Payment gateway refused", "The payment gateway did not do it."),
}
"""Every error that this product raises on purpose. A test fails while one is missing."""


def kind_of(error: GyeoljeError) -> Kind:
    """The kind of problem that ``error`` is; that of its nearest known ancestor if it is new here."""
    return next(BY_ERROR[ancestor] for ancestor in type(error).__mro__ if ancestor in BY_ERROR)


def document(kind: Kind, detail: str, errors: tuple[FieldError, ...] = ()) -> bytes:
    """The problem document as it is sent."""
    problem = Problem(f"/problems/{kind.slug}", kind.title, kind.status, detail, errors)
    return msgspec.json.encode(problem)


def refused(_: Request[Any, Any, Any], error: GyeoljeError) -> Response[bytes]:
    """The answer to what we refuse or cannot do."""
    kind = kind_of(error)
    if kind.status >= INTERNAL.status:
        structlog.contextvars.bind_contextvars(why=f"{type(error).__name__}: {error}")
    return _answer(kind, document(kind, kind.detail or str(error)))


def misused(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """The answer to what does not keep to HTTP, or to our interface."""
    kind = BY_STATUS.get(error.status_code) or (MALFORMED if error.status_code < INTERNAL.status else INTERNAL)
    errors = error.errors if isinstance(error, BadRequestError) else ()
    detail = error.detail if isinstance(error, BadRequestError) else kind.detail
    return _answer(kind, document(kind, detail or kind.title, errors), error.headers)


def unforeseen(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The answer to what nobody foresaw, of which the client learns nothing and the log where it happened."""
    log_unforeseen(error)
    return _answer(INTERNAL, document(INTERNAL, INTERNAL.detail or ""))


def log_unforeseen(error: Exception) -> None:
    """Record where ``error`` came from: types and places only, as messages and locals may quote what a client sent."""
    chain: list[BaseException] = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and before not in chain:
        chain.append(before)
    _log.error(
        "unforeseen error",
        error=[type(link).__qualname__ for link in chain],
        trace=[
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for link in reversed(chain)
            for frame in traceback.extract_tb(link.__traceback__)
        ],
    )


def _answer(kind: Kind, body: bytes, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    structlog.contextvars.bind_contextvars(problem=kind.slug)
    retry = {} if kind.retry_after is None else {"Retry-After": str(kind.retry_after)}
    challenge = {"WWW-Authenticate": "Bearer"} if kind.status == _UNAUTHENTICATED.status else {}
    told = {**(headers or {}), **retry, **challenge}
    return Response(body, status_code=kind.status, media_type=PROBLEM_JSON, headers=told)
