"""The payment window in a browser: the stand-in for ``browser-sdk.js``, and the window it opens."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fake_portone.api import PortOneApi
from fake_portone.clock import FakeClock
from fake_portone.faces.files import file_response, page_response
from fake_portone.faces.resources import body_of, decode, json_response, resource
from fake_portone.ledger import RefusedError
from fake_portone.windows import Choice, WindowRequest, Windows, WindowSession

_SHARED = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Max-Age": "600",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def window_routes(windows: Windows, api: PortOneApi, clock: FakeClock) -> list[Route]:
    """The script that any page may load, and what it asks for."""

    async def sdk(_: Request) -> Response:
        return file_response("browser-sdk.js", _SHARED)

    async def preflight(_: Request) -> Response:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=_SHARED)

    async def open_window(request: Request) -> Response:
        body = await body_of(request)
        try:
            session = windows.open(decode(body, WindowRequest), request.headers.get("origin"))
        except RefusedError as refused:
            return json_response({"type": refused.kind, "message": refused.message}, refused.status, _SHARED)
        await api.tell_first(session.payment_id)
        opened = {"id": session.id, "path": f"/_fake/window/{session.id}", "txId": session.transaction_id}
        return json_response(opened, HTTPStatus.CREATED, _SHARED)

    async def window_page(request: Request) -> Response:
        try:
            origin = windows.find(_session_id(request)).origin
        except RefusedError as refused:
            return page_response("window.html", framed_by=None, status=refused.status)
        return page_response("window.html", framed_by=origin)

    async def window_session(request: Request) -> Response:
        return json_response(_session_json(windows.find(_session_id(request)), clock))

    async def choose(request: Request) -> Response:
        body = await body_of(request)
        session = windows.find(_session_id(request))
        await windows.choose(session, decode(body, Choice))
        return json_response({"result": session.result, "returnUrl": session.return_url})

    return [
        resource("/_fake/browser-sdk.js", GET=sdk),
        resource("/_fake/window", OPTIONS=preflight, POST=open_window),
        resource("/_fake/window/{session_id}", GET=window_page),
        resource("/_fake/window/{session_id}/session", GET=window_session),
        resource("/_fake/window/{session_id}/choose", POST=choose),
    ]


def _session_id(request: Request) -> str:
    return str(request.path_params["session_id"])


def _session_json(session: WindowSession, clock: FakeClock) -> dict[str, Any]:
    purchase = session.purchase
    return {
        "id": session.id,
        "paymentId": session.payment_id,
        "orderName": purchase.order_name,
        "totalAmount": purchase.total,
        "currency": purchase.currency,
        "storeId": purchase.store_id,
        "channelKey": purchase.channel_key,
        "channelType": purchase.channel_type,
        "origin": session.origin,
        "locale": session.locale,
        "result": session.result,
        "returnUrl": session.return_url,
        "speed": clock.speed,
    }
