"""What becomes of a cancellation, and how changes are dated, as far as a fault decides it."""

from __future__ import annotations

from dataclasses import replace

from fake_portone.faults import Faults
from fake_portone.ledger import PUNCTUAL, Cancel, CancelStatus, Course, Dating, Ledger, RefusedError


class Courses:
    """Draws the course of each cancellation, whoever asks for it."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def asked_by_the_shop(self, payment_id: str, cancel: Cancel) -> Course:
        """The course of a cancellation that came over the API. Raises RefusedError."""
        fires, holds = self._faults.fires, self._faults.holds
        if fires("cancel_refused", payment_id):
            raise RefusedError("MAX_CANCEL_COUNT_REACHED", "it was cancelled too often")
        if holds("cancel_period_over", payment_id):
            raise RefusedError("CANCEL_PERIOD_OVER", "it was paid too long ago")
        if (cancel.tax_free is None or cancel.vat is None) and holds("cancel_needs_tax_part", payment_id):
            raise RefusedError("CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT", "say the untaxed part and the VAT")
        if fires("cancel_failed", payment_id):
            return Course(CancelStatus.FAILED)
        course = self.asked_by_others(payment_id)
        if holds("cancel_requested_for_ever", payment_id):
            return replace(course, at_once=CancelStatus.REQUESTED, then=None)
        if fault := fires("cancel_requested", payment_id):
            return replace(course, at_once=CancelStatus.REQUESTED, seconds=fault.seconds)
        if fault := fires("cancel_requested_then_failed", payment_id):
            return Course(CancelStatus.REQUESTED, CancelStatus.FAILED, fault.seconds)
        return course

    def asked_by_others(self, payment_id: str) -> Course:
        """The course of any cancellation."""
        course = Course(dating=self._dating_of_cancel(payment_id))
        if fault := self._faults.fires("cancel_undone", payment_id):
            return replace(course, undone_after=fault.seconds)
        if fault := self._faults.fires("cancel_bounces", payment_id):
            return replace(course, undone_after=fault.seconds, silently=True)
        return course

    def dating_of_capture(self, payment_id: str) -> Dating:
        """How the moment is dated at which it was paid."""
        fault = self._faults.fires("paid_dated_early", payment_id)
        return Dating(early=fault.seconds, updated=fault.also()) if fault else PUNCTUAL

    def _dating_of_cancel(self, payment_id: str) -> Dating:
        if self._faults.fires("second_part_cancel_unstamped", payment_id):
            return Dating(stays=True)
        fault = self._faults.fires("cancelled_dated_early", payment_id)
        return Dating(early=fault.seconds) if fault else PUNCTUAL


def quote(ledger: Ledger, payment_id: str, cancel: Cancel) -> None:
    """Somebody in the console cancels another sum, and gives the shop's own reason for it. Raises RefusedError."""
    asked = cancel.amount or ledger.find(payment_id).cancellable
    other = Cancel(reason=cancel.reason, amount=max(1, asked // 2), tax_free=None, trigger="CONSOLE")
    if other.amount != asked:
        ledger.cancel(payment_id, other)
