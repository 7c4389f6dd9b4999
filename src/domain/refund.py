"""A refund: money on its way back, a row of its own from the decision to the gateway's confirmation."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from domain.ids import OrderId, RefundId
from domain.money import Money
from domain.payment import Cancellation, Payment

KEY_LIFE = timedelta(hours=3)  # how long the gateway remembers an Idempotency-Key (developers.portone.io, api)
_KEY_TRUSTED = KEY_LIFE - timedelta(minutes=10)
QUOTE = re.compile(r"\[[0-9a-f]{32}\]", re.ASCII)  # a refund of ours, named in full
_CLOCKS_APART = timedelta(minutes=5)  # by how much a cancellation may be dated before we asked for it


class RefundStatus(StrEnum):
    """REQUESTED until the gateway's own record shows how it ended, or until it is clear that it cannot be done."""

    REQUESTED = "REQUESTED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"  # tried and not carried out; money still owed needs a new refund
    REFUSED = "REFUSED"  # the gateway will never do it as it is; a person is asked
    WITHDRAWN = "WITHDRAWN"  # whoever asked for it, or an operator, took it back


class Need(StrEnum):
    """What a refused refund needs before it can be asked for anew."""

    ACCOUNT = "account"  # an account of the buyer's to send the money to
    TAX_PART = "tax_part"  # another division into taxed and untaxed
    WORD = "word"  # a person's: it may have been done, and nobody can tell
    NOTHING = "nothing"  # nothing helps: it has to be given back outside the gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the gateway was asked, word for word, so that the very same can be asked again.

    ``key`` is the request's Idempotency-Key. ``amount`` was to go back, ``tax_free`` of it untaxed, out of ``left``,
    which the gateway compares with what is left. ``gone`` is how much had gone back by then.
    """

    key: str
    amount: Money
    tax_free: Money
    left: Money
    gone: Money
    at: datetime
    times: int = 1

    def key_lives(self, now: datetime) -> bool:
        """Whether the gateway still knows the request by its key, and would not carry it out twice.

        By a clock that is behind nobody can tell; then the very same words are the safer ones, whatever else holds.
        """
        return now < self.at + _KEY_TRUSTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One intent to give money back, carried out at most once.

    ``requested_by`` is ``gyeolje`` for money we must not keep, else whoever asked. ``failure`` says why it FAILED or
    was REFUSED, ``needs`` what would help; of a REQUESTED one it is what has to be handed over with it. ``sent`` is
    what was asked of the gateway last, ``cancellation_id`` the name that the gateway then gave to it.
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
    needs: Need | None = None
    sent: Sent | None = None
    cancellation_id: str | None = None

    def succeeded(self, now: datetime) -> Refund:
        """This refund, seen done at the gateway."""
        return replace(self, status=RefundStatus.SUCCEEDED, ended_at=now)

    def failed(self, failure: str, now: datetime) -> Refund:
        """This refund, which will never be carried out; money still owed needs a new one."""
        return replace(self, status=RefundStatus.FAILED, ended_at=now, failure=failure)

    def refused(self, failure: str, needs: Need, now: datetime) -> Refund:
        """This refund, which the gateway will never do as it is."""
        return replace(self, status=RefundStatus.REFUSED, ended_at=now, failure=failure, needs=needs)

    def withdrawn(self, now: datetime) -> Refund:
        """This refund, which nobody asks for any more."""
        return replace(self, status=RefundStatus.WITHDRAWN, ended_at=now)

    def answered(self, cancellation_id: str) -> Refund:
        """This refund by the gateway's own name for it."""
        return replace(self, cancellation_id=cancellation_id)

    def may_be_withdrawn(self, now: datetime) -> bool:
        """Whether it cannot be carried out any more by what was asked, or a person has to say so anyway."""
        return self.sent is None or self.needs is Need.WORD or self._is_forgotten(now)

    def _is_forgotten(self, now: datetime) -> bool:
        """Whether the gateway, which never told of it by name, does not know the request any more."""
        return self.cancellation_id is None and self.sent is not None and now >= self.sent.at + KEY_LIFE

    def found_in(self, payment: Payment) -> Cancellation | None:
        """What the gateway's record says of it; None where it shows none of it."""
        return payment.cancellation(self.id, self.sent.amount if self.sent else self.amount, self.cancellation_id)

    def next_request(
        self, payment: Payment, key: str, now: datetime, *, taken: Collection[str] = (), moved: bool = False
    ) -> Sent | None:
        """What to ask the gateway, whose record ``payment`` shows none of it yet; None where nobody can tell.

        The same as before, under the same key, for as long as the gateway knows the key. After that, or where what is
        left turned out to be another sum (``moved``), anew under ``key``: but never where money went back meanwhile
        that may have been this very refund. ``taken`` are the cancellations that are known to be other refunds'.
        """
        before = self.sent
        if before is None:
            return self._anew(payment, key, now)
        if before.key_lives(now) and not moved:
            return replace(before, times=before.times + 1)
        if self.may_be_done(payment, taken):
            return None
        fresh = self._anew(payment, key, now, left=_another_left(payment, before.left) if moved else None)
        return replace(fresh, gone=min(before.gone, fresh.gone), times=before.times + 1)

    def may_be_done(self, payment: Payment, taken: Collection[str] = ()) -> bool:
        """Whether it may be among what went back since: as a cancellation that names nobody, or that is not listed.

        None of those ``taken`` is it: they are known to be other refunds'.
        """
        before = self.sent
        if before is None:
            return False
        if payment.went_back != before.gone and payment.unlisted >= before.amount:
            return True
        return self.stand_in(payment, taken) is not None

    def stand_in(self, payment: Payment, taken: Collection[str]) -> Cancellation | None:
        """The cancellation that may be it, though it names nobody: the youngest. None where only ``taken`` ones may."""
        free = (c for c in self._nameless(payment) if c.id not in taken)
        return max(free, key=lambda c: c.requested_at or self.requested_at, default=None)

    def _nameless(self, payment: Payment) -> Iterator[Cancellation]:
        """What was cancelled of its very sum since it was first asked for, and names nobody."""
        before = self.sent
        if before is None:
            return
        more_went_back = payment.went_back != before.gone
        since = self.requested_at - _CLOCKS_APART
        for c in payment.cancellations:
            if (
                c.amount == before.amount
                and c.may_move_money
                and not QUOTE.search(c.reason)
                and (more_went_back or c.is_under_way)  # else all that went back had done so before we first asked
                and (c.requested_at is None or c.requested_at >= since)
            ):
                yield c

    def _anew(self, payment: Payment, key: str, now: datetime, *, left: Money | None = None) -> Sent:
        left = payment.left if left is None else left
        amount = min(self.amount, left)
        untaxed = payment.tax_free_of(amount)
        return Sent(key=key, amount=amount, tax_free=untaxed, left=left, gone=payment.went_back, at=now)


def known_names(refunds: Iterable[Refund]) -> set[str]:
    """The cancellations that are known to be one of these refunds', by the gateway's names for them."""
    return {refund.cancellation_id for refund in refunds if refund.cancellation_id is not None}


def _another_left(payment: Payment, tried: Money) -> Money:
    """What else may be meant by what is left: without what coupons paid, without what is on its way back already.

    The gateway does not say which it is (UNVERIFIED), only that ``tried`` is not.
    """
    readings = [payment.left, payment.left_paid]
    readings += [left.less(payment.on_its_way) for left in readings]
    meant = list(dict.fromkeys(left for left in readings if left))
    place = meant.index(tried) if tried in meant else -1
    return meant[(place + 1) % len(meant)]
