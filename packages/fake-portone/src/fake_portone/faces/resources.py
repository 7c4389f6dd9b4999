"""What every face shares: how a path is served, how a request is read, how an answer is written."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fake_portone.ledger import invalid

BODY_MOST = 2**20
"""How many bytes the body of a request may have."""

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

_T = TypeVar("_T")
_SLASHES = re.compile("/{2,}")


def resource(path: str, **methods: Handler) -> Route:
    """What ``path`` answers: each method by its handler, OPTIONS by naming them, and any other with 405."""
    return Route(path, _Resource(methods))


class _Resource:
    def __init__(self, methods: Mapping[str, Handler]) -> None:
        self._methods = {"OPTIONS": self._options, **methods}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._methods.get(scope["method"])
        if handler is None:
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _options(self, _: Request) -> Response:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Allow": ", ".join(sorted(self._methods))})


class OneSpelling:
    """Serves ``/a//b/`` as ``/a/b``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under its path's shortest spelling."""
        if scope["type"] == "http":
            path = _SLASHES.sub("/", scope["path"])
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await self._app(scope, receive, send)


async def body_of(request: Request) -> bytes:
    """The whole body, if it is not too large."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > BODY_MOST:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_MOST:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except ClientDisconnect as error:
        raise invalid("the body did not arrive as a whole") from error
    return bytes(body)


def query_of(request: Request, name: str) -> str | None:
    """What the address says of ``name``, where it says it first."""
    return next(iter(request.query_params.getlist(name)), None)


def decode(body: bytes, kind: type[_T]) -> _T:
    """A JSON body, read strictly. Raises RefusedError that says what is wrong with it."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise invalid(str(error)) from error


def json_response(
    body: Mapping[str, Any], status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """``body`` as JSON."""
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")
