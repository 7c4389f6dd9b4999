"""What the browser hands to PortOne's payment window. Source: the types of @portone/browser-sdk 0.1.11."""

from __future__ import annotations

from application.ports import Checkout, Customer
from domain.order import Order

_NAME_MOST = 100  # characters; KakaoPay's own limit on item_name


class PortOneWindow:
    """The arguments of ``PortOne.requestPayment`` for KakaoPay through one channel of one store.

    There is no ``noticeUrls`` among them: the browser could change it, and with it where webhooks go. The webhook's
    address is set in PortOne's console instead.
    """

    def __init__(self, *, store_id: str, channel_key: str, public_url: str) -> None:
        self._store_id = store_id
        self._channel_key = channel_key
        self._public_url = public_url.rstrip("/")

    def __call__(self, order: Order, customer: Customer | None) -> Checkout:
        """``requestPayment``'s arguments for ``order``; the customer's are those that were given."""
        return Checkout(
            store_id=self._store_id,
            channel_key=self._channel_key,
            payment_id=order.payment_id,
            order_name=order.name[:_NAME_MOST],
            total_amount=order.price.minor,
            currency=order.price.currency,  # the SDK takes "KRW" and "CURRENCY_KRW"; the REST API speaks only the first
            pay_method="EASY_PAY",
            redirect_url=f"{self._public_url}/?order={order.id}",
            customer=_customer(customer),
        )


def _customer(customer: Customer | None) -> dict[str, str] | None:
    if customer is None:
        return None
    given = {"fullName": customer.name, "email": customer.email, "phoneNumber": customer.phone}
    return {name: value for name, value in given.items() if value is not None} or None
