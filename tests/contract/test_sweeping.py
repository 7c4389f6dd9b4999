"""The sweep and the audit over real databases, and through the real client against the fake over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import pytest

from adapters.persistence.sql import SqlStore
from adapters.portone.gateway import PortOneGateway
from adapters.portone.transport import gateway_client
from application.audit_payments import AuditPayments
from application.errors import ConflictError
from application.ports import ChangedPage, PaymentGateway, Store
from application.sweep_payments import SweepPayments
from application.transact import record
from domain.audit import Balance, FindingKind
from domain.ids import OrderId, PaymentId, ProductId, RefundId
from domain.money import Money
from domain.order import Order, OrderLine
from domain.payment import Payment, PaymentStatus, Shop
from domain.reconciliation import place as placing
from domain.reconciliation import reconcile
from fake_portone.ledger import Cancel, Purchase

STORE_ID = "store-00000000-0000-4000-8000-00000000000a"
API_SECRET = "the fake's secret"
SHOP = Shop(store_id=STORE_ID, channel_type="LIVE")
PRICE = Money(10_000, "KRW")


def now() -> datetime:
    return datetime.now(UTC)


async def place(store: Store, number: int, payment: Payment | None = None) -> Order:
    """An order placed a day ago, and reconciled by ``payment``."""
    begun = now() - timedelta(days=1)
    reconciliation = placing(
        order_id=OrderId(f"{number:032x}"),
        payment_id=PaymentId(f"{number:032d}"),
        token_hash=f"{number:064x}",
        lines=[OrderLine(product_id=ProductId("p"), name="p", quantity=1, price=PRICE)],
        now=begun,
        expires_at=begun + timedelta(minutes=15),
    )
    order = reconciliation.order
    async with store.writing() as unit:
        await unit.history.append(reconciliation.entries)
        await unit.orders.add(order)
        if payment is not None:
            reconciled = reconcile(order, payment, shop=SHOP, now=begun, refund_id=RefundId(f"r{number}"))
            await record(unit, order, reconciled)
        await unit.commit()
    return order


def paid(number: int, *, back: int = 0) -> Payment:
    status = PaymentStatus.PARTIAL_CANCELLED if back else PaymentStatus.PAID
    return Payment(
        id=f"{number:032d}",
        status=status,
        said=status.value,
        total=PRICE,
        cancelled=Money(back, "KRW"),
        store_id=STORE_ID,
        channel_type="LIVE",
        changed_at=now() - timedelta(hours=1) + timedelta(seconds=number),
    )


class Listing:
    """A gateway that lists made-up payments, waiting where a test wants it to."""

    def __init__(self, payments: list[Payment]) -> None:
        self._payments = payments
        self.begun = 0

    async def changed_page(
        self, store_id: str, since: datetime, until: datetime, *, number: int, size: int
    ) -> ChangedPage:
        self.begun += not number
        await asyncio.sleep(0)
        return ChangedPage(payments=self._payments[number * size : (number + 1) * size], total=len(self._payments))


def sweeper(store: Store, gateway: object, name: str = "s", *, batch: int = 5) -> SweepPayments:
    names = iter(f"{name}-{n}" for n in range(1_000))
    return SweepPayments(
        store=store,
        gateway=cast("PaymentGateway", gateway),
        shop=SHOP,
        clock=now,
        new_id=lambda: next(names),
        batch=batch,
    )


@pytest.mark.proves("one sweep runs at a time, whoever begins one")
async def test_of_eight_who_sweep_at_once_one_sweeps_and_every_order_is_made_due_once(new_store: Any) -> None:
    stores = [new_store(), new_store()]
    for number in range(20):
        await place(stores[0], number, paid(number))
    listing = Listing([paid(number, back=1 + number % 2) for number in range(20)])
    together = asyncio.Barrier(8)

    async def sweep(number: int) -> bool:
        await together.wait()
        return await sweeper(stores[number % 2], listing, f"s{number}")() is not None

    swept = await asyncio.gather(*(sweep(number) for number in range(8)))
    assert sum(swept) == listing.begun >= 1
    async with stores[1].reading() as unit:
        orders = await unit.orders.by_payments([f"{n:032d}" for n in range(20)])
        state = await unit.sweeps.read()
    assert all(order.check_at is not None and order.check_at <= now() for order in orders.values())
    assert {order.version for order in orders.values()} == {2}, "reconciled once, made due once"
    assert (state.holder, state.held_until) == (None, None)


@pytest.mark.proves("a sweep finds every payment that differs from its order")
async def test_orders_that_others_change_while_they_are_swept_end_due_or_in_line(new_store: Any) -> None:
    stores = [new_store(), new_store()]
    for number in range(10):
        await place(stores[0], number, paid(number))
    seen = {number: paid(number, back=1) for number in range(10)}

    async def bring_in_line(number: int) -> None:
        async with stores[1].reading() as unit:
            order = await unit.orders.by_id(OrderId(f"{number:032x}"))
        assert order is not None
        reconciled = reconcile(order, seen[number], shop=SHOP, now=now(), refund_id=RefundId("r"))
        async with stores[1].writing() as unit:
            await record(unit, order, reconciled)
            await unit.commit()

    sweeping = asyncio.create_task(sweeper(stores[0], Listing(list(seen.values())))())
    ended = await asyncio.gather(*(bring_in_line(number) for number in range(0, 10, 2)), return_exceptions=True)
    await sweeping
    async with stores[0].reading() as unit:
        orders = await unit.orders.by_payments([f"{n:032d}" for n in range(10)])
    assert [end for end in ended if end is not None and not isinstance(end, ConflictError)] == []
    for name, order in orders.items():
        assert order.refunded.minor == 1 or order.check_at is not None, name


# --- through the real client, over HTTP -------------------------------------------------------------------------


@pytest.fixture
async def client(portone_server: Any) -> AsyncIterator[httpx.AsyncClient]:
    client = gateway_client(portone_server.url)
    yield client
    await client.aclose()


async def test_a_thousand_payments_over_http_are_swept_and_audited_a_batch_at_a_time(
    portone_server: Any, client: httpx.AsyncClient, sql_store: SqlStore
) -> None:
    ledger = portone_server.fake.ledger
    purchase = Purchase(
        store_id=STORE_ID, channel_key="c", order_name="n", total=PRICE.minor, currency="KRW", channel_type="LIVE"
    )
    for number in range(1_000):
        ledger.open(f"{number:032d}", purchase)
        ledger.pay(f"{number:032d}")
    gateway = PortOneGateway(client, api_secret=API_SECRET, store_id=STORE_ID)
    for number in (0, 500, 999):
        await place(sql_store, number, await gateway.get(PaymentId(f"{number:032d}")))
    ledger.cancel(f"{0:032d}", Cancel(reason="the console"))
    sizes: list[int] = []
    swept = await sweeper(sql_store, gateway, batch=200)(None, lambda told: sizes.append(told.so_far.payments))

    assert swept is not None
    assert (swept.payments, swept.differing, swept.orphans) == (1_000, 1, 997)
    assert sizes == [200, 400, 600, 800, 1_000, 1_000], "and a page that shows that they were all"
    audit = await AuditPayments(store=sql_store, gateway=gateway, shop=SHOP, clock=now)()
    won = PRICE.minor
    assert audit.balances["KRW"] == Balance(captured=1_000 * won, completed=2 * won, refunded=won, orphaned=997 * won)
    assert (audit.is_clean, audit.counts[FindingKind.UNRECONCILED]) == (True, 1)
