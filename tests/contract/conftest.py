"""A fake PortOne that is really served over HTTP, on a free port of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock

API_SECRET = "the fake's secret"
STORE_ID = "store-00000000-0000-4000-8000-00000000000a"
WEBHOOK_SECRET = "whsec_pzQGE83cSIRKM4/WH5QY+g=="
PATIENCE = 10.0

Served = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class PortOneServer:
    """The fake, and where it is served."""

    fake: FakePortOne
    url: str


def _new_fake() -> FakePortOne:
    settings = FakePortOneSettings(api_secret=API_SECRET, store_id=STORE_ID, webhook_secret=WEBHOOK_SECRET)
    return FakePortOne(settings, clock=FakeClock(speed=0))


@pytest.fixture
def fake_portone() -> FakePortOne:
    """A fake whose own time stands still until it is pushed on."""
    return _new_fake()


@pytest.fixture
async def portone_server(fake_portone: FakePortOne, serve: Served) -> AsyncIterator[PortOneServer]:
    """The same fake, over HTTP."""
    async with serve(fake_portone.app()) as url:
        yield PortOneServer(fake_portone, url)
