"""The stories we ship, played against our own service over real HTTP, on a clock that runs sixty times as fast.

The stories know nothing of this service: all that is done here is to place an order, and to read it in the end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from dependency_injector import providers

from bootstrap import service
from bootstrap.container import Container
from bootstrap.settings import FAKE_API_SECRET, FAKE_STORE_ID, FAKE_WEBHOOK_SECRET, read_settings
from bootstrap.worker import work
from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock
from fake_portone.scenario import Player
from fake_portone.script import read_scenario
from gyeolje_demo.samples import load_samples

EXAMPLES = Path(__file__).parents[2] / "packages" / "fake-portone" / "scenarios"
ENDS = {
    "cancel-answer-lost": ("CANCELLED", "MISMATCH"),
    "console-refund": ("CANCELLED", "REFUNDED"),
    "double-webhook": ("COMPLETED", None),
    "late-deposit": ("COMPLETED", None),
    "lost-webhook": ("COMPLETED", None),
    "tampered-amount": ("CANCELLED", "MISMATCH"),
}
FASTER = 60
PATIENCE = 60.0


class FastTime:
    """Everybody's clock."""

    def __init__(self) -> None:
        self._began, self._zero = datetime.now(UTC), time.monotonic()

    def seconds(self) -> float:
        return (time.monotonic() - self._zero) * FASTER

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self.seconds())


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
        yield http


@pytest.fixture
async def town(
    new_database: Callable[..., str], serve: Callable[[Any], Any], http: httpx.AsyncClient
) -> AsyncIterator[tuple[FakePortOne, str]]:
    """The fake, and the address of a shop that knows only the fake's address."""
    clock = FastTime()
    shop = list[str]()

    async def post(url: str, headers: Any, body: bytes) -> int:
        return (await http.post(shop[0] + url, headers=headers, content=body)).status_code

    settings = FakePortOneSettings(
        api_secret=FAKE_API_SECRET,
        store_id=FAKE_STORE_ID,
        webhook_secret=FAKE_WEBHOOK_SECRET,
        webhook_url="/api/v1/webhooks/portone",
    )
    fake = FakePortOne(settings, clock=FakeClock(now=clock.now, monotonic=clock.seconds), post=post)
    async with serve(fake.app()) as portone:
        container = Container(
            settings=read_settings(
                {},
                GYEOLJE_GATEWAY="fake",
                GYEOLJE_DATABASE_URL=new_database("sqlite"),
                GYEOLJE_ORDER_TTL="180",  # three of our seconds
                GYEOLJE_DEPOSIT_TTL="3600",
                PORTONE_API_URL=portone,
            ),
            clock=providers.Object(clock.now),
        )
        async with service.opened(container), serve(service.application(container)) as url, working(container):
            await load_samples(container.use_cases())
            shop.append(url)
            yield fake, url


@asynccontextmanager
async def working(container: Container) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    worker = asyncio.create_task(work(container.use_cases().check_due_orders, stopping, idle=0.02))
    try:
        yield
    finally:
        stopping.set()
        await worker


def test_every_example_has_an_end_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.toml")} == set(ENDS)


@pytest.mark.proves("Every scripted story ends well")
@pytest.mark.parametrize("name", ENDS)
async def test_the_story_goes_as_it_should(town: tuple[FakePortOne, str], http: httpx.AsyncClient, name: str) -> None:
    fake, shop = town
    playing = asyncio.create_task(Player(fake, read_scenario(EXAMPLES / f"{name}.toml")).play())
    ordered = await http.post(f"{shop}/api/v1/orders", json={"items": [{"productId": "standing", "quantity": 1}]})
    await playing

    placed = ordered.json()
    headers = {"Authorization": f"Bearer {placed['token']}"}
    order: Any = None
    async with asyncio.timeout(PATIENCE):
        while order is None or (order["status"], order["reason"]) != ENDS[name]:
            order = (await http.get(f"{shop}/api/v1/orders/{placed['order']['id']}", headers=headers)).json()
