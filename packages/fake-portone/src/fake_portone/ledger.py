"""PortOne's payments and PortOne's rules for them: pure, synchronous, and the judge of every money test.

The rules are those of developers.portone.io (OpenAPI 1.16.0, checkout, cancel). Where these are silent we assume, and
say so here: a storeId is only compared where one is given, else any store of the account answers; what a cancellation
is still REQUESTED for is not cancellable; a pre-registered sum is noted and not enforced; a payment whose virtual
account was closed is FAILED, and may be tried again; a paymentId is one payment in the whole account.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Protocol

_KEYS_LIVE = 3 * 3600.0
_DEPOSIT_WITHIN = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_NAMES = uuid.UUID("6f7a1d0e-52a7-4a27-9a0b-7d3e9a3c51f4")


class Status(StrEnum):
    """PortOne's statuses of a payment."""

    READY = "READY"
    PAY_PENDING = "PAY_PENDING"
    VIRTUAL_ACCOUNT_ISSUED = "VIRTUAL_ACCOUNT_ISSUED"
    PAID = "PAID"
    FAILED = "FAILED"
    PARTIAL_CANCELLED = "PARTIAL_CANCELLED"
    CANCELLED = "CANCELLED"


CAPTURED = frozenset({Status.PAID, Status.PARTIAL_CANCELLED, Status.CANCELLED})
_OPEN = frozenset({Status.READY, Status.PAY_PENDING})


class CancelStatus(StrEnum):
    """How far a cancellation got."""

    REQUESTED = "REQUESTED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class RefusedError(Exception):
    """PortOne says no: ``kind`` is its error's ``type``, ``status`` the HTTP status that goes with it."""

    def __init__(self, kind: str, message: str, status: HTTPStatus = HTTPStatus.CONFLICT) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status


def invalid(message: str) -> RefusedError:
    """The refusal of a request that makes no sense."""
    return RefusedError("INVALID_REQUEST", message, HTTPStatus.BAD_REQUEST)


class LedgerBrokenError(AssertionError):
    """The ledger would hold something impossible. A defect of the fake, never an answer to anybody."""


class LedgerClock(Protocol):
    """What the ledger needs of time."""

    def wall(self) -> datetime:
        """What payments are dated with."""
        ...

    def elapsed(self) -> float:
        """Seconds, for lifetimes and waits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What the browser asked the payment window for. It is recorded as it is asked, honest or not."""

    store_id: str
    channel_key: str
    order_name: str
    total: int
    currency: str
    channel_type: str = "LIVE"
    notice_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """One request to cancel. ``amount`` None means all that is left; ``expected_left`` is currentCancellableAmount."""

    reason: str
    amount: int | None = None
    expected_left: int | None = None
    tax_free: int = 0
    vat: int | None = None
    store_id: str | None = None
    skip_webhook: bool = False
    trigger: str = "API"


@dataclass(frozen=True, slots=True)
class Course:
    """What becomes of a cancellation: ``at_once``, and where that is REQUESTED, ``then`` after so many ``seconds``."""

    at_once: CancelStatus = CancelStatus.SUCCEEDED
    then: CancelStatus = CancelStatus.SUCCEEDED
    seconds: float = 0.0


SMOOTHLY = Course()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """One cancellation, done or not."""

    id: str
    status: CancelStatus
    amount: int
    vat: int
    reason: str
    requested_at: datetime
    trigger: str
    skip_webhook: bool
    cancelled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VirtualAccount:
    """An account that waits for a deposit."""

    number: str
    issued_at: datetime
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """The buyer denies the payment to the card network, until it is resolved."""

    reason: str
    created_at: datetime
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRecord:
    """One payment. ``transaction_id`` names its latest attempt; ``discount`` is what points or coupons paid of it."""

    id: str
    purchase: Purchase
    status: Status
    transaction_id: str
    requested_at: datetime
    updated_at: datetime
    status_changed_at: datetime
    paid_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str | None = None
    account: VirtualAccount | None = None
    discount: int = 0
    cancellations: tuple[Cancelled, ...] = ()
    disputes: tuple[Dispute, ...] = ()

    @property
    def captured(self) -> int:
        """What was taken from the buyer."""
        return self.purchase.total if self.status in CAPTURED else 0

    @property
    def cancelled(self) -> int:
        """What went back."""
        return self._sum(CancelStatus.SUCCEEDED)

    @property
    def cancellable(self) -> int:
        """What may still be asked back: neither gone nor on its way."""
        return self.captured - self.cancelled - self._sum(CancelStatus.REQUESTED)

    def _sum(self, status: CancelStatus) -> int:
        return sum(c.amount for c in self.cancellations if c.status is status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something PortOne tells the shop of by webhook. ``type`` is the webhook's, without ``Transaction.``."""

    type: str
    payment: PaymentRecord
    at: datetime
    cancellation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """Of one payment, or of one currency: what was taken, what went back."""

    captured: int = 0
    cancelled: int = 0

    @property
    def net(self) -> int:
        """What is left with the shop."""
        return self.captured - self.cancelled


class MoneyBook:
    """Every movement of money, written once and summed apart from the payments' own fields.

    Raises LedgerBrokenError for a second capture of one payment, and for a won more back than was taken.
    """

    def __init__(self) -> None:
        self._balances: dict[str, Balance] = {}

    def capture(self, payment_id: str, amount: int) -> None:
        """Money was taken."""
        if payment_id in self._balances:
            raise LedgerBrokenError(f"{payment_id} would be paid twice")
        self._balances[payment_id] = Balance(captured=amount)

    def give_back(self, payment_id: str, amount: int) -> None:
        """Money went back."""
        before = self._balances.get(payment_id, Balance())
        if not 0 < amount <= before.net:
            raise LedgerBrokenError(f"{payment_id}: {amount} would go back of {before.net}")
        self._balances[payment_id] = replace(before, cancelled=before.cancelled + amount)

    def of(self, payment_id: str) -> Balance:
        """What was taken and went back for one payment."""
        return self._balances.get(payment_id, Balance())


@dataclass(frozen=True, slots=True)
class _Due:
    at: float
    act: Callable[[], object]


class Ledger:
    """Every payment of one PortOne account. ``announce`` hears of all that a webhook is sent for, as it happens.

    ``kept`` hears of every change to a payment; ``wake`` hears at which moment ``complete_due`` has something to do.
    Ids follow from ``seed``, the payment's id and the moment: repeatable on a repeated clock, new after a restart.
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
        self._clock = clock
        self._seed = seed
        self._announce = announce
        self._kept = kept
        self._wake = wake
        self._payments: dict[str, PaymentRecord] = {}
        self._heard_of: dict[str, None] = {}
        self._past: dict[str, list[tuple[float, PaymentRecord]]] = {}
        self._registered: dict[str, tuple[int | None, str | None]] = {}
        self._due: list[_Due] = []
        self._book = MoneyBook()
        self._last: datetime | None = None
        self.changes = 0
        """How often any payment has changed so far."""

    # --- reading ---

    def find(self, payment_id: str, store_id: str | None = None) -> PaymentRecord:
        """The payment of this id, if it is of this store where one is named."""
        self.complete_due()
        payment = self._payments.get(payment_id)
        if payment is None or store_id not in (None, payment.purchase.store_id):
            raise RefusedError("PAYMENT_NOT_FOUND", "there is no such payment", HTTPStatus.NOT_FOUND)
        return payment

    def payments(self) -> list[PaymentRecord]:
        """All payments, the first opened first."""
        self.complete_due()
        return list(self._payments.values())

    def heard_of(self) -> list[str]:
        """Every paymentId that was pre-registered or opened, the first heard of first."""
        return list(self._heard_of)

    def as_it_was(self, payment: PaymentRecord, seconds: float) -> PaymentRecord | None:
        """This payment as it stood so many seconds of the clock ago; None if there was none then."""
        then = self._clock.elapsed() - seconds
        return next((record for at, record in reversed(self._past[payment.id]) if at <= then), None)

    def balance(self, payment_id: str) -> Balance:
        """What was taken and went back for this payment, from the book."""
        return self._book.of(payment_id)

    def totals(self) -> dict[str, Balance]:
        """The same for each currency."""
        sums: dict[str, Balance] = {}
        for payment in self.payments():
            balance = self._book.of(payment.id)
            if balance.captured:
                before = sums.get(payment.purchase.currency, Balance())
                sums[payment.purchase.currency] = Balance(
                    before.captured + balance.captured, before.cancelled + balance.cancelled
                )
        return sums

    def registered(self, payment_id: str) -> tuple[int | None, str | None] | None:
        """The sum and currency this payment was pre-registered with; None if it was not."""
        return self._registered.get(payment_id)

    # --- the buyer's side ---

    def open(self, payment_id: str, purchase: Purchase) -> PaymentRecord:
        """The payment window opens: a new attempt, whatever was tried before; 409 once one has succeeded."""
        self.complete_due()
        before = self._payments.get(payment_id)
        if before is not None:
            self._check_unpaid(before)
        now = self._stamp()
        payment = PaymentRecord(
            id=str(payment_id),  # a plain one, whatever the caller's names are made of
            purchase=purchase,
            status=Status.READY,
            transaction_id=self._name(payment_id, "attempt", now),
            requested_at=now,
            updated_at=now,
            status_changed_at=now,
        )
        return self._tell("Ready", self._keep(payment))

    def pay(self, payment_id: str, *, discount: int = 0) -> PaymentRecord:
        """The buyer approved: PAID, and the money is taken. Only one attempt ever gets here."""
        return self._capture(replace(self._attempt(payment_id), discount=discount))

    def fail(self, payment_id: str, reason: str) -> PaymentRecord:
        """This attempt failed; another may follow."""
        return self._tell("Failed", self._failed(self._attempt(payment_id), reason))

    def pend(self, payment_id: str) -> PaymentRecord:
        """The approval takes its time."""
        payment = self._attempt(payment_id)
        return self._tell("PayPending", self._move(payment, Status.PAY_PENDING))

    def issue_account(self, payment_id: str) -> PaymentRecord:
        """The buyer chose to send money, and got an account to send it to."""
        payment = self._attempt(payment_id)
        now = self._stamp()
        number = f"{int(self._name(payment_id, 'account', now)[:8], 16):011d}"
        account = VirtualAccount(number, now, now + _DEPOSIT_WITHIN)
        issued = self._move(replace(payment, account=account), Status.VIRTUAL_ACCOUNT_ISSUED, now)
        return self._tell("VirtualAccountIssued", issued)

    def deposit(self, payment_id: str) -> PaymentRecord:
        """The money was sent to the account."""
        return self._capture(self._waiting_for_deposit(payment_id))

    # --- the card network's side ---

    def dispute(self, payment_id: str, reason: str) -> PaymentRecord:
        """The buyer denies a paid payment; no money moves for that."""
        payment = self.find(payment_id)
        if payment.status is not Status.PAID:
            raise RefusedError("PAYMENT_NOT_PAID", f"the payment is {payment.status}")
        now = self._stamp()
        disputes = (*payment.disputes, Dispute(reason=reason, created_at=now))
        return self._tell("DisputeCreated", self._keep(replace(payment, updated_at=now, disputes=disputes)))

    def resolve_disputes(self, payment_id: str) -> PaymentRecord:
        """Whatever was disputed is not any more."""
        payment = self.find(payment_id)
        now = self._stamp()
        disputes = tuple(replace(d, resolved_at=d.resolved_at or now) for d in payment.disputes)
        return self._tell("DisputeResolved", self._keep(replace(payment, updated_at=now, disputes=disputes)))

    # --- the shop's side ---

    def pre_register(self, payment_id: str, total: int | None, currency: str | None) -> None:
        """Note which sum the payment must have."""
        if payment_id in self._payments:
            self._check_unpaid(self.find(payment_id))
        self._registered[payment_id] = (total, currency)
        self._heard_of.setdefault(payment_id)

    def close_account(self, payment_id: str, store_id: str | None) -> datetime:
        """The account takes no deposit any more; when that was."""
        payment = self._waiting_for_deposit(payment_id, store_id)
        return self._tell("Failed", self._failed(payment, "the virtual account was closed")).updated_at

    def cancel(self, payment_id: str, cancel: Cancel, course: Course = SMOOTHLY) -> Cancelled:
        """Give money back, as far as ``course`` goes."""
        payment = self.find(payment_id, cancel.store_id)
        amount = self._check_cancel(payment, cancel)
        now = self._stamp()
        cancellation = Cancelled(
            id=self._name(payment_id, "cancellation", now),
            status=CancelStatus.REQUESTED,
            amount=amount,
            vat=vat_within(amount) if cancel.vat is None else cancel.vat,
            reason=cancel.reason,
            requested_at=now,
            trigger=cancel.trigger,
            skip_webhook=cancel.skip_webhook,
        )
        asked = replace(payment, updated_at=now, cancellations=(*payment.cancellations, cancellation))
        self._keep(asked)
        if course.at_once is not CancelStatus.REQUESTED:
            return self._end_cancellation(asked, cancellation, course.at_once)
        self.later(course.seconds, lambda: self._end_requested(payment_id, cancellation.id, course.then))
        self._tell_cancelled("CancelPending", asked, cancellation)
        return cancellation

    # --- what takes its time ---

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Have ``act`` done so many seconds of the clock from now; one that is refused by then is left undone."""
        due = _Due(self._clock.elapsed() + seconds, act)
        self._due.append(due)
        self._wake(due.at)

    def complete_due(self) -> None:
        """Do everything whose time has come, in the order of its time."""
        now = self._clock.elapsed()
        due = sorted((d for d in self._due if d.at <= now), key=lambda d: d.at)
        self._due = [d for d in self._due if d.at > now]
        for d in due:
            with suppress(RefusedError):
                d.act()

    # --- how it is done ---

    def _attempt(self, payment_id: str) -> PaymentRecord:
        """The attempt under way; a new one like the last where that failed."""
        payment = self.find(payment_id)
        self._check_unpaid(payment)
        if payment.status is Status.FAILED:
            return self.open(payment_id, payment.purchase)
        if payment.status not in _OPEN:
            raise RefusedError("PAYMENT_WAITING_FOR_DEPOSIT", "an account was issued: deposit, or open it anew")
        return payment

    def _waiting_for_deposit(self, payment_id: str, store_id: str | None = None) -> PaymentRecord:
        payment = self.find(payment_id, store_id)
        if payment.status is not Status.VIRTUAL_ACCOUNT_ISSUED:
            raise RefusedError("PAYMENT_NOT_WAITING_FOR_DEPOSIT", f"the payment is {payment.status}")
        return payment

    def _check_unpaid(self, payment: PaymentRecord) -> None:
        if payment.status in CAPTURED:
            raise RefusedError("ALREADY_PAID", "this paymentId was paid before, and can be paid once only")

    def _check_cancel(self, payment: PaymentRecord, cancel: Cancel) -> int:
        """How much to cancel."""
        if payment.status is Status.CANCELLED:
            raise RefusedError("PAYMENT_ALREADY_CANCELLED", "everything went back already")
        if payment.status not in CAPTURED:
            raise RefusedError("PAYMENT_NOT_PAID", f"the payment is {payment.status}")
        left = payment.cancellable
        if cancel.expected_left not in (None, left):
            raise RefusedError(
                "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN", f"{left} is cancellable, not {cancel.expected_left}"
            )
        amount = left if cancel.amount is None else cancel.amount
        if amount > left or not left:
            raise RefusedError("CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT", f"{left} is cancellable")
        if cancel.tax_free + (cancel.vat or 0) > amount:
            raise RefusedError("SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT", f"the parts are more than {amount}")
        if cancel.tax_free:
            raise RefusedError("CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT", "nothing is tax free here")
        return amount

    def _capture(self, payment: PaymentRecord) -> PaymentRecord:
        now = self._stamp()
        self._book.capture(payment.id, payment.purchase.total)
        return self._tell("Paid", self._move(replace(payment, paid_at=now), Status.PAID, now))

    def _failed(self, payment: PaymentRecord, reason: str) -> PaymentRecord:
        now = self._stamp()
        return self._move(replace(payment, failed_at=now, failure=reason), Status.FAILED, now)

    def _end_requested(self, payment_id: str, cancellation_id: str, end: CancelStatus) -> None:
        payment = self._payments[payment_id]
        cancellation = next(c for c in payment.cancellations if c.id == cancellation_id)
        self._end_cancellation(payment, cancellation, end)

    def _end_cancellation(self, payment: PaymentRecord, cancellation: Cancelled, end: CancelStatus) -> Cancelled:
        now = self._stamp()
        ended = replace(cancellation, status=end, cancelled_at=now if end is CancelStatus.SUCCEEDED else None)
        cancellations = tuple(ended if c.id == ended.id else c for c in payment.cancellations)
        payment = replace(payment, updated_at=now, cancellations=cancellations)
        if end is not CancelStatus.SUCCEEDED:
            self._keep(payment)
            return ended
        self._book.give_back(payment.id, ended.amount)
        whole = payment.cancelled == payment.captured
        moved = self._move(payment, Status.CANCELLED if whole else Status.PARTIAL_CANCELLED, now)
        self._tell_cancelled("Cancelled" if whole else "PartialCancelled", moved, ended)
        return ended

    def _move(self, payment: PaymentRecord, status: Status, now: datetime | None = None) -> PaymentRecord:
        now = now or self._stamp()
        return self._keep(replace(payment, status=status, updated_at=now, status_changed_at=now))

    def _keep(self, payment: PaymentRecord) -> PaymentRecord:
        self._payments[payment.id] = payment
        self.changes += 1
        self._heard_of.setdefault(payment.id)
        self._past.setdefault(payment.id, []).append((self._clock.elapsed(), payment))
        self._kept(payment)
        return payment

    def _tell(self, kind: str, payment: PaymentRecord) -> PaymentRecord:
        self._announce(Happening(type=kind, payment=payment, at=payment.updated_at))
        return payment

    def _tell_cancelled(self, kind: str, payment: PaymentRecord, cancellation: Cancelled) -> None:
        if not cancellation.skip_webhook:
            self._announce(
                Happening(type=kind, payment=payment, at=payment.updated_at, cancellation_id=cancellation.id)
            )

    def _stamp(self) -> datetime:
        """The time now, later than every stamp before: two changes never share one."""
        now = self._clock.wall()
        if self._last is not None and now <= self._last:
            now = self._last + _TICK
        self._last = now
        return now

    def _name(self, payment_id: str, what: str, at: datetime) -> str:
        return name_of(self._seed, payment_id, what, at.isoformat())


@dataclass(frozen=True, slots=True)
class _Remembered:
    until: float
    outcome: object | None  # None: still under way, however long it takes

    def is_forgotten(self, now: float) -> bool:
        return self.outcome is not None and self.until <= now


class IdempotencyKeys:
    """What became of each request that carried a key, for three hours of the fake's time.

    A refusal is remembered like a success, and a key used for another request gets the first one's answer: PortOne
    says nothing of the one, and calls the other undefined.
    """

    def __init__(self, clock: LedgerClock) -> None:
        self._clock = clock
        self._remembered: dict[str, _Remembered] = {}

    def begin(self, key: str) -> object | None:
        """The outcome of the request that had this key before; None, and it is under way, if there was none."""
        now = self._clock.elapsed()
        before = self._remembered.get(key)
        if before is None or before.is_forgotten(now):
            self._forget(now)
            self._remembered.pop(key, None)
            self._remembered[key] = _Remembered(now + _KEYS_LIVE, None)
            return None
        if before.outcome is None:
            raise RefusedError("IDEMPOTENCY_OUTSTANDING_REQUEST", "a request with this key is still under way")
        return before.outcome

    def finish(self, key: str, outcome: object) -> None:
        """The request is done, and this is what its key answers from now on."""
        self._remembered[key] = replace(self._remembered[key], outcome=outcome)

    def abandon(self, key: str) -> None:
        """The request never got as far as being done."""
        del self._remembered[key]

    def _forget(self, now: float) -> None:
        """Drop the oldest keys whose time is over: they stand in the order of their beginnings."""
        while self._remembered:
            key, oldest = next(iter(self._remembered.items()))
            if not oldest.is_forgotten(now):
                return
            del self._remembered[key]


def vat_within(amount: int) -> int:
    """The value added tax in a fully taxed ``amount``: an eleventh, rounded to the nearest."""
    return (2 * amount + 11) // 22


def name_of(seed: int, *parts: object) -> str:
    """An id in PortOne's style that follows from ``parts``."""
    return str(uuid.uuid5(_NAMES, "/".join(map(str, (seed, *parts)))))
