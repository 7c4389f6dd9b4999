"""The fake's control API, under ``/_fake``: to play the buyer and the faults, and to see the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fake_portone.api import PortOneApi
from fake_portone.buyer import Buyer
from fake_portone.clock import FakeClock
from fake_portone.faces.resources import Handler, body_of, decode, json_response, resource
from fake_portone.faults import Fault, Faults
from fake_portone.ledger import Ledger, PaymentRecord, Purchase, invalid
from fake_portone.live import Live
from fake_portone.opening import Opening, Won
from fake_portone.shapes import payment_json
from fake_portone.views import balance_json, clock_json, delivery_in_full, delivery_json, faults_json, totals_json
from fake_portone.webhooks import Webhooks

_Act: TypeAlias = Callable[[str, Purchase | None], PaymentRecord]


class _ConsoleCancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    amount: Won | None = None
    reason: str = "cancelled in the console"


class _Time(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    speed: float | None = None
    advance: float = 0.0


def people_routes(buyer: Buyer, ledger: Ledger, api: PortOneApi) -> list[Route]:
    """The buyer, the bank, and whoever sits at the console."""

    async def acted(payment: PaymentRecord) -> Response:
        await api.tell_first(payment.id)
        return json_response(payment_json(payment))

    def at_the_window(act: _Act) -> Handler:
        async def handler(request: Request) -> Response:
            payment_id = _payment_id(request)
            opening = decode(await body_of(request) or b"{}", Opening)
            return await acted(act(payment_id, opening.purchase(buyer.asked(payment_id))))

        return handler

    async def deposit(request: Request) -> Response:
        return await acted(buyer.deposit(_payment_id(request)))

    async def cancel(request: Request) -> Response:
        payment_id = _payment_id(request)
        asked = decode(await body_of(request) or b"{}", _ConsoleCancel)
        buyer.cancel_in_console(payment_id, asked.amount, asked.reason)
        await api.tell_first(payment_id)
        return json_response(payment_json(ledger.find(payment_id)))

    acts = {
        "open": at_the_window(lambda payment_id, purchase: buyer.open(payment_id, _said(purchase))),
        "pay": at_the_window(buyer.pay),
        "fail": at_the_window(buyer.fail),
        "pending": at_the_window(buyer.pend),
        "issue-virtual-account": at_the_window(buyer.issue_account),
        "deposit": deposit,
        "cancel": cancel,
    }
    return [resource(f"/_fake/payments/{{payment_id}}/{name}", POST=act) for name, act in acts.items()]


def record_routes(ledger: Ledger, webhooks: Webhooks) -> list[Route]:
    """What is to be seen, and sent again."""

    async def show_ledger(_: Request) -> Response:
        payments = [
            {"id": p.id, "status": p.status, "currency": p.purchase.currency, **balance_json(ledger.balance(p.id))}
            for p in ledger.payments()
        ]
        return json_response({"payments": payments, "totals": totals_json(ledger)})

    async def show_deliveries(_: Request) -> Response:
        return json_response({"deliveries": [delivery_json(delivery) for delivery in webhooks.deliveries]})

    async def show_delivery(request: Request) -> Response:
        delivery = webhooks.find(_delivery_id(request))
        return json_response(delivery_in_full(delivery, webhooks.headers_now(delivery)))

    async def resend(request: Request) -> Response:
        delivery = webhooks.find(_delivery_id(request))
        return json_response(delivery_json(webhooks.resend(delivery.payment_id, delivery.id)))

    return [
        resource("/_fake/ledger", GET=show_ledger),
        resource("/_fake/deliveries", GET=show_deliveries),
        resource("/_fake/deliveries/{delivery_id}", GET=show_delivery),
        resource("/_fake/deliveries/{delivery_id}/resend", POST=resend),
    ]


def switch_routes(faults: Faults, clock: FakeClock, ledger: Ledger, live: Live) -> list[Route]:
    """Faults and time."""

    async def show_faults(_: Request) -> Response:
        return json_response(faults_json(faults))

    async def put_faults(request: Request) -> Response:
        with _refusing():
            faults.put(decode(await body_of(request), list[Fault]))
        return json_response(faults_json(faults))

    async def delete_faults(_: Request) -> Response:
        faults.put([])
        return json_response(faults_json(faults))

    async def set_clock(request: Request) -> Response:
        asked = decode(await body_of(request), _Time)
        with _refusing():
            clock.set(speed=asked.speed, advance=asked.advance)
        ledger.complete_due()
        live.tell()
        return json_response(clock_json(clock))

    return [
        resource("/_fake/faults", GET=show_faults, PUT=put_faults, DELETE=delete_faults),
        resource("/_fake/clock", POST=set_clock),
    ]


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


def _payment_id(request: Request) -> str:
    return str(request.path_params["payment_id"])


def _delivery_id(request: Request) -> str:
    return str(request.path_params["delivery_id"])
