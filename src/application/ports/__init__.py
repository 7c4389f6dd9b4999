"""The ports: what the use cases need from outside, and what each sentence here promises them.

Every sentence in a port's docstring is a test in ``tests/contract``, run over every adapter of the port.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from application.ports.gateway import (
    PAGED_MOST,
    CancelPayment,
    ChangedPage,
    Checkout,
    Customer,
    PaymentGateway,
    PaymentWindow,
    RefundAccount,
    WebhookReader,
)
from application.ports.storing import (
    ApiKeys,
    Catalog,
    History,
    Inbox,
    Orders,
    Orphans,
    PlacedBefore,
    Placements,
    Refunds,
    Store,
    Sweeps,
    UnitOfWork,
)
from application.ports.telling import OrderNotifier, Subscription

Clock = Callable[[], datetime]
"""The time now, aware, in UTC."""

NewId = Callable[[], str]
"""A new name, ``[0-9a-f]{32}``: 128 bits from a cryptographic source, never the same twice."""

__all__ = [
    "PAGED_MOST",
    "ApiKeys",
    "CancelPayment",
    "Catalog",
    "ChangedPage",
    "Checkout",
    "Clock",
    "Customer",
    "History",
    "Inbox",
    "NewId",
    "OrderNotifier",
    "Orders",
    "Orphans",
    "PaymentGateway",
    "PaymentWindow",
    "PlacedBefore",
    "Placements",
    "RefundAccount",
    "Refunds",
    "Store",
    "Subscription",
    "Sweeps",
    "UnitOfWork",
    "WebhookReader",
]
