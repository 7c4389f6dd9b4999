"""How bytes reach PortOne: HTTP/1.1 over kept-alive connections to one origin, whole answers, nothing else.

httpx's own pool costs about a millisecond of CPU a request, several times all the rest of a webhook
(``benchmarks/gateway_transport.py``). This transport keeps httpx's requests, answers and errors, and leaves the parsing
to httptools, the parser under uvicorn.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Any, cast

import httptools
import httpx

CONNECTIONS_MOST = 64
_IDLE_MOST = 4.0  # seconds; below the 5 s after which many servers close, so that few requests meet a closing one
_ANSWER_MOST = 2**20

ANSWER_MOST = "gyeolje.answer_most"
"""The request extension that says how many bytes the answer may have, instead of 1 MiB."""


def gateway_client(base_url: str) -> httpx.AsyncClient:
    """A client for PortOne's REST API at ``base_url``, and for no other origin; close it with ``aclose``.

    It follows no redirect, keeps no cookie, and reads no proxy, certificate or password from the environment.
    """
    return _OneOriginClient(httpx.URL(base_url))


class _OneOriginClient(httpx.AsyncClient):
    """A client whose requests go to its transport as they are: redirects, cookies and log-ins are not ours to keep."""

    def __init__(self, base_url: httpx.URL) -> None:
        self._lean = OneOriginTransport(base_url)
        super().__init__(
            base_url=base_url,
            transport=self._lean,
            trust_env=False,
            headers={"User-Agent": "gyeolje", "Accept-Encoding": "identity"},
        )

    async def send(self, request: httpx.Request, **_: Any) -> httpx.Response:
        response = await self._lean.handle_async_request(request)
        response.request = request
        await response.aread()
        return response


class OneOriginTransport(httpx.AsyncBaseTransport):
    """Sends to ``origin`` alone, over at most CONNECTIONS_MOST connections at once.

    A connection that was not used for ``idle_most`` seconds is not used again.
    Of a request's time-outs ``connect`` bounds connecting and ``read`` the whole exchange after it. A request is sent
    once and never repeated. An answer that is compressed, of unknown length, longer than it may be, or followed by more
    than was asked for is an ``httpx.RemoteProtocolError``.
    """

    def __init__(self, origin: httpx.URL, *, idle_most: float = _IDLE_MOST) -> None:
        self._idle_most = idle_most
        self._origin = (origin.scheme, origin.host, origin.port)
        self._address = (origin.host, origin.port or (443 if origin.scheme == "https" else 80))
        self._tls = _tls() if origin.scheme == "https" else None
        self._slots = asyncio.Semaphore(CONNECTIONS_MOST)
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and wait for the whole answer."""
        url = request.url
        if (url.scheme, url.host, url.port) != self._origin:
            raise httpx.UnsupportedProtocol("this transport speaks to one origin only")
        timeouts = request.extensions.get("timeout", {})
        most = request.extensions.get(ANSWER_MOST, _ANSWER_MOST)
        async with self._slots:
            connection = self._idle_connection() or await self._connect(timeouts.get("connect"))
            answer = await connection.exchange(_bytes(request), timeouts.get("read"), most)
            if connection.reusable and not self._closed:
                self._idle.append(connection)
            else:
                connection.abort()
        response = httpx.Response(answer.status, headers=answer.headers, stream=httpx.ByteStream(answer.body))
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx.RemoteProtocolError("the answer is compressed, which was not asked for")
        return response

    async def aclose(self) -> None:
        """Close every connection, and wait until each is; requests under way fail."""
        self._closed = True
        closing = list(self._open)
        for connection in closing:
            connection.abort()
        await asyncio.gather(*(connection.gone for connection in closing))

    def _idle_connection(self) -> _Connection | None:
        """The connection used last, which is the likeliest to be alive; those idle for too long are closed."""
        too_old = asyncio.get_running_loop().time() - self._idle_most
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.used_at > too_old:
                return connection
            connection.abort()
        return None

    async def _connect(self, seconds: float | None) -> _Connection:
        if self._closed:
            raise httpx.ConnectError("the transport is closed")
        host, port = self._address
        try:
            async with asyncio.timeout(seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self._open), host, port, ssl=self._tls
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout("connecting took too long") from error
        except OSError as error:
            raise httpx.ConnectError(f"cannot connect: {type(error).__name__}") from error
        return connection


class _Answer:
    """An answer while it comes in, called by the parser."""

    __slots__ = ("_body", "_parser", "body", "complete", "headers", "lasting", "status")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.complete = False
        self.on_message_begin()

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("more came than the answer")
        self.headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.complete = self.status >= 200  # noqa: PLR2004 - 1xx only announces an answer
        self.lasting = self._parser.should_keep_alive()
        self.body = b"".join(self._body)


class _Connection(asyncio.Protocol):
    """One connection, which carries one exchange at a time. It is in ``open_`` from its beginning to its end."""

    def __init__(self, open_: set[_Connection]) -> None:
        self._open = open_
        self._transport: asyncio.Transport
        self._answer: _Answer | None = None
        self._outcome: asyncio.Future[_Answer | httpx.TransportError] | None = None
        self._room = 0
        self.gone = asyncio.get_running_loop().create_future()
        self.reusable = True
        self.used_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        self._open.add(self)

    async def exchange(self, request: bytes, seconds: float | None, most: int) -> _Answer:
        """Send ``request`` and wait for its answer. Any end but a whole answer is the connection's end, too."""
        loop = asyncio.get_running_loop()
        self.reusable, self._room = False, most
        self._answer, self._outcome = _Answer(), loop.create_future()
        late = loop.call_later(seconds, self._end, httpx.ReadTimeout("no answer in time")) if seconds else None
        try:
            self._transport.write(request)
            outcome = await self._outcome
        except BaseException:
            self.abort()
            raise
        finally:
            if late is not None:
                late.cancel()
        if isinstance(outcome, httpx.TransportError):
            self.abort()
            raise outcome
        self.reusable, self.used_at = outcome.lasting and not self._transport.is_closing(), loop.time()
        return outcome

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # nobody asked, so nobody may be told
            self.abort()
            return
        self._room -= len(data)
        try:
            answer.feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._end(httpx.RemoteProtocolError("the answer is not one answer in HTTP/1.1"))
            return
        if self._room < 0:
            self._end(httpx.RemoteProtocolError("the answer is longer than it may be"))
        elif answer.complete:
            self._end(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        self._open.discard(self)
        self._end(httpx.RemoteProtocolError(f"the connection ended before the answer did ({type(error).__name__})"))
        if not self.gone.done():
            self.gone.set_result(None)

    def abort(self) -> None:
        self.reusable = False
        self._transport.abort()

    def _end(self, outcome: _Answer | httpx.TransportError) -> None:
        self._answer = None
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(outcome)


def _bytes(request: httpx.Request) -> bytes:
    head = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    head += [name + b": " + value for name, value in request.headers.raw]
    text = b"\r\n".join(head)
    if text.count(b"\n") != len(head) - 1 or text.count(b"\r") != len(head) - 1:
        raise httpx.LocalProtocolError("a line break inside a header")
    return text + b"\r\n\r\n" + request.content


def _tls() -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    return context
