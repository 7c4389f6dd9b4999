"""The buyer's routes: products, and one order at a time."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import structlog
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.types import ASGIApp

from adapters.http.buyer.stream import EVENT_STREAM, EventStream
from adapters.http.buyer.wire import (
    OrderOut,
    PlacedOut,
    ProductsOut,
    ReturnOut,
    TicketOut,
    last_event_id,
    order_out,
    place_order_command,
    placed_out,
    products_out,
    return_out,
    token_of,
)
from adapters.http.edge import READ
from adapters.http.sizes import API_BODY_MOST, read_body
from application.errors import OrderNotFoundError
from application.tickets import TICKET_LIFE
from application.use_cases import UseCases
from domain.ids import OrderId
from domain.order import Order

API = "/api/v1"

_ORDER = f"{API}/orders/{{order_id:str}}"
_ORDER_ID = re.compile(r"[0-9a-f]{32}")
_BY_TOKEN: tuple[dict[str, list[str]], ...] = ({"orderToken": []},)

AnyRequest = Request[Any, Any, Any]


class OrderRoutes:
    """Each route asks one use case. Those of an order answer alike without such an order and without its token."""

    def __init__(self, use_cases: UseCases) -> None:
        self._use_cases = use_cases

    def handlers(self) -> list[HTTPRouteHandler]:
        """The routes."""
        act = partial(post, status_code=200, security=_BY_TOKEN)
        return [
            HTTPRouteHandler(f"{API}/products", http_method=READ)(self.products),
            post(f"{API}/orders")(self.place),
            HTTPRouteHandler(_ORDER, http_method=READ, security=_BY_TOKEN)(self.read),
            act(f"{_ORDER}/verify")(self.verify),
            act(f"{_ORDER}/cancel")(self.cancel),
            act(f"{_ORDER}/ticket")(self.ticket),
            HTTPRouteHandler(f"{_ORDER}/return", http_method=READ)(self.back),
            get(f"{_ORDER}/events", security=_BY_TOKEN, media_type=EVENT_STREAM)(self.events),
        ]

    async def products(self) -> ProductsOut:
        """What can be bought, with price and what is left."""
        return products_out(await self._use_cases.list_products())

    async def place(self, request: AnyRequest) -> Response[PlacedOut]:
        """Place an order. The same `Idempotency-Key` with the same body answers with the same order."""
        body = await read_body(request.scope, request.receive, API_BODY_MOST)
        placed = await self._use_cases.place_order(place_order_command(request.scope["headers"], body))
        structlog.contextvars.bind_contextvars(order=placed.order.id, payment=placed.order.payment_id)
        headers = {"Idempotent-Replayed": "true"} if placed.replayed else {}
        return Response(placed_out(placed), headers=headers)

    async def read(self, request: AnyRequest, order_id: FromPath[str]) -> OrderOut:
        """The order."""
        return order_out(await self._read(request, order_id))

    async def verify(self, request: AnyRequest, order_id: FromPath[str]) -> OrderOut:
        """The buyer is back from the payment window: check the payment now."""
        return order_out(await self._use_cases.verify_payment(_known(order_id), token_of(request.scope["headers"])))

    async def cancel(self, request: AnyRequest, order_id: FromPath[str]) -> OrderOut:
        """The buyer gives up the order, unless it is paid."""
        return order_out(await self._use_cases.cancel_order(_known(order_id), token_of(request.scope["headers"])))

    async def ticket(self, request: AnyRequest, order_id: FromPath[str]) -> TicketOut:
        """A ticket for the event stream, for clients that cannot send headers, such as `EventSource`."""
        ticket = await self._use_cases.issue_ticket(_known(order_id), token_of(request.scope["headers"]))
        return TicketOut(ticket, expires_in=int(TICKET_LIFE.total_seconds()))

    async def back(self, order_id: FromPath[str], ticket: FromQuery[str | None] = None) -> ReturnOut:
        """Whether the order is paid, for whoever came back from the payment window with the `redirectUrl`'s ticket.

        In any browser: it tells nothing else.
        """
        return return_out(await self._use_cases.read_return(_known(order_id), ticket or ""))

    async def events(
        self, request: AnyRequest, order_id: FromPath[str], ticket: FromQuery[str | None] = None
    ) -> ASGIApp:
        """The order's changes as server-sent events: a snapshot first, then each change, from `Last-Event-ID` on."""
        if ticket is None:
            order = await self._read(request, order_id)
        else:
            order = await self._use_cases.redeem_ticket(_known(order_id), ticket)
        return EventStream(self._use_cases.follow_order(order, last_event_id(request.scope["headers"])))

    async def _read(self, request: AnyRequest, order_id: str) -> Order:
        return await self._use_cases.read_order(_known(order_id), token_of(request.scope["headers"]))


def _known(order_id: str) -> OrderId:
    """``order_id`` if it has the shape of one of ours: any other is unknown, and no database is asked."""
    if not _ORDER_ID.fullmatch(order_id):
        raise OrderNotFoundError("there is no such order")
    structlog.contextvars.bind_contextvars(order=order_id)
    return OrderId(order_id)
