from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from fake_portone.clock import Background, FakeClock

NOON = datetime(2024, 4, 25, 12, tzinfo=UTC)


class Machine:
    """The machine's own clocks, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def machine() -> Machine:
    return Machine()


def clock_of(machine: Machine, speed: float = 60.0) -> FakeClock:
    return FakeClock(now=machine.now, monotonic=machine.monotonic, speed=speed)


def test_speed_makes_elapsed_run_and_leaves_the_wall_alone(machine: Machine) -> None:
    clock = clock_of(machine)
    machine.seconds = 10
    assert clock.elapsed() == 600
    assert clock.wall() == clock.real() == NOON + timedelta(seconds=10)


def test_advance_pushes_both_on_and_never_the_machine(machine: Machine) -> None:
    clock = clock_of(machine)
    clock.set(advance=3_600)
    assert clock.elapsed() == 3_600
    assert clock.wall() == NOON + timedelta(hours=1)
    assert clock.real() == NOON
    assert clock.advanced == 3_600


def test_a_new_speed_counts_from_now_on(machine: Machine) -> None:
    clock = clock_of(machine)
    machine.seconds = 10
    clock.set(speed=1)
    machine.seconds = 15
    assert clock.elapsed() == 605


@pytest.mark.parametrize("speed", [-1.0, 1e7, float("nan"), float("inf")])
def test_an_impossible_speed_is_refused(machine: Machine, speed: float) -> None:
    clock = clock_of(machine)
    with pytest.raises(ValueError, match="speed must be"):
        clock.set(speed=speed)
    assert clock.speed == 60


@pytest.mark.parametrize("advance", [-1.0, 1e12, float("nan"), float("inf")])
def test_time_goes_forward_and_not_for_ever(machine: Machine, advance: float) -> None:
    clock = clock_of(machine)
    with pytest.raises(ValueError, match="time goes forward"):
        clock.set(advance=advance)
    assert clock.elapsed() == 0


async def test_who_sleeps_wakes_when_time_is_pushed_far_enough() -> None:
    clock = FakeClock(speed=0)
    sleeping = asyncio.create_task(clock.sleep(60))
    await asyncio.sleep(0)
    clock.set(advance=59)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not sleeping.done()
    clock.set(advance=1)
    async with asyncio.timeout(5):
        await sleeping


async def test_who_sleeps_wakes_sooner_when_time_runs_faster() -> None:
    clock = FakeClock(speed=0)
    sleeping = asyncio.create_task(clock.sleep(3_600))
    await asyncio.sleep(0)
    clock.set(speed=1e6)
    async with asyncio.timeout(5):
        await sleeping


async def test_no_time_at_all_needs_no_wait() -> None:
    await FakeClock(speed=0).sleep(0)


async def test_closing_ends_what_is_under_way() -> None:
    background = Background()
    task = background.spawn(asyncio.Event().wait())
    await background.close()
    assert task.cancelled()
