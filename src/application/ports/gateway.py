"""The payment gateway: what we ask it, what it tells us, and what the browser must hand to its payment window."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.ids import PaymentId, RefundId
from domain.money import Money
from domain.order import Order
from domain.payment import Cancellation, Payment
from domain.webhook_event import WebhookEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelPayment:
    """One cancellation to carry out. ``refund_id`` is its Idempotency-Key and stands in its reason as ``[refund_id]``.

    ``left`` is what the gateway said is left; it refuses if that is no longer so.
    """

    payment_id: PaymentId
    store_id: str | None
    refund_id: RefundId
    amount: Money
    left: Money
    reason: str
    by_customer: bool = False


class PaymentGateway(Protocol):
    """The payment gateway. Every method may raise GatewayUnavailableError (outcome unknown) and GatewayDeniedError."""

    async def get(self, payment_id: PaymentId) -> Payment | None:
        """The gateway's record of this payment, whichever of our stores it was made in; None if it knows none."""
        ...

    async def cancel(self, cancel: CancelPayment) -> Cancellation:
        """Give back ``cancel.amount``; the answer says how far that got, and may say FAILED or REQUESTED.

        The same ``refund_id`` again, within the gateway's memory of it, changes nothing and gives the same answer.
        Raises GatewayRefusedError if it was definitely not done, also when ``cancel.left`` is not what is left, and
        GatewayBusyError while an earlier request of the same ``refund_id`` is still being worked on.
        """
        ...

    async def pre_register(self, payment_id: PaymentId, total: Money) -> None:
        """Tell the gateway which sum this payment must have. Raises GatewayRefusedError if it is already paid."""
        ...

    async def close_virtual_account(self, payment_id: PaymentId, store_id: str | None) -> None:
        """Close the account that waits for a deposit. Raises GatewayRefusedError if none is waiting."""
        ...

    def changed_since(self, since: datetime, until: datetime) -> AsyncIterator[Payment]:
        """Every payment of our store whose status changed from ``since`` to ``until``, the earliest change first."""
        ...


WebhookReader = Callable[[Sequence[tuple[bytes, bytes]], bytes], WebhookEvent]
"""Headers (names in any case) and the raw body, as received, to the event they prove.

Else WebhookRefusedError, and never anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """What the payment window may be told about the buyer. It is passed on and never kept."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The exact arguments the browser hands to the gateway's payment window, by the gateway's own names and spellings.

    ``total_amount`` is in minor units of ``currency``. Source: @portone/browser-sdk 0.1.11, PaymentRequest.
    """

    store_id: str
    channel_key: str
    payment_id: PaymentId
    order_name: str
    total_amount: int
    currency: str
    pay_method: str
    redirect_url: str
    customer: Mapping[str, str] | None = None


PaymentWindow = Callable[[Order, Customer | None], Checkout]
"""What the browser needs to open the payment window for an order."""
