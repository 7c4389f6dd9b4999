"""Telling followers that there is something new to read."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from domain.ids import OrderId


class Subscription(Protocol):
    """One follower's place at the notifier."""

    async def wait(self, seconds: float) -> bool:
        """True as soon as there was something new since the last wait, False after ``seconds`` without."""
        ...


class OrderNotifier(Protocol):
    """Says that there is something new to read; never what.

    A notification may be lost: followers also read by themselves.
    """

    async def publish(self, order_id: OrderId) -> None:
        """Notify every follower of this order. Never raises, never waits for a follower."""
        ...

    def subscribe(self, order_id: OrderId) -> AbstractContextManager[Subscription]:
        """A subscription to this order until the context is left, which needs no waiting.

        Raises TooManyStreamsError where the order or the process has its fill of followers.
        """
        ...

    def close(self) -> None:
        """Notify everybody for the last time: ``closing`` is True from now on."""
        ...

    @property
    def closing(self) -> bool:
        """Whether followers should come to their end."""
        ...
