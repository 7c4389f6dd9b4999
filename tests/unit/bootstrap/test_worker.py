"""The worker goes on whatever happens, and ends when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from application.check_due_orders import CheckDueOrders, Checked
from application.errors import GatewayUnavailableError, StoreUnavailableError
from application.sweep_payments import SweepPayments, Swept
from bootstrap.worker import keep_sweeping, work
from domain.ids import OrderId


class Scripted:
    """Answers as its script says; at its end it says so, and finds nothing due."""

    def __init__(self, *script: Any) -> None:
        self._script = list(script)
        self.ended = asyncio.Event()
        self.finished_within: float | None = None

    async def __call__(self) -> Sequence[Checked]:
        if not self._script:
            self.ended.set()
            return []
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        return cast("Sequence[Checked]", step)

    async def finish(self, within: float) -> None:
        self.finished_within = within


def checked(**more: Any) -> Checked:
    return Checked(order_id=OrderId("1" * 32), **more)


async def run(check: Any, stop_when: asyncio.Event) -> None:
    stopping = asyncio.Event()
    working = asyncio.create_task(work(cast("CheckDueOrders", check), stopping, idle=0.001, troubled=0.001))
    async with asyncio.timeout(5) as limit:
        await stop_when.wait()
        stopping.set()
        await working
    assert not limit.expired()


async def test_it_goes_on_after_failed_checks_broken_checks_and_a_dead_database() -> None:
    check = Scripted(
        [checked()],
        [checked(failure="the gateway is down"), checked(failure="broke", error=ValueError("unforeseen"))],
        StoreUnavailableError("no database"),
        [],
    )
    await run(check, check.ended)


async def test_it_goes_on_after_what_nobody_foresaw_and_so_does_the_service_beside_it() -> None:
    check = Scripted(ValueError("a row that cannot be read"), [checked()])
    await run(check, check.ended)


async def test_a_check_that_hangs_is_cancelled_soon_after_the_stop() -> None:
    begun = asyncio.Event()
    cancelled = asyncio.Event()

    class Hanging(Scripted):
        async def __call__(self) -> Sequence[Checked]:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return []

    await run(Hanging(), begun)
    assert cancelled.is_set()


async def test_slow_work_gets_a_moment_to_finish_after_the_stop() -> None:
    check = Scripted()
    await run(check, check.ended)
    assert check.finished_within == 1.5


async def sweep_until(sweep: Any, stop_when: asyncio.Event) -> None:
    stopping = asyncio.Event()
    sweeping = asyncio.create_task(keep_sweeping(cast("SweepPayments", sweep), stopping, every=0.001))
    async with asyncio.timeout(5):
        await stop_when.wait()
        stopping.set()
        await sweeping


async def test_sweeps_go_on_after_a_failed_one_and_one_that_broke_and_one_that_was_somebody_elses() -> None:
    swept = Swept(since=datetime(2026, 1, 1, tzinfo=UTC), orphans=1)
    script: list[Any] = [
        GatewayUnavailableError("down"),
        ValueError("unforeseen"),
        StoreUnavailableError("x"),
        None,
        swept,
    ]
    ended = asyncio.Event()

    async def sweep() -> Swept | None:
        if not script:
            ended.set()
            return None
        step = script.pop(0)
        if isinstance(step, Exception):
            raise step
        return cast("Swept | None", step)

    await sweep_until(sweep, ended)
    assert not script


async def test_no_sweep_begins_before_the_last_one_has_ended_and_one_under_way_is_cancelled_at_the_stop() -> None:
    begun, times, cancelled = asyncio.Event(), 0, 0

    async def hang() -> None:
        nonlocal times, cancelled
        times += 1
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise

    await sweep_until(hang, begun)
    assert (times, cancelled) == (1, 1)
