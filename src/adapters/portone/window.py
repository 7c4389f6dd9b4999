"""PortOne's payment window: what the browser hands to ``PortOne.requestPayment``.

Names and spellings: @portone/browser-sdk 0.1.11, PaymentRequest. KakaoPay: developers.portone.io, integration/pg/v2.
"""

from __future__ import annotations

from urllib.parse import quote

from application.ports import Checkout, Customer
from domain.order import Order

_NAME_MOST = 100  # characters of KakaoPay's item_name (developers.kakao.com, single payment); PortOne names no limit
_CUT = "…"


class PortOneWindow:
    """A PaymentWindow for one store and channel; the buyer comes back to ``public_url``.

    KakaoPay needs the way back on phones, where the window replaces the page. No ``noticeUrls`` are given: they would
    stand in the buyer's hands, and override the webhook address that PortOne's console knows.
    """

    __slots__ = ("_channel_key", "_public_url", "_store_id")

    def __init__(self, *, store_id: str, channel_key: str, public_url: str) -> None:
        self._store_id = store_id
        self._channel_key = channel_key
        self._public_url = public_url.rstrip("/")

    def __call__(self, order: Order, customer: Customer | None, ticket: str) -> Checkout:
        """See PaymentWindow. ``currency`` is spelled as PortOne's record spells it; the SDK takes both forms."""
        return Checkout(
            store_id=self._store_id,
            channel_key=self._channel_key,
            payment_id=order.payment_id,
            order_name=_name(order),
            total_amount=order.price.minor,
            currency=order.price.currency,
            pay_method="EASY_PAY",
            redirect_url=f"{self._public_url}/?order={quote(order.id, safe='')}&ticket={quote(ticket, safe='')}",
            tax_free_amount=order.tax_free.minor or None,
            customer=_customer(customer) if customer else None,
        )


def _name(order: Order) -> str:
    """The order's name. One that is too long loses of its first thing, and never how many others there are."""
    if len(order.name) <= _NAME_MOST:
        return order.name
    first = order.lines[0].name if order.lines and order.name.startswith(order.lines[0].name) else order.name
    others = order.name[len(first) :]
    return first[: _NAME_MOST - len(others) - len(_CUT)].rstrip() + _CUT + others


def _customer(customer: Customer) -> dict[str, str] | None:
    given = {"fullName": customer.name, "phoneNumber": customer.phone, "email": customer.email}
    return {field: value for field, value in given.items() if value} or None
