"""An order and its life: what the buyer wants, what the gateway said of its payment, what is still owed."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from domain import schedule
from domain.errors import RefundNotPossibleError
from domain.history import HistoryEntry, HistoryKind
from domain.ids import RefundId
from domain.lifecycle import Decision, OrderStatus, decide
from domain.money import Money
from domain.payment import CancellationStatus
from domain.refund import Refund

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from domain.ids import OrderId, PaymentId, ProductId
    from domain.lifecycle import CancelReason
    from domain.payment import Payment, Shop


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """So many of one product, at the price it had when the order was placed."""

    product_id: ProductId
    name: str
    quantity: int
    price: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Which observation was applied last: nothing older is ever applied after it."""

    said: str
    attempt: str | None = None
    changed_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order. Its price is the server's and never changes; its payment has one id for life.

    ``captured`` is what the gateway took, in the currency it took it in; None while it took nothing. ``refunded`` is
    what went back, ``owed`` what REQUESTED refunds will still give back: ``refunded + owed`` never passes ``captured``.
    ``seq`` is the number of the last history entry, ``version`` the stored row's, which changes with every save.
    ``look_at`` None means at rest. ``looks`` counts looks in the present state, ``failures`` failed ones in a row.
    ``token_hash`` is the SHA-256 (hex) of the buyer's token.
    """

    id: OrderId
    payment_id: PaymentId
    token_hash: str
    name: str
    lines: tuple[OrderLine, ...]
    price: Money
    created_at: datetime
    expires_at: datetime
    refunded: Money
    owed: Money
    status: OrderStatus = OrderStatus.PENDING
    reason: CancelReason | None = None
    captured: Money | None = None
    observed: Observed | None = None
    attention: str | None = None
    seq: int = 0
    version: int = 0
    look_at: datetime | None = None
    looks: int = 0
    failures: int = 0

    @classmethod
    def place(
        cls,
        *,
        order_id: OrderId,
        payment_id: PaymentId,
        token_hash: str,
        lines: Sequence[OrderLine],
        now: datetime,
        expires_at: datetime,
    ) -> Settlement:
        """A new PENDING order for ``lines`` (at least one, all in one currency) and the entry that says so."""
        price = lines[0].price * lines[0].quantity
        for line in lines[1:]:
            price = price + line.price * line.quantity
        others = f" 외 {len(lines) - 1}건" if len(lines) > 1 else ""
        order = cls(
            id=order_id,
            payment_id=payment_id,
            token_hash=token_hash,
            name=f"{lines[0].name}{others}",
            lines=tuple(lines),
            price=price,
            created_at=now,
            expires_at=expires_at,
            refunded=Money.zero(price.currency),
            owed=Money.zero(price.currency),
        )
        journal = _Journal(replace(order, look_at=schedule.first_look(order)), now)
        journal.write(HistoryKind.PLACED, {"price": price.minor, "currency": price.currency})
        return journal.close()

    @property
    def refundable(self) -> Money:
        """What may still be asked back: captured, not gone back, and not on its way back."""
        if self.captured is None:
            return Money.zero(self.price.currency)
        return self.captured.less(self.refunded + self.owed)

    @property
    def moved_at(self) -> datetime:
        """When the gateway last changed its payment, as far as we were told; else when it was placed."""
        return (self.observed.changed_at if self.observed else None) or self.created_at

    def contradicts(self, payment: Payment) -> bool:
        """Whether ``payment`` claims that another sum was captured than the gateway said before."""
        return self.captured is not None and payment.captured not in (None, self.captured)

    def admits(self, token: str) -> bool:
        """Whether ``token`` is the one given to this order's buyer, in the same time for right and wrong."""
        return hmac.compare_digest(hash_token(token), self.token_hash)

    def settle(
        self,
        payment: Payment | None,
        *,
        shop: Shop,
        now: datetime,
        refund_id: RefundId,
        refunds: Sequence[Refund] = (),
        give_up: bool = False,
        on_schedule: bool = False,
    ) -> Settlement:
        """Bring this order in line with the gateway's record (None: the gateway knows no such payment).

        ``refunds`` are this order's REQUESTED refunds; ``refund_id`` is a fresh id, used if a refund becomes due.
        ``on_schedule`` says that this is the look that was due: a look in between that finds no news puts nothing off.
        Settling twice with one record changes nothing more. A record older than the last one applied is ignored.
        """
        if payment is not None and self._is_older(payment):
            return Settlement(order=self)
        decision = decide(self, payment, shop, now, give_up=give_up)
        journal = _Journal(self, now, payment)
        if payment is not None:
            journal.observe(payment)
            journal.resolve(payment, refunds)
        journal.transition(decision)
        if decision.refund_rest:
            journal.give_back_rest(refund_id)
        journal.flag(decision.flag)
        journal.schedule(on_schedule=on_schedule)
        return journal.close()

    def request_refund(
        self, amount: Money | None, *, refund_id: RefundId, reason: str, requested_by: str, now: datetime
    ) -> Settlement:
        """Ask back ``amount`` of a COMPLETED order (None: all that is left).

        Raises RefundNotPossibleError if the order is not COMPLETED or less than ``amount`` is left.
        """
        if self.status is not OrderStatus.COMPLETED:
            raise RefundNotPossibleError(f"the order is {self.status}; only a COMPLETED order can be refunded")
        wanted = self.refundable if amount is None else amount
        if not wanted or wanted > self.refundable:
            raise RefundNotPossibleError(f"{wanted} was asked back and {self.refundable} can be refunded")
        journal = _Journal(replace(self, looks=0, look_at=now), now)
        journal.ask_back(wanted, refund_id, reason, requested_by)
        return journal.close()

    def look_failed(self, why: str, now: datetime) -> Settlement:
        """This order after a look that could not be finished: it stays as it is, and is looked at again.

        Unless somebody else's look brought it to rest meanwhile: then nothing is left that failed.
        """
        if self.look_at is None:
            return Settlement(order=self)
        order = replace(self, failures=self.failures + 1)
        journal = _Journal(replace(order, look_at=schedule.retry_look(order, now)), now)
        if order.failures == _FAILED_LONG:
            journal.flag(f"looking has kept failing: {why}")
        return journal.close()

    def differs_from(self, payment: Payment, *, shop: Shop, now: datetime) -> bool:
        """Whether settling by ``payment`` would be news of this order. A later time on the same record is none."""
        return bool(self.settle(payment, shop=shop, now=now, refund_id=_NO_REFUND).entries)

    def look_by(self, moment: datetime) -> Order:
        """This order, to be looked at by ``moment`` at the latest."""
        return replace(self, look_at=min(self.look_at or moment, moment))

    def _is_older(self, payment: Payment) -> bool:
        seen = self.observed
        if seen is None:
            return False
        for theirs, ours in ((payment.changed_at, seen.changed_at), (payment.updated_at, seen.updated_at)):
            if theirs is not None and ours is not None and theirs != ours:
                return theirs < ours
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """All that one decision changed, to be committed together.

    ``refunds`` are the rows that are new or changed. ``restock``: the held products go back on sale.
    ``close_account``: after the commit, the virtual account should be closed at the gateway.
    """

    order: Order
    entries: tuple[HistoryEntry, ...] = ()
    refunds: tuple[Refund, ...] = ()
    restock: bool = False
    close_account: bool = False


def hash_token(token: str) -> str:
    """What is kept of a buyer's token: the SHA-256 of its 256 random bits, in hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


_NO_REFUND = RefundId("")  # for a settlement that is only looked at, and never kept
_FAILED_LONG = 6  # failed looks in a row before a person is asked to see


class _Journal:
    """An order in the making, and the record of what was done to it."""

    def __init__(self, order: Order, now: datetime, payment: Payment | None = None) -> None:
        self.order = order
        self._before = order
        self._now = now
        self._payment = payment
        self._entries: list[HistoryEntry] = []
        self._refunds: list[Refund] = []
        self._asked = self._failed = False

    def write(self, kind: HistoryKind, data: Mapping[str, object]) -> None:
        self.order = replace(self.order, seq=self.order.seq + 1)
        entry = HistoryEntry(
            order_id=self.order.id,
            seq=self.order.seq,
            kind=kind,
            at=self._now,
            status=self.order.status,
            reason=self.order.reason,
            refunded=self.order.refunded,
            data=data,
        )
        self._entries.append(entry)

    def observe(self, payment: Payment) -> None:
        """Take over what the gateway holds; write it down if it is news."""
        before = self.order
        observed = Observed(
            said=payment.said,
            attempt=payment.attempt,
            changed_at=payment.changed_at,
            updated_at=payment.updated_at,
        )
        self.order = replace(before, observed=observed)
        if payment.captured is not None and not before.contradicts(payment):
            went_back = min(payment.cancelled, payment.captured)
            if before.captured is not None:
                went_back = max(went_back, before.refunded)  # what went back stays back
            owed = Money(before.owed.minor, payment.captured.currency)
            self.order = replace(self.order, captured=payment.captured, refunded=went_back, owed=owed)
        seen = before.observed
        if (
            seen is None
            or (seen.said, seen.attempt) != (observed.said, observed.attempt)
            or before.refunded != self.order.refunded
        ):
            data: dict[str, object] = {
                "status": payment.said[:64],
                "total": payment.total.minor,
                "cancelled": payment.cancelled.minor,
                "currency": payment.total.currency,
            }
            if payment.attempt is not None:
                data["attempt"] = payment.attempt[:64]
            self.write(HistoryKind.PAYMENT_OBSERVED, data)

    def resolve(self, payment: Payment, refunds: Sequence[Refund]) -> None:
        """See what became of the refunds that were asked for; those the gateway is working on come first."""
        if payment.captured is None or self.order.contradicts(payment):
            return
        left = payment.captured.less(self.order.refunded)
        for refund in sorted(refunds, key=lambda r: payment.cancellation(r.id) is None):
            cancellation = payment.cancellation(refund.id)
            if cancellation is not None and cancellation.status is CancellationStatus.SUCCEEDED:
                self._end(refund.succeeded(self._now), HistoryKind.REFUND_SUCCEEDED)
            elif cancellation is not None and cancellation.status is CancellationStatus.FAILED:
                self._end(refund.failed("the gateway could not carry it out", self._now), HistoryKind.REFUND_FAILED)
            elif refund.amount > left:
                self._end(
                    refund.failed("less than this is left at the gateway", self._now),
                    HistoryKind.REFUND_FAILED,
                )
            else:
                left = left - refund.amount

    def transition(self, decision: Decision) -> None:
        if decision.status is self.order.status:
            return
        self.order = replace(self.order, status=decision.status, reason=decision.reason)
        data: dict[str, object] = {}
        if decision.reason is not None:
            data["reason"] = decision.reason.value
        if decision.differs:
            data["differs"] = list(decision.differs)
        self.write(HistoryKind(decision.status.value.lower()), data)

    def give_back_rest(self, refund_id: RefundId) -> None:
        if self.order.refundable:
            self.ask_back(self.order.refundable, refund_id, f"order {self.order.reason}", "gyeolje")

    def ask_back(self, amount: Money, refund_id: RefundId, reason: str, requested_by: str) -> None:
        refund = Refund(
            id=refund_id,
            order_id=self.order.id,
            amount=amount,
            reason=reason,
            requested_by=requested_by,
            requested_at=self._now,
        )
        self._refunds.append(refund)
        self._asked = True
        self.order = replace(self.order, owed=self.order.owed + amount)
        self.write(HistoryKind.REFUND_REQUESTED, _refund_data(refund))

    def flag(self, why: str | None) -> None:
        """Ask for a person, or take the request back once nothing is wrong or unfinished any more."""
        if why is None and self._asks_again:
            why = "a refund failed; it is asked for again"
        if why is None and self._unfinished:
            why = self.order.attention
        is_news = why is not None and why != self.order.attention
        self.order = replace(self.order, attention=why)
        if is_news:
            self.write(HistoryKind.ATTENTION, {"why": why})

    def schedule(self, *, on_schedule: bool) -> None:
        """Plan the next look anew where there is news. Without any, only the look that was due plans the next."""
        before = self._before
        self.order = replace(self.order, failures=before.failures if self._unfinished else 0)
        if self._entries and not self._asks_again:
            order = replace(self.order, looks=0)
        elif not on_schedule:
            return
        else:
            order = replace(self.order, looks=before.looks + 1)
        at_once = self._asked and not self._failed
        look_at = self._now if at_once else schedule.next_look(order, self._payment, self._now)
        self.order = replace(order, look_at=look_at)

    def close(self) -> Settlement:
        cancelled = OrderStatus.CANCELLED
        return Settlement(
            order=self.order,
            entries=tuple(self._entries),
            refunds=tuple(self._refunds),
            restock=self.order.status is cancelled and self._before.status is not cancelled,
            close_account=self._close_account,
        )

    @property
    def _close_account(self) -> bool:
        waits = self._payment is not None and self._payment.waits_for_deposit
        return waits and self.order.status is OrderStatus.CANCELLED

    @property
    def _asks_again(self) -> bool:
        return self._asked and self._failed

    @property
    def _unfinished(self) -> bool:
        return bool(self.order.owed) or self._close_account

    def _end(self, refund: Refund, kind: HistoryKind) -> None:
        self._refunds.append(refund)
        self._failed |= kind is HistoryKind.REFUND_FAILED
        self.order = replace(self.order, owed=self.order.owed.less(refund.amount))
        self.write(kind, _refund_data(refund))


def _refund_data(refund: Refund) -> dict[str, object]:
    data: dict[str, object] = {
        "refund": refund.id,
        "amount": refund.amount.minor,
        "currency": refund.amount.currency,
        "reason": refund.reason,
    }
    if refund.failure is not None:
        data["failure"] = refund.failure
    return data
