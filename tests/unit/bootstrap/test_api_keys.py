"""Whether it is production that API keys are shown to is a setting."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from application.api_keys import CreateApiKeyCommand
from application.errors import UnauthenticatedError
from application.use_cases import UseCases
from bootstrap.container import Container
from bootstrap.settings import read_settings
from domain.api_key import KeyKind, Scope

WEB = CreateApiKeyCommand(name="web", scopes=[Scope.ORDERS_READ])
DEVELOPMENT = {"GYEOLJE_GATEWAY": "fake"}
PRODUCTION = {
    "GYEOLJE_ENV": "production",
    "GYEOLJE_GATEWAY": "portone",
    "GYEOLJE_PUBLIC_URL": "https://shop.example",
    "PORTONE_API_SECRET": "a-real-api-secret",
    "PORTONE_STORE_ID": "store-1",
    "PORTONE_CHANNEL_KEY": "channel-key-1",
    "PORTONE_WEBHOOK_SECRETS": "whsec_" + base64.b64encode(b"0123456789abcdef").decode(),
}


@asynccontextmanager
async def wired(environ: dict[str, str], database_url: str) -> AsyncIterator[UseCases]:
    container = Container(settings=read_settings(environ | {"GYEOLJE_DATABASE_URL": database_url}))
    try:
        yield container.use_cases()
    finally:
        await container.gateway_client().aclose()
        await container.engine().dispose()


async def test_a_test_key_is_good_in_development_and_refused_in_production(new_database: Callable[[str], str]) -> None:
    url = new_database("sqlite")
    async with wired(DEVELOPMENT, url) as use_cases:
        test = (await use_cases.create_api_key(WEB)).text
        assert (await use_cases.authenticate(test, Scope.ORDERS_READ)).name == "key:web"
    async with wired(PRODUCTION, url) as use_cases:
        with pytest.raises(UnauthenticatedError):
            await use_cases.authenticate(test, Scope.ORDERS_READ)
        live = await use_cases.create_api_key(WEB)
        assert live.key.kind is KeyKind.LIVE
        assert (await use_cases.authenticate(live.text, Scope.ORDERS_READ)).name == "key:web"
        await use_cases.revoke_api_key(live.key.id)
        with pytest.raises(UnauthenticatedError):
            await use_cases.authenticate(live.text, Scope.ORDERS_READ)
