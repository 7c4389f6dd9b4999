"""Idempotency keys: what became of each request that carried one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fake_portone.ledger.moments import LedgerClock
from fake_portone.ledger.rules import RefusedError

_KEYS_LIVE = 3 * 3600.0


@dataclass(frozen=True, slots=True)
class _Remembered:
    until: float
    outcome: object | None  # None: still under way, however long it takes

    def is_forgotten(self, now: float) -> bool:
        return self.outcome is not None and self.until <= now


class IdempotencyKeys:
    """What became of each request that carried a key, for three hours of the fake's time.

    A refusal is remembered like a success, and a key used for another request gets the first one's answer: PortOne
    says nothing of the one, and calls the other undefined.
    """

    def __init__(self, clock: LedgerClock) -> None:
        self._clock = clock
        self._remembered: dict[str, _Remembered] = {}

    def begin(self, key: str) -> object | None:
        """The outcome of the request that had this key before; None, and it is under way, if there was none."""
        now = self._clock.elapsed()
        before = self._remembered.get(key)
        if before is None or before.is_forgotten(now):
            self._forget(now)
            self._remembered.pop(key, None)
            self._remembered[key] = _Remembered(now + _KEYS_LIVE, None)
            return None
        if before.outcome is None:
            raise RefusedError("IDEMPOTENCY_OUTSTANDING_REQUEST", "a request with this key is still under way")
        return before.outcome

    def finish(self, key: str, outcome: object) -> None:
        """The request is done, and this is what its key answers from now on."""
        self._remembered[key] = replace(self._remembered[key], outcome=outcome)

    def abandon(self, key: str) -> None:
        """The request never got as far as being done."""
        del self._remembered[key]

    def _forget(self, now: float) -> None:
        """Drop the oldest keys whose time is over: they stand in the order of their beginnings."""
        while self._remembered:
            key, oldest = next(iter(self._remembered.items()))
            if not oldest.is_forgotten(now):
                return
            del self._remembered[key]
