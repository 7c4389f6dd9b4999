"""When to check an order again. None means that the order is at rest.

Every delay is spread by up to a tenth either way, by the order's id and its count of checks: repeatable, yet no two
orders march in step.
"""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta

from domain.decision import unpaid_until
from domain.lifecycle import OrderStatus
from domain.order import Order
from domain.payment import Payment, PaymentStatus
from domain.policy import Policy

LEASE = timedelta(seconds=150)  # longer than the slowest check: a get, a cancel (60 s), a get

_UNPAID_FIRST, _UNPAID_MOST = timedelta(seconds=30), timedelta(minutes=4)
_DEPOSIT_MOST = timedelta(minutes=30)  # a virtual account waits for days
_OWED_FIRST, _OWED_MOST = timedelta(seconds=5), timedelta(hours=1)
_PUZZLED_FIRST, _PUZZLED_MOST = timedelta(minutes=1), timedelta(hours=1)
_FAILED_FIRST, _FAILED_MOST = timedelta(seconds=2), timedelta(minutes=5)
_LATE_CHECKS = (
    timedelta(minutes=2),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=24),
)
_ANNOUNCED_FOR = timedelta(days=1)  # so long is a signed webhook believed that told of money no record shows
LONGEST = timedelta(hours=30)  # no check is ever planned further away: one that is, was planned by a wrong clock
LAGGING = timedelta(seconds=3)  # the gateway announced something that its record did not show yet


def first_check(order: Order, policy: Policy) -> datetime:
    """When to check an order that was just placed."""
    dues = (order.created_at + _spread(order, _UNPAID_FIRST), order.expires_at, unpaid_until(order, None, policy))
    return min(dues)


def next_check(
    order: Order, payment: Payment | None, now: datetime, policy: Policy, *, puzzled: bool = False
) -> datetime | None:
    """When to check again after ``payment`` was applied, ``order.checks`` checks into the order's present state.

    ``puzzled``: it was not what it should be, and another time may take that back.
    """
    if payment is not None and payment.status is PaymentStatus.UNKNOWN:
        return now + _backoff(order, _PUZZLED_FIRST, _PUZZLED_MOST)
    if order.owed:
        return now + _backoff(order, _OWED_FIRST, _OWED_MOST)
    if order.status is OrderStatus.PENDING:
        return _next_unpaid_check(order, payment, now, policy)
    if puzzled:
        return now + _backoff(order, _PUZZLED_FIRST, _PUZZLED_MOST)
    if order.status is OrderStatus.CANCELLED and order.captured is None:
        return _next_late_check(order, payment, now)
    return None


def retry_check(order: Order, now: datetime) -> datetime:
    """When to check again after a check that failed, ``order.failures`` times in a row by now."""
    return now + _grow(order, order.failures - 1, _FAILED_FIRST, _FAILED_MOST)


def _next_late_check(order: Order, payment: Payment | None, now: datetime) -> datetime | None:
    seen = payment if payment is not None else order.observed  # what was seen does not vanish with one 404
    if seen is not None and seen.waits_for_deposit:  # until its account is closed
        return now + _backoff(order, _OWED_FIRST, _OWED_MOST)
    if order.announced_at is not None and now < order.announced_at + _ANNOUNCED_FOR:
        return now + _backoff(order, _PUZZLED_FIRST, _PUZZLED_MOST)
    return now + _spread(order, _LATE_CHECKS[order.checks]) if order.checks < len(_LATE_CHECKS) else None


def _next_unpaid_check(order: Order, payment: Payment | None, now: datetime, policy: Policy) -> datetime:
    waits_for_deposit = payment is not None and payment.waits_for_deposit
    then = now + _backoff(order, _UNPAID_FIRST, _DEPOSIT_MOST if waits_for_deposit else _UNPAID_MOST)
    dues = (order.expires_at, unpaid_until(order, payment, policy))
    return min((due for due in dues if now < due < then), default=then)


def _backoff(order: Order, first: timedelta, most: timedelta) -> timedelta:
    return _grow(order, order.checks, first, most)


def _grow(order: Order, times: int, first: timedelta, most: timedelta) -> timedelta:
    return _spread(order, min(first * 2 ** min(times, 20), most))


def _spread(order: Order, delay: timedelta) -> timedelta:
    share = zlib.crc32(f"{order.id}{order.checks}{order.failures}".encode()) / 2**32
    return delay * (0.9 + 0.2 * share)
