"""How errors read on the wire: as PortOne's do, and where a fault has it so, as no error should."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler, Receive, Scope, Send

from fake_portone.api import Spoiled, SpoiledError
from fake_portone.faces.resources import json_response
from fake_portone.ledger import RefusedError

_HTML = b"<!doctype html><html><body><h1>We will be back soon</h1></body></html>"
_CUT_SHORT = b'{"status":"PAID","id":"pay'
_NAMES = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("REQUEST_ENTITY_TOO_LARGE", "Request Entity Too Large")}
"""Where Python has renamed a status since."""


class LostResponse(Response):
    """Promises a body and ends before it: the server can but close the connection, and the caller learns nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the head, and no more."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"512")]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101 - narrowing: the table below says so
    return json_response({"type": error.kind, "message": error.message}, error.status)


async def _not_served(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - narrowing: the table below says so
    status = HTTPStatus(error.status_code)
    name, phrase = _NAMES.get(status, (status.name, status.phrase))
    return json_response({"type": name, "message": phrase}, status)


async def _spoiled(_: Request, error: Exception) -> Response:
    assert isinstance(error, SpoiledError)  # noqa: S101 - narrowing: the table below says so
    match error.how:
        case Spoiled.SERVER_ERROR:
            return _fault(HTTPStatus.SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE")
        case Spoiled.TOO_MANY_REQUESTS:
            return _fault(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS")
        case Spoiled.PG_ERROR:
            return _fault(HTTPStatus.BAD_GATEWAY, "PG_PROVIDER", pgCode="FAKE", pgMessage="later")
        case Spoiled.HTML:
            return Response(_HTML, media_type="text/html")
        case Spoiled.TRUNCATED:
            return Response(_CUT_SHORT, media_type="application/json")
        case Spoiled.LOST:
            return LostResponse()


async def _broken(_: Request, error: Exception) -> Response:  # noqa: ARG001 - the server's log tells of it
    return json_response({"status_code": 500, "detail": "Internal Server Error"}, HTTPStatus.INTERNAL_SERVER_ERROR)


def _fault(status: HTTPStatus, kind: str, **more: str) -> Response:
    return json_response({"type": kind, "message": "a fault of the fake", **more}, status)


EXCEPTION_HANDLERS: dict[type[Exception], ExceptionHandler] = {
    RefusedError: _refused,
    SpoiledError: _spoiled,
    HTTPException: _not_served,
    Exception: _broken,
}
"""Every error has an answer."""
