"""The ports: what the use cases need from outside, and what each sentence here promises them.

Every sentence in a docstring below is a test in ``tests/contract``, run over every adapter of the port.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from domain.catalog import Product
from domain.history import HistoryEntry
from domain.ids import OrderId, PaymentId, ProductId, RefundId, WebhookId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order
from domain.payment import Cancellation, Payment
from domain.refund import Refund
from domain.sweep import Orphan, Sweep
from domain.webhook_event import WebhookEvent

Clock = Callable[[], datetime]
"""The time now, aware, in UTC."""

NewId = Callable[[], str]
"""A new name, ``[0-9a-f]{32}``: 128 bits from a cryptographic source, never the same twice."""


# --- what is kept -----------------------------------------------------------------------------------------------


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

    async def lease_due(self, now: datetime, until: datetime, limit: int) -> Sequence[Order]:
        """At most ``limit`` orders with ``look_at`` at or before ``now``, those due longest, each to one caller.

        Their ``look_at`` becomes ``until``: a caller that dies leaves them due again from then on.
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
    """What can be bought, and how much of it is left."""

    async def put(self, product: Product) -> None:
        """Keep this product; the one of the same id is replaced, with its stock."""
        ...

    async def products(self) -> Sequence[Product]:
        """Every product, by name."""
        ...

    async def hold(self, product_id: ProductId, quantity: int) -> Product:
        """Take ``quantity`` off what is available, and return the product as it is then.

        Raises ProductNotFoundError or SoldOutError, and nothing is taken.
        """
        ...

    async def release(self, product_id: ProductId, quantity: int) -> None:
        """Put ``quantity`` back. A product that is gone, or without limit, stays as it is."""
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


# --- the gateway ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelPayment:
    """One cancellation to carry out. ``refund_id`` is its Idempotency-Key and stands in its reason as ``[refund_id]``.

    ``left`` is what the gateway said is left; it refuses if that is no longer so.
    """

    payment_id: PaymentId
    store_id: str | None
    refund_id: RefundId
    amount: Money
    left: Money
    reason: str
    by_customer: bool = False


class PaymentGateway(Protocol):
    """The payment gateway. Every method may raise GatewayUnavailableError (outcome unknown) and GatewayDeniedError."""

    async def get(self, payment_id: PaymentId) -> Payment | None:
        """The gateway's record of this payment, whichever of our stores it was made in; None if it knows none."""
        ...

    async def cancel(self, cancel: CancelPayment) -> Cancellation:
        """Give back ``cancel.amount``; the answer says how far that got, and may say FAILED or REQUESTED.

        The same ``refund_id`` again, within the gateway's memory of it, changes nothing and gives the same answer.
        Raises GatewayRefusedError if it was definitely not done, also when ``cancel.left`` is not what is left, and
        GatewayBusyError while an earlier request of the same ``refund_id`` is still being worked on.
        """
        ...

    async def pre_register(self, payment_id: PaymentId, total: Money) -> None:
        """Tell the gateway which sum this payment must have. Raises GatewayRefusedError if it is already paid."""
        ...

    async def close_virtual_account(self, payment_id: PaymentId, store_id: str | None) -> None:
        """Close the account that waits for a deposit. Raises GatewayRefusedError if none is waiting."""
        ...

    def changed_since(self, since: datetime, until: datetime) -> AsyncIterator[Payment]:
        """Every payment of our store whose status changed from ``since`` to ``until``, the earliest change first."""
        ...


WebhookReader = Callable[[Sequence[tuple[bytes, bytes]], bytes], WebhookEvent]
"""Headers (names in any case) and the raw body, as received, to the event they prove.

Else WebhookRefusedError, and never anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """What the payment window may be told about the buyer. It is passed on and never kept."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The exact arguments the browser hands to the gateway's payment window, by the gateway's own names and spellings.

    ``total_amount`` is in minor units of ``currency``. Source: @portone/browser-sdk 0.1.11, PaymentRequest.
    """

    store_id: str
    channel_key: str
    payment_id: PaymentId
    order_name: str
    total_amount: int
    currency: str
    pay_method: str
    redirect_url: str
    customer: Mapping[str, str] | None = None


PaymentWindow = Callable[[Order, Customer | None], Checkout]
"""What the browser needs to open the payment window for an order."""


# --- telling ----------------------------------------------------------------------------------------------------


class Wakeups(Protocol):
    """One follower's bell."""

    async def wait(self, seconds: float) -> bool:
        """True as soon as the bell was rung since the last wait, False after ``seconds`` without a ring."""
        ...


class OrderNotifier(Protocol):
    """Says that there is something new to read; never what. A ring may be lost: followers also look by themselves."""

    async def publish(self, order_id: OrderId) -> None:
        """Ring every follower of this order. Never raises, never waits for a follower."""
        ...

    def subscribe(self, order_id: OrderId) -> AbstractContextManager[Wakeups]:
        """A bell for this order until the context is left, which needs no waiting.

        Raises TooManyStreamsError where the order or the process has its fill of followers.
        """
        ...

    def close(self) -> None:
        """Ring everybody for the last time: ``closing`` is True from now on."""
        ...

    @property
    def closing(self) -> bool:
        """Whether followers should come to their end."""
        ...
