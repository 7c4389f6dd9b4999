"""A refund: money on its way back, a row of its own from the decision to the gateway's confirmation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from domain.ids import OrderId, RefundId
from domain.money import Money


class RefundStatus(StrEnum):
    """REQUESTED until the gateway's own record shows how it ended."""

    REQUESTED = "REQUESTED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One intent to give money back, carried out at most once. Its id is also its Idempotency-Key at the gateway.

    ``requested_by`` is ``gyeolje`` for money we must not keep, else whoever asked. ``failure`` says why it FAILED.
    """

    id: RefundId
    order_id: OrderId
    amount: Money
    reason: str
    requested_by: str
    requested_at: datetime
    status: RefundStatus = RefundStatus.REQUESTED
    ended_at: datetime | None = None
    failure: str | None = None

    def succeeded(self, now: datetime) -> Refund:
        """This refund, seen done at the gateway."""
        return replace(self, status=RefundStatus.SUCCEEDED, ended_at=now)

    def failed(self, failure: str, now: datetime) -> Refund:
        """This refund, which will never be carried out; money still owed needs a new one."""
        return replace(self, status=RefundStatus.FAILED, ended_at=now, failure=failure)
