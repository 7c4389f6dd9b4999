"""What happened to an order: an append-only list that is also the outbox of every stream and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from domain.ids import OrderId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money


class HistoryKind(StrEnum):
    """The kinds of entry; also the event names of the buyer's stream."""

    PLACED = "placed"
    PAYMENT_OBSERVED = "payment_observed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUND_REQUESTED = "refund_requested"
    REFUND_SUCCEEDED = "refund_succeeded"
    REFUND_FAILED = "refund_failed"
    REFUND_REFUSED = "refund_refused"
    REFUND_WITHDRAWN = "refund_withdrawn"
    ATTENTION = "attention"
    ATTENTION_ENDED = "attention_ended"
    DISPUTED = "payment_disputed"
    DISPUTE_ENDED = "dispute_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """Entry number ``seq`` (from 1, without gaps) of one order, and the order's state once it had happened.

    ``data`` holds what is particular to the kind: JSON scalars and lists of text, never personal data.
    """

    order_id: OrderId
    seq: int
    kind: HistoryKind
    at: datetime
    status: OrderStatus
    reason: CancelReason | None
    refunded: Money
    data: Mapping[str, object] = field(default_factory=dict)
