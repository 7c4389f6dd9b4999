"""The other people: the buyer at the payment window, the bank, and whoever sits at PortOne's console."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from fake_portone.courses import Courses
from fake_portone.faults import Faults
from fake_portone.ledger import Cancel, Cancelled, Ledger, PaymentRecord, Purchase, Status, invalid

_UNDER_WAY = frozenset({Status.READY, Status.PAY_PENDING})
_BUYERS_REASON = "the buyer closed the payment window"


class Buyer:
    """What happens to payments without the shop's doing. Faults that the browser commits happen here."""

    def __init__(self, ledger: Ledger, faults: Faults, other_store_id: str) -> None:
        self._ledger = ledger
        self._faults = faults
        self._courses = Courses(faults)
        self._other_store_id = other_store_id
        self._asked: dict[str, Purchase] = {}

    def asked(self, payment_id: str) -> Purchase | None:
        """What the shop's page last asked the window for, before any fault; None if it never did."""
        return self._asked.get(payment_id)

    def open(self, payment_id: str, purchase: Purchase) -> PaymentRecord:
        """The payment window opens with what the browser asks for."""
        if purchase.total <= 0:
            raise invalid("totalAmount must be more than 0")
        payment = self._ledger.open(payment_id, self._tampered(payment_id, purchase))
        self._asked[payment_id] = purchase
        return payment

    def pay(self, payment_id: str, purchase: Purchase | None = None) -> PaymentRecord:
        """The buyer approves, in a window opened anew if ``purchase`` is not what the open one is for."""
        self._opened(payment_id, purchase)
        if self._faults.fires("failed_then_paid", payment_id):
            self._ledger.fail(payment_id, "approval failure")
        if self._faults.fires("pending_for_ever", payment_id):
            return self._ledger.pend(payment_id)
        if fault := self._faults.fires("account_by_browser", payment_id):
            return self._ledger.issue_account(payment_id, within=timedelta(seconds=fault.seconds))
        if fault := self._faults.fires("approval_late", payment_id):
            return self._later(payment_id, fault.seconds, self._approve)
        if fault := self._faults.fires("approval_pending", payment_id):
            self._ledger.pend(payment_id)
            return self._later(payment_id, fault.seconds, self._approve)
        return self._approve(payment_id)

    def fail(self, payment_id: str, purchase: Purchase | None = None, reason: str = _BUYERS_REASON) -> PaymentRecord:
        """The buyer gives up, or the approval fails."""
        self._opened(payment_id, purchase)
        return self._ledger.fail(payment_id, reason)

    def pend(self, payment_id: str, purchase: Purchase | None = None) -> PaymentRecord:
        """The approval takes its time."""
        self._opened(payment_id, purchase)
        return self._ledger.pend(payment_id)

    def issue_account(self, payment_id: str, purchase: Purchase | None = None) -> PaymentRecord:
        """The buyer chooses to send money to an account."""
        self._opened(payment_id, purchase)
        if fault := self._faults.fires("account_by_browser", payment_id):
            return self._ledger.issue_account(payment_id, within=timedelta(seconds=fault.seconds))
        return self._ledger.issue_account(payment_id)

    def deposit(self, payment_id: str) -> PaymentRecord:
        """The buyer sends the money."""
        if fault := self._faults.fires("deposit_late", payment_id):
            return self._later(payment_id, fault.seconds, self._arrive)
        return self._arrive(payment_id)

    def cancel_in_console(self, payment_id: str, amount: int | None = None, reason: str = "console") -> Cancelled:
        """Somebody cancels in PortOne's console."""
        asked = Cancel(reason=reason, amount=amount, tax_free=None, trigger="CONSOLE")
        return self._ledger.cancel(payment_id, asked, self._courses.asked_by_others(payment_id))

    def _approve(self, payment_id: str) -> PaymentRecord:
        payment = self._ledger.find(payment_id)
        keeps = self._faults.fires("discount_limits_cancel", payment_id) is not None
        with_points = self._faults.fires("paid_with_points", payment_id) is not None or keeps
        paid = self._ledger.pay(
            payment_id,
            discount=payment.purchase.total // 10 if with_points else 0,
            keeps_discount=keeps,
            dating=self._courses.dating_of_capture(payment_id),
        )
        return self._paid(paid)

    def _arrive(self, payment_id: str) -> PaymentRecord:
        return self._paid(self._ledger.deposit(payment_id, dating=self._courses.dating_of_capture(payment_id)))

    def _paid(self, payment: PaymentRecord) -> PaymentRecord:
        """See to what others will do about this payment by themselves."""
        half = payment.purchase.total // 2 or None
        if fault := self._faults.fires("console_cancel_part", payment.id):
            self._ledger.later(fault.seconds, lambda: self.cancel_in_console(payment.id, half))
        if fault := self._faults.fires("console_cancel", payment.id):
            self._ledger.later(fault.seconds, lambda: self.cancel_in_console(payment.id))
        if fault := self._faults.fires("disputed", payment.id):
            self._ledger.later(fault.seconds, lambda: self._ledger.dispute(payment.id, "the buyer denies it"))
            self._ledger.later(2 * fault.seconds, lambda: self._ledger.resolve_disputes(payment.id))
        if fault := self._faults.fires("charged_back", payment.id):
            back = Cancel(reason="charged back", tax_free=None, trigger="CHARGEBACK")
            course = self._courses.asked_by_others
            self._ledger.later(fault.seconds, lambda: self._ledger.cancel(payment.id, back, course(payment.id)))
        return payment

    def _later(self, payment_id: str, seconds: float, act: Callable[[str], PaymentRecord]) -> PaymentRecord:
        """Have it happen by itself; the payment as it is until then."""
        self._ledger.later(seconds, lambda: act(payment_id))
        return self._ledger.find(payment_id)

    def _opened(self, payment_id: str, purchase: Purchase | None) -> None:
        if purchase is None:
            return
        if self._asked.get(payment_id) != purchase or self._ledger.find(payment_id).status not in _UNDER_WAY:
            self.open(payment_id, purchase)

    def _tampered(self, payment_id: str, purchase: Purchase) -> Purchase:
        fires = self._faults.fires
        if fires("amount_tampered", payment_id):
            purchase = _halved(purchase)
        if fires("zero_amount_capture", payment_id):
            purchase = replace(purchase, total=0, tax_free=0)
        if fires("tax_free_by_browser", payment_id):
            purchase = replace(purchase, tax_free=0 if purchase.tax_free else purchase.total // 2)
        if fires("currency_tampered", payment_id):
            purchase = replace(purchase, currency="USD" if purchase.currency == "KRW" else "KRW")
        if fires("store_tampered", payment_id):
            purchase = replace(purchase, store_id=self._other_store_id)
        if fires("channel_tampered", payment_id):
            other = "TEST" if purchase.channel_type == "LIVE" else "LIVE"
            purchase = replace(purchase, channel_type=other, channel_key=f"{purchase.channel_key}-{other.lower()}")
        return purchase


def _halved(purchase: Purchase) -> Purchase:
    total = purchase.total // 2 or 2
    return replace(purchase, total=total, tax_free=min(purchase.tax_free, total))
