"""The reader beside two verifiers that others wrote, over twenty thousand spoilt messages.

We accept what both of them accept, except where one of the differences named below applies. Each of them is
intended, and each must be met: a name that explains nothing any more is taken off the list by a red test.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from types import SimpleNamespace

import portone_server_sdk.webhook as portone
import pytest
import standardwebhooks.webhooks as standard

from adapters.portone.webhook_reader import PortOneWebhookReader
from application.errors import WebhookRefusedError

NOW = 1714039200
MESSAGES = 20_000
CURRENT, OLD, STRANGER = (
    "whsec_" + base64.b64encode(hashlib.sha256(word).digest()).decode() for word in (b"current", b"old", b"stranger")
)
PAID = b'{"type":"Transaction.Paid","timestamp":"2024-04-25T10:00:00.000Z","data":{"paymentId":"p","storeId":"s"}}'


@dataclass
class Message:
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        return [value for header, value in self.headers if header.lower() == name]

    def value(self, name: bytes) -> bytes:
        return next(iter(self.values(name)), b"")

    @property
    def signatures(self) -> list[bytes]:
        return self.value(b"webhook-signature").split(b" ")

    def replace(self, name: bytes, change: Callable[[bytes], bytes]) -> None:
        self.headers = [(header, change(value) if header == name else value) for header, value in self.headers]


# --- the three verdicts: does this message come from whoever holds one of the two secrets? -----------------------


def ours(message: Message) -> bool:
    reader = PortOneWebhookReader([CURRENT, OLD], lambda: datetime.fromtimestamp(NOW, UTC))
    try:
        reader(message.headers, message.body)
    except WebhookRefusedError as refused:
        return refused.reason == "malformed"  # proved, and then not understood
    return True


def as_text(message: Message) -> dict[str, str]:
    """What a framework would hand to the others: the first value of each name, in lower case."""
    headers: dict[str, str] = {}
    for name, value in message.headers:
        headers.setdefault(name.lower().decode(), value.decode("utf-8", "surrogateescape"))
    return headers


def standards(message: Message) -> bool:
    def accepts(secret: str) -> bool:
        try:
            standard.Webhook(secret).verify(message.body, as_text(message), json_parse=False)
        except (standard.WebhookVerificationError, ValueError):  # it raises ValueErrors at hostile headers
            return False
        return True

    return accepts(CURRENT) or accepts(OLD)


def portones(message: Message) -> bool:
    def accepts(secret: str) -> bool:
        try:
            portone.verify(secret, message.body.decode("utf-8", "surrogateescape"), as_text(message))
        except (portone.WebhookVerificationError, UnicodeEncodeError):
            return False
        except (ValueError, RecursionError):
            return True  # proved, and then not understood
        return True

    return accepts(CURRENT) or accepts(OLD)


# --- the intended differences --------------------------------------------------------------------------------------

CANONICAL = re.compile(rb"v1,[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")  # the last letter carries four bits


def is_our_time(text: bytes) -> bool:
    return re.fullmatch(rb"[0-9]{1,12}", text) is not None


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def has_loose_signature(message: Message) -> bool:
    return any(s.startswith(b"v1,") and not CANONICAL.fullmatch(s) for s in message.signatures)


WE_ARE_STRICTER: dict[str, Callable[[Message], bool]] = {
    "a header given twice is refused, not read as the first": lambda m: any(
        len(m.values(name)) > 1 for name in (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
    ),
    "a time is one to twelve ASCII digits": lambda m: not is_our_time(m.value(b"webhook-timestamp")),
    "an id is 1 to 256 visible ASCII characters": lambda m: (
        re.fullmatch(rb"[\x21-\x7e]{1,256}", m.value(b"webhook-id")) is None
    ),
    "more than sixteen signatures are refused unread": lambda m: len(m.signatures) > 16,
    "a signature has one spelling in base64": has_loose_signature,
    "the time is signed as it is written, not as the number it is": lambda m: (
        is_our_time(m.value(b"webhook-timestamp")) and m.value(b"webhook-timestamp").startswith(b"0")
    ),
}
"""Why we refuse what another verifier accepts."""

THEY_STUMBLE: dict[str, Callable[[Message], bool]] = {
    "standardwebhooks raises at an entry that is not `version,signature`": lambda m: any(
        s.count(b",") != 1 for s in m.signatures
    ),
    "standardwebhooks raises at a signature that is not base64": has_loose_signature,
    "standardwebhooks wants a body in UTF-8": lambda m: not is_utf8(m.body),
    "portone-server-sdk cannot be given a body that is not UTF-8": lambda m: not is_utf8(m.body),
    "standardwebhooks signs the number, not the text of the time": lambda m: m.value(b"webhook-timestamp").startswith(
        b"0"
    ),
}
"""Why another verifier refuses what we accept."""


# --- the messages --------------------------------------------------------------------------------------------------


def sign(secret: str, name: bytes, at: bytes, body: bytes) -> bytes:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return b"v1," + base64.b64encode(hmac.digest(key, b"%b.%b.%b" % (name, at, body), "sha256"))


def mostly(rng: random.Random, usual: bytes, others: list[bytes]) -> bytes:
    return usual if rng.random() < 0.8 else rng.choice(others)


def a_message(rng: random.Random) -> Message:
    """Signed with up to three secrets, over times and bodies that are mostly right."""
    now = b"%d" % (NOW + rng.choice([-301, -300, -299, -1, 0, 0, 0, 0, 1, 299, 300, 301]))
    spellings = [b"+" + now, b" " + now, now + b".0", now[:4] + b"_" + now[4:], b"0" + now, b"nan", b"", now + b"x"]
    at = mostly(rng, now, [*spellings, "１７１４０３９２００".encode()])
    name = mostly(
        rng, b"msg_%d" % rng.randrange(9), [b"", b"a b", b"a.b", b"x" * 256, b"x" * 257, b"\xc3\xa9", b"\xff"]
    )
    body = mostly(rng, PAID, [b"", b"[]", b"\xff", b'{"a":"\xff"}', b"[" * 3000, b"not json", b"status=Paid", b"{}"])
    secrets = rng.choice([[CURRENT], [CURRENT], [OLD], [CURRENT, OLD], [STRANGER, CURRENT], [STRANGER], []])
    signatures = [sign(secret, name, at, body) for secret in secrets]
    signatures += rng.choices(
        [b"v1a,AAAA", b"v2," + b"A" * 43 + b"=", b"v1,AAAA", b"v1", b""], k=rng.choice([0, 0, 0, 1, 2])
    )
    rng.shuffle(signatures)
    headers = [
        (b"webhook-id", name),
        (b"webhook-timestamp", at),
        (b"webhook-signature", b" ".join(signatures)),
        (b"content-type", b"application/json"),
    ]
    return Message(headers, body)


def flip(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return b"\x00"
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def spoil(rng: random.Random, message: Message) -> None:
    """Change one thing."""
    header = rng.choice([b"webhook-id", b"webhook-timestamp", b"webhook-signature"])
    match rng.randrange(10):
        case 0:
            message.body = flip(rng, message.body)
        case 1:
            message.replace(header, lambda value: flip(rng, value))
        case 2:
            message.headers = [(name, value) for name, value in message.headers if name != header]
        case 3:
            value = rng.choice([message.value(header), b"another"])
            message.headers.insert(rng.choice([0, 4]), (header.title(), value))
        case 4:
            message.headers = [(name.upper(), value) for name, value in message.headers]
        case 5:
            message.replace(b"webhook-signature", lambda value: value.rstrip(b"="))
        case 6:
            junk = rng.choice([b"*", b"\n", b"-", b",", b" ", b"=", b"\xff"])
            message.replace(b"webhook-signature", lambda value: value[:10] + junk + value[10:])
        case 7:
            message.replace(b"webhook-signature", lambda value: b"v1,AAAA " * rng.choice([1, 15, 16]) + value)
        case 8:
            message.replace(b"webhook-signature", lambda value: value.replace(b" ", rng.choice([b"  ", b",", b""])))
        case _:
            message.body += rng.choice([b" ", b"\n", b"\x00", b"}"])


# --- the test ------------------------------------------------------------------------------------------------------


class _Then(datetime):
    """The time as standardwebhooks sees it."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(NOW, tz)


@pytest.fixture
def _their_clocks_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard, "datetime", _Then)
    monkeypatch.setattr(portone, "time", SimpleNamespace(time=lambda: float(NOW)))


def unexplained(message: Message, *, met: Counter[str]) -> bool:
    """Whether our verdict differs from another one's and none of the named differences says why."""
    mine, others = ours(message), (standards(message), portones(message))
    met["accepted" if mine else "refused"] += 1
    if all(mine == theirs for theirs in others):
        return False
    reasons = [why for why, applies in (THEY_STUMBLE if mine else WE_ARE_STRICTER).items() if applies(message)]
    met.update(reasons)
    return not reasons


@pytest.mark.usefixtures("_their_clocks_stand_still")
def test_we_accept_exactly_what_others_accept_but_for_the_differences_named_above() -> None:
    rng = random.Random(20240425)  # noqa: S311 - repeatable is the point
    met: Counter[str] = Counter()
    for number in range(MESSAGES):
        message = a_message(rng)
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            spoil(rng, message)
        assert not unexplained(message, met=met), (number, message)
    assert met["accepted"] > MESSAGES / 10
    assert met["refused"] > MESSAGES / 10
    assert [why for why in (*WE_ARE_STRICTER, *THEY_STUMBLE) if not met[why]] == []
