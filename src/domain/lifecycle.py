"""The states of an order, and why it may have come to its end."""

from __future__ import annotations

from enum import StrEnum


class OrderStatus(StrEnum):
    """PENDING → COMPLETED, PENDING → CANCELLED, COMPLETED → CANCELLED; there is no other edge."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


class CancelReason(StrEnum):
    """Why an order is CANCELLED."""

    EXPIRED = "EXPIRED"  # nobody paid in time
    ABANDONED = "ABANDONED"  # the buyer gave it up
    MISMATCH = "MISMATCH"  # something else was paid than what was ordered
    REFUNDED = "REFUNDED"  # completed, then everything went back
    PAYMENT_CANCELLED = "PAYMENT_CANCELLED"  # paid and cancelled before we completed it
    CHARGED_BACK = "CHARGED_BACK"  # completed, then the card network took the money back
