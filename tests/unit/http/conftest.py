"""The HTTP application over memory, with a gateway that says what a test wants, and a real server where it matters."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from litestar import Litestar

from adapters.http.app import HttpSettings, create_app
from adapters.notify.in_process import InProcessNotifier
from adapters.persistence.memory import MemoryStore
from adapters.portone.webhook_reader import PortOneWebhookReader
from adapters.portone.window import PortOneWindow
from application.answer_attention import AnswerAttention
from application.api_keys import Authenticate, CreateApiKey, ListApiKeys, RevokeApiKey
from application.audit_payments import AuditPayments
from application.cancel_order import CancelOrder
from application.carry_out_refunds import CarryOutRefunds
from application.check_due_orders import CheckDueOrders
from application.errors import GatewayError
from application.follow_order import FollowOrder, Pace
from application.handle_webhook_event import HandleWebhookEvent
from application.place_order import PlaceOrder
from application.ports import CancelPayment, ChangedPage, OrderNotifier, PaymentGateway, Store
from application.put_product import PutProduct
from application.read_order import ListOrders, ListOrphans, ListProducts, ReadOrder, ShowOrder
from application.reconcile_order import ReconcileOrder
from application.refund_order import RefundOrder, WithdrawRefund
from application.sweep_payments import SweepPayments
from application.tickets import IssueTicket, ReadReturn, RedeemTicket
from application.use_cases import UseCases
from application.verify_payment import VerifyPayment
from domain.catalog import Product
from domain.ids import OrderId, PaymentId, ProductId
from domain.money import Money
from domain.payment import Cancellation, Payment, PaymentStatus, Shop

STORE_ID = "store-test"
SECRET = "whsec_" + base64.b64encode(b"a webhook secret for these tests").decode()
PRODUCTS = (
    Product(id=ProductId("vip-1-1"), name="VIP 1열 1번", price=Money(355_000, "KRW"), capacity=1),
    Product(id=ProductId("hall"), name="스탠딩", price=Money(99_000, "KRW"), capacity=None),
    Product(id=ProductId("poster"), name="Poster", price=Money(1_500, "USD"), capacity=None),
    Product(id=ProductId("dear"), name="Dear", price=Money(10**14, "KRW"), capacity=None),
)


class StubGateway(PaymentGateway):
    """Knows the payments that a test put there; ``trouble`` is raised instead of any answer."""

    def __init__(self) -> None:
        self.payments: dict[str, Payment] = {}
        self.trouble: GatewayError | None = None
        self.asked: list[str] = []

    async def get(self, payment_id: PaymentId) -> Payment | None:
        self.asked.append(payment_id)
        if self.trouble is not None:
            raise self.trouble
        return self.payments.get(payment_id)

    async def cancel(self, cancel: CancelPayment) -> Cancellation:
        raise AssertionError("nothing is given back in these tests")

    async def pre_register(self, payment_id: PaymentId, total: Money, tax_free: Money) -> None:
        if self.trouble is not None:
            raise self.trouble

    async def close_virtual_account(self, payment_id: PaymentId, store_id: str | None) -> None:
        raise AssertionError("no account is open in these tests")

    async def changed_page(
        self, store_id: str, since: datetime, until: datetime, *, number: int, size: int
    ) -> ChangedPage:
        raise AssertionError("nobody sweeps in these tests")


@dataclass(slots=True)
class Shopfront:
    """One application with everything behind it."""

    app: Litestar
    store: Store
    gateway: StubGateway
    notifier: InProcessNotifier
    use_cases: UseCases
    http: httpx.AsyncClient

    async def place(self, product: str = "hall", **headers: str) -> Any:
        body = {"items": [{"productId": product, "quantity": 1}]}
        answer = await self.http.post("/api/v1/orders", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def pays(self, placed: Any, *, amount: int | None = None) -> None:
        """The gateway says from now on that this order was paid."""
        price = placed["order"]["price"]
        now = datetime.now(UTC)
        self.gateway.payments[placed["order"]["paymentId"]] = Payment(
            id=placed["order"]["paymentId"],
            status=PaymentStatus.PAID,
            said="PAID",
            total=Money(price["amount"] if amount is None else amount, price["currency"]),
            cancelled=Money(0, price["currency"]),
            store_id=STORE_ID,
            channel_type="TEST",
            changed_at=now,
            updated_at=now,
        )

    async def verify(self, placed: Any) -> Any:
        answer = await self.http.post(f"/api/v1/orders/{placed['order']['id']}/verify", headers=bearer(placed))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def history(self, placed: Any) -> list[str]:
        record = await self.use_cases.show_order(OrderId(placed["order"]["id"]))
        return [entry.kind.value for entry in record.history]


NewShopfront = Callable[..., Shopfront]


def bearer(placed: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {placed['token']}"}


def signed(
    body: bytes, *, webhook_id: str = "msg_1", secret: str = SECRET, at: datetime | None = None
) -> dict[str, str]:
    """The headers that PortOne would send with ``body``."""
    timestamp = str(int((at or datetime.now(UTC)).timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        "content-type": "application/json",
    }


@dataclass(slots=True)
class Toolbox:
    """The helpers above, as test modules cannot import them from here."""

    bearer: Callable[[Any], dict[str, str]] = bearer
    signed: Callable[..., dict[str, str]] = signed


@pytest.fixture
def tools() -> Toolbox:
    return Toolbox()


@pytest.fixture
async def new_shopfront() -> AsyncIterator[NewShopfront]:
    """Makes applications: ``new_shopfront(settings=…, pace=…, notifier=…, store=…)``."""
    made: list[Shopfront] = []

    def new(
        *,
        settings: HttpSettings | None = None,
        pace: Pace | None = None,
        notifier: InProcessNotifier | None = None,
        store: Store | None = None,
    ) -> Shopfront:
        shopfront = _shopfront(settings, pace, notifier or InProcessNotifier(), store or MemoryStore())
        made.append(shopfront)
        return shopfront

    yield new
    for shopfront in made:
        await shopfront.http.aclose()


@pytest.fixture
async def shopfront(new_shopfront: NewShopfront) -> Shopfront:
    """An application with the usual settings and some products."""
    made = new_shopfront()
    await stock(made.store)
    return made


@pytest.fixture
def fill() -> Callable[[Store], Any]:
    """Puts the products into a store."""
    return stock


async def stock(store: Store) -> None:
    async with store.writing() as unit:
        for product in PRODUCTS:
            await unit.catalog.put(product)
        await unit.commit()


def _shopfront(
    settings: HttpSettings | None, pace: Pace | None, notifier: InProcessNotifier, store: Store
) -> Shopfront:
    gateway = StubGateway()
    use_cases = _use_cases(store, gateway, notifier, pace)
    app = create_app(
        use_cases,
        webhook_reader=PortOneWebhookReader([SECRET], _now),
        check=store.check,
        settings=settings or HttpSettings(gateway="fake"),
    )
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.test")  # type: ignore[arg-type]
    return Shopfront(app, store, gateway, notifier, use_cases, http)


def _use_cases(store: Store, gateway: PaymentGateway, notifier: OrderNotifier, pace: Pace | None) -> UseCases:
    shop = Shop(store_id=STORE_ID, channel_type="TEST")
    reconcile = ReconcileOrder(store, notifier, _now, _new_id, shop)
    read_order = ReadOrder(store)
    window = PortOneWindow(store_id=STORE_ID, channel_key="channel-key-test", public_url="https://shop.example")
    carry_out_refunds = CarryOutRefunds(store, gateway, reconcile, _now)
    return UseCases(
        place_order=PlaceOrder(
            store=store, gateway=gateway, window=window, clock=_now, new_id=_new_id, ttl=timedelta(minutes=15)
        ),
        read_order=read_order,
        verify_payment=VerifyPayment(read_order, gateway, reconcile, _now),
        cancel_order=CancelOrder(read_order, gateway, reconcile),
        follow_order=FollowOrder(store, notifier, pace),
        issue_ticket=IssueTicket(read_order, _now),
        redeem_ticket=RedeemTicket(store, _now),
        read_return=ReadReturn(store, _now),
        list_products=ListProducts(store),
        put_product=PutProduct(store),
        handle_webhook_event=HandleWebhookEvent(store, gateway, reconcile, _now),
        refund_order=RefundOrder(store, notifier, _now, gateway=gateway, carry_out_refunds=carry_out_refunds),
        withdraw_refund=WithdrawRefund(store, notifier, _now),
        answer_attention=AnswerAttention(store, notifier, _now),
        check_due_orders=CheckDueOrders(
            store=store,
            gateway=gateway,
            reconcile=reconcile,
            carry_out_refunds=carry_out_refunds,
            clock=_now,
        ),
        sweep_payments=SweepPayments(store=store, gateway=gateway, shop=shop, clock=_now, new_id=_new_id),
        audit_payments=AuditPayments(store=store, gateway=gateway, shop=shop, clock=_now),
        show_order=ShowOrder(store),
        list_orders=ListOrders(store),
        list_orphans=ListOrphans(store),
        create_api_key=CreateApiKey(store, _now, _new_id),
        list_api_keys=ListApiKeys(store, _now),
        revoke_api_key=RevokeApiKey(store, _now),
        authenticate=Authenticate(store, _now),
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return secrets.token_hex(16)


# --- a real server ----------------------------------------------------------------------------------------------


class _Server(uvicorn.Server):
    """Says when it has started, and leaves signals alone."""

    def __init__(self, app: Litestar) -> None:
        super().__init__(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=5)
        )
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: Litestar) -> AsyncIterator[str]:
    """The application behind uvicorn on a free port of the loopback; its address."""
    sock = socket.create_server(("127.0.0.1", 0))
    server = _Server(app)
    running = asyncio.create_task(server.serve([sock]))
    try:
        await asyncio.wait_for(server.up.wait(), 10)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(running, 10)
        sock.close()


@dataclass(slots=True)
class Frame:
    """One block of an event stream."""

    id: int | None = None
    event: str | None = None
    data: Any = None
    retry: int | None = None
    comments: list[str] = field(default_factory=list)


class Following:
    """An open event stream."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> Frame | None:
        """The next block; None once the stream has ended."""
        frame = Frame()
        lines = 0
        async with asyncio.timeout(10):
            async for line in self._lines:
                if not line and lines:
                    return frame
                lines += 1
                name, _, value = line.partition(":")
                _take(frame, name, value.removeprefix(" "))
        return None

    async def rest(self) -> list[Frame]:
        """All blocks until the stream ends."""
        frames = []
        while (frame := await self.next()) is not None:
            frames.append(frame)
        return frames


def _take(frame: Frame, name: str, value: str) -> None:
    match name:
        case "id":
            frame.id = int(value)
        case "event":
            frame.event = value
        case "retry":
            frame.retry = int(value)
        case "data":
            frame.data = json.loads(value)
        case "":
            frame.comments.append(value)
        case _:
            raise AssertionError(f"{name!r} is no field of an event stream")


Follow = Callable[..., contextlib.AbstractAsyncContextManager[Following]]


@pytest.fixture
async def served(shopfront: Shopfront) -> AsyncIterator[str]:
    """The address of a real server with the usual application."""
    async with serving(shopfront.app) as url:
        yield url


@pytest.fixture
def serve() -> Callable[[Litestar], contextlib.AbstractAsyncContextManager[str]]:
    """Puts an application behind a real server."""
    return serving


@pytest.fixture
async def follow() -> AsyncIterator[Follow]:
    """Opens event streams: ``follow(url, placed, after=…)``."""
    async with httpx.AsyncClient(timeout=10) as http:

        @asynccontextmanager
        async def open_stream(url: str, placed: Any, *, after: object = None) -> AsyncIterator[Following]:
            headers = bearer(placed) | ({} if after is None else {"Last-Event-ID": str(after)})
            address = f"{url}/api/v1/orders/{placed['order']['id']}/events"
            async with http.stream("GET", address, headers=headers) as answer:
                yield Following(answer)

        yield open_stream
