"""What the shop decides about its orders, and what we decide where it says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Both of the first count from when the order was placed; None: as long as the order itself may stay unpaid.

    ``first_hold`` is for as long as nobody has opened the payment window, so that the gateway knows of no payment;
    ``deposit_within`` is for an account that was issued.
    ``grace_most`` stands between an order's time and its going back on sale: a tenth of its time, this at the most.
    ``announced_most`` is how long a payment that a signed webhook told of may stay out of the record,
    ``pending_most`` how long one may be under way after the order's time, before the order is given up all the same.
    ``refund_promise`` is after how long a person is asked about a refund that is not done.
    ``restock_cancelled``: goods of an order whose payment was cancelled by somebody else go back on sale by themselves.
    Goods of one that was charged back never do.
    """

    first_hold: timedelta | None = None
    deposit_within: timedelta | None = None
    grace_most: timedelta = timedelta(seconds=30)
    announced_most: timedelta = timedelta(minutes=30)
    pending_most: timedelta = timedelta(hours=24)
    refund_promise: timedelta = timedelta(hours=24)
    restock_cancelled: bool = True
