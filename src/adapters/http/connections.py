"""What one connection to us may cost, of which uvicorn bounds nothing.

Neither the time for a request to arrive, nor the size of its head, nor the time for an answer to be read, nor the
number of connections. A proxy in front should do the same and more; nothing here relies on there being one.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from adapters.http.problems import PROBLEM_JSON, Kind, document

REQUEST_SECONDS = 10.0
"""How long a whole request may take to arrive, from the connection or the first byte to the last byte of the body."""

UNREAD_SECONDS = 15.0
"""How long what we sent may lie here unread, with the kernel's own buffers full, before the connection is dropped."""

HEAD_MOST = 16 * 1024
"""How many bytes the head of a request may have."""

CONNECTIONS_MOST = 4000
"""How many connections a server has at once; those beyond are closed as they come."""

PIPELINED_MOST = 64
"""How many requests may wait on a connection for the answers before theirs."""

_MALFORMED = Kind(400, "malformed-request", "Malformed request", "This is no request in HTTP/1.1.")
_HEAD_TOO_LARGE = Kind(
    431, "head-too-large", "Request header fields too large", "The head of the request is too large."
)


class _TooMuchError(Exception):
    """More than HEAD_MOST bytes came before the empty line, or more than PIPELINED_MOST requests at once."""


class BoundedConnection(HttpToolsProtocol):
    """One client's connection. ``drop_if_stalled`` is to be called about once a second: no timer is set on the way."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._awaited_since: float | None = None  # the rest of a request
        self._unread_since: float | None = None
        self._heads = 0  # how many began
        self._in_head = False
        self._head_parsed = 0
        self._head_fed = 0
        self._problem = _MALFORMED
        self._answering: list[RequestResponseCycle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or not."""
        super().connection_made(transport)
        self._awaited_since = self.loop.time()
        if len(self.connections) > CONNECTIONS_MOST:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every answer under way that its client is gone; uvicorn tells the last request's only."""
        super().connection_lost(exc)
        for cycle in self._answering:
            cycle.disconnected = not cycle.response_complete
            cycle.message_event.set()

    def drop_if_stalled(self, now: float) -> None:
        """End a connection whose client does not send the rest of its request, or does not read its answer."""
        if self.transport.get_write_buffer_size() == 0:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > UNREAD_SECONDS:
            self.transport.abort()
        if self._awaited_since is not None and now - self._awaited_since > REQUEST_SECONDS:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the parser. Whatever comes while no answer is under way, be it line ends only, begins a request."""
        head = self._heads if self._in_head else None
        super().data_received(data)
        if self._in_head and self._heads == head:  # all of it was head, of which the parser may have told nothing yet
            self._head_fed += len(data)
            if self._head_fed > HEAD_MOST and not self.transport.is_closing():
                self._problem = _HEAD_TOO_LARGE
                self.send_400_response("")
        if self._awaited_since is None and not self._is_answering:
            self._awaited_since = self.loop.time()

    @property
    def _is_answering(self) -> bool:
        return not all(cycle.response_complete for cycle in self._answering)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._heads += 1
        self._in_head, self._head_parsed, self._head_fed = True, 0, 0
        if self._awaited_since is None:
            self._awaited_since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """Part of the address."""
        self._take(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. Those behind a chunked body are passed over: they are too late to say anything of the request."""
        if self._in_head:
            self._take(len(name) + len(value) + len(": \r\n"))
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The body, if any, comes next."""
        self._in_head = False
        if len(self.pipeline) >= PIPELINED_MOST:
            raise _TooMuchError
        super().on_headers_complete()
        self._answering = [cycle for cycle in (*self._answering, self.cycle) if not cycle.response_complete]

    def on_message_complete(self) -> None:
        """The request is here as a whole."""
        self._awaited_since = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """Say that this was no request, as a problem document, and end the connection; within an answer, only end."""
        if len(self._answering) > 1 or any(cycle.response_started for cycle in self._answering):
            self.transport.abort()
            return
        kind = self._problem
        body = document(kind, kind.detail or kind.title)
        head = (
            f"HTTP/1.1 {kind.status} {kind.title}",
            f"content-type: {PROBLEM_JSON}",
            f"content-length: {len(body)}",
            "cache-control: no-store",
            "connection: close",
        )
        self.transport.write("\r\n".join((*head, "", "")).encode("ascii") + body)
        self.transport.close()

    def _take(self, size: int) -> None:
        self._head_parsed += size
        if self._head_parsed > HEAD_MOST:
            self._problem = _HEAD_TOO_LARGE
            raise _TooMuchError
