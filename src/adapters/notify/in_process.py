"""Notifies followers within this process. Other processes' followers see a change when they next read by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from application.errors import TooManyStreamsError
from application.ports import OrderNotifier, Subscription
from domain.ids import OrderId

_PER_ORDER = 8  # a few tabs, and connections of theirs that are dead without our knowing yet
_IN_ALL = 2000


class InProcessNotifier(OrderNotifier):
    """At most ``per_order`` followers of one order and ``in_all`` of all orders together."""

    def __init__(self, *, per_order: int = _PER_ORDER, in_all: int = _IN_ALL) -> None:
        self._per_order = per_order
        self._in_all = in_all
        self._subscriptions: dict[OrderId, set[InProcessSubscription]] = {}
        self._followers = 0
        self._closing = False

    async def publish(self, order_id: OrderId) -> None:
        """Notify every follower of this order."""
        for subscription in self._subscriptions.get(order_id, ()):
            subscription.notify()

    @contextmanager
    def subscribe(self, order_id: OrderId) -> Iterator[Subscription]:
        """A subscription to this order; the place is taken on entering, and free again on leaving."""
        its = self._subscriptions.get(order_id, set())
        if self._followers >= self._in_all or len(its) >= self._per_order:
            raise TooManyStreamsError("too many streams are open; close one, or try again in a minute")
        subscription = InProcessSubscription()
        its.add(subscription)
        self._subscriptions[order_id] = its
        self._followers += 1
        try:
            yield subscription
        finally:
            self._followers -= 1
            its.discard(subscription)
            if not its:
                del self._subscriptions[order_id]

    def close(self) -> None:
        """Notify everybody for the last time."""
        self._closing = True
        for its in self._subscriptions.values():
            for subscription in its:
                subscription.notify()

    @property
    def closing(self) -> bool:
        """Whether followers should come to their end."""
        return self._closing

    @property
    def followers(self) -> int:
        """How many follow now."""
        return self._followers


class InProcessSubscription(Subscription):
    """A place that one follower waits at."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def notify(self) -> None:
        """There is something new."""
        self._news.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for something new; however much there is, it wakes once."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True
