"""PortOne's payments and PortOne's rules for them: pure, synchronous, and the judge of every money test.

``ledger`` is the room's door; behind it ``payments`` keeps the records, ``cancellations`` gives money back, ``book``
counts the money a second time, ``keys`` remembers Idempotency-Keys, and ``rules`` says what is refused.
"""

from fake_portone.ledger.book import Balance, LedgerBrokenError, MoneyBook
from fake_portone.ledger.keys import IdempotencyKeys
from fake_portone.ledger.ledger import Ledger
from fake_portone.ledger.moments import LedgerClock
from fake_portone.ledger.payments import name_of
from fake_portone.ledger.records import (
    CAPTURED,
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
    vat_within,
)
from fake_portone.ledger.rules import RefusedError, invalid

__all__ = [
    "CAPTURED",
    "PUNCTUAL",
    "SMOOTHLY",
    "Balance",
    "Cancel",
    "CancelStatus",
    "Cancelled",
    "Course",
    "Dating",
    "Dispute",
    "Happening",
    "IdempotencyKeys",
    "Ledger",
    "LedgerBrokenError",
    "LedgerClock",
    "MoneyBook",
    "PaymentRecord",
    "Purchase",
    "RefusedError",
    "Status",
    "VirtualAccount",
    "invalid",
    "name_of",
    "vat_within",
]
