"""A revision of one order: each step that changes it, with the history entry, refund and next check it calls for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain import schedule
from domain.attention import Attention, AttentionKind, Concern
from domain.decision import Decision
from domain.history import HistoryEntry, HistoryKind
from domain.ids import RefundId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Observed, Order
from domain.payment import CancellationStatus, Payment
from domain.policy import Policy
from domain.refund import Need, Refund, RefundStatus, known_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """All that one decision changed, to be committed together.

    ``refunds`` are the rows that are new or changed. ``restock``: the held products go back on sale.
    ``close_account``: after the commit, the virtual account should be closed at the gateway. ``is_stale``: the record
    knew less than we do, and nothing may be concluded from it.
    """

    order: Order
    entries: tuple[HistoryEntry, ...] = ()
    refunds: tuple[Refund, ...] = ()
    restock: bool = False
    close_account: bool = False
    is_stale: bool = False


class Revision:
    """One order in the making, and the record of what was done to it."""

    def __init__(self, order: Order, now: datetime, policy: Policy, payment: Payment | None = None) -> None:
        self.order = order
        self._policy = policy
        self._before = order
        self._now = now
        self._payment = payment
        self._entries: list[HistoryEntry] = []
        self._refunds: list[Refund] = []
        self._asked = self._failed = False
        self._late: set[RefundId] = set()

    def write(self, kind: HistoryKind, data: Mapping[str, object]) -> None:
        """Note what happened, as the order stands now."""
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
        observed = _observed(payment, before)
        self.order = replace(before, observed=observed)
        if payment.captured is not None and not before.contradicts(payment):
            went_back = payment.went_back
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
        if observed.disputed is not (seen is not None and seen.disputed):
            self.write(HistoryKind.DISPUTED if observed.disputed else HistoryKind.DISPUTE_ENDED, {})

    def hear(self, *, announces_more: bool | None) -> None:
        """Remember that a signed webhook told of more than the record shows, or (False) that the record shows it."""
        if announces_more is None:
            return
        since = self.order.announced_at or self._now
        self.order = replace(self.order, announced_at=since if announces_more else None)

    def await_refunds(self, refunds: Sequence[Refund]) -> None:
        """Notice which refunds are not done in the time that was promised, whatever the record says or is silent of."""
        promised = self._now - self._policy.refund_promise
        late = (r.id for r in refunds if r.status is RefundStatus.REQUESTED and r.requested_at <= promised)
        self._late = set(late)

    def resolve(self, payment: Payment, refunds: Sequence[Refund]) -> None:
        """See what became of the refunds that were asked for; those the gateway is working on come first."""
        if payment.captured is None or self.order.contradicts(payment):
            return
        left = payment.captured.less(self.order.refunded)
        taken = known_names(refunds)
        requested = [refund for refund in refunds if refund.status is RefundStatus.REQUESTED]
        for refund in sorted(requested, key=lambda r: r.found_in(payment) is None):
            cancellation = refund.found_in(payment)
            if cancellation is not None and cancellation.status is CancellationStatus.SUCCEEDED:
                self._end(refund.succeeded(self._now), HistoryKind.REFUND_SUCCEEDED)
            elif cancellation is not None and cancellation.status is CancellationStatus.FAILED:
                self._end(refund.failed("the gateway could not carry it out", self._now), HistoryKind.REFUND_FAILED)
            elif refund.amount > left and refund.may_be_done(payment, taken):  # by one of its sum that names nobody
                if (stand_in := refund.stand_in(payment, taken)) is not None and refund.cancellation_id is None:
                    taken.add(stand_in.id)
                    refund = refund.answered(stand_in.id)  # noqa: PLW2901 - the same one, by its name
                self._end(refund.succeeded(self._now), HistoryKind.REFUND_SUCCEEDED)
            elif refund.amount > left:
                self._end(refund.failed("less than this is left at the gateway", self._now), HistoryKind.REFUND_FAILED)
            else:
                left = left - refund.amount

    def transition(self, decision: Decision) -> None:
        """Go over into the state that was decided."""
        if decision.status is self.order.status:
            return
        self.order = replace(self.order, status=decision.status, reason=decision.reason)
        data: dict[str, object] = {}
        if decision.reason is not None:
            data["reason"] = decision.reason.value
        if decision.differs:
            data["differs"] = list(decision.differs)
        self.write(HistoryKind(decision.status.value.lower()), data)

    def give_away(self) -> None:
        """There is nothing to pay."""
        self.order = replace(self.order, captured=self.order.price, check_at=None)
        self.transition(Decision(status=OrderStatus.COMPLETED))

    def give_back_rest(self, refund_id: RefundId) -> None:
        """Owe back all that is left, if anything is, and unless the gateway refused: then it is for a person."""
        if self.order.refundable and not self.order.by_hand:
            self.ask_back(self.order.refundable, refund_id, f"order {self.order.reason}", "gyeolje")

    def ask_back(
        self, amount: Money, refund_id: RefundId, reason: str, requested_by: str, needs: Need | None = None
    ) -> None:
        """Owe ``amount`` back, by a refund of its own."""
        refund = Refund(
            id=refund_id,
            order_id=self.order.id,
            amount=amount,
            reason=reason,
            requested_by=requested_by,
            requested_at=self._now,
            needs=needs,
        )
        self._refunds.append(refund)
        self._asked = True
        self.order = replace(self.order, owed=self.order.owed + amount)
        self.write(HistoryKind.REFUND_REQUESTED, _refund_data(refund))

    def ask_person(self, concern: Concern | None) -> None:
        """Ask for a person, or take the question back once nothing is wrong or unfinished any more.

        What only a person can end stays as it is, whatever else comes up.
        """
        concern, asked = concern or self._own_concern(), self.order.attention
        if asked is not None and asked.stays and not (concern is not None and concern.stays):
            return
        if concern is None:
            if not self._unfinished:
                self.order = replace(self.order, attention=None)
            return
        if asked is None or not asked.is_about(concern):
            attention = Attention(kind=concern.kind, why=concern.why, since=self._now)
            both = asked.with_another(concern) if asked is not None and asked.stays else attention
            self.order = replace(self.order, attention=both)
            self.write(HistoryKind.ATTENTION, {"kind": concern.kind.value, "why": concern.why})

    def end_attention(self, by: str, note: str) -> None:
        """A person has seen to it."""
        assert self.order.attention is not None  # noqa: S101 - narrowing: the caller has seen it
        kind, seen = self.order.attention.kind, self.order.observed
        if kind is AttentionKind.DISPUTED and seen is not None:  # a record that is silent of disputes begins none
            seen = replace(seen, disputed=False)
        self.order = replace(self.order, attention=None, observed=seen)
        self.write(HistoryKind.ATTENTION_ENDED, {"kind": kind.value, "by": by, "note": note})

    def end_refund(self, refund: Refund, needs: Need | None = None) -> None:
        """``refund`` will not be carried out: its sum is free again."""
        self._end(refund, _ENDED[refund.status])
        if needs is not None:
            self.order = replace(self.order, by_hand=True)
            why = f"the gateway refuses a refund of {refund.amount}: {refund.failure}{_HELP[needs]}"
            self.ask_person(Concern(kind=AttentionKind.REFUND_REFUSED, why=why))

    def ask_about_rest(self) -> None:
        """Ask a person about what must not be kept, and what nobody will ask back by himself."""
        if self.order.status is OrderStatus.CANCELLED and self.order.by_hand and self.order.refundable:
            why = f"{self.order.refundable} is left that must not be kept; the gateway refused to give it back before"
            self.ask_person(Concern(kind=AttentionKind.REFUND_REFUSED, why=why))

    def keep_refund(self, refund: Refund) -> None:
        """``refund`` has come further, and is not at its end."""
        self._refunds.append(refund)

    def schedule(self, *, on_schedule: bool, puzzled: bool = False) -> None:
        """Plan the next check anew where there is news. Without any, only the check that was due plans the next."""
        before = self._before
        self.order = replace(self.order, failures=before.failures if self._unfinished else 0)
        if self._entries and not self._asks_again:
            order = replace(self.order, checks=0)
        elif not on_schedule:
            return
        else:
            order = replace(self.order, checks=before.checks + 1)
        at_once = self._asked and not self._failed
        check_at = (
            self._now
            if at_once
            else schedule.next_check(order, self._payment, self._now, self._policy, puzzled=puzzled)
        )
        self.order = replace(order, check_at=check_at)

    def close(self) -> Reconciliation:
        """All of it, to be committed together."""
        return Reconciliation(
            order=self.order,
            entries=tuple(self._entries),
            refunds=tuple(self._refunds),
            restock=self._restock,
            close_account=self._close_account,
        )

    @property
    def _restock(self) -> bool:
        """Whether the goods go back on sale: those that were handed out may be with the buyer."""
        before, after = self._before, self.order
        if after.status is not OrderStatus.CANCELLED or before.status is OrderStatus.CANCELLED:
            return False
        if before.status is OrderStatus.PENDING:
            return True
        return after.reason is CancelReason.REFUNDED and self._policy.restock_cancelled

    @property
    def _close_account(self) -> bool:
        waits = self._payment is not None and self._payment.waits_for_deposit
        return waits and self.order.status is OrderStatus.CANCELLED

    def _own_concern(self) -> Concern | None:
        if self._asks_again:
            return Concern(kind=AttentionKind.REFUND_FAILED, why="a refund failed; it is asked for again")
        is_by_hand = self.order.by_hand and bool(self.order.refundable)
        if self._failed and (self.order.status is OrderStatus.COMPLETED or is_by_hand):
            why = "a refund that was asked for failed; ask again if it is still wanted"
            return Concern(kind=AttentionKind.REFUND_REFUSED, why=why)
        if self._late - {refund.id for refund in self._refunds}:  # none of those that have just come to their end
            why = f"{self.order.owed} is owed back for longer than promised: see the payment provider's console"
            return Concern(kind=AttentionKind.REFUND_LATE, why=why)
        was_closed = self._close_account and self._before.status is OrderStatus.CANCELLED
        if was_closed and self._now >= self.order.expires_at + self._policy.pending_most:
            why = "its account was closed, and the gateway still says that it waits for a deposit"
            return Concern(kind=AttentionKind.CONTRADICTION, why=why)
        return None

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


_ENDED = {
    RefundStatus.SUCCEEDED: HistoryKind.REFUND_SUCCEEDED,
    RefundStatus.FAILED: HistoryKind.REFUND_FAILED,
    RefundStatus.REFUSED: HistoryKind.REFUND_REFUSED,
    RefundStatus.WITHDRAWN: HistoryKind.REFUND_WITHDRAWN,
}
_HELP = {
    Need.ACCOUNT: "; name the buyer's account and ask again",
    Need.TAX_PART: "; divide it otherwise into taxed and untaxed and ask again",
    Need.WORD: "",
    Need.NOTHING: "; give it back outside the gateway, and say so",
}


def _is_disputed(payment: Payment | Observed, seen: Observed) -> bool:
    """Whether the buyer denies it: a record that says nothing of disputes ends none."""
    return seen.disputed if payment.disputed is None else payment.disputed


def _observed(payment: Payment, order: Order) -> Observed:
    """What is kept of a record. One that denies what was captured says neither when that was, nor of disputes."""
    seen = order.observed or Observed(said="")
    knows = seen if order.captured is not None and payment.captured != order.captured else payment
    known = seen if payment.attempt == seen.attempt else knows  # as far as its own record is not dated
    return Observed(
        said=payment.said,
        attempt=payment.attempt,
        changed_at=knows.changed_at or known.changed_at,
        updated_at=knows.updated_at or known.updated_at,
        went_back=payment.went_back.minor if payment.captured is not None else None,
        deposit_due=payment.deposit_due,
        disputed=_is_disputed(knows, seen),
    )


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
