"""Every payment as it stands, and as it stood at every moment before; whoever wants to hears of each change."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from fake_portone.ledger.moments import LedgerClock, Stamps
from fake_portone.ledger.records import PUNCTUAL, Cancelled, Dating, Happening, PaymentRecord, Status

_NAMES = uuid.UUID("6f7a1d0e-52a7-4a27-9a0b-7d3e9a3c51f4")


class Payments:
    """The records of one account. ``kept`` hears of every change, ``announce`` of all that a webhook is sent for.

    Ids follow from ``seed``, the payment's id and the moment: repeatable on a repeated clock, new after a restart.
    """

    def __init__(
        self,
        *,
        clock: LedgerClock,
        seed: int,
        announce: Callable[[Happening], None],
        kept: Callable[[PaymentRecord], None],
    ) -> None:
        self._clock = clock
        self._seed = seed
        self._announce = announce
        self._kept = kept
        self._stamps = Stamps(clock)
        self._records: dict[str, PaymentRecord] = {}
        self._past: dict[str, list[tuple[float, PaymentRecord]]] = {}
        self._heard_of: dict[str, None] = {}
        self.changes = 0

    def get(self, payment_id: str) -> PaymentRecord | None:
        """The payment of this id; None if no window was opened for it."""
        return self._records.get(payment_id)

    def all(self) -> list[PaymentRecord]:
        """All payments, the first opened first."""
        return list(self._records.values())

    def heard_of(self) -> list[str]:
        """Every id that anybody spoke of, the first heard of first."""
        return list(self._heard_of)

    def hear_of(self, payment_id: str) -> None:
        """Somebody speaks of this id."""
        self._heard_of.setdefault(payment_id)

    def as_it_was(self, payment: PaymentRecord, seconds: float) -> PaymentRecord | None:
        """This payment as it stood so many seconds of the clock ago; None if there was none then."""
        then = self._clock.elapsed() - seconds
        return next((record for at, record in reversed(self._past[payment.id]) if at <= then), None)

    def stamp(self) -> datetime:
        """The date of the next change."""
        return self._stamps.next()

    def name(self, payment_id: str, what: str, at: datetime) -> str:
        """An id for something new of this payment."""
        return name_of(self._seed, payment_id, what, at.isoformat())

    def keep(self, payment: PaymentRecord) -> PaymentRecord:
        """This is how it stands from now on."""
        self._records[payment.id] = payment
        self.changes += 1
        self.hear_of(payment.id)
        self._past.setdefault(payment.id, []).append((self._clock.elapsed(), payment))
        self._kept(payment)
        return payment

    def move(
        self, payment: PaymentRecord, status: Status, now: datetime | None = None, dating: Dating = PUNCTUAL
    ) -> PaymentRecord:
        """It has another status from now on."""
        now = now or self.stamp()
        at = dating.of(payment, status, now)
        updated_at = at if dating.updated else now
        return self.keep(replace(payment, status=status, updated_at=updated_at, status_changed_at=at))

    def tell(self, kind: str, payment: PaymentRecord) -> PaymentRecord:
        """The shop is to hear of it."""
        self._announce(Happening(type=kind, payment=payment, at=payment.updated_at))
        return payment

    def tell_cancelled(self, kind: str, payment: PaymentRecord, cancellation: Cancelled) -> None:
        """The shop is to hear of a cancellation, unless whoever asked for it did not want that."""
        if not cancellation.skip_webhook:
            self._announce(
                Happening(type=kind, payment=payment, at=payment.updated_at, cancellation_id=cancellation.id)
            )


def name_of(seed: int, *parts: object) -> str:
    """An id in PortOne's style that follows from ``parts``."""
    return str(uuid.uuid5(_NAMES, "/".join(map(str, (seed, *parts)))))
