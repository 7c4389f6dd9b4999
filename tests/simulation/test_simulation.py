"""Ten thousand histories, each property a row of its own; and what makes a history worth believing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from proof import Cases
from simulation.defects import TESTS, import_path
from simulation.properties import Property

FIRST, HISTORIES, IN_FULL = 1_000_000, 10_000, 200_000


def simulate(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m simulation`` as anybody would."""
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-W", "error", "-m", "simulation", *arguments],
        env=os.environ | {"PYTHONPATH": import_path(TESTS)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def played(full: bool) -> Any:
    """What became of the histories; all of them are played once, for every property."""
    histories = IN_FULL if full else HISTORIES
    done = simulate("--first", str(FIRST), "--histories", str(histories), "--json")
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


PROPERTIES = [
    pytest.param(which, marks=pytest.mark.proves(f"in every history: {which.value}"), id=which.name.lower())
    for which in Property
]


@pytest.mark.parametrize("which", PROPERTIES)
def test_every_history_keeps(which: Property, cases: Cases, played: Any) -> None:
    cases.run = sum(played["histories"].values())
    cases.violated = played["violations"][which.value]
    stories = [f'make simulate ARGS="--seed {seed}"' for seed, _, broken, _ in played["broken"] if broken == which]
    assert not cases.violated, f"{cases.violated} of {cases.run} histories; {' or '.join(stories[:3])} tells the story"


def test_the_histories_are_full_of_trouble(played: Any) -> None:
    """No property holds because nothing happened."""
    least = {
        "COMPLETED": 1000,
        "CANCELLED EXPIRED": 1000,
        "CANCELLED ABANDONED": 100,
        "CANCELLED MISMATCH": 100,
        "CANCELLED REFUNDED": 100,
        "CANCELLED PAYMENT_CANCELLED": 10,
        "answers lost": 1000,
        "cancellations asked for": 1000,
        "cancelled in the console": 100,
        "commits done and not confirmed": 1000,
        "deaths": 1000,
        "refunds asked for": 1000,
        "webhooks duplicate": 1000,
        "webhooks reconciled": 1000,
        "webhooks stored": 1000,
    }
    assert {
        what: played["counts"].get(what, 0) for what, count in least.items() if played["counts"].get(what, 0) < count
    } == {}
    assert played["histories"]["sqlite"] * 25 >= played["histories"]["memory"]


@pytest.mark.parametrize("seed", [50, 61])  # one on SQLite, one in memory
def test_a_seed_always_tells_the_same_story(seed: int) -> None:
    first, second = (simulate("--seed", str(seed), PYTHONHASHSEED=hash_seed) for hash_seed in ("1", "2"))
    assert first.stdout == second.stdout
    assert "calm from now on" in first.stdout
    assert "every property held" in first.stdout
