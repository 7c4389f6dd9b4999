"""The use cases on memory adapters and the in-process fake, with a clock that only the test moves."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.notify.in_process import InProcessNotifier
from adapters.persistence.memory import MemoryStore, MemoryUnit
from adapters.portone.fake_gateway import FakePortOneGateway
from adapters.portone.window import PortOneWindow
from application.answer_attention import AnswerAttention
from application.audit_payments import AuditPayments
from application.cancel_order import CancelOrder
from application.carry_out_refunds import CarryOutRefunds
from application.check_due_orders import CheckDueOrders, Checked
from application.handle_webhook_event import HandleWebhookEvent, WebhookOutcome
from application.place_order import Placed, PlaceOrder, PlaceOrderCommand
from application.ports import Customer, PaymentGateway
from application.put_product import PutProduct
from application.read_order import OrderRecord, ReadOrder, ShowOrder
from application.reconcile_order import ReconcileOrder
from application.refund_order import RefundOrder, WithdrawRefund
from application.sweep_payments import SweepPayments
from application.tickets import ReadReturn
from application.verify_payment import VerifyPayment
from domain.catalog import Product
from domain.ids import PaymentId, ProductId, WebhookId
from domain.limits import Limits
from domain.money import Money
from domain.payment import CancellationStatus, Payment, PaymentStatus, Shop
from domain.policy import Policy
from domain.webhook_event import WebhookEvent
from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock
from fake_portone.faults import Fault
from fake_portone.ledger import Purchase

STORE, CHANNEL, SECRET = "store-1", "channel-key-1", "an-api-secret"
TTL = timedelta(minutes=15)
UNHURRIED = 30.0  # seconds, of the machine's own: enough for any that is busy
PAID = frozenset({PaymentStatus.PAID, PaymentStatus.PARTIAL_CANCELLED, PaymentStatus.CANCELLED})


class World:
    """A shop with one seat and endless programmes, its buyers, and its PortOne."""

    def __init__(
        self,
        wrap: Callable[[PaymentGateway], PaymentGateway] = lambda gateway: gateway,
        store: MemoryStore | None = None,
        *,
        budget: float = UNHURRIED,
        policy: Policy | None = None,
        slow_patience: float = UNHURRIED,
        limits: Limits | None = None,
    ) -> None:
        self._now = datetime(2026, 1, 1, 9, tzinfo=UTC)
        self._ids = itertools.count(1)
        settings = FakePortOneSettings(api_secret=SECRET, store_id=STORE, webhook_secret="c2VjcmV0c2VjcmV0c2VjcmV0")
        self.fake = FakePortOne(settings, clock=FakeClock(now=self.now, monotonic=self.seconds, speed=1.0))
        self.store = store or MemoryStore()
        self.notifier = InProcessNotifier()
        gateway = wrap(FakePortOneGateway(self.fake, patience=UNHURRIED))
        self.gateway = gateway
        shop = Shop(store_id=STORE, channel_type="LIVE")
        window = PortOneWindow(store_id=STORE, channel_key=CHANNEL, public_url="https://shop.example")
        self.reconcile = reconcile = ReconcileOrder(
            self.store, self.notifier, self.now, self.new_id, shop, policy=policy
        )
        self.read_order = ReadOrder(self.store)
        self.show_order = ShowOrder(self.store)
        self.place_order = PlaceOrder(
            store=self.store,
            gateway=gateway,
            window=window,
            clock=self.now,
            new_id=self.new_id,
            ttl=TTL,
            limits=limits,
            policy=policy,
        )
        self.read_return = ReadReturn(self.store, self.now)
        self.put_product = PutProduct(self.store)
        self.verify_payment = VerifyPayment(self.read_order, gateway, reconcile, self.now)
        self.cancel_order = CancelOrder(self.read_order, gateway, reconcile)
        self.handle_webhook_event = HandleWebhookEvent(self.store, gateway, reconcile, self.now, budget=budget)
        carry_out_refunds = CarryOutRefunds(self.store, gateway, reconcile, self.now)
        self.refund_order = RefundOrder(
            self.store, self.notifier, self.now, gateway=gateway, carry_out_refunds=carry_out_refunds
        )
        self.withdraw_refund = WithdrawRefund(self.store, self.notifier, self.now)
        self.answer_attention = AnswerAttention(self.store, self.notifier, self.now)
        self.check_due_orders = CheckDueOrders(
            store=self.store,
            gateway=gateway,
            reconcile=reconcile,
            carry_out_refunds=carry_out_refunds,
            clock=self.now,
            patience=slow_patience,
        )
        self.sweep_payments = SweepPayments(
            store=self.store, gateway=gateway, shop=shop, clock=self.now, new_id=self.new_id, batch=3, policy=policy
        )
        self.audit_payments = AuditPayments(store=self.store, gateway=gateway, shop=shop, clock=self.now, batch=3)

    def now(self) -> datetime:
        return self._now

    def seconds(self) -> float:
        return self._now.timestamp()

    def new_id(self) -> str:
        return f"{next(self._ids):032x}"

    def pass_time(self, **amount: float) -> None:
        self._now += timedelta(**amount)

    async def stock(self) -> None:
        async with self.store.writing() as unit:
            await unit.catalog.put(Product(id=ProductId("seat"), name="VIP 1열 1번", price=won(355_000), capacity=1))
            await unit.catalog.put(Product(id=ProductId("programme"), name="프로그램 북", price=won(20_000)))
            await unit.catalog.put(Product(id=ProductId("poster"), name="poster", price=Money(999, "USD"), capacity=9))
            await unit.catalog.put(Product(id=ProductId("free"), name="a smile", price=won(0)))
            await unit.commit()

    async def available(self, product: str) -> int | None:
        async with self.store.reading() as unit:
            return next(p.available for p in await unit.catalog.products() if p.id == product)

    async def place(self, *items: tuple[str, int], key: str | None = None, customer: Customer | None = None) -> Placed:
        wanted = tuple((ProductId(product), quantity) for product, quantity in items or (("seat", 1),))
        return await self.place_order(PlaceOrderCommand(items=wanted, customer=customer, idempotency_key=key))

    def purchase(self, placed: Placed, **changed: Any) -> Purchase:
        asked = placed.checkout
        assert asked is not None
        honest: dict[str, Any] = {
            "store_id": asked.store_id,
            "channel_key": asked.channel_key,
            "order_name": asked.order_name,
            "total": asked.total_amount,
            "currency": asked.currency,
            "tax_free": asked.tax_free_amount or 0,
        }
        return Purchase(**(honest | changed))

    def pay(self, placed: Placed, **changed: Any) -> None:
        self.fake.buyer.pay(placed.order.payment_id, self.purchase(placed, **changed))

    def faults_left(self) -> int:
        """How many times the faults that are on can still strike."""
        return sum((fault.times or 0) - struck for fault, struck in self.fake.faults.on())

    def faults(self, *faults: Fault) -> None:
        self.fake.faults.put(faults)

    def event(
        self,
        placed: Placed,
        kind: str = "Transaction.Paid",
        *,
        webhook_id: str | None = None,
        implies: Any = PAID,
        cancellation_id: str | None = None,
    ) -> WebhookEvent:
        return WebhookEvent(
            id=WebhookId(webhook_id or self.new_id()),
            type=kind,
            payment_id=placed.order.payment_id,
            store_id=STORE,
            occurred_at=self.now(),
            implies=implies,
            cancellation_id=cancellation_id,
        )

    async def webhook(self, placed: Placed, kind: str = "Transaction.Paid", **more: Any) -> WebhookOutcome:
        return await self.handle_webhook_event(self.event(placed, kind, **more))

    async def check(self, **later: float) -> list[Checked]:
        self.pass_time(**later)
        return list(await self.check_due_orders())

    async def rest(self, placed: Placed, *, within: int = 60) -> OrderRecord:
        """Let time pass from check to check until the order is at rest."""
        for _ in range(within):
            record = await self.record(placed)
            if record.order.check_at is None:
                return record
            self._now = max(self._now, record.order.check_at)
            await self.check()
        raise AssertionError(f"not at rest after {within} checks")

    async def record(self, placed: Placed) -> OrderRecord:
        return await self.show_order(placed.order.id)

    async def kinds(self, placed: Placed) -> list[str]:
        return [entry.kind.value for entry in (await self.record(placed)).history]

    def net(self, placed: Placed) -> int:
        return self.fake.ledger.balance(placed.order.payment_id).net


def won(minor: int) -> Money:
    return Money(minor, "KRW")


class ForgetfulGateway:
    """A gateway whose record lists no cancellation that failed; PortOne does not promise to."""

    def __init__(self, inner: PaymentGateway) -> None:
        self._inner = inner

    async def get(self, payment_id: PaymentId) -> Payment | None:
        payment = await self._inner.get(payment_id)
        if payment is None:
            return None
        kept = tuple(c for c in payment.cancellations if c.status is not CancellationStatus.FAILED)
        return replace(payment, cancellations=kept)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Overheard:
    """Whatever it stands before, and a note of all that is asked of it."""

    def __init__(self, inner: Any, heard: list[tuple[str, Any]]) -> None:
        self._inner = inner
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        async def told(*asked: Any, **more: Any) -> Any:
            self._heard.append((name, (*asked, *more.values())))
            return await getattr(self._inner, name)(*asked, **more)

        return told


class OverheardStore(MemoryStore):
    """A store that notes its units, and what is asked of their inbox, catalog and refunds."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, Any]] = []

    def reading(self) -> MemoryUnit:
        return self._overheard("reading", super().reading())

    def writing(self) -> MemoryUnit:
        return self._overheard("writing", super().writing())

    def _overheard(self, kind: str, unit: MemoryUnit) -> MemoryUnit:
        self.heard.append((kind, ()))
        for name in ("inbox", "catalog", "refunds"):
            setattr(unit, name, Overheard(getattr(unit, name), self.heard))
        return unit


@pytest.fixture
def new_world() -> Callable[..., Awaitable[World]]:
    """Makes worlds whose gateway is wrapped as it is told, whose store is the given one, and so on."""

    async def new(
        wrap: Callable[[Any], Any] = lambda gateway: gateway, store: MemoryStore | None = None, **more: Any
    ) -> World:
        world = World(wrap, store, **more)
        await world.stock()
        return world

    return new


@pytest.fixture
async def world(new_world: Callable[..., Awaitable[World]]) -> World:
    return await new_world()


@pytest.fixture
async def forgetful_world(new_world: Callable[..., Awaitable[World]]) -> World:
    return await new_world(ForgetfulGateway)


@pytest.fixture
async def overheard_world(new_world: Callable[..., Awaitable[World]]) -> World:
    """What is asked of the gateway, and of the store, stands in ``world.store.heard``."""
    store = OverheardStore()
    world = await new_world(lambda gateway: Overheard(gateway, store.heard), store)
    store.heard.clear()
    return world


@pytest.fixture
def fresh_keys() -> Iterator[str]:
    return (f"a-key-nobody-guesses-{number}" for number in itertools.count())
