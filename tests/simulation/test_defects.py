"""The proof of the proof: whatever is done wrong on purpose, the judge notices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from proof import Cases
from simulation.defects import DEFECTS, HISTORIES, Caught, Defect


@pytest.fixture(scope="module")
def caught() -> Iterator[dict[str, Future[Caught]]]:
    """Every defect is planted and played in a process of its own, as many at once as there are cores."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield {defect.name: pool.submit(defect.play) for defect in DEFECTS}


@pytest.mark.proves("every seeded defect is noticed by the simulation")
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_the_simulation_notices_that(defect: Defect, caught: dict[str, Future[Caught]], cases: Cases) -> None:
    found = caught[defect.name].result()
    cases.run = 1
    assert found.after is not None, f"{defect.name}: not noticed in {HISTORIES:,} histories"
    cases.notes.append(f"{defect.name}: noticed after {found.after:,} (“{found.broken}”)")
