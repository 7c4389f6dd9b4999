"""An order's events as server-sent events.

An ASGI application of its own rather than the framework's stream: a stream that may not begin is refused before its
headers are sent, a client that leaves at any moment frees its place, and no thread is used to send a comment.
Source of the format: the HTML standard, "Server-sent events".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from adapters.http.buyer.wire import event_out
from adapters.http.problems import log_unforeseen
from application.errors import StoreUnavailableError
from application.follow_order import OrderEvent

EVENT_STREAM = "text/event-stream"
RETRY_MS = 3000  # how long a browser waits before it comes back

_HEADERS = (
    (b"content-type", EVENT_STREAM.encode("ascii")),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_HEARTBEAT = b":\n\n"  # a comment: an event without data would reach the page as an empty message
_PATIENCE = 10.0  # seconds that a client may leave what was sent unread, once the buffers are full

Events = AsyncGenerator[OrderEvent | None, None]


class EventStream:
    """Sends ``events``; whatever the first of them raises is raised before anything is sent."""

    def __init__(self, events: Events, *, patience: float = _PATIENCE) -> None:
        self._events = events
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send until the events end, the client leaves, or reads nothing for too long."""
        async with aclosing(self._events) as events:
            first = await anext(events)
            sending = asyncio.create_task(self._send_all(first, events, send))
            leaving = asyncio.create_task(_until_left(receive))
            try:
                await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                sending.cancel()
                leaving.cancel()
                await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send_all(self, first: OrderEvent | None, events: Events, send: Send) -> None:
        start: HTTPResponseStartEvent = {"type": "http.response.start", "status": 200, "headers": list(_HEADERS)}
        await send(start)
        try:
            await self._send(send, b"retry: %d\n%b" % (RETRY_MS, frame(first)))
            async for event in events:
                await self._send(send, frame(event))
        except StoreUnavailableError:
            pass  # the client comes back, and resumes
        except TimeoutError:
            return  # it reads nothing: without an end, the server drops the connection
        except Exception as error:  # noqa: BLE001 - the answer has begun, so nobody else can handle it
            log_unforeseen(error)
        await self._send(send, b"", more=False)

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        message: HTTPResponseBodyEvent = {"type": "http.response.body", "body": body, "more_body": more}
        async with asyncio.timeout(self._patience):
            await send(message)


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def frame(event: OrderEvent | None) -> bytes:
    """One event as it is sent; None is a heartbeat."""
    if event is None:
        return _HEARTBEAT
    data = msgspec.json.encode(event_out(event))
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.kind.encode("ascii"), data)
