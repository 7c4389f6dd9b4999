"""Who follows the fake as it goes, and what each of them has not been told of yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fake_portone.ledger import PaymentRecord
from fake_portone.shapes import time_json
from fake_portone.webhooks import Delivery

_BEAT = 15.0
_TOGETHER = 0.05  # seconds in which changes gather for one event


@dataclass(frozen=True, slots=True)
class News:
    """What to tell a follower of: payments by their ids, and webhooks."""

    payments: set[str] = field(default_factory=set)
    deliveries: dict[Delivery, None] = field(default_factory=dict)


class Follower:
    """One open page. However much changes at once, it is told of it together."""

    def __init__(self) -> None:
        self.news = News()
        self.told = asyncio.Event()

    async def next(self) -> News | None:
        """What changed, once something has; None after a while in which nothing did."""
        try:
            async with asyncio.timeout(_BEAT):
                await self.told.wait()
        except TimeoutError:
            return None
        await asyncio.sleep(_TOGETHER)
        self.told.clear()
        news, self.news = self.news, News()
        return news


class Live:
    """Hears of every change, and tells every follower."""

    def __init__(self) -> None:
        self._followers: set[Follower] = set()
        self._trails: dict[str, list[dict[str, str]]] = {}
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether there is nothing more to follow."""
        return self._closed

    def kept(self, payment: PaymentRecord) -> None:
        """A payment changed."""
        trail = self._trails.setdefault(payment.id, [])
        step = {"status": payment.status.value, "transactionId": payment.transaction_id}
        if not trail or {name: trail[-1][name] for name in step} != step:
            trail.append(step | {"at": time_json(payment.updated_at)})
        for follower in self._followers:
            follower.news.payments.add(payment.id)
        self.tell()

    def delivered(self, delivery: Delivery) -> None:
        """A webhook came up, or was tried."""
        for follower in self._followers:
            follower.news.deliveries[delivery] = None
        self.tell()

    def tell(self) -> None:
        """Something changed: whatever is told with every event, if nothing else."""
        for follower in self._followers:
            follower.told.set()

    def trail(self, payment_id: str) -> list[dict[str, str]]:
        """Every status of a payment, in order, and when it had it first."""
        return self._trails.get(payment_id, [])

    @contextmanager
    def following(self) -> Iterator[Follower]:
        """A follower, who is told of every change until the context is left."""
        follower = Follower()
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    def close(self) -> None:
        """Tell everybody for the last time; whoever comes later hears nothing more."""
        self._closed = True
        self.tell()
