"""A webhook event: a signed hint that it is time to check. It never carries a status or an amount that counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from domain.ids import WebhookId
from domain.payment import Payment, PaymentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """A message proved to come from the gateway. ``id`` is the same for every delivery of one event.

    ``payment_id`` is the gateway's word, not yet known to be ours; None where the event is not about a payment.
    ``implies`` lists the statuses a payment can have once this event has happened; empty where it implies nothing.
    ``cancellation_id`` names the cancellation it tells of; None where it tells of none.
    ``understood``: its type is one we know; any other is kept and otherwise ignored, as the gateway asks for.
    ``occurred_at`` is the gateway's time of the event where it said so.
    """

    id: WebhookId
    type: str
    payment_id: str | None
    store_id: str | None
    occurred_at: datetime | None = None
    implies: frozenset[PaymentStatus] = frozenset()
    cancellation_id: str | None = None
    understood: bool = True

    def is_shown_by(self, payment: Payment | None) -> bool:
        """Whether the gateway's record (None: there is none) shows what this tells of, or more."""
        if not self.implies:
            return True
        if payment is None or payment.status not in self.implies:
            return False
        return self.cancellation_id is None or any(c.id == self.cancellation_id for c in payment.cancellations)
