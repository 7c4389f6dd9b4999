"""Everything in a process begins together and ends together."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from bootstrap.running import run_together


class NotedServer:
    def __init__(self) -> None:
        self.stopped = asyncio.Event()

    async def run_until_stopped(self) -> None:
        await self.stopped.wait()

    def stop(self) -> None:
        self.stopped.set()


async def until_told(stopping: asyncio.Event) -> None:
    await stopping.wait()


async def at_once(stopping: asyncio.Event) -> None:
    return


async def broken(stopping: asyncio.Event) -> None:
    raise OSError("the disk is full")


async def test_when_one_part_ends_the_others_are_stopped() -> None:
    server = NotedServer()
    async with asyncio.timeout(5):
        await run_together([server], [at_once, until_told])
    assert server.stopped.is_set()


async def test_a_part_that_breaks_is_raised_once_the_others_have_ended() -> None:
    server = NotedServer()
    with pytest.raises(OSError, match="the disk is full"):
        await run_together([server], [until_told, broken])
    assert server.stopped.is_set()


async def test_whoever_started_it_may_end_it() -> None:
    stopping = asyncio.Event()
    running = asyncio.create_task(run_together([NotedServer()], [until_told], stopping=stopping))
    stopping.set()
    async with asyncio.timeout(5):
        await running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_and_signals_then_mean_what_they_meant(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    ready = asyncio.Event()

    async def tell(stopping: asyncio.Event) -> None:
        ready.set()
        await stopping.wait()

    running = asyncio.create_task(run_together([NotedServer()], [tell]))
    await ready.wait()
    os.kill(os.getpid(), number)
    async with asyncio.timeout(5):
        await running
    assert signal.getsignal(number) == before
