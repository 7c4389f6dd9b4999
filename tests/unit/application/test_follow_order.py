"""The stream of one order: what it begins with, that it misses nothing, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Any, cast

import pytest

from adapters.notify.in_process import InProcessNotifier
from application.errors import OrderNotFoundError, StoreUnavailableError, TooManyStreamsError
from application.follow_order import FollowOrder, OrderEvent, Pace
from application.ports import Store
from application.tickets import IssueTicket, RedeemTicket

QUICK = Pace(heartbeat=0.02, catch_up=0.01, lifetime=5)
Stream = AsyncGenerator[OrderEvent | None, None]


def follow(world: Any, placed: Any, after: int | None = None, pace: Pace | None = None) -> Stream:
    return FollowOrder(world.store, world.notifier, pace)(placed.order, after)


async def rest_of(stream: Stream) -> list[tuple[int, str, str]]:
    async with asyncio.timeout(5):
        return [(e.seq, e.kind, e.order.status.value) async for e in stream if e is not None]


async def test_it_begins_with_a_snapshot_and_ends_after_the_terminal_event(world: Any) -> None:
    placed = await world.place()
    stream = follow(world, placed)
    first = await anext(stream)
    assert first is not None
    assert (first.seq, first.kind, first.order.status) == (1, "snapshot", "PENDING")
    world.pay(placed)
    await world.webhook(placed)
    assert await rest_of(stream) == [(2, "payment_observed", "PENDING"), (3, "completed", "COMPLETED")]
    assert world.notifier.followers == 0


async def test_an_order_that_is_over_is_a_snapshot_and_the_end(world: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    await world.webhook(placed)
    assert await rest_of(follow(world, placed)) == [(3, "snapshot", "COMPLETED")]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (1, [(1, "snapshot", "PENDING"), (2, "payment_observed", "PENDING"), (3, "completed", "COMPLETED")]),
        (2, [(2, "snapshot", "PENDING"), (3, "completed", "COMPLETED")]),
        (3, [(3, "snapshot", "COMPLETED")]),
        (4, [(3, "snapshot", "COMPLETED")]),
        (None, [(3, "snapshot", "COMPLETED")]),
    ],
)
async def test_it_resumes_after_the_last_event_that_was_seen(world: Any, after: int | None, expected: Any) -> None:
    placed = await world.place()
    world.pay(placed)
    await world.webhook(placed)
    assert await rest_of(follow(world, placed, after)) == expected


async def test_it_goes_on_until_the_money_is_back(world: Any) -> None:
    placed = await world.place()
    world.pay(placed, total=1_000)
    stream = follow(world, placed)
    await anext(stream)
    await world.webhook(placed)
    await world.rest(placed)
    kinds = [kind for _, kind, _ in await rest_of(stream)]
    assert kinds == ["payment_observed", "cancelled", "refund_requested", "payment_observed", "refund_succeeded"]


async def test_a_lost_notification_delays_and_loses_nothing(world: Any) -> None:
    placed = await world.place()
    deaf = FollowOrder(world.store, InProcessNotifier(), QUICK)
    stream = deaf(placed.order)
    await anext(stream)
    world.pay(placed)
    await world.webhook(placed)
    assert [kind for _, kind, _ in await rest_of(stream)] == ["payment_observed", "completed"]


class Forgetful:
    """A store that can be away for a while."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.away = False

    def reading(self) -> Any:
        if self.away:
            raise StoreUnavailableError("away")
        return self._store.reading()


async def test_a_database_that_is_away_for_a_while_delays_and_ends_no_stream(world: Any) -> None:
    placed = await world.place()
    store = Forgetful(world.store)
    stream = FollowOrder(cast("Store", store), world.notifier, QUICK)(placed.order)
    await anext(stream)
    store.away = True
    world.pay(placed)
    await world.webhook(placed)
    async with asyncio.timeout(5):
        assert [await anext(stream) for _ in range(3)] == [None, None, None]
    store.away = False
    assert await rest_of(stream) == [(2, "payment_observed", "PENDING"), (3, "completed", "COMPLETED")]


async def test_it_beats_while_nothing_happens(world: Any) -> None:
    placed = await world.place()
    async with aclosing(follow(world, placed, pace=QUICK)) as stream:
        await anext(stream)
        async with asyncio.timeout(5):
            assert [await anext(stream) for _ in range(3)] == [None, None, None]


async def test_it_ends_with_its_lifetime(world: Any) -> None:
    placed = await world.place()
    stream = follow(world, placed, pace=Pace(heartbeat=60, catch_up=0.01, lifetime=0.05))
    assert [kind for _, kind, _ in await rest_of(stream)] == ["snapshot"]


async def test_it_ends_when_the_service_ends(world: Any) -> None:
    placed = await world.place()
    stream = follow(world, placed)
    await anext(stream)
    waiting = asyncio.ensure_future(rest_of(stream))
    world.notifier.close()
    assert await waiting == []


async def test_a_follower_that_goes_away_leaves_nothing_behind(world: Any) -> None:
    placed = await world.place()
    stream = follow(world, placed)
    await anext(stream)
    assert world.notifier.followers == 1
    await stream.aclose()
    assert world.notifier.followers == 0


async def test_more_followers_than_fit_are_told_so(world: Any) -> None:
    placed = await world.place()
    notifier = InProcessNotifier(per_order=1)
    streams = [FollowOrder(world.store, notifier)(placed.order) for _ in range(2)]
    await anext(streams[0])
    with pytest.raises(TooManyStreamsError):
        await anext(streams[1])
    await streams[0].aclose()


async def test_a_ticket_opens_its_own_order_for_a_minute(world: Any) -> None:
    placed, other = await world.place(), await world.place(("programme", 1))
    issue, redeem = IssueTicket(world.read_order, world.now), RedeemTicket(world.store, world.now)
    ticket = await issue(placed.order.id, placed.token)
    assert (await redeem(placed.order.id, ticket)).id == placed.order.id
    with pytest.raises(OrderNotFoundError):
        await redeem(other.order.id, ticket)
    world.pass_time(seconds=60)
    assert (await redeem(placed.order.id, ticket)).id == placed.order.id
    world.pass_time(seconds=1)
    with pytest.raises(OrderNotFoundError):
        await redeem(placed.order.id, ticket)


@pytest.mark.parametrize(
    "change", ["later", "other stamp", "no dot", "", "\u0661\u0662.x", "9" * 40 + ".x", "\ud800.x"]
)
async def test_no_altered_ticket_opens_anything(world: Any, change: str) -> None:
    placed = await world.place()
    ticket = await IssueTicket(world.read_order, world.now)(placed.order.id, placed.token)
    expires, _, stamp = ticket.partition(".")
    later = int((world.now() + timedelta(hours=1)).timestamp())
    altered = {"later": f"{later}.{stamp}", "other stamp": f"{expires}.{stamp[::-1]}", "no dot": expires + stamp}
    with pytest.raises(OrderNotFoundError):
        await RedeemTicket(world.store, world.now)(placed.order.id, altered.get(change, change))
