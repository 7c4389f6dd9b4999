"""An event loop whose time passes only when there is nothing left to do: a day takes as long as its work does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class DeadlockError(RuntimeError):
    """Everybody waits, and nothing will ever wake anybody."""


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without files, sockets and threads. What is due at one moment runs in the order in which it was asked for.

    So one program always runs in one way, and everything that may come in any order has to draw its delays by lot.
    """

    _scheduled: list[asyncio.TimerHandle]  # the base's heap of timers

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = self

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        """Let the time pass for which a real loop would wait."""
        if timeout is None:
            raise DeadlockError("everybody waits, and nothing will ever wake anybody")
        if timeout > 0:
            self._now = max(self._now + timeout, self._next_timer())
        return []

    def _next_timer(self) -> float:
        return min((handle.when() for handle in self._scheduled[:1]), default=0.0)

    def _process_events(self, event_list: list[object]) -> None:
        """No files, no events."""

    def _write_to_self(self) -> None:
        """Nobody else could wake this loop."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` to its end on a loop of its own; whatever it left behind is cancelled."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
