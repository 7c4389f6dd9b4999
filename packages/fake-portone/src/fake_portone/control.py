"""The fake's control API, under ``/_fake``: to play the buyer and the faults, and to see the ledger."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.handlers import HTTPRouteHandler

from fake_portone.faults import CATALOGUE, Fault
from fake_portone.ledger import Balance, PaymentRecord, Purchase, invalid
from fake_portone.rest import decode, json_response
from fake_portone.shapes import payment_json, time_json
from fake_portone.webhooks import Delivery

if TYPE_CHECKING:
    from fake_portone.fake_portone import FakePortOne

_Asked = Request[Any, Any, Any]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Won = Annotated[int, msgspec.Meta(ge=1, le=10**15)]


class Opening(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What the browser asks the payment window for; what is missing stays as it was asked before."""

    store_id: Text | None = None
    channel_key: Text | None = None
    order_name: Text | None = None
    total_amount: _Won | None = None
    currency: Annotated[str, msgspec.Meta(pattern=r"^(CURRENCY_)?[A-Z]{3}\Z")] | None = None
    notice_urls: list[str] | None = None
    channel_type: Literal["LIVE", "TEST"] | None = None

    def purchase(self, before: Purchase | None) -> Purchase | None:
        """The purchase asked for, ``before`` with what was said; None if nothing was said. Raises RefusedError."""
        if self == Opening():
            return None
        said = {
            "storeId": (self.store_id, before and before.store_id),
            "channelKey": (self.channel_key, before and before.channel_key),
            "orderName": (self.order_name, before and before.order_name),
            "totalAmount": (self.total_amount, before and before.total),
            "currency": (self.currency, before and before.currency),
        }
        wanted: dict[str, Any] = {name: new if new is not None else old for name, (new, old) in said.items()}
        if missing := [name for name, value in wanted.items() if value is None]:
            raise invalid(f"the payment window needs {', '.join(missing)}")
        return Purchase(
            store_id=wanted["storeId"],
            channel_key=wanted["channelKey"],
            order_name=wanted["orderName"],
            total=wanted["totalAmount"],
            currency=wanted["currency"].removeprefix("CURRENCY_"),
            channel_type=self.channel_type or (before.channel_type if before else "LIVE"),
            notice_urls=self._notice_urls(before),
        )

    def _notice_urls(self, before: Purchase | None) -> tuple[str, ...]:
        if self.notice_urls is None:
            return before.notice_urls if before else ()
        for url in self.notice_urls:
            if not is_web_address(url):
                raise invalid(f"noticeUrls: {url!r} is not an http or https address")
        return tuple(self.notice_urls)


class _ConsoleCancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    amount: _Won | None = None
    reason: str = "cancelled in the console"


class _Time(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    speed: float | None = None
    advance: float = 0.0


def control_routes(fake: FakePortOne) -> list[HTTPRouteHandler]:
    """The control API of ``fake``."""
    return [*_people(fake), *_records(fake), *_switches(fake)]


def _people(fake: FakePortOne) -> list[HTTPRouteHandler]:
    """The buyer, the bank, and whoever sits at the console."""

    def act(path: str, do: Callable[[str, Purchase | None], PaymentRecord]) -> HTTPRouteHandler:
        @post(f"/_fake/payments/{{payment_id:str}}/{path}", status_code=HTTPStatus.OK)
        async def handler(request: _Asked) -> Response[bytes]:
            payment_id = _payment_id(request)
            opening = decode(await request.body() or b"{}", Opening)
            payment = do(payment_id, opening.purchase(fake.buyer.asked(payment_id)))
            await fake.api.tell_first(payment_id)
            return json_response(payment_json(payment))

        return handler

    @post("/_fake/payments/{payment_id:str}/deposit", status_code=HTTPStatus.OK)
    async def deposit(request: _Asked) -> Response[bytes]:
        payment = fake.buyer.deposit(_payment_id(request))
        await fake.api.tell_first(payment.id)
        return json_response(payment_json(payment))

    @post("/_fake/payments/{payment_id:str}/cancel", status_code=HTTPStatus.OK)
    async def cancel(request: _Asked) -> Response[bytes]:
        payment_id = _payment_id(request)
        asked = decode(await request.body() or b"{}", _ConsoleCancel)
        fake.buyer.cancel_in_console(payment_id, asked.amount, asked.reason)
        await fake.api.tell_first(payment_id)
        return json_response(payment_json(fake.ledger.find(payment_id)))

    return [
        act("open", lambda payment_id, purchase: fake.buyer.open(payment_id, _said(purchase))),
        act("pay", fake.buyer.pay),
        act("fail", fake.buyer.fail),
        act("pending", fake.buyer.pend),
        act("issue-virtual-account", fake.buyer.issue_account),
        deposit,
        cancel,
    ]


def _records(fake: FakePortOne) -> list[HTTPRouteHandler]:
    """What is to be seen."""

    @get("/_fake/ledger")
    async def ledger() -> Response[bytes]:
        payments = [
            {"id": p.id, "status": p.status, "currency": p.purchase.currency, **balance_json(fake.ledger.balance(p.id))}
            for p in fake.ledger.payments()
        ]
        totals = {currency: balance_json(balance) for currency, balance in fake.ledger.totals().items()}
        return json_response({"payments": payments, "totals": totals})

    @get("/_fake/deliveries")
    async def deliveries() -> Response[bytes]:
        return json_response({"deliveries": [delivery_json(delivery) for delivery in fake.webhooks.deliveries]})

    @get("/_fake/deliveries/{delivery_id:str}")
    async def delivery(request: _Asked) -> Response[bytes]:
        return json_response(_in_full(fake, fake.webhooks.find(_delivery_id(request))))

    @post("/_fake/deliveries/{delivery_id:str}/resend", status_code=HTTPStatus.OK)
    async def resend(request: _Asked) -> Response[bytes]:
        found = fake.webhooks.find(_delivery_id(request))
        return json_response(delivery_json(fake.webhooks.resend(found.payment_id, found.id)))

    return [ledger, deliveries, delivery, resend]


def _switches(fake: FakePortOne) -> list[HTTPRouteHandler]:
    """Faults and time."""

    @get("/_fake/faults")
    async def faults() -> Response[bytes]:
        return json_response(faults_json(fake))

    @put("/_fake/faults")
    async def put_faults(request: _Asked) -> Response[bytes]:
        with _refusing():
            fake.faults.put(decode(await request.body(), list[Fault]))
        return json_response(faults_json(fake))

    @delete("/_fake/faults", status_code=HTTPStatus.OK)
    async def delete_faults() -> Response[bytes]:
        fake.faults.put([])
        return json_response(faults_json(fake))

    @post("/_fake/clock", status_code=HTTPStatus.OK)
    async def clock(request: _Asked) -> Response[bytes]:
        asked = decode(await request.body(), _Time)
        with _refusing():
            fake.clock.set(speed=asked.speed, advance=asked.advance)
        fake.ledger.complete_due()
        fake.live.tell()
        return json_response(clock_json(fake))

    return [faults, put_faults, delete_faults, clock]


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise invalid(str(error)) from error


def _said(purchase: Purchase | None) -> Purchase:
    if purchase is None:
        raise invalid("the payment window needs storeId, channelKey, orderName, totalAmount, currency")
    return purchase


def _payment_id(request: _Asked) -> str:
    return str(request.path_params["payment_id"])


def balance_json(balance: Balance) -> dict[str, int]:
    """What was taken, what went back, what is left."""
    return {"captured": balance.captured, "cancelled": balance.cancelled, "net": balance.net}


def _delivery_id(request: _Asked) -> str:
    return str(request.path_params["delivery_id"])


def _in_full(fake: FakePortOne, delivery: Delivery) -> dict[str, Any]:
    """A webhook with all that was sent and answered, and with what would be sent for it now."""
    attempts = [
        {"at": time_json(a.at), "status": a.status, "error": a.error, "headers": a.headers, "answer": a.answer}
        for a in delivery.attempts
    ]
    body, headers = delivery.body.decode(), fake.webhooks.headers_now(delivery)
    said = [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items()]
    curl = ["curl -i -X POST", *said, f"--data-raw {shlex.quote(body)}", shlex.quote(delivery.url)]
    return delivery_json(delivery) | {
        "attempts": attempts,
        "body": body,
        "headersNow": headers,
        "curl": " ".join(curl),
    }


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """A webhook, and how each attempt to deliver it went."""
    attempts = [{"at": time_json(a.at), "status": a.status, "error": a.error} for a in delivery.attempts]
    return {
        "id": delivery.id,
        "type": delivery.type,
        "payment": delivery.payment_id,
        "url": delivery.url,
        "state": delivery.state,
        "forged": delivery.forged,
        "attempts": attempts,
    }


def faults_json(fake: FakePortOne) -> dict[str, Any]:
    """The catalogue, and what of it is on."""
    catalogue = [
        {"name": kind.name, "description": kind.description, "seconds": kind.seconds} for kind in CATALOGUE.values()
    ]
    on = [msgspec.to_builtins(fault) | {"fired": fired} for fault, fired in fake.faults.on()]
    return {"catalogue": catalogue, "on": on}


def clock_json(fake: FakePortOne) -> dict[str, Any]:
    """What time the fake has, and how it runs."""
    return {"speed": fake.clock.speed, "advanced": fake.clock.advanced, "now": time_json(fake.clock.wall())}


def is_web_address(url: str) -> bool:
    """Whether a browser or a webhook may be sent there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
