"""The doctor: is everything there that a payment needs? Secrets are shown as fingerprints only."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import httpx

from adapters.cli.program import Finding
from adapters.persistence.engine import create_engine
from adapters.persistence.sql import SqlStore
from adapters.portone.transport import gateway_client
from application.errors import StoreUnavailableError
from bootstrap.container import new_id
from bootstrap.settings import Settings, SettingsError, read_settings

_SKEW_MOST = 60.0  # seconds; webhooks are refused from 300 on
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404


async def examine() -> list[Finding]:
    """Check settings, database, gateway and clock; what depends on something that is missing is left out."""
    try:
        settings = read_settings()
    except SettingsError as error:
        return [Finding(what="settings", ok=False, says=problem) for problem in error.problems]
    return [_settings(settings), limits_in_force(settings), await _database(settings), *await _gateway(settings)]


def _settings(settings: Settings) -> Finding:
    secrets = ", ".join(secret.fingerprint() for secret in settings.webhook_secrets)
    says = (
        f"{settings.env}, gateway {settings.gateway} at {settings.api_url}, store {settings.store_id}, "
        f"{settings.channel_type} money counts; secrets: API {settings.api_secret.fingerprint()}, webhooks {secrets}"
    )
    return Finding(what="settings", ok=True, says=says)


def limits_in_force(settings: Settings) -> Finding:
    """How much one order may be, and for how long it holds what it takes."""
    limits = settings.limits
    amounts = [f"{least.minor:,} to {most.minor:,} {most.currency}" for least, most in limits.amounts]
    held = min(settings.first_hold, settings.order_ttl) or settings.order_ttl
    says = (
        f"one payment: {'; '.join(amounts) or 'any amount'} (minor units); one order: {limits.order_units} units, "
        f"{limits.product_units} of a product; held for {held} s, and for {settings.order_ttl} s once the window opens"
    )
    return Finding(what="limits", ok=True, says=says)


async def _database(settings: Settings) -> Finding:
    engine = create_engine(settings.database_url)
    try:
        await SqlStore(engine).check()
    except StoreUnavailableError as error:
        return Finding(what="database", ok=False, says=f"{error}; run `gyeolje migrate`")
    finally:
        await engine.dispose()
    return Finding(what="database", ok=True, says="answers, and its schema is this version's")


async def _gateway(settings: Settings) -> list[Finding]:
    """Ask for a payment that cannot exist: 404 proves the address and the secret, and its date our clock."""
    headers = {"Authorization": f"PortOne {settings.api_secret.reveal()}"}
    async with gateway_client(settings.api_url) as client:
        try:
            answer = await client.get(f"/payments/{new_id()}", headers=headers, timeout=10)
        except httpx.HTTPError as error:
            says = f"{settings.api_url} does not answer ({type(error).__name__}): check PORTONE_API_URL and the network"
            return [Finding(what="gateway", ok=False, says=says)]
    if answer.status_code in {_UNAUTHORIZED, _FORBIDDEN}:
        says = "refuses PORTONE_API_SECRET: copy the V2 API secret again (not a PG's secret)"
        return [Finding(what="gateway", ok=False, says=says)]
    well = answer.status_code == _NOT_FOUND
    says = "answers and accepts the API secret" if well else f"answers {answer.status_code} where 404 was expected"
    return [Finding(what="gateway", ok=well, says=says), _clock(answer)]


def _clock(answer: httpx.Response) -> Finding:
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return Finding(what="clock", ok=True, says="the gateway does not tell its time; not compared")
    skew = time.time() - theirs
    if abs(skew) > _SKEW_MOST:
        return Finding(
            what="clock", ok=False, says=f"{skew:+.0f} s from the gateway's: set it, or webhooks are refused"
        )
    return Finding(what="clock", ok=True, says=f"{skew:+.0f} s from the gateway's")
