"""The fake's time: the wall's, and one of its own that can run faster and be pushed on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

_T = TypeVar("_T")

ADVANCED_MOST = 10 * 366 * 86_400.0
SPEED_MOST = 1e6


def utc_now() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


class FakeClock:
    """Two times. ``advance`` pushes both on; ``speed`` only makes ``elapsed`` run faster than the wall.

    ``wall`` dates payments, so that they agree with the clocks of whoever asks. ``elapsed`` counts seconds: the waits
    between a webhook's retries, an asynchronous cancellation, the life of an Idempotency-Key. ``real`` is the machine's
    own and cannot be moved: it is what a webhook is signed with, and its receiver allows five minutes of difference.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        speed: float = 1.0,
    ) -> None:
        self._now = now
        self._monotonic = monotonic
        self._speed = speed
        self._since = monotonic()
        self._elapsed = 0.0
        self._advanced = 0.0
        self._moved = asyncio.Event()

    @property
    def speed(self) -> float:
        """How many seconds of ``elapsed`` pass in one of the wall's; 0 stops it."""
        return self._speed

    @property
    def advanced(self) -> float:
        """By how many seconds both times were pushed on so far."""
        return self._advanced

    def real(self) -> datetime:
        """The machine's time."""
        return self._now()

    def wall(self) -> datetime:
        """The machine's time, pushed on."""
        return self._now() + timedelta(seconds=self._advanced)

    def elapsed(self) -> float:
        """Seconds since the start, sped up and pushed on."""
        return self._elapsed + (self._monotonic() - self._since) * self._speed

    def set(self, *, speed: float | None = None, advance: float = 0.0) -> None:
        """Change the speed from now on, push both times on; whoever sleeps checks again. Raises ValueError."""
        wanted = self._speed if speed is None else speed
        if not 0 <= wanted <= SPEED_MOST:
            raise ValueError(f"speed must be from 0 to {SPEED_MOST:.0f}")
        if not 0 <= self._advanced + advance <= ADVANCED_MOST or advance < 0:
            raise ValueError(f"time goes forward only, and by {ADVANCED_MOST:.0f} seconds in all")
        self._elapsed, self._since = self.elapsed() + advance, self._monotonic()
        self._speed = wanted
        self._advanced += advance
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def sleep(self, seconds: float) -> None:
        """Wait until ``elapsed`` is ``seconds`` further on."""
        until = self.elapsed() + seconds
        while (left := until - self.elapsed()) > 0:
            moved = self._moved
            with suppress(TimeoutError):
                async with asyncio.timeout(left / self._speed if self._speed else None):
                    await moved.wait()


class Background:
    """Tasks that outlive whoever began them, until ``close``."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Begin ``work`` now."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def close(self) -> None:
        """Cancel whatever is still under way, and wait until it has ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits gets it too; nobody is no reason to warn
