"""Signed webhooks, altered at random: accepted if and only if a key of ours signed exactly these bytes, and just now.

What is left of a message says whether it may be accepted; nothing here verifies a signature.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from adapters.portone.webhook_reader import PortOneWebhookReader
from application.errors import WebhookRefusedError

if TYPE_CHECKING:
    from proof import Cases

NOW = 1_714_039_200
OURS = [base64.b64encode(key).decode() for key in (b"the key that is in use now", b"the key it takes over from")]
STRANGERS = base64.b64encode(b"a key that was never ours").decode()
READER = PortOneWebhookReader(["whsec_" + OURS[0], OURS[1]], lambda: datetime.fromtimestamp(NOW, UTC))
BODIES = [
    b'{"type":"Transaction.Paid","timestamp":"2024-04-25T10:00:00.000Z","data":{"paymentId":"a","storeId":"s"}}',
    b'{"payment_id":"a","status":"Paid","tx_id":"t"}',
    b"payment_id=a&status=Paid&tx_id=t",
    '{"type":"새로운","data":{"paymentId":"가"}}'.encode(),
    b"{}",
]


@dataclass
class Message:
    """A message as it was signed, and as it arrives."""

    signed: tuple[bytes, bytes, bytes]
    in_time: bool
    signature: bytes
    body: bytes
    headers: list[tuple[bytes, bytes]]

    @property
    def is_genuine(self) -> bool:
        """Whether each header that counts is there once, and says with the body what was signed."""
        if not self.in_time:
            return False
        said: dict[bytes, list[bytes]] = {b"webhook-id": [], b"webhook-timestamp": [], b"webhook-signature": []}
        for name, value in self.headers:
            said.get(name.lower(), []).append(value)
        if any(len(values) != 1 for values in said.values()):
            return False
        name, at, signatures = (values[0] for values in said.values())
        sent = signatures.split(b" ")
        return (name, at, self.body) == self.signed and self.signature in sent and len(sent) <= 16


def changed(draw: st.DrawFn, value: bytes) -> bytes:
    """``value`` with something done to it, which may leave it as it is."""
    at = draw(st.integers(0, len(value)))
    piece = draw(
        st.binary(max_size=3) | st.sampled_from([b" ", b"\n", b"\r\n", b"\x00", b"=", b",", b"v1,", b"\xff", b"0"])
    )
    match draw(st.sampled_from(["flip", "insert", "cut", "repeat", "case", "replace"])):
        case "flip":
            return (
                value[:at] + bytes([value[at] ^ (1 << draw(st.integers(0, 7)))]) + value[at + 1 :]
                if at < len(value)
                else value
            )
        case "insert":
            return value[:at] + piece + value[at:]
        case "cut":
            return value[:at]
        case "repeat":
            return value + value
        case "case":
            return value.swapcase()
        case _:
            return draw(st.binary(max_size=80))


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """A signed message, and up to three things done to it."""
    offset = draw(st.sampled_from([0, 1, -1, 299, 300, -299, -300, 301, -301, 10**6, -(10**6)]))
    key = draw(st.sampled_from([*OURS, *OURS, STRANGERS]))
    name, at = draw(st.sampled_from([b"msg_1", b"x", b"!" * 256])), b"%d" % (NOW + offset)
    body = draw(st.sampled_from(BODIES))
    digest = hmac.digest(base64.b64decode(key), b".".join((name, at, body)), hashlib.sha256)
    signature = b"v1," + base64.b64encode(digest)
    headers = [
        (b"host", b"shop.example"),
        (b"webhook-id", name),
        (b"webhook-timestamp", at),
        (b"webhook-signature", signature),
        (b"content-type", b"application/json"),
    ]
    message = Message((name, at, body), key in OURS and abs(offset) <= 300, signature, body, headers)
    for _ in range(draw(st.integers(0, 3))):
        spoil(draw, message)
    return message


def spoil(draw: st.DrawFn, message: Message) -> None:
    """One alteration."""
    headers = message.headers
    match draw(st.sampled_from(["body", "header", "header", "lose", "double", "order", "case", "others", "more"])):
        case "body":
            message.body = changed(draw, message.body)
        case "header":
            place = draw(st.integers(0, len(headers) - 1))
            headers[place] = headers[place][0], changed(draw, headers[place][1])
        case "lose":
            headers.pop(draw(st.integers(0, len(headers) - 1)))
        case "double":
            name, value = draw(st.sampled_from(headers))
            headers.insert(draw(st.integers(0, len(headers))), (name.title(), value))
        case "order":
            message.headers = draw(st.permutations(headers))
        case "case":
            message.headers = [(name.upper(), value) for name, value in headers]
        case "others":
            others = [b"v1,AAAA"] * draw(st.sampled_from([1, 2, 14, 15, 16]))
            message.headers = [
                (name, b" ".join([*others, value]) if name.lower() == b"webhook-signature" else value)
                for name, value in headers
            ]
        case "more":
            headers.append((b"x-" + draw(st.binary(max_size=4)), draw(st.binary(max_size=20))))


@pytest.mark.proves("Only what PortOne signed is believed")
def test_exactly_the_bytes_that_were_signed_are_believed(cases: Cases, *, full: bool) -> None:
    believed = refused = 0

    @settings(
        max_examples=20_000 if full else 1_500,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(message=messages())
    def holds(message: Message) -> None:
        nonlocal believed, refused
        cases.run += 1
        if message.is_genuine:
            believed += 1
            assert READER(message.headers, message.body).id == message.signed[0].decode("ascii")
        else:
            refused += 1
            with pytest.raises(WebhookRefusedError):
                READER(message.headers, message.body)

    holds()
    assert min(believed, refused) > cases.run / 10


@pytest.mark.proves("Only what PortOne signed is believed")
def test_no_bytes_get_anything_but_a_refusal_without_a_key(cases: Cases, *, full: bool) -> None:
    names = st.sampled_from([b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"Webhook-Id"]) | st.binary(
        max_size=20
    )
    values = st.binary(max_size=60) | st.sampled_from(
        [b"msg_1", b"%d" % NOW, b"v1," + b"A" * 43 + b"=", b"v1", b"v1,", b""]
    )

    @settings(max_examples=10_000 if full else 500, derandomize=True, database=None, deadline=None)
    @given(headers=st.lists(st.tuples(names, values), max_size=6), body=st.binary(max_size=200))
    def holds(headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        cases.run += 1
        with pytest.raises(WebhookRefusedError):
            READER(headers, body)

    holds()
