"""Refunds of ours held against the gateway's cancellations, one to one: what stands on one side alone is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.ids import RefundId
from domain.money import Money
from domain.payment import Cancellation, CancellationStatus, Payment
from domain.refund import QUOTE, Refund, RefundStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """A refund, or a cancellation, that the other side does not bear out: how much, and ``why``, in a sentence."""

    amount: Money
    why: str


def unmatched(refunds: Sequence[Refund], payment: Payment) -> list[Unmatched]:
    """What does not add up between ``refunds``, all that there are of one order, and the record of its payment.

    A cancellation belongs to the refund that knows its id, else to one that it quotes with the refund's own sum; to
    one only. Where no money moved, and in what is still under way, there is nothing to tell.
    """
    pairs, others = _paired(refunds, payment.cancellations)
    found = [told for refund in refunds if (told := _held(refund, pairs.get(refund.id))) is not None]
    found += [told for other in others if (told := _explained(other, refunds, pairs)) is not None]
    ours = sum(_asked(refund).minor for refund in refunds if refund.status is RefundStatus.SUCCEEDED)
    if not found and ours > payment.went_back.minor:
        more = Money(ours - payment.went_back.minor, payment.total.currency)
        why = f"refunds of {Money(ours, payment.total.currency)} are SUCCEEDED, and {payment.went_back} went back"
        found.append(Unmatched(amount=more, why=why))
    return found


def _paired(
    refunds: Sequence[Refund], cancellations: Sequence[Cancellation]
) -> tuple[dict[RefundId, Cancellation], list[Cancellation]]:
    """Each refund's cancellation, and the cancellations that are nobody's."""
    pairs: dict[RefundId, Cancellation] = {}
    others = list(cancellations)
    for known in (True, False):  # by id first: what only quotes a refund is not its own where one is that it knows
        for refund in refunds:
            fits = [c for c in others if (c.id == refund.cancellation_id if known else _fits(c, refund))]
            if refund.id not in pairs and fits:
                pairs[refund.id] = max(fits, key=lambda c: (c.status is CancellationStatus.SUCCEEDED, c.may_move_money))
                others.remove(pairs[refund.id])
    return pairs, others


def _fits(cancellation: Cancellation, refund: Refund) -> bool:
    return cancellation.quotes(refund.id) and cancellation.amount == _asked(refund)


def _asked(refund: Refund) -> Money:
    return refund.sent.amount if refund.sent is not None else refund.amount


def _held(refund: Refund, cancellation: Cancellation | None) -> Unmatched | None:
    """What is wrong with a refund, given its cancellation."""
    ours = f"refund {refund.id} of {refund.amount} is {refund.status}"
    why = None
    if cancellation is None:
        if refund.status is RefundStatus.SUCCEEDED:
            why = f"{ours}, and the gateway lists no such cancellation"
    elif cancellation.may_move_money and cancellation.amount != _asked(refund):
        why = f"{ours}, and its cancellation is of {cancellation.amount}"
    elif refund.status is not RefundStatus.REQUESTED:
        done = refund.status is RefundStatus.SUCCEEDED
        if done is not (cancellation.status is CancellationStatus.SUCCEEDED):
            why = f"{ours}, and its cancellation is {cancellation.status}"
    return None if why is None else Unmatched(amount=refund.amount, why=why)


def _explained(other: Cancellation, refunds: Sequence[Refund], pairs: dict[RefundId, Cancellation]) -> Unmatched | None:
    """What is wrong with a cancellation that is no refund's: nothing, unless it claims to be."""
    if not other.may_move_money or not QUOTE.search(other.reason):
        return None
    quoted = next((refund for refund in refunds if other.quotes(refund.id)), None)
    if quoted is None:
        why = f"a cancellation of {other.amount} quotes a refund that we do not know"
    elif quoted.id in pairs and other.amount == _asked(quoted):
        why = f"a second cancellation of {other.amount} quotes refund {quoted.id}"
    else:
        why = f"a cancellation of {other.amount} quotes refund {quoted.id}, which is of {_asked(quoted)}"
    return Unmatched(amount=other.amount, why=why)
