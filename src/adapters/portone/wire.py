"""PortOne's REST answers as they stand on the wire, and how they become values of ours.

PortOne adds fields, enum words and cases at any time (developers.portone.io, api/backward-compatibility): unknown
fields are ignored and every word is read as text. What decides about money must be there and of its type, else the
whole answer is unusable; what only adds detail (times, the attempt, the method) may be missing or strange.

Field names and which of them are required: PortOne's OpenAPI document 1.16.0, ``Payment`` and ``PaymentCancellation``.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from application.errors import GatewayUnavailableError, Refusal, UnreadableRecordError
from application.ports import ChangedPage
from domain.errors import InvalidMoneyError
from domain.money import Money
from domain.payment import UNREADABLE, Cancellation, CancellationStatus, Payment, PaymentStatus

_STATUSES = {status.value: status for status in PaymentStatus} | {
    "PENDING": PaymentStatus.PAY_PENDING  # the list filter's spelling of what the record calls PAY_PENDING
}
_CANCELLATION_STATUSES = {status.value: status for status in CancellationStatus}
REFUSALS = {
    "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN": Refusal.MOVED,
    "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT": Refusal.MOVED,
    "INVALID_REQUEST": Refusal.MALFORMED,
    "CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT": Refusal.TAX_PART,
    "CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT": Refusal.TAX_PART,
    "SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT": Refusal.TAX_PART,
    "MAX_CANCEL_COUNT_REACHED": Refusal.NEVER,
    "NEGATIVE_PROMOTION_ADJUSTED_CANCEL_AMOUNT": Refusal.NEVER,
    "PROMOTION_DISCOUNT_RETAIN_OPTION_SHOULD_NOT_BE_CHANGED": Refusal.NEVER,
}
"""What follows from PortOne's words for why it does not cancel (OpenAPI document 1.16.0, ``CancelPaymentError``).

Any other word is one of another time: it may be new, and mean anything.
"""

_BY_ACCOUNT = "PaymentMethodVirtualAccount"
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class _Amount(msgspec.Struct, frozen=True, rename="camel"):
    total: int
    cancelled: int
    paid: int | None = None
    tax_free: int | None = None
    cancelled_tax_free: int | None = None


class _Channel(msgspec.Struct, frozen=True):
    type: str | None = None


class _Cancellation(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    status: str
    total_amount: int
    reason: str = ""
    trigger: object = None
    requested_at: object = None

    def read(self, currency: str) -> Cancellation:
        return Cancellation(
            id=self.id,
            status=_CANCELLATION_STATUSES.get(self.status, CancellationStatus.UNKNOWN),
            amount=Money(self.total_amount, currency),
            reason=self.reason,
            charged_back=self.trigger == "CHARGEBACK",
            requested_at=instant(self.requested_at),
        )


class _Payment(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    status: str
    amount: _Amount
    currency: str
    store_id: str | None = None
    channel: _Channel | None = None
    cancellations: tuple[_Cancellation, ...] | None = None
    transaction_id: object = None
    status_changed_at: object = None
    updated_at: object = None
    method: object = None
    disputes: object = None

    def read(self) -> Payment:
        status = _STATUSES.get(self.status, PaymentStatus.UNKNOWN)
        return Payment(
            id=self.id,
            status=status,
            said=self.status,
            total=Money(self.amount.total, self.currency),
            cancelled=Money(self.amount.cancelled, self.currency),
            store_id=self.store_id,
            channel_type=self.channel.type if self.channel else None,
            attempt=self.transaction_id if isinstance(self.transaction_id, str) else None,
            changed_at=instant(self.status_changed_at),
            updated_at=instant(self.updated_at),
            deposit_due=self._deposit_due(status),
            cancellations=tuple(c.read(self.currency) for c in self.cancellations or ()),
            paid=self._part(self.amount.paid),
            tax_free=self._part(self.amount.tax_free),
            cancelled_tax_free=self._part(self.amount.cancelled_tax_free),
            by_account=isinstance(self.method, dict) and self.method.get("type") == _BY_ACCOUNT,
            disputed=_is_disputed(self.disputes),
        )

    def _part(self, minor: int | None) -> Money | None:
        return None if minor is None else Money(minor, self.currency)

    def _deposit_due(self, status: PaymentStatus) -> datetime | None:
        if status is not PaymentStatus.VIRTUAL_ACCOUNT_ISSUED or not isinstance(self.method, dict):
            return None
        return instant(self.method.get("expiredAt"))


def _is_disputed(disputes: object) -> bool | None:
    """Whether any of the disputes is not resolved: any word but RESOLVED means that it goes on.

    None where the record has no list of them, as only that of a PAID payment does.
    """
    listed = disputes if isinstance(disputes, list) else None
    return (
        None
        if listed is None
        else any(isinstance(dispute, dict) and dispute.get("status") != "RESOLVED" for dispute in listed)
    )


class _Cancelled(msgspec.Struct, frozen=True):
    cancellation: _Cancellation


class _Counted(msgspec.Struct, frozen=True, rename="camel"):
    total_count: Annotated[int, msgspec.Meta(ge=0)]


class _Page(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw]
    page: _Counted


class _Refusal(msgspec.Struct, frozen=True):
    type: str


class _Named(msgspec.Struct, frozen=True):
    id: str


_payment = msgspec.json.Decoder(_Payment)
_cancelled = msgspec.json.Decoder(_Cancelled)
_page = msgspec.json.Decoder(_Page)
_refusal = msgspec.json.Decoder(_Refusal)
_named = msgspec.json.Decoder(_Named)

# Everything that decoding foreign bytes can end in: UnicodeDecodeError is a ValueError, deep nesting a RecursionError.
_UNREADABLE_BYTES = (msgspec.MsgspecError, ValueError, RecursionError, InvalidMoneyError)


def read_payment(body: bytes | msgspec.Raw) -> Payment:
    """One payment record. Raises UnreadableRecordError."""
    try:
        return _payment.decode(_utf8(body)).read()
    except _UNREADABLE_BYTES as error:
        raise UnreadableRecordError("a payment record cannot be read") from error


def read_changed_page(body: bytes) -> ChangedPage:
    """One page of payments, in their order. Raises GatewayUnavailableError if it is none, or has no count.

    A record that cannot be read does not take its neighbours with it: it becomes a payment of UNKNOWN status that
    ``said`` UNREADABLE, so that whoever compares it with an order checks that order by itself.
    """
    try:
        page = _page.decode(_utf8(body))
    except _UNREADABLE_BYTES as error:
        raise GatewayUnavailableError("a page of payments cannot be read") from error
    return ChangedPage(payments=[read_listed(item) for item in page.items], total=page.page.total_count)


def read_listed(item: bytes | msgspec.Raw) -> Payment:
    """One record among others: as UNKNOWN, where it cannot be read."""
    try:
        return read_payment(item)
    except UnreadableRecordError:
        nothing = Money.zero("XXX")  # ISO 4217: no currency
        return Payment(
            id=_name_of(item),
            status=PaymentStatus.UNKNOWN,
            said=UNREADABLE,
            total=nothing,
            cancelled=nothing,
            store_id=None,
            channel_type=None,
        )


def _name_of(item: bytes | msgspec.Raw) -> str:
    """The payment's id; where even that cannot be read, a name that says so, the same each time."""
    try:
        return _named.decode(_utf8(item)).id
    except _UNREADABLE_BYTES:
        return f"unreadable-{hashlib.sha256(item).hexdigest()[:16]}"


def read_cancellation(body: bytes, currency: str) -> Cancellation:
    """The cancellation that an accepted cancel answers with. Raises GatewayUnavailableError."""
    try:
        return _cancelled.decode(_utf8(body)).cancellation.read(currency)
    except _UNREADABLE_BYTES as error:
        raise GatewayUnavailableError("the answer to a cancel cannot be read") from error


def _utf8(body: bytes | msgspec.Raw) -> bytes | msgspec.Raw:
    """``body`` if all of it is UTF-8, else UnicodeDecodeError.

    msgspec does not check what it skips, and a field whose name is damaged is skipped: it would be absent, and an
    absent field can send money back.
    """
    str(body, "utf-8")
    return body


def refusal_code(body: bytes) -> str | None:
    """PortOne's own word for why it refused; None if this is no error of PortOne's."""
    try:
        return _refusal.decode(_utf8(body)).type
    except _UNREADABLE_BYTES:
        return None


def instant(said: object) -> datetime | None:
    """An RFC 3339 time with its offset, in UTC; None for anything else."""
    try:
        return msgspec.convert(said, _Instant).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
