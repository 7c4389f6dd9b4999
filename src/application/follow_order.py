"""Follow one order: every change, in order, none missing, from the history; a notification only says when to read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from application.errors import OrderNotFoundError, StoreUnavailableError
from application.ports import OrderNotifier, Store
from domain.history import HistoryEntry
from domain.ids import OrderId
from domain.lifecycle import OrderStatus
from domain.order import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEvent:
    """``order`` as it was once entry ``seq`` had happened. ``kind`` is the entry's, or ``snapshot`` for the first."""

    seq: int
    kind: str
    at: datetime
    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a stream beats, in seconds: heartbeat, the most that a lost notification delays a change, its lifetime."""

    heartbeat: float = 15.0
    catch_up: float = 5.0
    lifetime: float = 900.0


class FollowOrder:
    """The events of one order; they end when there is nothing left to wait for.

    The first event is a snapshot: of now, or of the moment after entry ``after`` if the order has one, and then every
    later entry follows. None stands for a heartbeat. No database connection is held between two reads. A database
    that is away after the first event delays, and ends nothing.
    """

    def __init__(self, store: Store, notifier: OrderNotifier, pace: Pace | None = None) -> None:
        self._store = store
        self._notifier = notifier
        self._pace = pace or Pace()

    async def __call__(self, order: Order, after: int | None = None) -> AsyncGenerator[OrderEvent | None, None]:
        """Follow ``order``, which the caller was allowed to read. Raises TooManyStreamsError before the first event."""
        with self._notifier.subscribe(order.id) as subscription:
            clock = asyncio.get_running_loop().time
            started = beat = clock()
            order, entries = await self._read(order.id, 0 if after is None else after - 1)
            event, entries = _first(order, entries, after)
            yield event
            seq = event.seq
            while True:
                for entry in entries:
                    yield _event(order, entry)
                    seq = entry.seq
                if _is_over(order, seq) or self._notifier.closing:
                    return
                now = clock()
                if now - started >= self._pace.lifetime:
                    return
                if now - beat >= self._pace.heartbeat:
                    yield None
                    beat = now
                await subscription.wait(min(self._pace.catch_up, max(0.0, beat + self._pace.heartbeat - now)))
                entries = []
                with suppress(StoreUnavailableError):  # what is new waits until the database answers again
                    order, entries = await self._read(order.id, seq)

    async def _read(self, order_id: OrderId, after: int) -> tuple[Order, list[HistoryEntry]]:
        """The order, and then its entries: so that these hold at least all that the order knows of."""
        async with self._store.reading() as unit:
            order = await unit.orders.by_id(order_id)
            if order is None:
                raise OrderNotFoundError("there is no such order")
            return order, list(await unit.history.of_order(order_id, after=after))


def _first(order: Order, entries: list[HistoryEntry], after: int | None) -> tuple[OrderEvent, list[HistoryEntry]]:
    if after is not None and entries and entries[0].seq == after:
        return replace(_event(order, entries[0]), kind="snapshot"), entries[1:]
    last = entries[-1] if entries else None
    at = last.at if last is not None else order.created_at
    later = [entry for entry in entries if entry.seq > order.seq]
    return OrderEvent(seq=order.seq, kind="snapshot", at=at, order=order), later


def _event(order: Order, entry: HistoryEntry) -> OrderEvent:
    then = replace(order, status=entry.status, reason=entry.reason, refunded=entry.refunded)
    return OrderEvent(seq=entry.seq, kind=entry.kind.value, at=entry.at, order=then)


def _is_over(order: Order, seq: int) -> bool:
    return order.status is not OrderStatus.PENDING and not order.owed and seq >= order.seq
