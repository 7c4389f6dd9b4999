"""Playing histories: each from its seed, to its end or to the first property it breaks."""

from __future__ import annotations

import logging
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from simulation.properties import ViolationError
from simulation.sqlite_in_loop import Databases
from simulation.virtual_time import run
from simulation.world import Plan, World, memory_store

_ON_SQLITE = 25  # where both stores are wanted, one history in so many is played there


@dataclass(slots=True)
class Outcome:
    """What became of some histories: how many there were, which broke what, and what happened in them."""

    histories: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str, str, str]] = field(default_factory=list)  # seed, store, property, what
    counts: Counter[str] = field(default_factory=Counter)


class Player:
    """Plays histories one after the other."""

    def __init__(self, folder: Path) -> None:
        logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # the dead leave connections behind
        self._folder = folder
        self._databases: Databases | None = None

    def play(self, plan: Plan) -> tuple[World, ViolationError | None]:
        """Play one history to its end, or to the first property it breaks."""
        worlds: list[World] = []
        databases = self._open() if plan.store == "sqlite" else None

        async def main() -> None:
            random.seed(plan.seed)  # pauses between two tries are drawn from the process's own generator
            worlds.append(World(plan, databases.fresh() if databases else memory_store()))
            try:
                await worlds[0].play()
            finally:
                if databases is not None:
                    await databases.close()

        try:
            run(main())
        except ViolationError as violation:
            return worlds[0], violation
        return worlds[0], None

    def _open(self) -> Databases:
        if self._databases is None:
            self._databases = Databases(self._folder)
        return self._databases


def store_of(seed: int, wanted: str) -> str:
    """On which store a history is played."""
    if wanted != "both":
        return wanted
    return "memory" if seed % _ON_SQLITE else "sqlite"


_player: list[Player] = []


def play_some(task: tuple[int, int, str, str]) -> Outcome:
    """Play the histories from one seed up to another, in this process: (first, last, store, folder)."""
    first, last, store, folder = task
    if not _player:
        own = Path(folder) / str(os.getpid())
        own.mkdir()
        _player.append(Player(own))
    outcome = Outcome()
    for seed in range(first, last):
        plan = Plan(seed, store_of(seed, store))
        world, violation = _player[0].play(plan)
        outcome.histories[plan.store] += 1
        outcome.counts += world.judge.counts
        if violation is not None:
            outcome.broken.append((seed, plan.store, violation.property.value, violation.what))
    return outcome
