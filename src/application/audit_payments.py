"""The audit: the gateway's records joined with ours, until each captured won is somewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from application.changes import Batch, Changes, Window
from application.errors import UnreadableRecordError
from application.ports import Clock, PaymentGateway, Store
from application.seen import Seen
from domain.audit import Balance, Explanation, Finding, FindingKind, explain, explain_unreadable
from domain.ids import OrderId, PaymentId
from domain.order import Order
from domain.payment import Payment, Shop
from domain.refund import Refund
from domain.sweep import AHEAD

_BATCH = 100
_PERIOD = timedelta(days=30)
_BEFORE_ALL = timedelta(days=1)  # before our first order, for the gateway's clock need not be ours
_ASKED_AGAIN = 3  # times, before what does not add up counts
_AT_ONCE = 8  # payments asked for by themselves
_NAMED_MOST = 1_000  # findings of each kind
_EVER = datetime.min.replace(tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCursor:
    """How far an audit of ``since`` to ``until`` (None: up to now, whenever that is) has come, and its sums so far.

    In store number ``store``, everything up to ``at`` was gone through. ``full``: it covers all that there ever was.
    """

    since: datetime
    until: datetime | None
    full: bool
    store: int = 0
    at: datetime | None = None
    payments: int = 0
    unlisted: int = 0
    balances: Mapping[str, Balance] = field(default_factory=dict)
    counts: Mapping[FindingKind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The balance of each currency, and what there is to say about single payments.

    ``counts`` says how many findings of each kind there are; the first thousand of each are named, but for those of
    an earlier run that was gone on with. ``unlisted`` payments of our orders were in no list, and were asked for.
    """

    since: datetime
    until: datetime
    payments: int
    unlisted: int
    balances: Mapping[str, Balance]
    counts: Mapping[FindingKind, int]
    findings: Sequence[Finding]

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing that somebody has to see to."""
        return not any(count for kind, count in self.counts.items() if kind.is_wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditProgress:
    """How many payments were gone through, up to when; what was found by then; and where another run may go on."""

    payments: int
    at: datetime | None
    so_far: Audit
    cursor: AuditCursor


class AuditPayments:
    """Say where each captured won of a period is. It reads only.

    A payment belongs to the period in which the gateway lists it as changed, or in which our order of it moved. Every
    payment that is listed is held against its order, in windows of our own: whatever a window lacks of what the
    gateway counts is a finding. Then each order of that window which says that money was taken, and whose payment was
    not listed, is asked for by itself, so that a payment in another store of ours is found, and one that the gateway
    knows nothing of. In the end come the orders that owe or ask for a person, however old they are.

    Whatever does not add up is asked for and read again before it counts: a payment may have moved between the two.
    One record that cannot be read is a finding, and the rest is gone through. No more than one window is held at once,
    and sixteen bytes of each of the latest million payments.
    """

    def __init__(
        self,
        *,
        store: Store,
        gateway: PaymentGateway,
        shop: Shop,
        clock: Clock,
        other_stores: Sequence[str] = (),
        batch: int = _BATCH,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._shop = shop
        self._clock = clock
        self._stores = (*other_stores, shop.store_id)  # ours comes last: by then the others' payments are known
        self._batch = batch

    async def __call__(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        progress: Callable[[AuditProgress], None] | None = None,
        *,
        full: bool = False,
        resume: AuditCursor | None = None,
    ) -> Audit:
        """Audit from ``since`` (30 days ago) to ``until`` (now). Raises GatewayError and StoreUnavailableError.

        ``full`` begins before the first order of ours, and leaves none out, however its payment is dated. ``resume``
        goes on where an earlier run ended; then the period is that run's.
        """
        now = self._clock()
        begin = resume or AuditCursor(since=since or await self._begin(now, full=full), until=until, full=full)
        books = _Books(begin, now)
        tell = progress or _nobody
        for number in range(begin.store, len(self._stores)):
            await self._go_through(number, books, tell)
        await self._check_unfinished(books, tell)
        return books.closed()

    async def _begin(self, now: datetime, *, full: bool) -> datetime:
        if not full:
            return now - _PERIOD
        async with self._store.reading() as unit:
            first = await unit.orders.first_placed_at()
        return (first or now) - _BEFORE_ALL

    async def _go_through(self, number: int, books: _Books, tell: Callable[[AuditProgress], None]) -> None:
        """Everything that one store lists; with the last store also the orders whose payments none did."""
        span = books.span
        if books.store == number and books.at is not None:
            await self._recall(number, books, books.at)
            span = replace(span, since=books.at)
        is_last = number == len(self._stores) - 1
        async with aclosing(self._changes(number, span).batches()) as batches:
            async for batch in batches:
                await self._join(batch.payments, books)
                if batch.ends:
                    books.note(batch)
                    if is_last:
                        await self._check_orders(batch.window, books)
                    books.reach(number, batch.window.until)
                tell(books.progress)

    def _changes(self, number: int, span: Window) -> Changes:
        return Changes(self._gateway, self._stores[number], span, size=self._batch)

    async def _recall(self, number: int, books: _Books, at: datetime) -> None:
        """What an earlier run has entered last is listed by the next window once more."""
        edge = Window(since=at - timedelta(seconds=1), until=at)
        async with aclosing(self._changes(number, edge).batches()) as batches:
            async for batch in batches:
                for payment in batch.payments:
                    books.seen.add(payment.id)

    async def _join(self, payments: Sequence[Payment], books: _Books) -> None:
        """Hold listed payments against their orders."""
        listed = {payment.id: payment for payment in payments if payment.id not in books.seen}
        if not listed:
            return
        async with self._store.reading() as unit:
            orders = await unit.orders.by_payments(list(listed))
            refunds = await unit.refunds.of_orders([order.id for order in orders.values()]) if orders else {}
        for payment in listed.values():
            order = orders.get(payment.id)
            books.add(payment.id, await self._explain(order, payment, refunds.get(order.id, ()) if order else ()))

    async def _check_orders(self, window: Window, books: _Books) -> None:
        """Hold the orders that say that money was taken against payments that were not listed."""
        since, until = books.orders_of(window)
        after: tuple[datetime, OrderId] | None = None
        while orders := await self._captured(since, until, after):
            after = (orders[-1].moved_at, orders[-1].id)
            missing = [order for order in orders if order.captured and order.payment_id not in books.seen]
            books.unlisted += len(missing)
            await self._ask_for(missing, books)

    async def _captured(
        self, since: datetime, until: datetime, after: tuple[datetime, OrderId] | None
    ) -> Sequence[Order]:
        async with self._store.reading() as unit:
            return await unit.orders.captured_between(since, until, after=after, limit=self._batch)

    async def _check_unfinished(self, books: _Books, tell: Callable[[AuditProgress], None]) -> None:
        """Hold every order that owes or asks against its payment, unless the period had it already."""
        after: tuple[datetime, OrderId] | None = None
        while True:
            async with self._store.reading() as unit:
                orders = await unit.orders.unfinished(after=after, limit=self._batch)
            if not orders:
                return
            after = (orders[-1].created_at, orders[-1].id)
            if others := [order for order in orders if not books.has(order)]:
                await self._ask_for(others, books)
                tell(books.progress)

    async def _ask_for(self, orders: Sequence[Order], books: _Books) -> None:
        """Ask for the payments of these orders one by one."""
        for first in range(0, len(orders), _AT_ONCE):
            some = orders[first : first + _AT_ONCE]
            async with self._store.reading() as unit:
                refunds = await unit.refunds.of_orders([order.id for order in some])
            explained = await asyncio.gather(*(self._explain_alone(order, refunds.get(order.id, ())) for order in some))
            for order, explanation in zip(some, explained, strict=True):
                books.add(order.payment_id, explanation)

    async def _explain_alone(self, order: Order, refunds: Sequence[Refund]) -> Explanation:
        try:
            payment = await self._gateway.get(order.payment_id)
        except UnreadableRecordError:
            return explain_unreadable(order, order.payment_id)
        return await self._explain(order, payment, refunds)

    async def _explain(self, order: Order | None, payment: Payment | None, refunds: Sequence[Refund]) -> Explanation:
        """Where this payment's money is; what is open is asked for and read again, in case it moved in between."""
        explained = explain(order, payment, refunds, shop=self._shop, now=self._clock())
        for _ in range(_ASKED_AGAIN):
            if order is None or not explained.is_open:
                break
            try:
                payment = await self._gateway.get(PaymentId(order.payment_id))
            except UnreadableRecordError:
                return explain_unreadable(order, order.payment_id)
            async with self._store.reading() as unit:
                order = await unit.orders.by_id(order.id)
                refunds = await unit.refunds.of_order(order.id) if order is not None else ()
            explained = explain(order, payment, refunds, shop=self._shop, now=self._clock())
        return explained


class _Books:
    """An audit in the making."""

    def __init__(self, begin: AuditCursor, now: datetime) -> None:
        self.span = Window(since=begin.since, until=begin.until or now + AHEAD)
        self.seen = Seen()
        self.store, self.at = begin.store, begin.at
        self.unlisted = begin.unlisted
        self._begin = begin
        self._now = now
        self._payments = begin.payments
        self._balances = dict(begin.balances)
        self._counts = dict.fromkeys(FindingKind, 0) | dict(begin.counts)
        self._findings: list[Finding] = []
        self._named = dict.fromkeys(FindingKind, 0)
        self._cursor = begin

    def has(self, order: Order) -> bool:
        """Whether the order's payment was entered, in this run or in the one that it goes on with."""
        moved_in = order.captured is not None and self._since <= order.moved_at <= self._until
        return moved_in or order.payment_id in self.seen

    def orders_of(self, window: Window) -> tuple[datetime, datetime]:
        """Which orders go with a window, by when they moved: with those at the ends, what is dated beyond them."""
        since = self._since if window.since <= self.span.since else window.since
        return since, self._until if window.until >= self.span.until else window.until

    def add(self, payment_id: str, explained: Explanation) -> None:
        """Enter one payment; once, for one that changes while it is listed is listed twice."""
        self.seen.add(payment_id)
        self._payments += 1
        if explained.currency is not None and explained.balance != Balance():
            before = self._balances.get(explained.currency, Balance())
            self._balances[explained.currency] = before + explained.balance
        for finding in explained.findings:
            self._tell(finding)

    def note(self, batch: Batch) -> None:
        """Say what a window lacks."""
        if batch.lacks is not None:
            why = str(batch.lacks)
            self._tell(Finding(kind=FindingKind.INCOMPLETE, payment_id=None, order_id=None, amount=None, why=why))

    def reach(self, store: int, at: datetime) -> None:
        """Everything in this store was entered up to then."""
        self.store, self.at = store, at
        self._cursor = replace(
            self._begin,
            store=store,
            at=at,
            payments=self._payments,
            unlisted=self.unlisted,
            balances=dict(self._balances),
            counts=dict(self._counts),
        )

    @property
    def progress(self) -> AuditProgress:
        at = None if self.at is None else min(self.at, self._now)
        return AuditProgress(payments=self._payments, at=at, so_far=self.closed(), cursor=self._cursor)

    def closed(self) -> Audit:
        return Audit(
            since=self.span.since,
            until=self._begin.until or self._now,
            payments=self._payments,
            unlisted=self.unlisted,
            balances=dict(sorted(self._balances.items())),
            counts=dict(self._counts),
            findings=self._findings,
        )

    @property
    def _since(self) -> datetime:
        return _EVER if self._begin.full else self.span.since

    @property
    def _until(self) -> datetime:
        return self._begin.until or _NEVER

    def _tell(self, finding: Finding) -> None:
        if self._named[finding.kind] < _NAMED_MOST:
            self._named[finding.kind] += 1
            self._findings.append(finding)
        self._counts[finding.kind] += 1


def _nobody(_: AuditProgress) -> None:
    """Nobody wants to know."""
