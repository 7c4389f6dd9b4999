"""Rings followers within this process. Other processes' followers see a change when they next look by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from application.errors import TooManyStreamsError
from application.ports import OrderNotifier, Wakeups
from domain.ids import OrderId

_PER_ORDER = 8  # a few tabs, and connections of theirs that are dead without our knowing yet
_IN_ALL = 2000


class InProcessNotifier(OrderNotifier):
    """At most ``per_order`` followers of one order and ``in_all`` of all orders together."""

    def __init__(self, *, per_order: int = _PER_ORDER, in_all: int = _IN_ALL) -> None:
        self._per_order = per_order
        self._in_all = in_all
        self._bells: dict[OrderId, set[_Bell]] = {}
        self._followers = 0
        self._closing = False

    async def publish(self, order_id: OrderId) -> None:
        """Ring every follower of this order."""
        for bell in self._bells.get(order_id, ()):
            bell.ring()

    @contextmanager
    def subscribe(self, order_id: OrderId) -> Iterator[Wakeups]:
        """A bell for this order; the place is taken on entering, and free again on leaving."""
        bells = self._bells.get(order_id, set())
        if self._followers >= self._in_all or len(bells) >= self._per_order:
            raise TooManyStreamsError("too many streams are open; close one, or try again in a minute")
        bell = _Bell()
        bells.add(bell)
        self._bells[order_id] = bells
        self._followers += 1
        try:
            yield bell
        finally:
            self._followers -= 1
            bells.discard(bell)
            if not bells:
                del self._bells[order_id]

    def close(self) -> None:
        """Ring everybody for the last time."""
        self._closing = True
        for bells in self._bells.values():
            for bell in bells:
                bell.ring()

    @property
    def closing(self) -> bool:
        """Whether followers should come to their end."""
        return self._closing

    @property
    def followers(self) -> int:
        """How many follow now."""
        return self._followers


class _Bell(Wakeups):
    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring; each ring wakes once."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True
