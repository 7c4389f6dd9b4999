"""A webhook came: a hint that it is time to check. Once this has answered, no crash loses what it said."""

from __future__ import annotations

import asyncio
from enum import StrEnum

from application.errors import GatewayError
from application.ports import Clock, PaymentGateway, Store
from application.reconcile_order import ReconcileOrder
from domain.lifecycle import OrderStatus
from domain.order import Order
from domain.webhook_event import WebhookEvent

_BUDGET = 5.0  # seconds; PortOne itself waits 30 for our answer


class WebhookOutcome(StrEnum):
    """What became of a webhook event; each of them is durable when it is answered."""

    RECONCILED = "reconciled"
    STORED = "stored"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"


class HandleWebhookEvent:
    """Reconcile the order that an event is about, and keep the event, in one commit.

    A gateway that is down or slow only delays: the event is kept, and the order checked as soon as possible.
    Raises StoreUnavailableError where nothing could be kept, and then the gateway must send the event again.
    """

    def __init__(
        self, store: Store, gateway: PaymentGateway, reconcile: ReconcileOrder, clock: Clock, budget: float = _BUDGET
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._reconcile = reconcile
        self._clock = clock
        self._budget = budget

    async def __call__(self, event: WebhookEvent) -> WebhookOutcome:
        """What became of ``event``, which was proved to come from the gateway."""
        order = await self._order_of(event)
        if order is None:
            return await self._keep(event)
        if order.status is not OrderStatus.PENDING and await self._seen(event):
            return WebhookOutcome.DUPLICATE
        try:
            async with asyncio.timeout(self._budget):
                payment = await self._gateway.get(order.payment_id)
        except (TimeoutError, GatewayError):
            reconciled = await self._reconcile.later(order, event=event)
            return WebhookOutcome.DUPLICATE if reconciled.duplicate else WebhookOutcome.STORED
        reconciled = await self._reconcile(order, payment, event=event)
        return WebhookOutcome.DUPLICATE if reconciled.duplicate else WebhookOutcome.RECONCILED

    async def _order_of(self, event: WebhookEvent) -> Order | None:
        if event.payment_id is None or not event.understood:
            return None
        async with self._store.reading() as unit:
            return await unit.orders.by_payment(event.payment_id)

    async def _seen(self, event: WebhookEvent) -> bool:
        async with self._store.reading() as unit:
            return await unit.inbox.seen(event.id)

    async def _keep(self, event: WebhookEvent) -> WebhookOutcome:
        """Keep an event about nothing of ours: an unknown type, a billing key, a payment without an order."""
        async with self._store.writing() as unit:
            if not await unit.inbox.add(event, outcome="ignored", received_at=self._clock()):
                return WebhookOutcome.DUPLICATE
            await unit.commit()
        return WebhookOutcome.IGNORED
