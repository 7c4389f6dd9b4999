"""``python -m simulation``: play histories, each from its seed; the first that breaks a property is told in full.

``make simulate ARGS="--histories 10000"``; ``make simulate ARGS="--seed 4711"`` plays one again and tells its story.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from simulation.play import Outcome, Player, play_some, store_of
from simulation.properties import Property
from simulation.world import Plan

_CHUNK = 50


def main() -> int:
    """Play what the command line asks for; 1 where a property was broken."""
    asked = _asked()
    with tempfile.TemporaryDirectory(dir=_memory_disk()) as folder:
        if asked.seed is not None:
            return _tell(Player(Path(folder)), Plan(asked.seed, store_of(asked.seed, asked.store), written=True))
        began = time.perf_counter()
        outcome = Outcome()
        for part in _parts(asked, folder):
            outcome.histories += part.histories
            outcome.counts += part.counts
            outcome.broken += part.broken
            if sys.stderr.isatty():
                print(f"\r{outcome.histories.total():,} histories", end="", file=sys.stderr)
            if outcome.broken and asked.until_broken:
                break
        seconds = time.perf_counter() - began
        _report(outcome, seconds, asked.json)
        if outcome.broken and not asked.json:
            seed, store, *_ = min(outcome.broken)
            _tell(Player(Path(folder)), Plan(seed, store, written=True))
    return 1 if outcome.broken else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=1000, help="how many histories to play (1000)")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed (0)")
    parser.add_argument("--seed", type=int, help="play this one alone, and tell its story")
    parser.add_argument("--store", choices=("memory", "sqlite", "both"), default="both", help="one in 25 on SQLite")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many processes play (one per core)")
    parser.add_argument("--until-broken", action="store_true", help="stop at the first history that breaks a property")
    parser.add_argument("--json", action="store_true", help="report as JSON")
    return parser.parse_args()


def _parts(asked: argparse.Namespace, folder: str) -> Iterator[Outcome]:
    """The outcomes, some histories at a time, in the order of their seeds."""
    last = asked.first + asked.histories
    size = 1 if asked.until_broken and asked.jobs == 1 else min(_CHUNK, max(1, asked.histories // (asked.jobs * 4)))
    tasks = [(start, min(start + size, last), asked.store, folder) for start in range(asked.first, last, size)]
    if asked.jobs == 1:
        yield from map(play_some, tasks)
        return
    with ProcessPoolExecutor(asked.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(play_some, tasks)


def _report(outcome: Outcome, seconds: float, as_json: bool) -> None:
    violations = Counter(which for _, _, which, _ in outcome.broken)
    if as_json:
        print(
            json.dumps(
                {
                    "histories": outcome.histories,
                    "seconds": round(seconds, 1),
                    "violations": {which.value: violations[which.value] for which in Property},
                    "broken": sorted(outcome.broken)[:10],
                    "counts": outcome.counts,
                },
                ensure_ascii=False,
            )
        )
        return
    played = ", ".join(f"{count:,} on {store}" for store, count in sorted(outcome.histories.items()))
    print(f"{outcome.histories.total():,} histories ({played}) in {seconds:.0f} s")
    for what, count in sorted(outcome.counts.items()):
        print(f"{count:>11,}  {what}")
    print(f"{'violations':>11}  property")
    for which in Property:
        print(f"{violations[which.value]:>11,}  {which.value}")


def _tell(player: Player, plan: Plan) -> int:
    world, violation = player.play(plan)
    print("\n".join(world.story.lines))
    if violation is None:
        print(f"\nseed {plan.seed} on {plan.store}: every property held")
        return 0
    print(f'\nseed {plan.seed} on {plan.store}: {violation}\nmake simulate ARGS="--seed {plan.seed}" plays it again')
    return 1


def _memory_disk() -> str | None:
    """Where files cost no disk's time; None where the machine has no such place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a folder of our own is made in it


if __name__ == "__main__":
    sys.exit(main())
