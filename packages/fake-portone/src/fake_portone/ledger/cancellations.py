"""Cancellations: asked for, carried out at once or after a while, or failed."""

from __future__ import annotations

from dataclasses import replace

from fake_portone.ledger.book import MoneyBook
from fake_portone.ledger.moments import Agenda
from fake_portone.ledger.payments import Payments
from fake_portone.ledger.records import Cancel, Cancelled, CancelStatus, Course, PaymentRecord, Status
from fake_portone.ledger.rules import amount_to_cancel, tax_free_to_cancel, vat_within


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
            return self._end(asked, cancellation, course.at_once)
        self._agenda.later(course.seconds, lambda: self._end_requested(payment.id, cancellation.id, course.then))
        self._payments.tell_cancelled("CancelPending", asked, cancellation)
        return cancellation

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

    def _end_requested(self, payment_id: str, cancellation_id: str, end: CancelStatus) -> None:
        payment = self._payments.get(payment_id)
        assert payment is not None  # noqa: S101 - narrowing: payments are never removed
        cancellation = next(c for c in payment.cancellations if c.id == cancellation_id)
        self._end(payment, cancellation, end)

    def _end(self, payment: PaymentRecord, cancellation: Cancelled, end: CancelStatus) -> Cancelled:
        now = self._payments.stamp()
        ended = replace(cancellation, status=end, cancelled_at=now if end is CancelStatus.SUCCEEDED else None)
        cancellations = tuple(ended if c.id == ended.id else c for c in payment.cancellations)
        payment = replace(payment, updated_at=now, cancellations=cancellations)
        if end is not CancelStatus.SUCCEEDED:
            self._payments.keep(payment)
            return ended
        self._book.give_back(payment.id, ended.amount)
        whole = payment.cancelled == payment.captured
        moved = self._payments.move(payment, Status.CANCELLED if whole else Status.PARTIAL_CANCELLED, now)
        self._payments.tell_cancelled("Cancelled" if whole else "PartialCancelled", moved, ended)
        return ended
