"""PortOne's webhooks: from raw bytes to an event that is proved to be PortOne's, or a refusal.

Sources: developers.portone.io, "webhook v2"; the Standard Webhooks specification 1.0.0 (symmetric signatures).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qs

import msgspec

from application.errors import WebhookRefusedError
from application.ports import Clock
from domain.ids import WebhookId
from domain.payment import PaymentStatus
from domain.webhook_event import WebhookEvent

TOLERANCE = 300  # seconds either way, both edges included; as PortOne's own SDKs

_ID, _TIMESTAMP, _SIGNATURE = b"webhook-id", b"webhook-timestamp", b"webhook-signature"
_NAMES = frozenset({_ID, _TIMESTAMP, _SIGNATURE})
_TIME_FORM = re.compile(rb"[0-9]{1,12}")
_ID_FORM = re.compile(rb"[\x21-\x7e]{1,255}")
_SIGNATURES_MOST = 16
_SHORTEST_KEY = 16  # bytes; as many as PortOne's own test key has
_DIGEST = 32  # bytes of an HMAC-SHA256
_TEXT_MOST = 255

_AFTER_PAID = frozenset({PaymentStatus.PAID, PaymentStatus.PARTIAL_CANCELLED, PaymentStatus.CANCELLED})
_AFTER_ISSUED = _AFTER_PAID | {PaymentStatus.VIRTUAL_ACCOUNT_ISSUED}
_NOTHING: frozenset[PaymentStatus] = frozenset()

IMPLIES: dict[str, frozenset[PaymentStatus]] = {
    "Transaction.Ready": _NOTHING,
    "Transaction.Paid": _AFTER_PAID,
    "Transaction.VirtualAccountIssued": _AFTER_ISSUED,
    "Transaction.Failed": _NOTHING,
    "Transaction.PayPending": _NOTHING,
    "Transaction.PartialCancelled": _AFTER_PAID - {PaymentStatus.PAID},
    "Transaction.Cancelled": frozenset({PaymentStatus.CANCELLED}),
    "Transaction.CancelPending": _AFTER_PAID,
    "Transaction.DisputeCreated": _AFTER_PAID,
    "Transaction.DisputeResolved": _AFTER_PAID,
}
"""The types that are about a payment, and the statuses it can have once each has happened."""


class _Data(msgspec.Struct, frozen=True):
    paymentId: object = None  # noqa: N815 - PortOne's name
    storeId: object = None  # noqa: N815 - PortOne's name


class _Body(msgspec.Struct, frozen=True):
    """Both body versions: 2024-04-25 has ``type`` and ``data``; 2024-01-01 has ``payment_id`` and ``status``."""

    type: object = None
    timestamp: object = None
    data: msgspec.Raw = msgspec.Raw()
    payment_id: object = None
    status: object = None


_BODY = msgspec.json.Decoder(_Body)
_DATA = msgspec.json.Decoder(_Data)


class PortOneWebhookReader:
    """Reads webhooks signed with one of ``secrets``: one, or two while they are being changed.

    Raises ValueError where a secret is unusable; it says which, and never shows it.
    """

    def __init__(self, secrets: Sequence[str], clock: Clock) -> None:
        if not secrets:
            raise ValueError("without a webhook secret nothing can be verified: give one, or two while rotating")
        self._keys = [_key(secret, number) for number, secret in enumerate(secrets, start=1)]
        self._clock = clock

    def __call__(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> WebhookEvent:
        """Verify the bytes as received, then read what little of them is of use."""
        found = _webhook_headers(headers)
        webhook_id, timestamp = found[_ID], found[_TIMESTAMP]
        if not _ID_FORM.fullmatch(webhook_id):
            raise WebhookRefusedError("malformed id")
        if not _TIME_FORM.fullmatch(timestamp):
            raise WebhookRefusedError("malformed timestamp")
        offered = _offered(found[_SIGNATURE])
        if not self._is_signed(webhook_id + b"." + timestamp + b"." + body, offered):
            raise WebhookRefusedError("no matching signature")
        age = int(self._clock().timestamp()) - int(timestamp)
        if abs(age) > TOLERANCE:
            raise WebhookRefusedError("timestamp too old" if age > 0 else "timestamp too new")
        return _event(webhook_id.decode("ascii"), body)

    def _is_signed(self, signed: bytes, offered: Sequence[bytes]) -> bool:
        matches = False
        for key in self._keys:
            digest = hmac.digest(key, signed, hashlib.sha256)
            for signature in offered:
                matches |= hmac.compare_digest(digest, signature)
        return matches


def _key(secret: str, number: int) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_").encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError(f"webhook secret {number} is not base64 after `whsec_`: copy it whole") from None
    if len(key) < _SHORTEST_KEY:
        raise ValueError(f"webhook secret {number} is shorter than {_SHORTEST_KEY} bytes: copy it whole")
    return key


def _webhook_headers(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in _NAMES:
            if lowered in found:
                raise WebhookRefusedError("doubled header")
            found[lowered] = value
    if len(found) != len(_NAMES):
        raise WebhookRefusedError("missing header")
    return found


def _offered(header: bytes) -> list[bytes]:
    """The decoded v1 signatures of a header; entries of other versions or shapes count for nothing."""
    entries = header.split(b" ")
    if len(entries) > _SIGNATURES_MOST:
        raise WebhookRefusedError("too many signatures")
    return [signature for entry in entries if (signature := _signature(entry)) is not None]


def _signature(entry: bytes) -> bytes | None:
    version, _, encoded = entry.partition(b",")
    if version != b"v1":
        return None
    try:
        signature = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    return signature if len(signature) == _DIGEST else None


def _event(webhook_id: str, body: bytes) -> WebhookEvent:
    read = _read(body)
    if read.type is None and isinstance(read.status, str):
        kind, payment_id, store_id = f"Transaction.{read.status}", read.payment_id, None
    else:
        kind = read.type if isinstance(read.type, str) else ""
        payment_id, store_id = _about(read.data)
    about_a_payment = kind in IMPLIES
    return WebhookEvent(
        id=WebhookId(webhook_id),
        type=_text(kind) or "unknown",
        payment_id=_text(payment_id) if about_a_payment else None,
        store_id=_text(store_id),
        occurred_at=_instant(read.timestamp),
        implies=IMPLIES.get(kind, _NOTHING),
    )


def _read(body: bytes) -> _Body:
    try:
        return _BODY.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    try:
        form = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=16)
        return _Body(payment_id=form["payment_id"][0], status=form["status"][0])
    except (KeyError, ValueError):
        raise WebhookRefusedError("malformed body") from None


def _about(data: msgspec.Raw) -> tuple[object, object]:
    try:
        about = _DATA.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None, None
    return about.paymentId, about.storeId


def _text(value: object) -> str | None:
    """``value`` if it is a text that any database can keep, else None."""
    if not isinstance(value, str) or not 1 <= len(value) <= _TEXT_MOST or not value.isprintable():
        return None
    return value


def _instant(value: object) -> datetime | None:
    if not isinstance(value, str) or len(value) > len("2024-04-25T10:00:00.000000000+00:00"):
        return None
    try:
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
