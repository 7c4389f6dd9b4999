"""Settings: the environment, read once into frozen structs. Errors name the variable and what to do, never a secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from domain.errors import InvalidMoneyError
from domain.limits import Limits
from domain.money import Money
from domain.policy import Policy

PORTONE_API_URL = "https://api.portone.io"  # source: PortOne's OpenAPI document, `servers`

FAKE_API_URL = "http://127.0.0.1:8100"
FAKE_API_SECRET = "fake-api-secret-for-development"  # noqa: S105 - the fake's, which guards nothing
FAKE_STORE_ID = "store-00000000-0000-4000-8000-000000000000"
FAKE_CHANNEL_KEY = "channel-key-00000000-0000-4000-8000-000000000000"
FAKE_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"fake webhook secret, 32 bytes ok").decode()

_AGAIN_MOST = 90  # days, each of which is swept four times a day
_NO_LIMITS = "none"
_UNITS_MOST = 100  # what a request may say of one product
_LINES_MOST = 20  # and how many products it may name

_SHORTEST_KEY = 16  # bytes; PortOne's own test key has as many


class SettingsError(Exception):
    """The settings cannot be used. One line for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Secret:
    """A text that is never shown: no repr, no equality by accident, not encodable. ``reveal`` is the only way out."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not to be pickled or copied")

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def fingerprint(self) -> str:
        """The first 8 hex digits of its SHA-256: enough to tell two secrets apart, not to find one."""
        return hashlib.sha256(self._text.encode()).hexdigest()[:8]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of the service; ``docs/settings.md`` tells of each. Made by ``read_settings`` only."""

    env: Literal["development", "production"] = msgspec.field(name="GYEOLJE_ENV", default="development")
    database_url: str = msgspec.field(name="GYEOLJE_DATABASE_URL", default="sqlite+aiosqlite:///gyeolje.db")
    gateway: Literal["portone", "fake"] = msgspec.field(name="GYEOLJE_GATEWAY")
    hints: str = msgspec.field(name="GYEOLJE_HINTS", default="")
    public_url: str = msgspec.field(name="GYEOLJE_PUBLIC_URL", default="")
    allowed_origins: str = msgspec.field(name="GYEOLJE_ALLOWED_ORIGINS", default="")
    webhook_path: str = msgspec.field(name="GYEOLJE_WEBHOOK_PATH", default="/api/v1/webhooks/portone")
    order_ttl: int = msgspec.field(name="GYEOLJE_ORDER_TTL", default=900)
    first_hold: int = msgspec.field(name="GYEOLJE_FIRST_HOLD", default=300)
    order_units_most: int = msgspec.field(name="GYEOLJE_ORDER_UNITS_MOST", default=20)
    product_units_most: int = msgspec.field(name="GYEOLJE_PRODUCT_UNITS_MOST", default=10)
    amounts: str = msgspec.field(name="GYEOLJE_LIMITS", default="KRW=100-2000000")
    sweep_every: int = msgspec.field(name="GYEOLJE_SWEEP_EVERY", default=600)
    sweep_again_days: int = msgspec.field(name="GYEOLJE_SWEEP_AGAIN_DAYS", default=3)
    deposit_ttl: int = msgspec.field(name="GYEOLJE_DEPOSIT_TTL", default=0)
    restock: Literal["cancelled", "never"] = msgspec.field(name="GYEOLJE_RESTOCK", default="cancelled")
    api_secret: Secret = msgspec.field(name="PORTONE_API_SECRET")
    store_id: str = msgspec.field(name="PORTONE_STORE_ID")
    channel_key: str = msgspec.field(name="PORTONE_CHANNEL_KEY")
    webhook_secrets: tuple[Secret, ...] = msgspec.field(name="PORTONE_WEBHOOK_SECRETS")
    channel_type: Literal["LIVE", "TEST"] = msgspec.field(name="PORTONE_CHANNEL_TYPE", default="LIVE")
    api_url: str = msgspec.field(name="PORTONE_API_URL", default=PORTONE_API_URL)

    @property
    def in_production(self) -> bool:
        """Whether real money is taken."""
        return self.env == "production"

    @property
    def ttl(self) -> timedelta:
        """How long an order may stay unpaid."""
        return timedelta(seconds=self.order_ttl)

    @property
    def policy(self) -> Policy:
        """What the shop decides about its orders."""
        within = timedelta(seconds=self.deposit_ttl) if self.deposit_ttl else None
        first_hold = timedelta(seconds=self.first_hold) if self.first_hold else None
        return Policy(first_hold=first_hold, deposit_within=within, restock_cancelled=self.restock == "cancelled")

    @property
    def limits(self) -> Limits:
        """How much one order may be."""
        return Limits(
            amounts=_amounts(self.amounts),
            order_units=self.order_units_most,
            product_units=self.product_units_most,
        )

    @property
    def sweep_again(self) -> timedelta:
        """How far back everything is swept again, a few times a day; nothing: never."""
        return timedelta(days=self.sweep_again_days)

    @property
    def origins(self) -> tuple[str, ...]:
        """The exact origins that may call us from a browser."""
        return tuple(_listed(self.allowed_origins))


def read_settings(environ: Mapping[str, str] | None = None, **overrides: str) -> Settings:
    """The settings in ``environ`` (the process's, and in development a ``.env`` file's), ``overrides`` winning.

    With the fake chosen, whatever is not said is what ``fake-portone`` takes for granted.
    Raises SettingsError with every problem at once.
    """
    said = _said(os.environ if environ is None else environ, read_file=environ is None) | overrides
    values: dict[str, Any] = dict(said)
    if said.get("GYEOLJE_GATEWAY") == "fake":
        values = _FAKE_DEFAULTS | values
    problems = [f"{name} is not set: {why}" for name, why in _REQUIRED.items() if not values.get(name)]
    if problems:
        raise SettingsError(problems)
    values["PORTONE_WEBHOOK_SECRETS"] = _listed(values["PORTONE_WEBHOOK_SECRETS"])
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_secret)
    except msgspec.ValidationError as error:
        raise SettingsError([str(error).replace("`$.", "`").replace("$.", "")]) from None
    problems = _problems(settings)
    if problems:
        raise SettingsError(problems)
    return settings


_REQUIRED = {
    "GYEOLJE_GATEWAY": "say `portone`, or `fake` to work without an account (see `fake-portone`)",
    "PORTONE_API_SECRET": "make a V2 API secret in PortOne's console",
    "PORTONE_STORE_ID": "copy the store id (store-…) from PortOne's console",
    "PORTONE_CHANNEL_KEY": "copy the channel's key (channel-key-…) from PortOne's console",
    "PORTONE_WEBHOOK_SECRETS": "copy the webhook secret (whsec_…) from PortOne's console; two while rotating",
}

_FAKE_DEFAULTS = {
    "PORTONE_API_URL": FAKE_API_URL,
    "PORTONE_API_SECRET": FAKE_API_SECRET,
    "PORTONE_STORE_ID": FAKE_STORE_ID,
    "PORTONE_CHANNEL_KEY": FAKE_CHANNEL_KEY,
    "PORTONE_WEBHOOK_SECRETS": FAKE_WEBHOOK_SECRET,
}


def _said(environ: Mapping[str, str], *, read_file: bool) -> dict[str, str]:
    ours = {name: value for name, value in environ.items() if name.startswith(("GYEOLJE_", "PORTONE_"))}
    if read_file and environ.get("GYEOLJE_ENV", "development") == "development" and Path(".env").is_file():
        from dotenv import dotenv_values  # noqa: PLC0415 - only where there is a file to read

        found = {name: value for name, value in dotenv_values(".env").items() if value is not None}
        ours = {name: value for name, value in found.items() if name.startswith(("GYEOLJE_", "PORTONE_"))} | ours
    return {name: value for name, value in ours.items() if value != ""}


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _secret(kind: type, value: object) -> object:
    if kind is Secret:
        return Secret(str(value))
    raise NotImplementedError


def _problems(settings: Settings) -> list[str]:
    return [
        *_problems_with_the_gateway(settings),
        *_problems_with_secrets(settings),
        *_problems_with_times(settings),
        *_problems_with_limits(settings),
        *_problems_with_addresses(settings),
    ]


def _problems_with_the_gateway(settings: Settings) -> list[str]:
    problems = []
    api = urlsplit(settings.api_url)
    if api.scheme not in {"http", "https"} or not api.hostname:
        problems.append("PORTONE_API_URL is not an http(s) address")
    if settings.in_production:
        if settings.gateway == "fake":
            problems.append("GYEOLJE_GATEWAY=fake takes no money and may not run in production: use `portone`")
        if settings.api_url.rstrip("/") != PORTONE_API_URL:
            problems.append(f"PORTONE_API_URL may only be {PORTONE_API_URL} in production: remove it")
    elif settings.gateway == "portone" and api.scheme != "https":
        problems.append("PORTONE_API_URL is plain http: an API secret may not travel so; say GYEOLJE_GATEWAY=fake")
    return problems


def _problems_with_secrets(settings: Settings) -> list[str]:
    problems = []
    if not 1 <= len(settings.webhook_secrets) <= 2:  # noqa: PLR2004 - PortOne keeps two at most
        problems.append("PORTONE_WEBHOOK_SECRETS must list one secret, or two while rotating")
    for number, secret in enumerate(settings.webhook_secrets, start=1):
        try:
            key = base64.b64decode(secret.reveal().removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            problems.append(f"PORTONE_WEBHOOK_SECRETS entry {number} is not base64 after `whsec_`: copy it whole")
        else:
            if len(key) < _SHORTEST_KEY:
                problems.append(f"PORTONE_WEBHOOK_SECRETS entry {number} is shorter than {_SHORTEST_KEY} bytes")
    known = {FAKE_API_SECRET, FAKE_WEBHOOK_SECRET}
    if settings.in_production and known & {s.reveal() for s in (settings.api_secret, *settings.webhook_secrets)}:
        problems.append("a secret of the fake is set in production: copy the real ones from PortOne's console")
    return problems


def _problems_with_times(settings: Settings) -> list[str]:
    problems = []
    if settings.order_ttl < 1:
        problems.append("GYEOLJE_ORDER_TTL must be at least 1 second")
    if settings.first_hold < 0:
        problems.append("GYEOLJE_FIRST_HOLD must be a number of seconds, or 0 for as long as the order may stay unpaid")
    if settings.deposit_ttl and settings.deposit_ttl < settings.order_ttl:
        problems.append("GYEOLJE_DEPOSIT_TTL must be at least GYEOLJE_ORDER_TTL, or 0 for no longer than that")
    if settings.sweep_every < 0:
        problems.append("GYEOLJE_SWEEP_EVERY must be a number of seconds, or 0 for never")
    if not 0 <= settings.sweep_again_days <= _AGAIN_MOST:
        problems.append(f"GYEOLJE_SWEEP_AGAIN_DAYS must be a number of days up to {_AGAIN_MOST}, or 0 for never")
    return problems


def _problems_with_limits(settings: Settings) -> list[str]:
    problems = []
    if not 1 <= settings.product_units_most <= _UNITS_MOST:
        problems.append(f"GYEOLJE_PRODUCT_UNITS_MOST must be from 1 to {_UNITS_MOST}")
    if not 1 <= settings.order_units_most <= _UNITS_MOST * _LINES_MOST:
        problems.append(f"GYEOLJE_ORDER_UNITS_MOST must be from 1 to {_UNITS_MOST * _LINES_MOST}")
    try:
        _amounts(settings.amounts)
    except (ValueError, InvalidMoneyError):
        problems.append(
            "GYEOLJE_LIMITS must list least and most for each currency that has them, in minor units, such as "
            f"KRW=100-2000000, or be {_NO_LIMITS!r}"
        )
    return problems


def _amounts(said: str) -> tuple[tuple[Money, Money], ...]:
    """Raises ValueError or InvalidMoneyError."""
    if said == _NO_LIMITS:
        return ()
    amounts = []
    for part in _listed(said):
        currency, _, between = part.partition("=")
        least, most = (Money(int(number), currency.strip()) for number in between.split("-"))
        if least > most:
            raise ValueError(part)
        amounts.append((least, most))
    return tuple(amounts)


def _problems_with_addresses(settings: Settings) -> list[str]:
    problems = []
    if not settings.webhook_path.startswith("/") or "{" in settings.webhook_path:
        problems.append("GYEOLJE_WEBHOOK_PATH must be a plain path that begins with /")
    if settings.hints:
        problems.append("GYEOLJE_HINTS: this version tells followers within one process only; leave it empty")
    if not settings.database_url.startswith(("sqlite+aiosqlite:", "postgresql+asyncpg:")):
        problems.append("GYEOLJE_DATABASE_URL must begin with sqlite+aiosqlite:// or postgresql+asyncpg://")
    for origin in settings.origins:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query or "*" in origin:
            problems.append(f"GYEOLJE_ALLOWED_ORIGINS: {origin!r} is not an exact origin such as https://shop.example")
    public = urlsplit(settings.public_url)
    if settings.public_url and (public.scheme not in {"http", "https"} or not public.netloc):
        problems.append("GYEOLJE_PUBLIC_URL is not an http(s) address")
    if settings.in_production and public.scheme != "https":
        problems.append("GYEOLJE_PUBLIC_URL must say where browsers reach us, with https")
    return problems
