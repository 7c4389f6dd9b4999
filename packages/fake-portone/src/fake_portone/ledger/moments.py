"""Time in the ledger: whose clock it is, how changes are dated, and what happens by itself once its time has come."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from fake_portone.ledger.rules import RefusedError

_TICK = timedelta(microseconds=1)


class LedgerClock(Protocol):
    """What the ledger needs of time."""

    def wall(self) -> datetime:
        """What payments are dated with."""
        ...

    def elapsed(self) -> float:
        """Seconds, for lifetimes and waits."""
        ...


class Stamps:
    """Dates for changes."""

    def __init__(self, clock: LedgerClock) -> None:
        self._clock = clock
        self._last: datetime | None = None

    def next(self) -> datetime:
        """The time now, later than every stamp before: two changes never share one."""
        now = self._clock.wall()
        if self._last is not None and now <= self._last:
            now = self._last + _TICK
        self._last = now
        return now


@dataclass(frozen=True, slots=True)
class _Due:
    at: float
    act: Callable[[], object]


class Agenda:
    """What is to happen later. ``wake`` hears at which moment ``complete_due`` has something to do."""

    def __init__(self, clock: LedgerClock, wake: Callable[[float], object]) -> None:
        self._clock = clock
        self._wake = wake
        self._due: list[_Due] = []

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Have ``act`` done so many seconds of the clock from now; one that is refused by then is left undone."""
        due = _Due(self._clock.elapsed() + seconds, act)
        self._due.append(due)
        self._wake(due.at)

    def next_due(self) -> float | None:
        """When the next thing is to happen."""
        return min((due.at for due in self._due), default=None)

    def complete_due(self) -> None:
        """Do everything whose time has come, in the order of its time."""
        now = self._clock.elapsed()
        due = sorted((d for d in self._due if d.at <= now), key=lambda d: d.at)
        self._due = [d for d in self._due if d.at > now]
        for d in due:
            with suppress(RefusedError):
                d.act()
