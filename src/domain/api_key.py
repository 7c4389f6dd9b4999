"""API keys: what a shop's server shows to be let in, what is kept of one, and what one may do.

A key is written ``gyj_{test|live}_{id}_{secret}{checksum}``: an id of 32 hex digits, a secret of 64, and the CRC-32 of
all that stands before it in 8. The checksum guards nothing. It tells a key that was mistyped or cut short from one that
nobody gave out, without asking the database, and lets those who search texts for secrets be sure that they found one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from domain.errors import InvalidApiKeyError, MalformedApiKeyError
from domain.ids import ApiKeyId

NAME_MOST = 64  # characters
LIFE_MOST = timedelta(days=3650)  # of a key that expires at all
USE_NOTED_EVERY = timedelta(hours=1)

_SHAPE = re.compile(r"gyj_(test|live)_([0-9a-f]{32})_[0-9a-f]{64}([0-9a-f]{8})", re.ASCII)
_CHECKSUM = 8  # hex digits
_NOBODYS = "0" * 64  # the hash that a key is held against where there is no such key
_UNSEEN = frozenset("\u115f\u1160\u3164\uffa0")  # letters by their kind, which show nothing


class KeyKind(StrEnum):
    """Whether a key is for trying things out, or for real money. Its text says so, for whoever handles it."""

    TEST = "test"
    LIVE = "live"


class Scope(StrEnum):
    """What a key may do. None of them includes another."""

    ORDERS_READ = "orders:read"
    ORDERS_WRITE = "orders:write"
    REFUNDS_WRITE = "refunds:write"
    WEBHOOKS_MANAGE = "webhooks:manage"


class KeyState(StrEnum):
    """Whether a key is good, or why it is not."""

    LIVE = "live"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of a key: never its secret, of which ``hash`` holds the SHA-256.

    ``name`` says whose it is, and stands in the history of what it did; several keys may have one name, so that one can
    be replaced while both are good. ``last_used_at`` is the hour of its last use.
    """

    id: ApiKeyId
    name: str
    kind: KeyKind
    hash: str = field(repr=False)
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def state(self, now: datetime) -> KeyState:
        """Whether it is good at ``now``, or why not."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        expired = self.expires_at is not None and now >= self.expires_at
        return KeyState.EXPIRED if expired else KeyState.LIVE

    def is_live(self, now: datetime) -> bool:
        """Whether it is neither expired nor revoked at ``now``."""
        return self.state(now) is KeyState.LIVE

    def is_use_noted(self, now: datetime) -> bool:
        """Whether its last use is known to the hour. One that lies far ahead was noted by a wrong clock, and is not."""
        used, hour = self.last_used_at, hour_of(now)
        return used is not None and hour <= used <= hour + USE_NOTED_EVERY

    def revoked(self, now: datetime) -> ApiKey:
        """This key, good for nothing from ``now`` on; one that was revoked before stays as it is."""
        return self if self.revoked_at is not None else replace(self, revoked_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownKey:
    """A well-formed key as somebody showed it. The secret is forgotten once it is read."""

    id: ApiKeyId
    kind: KeyKind
    hash: str = field(repr=False)

    def is_of(self, key: ApiKey | None) -> bool:
        """Whether it is ``key``, in the same time for right and wrong, and for a key that is not there."""
        is_same = hmac.compare_digest(self.hash, _NOBODYS if key is None else key.hash)
        return is_same and key is not None


def write_key(kind: KeyKind, key_id: ApiKeyId, secret: str) -> str:
    """The text of a key. ``secret`` is 64 hex digits."""
    text = f"gyj_{kind.value}_{key_id}_{secret}"
    return text + _checksum(text)


def read_key(text: str) -> ShownKey:
    """The key that ``text`` is. Raises MalformedApiKeyError for whatever was never written by ``write_key``."""
    shape = _SHAPE.fullmatch(text)
    if shape is None or shape[3] != _checksum(text[:-_CHECKSUM]):
        raise MalformedApiKeyError("this is no API key: it was mistyped, cut short, or is something else")
    return ShownKey(id=ApiKeyId(shape[2]), kind=KeyKind(shape[1]), hash=_hash(text))


def make_key(
    *,
    key_id: ApiKeyId,
    secret: str,
    name: str,
    kind: KeyKind,
    scopes: Collection[Scope],
    now: datetime,
    life: timedelta | None = None,
) -> tuple[ApiKey, str]:
    """A new key, and its text, which nobody can find again. ``life`` None: it does not expire.

    Raises InvalidApiKeyError for a name, scopes or a life that no key may have.
    """
    _check_name(name)
    if not scopes:
        raise InvalidApiKeyError("a key has at least one scope")
    if life is not None and not timedelta(0) < life <= LIFE_MOST:
        raise InvalidApiKeyError(f"a key expires in 1 to {LIFE_MOST.days} days, or never")
    text = write_key(kind, key_id, secret)
    key = ApiKey(
        id=key_id,
        name=name,
        kind=kind,
        hash=_hash(text),
        scopes=frozenset(scopes),
        created_at=now,
        expires_at=None if life is None else now + life,
    )
    return key, text


def hour_of(moment: datetime) -> datetime:
    """The beginning of its hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def _check_name(name: str) -> None:
    """A name stands in histories and on screens: it is one line, shows what it is, and nothing in it is hidden."""
    if not 1 <= len(name) <= NAME_MOST:
        raise InvalidApiKeyError(f"a key's name has 1 to {NAME_MOST} characters, and not {len(name)}")
    if not name.isprintable() or name != name.strip() or not _UNSEEN.isdisjoint(name):
        raise InvalidApiKeyError(f"the name {name!a} has control characters or hidden ones, or spaces at its ends")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
