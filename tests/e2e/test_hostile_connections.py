"""The real server process against clients that speak HTTP badly on purpose, or slowly, or not at all."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from proof import Cases

NOWHERE = SimpleNamespace(url="http://127.0.0.1:9")  # no gateway answers there, and none is needed
ORDER = b'{"items":[{"productId":"programme","quantity":1}]}'
NEXT = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"  # what a smuggler hopes to have answered


@dataclass(slots=True)
class Server:
    """The service as one process, and raw connections to it."""

    shop: Any
    process: Any
    port: int

    async def connect(self, *, buffer: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=sock, limit=2**16 if buffer is None else 1024)

    async def say(self, sent: bytes) -> bytes:
        """Everything that is answered to ``sent`` until the server ends the connection."""
        reader, writer = await self.connect()
        try:
            writer.write(sent)
            async with asyncio.timeout(25):
                return await reader.read(-1)
        finally:
            writer.close()

    async def ask(self, sent: bytes) -> bytes:
        """The head of the first answer to ``sent``."""
        reader, writer = await self.connect()
        try:
            writer.write(sent)
            async with asyncio.timeout(25):
                while (head := await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100"):
                    pass
                return head
        finally:
            writer.close()


@asynccontextmanager
async def serving(town: Any, folder: Path, port: int, **variables: str) -> AsyncIterator[Server]:
    database = f"sqlite+aiosqlite:///{folder}/shop.db"
    shop, process = await town.serve(database, NOWHERE, port, "--no-worker", **variables)
    yield Server(shop, process, port)
    assert process.process.returncode is None, process.log
    assert "Traceback" not in process.log
    assert not [line for line in process.log.splitlines() if re.search(r'"level":"error"|"status":5', line)]


@pytest.fixture
async def server(town: Any, tmp_path: Path, a_free_port: int) -> AsyncIterator[Server]:
    async with serving(town, tmp_path, a_free_port) as server:
        yield server


def answers(said: bytes) -> list[int]:
    """The statuses of the answers in ``said``."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]


def post(path: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((b"POST " + path + b" HTTP/1.1", b"Host: a", *headers, b"", b"")) + body


def placing(*headers: bytes, body: bytes = ORDER) -> bytes:
    return post(b"/api/v1/orders", b"Content-Type: application/json", *headers, body=body)


def get(path: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", b"Host: a", *headers, b"", b""))


CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ORDER), ORDER)
LENGTH = b"Content-Length: %d" % len(ORDER)

AMBIGUOUS = {
    "both lengths": placing(LENGTH, b"Transfer-Encoding: chunked", body=CHUNKED),
    "both lengths, the other way round": placing(b"Transfer-Encoding: chunked", LENGTH, body=CHUNKED),
    "a length of nothing, and chunks": placing(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=CHUNKED),
    "two lengths": placing(LENGTH, b"Content-Length: 0"),
    "two lengths in one": placing(b"Content-Length: %d, 0" % len(ORDER)),
    "a signed length": placing(b"Content-Length: +%d" % len(ORDER)),
    "a negative length": placing(b"Content-Length: -1"),
    "a length in hexadecimal": placing(b"Content-Length: 0x32"),
    "a length with a space inside": placing(b"Content-Length: 5 0"),
    "a length beyond all numbers": placing(b"Content-Length: 18446744073709551666"),
    "a space before the colon": placing(b"Content-Length : %d" % len(ORDER)),
    "chunked, and then not": placing(b"Transfer-Encoding: chunked, identity", body=CHUNKED),
    "chunked by another name": placing(b"Transfer-Encoding: xchunked", body=CHUNKED),
    "a folded encoding": placing(b"Transfer-Encoding:\r\n chunked", LENGTH, body=CHUNKED),
    "an encoding with a vertical tab": placing(b"Transfer-Encoding: \x0bchunked", LENGTH, body=CHUNKED),
    "a chunk of negative size": placing(b"Transfer-Encoding: chunked", body=b"-1\r\n\r\n"),
    "a chunk of boundless size": placing(b"Transfer-Encoding: chunked", body=b"f" * 17 + b"\r\n"),
    "a chunk that is longer than it says": placing(
        b"Transfer-Encoding: chunked", body=b"1\r\n" + ORDER + b"\r\n0\r\n\r\n"
    ),
    "lines that end early": b"GET /health/live HTTP/1.1\rHost: a\r\r",
    "a NUL in a header": get(b"/health/live", b"X: a\x00b"),
    "a line break in a header": get(b"/health/live", b"X: a\rb"),
    "no name for a header": get(b"/health/live", b": a"),
    "a header with a space in its name": get(b"/health/live", b"X Y: a"),
    "another version": b"GET /health/live HTTP/9.9\r\nHost: a\r\n\r\n",
    "the next version's beginning": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "no ASCII in the path": get(b"/api/v1/\xff\xfe"),
    "no method": b"BREW /health/live HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.proves("No hostile request gets a 5xx or an undocumented answer")
async def test_no_request_is_taken_for_two(server: Server, cases: Cases) -> None:
    """What two readers could understand in two ways is refused, with its connection and all that follows on it."""
    for name, sent in AMBIGUOUS.items():
        said = await server.say(sent + NEXT)
        cases.run += 1
        assert answers(said) == [400], (name, said)
        assert b"application/problem+json" in said, name
        assert b"connection: close" in said, name
    assert answers(await server.say(placing(LENGTH) + NEXT)) == [201, 200], "an honest pair gets its two answers"
    assert answers(await server.say(placing(b"Transfer-Encoding: chunked", body=CHUNKED) + NEXT)) == [201, 200]


ODD = {
    "the oldest version, which had no name": (b"GET /health/live\r\nHost: a\r\n\r\n", [200, 400]),
    "an old version": (b"GET /api/v1/products HTTP/1.0\r\n\r\n", [200]),
    "an old version that wants to stay": (b"GET /health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + NEXT, [200]),
    "an upgrade to another protocol": (get(b"/health/live", b"Connection: upgrade", b"Upgrade: websocket"), [200]),
    "an upgrade to HTTP/2": (get(b"/health/live", b"Connection: upgrade, HTTP2-Settings", b"Upgrade: h2c"), [200]),
    "a tunnel": (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", [400, 404, 405]),
    "a whole address": (get(b"http://evil.example/health/live"), [200, 400]),
    "a star": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", [400, 404, 405]),
    "a trace": (b"TRACE /health/live HTTP/1.1\r\nHost: a\r\n\r\n", [405]),
    "dots": (get(b"/api/v1/orders/../../../etc/passwd"), [404]),
    "encoded dots": (get(b"/assets/%2e%2e/%2e%2e/app.py"), [404]),
    "a backslash": (get(b"/assets/..\\..\\app.py"), [404]),
    "no host": (b"GET /health/live HTTP/1.1\r\n\r\n", [200, 400]),
    "two hosts": (get(b"/health/live", b"Host: b"), [200, 400]),
    "a host that is none": (b"GET /api/v1/products HTTP/1.1\r\nHost: evil.example/path?\r\n\r\n", [200, 400]),
    "two types": (placing(b"Content-Type: text/plain", LENGTH), [415]),
    "a compressed body": (placing(b"Content-Encoding: gzip", b"Content-Length: 4", body=b"\x1f\x8b\x08\x00"), [400]),
    "an absurd length": (placing(b"Content-Length: 999999999999999999"), [413]),
    "an absurd length for a webhook": (post(b"/api/v1/webhooks/portone", b"Content-Length: 99999999999999"), [413]),
    "an expectation": (placing(b"Expect: 100-continue", b"Content-Length: 99999"), [413]),
    "bad UTF-8": (placing(b"Content-Length: 2", body=b'"\xff'), [400]),
    "a deep body": (placing(b"Content-Length: 16000", body=b"[" * 16_000), [400]),
    "a deep webhook": (post(b"/api/v1/webhooks/portone", b"Content-Length: 65536", body=b"[" * 65_536), [400]),
    "a query of all bytes": (get(b"/api/v1/products?" + bytes(range(33, 127)).replace(b"#", b"") * 20), [200]),
    "a thousand parameters": (get(b"/api/v1/products?" + b"&".join([b"a=1"] * 1000)), [200]),
    "a path of 15 KiB": (get(b"/" + b"a" * 15_000), [404]),
    "300 headers": (get(b"/health/live", *(b"X-%d: %s" % (n, b"a" * 30) for n in range(300))), [200]),
    "4,000 headers": (get(b"/health/live", *(b"X-%d: a" % n for n in range(4000))), [431]),
    "a header of 17 KiB": (get(b"/health/live", b"X: " + b"a" * 17_000), [431]),
    "a path of 17 KiB": (get(b"/" + b"a" * 17_000), [431]),
    "a header of 1 MB": (get(b"/health/live", b"X: " + b"a" * 1_000_000), [431]),
    "a trailer that would be a token": (
        placing(b"Transfer-Encoding: chunked", body=CHUNKED[:-2] + b"Idempotency-Key: short\r\n\r\n"),
        [201],
    ),
    "a megabyte of trailers": (
        placing(b"Transfer-Encoding: chunked", body=CHUNKED[:-2] + b"X: a\r\n" * 160_000 + b"\r\n"),
        [201],
    ),
}


@pytest.mark.proves("No hostile request gets a 5xx or an undocumented answer")
async def test_odd_requests_are_served_or_refused_and_harm_nobody(server: Server, cases: Cases) -> None:
    for name, (sent, expected) in ODD.items():
        said = await server.ask(sent)
        cases.run += 1
        assert answers(said)[0] in expected, (name, said)
    assert (await server.shop.http.get(f"{server.shop.url}/health/live")).status_code == 200
    assert "root:" not in server.process.log


# --- slow clients -------------------------------------------------------------------------------------------------

REQUEST_MOST, UNREAD_MOST = 10.0, 15.0  # seconds; adapters/http/connections.py
SLACK = 4.0


async def drip(writer: asyncio.StreamWriter, drops: bytes, ended: asyncio.Event) -> None:
    """One byte after the other, for as long as the connection lives."""
    for byte in drops:
        if ended.is_set():
            return
        try:
            writer.write(bytes([byte]))
            await writer.drain()
        except ConnectionError:
            return
        await asyncio.sleep(0.25)


async def seconds_until_dropped(server: Server, first: bytes, drops: bytes = b"") -> float:
    """How long the server bears a client that sends ``first`` at once, and ``drops`` one by one."""
    reader, writer = await server.connect()
    started, ended = monotonic(), asyncio.Event()
    writer.write(first)
    dripping = asyncio.create_task(drip(writer, drops, ended))
    try:
        async with asyncio.timeout(30):
            while await reader.read(2**16):
                pass
    except ConnectionError:
        pass
    took = monotonic() - started
    ended.set()
    await dripping
    writer.close()
    return took


async def seconds_until_unread_is_dropped(server: Server) -> float:
    """How long the server bears a client that asks and asks, and reads no answer.

    It asks no faster than the server answers others: so many unanswered at once would end the connection by themselves.
    """
    _, writer = await server.connect(buffer=4096)
    transport: Any = writer.transport
    transport.pause_reading()
    started, asked = monotonic(), 0
    try:
        async with asyncio.timeout(40):
            while not transport.is_closing():  # such a client learns of the end when it writes
                writer.write(get(b"/schema") if asked < 250 else b"\r\n")
                asked += 1
                await writer.drain()
                if asked < 250:
                    await server.shop.http.get(f"{server.shop.url}/health/live")
                else:
                    await asyncio.sleep(0.25)
    except ConnectionError:
        pass
    took = monotonic() - started
    transport.abort()
    return took


SLOW = {
    "says nothing": (b"", b""),
    "drips line ends": (b"", b"\r\n" * 60),
    "stops in the first line": (b"GET /health/l", b""),
    "drips its head": (b"GET /health/live HTTP/1.1\r\nHost: a\r\nX: ", b"a" * 120),
    "stops in its body": (placing(b"Content-Length: 100", body=b'{"items'), b""),
    "drips its body": (placing(b"Content-Length: 100", body=b'{"items'), b"a" * 90),
    "drips chunks": (placing(b"Transfer-Encoding: chunked"), b"1\r\n \r\n" * 30),
    "drips trailers": (placing(b"Transfer-Encoding: chunked", body=CHUNKED[:-2]), b"X: a\r\n" * 30),
    "drips a webhook": (post(b"/api/v1/webhooks/portone", b"Content-Length: 1000"), b"a" * 120),
    "drips a body that was refused": (placing(b"Content-Length: 99999"), b"a" * 120),
    "drips a body that nobody reads": (post(b"/health/nothing", b"Content-Length: 99999"), b"a" * 120),
    "stays after its answer": (get(b"/health/live"), b""),
    "drips line ends after its answer": (get(b"/health/live"), b"\r\n" * 60),
    "asks again, slowly": (
        get(b"/health/live"),
        b"GET /health/live HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 2,
    ),
}


@pytest.mark.proves("Slow and stalled clients hold up nobody")
async def test_whoever_stalls_loses_the_connection_and_everybody_else_is_served(server: Server, cases: Cases) -> None:
    placed = await server.shop.place("programme")
    events = f"{server.shop.url}/api/v1/orders/{placed['order']['id']}/events"
    bearer = {"Authorization": f"Bearer {placed['token']}"}
    several = 5
    slow = {name: [seconds_until_dropped(server, *how) for _ in range(several)] for name, how in SLOW.items()}
    slow["reads nothing"] = [seconds_until_unread_is_dropped(server) for _ in range(several)]
    async with server.shop.http.stream("GET", events, headers=bearer) as stream:
        lines = stream.aiter_lines()
        stalling = asyncio.gather(*(asyncio.gather(*each) for each in slow.values()))
        worst = 0.0
        while not stalling.done():
            started = monotonic()
            assert (await server.shop.http.get(f"{server.shop.url}/api/v1/products")).status_code == 200
            worst = max(worst, monotonic() - started)
            await asyncio.sleep(0.05)
        took = dict(zip(slow, await stalling, strict=True))
        heard = [await anext(lines) for _ in range(7)]
        assert heard[-2] == ":", "a stream that is read beats on, and is not taken for a slow client"
    for name, each in took.items():
        cases.run += len(each)
        bound = SLACK + (REQUEST_MOST + UNREAD_MOST if name == "reads nothing" else REQUEST_MOST)
        assert max(each) < bound, (name, each)
    assert min(took["reads nothing"]) > UNREAD_MOST, "its answers did pile up"
    assert worst < 1.0, f"somebody else waited for {worst:.2f} s"
    assert min(took["drips its head"]) > REQUEST_MOST - 1, "an honest client has its time"


@pytest.mark.proves("Slow and stalled clients hold up nobody")
async def test_a_head_without_an_end_costs_no_memory(server: Server) -> None:
    """Sent as fast as it goes, and never finished: the connection ends at the limit."""
    reader, writer = await server.connect()
    sent = 0
    writer.write(b"GET / HTTP/1.1\r\nX: ")
    try:
        async with asyncio.timeout(8):
            while sent < 200_000_000 and not reader.at_eof():
                writer.write(b"a" * 65_536)
                sent += 65_536
                await writer.drain()
    except ConnectionError:
        pass
    writer.close()
    assert sent < 20_000_000


@pytest.mark.proves("No hostile request gets a 5xx or an undocumented answer")
async def test_no_answer_depends_on_who_the_client_says_it_asks_or_is(server: Server, cases: Cases) -> None:
    placed = await server.shop.place("programme")
    at = f"/api/v1/orders/{placed['order']['id']}".encode()
    token = f"Authorization: Bearer {placed['token']}".encode()
    lies = [
        b"X-Forwarded-For: 127.0.0.1",
        b"X-Forwarded-Host: evil.example",
        b"X-Forwarded-Proto: gopher",
        b"Forwarded: for=127.0.0.1;host=evil.example;proto=https",
        b"X-Original-URL: /health/live",
        b"X-Rewrite-URL: /health/live",
        b"X-HTTP-Method-Override: DELETE",
    ]
    close = b"Connection: close"
    for path, *headers in [(b"/",), (b"/nope",), (b"/api/v1/products",), (at, token), (at,)]:
        honest = await server.say(get(path, *headers, close))
        for lie in lies:
            cases.run += 1
            assert await server.say(get(path, *headers, lie, close)) == honest, (path, lie)
        for host in (b"evil.example", b"127.0.0.1:1", b"a:b@evil.example"):
            cases.run += 1
            asked = get(path, *headers, close).replace(b"Host: a", b"Host: " + host)
            assert await server.say(asked) == honest, (path, host)
