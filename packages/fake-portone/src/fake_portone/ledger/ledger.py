"""All that can be done to the payments of one account: by the buyer, the card network, the shop, and time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from fake_portone.ledger.book import Balance, MoneyBook
from fake_portone.ledger.cancellations import Cancellations
from fake_portone.ledger.moments import Agenda, LedgerClock
from fake_portone.ledger.payments import Payments
from fake_portone.ledger.records import (
    PUNCTUAL,
    SMOOTHLY,
    Cancel,
    Cancelled,
    CancelStatus,
    Course,
    Dating,
    Dispute,
    Happening,
    PaymentRecord,
    Purchase,
    Status,
    VirtualAccount,
)
from fake_portone.ledger.rules import (
    check_disputable,
    check_under_way,
    check_unpaid,
    check_waiting_for_deposit,
    found,
)

_DEPOSIT_WITHIN = timedelta(days=1)


class Ledger:
    """Every payment of one PortOne account. ``announce`` hears of all that a webhook is sent for, as it happens.

    ``kept`` hears of every change to a payment; ``wake`` hears at which moment ``complete_due`` has something to do.
    """

    def __init__(
        self,
        *,
        clock: LedgerClock,
        seed: int = 0,
        announce: Callable[[Happening], None] = lambda _: None,
        kept: Callable[[PaymentRecord], None] = lambda _: None,
        wake: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._payments = Payments(clock=clock, seed=seed, announce=announce, kept=kept)
        self._agenda = Agenda(clock, wake)
        self._book = MoneyBook()
        self._cancellations = Cancellations(self._payments, self._book, self._agenda)
        self._registered: dict[str, tuple[int | None, str | None]] = {}
        self._registered_tax_free: dict[str, int] = {}

    # --- reading ---

    @property
    def changes(self) -> int:
        """How often any payment has changed so far."""
        return self._payments.changes

    def find(self, payment_id: str, store_id: str | None = None) -> PaymentRecord:
        """The payment of this id, if it is of this store where one is named."""
        self.complete_due()
        return found(self._payments.get(payment_id), store_id)

    def payments(self) -> list[PaymentRecord]:
        """All payments, the first opened first."""
        self.complete_due()
        return self._payments.all()

    def heard_of(self) -> list[str]:
        """Every paymentId that was pre-registered or opened, the first heard of first."""
        return self._payments.heard_of()

    def as_it_was(self, payment: PaymentRecord, seconds: float) -> PaymentRecord | None:
        """This payment as it stood so many seconds of the clock ago; None if there was none then."""
        return self._payments.as_it_was(payment, seconds)

    def balance(self, payment_id: str) -> Balance:
        """What was taken and went back for this payment, from the book."""
        return self._book.of(payment_id)

    def totals(self) -> dict[str, Balance]:
        """The same for each currency."""
        sums: dict[str, Balance] = {}
        for payment in self.payments():
            balance, currency = self._book.of(payment.id), payment.purchase.currency
            if balance.captured:
                sums[currency] = sums.get(currency, Balance()) + balance
        return sums

    def registered(self, payment_id: str) -> tuple[int | None, str | None] | None:
        """The sum and currency this payment was pre-registered with; None if it was not."""
        return self._registered.get(payment_id)

    def registered_tax_free(self, payment_id: str) -> int:
        """How much of that sum is untaxed."""
        return self._registered_tax_free.get(payment_id, 0)

    # --- the buyer's side ---

    def open(self, payment_id: str, purchase: Purchase) -> PaymentRecord:
        """The payment window opens: a new attempt, whatever was tried before; 409 once one has succeeded."""
        self.complete_due()
        before = self._payments.get(payment_id)
        if before is not None:
            check_unpaid(before)
        now = self._payments.stamp()
        payment = PaymentRecord(
            id=str(payment_id),  # a plain one, whatever the caller's names are made of
            purchase=purchase,
            status=Status.READY,
            transaction_id=self._payments.name(payment_id, "attempt", now),
            requested_at=now,
            updated_at=now,
            status_changed_at=now,
        )
        return self._payments.tell("Ready", self._payments.keep(payment))

    def pay(
        self, payment_id: str, *, discount: int = 0, keeps_discount: bool = False, dating: Dating = PUNCTUAL
    ) -> PaymentRecord:
        """The buyer approved: PAID, and the money is taken. Only one attempt ever gets here."""
        attempt = self._attempt(payment_id)
        return self._capture(replace(attempt, discount=discount, keeps_discount=keeps_discount), dating)

    def fail(self, payment_id: str, reason: str) -> PaymentRecord:
        """This attempt failed; another may follow."""
        return self._fail(self._attempt(payment_id), reason)

    def pend(self, payment_id: str) -> PaymentRecord:
        """The approval takes its time."""
        return self._payments.tell("PayPending", self._payments.move(self._attempt(payment_id), Status.PAY_PENDING))

    def issue_account(self, payment_id: str, *, within: timedelta = _DEPOSIT_WITHIN) -> PaymentRecord:
        """The buyer chose to send money, and got an account to send it to ``within`` so much time."""
        payment = self._attempt(payment_id)
        now = self._payments.stamp()
        number = f"{int(self._payments.name(payment_id, 'account', now)[:8], 16):011d}"
        account = VirtualAccount(number, now, now + within)
        issued = self._payments.move(replace(payment, account=account), Status.VIRTUAL_ACCOUNT_ISSUED, now)
        return self._payments.tell("VirtualAccountIssued", issued)

    def deposit(self, payment_id: str, *, dating: Dating = PUNCTUAL) -> PaymentRecord:
        """The money was sent to the account."""
        return self._capture(self._waiting_for_deposit(payment_id), dating)

    # --- the card network's side ---

    def dispute(self, payment_id: str, reason: str) -> PaymentRecord:
        """The buyer denies a paid payment; no money moves for that."""
        payment = self.find(payment_id)
        check_disputable(payment)
        now = self._payments.stamp()
        disputes = (*payment.disputes, Dispute(reason=reason, created_at=now))
        return self._disputed("DisputeCreated", replace(payment, updated_at=now, disputes=disputes))

    def resolve_disputes(self, payment_id: str) -> PaymentRecord:
        """Whatever was disputed is not any more."""
        payment = self.find(payment_id)
        now = self._payments.stamp()
        disputes = tuple(replace(d, resolved_at=d.resolved_at or now) for d in payment.disputes)
        return self._disputed("DisputeResolved", replace(payment, updated_at=now, disputes=disputes))

    # --- the shop's side ---

    def pre_register(self, payment_id: str, total: int | None, currency: str | None, tax_free: int = 0) -> None:
        """Note which sum the payment must have, and how much of it untaxed."""
        if self._payments.get(payment_id) is not None:
            check_unpaid(self.find(payment_id))
        self._registered[payment_id] = (total, currency)
        self._registered_tax_free[payment_id] = tax_free
        self._payments.hear_of(payment_id)

    def close_account(self, payment_id: str, store_id: str | None) -> datetime:
        """The account takes no deposit any more; when that was."""
        payment = self._waiting_for_deposit(payment_id, store_id)
        return self._fail(payment, "the virtual account was closed").updated_at

    def cancel(self, payment_id: str, cancel: Cancel, course: Course = SMOOTHLY) -> Cancelled:
        """Give money back, as far as ``course`` goes."""
        return self._cancellations.request(self.find(payment_id, cancel.store_id), cancel, course)

    def conclude(self, payment_id: str, end: CancelStatus) -> None:
        """Every cancellation of this payment that is REQUESTED comes to this ``end``."""
        self._cancellations.conclude(self.find(payment_id), end)

    # --- what takes its time ---

    def next_due(self) -> float | None:
        """At which moment ``complete_due`` has something to do again."""
        return self._agenda.next_due()

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Have ``act`` done so many seconds of the clock from now; one that is refused by then is left undone."""
        self._agenda.later(seconds, act)

    def complete_due(self) -> None:
        """Do everything whose time has come, in the order of its time."""
        self._agenda.complete_due()

    # --- how it is done ---

    def _attempt(self, payment_id: str) -> PaymentRecord:
        """The attempt under way; a new one like the last where that failed."""
        payment = self.find(payment_id)
        check_unpaid(payment)
        if payment.status is Status.FAILED:
            return self.open(payment_id, payment.purchase)
        check_under_way(payment)
        return payment

    def _waiting_for_deposit(self, payment_id: str, store_id: str | None = None) -> PaymentRecord:
        payment = self.find(payment_id, store_id)
        check_waiting_for_deposit(payment)
        return payment

    def _capture(self, payment: PaymentRecord, dating: Dating) -> PaymentRecord:
        now = self._payments.stamp()
        self._book.capture(payment.id, payment.purchase.total)
        paid = replace(payment, paid_at=dating.of(payment, Status.PAID, now))
        return self._payments.tell("Paid", self._payments.move(paid, Status.PAID, now, dating))

    def _fail(self, payment: PaymentRecord, reason: str) -> PaymentRecord:
        now = self._payments.stamp()
        failed = replace(payment, failed_at=now, failure=reason)
        return self._payments.tell("Failed", self._payments.move(failed, Status.FAILED, now))

    def _disputed(self, kind: str, payment: PaymentRecord) -> PaymentRecord:
        return self._payments.tell(kind, self._payments.keep(payment))
