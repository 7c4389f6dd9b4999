"""The sweep: how far the gateway's list was gone through, and the payments it met that no order is for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.money import Money
from domain.payment import Payment, PaymentStatus

OVERLAP = timedelta(minutes=10)  # asked for again each time: the gateway may list a change late, and clocks differ
MARGIN = timedelta(minutes=1)  # how far behind our own clock the point stays
AGAIN = timedelta(days=3)  # how far back everything is swept again: a change may be listed much later than it is dated
AGAIN_EVERY = timedelta(hours=6)
GAP_MOST = timedelta(days=3)  # how long a window that does not add up holds the point back
AHEAD = timedelta(days=7)  # changes dated after our now are asked for too: the gateway's clock may be ahead of ours
FIRST = timedelta(days=7)  # how far back the first sweep goes
LEASE = timedelta(minutes=2)  # renewed with each batch, which takes seconds

_TOOK_NOTHING = frozenset({PaymentStatus.READY, PaymentStatus.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Where the sweep has got to, and who is at it.

    ``reached`` is the end of the last window of ours that was gone through, None until one was. It is a time by our
    own clock, and no stamp of the gateway's. The last days were swept again at ``again_at``. ``holder`` sweeps now,
    and may until ``held_until``. ``version`` is the stored row's, which changes with every save.
    """

    reached: datetime | None = None
    again_at: datetime | None = None
    holder: str | None = None
    held_until: datetime | None = None
    version: int = 0

    def start(self, now: datetime) -> datetime:
        """From when on the next sweep must ask."""
        return self._seen_up_to(now) - OVERLAP

    def end(self, now: datetime) -> datetime:
        """Up to when the next sweep must ask: our clock may be behind what it was, or behind the gateway's."""
        return max(now, self.reached or now) + AHEAD

    def is_again_due(self, now: datetime, every: timedelta) -> bool:
        """Whether it is time to sweep the last days again; a time to come is the work of a wrong clock."""
        return self.again_at is None or not self.again_at <= now < self.again_at + every

    def swept_again(self, now: datetime) -> Sweep:
        """This sweep once the last days were gone through again."""
        return replace(self, again_at=now)

    def is_held(self, now: datetime) -> bool:
        """Whether somebody is sweeping, and has not been silent for too long.

        A lease longer than any is the work of a clock that was wrong, and holds nobody up.
        """
        return self.held_until is not None and now < self.held_until <= now + 2 * LEASE

    def held_by(self, holder: str, now: datetime) -> Sweep:
        """This sweep in the hands of ``holder``, from now on for a while."""
        return replace(self, holder=holder, held_until=now + LEASE)

    def released(self) -> Sweep:
        """This sweep in nobody's hands."""
        return replace(self, holder=None, held_until=None)

    def joins(self, since: datetime, now: datetime) -> bool:
        """Whether a sweep from ``since`` on leaves no gap behind the point reached."""
        return since <= self._seen_up_to(now)

    def past(self, end: datetime, now: datetime) -> Sweep:
        """This sweep once a window of ours up to ``end`` was gone through. The point stays behind our clock."""
        behind = min(end, now - MARGIN)
        joined = self._joined(now)
        return self if joined is not None and behind <= joined else replace(self, reached=behind)

    def _seen_up_to(self, now: datetime) -> datetime:
        joined = self._joined(now)
        return now - FIRST if joined is None else min(joined, now)

    def _joined(self, now: datetime) -> datetime | None:
        """The point reached, unless it lies so far ahead that a clock was wrong: then nobody knows what was seen."""
        return None if self.reached is None or self.reached > now + OVERLAP else self.reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A payment of our store that no order is for, as the gateway told of it last. Money was taken, or may be.

    It is for a person to say whose it is: nothing here is ever given back by itself.
    """

    payment_id: str
    store_id: str | None
    said: str
    captured: Money
    cancelled: Money
    changed_at: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime

    @property
    def left(self) -> Money:
        """What was taken and has not gone back."""
        return self.captured.less(self.cancelled)


def orphan(payment: Payment, now: datetime) -> Orphan | None:
    """What to note of a ``payment`` without an order; None where it took nothing, or its status is a word unknown."""
    if payment.status in _TOOK_NOTHING or payment.status is PaymentStatus.UNKNOWN:
        return None
    return Orphan(
        payment_id=payment.id,
        store_id=payment.store_id,
        said=payment.said,
        captured=payment.captured or Money.zero(payment.total.currency),
        cancelled=payment.cancelled,
        changed_at=payment.changed_at,
        first_seen_at=now,
        last_seen_at=now,
    )
