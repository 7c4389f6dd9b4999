"""The sweep: what no order asked about is found by going through the gateway's list of what changed."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from application.changes import Batch, Changes, Window
from application.errors import ListIncompleteError, StoreUnavailableError
from application.ports import Clock, NewId, PaymentGateway, Store
from application.seen import Seen
from application.transact import retrying
from domain.ids import OrderId
from domain.order import Order
from domain.payment import Shop
from domain.policy import Policy
from domain.reconciliation import differs_from
from domain.sweep import AGAIN, AGAIN_EVERY, GAP_MOST, Orphan, Sweep, orphan

_BATCH = 100
_UNLISTED_MOST = 200  # orders made due at one time because the gateway did not list their payments
_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep from ``since`` on has found so far, ``at`` being how far it got by our own clock.

    ``differing`` orders were not in line with their payment, and are due now. Of the payments without an order
    ``orphans`` were met for the first time, and ``known_orphans`` before. ``again``: the last days are swept again;
    then ``unlisted`` orders that were paid in them were not in the list, and as many as may be at one time are due.
    """

    since: datetime
    at: datetime | None = None
    payments: int = 0
    differing: int = 0
    orphans: int = 0
    known_orphans: int = 0
    again: bool = False
    unlisted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepProgress:
    """``so_far``, and what its last batch added to it: the orders that differ, and every orphan that was met."""

    so_far: Swept
    differing: Sequence[OrderId] = ()
    orphans: Sequence[Orphan] = ()


class SweepPayments:
    """Go through every payment that changed; make due whichever order is not in line with its payment.

    The sweep reconciles nothing and moves no money: whoever checks due orders does. A payment without an order is kept
    as an orphan. That order is not one which is only just being placed: an order is committed before the payment
    window learns of its payment, and the gateway was asked before the orders are read.

    First comes what is new. Now and then everything of the last days (``again``; none: never) is gone through once
    more, for the gateway may list a change long after the time at which it says that it happened, or list it without
    any change of its time. Orders of ours that were paid in those days and are in no list are checked by themselves.

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
        again: timedelta = AGAIN,
        batch: int = _BATCH,
        policy: Policy | None = None,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._shop = shop
        self._clock = clock
        self._new_id = new_id
        self._again = again
        self._batch = batch
        self._policy = policy or Policy()

    async def __call__(
        self, since: datetime | None = None, progress: Callable[[SweepProgress], None] | None = None
    ) -> Swept | None:
        """Sweep from where the last sweep got to, or from ``since``; None if somebody else is sweeping.

        ``progress`` is told after each batch. Raises GatewayError and StoreUnavailableError; what was done stays done.
        ListIncompleteError comes last, when all the rest was gone through.
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
        again = since is None and bool(self._again) and sweep.is_again_due(now, AGAIN_EVERY)
        run = _Run(
            sweep.holder, Swept(since=start, again=again), progress, moves=since is None or sweep.joins(since, now)
        )
        await self._go_through(Window(since=start, until=max(start, sweep.end(now))), run)
        if again and not run.lost:
            run.moves = False
            await self._sweep_again(Window(since=now - self._again, until=start), run)
        if run.lacks is not None:
            raise run.lacks
        return run.swept

    async def _sweep_again(self, days: Window, run: _Run) -> None:
        """Go through the last days once more, and see which of our orders the list does not have."""
        if days.since < days.until:
            await self._go_through(days, run)
        if run.lost:
            return
        unlisted, made_due = await self._check_unlisted(days.since, run)
        run.swept = replace(run.swept, unlisted=unlisted)
        if made_due:
            run.progress(SweepProgress(so_far=run.swept, differing=made_due))
        await retrying(lambda: self._note_again(run.holder))

    async def _go_through(self, span: Window, run: _Run) -> None:
        changes = Changes(self._gateway, self._shop.store_id, span, size=self._batch)
        async with aclosing(changes.batches()) as batches:
            async for batch in batches:
                run.lacks = run.lacks or batch.lacks
                found = await self._keep(batch, run)
                if found is None:
                    run.lost = True  # somebody took over while we were away
                    return
                run.add(batch, found, self._clock())

    async def _keep(self, batch: Batch, run: _Run) -> _Found | None:
        """Write what a batch shows, and how far it reaches, in one commit; None if the sweep is not ours any more."""

        async def once() -> _Found | None:
            payments = {payment.id: payment for payment in batch.payments}
            async with self._store.reading() as unit:
                sweep = await unit.sweeps.read()
                orders = await unit.orders.by_payments(list(payments)) if payments else {}
            if sweep.holder != run.holder:
                return None
            now = self._clock()
            differing = [
                order
                for name, order in orders.items()
                if differs_from(order, payments[name], shop=self._shop, now=now, policy=self._policy)
            ]
            strangers = [payment for name, payment in payments.items() if name not in orders]
            orphans = [found for payment in strangers if (found := orphan(payment, now)) is not None]
            async with self._store.writing() as unit:
                for order in _not_due_yet(differing, now):
                    await unit.orders.save(order.check_by(now))
                new = await unit.orphans.keep(orphans)
                if batch.ends and run.moves:  # past what was not seen only when that is long ago
                    end = batch.window.until if run.lacks is None else min(batch.window.until, now - GAP_MOST)
                    sweep = sweep.past(end, now)
                await unit.sweeps.save(sweep.held_by(run.holder, now))
                await unit.commit()
            return _Found(differing=[order.id for order in differing], orphans=orphans, new=new)

        return await retrying(once)

    async def _check_unlisted(self, since: datetime, run: _Run) -> tuple[int, Sequence[OrderId]]:
        """Make due, of the orders that were paid since and were not listed, so many: others each time.

        How many there are, and which were made due.
        """
        unlisted = 0
        chosen: list[tuple[int, str]] = []
        after: tuple[datetime, OrderId] | None = None
        while orders := await self._captured(since, after):
            after = (orders[-1].moved_at, orders[-1].id)
            for order in orders:
                if order.captured and order.payment_id not in run.seen:
                    unlisted += 1
                    heapq.heappush(chosen, (zlib.crc32(f"{order.id}{run.holder}".encode()), order.payment_id))
                    if len(chosen) > _UNLISTED_MOST:
                        heapq.heappop(chosen)
        made_due: list[OrderId] = []
        for first in range(0, len(chosen), self._batch):
            names = [name for _, name in chosen[first : first + self._batch]]
            made_due += await retrying(partial(self._make_due, names))
        return unlisted, made_due

    async def _captured(self, since: datetime, after: tuple[datetime, OrderId] | None) -> Sequence[Order]:
        async with self._store.reading() as unit:
            return await unit.orders.captured_between(since, _EVER, after=after, limit=self._batch)

    async def _make_due(self, payment_ids: Sequence[str]) -> list[OrderId]:
        async with self._store.reading() as unit:
            orders = await unit.orders.by_payments(payment_ids)
        now = self._clock()
        async with self._store.writing() as unit:
            for order in _not_due_yet(list(orders.values()), now):
                await unit.orders.save(order.check_by(now))
            await unit.commit()
        return [order.id for order in orders.values()]

    async def _take(self, holder: str) -> Sweep | None:
        now = self._clock()
        async with self._store.writing() as unit:
            sweep = await unit.sweeps.read()
            if sweep.is_held(now):
                return None
            taken = await unit.sweeps.save(sweep.held_by(holder, now))
            await unit.commit()
        return taken

    async def _note_again(self, holder: str) -> None:
        async with self._store.writing() as unit:
            sweep = await unit.sweeps.read()
            if sweep.holder == holder:
                await unit.sweeps.save(sweep.swept_again(self._clock()))
                await unit.commit()

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


class _Run:
    """A sweep under way. ``moves``: the point follows it. ``lost``: somebody else took over."""

    def __init__(
        self, holder: str | None, swept: Swept, progress: Callable[[SweepProgress], None], *, moves: bool
    ) -> None:
        assert holder is not None  # noqa: S101 - narrowing: it was just taken
        self.holder = holder
        self.swept = swept
        self.progress = progress
        self.moves = moves
        self.lost = False
        self.lacks: ListIncompleteError | None = None
        self.seen = Seen()

    def add(self, batch: Batch, found: _Found, now: datetime) -> None:
        """Count what a batch brought."""
        for payment in batch.payments:
            self.seen.add(payment.id)
        at = min(batch.window.until, now) if batch.ends else self.swept.at
        self.swept = replace(
            self.swept,
            at=max(at, self.swept.at) if at is not None and self.swept.at is not None else at,
            payments=self.swept.payments + len(batch.payments),
            differing=self.swept.differing + len(found.differing),
            orphans=self.swept.orphans + found.new,
            known_orphans=self.swept.known_orphans + len(found.orphans) - found.new,
        )
        self.progress(SweepProgress(so_far=self.swept, differing=found.differing, orphans=found.orphans))


def _not_due_yet(orders: Sequence[Order], now: datetime) -> list[Order]:
    return [order for order in orders if order.check_at is None or order.check_at > now]


def _nobody(_: SweepProgress) -> None:
    """Nobody wants to know."""
