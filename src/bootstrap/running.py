"""How a process runs: one event loop, everything in it at once, and all of it ended cleanly by the first signal.

This is the process's business and not that of HTTP: a worker that serves nothing runs and ends in the same way.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Background = Callable[[asyncio.Event], Awaitable[None]]
"""Work beside the servers; it ends soon after its event is set."""


class Stoppable(Protocol):
    """A server, as far as its process is concerned."""

    async def run_until_stopped(self) -> None:
        """Serve until ``stop``."""
        ...

    def stop(self) -> None:
        """Come to an end soon."""
        ...


def run(work: Coroutine[Any, Any, T], *, least: int = logging.INFO) -> T:
    """Run ``work`` in this process's one event loop, with logs from level ``least`` up."""
    from bootstrap.logs import configure_logs  # noqa: PLC0415 - kept out of the way of commands that run nothing

    configure_logs(least=least)
    try:
        import uvloop  # noqa: PLC0415 - not made for Windows
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


@contextmanager
def stop_on_signal(stop: Callable[[], None]) -> Generator[None]:
    """Call ``stop`` in the event loop at every SIGINT or SIGTERM while the context is open."""
    loop = asyncio.get_running_loop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def run_together(
    servers: Sequence[Stoppable], background: Sequence[Background], *, stopping: asyncio.Event | None = None
) -> None:
    """Run everything until ``stopping`` is set, a signal comes, or one part ends; then stop all of it and return.

    A part that broke is raised, once the others have ended.
    """
    stop = stopping or asyncio.Event()
    with stop_on_signal(stop.set):
        parts = [asyncio.create_task(server.run_until_stopped()) for server in servers]
        parts += [asyncio.create_task(_run(work, stop)) for work in background]
        told = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((told, *parts), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            told.cancel()
            for server in servers:
                server.stop()
            ended = await asyncio.gather(*parts, return_exceptions=True)
    for end in ended:
        if isinstance(end, Exception):
            raise end


async def _run(work: Background, stopping: asyncio.Event) -> None:
    await work(stopping)
