"""What is kept, and the promises of whoever keeps it: one unit of work, and all that is read and written in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from domain.api_key import ApiKey
from domain.catalog import Product
from domain.history import HistoryEntry
from domain.ids import ApiKeyId, OrderId, ProductId, WebhookId
from domain.lifecycle import OrderStatus
from domain.order import Order
from domain.refund import Refund
from domain.sweep import Orphan, Sweep
from domain.webhook_event import WebhookEvent


class Orders(Protocol):
    """All orders."""

    async def add(self, order: Order) -> None:
        """Keep a new order. Its history must be appended first, in the same unit, or nothing can be committed."""
        ...

    async def save(self, order: Order) -> None:
        """Keep a changed order. Raises ConflictError if it was saved by anybody since ``order`` was read.

        The stored version becomes ``order.version + 1``.
        """
        ...

    async def by_id(self, order_id: OrderId) -> Order | None:
        """The order with this id, None if there is none. In a writing unit it is held until the unit ends."""
        ...

    async def by_payment(self, payment_id: str) -> Order | None:
        """The order whose payment has this id (any text), None if there is none. Held like ``by_id``."""
        ...

    async def by_payments(self, payment_ids: Sequence[str]) -> Mapping[str, Order]:
        """The orders of these payments (any texts), by payment id, without those that have none. It holds none."""
        ...

    async def captured_between(
        self, since: datetime, until: datetime, *, after: tuple[datetime, OrderId] | None = None, limit: int = 50
    ) -> Sequence[Order]:
        """The first ``limit`` orders of which anything was captured, by ``(moved_at, id)``, strictly after ``after``.

        Only those that moved from ``since`` to ``until``.
        """
        ...

    async def unfinished(self, *, after: tuple[datetime, OrderId] | None = None, limit: int = 50) -> Sequence[Order]:
        """The first ``limit`` orders that owe money back or ask for a person, strictly after ``after``.

        By ``(created_at, id)``, the oldest first.
        """
        ...

    async def first_placed_at(self) -> datetime | None:
        """When the first order was placed; None if there is none."""
        ...

    async def lease_due(self, now: datetime, until: datetime, limit: int) -> Sequence[Order]:
        """At most ``limit`` orders that are due at ``now``, by ``check_at``, each to one caller.

        Due is one with ``check_at`` at or before ``now``, and one with a ``check_at`` further away than any check is
        ever planned: that one was planned by a wrong clock. Their ``check_at`` becomes ``until``: a caller that dies
        leaves them due again from then on.
        """
        ...

    async def due_count(self, now: datetime) -> int:
        """How many orders are due at ``now``."""
        ...

    async def page(
        self,
        *,
        status: OrderStatus | None = None,
        attention: bool = False,
        before: tuple[datetime, OrderId] | None = None,
        limit: int = 50,
    ) -> Sequence[Order]:
        """The newest ``limit`` orders that match, by ``(created_at, id)``, strictly before ``before``."""
        ...


class Refunds(Protocol):
    """All refunds."""

    async def save(self, refund: Refund) -> None:
        """Keep a new or changed refund; the one of the same id is replaced."""
        ...

    async def of_order(self, order_id: OrderId) -> Sequence[Refund]:
        """Every refund of this order, the oldest first."""
        ...

    async def of_orders(self, order_ids: Sequence[OrderId]) -> Mapping[OrderId, Sequence[Refund]]:
        """Every refund of these orders, the oldest first, by order, without those that have none."""
        ...


class History(Protocol):
    """What happened, append-only."""

    async def append(self, entries: Sequence[HistoryEntry]) -> None:
        """Add entries. Raises ConflictError if an entry of that order and number is there already."""
        ...

    async def of_order(self, order_id: OrderId, *, after: int = 0) -> Sequence[HistoryEntry]:
        """The entries of this order with a number above ``after``, in order; those of other orders never."""
        ...


class Inbox(Protocol):
    """The webhook events that were accepted, each once for ever."""

    async def seen(self, webhook_id: WebhookId) -> bool:
        """Whether an event of this id was kept."""
        ...

    async def add(self, event: WebhookEvent, *, outcome: str, received_at: datetime) -> bool:
        """Keep the event with what became of it. False, and nothing changes, if its id was kept before."""
        ...


class Catalog(Protocol):
    """What can be bought, how much of it there is, and how much of that is held."""

    async def put(self, product: Product) -> None:
        """Keep this product; the one of the same id is replaced, but for what is held of it.

        That changes by ``hold`` and ``release`` alone: nothing is held of a new one.
        """
        ...

    async def by_id(self, product_id: ProductId) -> Product | None:
        """The product of this id, None if there is none. In a writing unit it is held until the unit ends."""
        ...

    async def products(self) -> Sequence[Product]:
        """Every product, by name."""
        ...

    async def hold(self, product_id: ProductId, quantity: int) -> Product:
        """Hold ``quantity`` of what is available, and return the product as it is then.

        Of a product without limit nothing is held, and no row is written: so no buyer waits for another.
        Raises ProductNotFoundError or SoldOutError, and nothing is held.
        """
        ...

    async def release(self, product_id: ProductId, quantity: int) -> None:
        """Let go of ``quantity`` that was held, whether or not the product has a limit by now; of no more than is held.

        A product that is gone stays gone.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedBefore:
    """The memory of one Idempotency-Key: which order it placed, with which request, and the salt of its token.

    ``key_hash`` and ``fingerprint`` are hex digests: neither the key nor the request is kept.
    """

    key_hash: str
    order_id: OrderId
    fingerprint: str
    salt: str


class Placements(Protocol):
    """Which Idempotency-Keys placed which orders."""

    async def by_key(self, key_hash: str) -> PlacedBefore | None:
        """What this key placed, None if it was never used."""
        ...

    async def add(self, placed: PlacedBefore) -> None:
        """Remember a key. Raises ConflictError if it is remembered already."""
        ...


class Orphans(Protocol):
    """Payments of our store that no order is for."""

    async def keep(self, orphans: Sequence[Orphan]) -> int:
        """Keep them; how many were new. One that was kept before is replaced, but for when it was first seen."""
        ...

    async def page(self, *, before: tuple[datetime, str] | None = None, limit: int = 50) -> Sequence[Orphan]:
        """The ``limit`` seen first last, by ``(first_seen_at, payment_id)``, strictly before ``before``."""
        ...


class Sweeps(Protocol):
    """Where the sweep has got to: one for everybody."""

    async def read(self) -> Sweep:
        """The sweep as it stands; a new one if there was none yet."""
        ...

    async def save(self, sweep: Sweep) -> Sweep:
        """Keep it, and return it as it is stored: its version is one more.

        Raises ConflictError if it was saved by anybody since ``sweep`` was read.
        """
        ...


class ApiKeys(Protocol):
    """The API keys of the shop's servers: hashes, and never a secret."""

    async def add(self, key: ApiKey) -> None:
        """Keep a new key. Raises ConflictError if there is one of this id already."""
        ...

    async def by_id(self, key_id: ApiKeyId) -> ApiKey | None:
        """The key of this id (any text), None if there is none."""
        ...

    async def keys(self) -> Sequence[ApiKey]:
        """Every key, the newest first, by ``(created_at, id)``; the expired and the revoked among them."""
        ...

    async def revoke(self, key_id: ApiKeyId, at: datetime) -> ApiKey | None:
        """Revoke this key, and return it as it is then, None if there is none.

        One that was revoked before stays as it was, with the time of then. Nothing else of a key changes.
        """
        ...

    async def note_use(self, key_id: ApiKeyId, hour: datetime) -> None:
        """Note that this key was used in this hour. Nothing else of it changes; one that is gone stays gone."""
        ...


class UnitOfWork(Protocol):
    """One transaction. ``async with`` begins it; leaving without ``commit`` undoes everything.

    Each read of a reading unit sees what is committed by then; it takes no locks and refuses ``commit``. Among
    writing units on one order exactly one at a time is past its first read of it. Every method raises
    StoreUnavailableError where the database cannot be reached or is too busy, and ConflictError where running the
    unit again may help.
    A unit that was begun has a deadline; no unit stays open for ever.
    """

    orders: Orders
    refunds: Refunds
    history: History
    inbox: Inbox
    catalog: Catalog
    placements: Placements
    orphans: Orphans
    sweeps: Sweeps
    api_keys: ApiKeys

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None:
        """Make all of it durable, at once. Once it has returned, no crash loses it."""
        ...


class Store(Protocol):
    """Where everything is kept."""

    def reading(self) -> UnitOfWork:
        """A new unit that only reads."""
        ...

    def writing(self) -> UnitOfWork:
        """A new unit that may write."""
        ...

    async def check(self) -> None:
        """Raise StoreUnavailableError unless the database answers and its schema is the one this version needs."""
        ...
