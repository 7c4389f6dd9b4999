"""Tickets: short-lived leave to see something of one order, for whoever cannot send its token. They are kept nowhere.

Each is good for one purpose only. It is made with what we keep of the order's token, so nobody else can make one.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta

from application.errors import OrderNotFoundError
from application.ports import Clock, Store
from application.read_order import ReadOrder
from domain.ids import OrderId
from domain.lifecycle import OrderStatus
from domain.order import Order

TICKET_LIFE = timedelta(seconds=60)
RETURN_LIFE = timedelta(hours=1)  # after the order's time: some come back late from another app

_STREAM, _RETURN = "stream", "return"


class IssueTicket:
    """A ticket for one order's stream, for clients that cannot send headers: good for a minute."""

    def __init__(self, read_order: ReadOrder, clock: Clock) -> None:
        self._read_order = read_order
        self._clock = clock

    async def __call__(self, order_id: OrderId, token: str) -> str:
        """Raise OrderNotFoundError like ReadOrder."""
        order = await self._read_order(order_id, token)
        return _ticket(order, _STREAM, self._clock() + TICKET_LIFE)


class RedeemTicket:
    """The order that a ticket opens. Raises OrderNotFoundError for a wrong, altered or expired one, as for no order."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, order_id: OrderId, ticket: str) -> Order:
        """The order as it is stored now."""
        return await _redeemed(self._store, order_id, ticket, _STREAM, self._clock())


class ReadReturn:
    """What whoever comes back from the payment window may see in any browser: whether it is paid, and nothing more.

    Raises OrderNotFoundError for a wrong, altered or expired ticket, as for no order.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, order_id: OrderId, ticket: str) -> OrderStatus:
        """The status of the order as it is stored now."""
        return (await _redeemed(self._store, order_id, ticket, _RETURN, self._clock())).status


def return_ticket(order: Order) -> str:
    """The ticket for the way back from the payment window: the same one each time, good for an hour past its time."""
    return _ticket(order, _RETURN, order.expires_at + RETURN_LIFE)


async def _redeemed(store: Store, order_id: OrderId, ticket: str, purpose: str, now: datetime) -> Order:
    async with store.reading() as unit:
        order = await unit.orders.by_id(order_id)
    digits, _, stamp = ticket.partition(".")
    expires = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= len("9999999999") else 0
    if (
        order is None
        or not hmac.compare_digest(stamp.encode("utf-8", "replace"), _stamp(order, purpose, expires).encode())
        or now.timestamp() > expires
    ):
        raise OrderNotFoundError("there is no such order, or this ticket is not good for it any more")
    return order


def _ticket(order: Order, purpose: str, until: datetime) -> str:
    expires = int(until.timestamp())
    return f"{expires}.{_stamp(order, purpose, expires)}"


def _stamp(order: Order, purpose: str, expires: int) -> str:
    return hmac.new(order.token_hash.encode(), f"{purpose}.{order.id}.{expires}".encode(), hashlib.sha256).hexdigest()
