"""The event stream, over a real socket: streams without an end hang in clients that call the application directly."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from litestar import Litestar
from litestar.types import Message, Receive, Scope

from adapters.http.buyer.stream import EventStream
from adapters.notify.in_process import InProcessNotifier
from adapters.persistence.memory import MemoryStore
from application.errors import StoreUnavailableError
from application.follow_order import OrderEvent, Pace
from domain.ids import OrderId

if TYPE_CHECKING:
    from unit.http.conftest import Follow, NewShopfront, Shopfront

    Serve = Callable[[Litestar], AbstractAsyncContextManager[str]]
    Fill = Callable[[MemoryStore], Any]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that only shows by itself; fail after a while."""
    deadline = monotonic() + 10
    while not holds():
        assert monotonic() < deadline, "it never came to hold"
        await asyncio.sleep(0.005)


async def give_up(shopfront: Shopfront, placed: Any) -> None:
    await shopfront.use_cases.cancel_order(OrderId(placed["order"]["id"]), placed["token"])


async def test_the_stream_begins_with_a_snapshot_and_ends_after_the_last_change(
    shopfront: Shopfront, served: str, follow: Follow
) -> None:
    placed = await shopfront.place()
    async with follow(served, placed) as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream"
        assert stream.answer.headers["cache-control"] == "no-store, no-transform"
        assert stream.answer.headers["x-accel-buffering"] == "no"
        assert stream.answer.headers["x-content-type-options"] == "nosniff"
        first = await stream.next()
        assert first is not None
        assert (first.id, first.event, first.retry) == (1, "snapshot", 3000)
        assert first.data == {"order": placed["order"], "kind": "snapshot", "at": placed["order"]["createdAt"]}
        shopfront.pays(placed)
        await shopfront.verify(placed)
        rest = await stream.rest()
    assert [(frame.id, frame.event) for frame in rest] == [(2, "payment_observed"), (3, "completed")]
    assert [frame.data["order"]["status"] for frame in rest] == ["PENDING", "COMPLETED"]
    assert rest[-1].data["kind"] == "completed"
    assert shopfront.notifier.followers == 0


async def test_resuming_misses_nothing_and_repeats_only_the_last_event_as_a_snapshot(
    shopfront: Shopfront, served: str, follow: Follow
) -> None:
    placed = await shopfront.place()
    shopfront.pays(placed)
    await shopfront.verify(placed)
    seen = {}
    for after in (1, 2, 3):
        async with follow(served, placed, after=after) as stream:
            seen[after] = [(frame.id, frame.event) for frame in await stream.rest()]
    assert seen == {
        1: [(1, "snapshot"), (2, "payment_observed"), (3, "completed")],
        2: [(2, "snapshot"), (3, "completed")],
        3: [(3, "snapshot")],
    }


@pytest.mark.parametrize("after", ["0", "-1", "x", "1.0", "+1", "01", "4", "99999999999", "9" * 400, "１"])
async def test_a_last_event_id_that_cannot_be_ours_begins_anew(
    shopfront: Shopfront, served: str, follow: Follow, after: str
) -> None:
    placed = await shopfront.place()
    await give_up(shopfront, placed)
    async with httpx.AsyncClient() as http:
        headers = {b"Authorization": f"Bearer {placed['token']}".encode(), b"Last-Event-ID": after.encode()}
        address = f"{served}/api/v1/orders/{placed['order']['id']}/events"
        text = (await http.get(address, headers=headers)).text
    assert text.startswith("retry: 3000\nid: 2\nevent: snapshot\n")


async def test_a_quiet_stream_beats_with_comments_only(
    new_shopfront: NewShopfront, serve: Serve, follow: Follow, fill: Fill
) -> None:
    store = MemoryStore()
    await fill(store)
    shopfront = new_shopfront(store=store, pace=Pace(heartbeat=0.05, catch_up=5.0))
    placed = await shopfront.place()
    async with serve(shopfront.app) as url, follow(url, placed) as stream:
        await stream.next()
        beats = [await stream.next() for _ in range(3)]
    assert [frame and (frame.comments, frame.data, frame.event, frame.id) for frame in beats] == [
        ([""], None, None, None)
    ] * 3


async def test_a_stream_has_a_lifetime(new_shopfront: NewShopfront, serve: Serve, follow: Follow, fill: Fill) -> None:
    store = MemoryStore()
    await fill(store)
    shopfront = new_shopfront(store=store, pace=Pace(catch_up=0.02, lifetime=0.1))
    placed = await shopfront.place()
    async with serve(shopfront.app) as url, follow(url, placed) as stream:
        frames = await stream.rest()
    assert [frame.event for frame in frames] == ["snapshot"]


async def test_closing_ends_open_streams_at_once(shopfront: Shopfront, served: str, follow: Follow) -> None:
    placed = await shopfront.place()
    async with follow(served, placed) as stream:
        await stream.next()
        started = monotonic()
        shopfront.notifier.close()
        assert await stream.rest() == []
    assert monotonic() - started < 2


async def test_a_client_that_leaves_frees_its_place(shopfront: Shopfront, served: str, follow: Follow) -> None:
    placed = await shopfront.place()
    for _ in range(20):
        async with follow(served, placed) as stream:
            await stream.next()
    await until(lambda: shopfront.notifier.followers == 0)


async def test_a_client_that_resets_its_connection_at_any_moment_frees_its_place(
    shopfront: Shopfront, served: str
) -> None:
    placed = await shopfront.place()
    request = (
        f"GET /api/v1/orders/{placed['order']['id']}/events HTTP/1.1\r\nHost: a\r\n"
        f"Authorization: Bearer {placed['token']}\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    for number in range(60):
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, (urlsplit(served).hostname, urlsplit(served).port))
        await loop.sock_sendall(sock, request)
        for _ in range(number // 3):
            await asyncio.sleep(0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{served}/health/live")).status_code == 200
    await until(lambda: shopfront.notifier.followers == 0)


@pytest.mark.parametrize("caps", [{"per_order": 1}, {"in_all": 1}])
async def test_one_stream_too_many_is_told_so_before_it_begins(
    new_shopfront: NewShopfront, serve: Serve, follow: Follow, fill: Fill, caps: dict[str, int]
) -> None:
    store = MemoryStore()
    await fill(store)
    shopfront = new_shopfront(store=store, notifier=InProcessNotifier(**caps))
    placed = await shopfront.place()
    async with serve(shopfront.app) as url:
        async with follow(url, placed) as stream:
            await stream.next()
            async with follow(url, placed) as refused:
                await refused.answer.aread()
                assert refused.answer.status_code == 429
                assert refused.answer.json()["type"] == "/problems/too-many-streams"
                assert refused.answer.headers["retry-after"] == "30"
        await until(lambda: shopfront.notifier.followers == 0)
        async with follow(url, placed) as stream:
            assert stream.answer.status_code == 200


async def test_a_hundred_followers_all_see_the_end(
    new_shopfront: NewShopfront, serve: Serve, follow: Follow, fill: Fill
) -> None:
    store = MemoryStore()
    await fill(store)
    shopfront = new_shopfront(store=store, notifier=InProcessNotifier(per_order=100))
    placed = await shopfront.place()

    async def see(url: str, opened: asyncio.Semaphore) -> list[str | None]:
        async with follow(url, placed) as stream:
            await stream.next()
            opened.release()
            return [frame.event for frame in await stream.rest()]

    opened = asyncio.Semaphore(0)
    async with serve(shopfront.app) as url:
        seeing = [asyncio.create_task(see(url, opened)) for _ in range(100)]
        for _ in seeing:
            await opened.acquire()
        await give_up(shopfront, placed)
        assert await asyncio.gather(*seeing) == [["cancelled"]] * 100


# --- the stream as an ASGI application --------------------------------------------------------------------------


class Events:
    """Events that a test makes, and whether they were closed."""

    def __init__(self, *events: OrderEvent | None, then: Exception | None = None) -> None:
        self._events = events
        self._then = then
        self.closed = False

    async def __call__(self) -> AsyncGenerator[OrderEvent | None, None]:
        try:
            for event in self._events:
                yield event
            if self._then is not None:
                raise self._then
        finally:
            self.closed = True


async def never_leaving() -> Any:
    await asyncio.Event().wait()


async def run(stream: EventStream, send: Callable[[Message], Any], receive: Receive = never_leaving) -> None:
    scope: Scope = {"type": "http"}  # type: ignore[assignment]  # all that it reads of it: nothing
    async with asyncio.timeout(10):
        await stream(scope, receive, send)


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), RuntimeError("a bug")])
async def test_a_stream_that_breaks_off_ends_properly_so_that_its_client_comes_back(error: Exception) -> None:
    events = Events(None, then=error)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await run(EventStream(events()), send)
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert events.closed


async def test_what_the_first_event_raises_is_raised_before_anything_is_sent() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(StoreUnavailableError):
        await run(EventStream(Events(then=StoreUnavailableError("away"))()), send)
    assert sent == []


async def test_a_client_that_reads_nothing_loses_its_stream() -> None:
    events = Events(None, None, None)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    await run(EventStream(events(), patience=0.01), send)
    assert events.closed


async def test_a_stream_that_is_cancelled_frees_its_place() -> None:
    events = Events(None, None)
    sending = asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sending.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(run(EventStream(events()), send))
    await sending.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert events.closed
