"""What the fake shows of itself in JSON, to its own page and to whoever asks its control API."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from fake_portone.buyer import Buyer
from fake_portone.clock import FakeClock
from fake_portone.faults import CATALOGUE, Faults
from fake_portone.ledger import Balance, Ledger, PaymentRecord
from fake_portone.live import Live, News
from fake_portone.shapes import cancellation_json, time_json
from fake_portone.webhooks import Delivery, Webhooks

_SHOWN_FIRST = 500
"""How many payments, and how many webhooks, a page that has just been opened is told of: the newest."""


def balance_json(balance: Balance) -> dict[str, int]:
    """What was taken, what went back, what is left."""
    return {"captured": balance.captured, "cancelled": balance.cancelled, "net": balance.net}


def totals_json(ledger: Ledger) -> dict[str, dict[str, int]]:
    """The same for each currency."""
    return {currency: balance_json(balance) for currency, balance in ledger.totals().items()}


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


def delivery_in_full(delivery: Delivery, headers_now: Mapping[str, str]) -> dict[str, Any]:
    """A webhook with all that was sent and answered, and with what would be sent for it now."""
    attempts = [
        {"at": time_json(a.at), "status": a.status, "error": a.error, "headers": a.headers, "answer": a.answer}
        for a in delivery.attempts
    ]
    body = delivery.body.decode()
    said = [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers_now.items()]
    curl = ["curl -i -X POST", *said, f"--data-raw {shlex.quote(body)}", shlex.quote(delivery.url)]
    return delivery_json(delivery) | {
        "attempts": attempts,
        "body": body,
        "headersNow": headers_now,
        "curl": " ".join(curl),
    }


def faults_json(faults: Faults) -> dict[str, Any]:
    """The catalogue, and what of it is on."""
    catalogue = [
        {"name": kind.name, "description": kind.description, "seconds": kind.seconds} for kind in CATALOGUE.values()
    ]
    on = [msgspec.to_builtins(fault) | {"fired": fired} for fault, fired in faults.on()]
    return {"catalogue": catalogue, "on": on}


def clock_json(clock: FakeClock) -> dict[str, Any]:
    """What time the fake has, and how it runs."""
    return {"speed": clock.speed, "advanced": clock.advanced, "now": time_json(clock.wall())}


class Overview:
    """All that the fake's own page shows."""

    def __init__(
        self, *, ledger: Ledger, buyer: Buyer, webhooks: Webhooks, faults: Faults, clock: FakeClock, live: Live
    ) -> None:
        self._ledger = ledger
        self._buyer = buyer
        self._webhooks = webhooks
        self._faults = faults
        self._clock = clock
        self._live = live

    def newest(self) -> News:
        """What a page that has just been opened is to be told of."""
        payments = sorted(self._ledger.payments(), key=lambda payment: payment.updated_at)[-_SHOWN_FIRST:]
        deliveries = self._webhooks.deliveries[-_SHOWN_FIRST:]
        return News({payment.id for payment in payments}, dict.fromkeys(deliveries))

    def of(self, news: News) -> dict[str, Any]:
        """The payments and webhooks that there is news of, and beside them whatever is always shown."""
        payments = sorted((self._ledger.find(payment_id) for payment_id in news.payments), key=lambda p: p.updated_at)
        return {
            "payments": [self._payment(payment) for payment in payments],
            "deliveries": [delivery_json(delivery) for delivery in news.deliveries],
            "totals": totals_json(self._ledger),
            "faults": faults_json(self._faults),
            "clock": clock_json(self._clock),
        }

    def _payment(self, payment: PaymentRecord) -> dict[str, Any]:
        purchase, asked, trail = payment.purchase, self._buyer.asked(payment.id), self._live.trail(payment.id)
        shown: dict[str, Any] = {
            "id": payment.id,
            "status": payment.status,
            "orderName": purchase.order_name,
            "total": purchase.total,
            "currency": purchase.currency,
            "storeId": purchase.store_id,
            "channelKey": purchase.channel_key,
            "channelType": purchase.channel_type,
            "transactionId": payment.transaction_id,
            "attempts": len({step["transactionId"] for step in trail}),
            "trail": trail,
            "cancellations": [cancellation_json(cancellation) for cancellation in payment.cancellations],
            "cancellable": payment.cancellable,
            "requestedAt": time_json(payment.requested_at),
            "updatedAt": time_json(payment.updated_at),
            "failure": payment.failure,
            "account": payment.account.number if payment.account else None,
            "tampered": asked is not None and asked != purchase,
        }
        return shown | balance_json(self._ledger.balance(payment.id))
