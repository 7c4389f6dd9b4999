"""What holds for every request, whatever becomes of it: security headers on the answer, and one line in the log."""

from __future__ import annotations

from time import perf_counter

import structlog
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

READ = (HttpMethod.GET, HttpMethod.HEAD)
"""The methods of every address that is only read."""

_log = structlog.get_logger("gyeolje.http")

_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"cross-origin-resource-policy", b"same-site"),
)
_NO_STORE = (b"cache-control", b"no-store")


class Edge:
    """Stands around the whole application, its error answers included.

    The line tells method, route template, status and milliseconds, with the ids that were bound on the way. Never a
    path, query, header or body: tickets, tokens and people's names travel in them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        structlog.contextvars.clear_contextvars()  # whoever drives us may do so from one task
        started = perf_counter()
        status = 0

        async def send_secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _secured(message["headers"])
            await send(message)

        try:
            await self._app(scope, receive, send_secured)
        finally:
            route = scope.get("path_template") or "unknown"
            log = _log.debug if route.startswith("/health") and status < 500 else _log.info  # noqa: PLR2004
            milliseconds = round((perf_counter() - started) * 1000, 1)
            log("request", method=scope["method"], route=route, status=status, ms=milliseconds)


def _secured(headers: object) -> list[tuple[bytes, bytes]]:
    """``headers``, and of ours those that they do not say themselves: the shop page has a policy of its own."""
    told: list[tuple[bytes, bytes]] = [*headers]  # type: ignore[misc]
    names = {name for name, _ in told}
    return told + [header for header in (_NO_STORE, *_SECURITY) if header[0] not in names]
