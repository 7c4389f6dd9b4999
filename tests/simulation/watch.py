"""How long things have been wrong while nothing stood in the way: whoever paid waits minutes, and nobody in silence.

Time counts only while the world is fair: PortOne's records say how things are, it and the database answer, and some
process is at work with a clock that is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.attention import AttentionKind
from domain.lifecycle import OrderStatus
from domain.refund import RefundStatus
from fake_portone.ledger import CAPTURED, PaymentRecord, Status
from simulation.given_back import went_back
from simulation.kept import Kept
from simulation.properties import Property

if TYPE_CHECKING:
    from simulation.world import World

EVERY = 60.0  # seconds between two rounds
_MINUTE, _HOUR = 60.0, 3600.0
_CHECKED = 12 * _MINUTE  # docs/attention.md: between two checks, of which one may have begun with a dead process
_CHECKED_FOR_DEPOSIT = 45 * _MINUTE
_PUZZLED = 80 * _MINUTE  # whoever asks for a person may be checked once an hour
_CHECKED_LATE = 30 * _HOUR
_PROMISED = 26 * _HOUR
_SWEPT = 8 * _HOUR  # the last days are swept again every six


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that may be so for a while: which property says for how many ``seconds``."""

    property: Property
    what: str
    seconds: float


@dataclass(slots=True)
class Watch:
    """Goes round once a minute, and remembers since when each order has been wrong in which way."""

    world: World
    told: dict[str, set[str]] = field(default_factory=dict)  # payment → cancellations that a webhook told of
    paid: set[str] = field(default_factory=set)  # payments that a webhook said were paid
    _since: dict[tuple[str, str], float] = field(default_factory=dict)

    def hear(self, kind: str, payment_id: str | None, cancellation_id: str | None) -> None:
        """The shop has kept a webhook that says so, and was told the truth, or is as soon as it asks."""
        if payment_id is None or self.world.is_lied_to():
            return
        if kind == "Transaction.Paid":
            self.paid.add(payment_id)
        if kind in ("Transaction.Cancelled", "Transaction.PartialCancelled") and cancellation_id is not None:
            self.told.setdefault(payment_id, set()).add(cancellation_id)

    def go_round(self) -> None:
        """Judge every order by how long it has been wrong by now."""
        now, fair_since = self.world.seconds(), self.world.fair_since()
        seen: set[tuple[str, str]] = set()
        for kept in list(self.world.judge.known.values()):
            self.world.judge.gave_back(kept.order.payment_id)
            for wrong in self._wrongs(kept):
                key = (str(kept.order.id), wrong.what)
                seen.add(key)
                began = max(self._since.setdefault(key, now), fair_since)
                if now - began > wrong.seconds:
                    name = self.world.story.called(kept.order.id)
                    self.world.judge.broken(wrong.property, f"{name} {wrong.what} for {(now - began) / 60:.0f} minutes")
        for key in self._since.keys() - seen:
            del self._since[key]

    def _wrongs(self, kept: Kept) -> list[Wrong]:
        record = self.world.judge.record(kept.order.payment_id)
        found = [self._unnoticed(kept, record), self._unpaid(kept, record), self._owed(kept), self._unchecked(kept)]
        if record is not None and record.status in CAPTURED:
            found.append(self._kept_back(kept, record))
        return [wrong for wrong in found if wrong is not None]

    def _unnoticed(self, kept: Kept, record: PaymentRecord | None) -> Wrong | None:
        """The gateway took money, or gave it back, and the order does not know."""
        order = kept.order
        if record is None or record.status not in CAPTURED:
            return None
        if order.captured is None:
            usual = _CHECKED_FOR_DEPOSIT if record.account else _CHECKED
            usual = _PUZZLED if order.attention is not None else usual
            is_awaited = order.status is OrderStatus.PENDING or record.id in self.paid
            return Wrong(Property.PROMPT, "is paid and does not know it", usual if is_awaited else _CHECKED_LATE)
        if order.refunded.minor < went_back(record, self.told.get(record.id, set())):
            return Wrong(Property.PROMPT, "was told that money went back, and does not know it", _CHECKED)
        if order.refunded.minor > self.world.judge.balance(record.id).cancelled and not kept.was_asked(
            AttentionKind.MONEY_CAME_BACK
        ):
            return Wrong(Property.TOLD, "has money that came back, and nobody was told", _SWEPT)
        return None

    def _unpaid(self, kept: Kept, record: PaymentRecord | None) -> Wrong | None:
        """The buyer's time is up, and nothing happens."""
        order = kept.order
        if order.status is not OrderStatus.PENDING or order.attention is not None:
            return None
        late = (self.world.now() - order.expires_at).total_seconds() - self._longer(record)
        if late < 0 or (record is not None and record.status in CAPTURED):
            return None
        usual = _CHECKED_FOR_DEPOSIT if record is not None and record.account else _CHECKED
        return Wrong(Property.SILENT, "is unpaid beyond its time, and nobody is asked", usual)

    def _longer(self, record: PaymentRecord | None) -> float:
        """By how many seconds its time is longer than it seemed when it was placed."""
        policy, announced = self.world.policy, self.world.policy.announced_most.total_seconds()
        if record is not None and record.status is Status.VIRTUAL_ACCOUNT_ISSUED and policy.deposit_within is not None:
            return policy.deposit_within.total_seconds()
        return 30.0 if record is not None and record.status is Status.PAY_PENDING else announced + 30.0

    def _owed(self, kept: Kept) -> Wrong | None:
        for refund in kept.refunds:
            if refund.status is RefundStatus.REQUESTED and refund.id in self.world.judge.carried_out:
                return Wrong(Property.PROMPT, "was told that a refund was done, and does not know it", _PUZZLED)
        if kept.order.owed and kept.order.attention is None:
            return Wrong(Property.SILENT, "owes money for longer than promised, and nobody is asked", _PROMISED)
        return None

    def _unchecked(self, kept: Kept) -> Wrong | None:
        at = kept.order.check_at
        if at is not None and (self.world.now() - at).total_seconds() > _CHECKED:
            return Wrong(Property.PROMPT, "is due, and is not checked", _CHECKED)
        return None

    def _kept_back(self, kept: Kept, record: PaymentRecord) -> Wrong | None:
        """Money that must not be kept is with us, and nobody is to give it back."""
        order = kept.order
        if order.status is not OrderStatus.CANCELLED or order.captured is None or order.attention is not None:
            return None
        balance = self.world.judge.balance(record.id)
        if order.owed or not balance.net or order.refunded.minor > balance.cancelled:
            return None
        return Wrong(Property.SILENT, "keeps money of a cancelled order, and nobody is asked", _CHECKED)
