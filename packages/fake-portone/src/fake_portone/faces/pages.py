"""The fake's own page, and the stream that keeps it up to date."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fake_portone.faces.files import file_response, page_response
from fake_portone.faces.resources import resource
from fake_portone.live import Live
from fake_portone.views import Overview

_PUBLIC = ("fake.css", "dashboard.js", "window.js")
_STREAMED = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


def page_routes(live: Live, overview: Overview) -> list[Route]:
    """The page at the root, its files, its stream."""

    async def dashboard(_: Request) -> Response:
        return page_response("dashboard.html", framed_by=None)

    async def static(request: Request) -> Response:
        return file_response(PurePosixPath(request.url.path).name)

    async def events(_: Request) -> Response:
        return StreamingResponse(_events(live, overview), headers=_STREAMED, media_type="text/event-stream")

    return [
        resource("/", GET=dashboard),
        *(resource(f"/_fake/static/{name}", GET=static) for name in _PUBLIC),
        resource("/_fake/events", GET=events),
    ]


async def _events(live: Live, overview: Overview) -> AsyncIterator[bytes]:
    """Server-sent events: first the state of everything, then what changed."""
    with live.following() as follower:
        yield b"retry: 1000\n" + _event("snapshot", overview.of(overview.newest()))
        while not live.is_closed:
            news = await follower.next()
            yield b":\n\n" if news is None else _event("change", overview.of(news))


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))
