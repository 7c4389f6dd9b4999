"""PortOne's webhooks. A raw ASGI route, as it costs a quarter of what the framework's own handlers do."""

from __future__ import annotations

import msgspec
import structlog
from litestar import asgi
from litestar.exceptions import MethodNotAllowedException
from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from adapters.http.problems import PROBLEM_JSON, document, kind_of
from adapters.http.sizes import WEBHOOK_BODY_MOST, read_body
from application.errors import WebhookRefusedError
from application.handle_webhook_event import HandleWebhookEvent, WebhookOutcome
from application.ports import WebhookReader

_ANSWERS = {outcome: msgspec.json.encode({"status": outcome.value}) for outcome in WebhookOutcome}
_JSON, _PROBLEM = b"application/json", PROBLEM_JSON.encode("ascii")


def webhook_route(path: str, read: WebhookReader, handle: HandleWebhookEvent) -> ASGIRouteHandler:
    """The route at ``path``: exactly 200 once an event is kept, 400 for what is not proved to be the gateway's."""

    @asgi(path, copy_scope=False)
    async def portone_webhook(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":  # type: ignore[typeddict-item]  # a raw route gets HTTP only
            raise MethodNotAllowedException(headers={"Allow": "POST"})
        body = await read_body(scope, receive, WEBHOOK_BODY_MOST)
        try:
            event = read(list(scope["headers"]), body)
        except WebhookRefusedError as error:
            structlog.contextvars.bind_contextvars(refused=error.reason)
            kind = kind_of(error)
            await _answer(send, kind.status, _PROBLEM, document(kind, kind.detail or kind.title))
            return
        structlog.contextvars.bind_contextvars(webhook=event.id, payment=event.payment_id)
        await _answer(send, 200, _JSON, _ANSWERS[await handle(event)])

    return portone_webhook


async def _answer(send: Send, status: int, media_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
    start: HTTPResponseStartEvent = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    end: HTTPResponseBodyEvent = {"type": "http.response.body", "body": body, "more_body": False}
    await send(end)
