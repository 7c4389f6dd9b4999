"""Which of two views of one payment knows more. Nowhere else is anything called older.

What cannot be undone comes first: nothing < an attempt < captured < more given back < all given back. Stamps come
after it only, and never against it: they are of several clocks, some in whole seconds, and an approval may be dated
before the failure it followed.
"""

from __future__ import annotations

from datetime import datetime

from domain.order import Observed, Order
from domain.payment import Payment, PaymentStatus

_ATTEMPT = (  # how far one attempt has got, the furthest last
    PaymentStatus.READY,
    PaymentStatus.PAY_PENDING,
    PaymentStatus.VIRTUAL_ACCOUNT_ISSUED,
    PaymentStatus.FAILED,
)


def knows_less(payment: Payment, order: Order) -> bool:
    """Whether ``payment`` is a record from before the one that ``order`` was reconciled by last."""
    seen = order.observed
    if seen is None:
        return False
    theirs, ours = _depth_of(payment), _depth(order)
    if theirs > ours or theirs > _depth_seen(seen, ours):
        return False
    if theirs == ours and payment.captured is None and payment.attempt == seen.attempt:
        further = _steps_further(payment, seen)
        if further:
            return further < 0
    return _is_dated_before(payment, seen)


def came_back(payment: Payment, order: Order) -> bool:
    """Whether less went back than the gateway said before, and says so later: a cancel undone, a refund bounced."""
    seen = order.observed
    return (
        seen is not None
        and payment.captured is not None
        and payment.captured == order.captured
        and payment.went_back < order.refunded
        and (_is_later(payment.changed_at, seen.changed_at) or _is_later(payment.updated_at, seen.updated_at))
    )


def _depth_of(payment: Payment) -> tuple[int, int]:
    return (0, 0) if payment.captured is None else (1, payment.went_back.minor)


def _depth(order: Order) -> tuple[int, int]:
    return (0, 0) if order.captured is None else (1, order.refunded.minor)


def _depth_seen(seen: Observed, ours: tuple[int, int]) -> tuple[int, int]:
    """How deep the record itself was that was applied last: not so deep as the order where money came back."""
    return ours if seen.went_back is None else (1, seen.went_back)


def _steps_further(payment: Payment, seen: Observed) -> int:
    """By how many steps this view of one attempt is further than the one that was seen; 0 where nobody can say."""
    if payment.status not in _ATTEMPT or seen.said not in _ATTEMPT:
        return 0
    return _ATTEMPT.index(payment.status) - _ATTEMPT.index(PaymentStatus(seen.said))


def _is_dated_before(payment: Payment, seen: Observed) -> bool:
    for theirs, ours in ((payment.changed_at, seen.changed_at), (payment.updated_at, seen.updated_at)):
        if theirs is not None and ours is not None and theirs != ours:
            return theirs < ours
    return False


def _is_later(theirs: datetime | None, ours: datetime | None) -> bool:
    return theirs is not None and ours is not None and theirs > ours
