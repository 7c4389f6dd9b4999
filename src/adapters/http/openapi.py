"""The interface's description for machines, with the two things that the framework cannot see by itself."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from adapters.http.problems import PROBLEM_JSON, Problem
from adapters.http.wire import PlaceOrderBody

_REFS = "#/components/schemas/{name}"


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
    """Completes the document: bodies that are read by hand, the raw webhook route, and problems as the only errors."""

    def __init__(self, webhook_path: str) -> None:
        super().__init__(path="/openapi.json")
        self._webhook_path = webhook_path

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document as JSON."""
        (place_order, problem), schemas = msgspec.json.schema_components((PlaceOrderBody, Problem), ref_template=_REFS)
        paths = {
            path: {method: operation for method, operation in operations.items() if method != "head"}
            for path, operations in openapi_schema["paths"].items()
        }
        paths[self._webhook_path] = {"post": _WEBHOOK}
        failed = {"description": "A problem document (RFC 9457).", "content": {PROBLEM_JSON: {"schema": problem}}}
        for operations in paths.values():
            for method, operation in operations.items():
                answers = {status: answer for status, answer in operation["responses"].items() if status < "3"}
                operations[method] = {**operation, "responses": {**answers, "default": failed}}
        placing = paths["/api/v1/orders"]["post"]
        placing["requestBody"] = {"required": True, "content": {"application/json": {"schema": place_order}}}
        placing["parameters"] = [_IDEMPOTENCY_KEY]
        components = openapi_schema["components"]
        components = {**components, "schemas": {**components["schemas"], **schemas}}
        return self.render_json(request, {**openapi_schema, "paths": paths, "components": components})


_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The client's own, hard to guess.",
    "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{16,256}$"},
}
_STATUS = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
_WEBHOOK = {
    "summary": "PortOne's webhooks",
    "operationId": "PortoneWebhook",
    "description": "Signed by PortOne as in Standard Webhooks; anything else is refused.",
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    "responses": {"200": {"description": "Kept", "content": {"application/json": {"schema": _STATUS}}}},
}
