"""PortOne's webhooks: proved over the raw bytes, then read as far as they are understood.

Signature: Standard Webhooks 1.0.0, symmetric ``v1``. Bodies: developers.portone.io, integration/webhook (versions
2024-04-25 and 2024-01-01). A valid signature proves where a message comes from, and nothing of what is so by now.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import parse_qsl

import msgspec

from adapters.portone.wire import instant
from application.errors import WebhookRefusedError
from application.ports import Clock
from domain.ids import WebhookId
from domain.payment import PaymentStatus
from domain.webhook_event import WebhookEvent

UNKNOWN_TYPE = "unknown"
"""The type of a signed event that does not say its own."""

_TOLERANCE = 300  # seconds, either way and inclusive, as in PortOne's own SDKs
_SECRETS_MOST = 2  # as many as PortOne keeps for one environment
_KEY_LEAST = 16  # bytes; PortOne's own test secret has so many
_SIGNATURES_MOST = 16
_FIELDS_MOST = 32
_TEXT_MOST = 256

_ID = re.compile(rb"[\x21-\x7e]{1,256}")
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")
_HEADERS = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")

_CANCELLED = frozenset({PaymentStatus.CANCELLED})
_PARTLY_CANCELLED = _CANCELLED | {PaymentStatus.PARTIAL_CANCELLED}
_CAPTURED = _PARTLY_CANCELLED | {PaymentStatus.PAID}
_APPROVED_LATER = _CAPTURED | {PaymentStatus.FAILED}

_IMPLIES: Mapping[str, frozenset[PaymentStatus]] = {
    # these imply nothing: the next attempt may be anywhere by the time we ask
    "Transaction.Ready": frozenset(),
    "Transaction.Failed": frozenset(),
    "Transaction.PayPending": _APPROVED_LATER | {PaymentStatus.PAY_PENDING},
    "Transaction.VirtualAccountIssued": _APPROVED_LATER | {PaymentStatus.VIRTUAL_ACCOUNT_ISSUED},
    "Transaction.Paid": _CAPTURED,
    "Transaction.CancelPending": _CAPTURED,
    "Transaction.DisputeCreated": _CAPTURED,
    "Transaction.DisputeResolved": _CAPTURED,
    "Transaction.PartialCancelled": _PARTLY_CANCELLED,
    "Transaction.Cancelled": _CANCELLED,
}

_object = msgspec.json.Decoder(dict[str, object])


class PortOneWebhookReader:
    """Reads what PortOne sends, with one secret, or two while they are being exchanged.

    A secret is base64 of at least 16 bytes, with or without ``whsec_``. Raises ValueError for any other, which
    says which one it is and never shows it.
    """

    __slots__ = ("_clock", "_keys")

    def __init__(self, secrets: Sequence[str], clock: Clock) -> None:
        if not 1 <= len(secrets) <= _SECRETS_MOST:
            raise ValueError(f"there must be one webhook secret, or two; there are {len(secrets)}")
        self._keys = tuple(_key(secret, place) for place, secret in enumerate(secrets, start=1))
        self._clock = clock

    def __call__(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> WebhookEvent:
        """See WebhookReader. The reason of a refusal is one of the words used below."""
        name, timestamp, signatures = _only_values(headers)
        if not _ID.fullmatch(name):
            raise WebhookRefusedError("id")
        self._check_time(timestamp)
        self._check_signature(b"%b.%b.%b" % (name, timestamp, body), signatures)
        return _read(WebhookId(name.decode("ascii")), body)

    def _check_time(self, timestamp: bytes) -> None:
        if not _TIMESTAMP.fullmatch(timestamp):
            raise WebhookRefusedError("timestamp")
        age = int(self._clock().timestamp()) - int(timestamp)
        if age > _TOLERANCE:
            raise WebhookRefusedError("too_old")
        if age < -_TOLERANCE:
            raise WebhookRefusedError("too_new")

    def _check_signature(self, signed: bytes, signatures: bytes) -> None:
        """Every signature is compared with every key's, so that the time it takes tells nothing of which one fits.

        They are compared as the base64 they are sent as: of several spellings of the same bytes only one is right,
        and no decoder ever sees what a stranger sent.
        """
        sent = signatures.split(b" ")
        if len(sent) > _SIGNATURES_MOST:
            raise WebhookRefusedError("signature")
        matches = False
        for key in self._keys:
            right = b"v1," + b64encode(hmac.digest(key, signed, "sha256"))
            for signature in sent:
                matches |= hmac.compare_digest(right, signature)
        if not matches:
            raise WebhookRefusedError("signature")


def _key(secret: str, place: int) -> bytes:
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"webhook secret {place} is not base64") from None
    if len(key) < _KEY_LEAST:
        raise ValueError(f"webhook secret {place} has {len(key)} bytes; fewer than {_KEY_LEAST} can be guessed")
    return key


def _only_values(headers: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _HEADERS:
            if lower in found:
                raise WebhookRefusedError("duplicate_header")
            found[lower] = value
    if len(found) < len(_HEADERS):
        raise WebhookRefusedError("missing_header")
    return [found[name] for name in _HEADERS]


def _read(name: WebhookId, body: bytes) -> WebhookEvent:
    try:
        said = _object.decode(body)
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        said = _form(body)
    if "status" in said and "type" not in said:
        return _event_of_2024_01_01(name, said)
    data = said.get("data")
    about = data if isinstance(data, dict) else {}
    return _event(
        name,
        said.get("type"),
        about.get("paymentId"),
        store_id=about.get("storeId"),
        cancellation_id=about.get("cancellationId"),
        occurred_at=instant(said.get("timestamp")),
    )


def _form(body: bytes) -> dict[str, object]:
    """The fields of a form, which version 2024-01-01 can be set to send. Anything else is understood by nobody."""
    try:
        fields = parse_qsl(body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=_FIELDS_MOST)
    except ValueError as error:
        raise WebhookRefusedError("malformed") from error
    said: dict[str, object] = dict(fields)
    if "status" not in said:
        raise WebhookRefusedError("malformed")
    return said


def _event_of_2024_01_01(name: WebhookId, said: Mapping[str, object]) -> WebhookEvent:
    status = said["status"]
    return _event(name, f"Transaction.{status}" if isinstance(status, str) else None, said.get("payment_id"))


def _event(
    name: WebhookId,
    kind: object,
    payment_id: object,
    *,
    store_id: object = None,
    cancellation_id: object = None,
    occurred_at: datetime | None = None,
) -> WebhookEvent:
    known = _text(kind) or UNKNOWN_TYPE
    return WebhookEvent(
        id=name,
        type=known,
        payment_id=_text(payment_id),
        store_id=_text(store_id),
        occurred_at=occurred_at,
        implies=_IMPLIES.get(known, frozenset()),
        cancellation_id=_text(cancellation_id),
        understood=known in _IMPLIES,
    )


def _text(said: object) -> str | None:
    """A short printable text; None for anything else, which is no name of anything of ours."""
    return said if isinstance(said, str) and 0 < len(said) <= _TEXT_MOST and said.isprintable() else None
