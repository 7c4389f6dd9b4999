"""The payment gateway: what we ask it, what it tells us, and what the browser must hand to its payment window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.ids import PaymentId, RefundId
from domain.money import Money
from domain.order import Order
from domain.payment import Cancellation, Payment
from domain.webhook_event import WebhookEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAccount:
    """The buyer's account that money goes back to. It is passed on, and never kept or logged.

    ``bank`` is the gateway's word for it (PortOne's OpenAPI document 1.16.0, ``Bank``: ``KAKAO``, ``SHINHAN`` …).
    """

    bank: str
    number: str
    holder: str

    def __repr__(self) -> str:
        return "<RefundAccount>"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelPayment:
    """One cancellation to carry out. ``key`` is its Idempotency-Key; its reason contains ``[refund_id]``.

    ``left`` is what the gateway said is left; it refuses if that is no longer so. ``tax_free`` of ``amount`` is
    untaxed. ``account`` is where the money goes, for a payment that was sent to a virtual account.
    """

    payment_id: PaymentId
    store_id: str | None
    refund_id: RefundId
    key: str
    amount: Money
    tax_free: Money
    left: Money
    reason: str
    account: RefundAccount | None = None
    by_customer: bool = False


PAGED_MOST = 60_000
"""How far into one window of its list the gateway lets anybody page (PortOne's OpenAPI document 1.16.0)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPage:
    """One page of a window, and how many payments the gateway says are in all of the window."""

    payments: Sequence[Payment]
    total: int


class PaymentGateway(Protocol):
    """The payment gateway. Every method may raise GatewayUnavailableError (outcome unknown) and GatewayDeniedError."""

    async def get(self, payment_id: PaymentId) -> Payment | None:
        """The gateway's record of this payment, whichever of our stores it was made in; None if it knows none."""
        ...

    async def cancel(self, cancel: CancelPayment) -> Cancellation:
        """Give back ``cancel.amount``; the answer says how far that got, and may say FAILED or REQUESTED.

        The same ``key`` again, within the gateway's memory of it, changes nothing and gives the same answer. Raises
        GatewayRefusedError if it was definitely not done, also when ``cancel.left`` is not what is left, and
        GatewayBusyError while an earlier request of the same ``key`` is still being worked on.
        """
        ...

    async def pre_register(self, payment_id: PaymentId, total: Money, tax_free: Money) -> None:
        """Tell the gateway which sum this payment must have, and how much of it is untaxed.

        Raises GatewayRefusedError if it is already paid.
        """
        ...

    async def close_virtual_account(self, payment_id: PaymentId, store_id: str | None) -> None:
        """Close the account that waits for a deposit. Raises GatewayRefusedError if none is waiting."""
        ...

    async def changed_page(
        self, store_id: str, since: datetime, until: datetime, *, number: int, size: int
    ) -> ChangedPage:
        """Page ``number`` (from 0) of this store's payments whose status changed from ``since`` to ``until``.

        There are ``size`` payments on a page, fewer on the last, and none after it; in which order is the gateway's
        business, and by which of its clocks it filters as well. A record that cannot be read comes as UNKNOWN among
        the others. Nobody pages past PAGED_MOST payments.
        """
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

    ``total_amount`` is in minor units of ``currency``, and ``tax_free_amount`` the untaxed part of it.
    Source: @portone/browser-sdk 0.1.11, PaymentRequest.
    """

    store_id: str
    channel_key: str
    payment_id: PaymentId
    order_name: str
    total_amount: int
    currency: str
    pay_method: str
    redirect_url: str
    tax_free_amount: int | None = None
    customer: Mapping[str, str] | None = None


PaymentWindow = Callable[[Order, Customer | None, str], Checkout]
"""What the browser needs to open the payment window for an order; the text is the ticket for the way back."""
