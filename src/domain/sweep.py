"""The sweep: how far the gateway's changes were gone through, and the payments it met that no order is for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.money import Money
from domain.payment import Payment, PaymentStatus

OVERLAP = timedelta(minutes=10)  # asked for again each time: the gateway may list a change late
MARGIN = timedelta(minutes=1)  # how far behind our own clock the point stays, whatever the gateway's clock says
AHEAD = timedelta(days=7)  # changes dated after our now are asked for too: the gateway's clock may be ahead of ours
FIRST = timedelta(days=7)  # how far back the first sweep goes
LEASE = timedelta(minutes=2)  # renewed with each batch, which takes seconds

_TOOK_NOTHING = frozenset({PaymentStatus.READY, PaymentStatus.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Where the sweep has got to, and who is at it.

    Every change of a payment up to ``reached`` was seen; None until one was. ``holder`` sweeps now, and may until
    ``held_until``. ``version`` is the stored row's, which changes with every save.
    """

    reached: datetime | None = None
    holder: str | None = None
    held_until: datetime | None = None
    version: int = 0

    def start(self, now: datetime) -> datetime:
        """From when on the next sweep must ask."""
        return self._seen_up_to(now) - OVERLAP

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

    def past(self, change: datetime, now: datetime) -> Sweep:
        """This sweep once every change up to ``change`` was seen.

        The point follows the gateway's changes, never our clock alone: one that jumps ahead would skip whatever
        happens until it is right. And it stays behind our clock: a change dated ahead of it would do the same.
        """
        behind = min(change, now - MARGIN)
        return self if self.reached is not None and behind <= self.reached else replace(self, reached=behind)

    def _seen_up_to(self, now: datetime) -> datetime:
        return self.reached or now - FIRST


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
