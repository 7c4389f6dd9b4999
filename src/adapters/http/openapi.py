"""The interface's description for machines, with what the framework cannot see by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from adapters.http.buyer.stream import EVENT_STREAM
from adapters.http.buyer.wire import EventOut, PlaceOrderBody
from adapters.http.problems import BY_ERROR, BY_STATUS, PROBLEM_JSON, Kind, Problem
from application.errors import (
    ConflictError,
    GatewayBusyError,
    GatewayDeniedError,
    GatewayRefusedError,
    GatewayUnavailableError,
    IdempotencyKeyReusedError,
    OrderNotFoundError,
    OrderNotPlaceableError,
    ProductNotFoundError,
    SoldOutError,
    StoreUnavailableError,
    TooManyStreamsError,
    WebhookRefusedError,
)
from application.handle_webhook_event import WebhookOutcome
from domain.errors import BeyondLimitsError, OrderNotCancellableError
from domain.history import HistoryKind

_REFS = "#/components/schemas/{name}"
_STORE = (StoreUnavailableError, ConflictError)
_ORDER = (OrderNotFoundError, *_STORE)
_PLACING = (
    ProductNotFoundError,
    SoldOutError,
    BeyondLimitsError,
    IdempotencyKeyReusedError,
    OrderNotPlaceableError,
    *_STORE,
)
_CANCELLING = (
    *_ORDER,
    OrderNotCancellableError,
    GatewayUnavailableError,
    GatewayBusyError,
    GatewayDeniedError,
    GatewayRefusedError,
)

_REFUSALS: Mapping[str, tuple[Kind, ...]] = {
    operation: (*(BY_STATUS[status] for status in statuses), *(BY_ERROR[error] for error in errors))
    for operation, statuses, errors in (
        ("get /api/v1/products", (), _STORE),
        ("post /api/v1/orders", (400, 413, 415), _PLACING),
        ("get /api/v1/orders/{order_id}", (), _ORDER),
        ("post /api/v1/orders/{order_id}/verify", (), _ORDER),
        ("post /api/v1/orders/{order_id}/cancel", (), _CANCELLING),
        ("post /api/v1/orders/{order_id}/ticket", (), _ORDER),
        ("get /api/v1/orders/{order_id}/return", (), _ORDER),
        ("get /api/v1/orders/{order_id}/events", (), (*_ORDER, TooManyStreamsError)),
        ("get /health/live", (), ()),
        ("get /health/ready", (), (StoreUnavailableError,)),
        ("webhook", (400, 413), (WebhookRefusedError, *_STORE)),
    )
}
"""What each operation may refuse. A status that is not here is a bug, and hostile requests search for one."""


def openapi_config(webhook_path: str) -> OpenAPIConfig:
    """An OpenAPI 3.1 document at ``/schema`` and ``/schema/openapi.json``."""
    token = SecurityScheme(type="http", scheme="bearer", description="The token that placing the order answered with.")
    return OpenAPIConfig(
        title="gyeolje",
        version=version("gyeolje"),
        use_handler_docstrings=True,
        components=Components(security_schemes={"orderToken": token}),
        path="/schema",
        render_plugins=(_Document(webhook_path),),
    )


class _Document(JsonRenderPlugin):
    """Completes the document: what is read by hand, the raw webhook route, and each problem that may be the answer."""

    def __init__(self, webhook_path: str) -> None:
        super().__init__(path="/openapi.json")
        self._webhook_path = webhook_path

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document as JSON."""
        types = (PlaceOrderBody, Problem, EventOut)
        (place_order, problem, event), schemas = msgspec.json.schema_components(types, ref_template=_REFS)
        paths = {
            path: {
                method: _completed(operation, _REFUSALS[f"{method} {path}"], problem)
                for method, operation in operations.items()
                if method != "head"
            }
            for path, operations in openapi_schema["paths"].items()
        }
        paths[self._webhook_path] = {"post": _completed(_WEBHOOK, _REFUSALS["webhook"], problem)}
        placing = paths["/api/v1/orders"]["post"]
        placing["requestBody"] = {"required": True, "content": {"application/json": {"schema": place_order}}}
        placing["parameters"] = [_IDEMPOTENCY_KEY]
        paths["/api/v1/orders/{order_id}/return"]["get"]["parameters"] = [_ORDER_ID, _RETURN_TICKET]
        following = paths["/api/v1/orders/{order_id}/events"]["get"]
        following["parameters"] = [_ORDER_ID, _TICKET, _LAST_EVENT_ID]
        following["responses"]["200"]["content"] = {EVENT_STREAM: {"schema": _event(event)}}
        components = openapi_schema["components"]
        components = {**components, "schemas": {**components["schemas"], **schemas}}
        return self.render_json(request, {**openapi_schema, "paths": paths, "components": components})


def _completed(operation: Mapping[str, Any], refusals: Iterable[Kind], problem: object) -> dict[str, Any]:
    """``operation`` with an answer for each status of ``refusals``, which tells the slugs that come with it."""
    answers = {status: answer for status, answer in operation["responses"].items() if status < "3"}
    by_status: dict[int, list[Kind]] = {}
    for kind in refusals:
        by_status.setdefault(kind.status, []).append(kind)
    for status, kinds in sorted(by_status.items()):
        answer: dict[str, Any] = {
            "description": "; ".join(f"`{kind.slug}`: {kind.title}" for kind in kinds),
            "content": {PROBLEM_JSON: {"schema": problem}},
        }
        if all(kind.retry_after is not None for kind in kinds):
            answer["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}}
        answers[str(status)] = answer
    completed = {**operation, "responses": answers}
    if "parameters" in operation:
        completed["parameters"] = [
            _ORDER_ID if parameter["name"] == "order_id" else parameter for parameter in operation["parameters"]
        ]
    return completed


def _event(data: object) -> dict[str, Any]:
    """One event of the stream, in the words of JSON Schema for what stands inside a text."""
    return {
        "type": "object",
        "description": "One event. A comment now and then only shows that the stream is alive.",
        "required": ["id", "event", "data"],
        "properties": {
            "id": {"type": "string", "pattern": "^[1-9][0-9]*$"},
            "event": {"enum": ["snapshot", *(kind.value for kind in HistoryKind)]},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": data},
        },
    }


_ORDER_ID = {
    "name": "order_id",
    "in": "path",
    "required": True,
    "description": "Any other text is an order that does not exist.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}
_TICKET = {
    "name": "ticket",
    "in": "query",
    "description": "In place of the token, for clients that cannot send headers.",
    "schema": {"type": "string"},
}
_RETURN_TICKET = {
    "name": "ticket",
    "in": "query",
    "description": "The one in the `redirectUrl`; good until an hour after the order's time.",
    "schema": {"type": "string"},
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that was seen. One that is none of the order's is passed over.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The client's own, hard to guess.",
    "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{16,256}$"},
}
_STATUS = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"enum": [outcome.value for outcome in WebhookOutcome]}},
}
_WEBHOOK = {
    "summary": "PortOne's webhooks",
    "operationId": "PortoneWebhook",
    "description": "Signed by PortOne as in Standard Webhooks; anything else is refused.",
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string", "pattern": pattern}}
        for name, pattern in (
            ("webhook-id", "^[\\x21-\\x7e]{1,256}$"),
            ("webhook-timestamp", "^[0-9]{1,12}$"),
            ("webhook-signature", "^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=){0,15}$"),
        )
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    "responses": {"200": {"description": "Kept", "content": {"application/json": {"schema": _STATUS}}}},
}
