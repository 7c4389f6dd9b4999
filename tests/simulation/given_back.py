"""What went back, amount by amount: the ledger's cancellations held against the refunds that asked for them.

The ledger keeps each reason in full, whatever PortOne shows of it: so the judge knows whose cancellation is whose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from domain.ids import RefundId
from domain.refund import Refund, RefundStatus
from fake_portone.ledger import Cancelled, CancelStatus, PaymentRecord
from simulation.properties import Property

Complaint = tuple[Property, str]


@dataclass(slots=True)
class GivenBack:
    """Every cancellation of ours that was ever met, and whether it ever moved money, or might have."""

    stays_to_be_told: bool = False  # what was undone, or quotes us and is not ours, has an audit speak for good
    _moved: dict[str, set[str]] = field(default_factory=dict)  # refund → ids of its cancellations that moved money
    _succeeded: set[str] = field(default_factory=set)
    _undone: set[str] = field(default_factory=set)
    _met: set[str] = field(default_factory=set)
    _by_hand: dict[str, int] = field(default_factory=dict)  # each that somebody else did, and how much it moved

    def meet(self, record: PaymentRecord, refunds: Sequence[Refund]) -> Iterator[Complaint]:
        """Go through the cancellations of a payment, as it stands in the ledger; say what must not be."""
        known = {refund.id: refund for refund in refunds}
        for cancellation in record.cancellations:
            if cancellation.status is CancelStatus.FAILED and cancellation.id in self._succeeded:
                self.stays_to_be_told = True
                self._undone.add(cancellation.id)
            if cancellation.status is CancelStatus.SUCCEEDED:
                self._succeeded.add(cancellation.id)
            if cancellation.trigger != "API":
                self._meet_another(cancellation, known)
                continue
            moved = self._moved.setdefault(refund_of(cancellation), set())
            if cancellation.status is not CancelStatus.FAILED:
                moved.add(cancellation.id)
            elif cancellation.id not in self._succeeded:
                moved.discard(cancellation.id)
            if cancellation.id not in self._met:
                self._met.add(cancellation.id)
                refund = known.get(refund_of(cancellation))  # type: ignore[call-overload]  # a name is a name
                yield from _amount(cancellation, refund, record.cancellable)
        for refund in refunds:
            if (times := self.times(refund.id)) > 1:
                yield Property.ONCE, f"refund {refund.id} was carried out {times} times"

    def _meet_another(self, cancellation: Cancelled, known: Mapping[RefundId, Refund]) -> None:
        """It is somebody else's: it may stand for a refund of its sum, and must not be taken for the one it quotes."""
        self.stays_to_be_told |= refund_of(cancellation) in known
        if cancellation.status is CancelStatus.SUCCEEDED:
            self._by_hand[cancellation.id] = cancellation.amount

    def times(self, refund_id: str) -> int:
        """How often this refund was carried out, or is about to be; once more for each time that came back."""
        return len(self._moved.get(refund_id, ()))

    def ended(self, refunds: Sequence[Refund], *, names_are_kept: bool) -> Iterator[Complaint]:
        """Hold how refunds ended against what went back.

        Where PortOne keeps no names (``names_are_kept``), one that was carried out may be said to have failed. A refund
        is done as well by a cancellation of its very sum that somebody else did and that names nobody: by one each.
        """
        others = list(self._by_hand.values())
        for refund in refunds:
            done = self.times(refund.id)
            if refund.status is RefundStatus.SUCCEEDED and not done:
                if refund.sent is not None and refund.sent.amount.minor in others:
                    others.remove(refund.sent.amount.minor)
                    continue
                yield Property.ONCE, f"refund {refund.id} is SUCCEEDED, and was never carried out"
            if not done or refund.status is RefundStatus.SUCCEEDED or self._moved[refund.id] <= self._undone:
                continue
            if not names_are_kept or refund.status is RefundStatus.WITHDRAWN:
                self.stays_to_be_told = True
            else:
                yield Property.ONCE, f"refund {refund.id} is {refund.status}, and was carried out"


def _amount(cancellation: Cancelled, refund: Refund | None, left: int) -> Iterator[Complaint]:
    """A refund may give back less than it asks for where that is all that was left, and never more."""
    if cancellation.status is CancelStatus.FAILED:
        left -= cancellation.amount  # as it was while it was asked for
    if refund is None:
        yield Property.ONCE, f"a cancellation of {cancellation.amount} that no refund asked for"
    elif cancellation.amount > refund.amount.minor:
        yield Property.AMOUNTS, f"{refund.amount} was asked back, and {cancellation.amount} went back"
    elif cancellation.amount < refund.amount.minor and left:
        yield Property.AMOUNTS, f"{refund.amount} was asked back, and only {cancellation.amount} went back"


def refund_of(cancellation: Cancelled) -> str:
    """The refund that a cancellation of ours names."""
    return cancellation.reason[1:33]


def went_back(record: PaymentRecord, ids: set[str]) -> int:
    """How much these cancellations gave back, those of them that still stand."""
    return sum(c.moved for c in record.cancellations if c.id in ids and c.status is CancelStatus.SUCCEEDED)
