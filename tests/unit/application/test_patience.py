"""How long is waited for others, and how often something is tried: on a clock that nobody has to wait for."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from application.errors import ConflictError, StoreUnavailableError
from application.handle_webhook_event import HandleWebhookEvent, WebhookOutcome
from application.transact import retrying
from domain.lifecycle import OrderStatus


class _Selector(selectors.DefaultSelector):
    """Where others wait, here it is later."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if timeout is None else 0)
        if not ready:
            self.now += timeout or 0
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        await story()

    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(told())


def now() -> float:
    return asyncio.get_running_loop().time()


class SilentGateway:
    """Takes every question, and an hour over each."""

    def __init__(self, _: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return self._in_an_hour

    async def _in_an_hour(self, *_: Any) -> Any:
        await asyncio.sleep(3600)


def test_a_silent_gateway_delays_placing_by_two_seconds(new_world: Any) -> None:
    async def story() -> None:
        world = await new_world(SilentGateway)
        assert (await world.place()).order.status is OrderStatus.PENDING
        assert now() == pytest.approx(2)

    run(story)


def test_a_silent_gateway_delays_the_answer_to_a_webhook_by_five_seconds(new_world: Any) -> None:
    async def story() -> None:
        world = await new_world(SilentGateway, budget=1.5)
        placed = await world.place()
        handle = HandleWebhookEvent(world.store, world.gateway, world.reconcile, world.now)
        begun = now()
        assert await handle(world.event(placed)) is WebhookOutcome.STORED
        assert now() - begun == pytest.approx(5)
        begun = now()
        assert await world.webhook(placed) is WebhookOutcome.STORED
        assert now() - begun == pytest.approx(1.5), "as the composition root says"

    run(story)


def test_a_silent_gateway_keeps_a_returning_buyer_waiting_for_eight_seconds(new_world: Any) -> None:
    async def story() -> None:
        world = await new_world(SilentGateway)
        placed = await world.place()
        begun = now()
        assert (await world.verify_payment(placed.order.id, placed.token)).status is OrderStatus.PENDING
        assert now() - begun == pytest.approx(8)

    run(story)


# --- somebody else was faster --------------------------------------------------------------------------------------


async def tried(conflicts: int) -> list[float]:
    """When a unit of work was run that meets so many conflicts."""
    runs: list[float] = []

    async def work() -> str:
        runs.append(now())
        if len(runs) <= conflicts:
            raise ConflictError("somebody was faster")
        return "done"

    if conflicts < 8:
        assert await retrying(work) == "done"
    else:
        with pytest.raises(ConflictError, match="somebody was faster"):
            await retrying(work)
    return runs


@pytest.mark.parametrize(("conflicts", "runs"), [(0, 1), (1, 2), (7, 8), (8, 8), (100, 8)])
def test_a_unit_of_work_is_run_until_nobody_is_faster_and_eight_times_at_most(conflicts: int, runs: int) -> None:
    async def story() -> None:
        assert len(await tried(conflicts)) == runs

    run(story)


def test_nothing_but_a_conflict_is_tried_again() -> None:
    async def story() -> None:
        runs = []

        async def work() -> None:
            runs.append(now())
            raise StoreUnavailableError("the disk is full")

        with pytest.raises(StoreUnavailableError):
            await retrying(work)
        assert runs == [0]

    run(story)


def test_the_pauses_between_are_spread_over_ten_milliseconds_doubling_each_time() -> None:
    pauses: list[list[float]] = [[] for _ in range(7)]

    async def story() -> None:
        random.seed(20261124)
        for _ in range(400):
            runs = await tried(100)
            for pause, before, after in zip(pauses, runs, runs[1:], strict=False):
                pause.append(after - before)

    run(story)
    for doubled, pause in enumerate(pauses):
        most = 0.01 * 2**doubled
        assert 0.97 * most < max(pause) <= most * 1.001
        assert min(pause) < 0.03 * most
