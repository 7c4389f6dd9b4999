"""Death, an exception, a cancelled task and a hang at every step of every flow. The fake's ledger is the judge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.crashes import Arena, Case, every_case, nursery, sleeps, slice_for_ci, told


@pytest.fixture
async def arena(new_database: Any, town: Any, tmp_path: Path) -> AsyncIterator[Arena]:
    fake = await town.fake("http://127.0.0.1:9/nobody", "--speed", "2000")
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as http, nursery(http, tmp_path) as born:
        yield Arena(born, http, fake.url, new_database)


@pytest.mark.proves("No money is lost when a process dies, fails, is cancelled or hangs at any step")
async def test_nothing_is_lost_at_any_step(arena: Arena, cases: Any, *, full: bool) -> None:
    await check(arena, every_case() if full else slice_for_ci(), cases)


@pytest.mark.proves("No money is lost when a process sleeps through its lease")
async def test_nothing_is_lost_when_a_process_sleeps_while_others_do_its_work(
    arena: Arena, cases: Any, *, full: bool
) -> None:
    await check(arena, sleeps(full=full), cases)


async def check(arena: Arena, chosen: list[Case], cases: Any) -> None:
    found = await arena.try_all(chosen)
    cases.run += len(found)
    cases.violated += sum(bool(what) for what in found.values())
    assert not any(found.values()), told(found)
    assert arena.unexplained == []
