"""The fake's own page, and the stream that keeps it up to date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from fake_portone.control import balance_json, clock_json, delivery_json, faults_json
from fake_portone.ledger import PaymentRecord
from fake_portone.shapes import cancellation_json, time_json
from fake_portone.webhooks import Delivery

if TYPE_CHECKING:
    from fake_portone.fake_portone import FakePortOne

_STATIC = Path(__file__).parent / "static"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_PUBLIC = ("fake.css", "dashboard.js", "window.js")
_BEAT = 15.0
_TOGETHER = 0.05  # seconds in which changes gather for one event
_SHOWN_FIRST = 500
"""How many payments, and how many webhooks, a page that has just been opened is told of: the newest."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {}"
)


def static_response(
    name: str, headers: dict[str, str] | None = None, status: HTTPStatus = HTTPStatus.OK
) -> Response[bytes]:
    """A file of the fake's pages."""
    path = _STATIC / name
    always = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
    return Response(
        path.read_bytes(), status_code=status, media_type=_TYPES[path.suffix], headers=always | (headers or {})
    )


def page_response(name: str, *, framed_by: str | None, status: HTTPStatus = HTTPStatus.OK) -> Response[bytes]:
    """A page that runs its own scripts only, and that nobody but ``framed_by`` may show in a frame."""
    return static_response(name, {"Content-Security-Policy": _POLICY.format(framed_by or "'none'")}, status)


@dataclass(frozen=True, slots=True)
class _News:
    """What to tell a page of."""

    payments: set[str]
    deliveries: dict[Delivery, None]


@dataclass(slots=True, eq=False)
class _Follower:
    """What one open page has not been told of yet."""

    news: asyncio.Event = field(default_factory=asyncio.Event)
    payments: set[str] = field(default_factory=set)
    deliveries: dict[Delivery, None] = field(default_factory=dict)


class Live:
    """Who follows the fake, and what changed. However much changes at once, a follower is told of it in one event."""

    def __init__(self) -> None:
        self._followers: set[_Follower] = set()
        self._trails: dict[str, list[dict[str, str]]] = {}
        self._closed = False

    def kept(self, payment: PaymentRecord) -> None:
        """A payment changed."""
        trail = self._trails.setdefault(payment.id, [])
        step = {"status": payment.status.value, "transactionId": payment.transaction_id}
        if not trail or {name: trail[-1][name] for name in step} != step:
            trail.append(step | {"at": time_json(payment.updated_at)})
        for follower in self._followers:
            follower.payments.add(payment.id)
        self.tell()

    def delivered(self, delivery: Delivery) -> None:
        """A webhook came up, or was tried."""
        for follower in self._followers:
            follower.deliveries[delivery] = None
        self.tell()

    def tell(self) -> None:
        """Something changed: whatever is told with every event, if nothing else."""
        for follower in self._followers:
            follower.news.set()

    def trail(self, payment_id: str) -> list[dict[str, str]]:
        """Every status of a payment, in order, and when it had it first."""
        return self._trails.get(payment_id, [])

    def close(self) -> None:
        """End every stream, and let none begin."""
        self._closed = True
        self.tell()

    async def events(self, fake: FakePortOne) -> AsyncIterator[bytes]:
        """Server-sent events: first the state of everything, then what changed."""
        follower = _Follower()
        self._followers.add(follower)
        try:
            yield b"retry: 1000\n" + _event("snapshot", _state(fake, _newest(fake)))
            while not self._closed:
                try:
                    async with asyncio.timeout(_BEAT):
                        await follower.news.wait()
                except TimeoutError:
                    yield b":\n\n"
                    continue
                await asyncio.sleep(_TOGETHER)
                follower.news.clear()
                news = _News(follower.payments, follower.deliveries)
                follower.payments, follower.deliveries = set(), {}
                yield _event("change", _state(fake, news))
        finally:
            self._followers.discard(follower)


def page_routes(fake: FakePortOne) -> list[HTTPRouteHandler]:
    """The page at the root, its files, its stream."""

    @get("/")
    async def dashboard() -> Response[bytes]:
        return page_response("dashboard.html", framed_by=None)

    @get([f"/_fake/static/{name}" for name in _PUBLIC])
    async def static(request: Request[Any, Any, Any]) -> Response[bytes]:
        return static_response(Path(request.url.path).name)

    @get("/_fake/events")
    async def events() -> Stream:
        headers = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
        return Stream(fake.live.events(fake), media_type="text/event-stream", headers=headers)

    return [dashboard, static, events]


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))


def _newest(fake: FakePortOne) -> _News:
    payments = sorted(fake.ledger.payments(), key=lambda payment: payment.updated_at)[-_SHOWN_FIRST:]
    deliveries = fake.webhooks.deliveries[-_SHOWN_FIRST:]
    return _News({payment.id for payment in payments}, dict.fromkeys(deliveries))


def _payment(fake: FakePortOne, payment: PaymentRecord) -> dict[str, Any]:
    purchase, asked, trail = payment.purchase, fake.buyer.asked(payment.id), fake.live.trail(payment.id)
    shown: dict[str, Any] = {
        "id": payment.id,
        "status": payment.status,
        "orderName": purchase.order_name,
        "total": purchase.total,
        "currency": purchase.currency,
        "storeId": purchase.store_id,
        "channelKey": purchase.channel_key,
        "channelType": purchase.channel_type,
        "transactionId": payment.transaction_id,
        "attempts": len({step["transactionId"] for step in trail}),
        "trail": trail,
        "cancellations": [cancellation_json(cancellation) for cancellation in payment.cancellations],
        "cancellable": payment.cancellable,
        "requestedAt": time_json(payment.requested_at),
        "updatedAt": time_json(payment.updated_at),
        "failure": payment.failure,
        "account": payment.account.number if payment.account else None,
        "tampered": asked is not None and asked != purchase,
    }
    return shown | balance_json(fake.ledger.balance(payment.id))


def _state(fake: FakePortOne, news: _News) -> dict[str, Any]:
    payments = sorted((fake.ledger.find(payment_id) for payment_id in news.payments), key=lambda p: p.updated_at)
    return {
        "payments": [_payment(fake, payment) for payment in payments],
        "deliveries": [delivery_json(delivery) for delivery in news.deliveries],
        "totals": {currency: balance_json(balance) for currency, balance in fake.ledger.totals().items()},
        "faults": faults_json(fake),
        "clock": clock_json(fake),
    }
