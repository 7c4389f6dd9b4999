"""Cancellations: asked for, carried out at once or after a while, or failed."""

from __future__ import annotations

from dataclasses import replace

from fake_portone.ledger.book import MoneyBook
from fake_portone.ledger.moments import Agenda
from fake_portone.ledger.payments import Payments
from fake_portone.ledger.records import (
    SMOOTHLY,
    Cancel,
    Cancelled,
    CancelStatus,
    Course,
    PaymentRecord,
    Status,
    vat_within,
)
from fake_portone.ledger.rules import amount_to_cancel, tax_free_to_cancel


class Cancellations:
    """Gives money back. Each cancellation stands in its payment's record, and each won of it in the book."""

    def __init__(self, payments: Payments, book: MoneyBook, agenda: Agenda) -> None:
        self._payments = payments
        self._book = book
        self._agenda = agenda

    def request(self, payment: PaymentRecord, cancel: Cancel, course: Course) -> Cancelled:
        """Give back what is asked for, as far as ``course`` goes."""
        asked, cancellation = self._asked(payment, cancel)
        if course.at_once is not CancelStatus.REQUESTED:
            return self._end(asked, cancellation, course.at_once, course)
        if (then := course.then) is not None:
            self._agenda.later(course.seconds, lambda: self._end_requested(payment.id, cancellation.id, then, course))
        self._payments.tell_cancelled("CancelPending", asked, cancellation)
        return cancellation

    def conclude(self, payment: PaymentRecord, end: CancelStatus) -> None:
        """Whatever is REQUESTED of this payment comes to this ``end``."""
        for cancellation in payment.cancellations:
            if cancellation.status is CancelStatus.REQUESTED:
                self._end_requested(payment.id, cancellation.id, end, SMOOTHLY)

    def _asked(self, payment: PaymentRecord, cancel: Cancel) -> tuple[PaymentRecord, Cancelled]:
        amount = amount_to_cancel(payment, cancel)
        tax_free = tax_free_to_cancel(payment, cancel, amount)
        now = self._payments.stamp()
        cancellation = Cancelled(
            id=self._payments.name(payment.id, "cancellation", now),
            status=CancelStatus.REQUESTED,
            amount=amount,
            tax_free=tax_free,
            vat=vat_within(amount - tax_free) if cancel.vat is None else cancel.vat,
            reason=cancel.reason,
            requested_at=now,
            trigger=cancel.trigger,
            skip_webhook=cancel.skip_webhook,
        )
        cancellations = (*payment.cancellations, cancellation)
        return self._payments.keep(replace(payment, updated_at=now, cancellations=cancellations)), cancellation

    def _end_requested(self, payment_id: str, cancellation_id: str, end: CancelStatus, course: Course) -> None:
        payment, cancellation = self._found(payment_id, cancellation_id)
        self._end(payment, cancellation, end, course)

    def _end(self, payment: PaymentRecord, cancellation: Cancelled, end: CancelStatus, course: Course) -> Cancelled:
        now = self._payments.stamp()
        if end is not CancelStatus.SUCCEEDED:
            ended = replace(cancellation, status=end)
            self._payments.keep(_with(replace(payment, updated_at=now), ended))
            return ended
        ended = replace(cancellation, status=end, cancelled_at=now)
        whole = _with(payment, ended).is_all_back
        if whole and payment.keeps_discount:
            ended = replace(ended, discount=payment.discount)
        status = Status.CANCELLED if whole else Status.PARTIAL_CANCELLED
        ended = replace(ended, cancelled_at=course.dating.of(payment, status, now))
        self._book.give_back(payment.id, ended.moved)
        moved = self._payments.move(_with(payment, ended), status, now, course.dating)
        self._payments.tell_cancelled("Cancelled" if whole else "PartialCancelled", moved, ended)
        if (after := course.undone_after) is not None:
            self._agenda.later(after, lambda: self._undo(payment.id, ended.id, told=not course.silently))
        return ended

    def _undo(self, payment_id: str, cancellation_id: str, *, told: bool) -> None:
        """It went back, and came back: the money is with the shop again."""
        payment, cancellation = self._found(payment_id, cancellation_id)
        failed = _with(payment, replace(cancellation, status=CancelStatus.FAILED, cancelled_at=None))
        # What a coupon paid went with the last won, whichever cancellation that was: it is back with any of them.
        undone = replace(failed, cancellations=tuple(replace(c, discount=0) for c in failed.cancellations))
        self._book.take_back(payment.id, _moved(payment) - _moved(undone))
        moved = self._payments.move(undone, Status.PARTIAL_CANCELLED if undone.cancelled else Status.PAID)
        if told:
            self._payments.tell("Paid", moved)

    def _found(self, payment_id: str, cancellation_id: str) -> tuple[PaymentRecord, Cancelled]:
        payment = self._payments.get(payment_id)
        assert payment is not None  # noqa: S101 - narrowing: payments are never removed
        return payment, next(c for c in payment.cancellations if c.id == cancellation_id)


def _with(payment: PaymentRecord, cancellation: Cancelled) -> PaymentRecord:
    """The payment with this cancellation as it stands now."""
    cancellations = tuple(cancellation if c.id == cancellation.id else c for c in payment.cancellations)
    return replace(payment, cancellations=cancellations)


def _moved(payment: PaymentRecord) -> int:
    """All that went back of it, with what coupons paid."""
    return sum(c.moved for c in payment.cancellations if c.status is CancelStatus.SUCCEEDED)
