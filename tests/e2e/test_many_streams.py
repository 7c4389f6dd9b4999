"""Event streams by the thousand on the real process, a tenth of them stalled or reset: nobody else notices."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import resource
import socket
import statistics
import struct
import time
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from adapters.persistence.engine import create_engine
from adapters.persistence.sql import SqlStore
from application.read_order import ShowOrder
from bootstrap.settings import FAKE_WEBHOOK_SECRET
from domain.ids import OrderId

if TYPE_CHECKING:
    from proof import Cases

PER_ORDER = 8  # adapters/notify/in_process.py
ASKED = ("storeId", "channelKey", "orderName", "totalAmount", "currency")
WEBHOOKS = "/api/v1/webhooks/portone"


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many sockets in this process as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Stream:
    """One open event stream over a socket of its own."""

    def __init__(self, port: int, placed: Any) -> None:
        self.order_id = placed["order"]["id"]
        self._port = port
        self._request = (
            f"GET /api/v1/orders/{self.order_id}/events HTTP/1.1\r\nHost: a\r\n"
            f"Authorization: Bearer {placed['token']}\r\n\r\n"
        ).encode()
        self._said = b""
        self.sock = socket.socket()

    async def open(self, *, buffer: int | None = None, behind: bytes = b"") -> None:
        if buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.sock, ("127.0.0.1", self._port))
        await loop.sock_sendall(self.sock, self._request + behind)

    async def until(self, wanted: bytes) -> None:
        """Read until ``wanted`` was said, or the stream ended."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            while wanted not in self._said:
                said = await loop.sock_recv(self.sock, 65_536)
                assert said, f"the stream ended: {self._said[-300:]!r}"
                self._said += said

    @property
    def status(self) -> int:
        return int(self._said[9:12])

    @property
    def events(self) -> list[tuple[int, str]]:
        found = re.findall(rb"id: (\d+)\nevent: (\w+)\n", self._said)
        return [(int(number), kind.decode()) for number, kind in found]

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@dataclass(frozen=True, slots=True)
class Size:
    """What a process holds."""

    files: int
    megabytes: float

    @staticmethod
    def of(pid: int) -> Size:
        status = Path(f"/proc/{pid}/status").read_text()
        kilobytes = int(status.partition("VmRSS:")[2].split()[0])
        return Size(len(list(Path(f"/proc/{pid}/fd").iterdir())), kilobytes / 1024)

    def __str__(self) -> str:
        return f"{self.files} files and {self.megabytes:.0f} MB"


async def ping(http: httpx.AsyncClient, url: str, name: str) -> float:
    """How long a signed webhook about nothing of ours takes."""
    body, at = b'{"type":"Else"}', str(int(time.time()))
    key = base64.b64decode(FAKE_WEBHOOK_SECRET.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"{name}.{at}.".encode() + body, hashlib.sha256)).decode()
    headers = {"webhook-id": name, "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}
    started = time.monotonic()
    answer = await http.post(url + WEBHOOKS, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})
    return time.monotonic() - started


def said(took: list[float]) -> str:
    return f"{statistics.median(took) * 1000:.0f}, {max(took) * 1000:.0f}"


async def history_of(database_url: str, order_ids: set[str]) -> dict[str, list[tuple[int, str]]]:
    engine = create_engine(database_url)
    show = ShowOrder(SqlStore(engine))
    try:
        records = {name: await show(OrderId(name)) for name in order_ids}
    finally:
        await engine.dispose()
    return {name: [(entry.seq, entry.kind.value) for entry in record.history] for name, record in records.items()}


class Crowd:
    """Eight followers of each order: a twentieth of them never reads, a twentieth resets, the others read all."""

    def __init__(self, port: int, placed: list[Any]) -> None:
        self._port = port
        self._placed = {one["order"]["id"]: one for one in placed}
        streams = [Stream(port, one) for one in placed for _ in range(PER_ORDER)]
        self.size = len(streams)
        self.stalled, self.resetting = streams[::20], streams[1::20]
        self.honest = [stream for number, stream in enumerate(streams) if number % 20 > 1]

    async def open(self) -> None:
        await in_turns(stream.open(buffer=2048) for stream in self.stalled)
        await in_turns(stream.open() for stream in self.honest)
        await asyncio.gather(*(stream.until(b"event: snapshot") for stream in self.honest))
        for number, stream in enumerate(self.resetting):  # half of them with another request behind the first
            await stream.open(behind=b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n" if number % 2 else b"")
            if number % 3:
                await stream.until(b"event: snapshot")
            stream.reset()

    async def take_the_places_of_those_that_reset(self) -> None:
        for gone in self.resetting:
            async with asyncio.timeout(10):  # the server learns of a reset in its own time
                while (stream := await self.one_more(gone.order_id)).status == 429:
                    stream.sock.close()
            assert stream.status == 200
            await stream.until(b"event: snapshot")
            self.honest.append(stream)

    async def one_more(self, order_id: str) -> Stream:
        stream = Stream(self._port, self._placed[order_id])
        await stream.open()
        await stream.until(b"\r\n\r\n")
        return stream

    async def see(self, order_id: str, event: bytes) -> None:
        await asyncio.gather(*(stream.until(event) for stream in self.honest if stream.order_id == order_id))

    def close(self) -> None:
        for stream in (*self.stalled, *self.honest):
            stream.sock.close()


async def in_turns(works: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    turns = asyncio.Semaphore(8)

    async def in_turn(work: Coroutine[Any, Any, Any]) -> Any:
        async with turns:
            return await work

    return await asyncio.gather(*(in_turn(work) for work in works))


@pytest.mark.proves("Slow and stalled clients hold up nobody")
@pytest.mark.usefixtures("many_files")
async def test_nine_tenths_see_every_change_whatever_the_last_tenth_does(
    town: Any, tmp_path: Path, a_free_port: int, cases: Cases, *, full: bool
) -> None:
    database_url = f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    fake = await town.fake(f"http://127.0.0.1:{a_free_port}{WEBHOOKS}", "--speed", "600")
    shop, process = await town.serve(database_url, fake, a_free_port, "--no-worker")
    pid = process.process.pid
    placed = await in_turns(shop.place("programme") for _ in range(125 if full else 25))
    alone = [await ping(town.http, shop.url, f"alone-{number}") for number in range(30)]
    before = Size.of(pid)

    crowd = Crowd(a_free_port, placed)
    await crowd.open()
    await crowd.take_the_places_of_those_that_reset()
    too_many = await crowd.one_more(placed[0]["order"]["id"])
    assert too_many.status == 429, "a place that was freed is one place"
    too_many.sock.close()
    among = [await ping(town.http, shop.url, f"among-{number}") for number in range(30)]
    during = Size.of(pid)

    async def pay(one: Any) -> None:
        at = f"{fake.url}/_fake/payments/{one['order']['paymentId']}"
        body = {name: one["checkout"][name] for name in ASKED}
        for step, event in (("fail", b"event: payment_observed"), ("pay", b"event: completed")):
            answer = await town.http.post(f"{at}/{step}", json=body)
            assert answer.is_success, answer.text
            await crowd.see(one["order"]["id"], event)

    paying = asyncio.gather(in_turns(pay(one) for one in placed))
    took: list[float] = []
    while not paying.done():
        took.append(await ping(town.http, shop.url, f"busy-{len(took)}"))
    await paying

    history = await history_of(database_url, {one["order"]["id"] for one in placed})
    for stream in crowd.honest:
        first, *later = stream.events
        expected = history[stream.order_id]
        assert first == (1, "snapshot")
        assert later == expected[1:], (stream.events, expected)
        assert expected[-1][1] == "completed"
    cases.run += crowd.size
    async with asyncio.timeout(30):
        while (after := Size.of(pid)).files > before.files + 2:  # noqa: ASYNC110 - another process's files
            await asyncio.sleep(0.1)
    crowd.close()
    figures = (
        f"{crowd.size} streams; {before}, with all open {during}, after {after}; milliseconds of a webhook (median, "
        f"worst): before {said(alone)}, with all open {said(among)}, while all change {said(took)}"
    )
    print(figures)  # noqa: T201 - with -s
    assert statistics.median(among) < statistics.median(alone) * 3 + 0.05, figures
    assert max(took) < 3.0, figures
    assert after.megabytes < before.megabytes * 1.5, figures
    assert await process.terminate() == 0, process.log
    assert not [line for line in process.log.splitlines() if re.search(r'"level":"error"|Traceback|"status":5', line)]
