"""What a person is asked about. ``docs/attention.md`` says of each kind when, within what time, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class AttentionKind(StrEnum):
    """Everything an order can ask a person about."""

    UNKNOWN_STATUS = "unknown_status"
    UNKNOWN_CHANNEL = "unknown_channel"
    CONTRADICTION = "contradiction"
    DIFFERENT_PAYMENT = "different_payment"
    CHECKS_FAIL = "checks_fail"
    PENDING_LONG = "pending_long"
    REFUND_FAILED = "refund_failed"
    REFUND_LATE = "refund_late"
    REFUND_REFUSED = "refund_refused"
    REFUND_UNCLEAR = "refund_unclear"
    PART_GONE_FIRST = "part_gone_first"
    MONEY_CAME_BACK = "money_came_back"
    CHARGED_BACK = "charged_back"
    DISPUTED = "disputed"


_WHY_MOST = 1000  # characters of several questions together

ENDED_BY_A_PERSON = frozenset(
    {
        AttentionKind.REFUND_REFUSED,
        AttentionKind.REFUND_UNCLEAR,
        AttentionKind.PART_GONE_FIRST,
        AttentionKind.MONEY_CAME_BACK,
        AttentionKind.CHARGED_BACK,
    }
)
"""What no record of the gateway's takes back: it stands until a person has answered it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """Something to ask a person about: which kind, and ``why`` in a sentence."""

    kind: AttentionKind
    why: str

    @property
    def stays(self) -> bool:
        """Whether only a person ends it."""
        return self.kind in ENDED_BY_A_PERSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """A person is being asked, since ``since``."""

    kind: AttentionKind
    why: str
    since: datetime

    @property
    def stays(self) -> bool:
        """Whether only a person ends it."""
        return self.kind in ENDED_BY_A_PERSON

    def is_about(self, concern: Concern) -> bool:
        """Whether it asks this very thing already; why checks keep failing may change from one to the next."""
        if self.kind is AttentionKind.CHECKS_FAIL:
            return concern.kind is self.kind
        return concern.why in self.why and (self.kind is concern.kind or self.stays)

    def with_another(self, concern: Concern) -> Attention:
        """This question with another one behind it: neither is lost before a person has answered."""
        return replace(self, why=f"{self.why}; {concern.why}"[:_WHY_MOST])
