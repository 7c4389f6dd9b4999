"""The audit: the gateway's records joined with ours, until each captured won is somewhere."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from application.changes import changes_at
from application.ports import Clock, PaymentGateway, Store
from domain.audit import Balance, Explanation, Finding, FindingKind, explain
from domain.ids import OrderId
from domain.order import Order
from domain.payment import Payment, Shop
from domain.sweep import AHEAD

_BATCH = 200
_PERIOD = timedelta(days=30)
_ASKED_AGAIN = 3  # times, before what does not add up counts
_NAMED_MOST = 1_000  # findings of each kind


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditProgress:
    """How many payments were gone through so far; ``at`` is the latest change among them."""

    payments: int
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The balance of each currency, and what there is to say about single payments.

    ``counts`` says how many findings of each kind there are; the first thousand of each are named.
    """

    since: datetime
    until: datetime
    payments: int
    balances: Mapping[str, Balance]
    counts: Mapping[FindingKind, int]
    findings: Sequence[Finding]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is unexplained."""
        return not self.counts[FindingKind.UNEXPLAINED]


class AuditPayments:
    """Say where each captured won of a period is. It reads only.

    A payment belongs to the period in which it last changed. First every payment of our store that the gateway lists
    is held against its order. Then every order of ours that says that money was taken, and whose payment was not
    listed: the gateway is asked for each of those, so that a payment in another store of ours is found, and one that
    it knows nothing of. Whatever does not add up is asked for and read again before it counts: a payment may have
    moved between the two. No more than one batch is held at once, and eight bytes of each payment.
    """

    def __init__(self, *, store: Store, gateway: PaymentGateway, shop: Shop, clock: Clock, batch: int = _BATCH) -> None:
        self._store = store
        self._gateway = gateway
        self._shop = shop
        self._clock = clock
        self._batch = batch

    async def __call__(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        progress: Callable[[AuditProgress], None] | None = None,
    ) -> Audit:
        """Audit from ``since`` (30 days ago) to ``until`` (now). Raises GatewayError and StoreUnavailableError."""
        now = self._clock()
        books = _Books(since or now - _PERIOD, until or now + AHEAD)
        tell = progress or _nobody
        async with changes_at(self._gateway, books.since, books.until, self._batch) as changes:
            while batch := await changes.next():
                await self._join(batch, books)
                tell(books.progress)
        await self._check_orders(books)
        return books.closed(until or now)

    async def _join(self, batch: Sequence[Payment], books: _Books) -> None:
        """Hold listed payments against their orders."""
        payments = {payment.id: payment for payment in batch if payment.id not in books}
        async with self._store.reading() as unit:
            orders = await unit.orders.by_payments(list(payments))
        for payment in payments.values():
            order = orders.get(payment.id)
            books.add(payment.id, await self._explain(order, payment), at=payment.changed_at)

    async def _check_orders(self, books: _Books) -> None:
        """Hold the orders that say that money was taken against payments that were not listed."""
        after: tuple[datetime, OrderId] | None = None
        while orders := await self._captured(books, after):
            after = (orders[-1].moved_at, orders[-1].id)
            for order in orders:
                if order.payment_id not in books:
                    explained = await self._explain(order, await self._gateway.get(order.payment_id))
                    books.add(order.payment_id, explained)

    async def _captured(self, books: _Books, after: tuple[datetime, OrderId] | None) -> Sequence[Order]:
        async with self._store.reading() as unit:
            return await unit.orders.captured_between(books.since, books.until, after=after, limit=self._batch)

    async def _explain(self, order: Order | None, payment: Payment | None) -> Explanation:
        """Where this payment's money is; what is open is asked for and read again, in case it moved in between."""
        explained = explain(order, payment, shop=self._shop, now=self._clock())
        for _ in range(_ASKED_AGAIN):
            if order is None or not explained.is_open:
                break
            payment = await self._gateway.get(order.payment_id)
            async with self._store.reading() as unit:
                order = await unit.orders.by_id(order.id)
            explained = explain(order, payment, shop=self._shop, now=self._clock())
        return explained


class _Books:
    """An audit in the making."""

    def __init__(self, since: datetime, until: datetime) -> None:
        self.since = since
        self.until = until
        self.progress = AuditProgress(payments=0)
        self._seen = _Seen()
        self._balances: dict[str, Balance] = {}
        self._counts = dict.fromkeys(FindingKind, 0)
        self._findings: list[Finding] = []

    def __contains__(self, payment_id: str) -> bool:
        return payment_id in self._seen

    def add(self, payment_id: str, explained: Explanation, *, at: datetime | None = None) -> None:
        """Enter one payment; once, for one that changes while it is listed is listed twice."""
        self._seen.add(payment_id)
        self.progress = AuditProgress(payments=self.progress.payments + 1, at=at or self.progress.at)
        if explained.currency is not None and explained.balance != Balance():
            before = self._balances.get(explained.currency, Balance())
            self._balances[explained.currency] = before + explained.balance
        if (finding := explained.finding) is not None:
            if self._counts[finding.kind] < _NAMED_MOST:
                self._findings.append(finding)
            self._counts[finding.kind] += 1

    def closed(self, until: datetime) -> Audit:
        return Audit(
            since=self.since,
            until=until,
            payments=self.progress.payments,
            balances=dict(sorted(self._balances.items())),
            counts=self._counts,
            findings=self._findings,
        )


class _Seen:
    """Which payments were entered, in eight bytes of each: a hash of 64 bits, sorted but for the latest."""

    _LATEST_MOST = 10_000

    def __init__(self) -> None:
        self._sorted = array("q")
        self._latest: set[int] = set()

    def add(self, payment_id: str) -> None:
        self._latest.add(hash(payment_id))
        if len(self._latest) >= self._LATEST_MOST:
            self._sorted.extend(self._latest)
            self._sorted = array("q", sorted(self._sorted))
            self._latest = set()

    def __contains__(self, payment_id: str) -> bool:
        wanted = hash(payment_id)
        place = bisect_left(self._sorted, wanted)
        return wanted in self._latest or (place < len(self._sorted) and self._sorted[place] == wanted)


def _nobody(_: AuditProgress) -> None:
    """Nobody wants to know."""
