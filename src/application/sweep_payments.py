"""The sweep: what no order asked about is found by asking the gateway what changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from application.changes import changes_at
from application.errors import StoreUnavailableError
from application.ports import Clock, NewId, PaymentGateway, Store
from application.transact import retrying
from domain.ids import OrderId
from domain.order import Order
from domain.payment import Payment, Shop
from domain.reconciliation import differs_from
from domain.sweep import AHEAD, Orphan, Sweep, orphan

_BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep from ``since`` on has found so far, ``at`` being the latest change it saw.

    ``differing`` orders were not in line with their payment, and are due now. Of the payments without an order
    ``orphans`` were met for the first time, and ``known_orphans`` before.
    """

    since: datetime
    at: datetime | None = None
    payments: int = 0
    differing: int = 0
    orphans: int = 0
    known_orphans: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepProgress:
    """``so_far``, and what its last batch added to it: the orders that differ, and every orphan that was met."""

    so_far: Swept
    differing: Sequence[OrderId] = ()
    orphans: Sequence[Orphan] = ()


class SweepPayments:
    """Go through every payment whose status changed; make due whichever order is not in line with its payment.

    The sweep reconciles nothing and moves no money: whoever checks due orders does. A payment without an order is kept
    as an orphan. That order is not one which is only just being placed: an order is committed before the payment
    window learns of its payment, and the gateway was asked before the orders are read.

    One sweeps at a time. A batch is committed with the point reached, so that a sweep that dies is gone on with; one
    that is in step with its orders writes nothing but that point. No more payments than one batch are held at once.
    """

    def __init__(
        self,
        *,
        store: Store,
        gateway: PaymentGateway,
        shop: Shop,
        clock: Clock,
        new_id: NewId,
        batch: int = _BATCH,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._shop = shop
        self._clock = clock
        self._new_id = new_id
        self._batch = batch

    async def __call__(
        self, since: datetime | None = None, progress: Callable[[SweepProgress], None] | None = None
    ) -> Swept | None:
        """Sweep from where the last sweep got to, or from ``since``; None if somebody else is sweeping.

        ``progress`` is told after each batch. Raises GatewayError and StoreUnavailableError; what was done stays done.
        """
        holder = self._new_id()
        sweep = await retrying(lambda: self._take(holder))
        if sweep is None:
            return None
        try:
            return await self._sweep(sweep, since, progress or _nobody)
        finally:
            with suppress(StoreUnavailableError):  # the lease will end
                await retrying(lambda: self._release(holder))

    async def _sweep(self, sweep: Sweep, since: datetime | None, progress: Callable[[SweepProgress], None]) -> Swept:
        now = self._clock()
        start = sweep.start(now) if since is None else since
        moves = since is None or sweep.joins(since, now)
        swept = Swept(since=start)
        async with changes_at(self._gateway, start, max(start, now) + AHEAD, self._batch) as changes:
            while batch := await changes.next():
                at = max((p.changed_at for p in batch if p.changed_at is not None), default=None)
                found = await self._keep(batch, sweep.holder, at if moves else None)
                if found is None:
                    break  # somebody took over while we were away
                swept = replace(
                    swept,
                    at=at or swept.at,
                    payments=swept.payments + len(batch),
                    differing=swept.differing + len(found.differing),
                    orphans=swept.orphans + found.new,
                    known_orphans=swept.known_orphans + len(found.orphans) - found.new,
                )
                progress(SweepProgress(so_far=swept, differing=found.differing, orphans=found.orphans))
        return swept

    async def _keep(self, batch: Sequence[Payment], holder: str | None, at: datetime | None) -> _Found | None:
        """Write what a batch shows, and how far it reaches, in one commit; None if the sweep is not ours any more."""

        async def once() -> _Found | None:
            payments = {payment.id: payment for payment in batch}
            async with self._store.reading() as unit:
                sweep = await unit.sweeps.read()
                orders = await unit.orders.by_payments(list(payments))
            if sweep.holder != holder or holder is None:
                return None
            now = self._clock()
            differing = [
                order for name, order in orders.items() if differs_from(order, payments[name], shop=self._shop, now=now)
            ]
            strangers = [payment for name, payment in payments.items() if name not in orders]
            orphans = [found for payment in strangers if (found := orphan(payment, now)) is not None]
            async with self._store.writing() as unit:
                for order in _not_due_yet(differing, now):
                    await unit.orders.save(order.check_by(now))
                new = await unit.orphans.keep(orphans)
                await unit.sweeps.save((sweep if at is None else sweep.past(at, now)).held_by(holder, now))
                await unit.commit()
            return _Found(differing=[order.id for order in differing], orphans=orphans, new=new)

        return await retrying(once)

    async def _take(self, holder: str) -> Sweep | None:
        now = self._clock()
        async with self._store.writing() as unit:
            sweep = await unit.sweeps.read()
            if sweep.is_held(now):
                return None
            taken = await unit.sweeps.save(sweep.held_by(holder, now))
            await unit.commit()
        return taken

    async def _release(self, holder: str) -> None:
        async with self._store.writing() as unit:
            sweep = await unit.sweeps.read()
            if sweep.holder == holder:
                await unit.sweeps.save(sweep.released())
                await unit.commit()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    differing: Sequence[OrderId]
    orphans: Sequence[Orphan]
    new: int


def _not_due_yet(orders: Sequence[Order], now: datetime) -> list[Order]:
    return [order for order in orders if order.check_at is None or order.check_at > now]


def _nobody(_: SweepProgress) -> None:
    """Nobody wants to know."""
