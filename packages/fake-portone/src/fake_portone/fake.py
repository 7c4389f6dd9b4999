"""A PortOne of our own, in memory: one account with its payments, its API, its webhooks, its clock and its faults.

Only this file knows all the parts. Each is handed what it needs, and knows no more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from fake_portone.api import PortOneApi
from fake_portone.buyer import Buyer
from fake_portone.clock import Background, FakeClock
from fake_portone.defaults import DEFAULT_API_SECRET, DEFAULT_STORE_ID, DEFAULT_WEBHOOK_SECRET
from fake_portone.faces.control import people_routes, record_routes, switch_routes
from fake_portone.faces.errors import EXCEPTION_HANDLERS
from fake_portone.faces.pages import page_routes
from fake_portone.faces.resources import OneSpelling
from fake_portone.faces.rest import rest_routes
from fake_portone.faces.window import window_routes
from fake_portone.faults import Faults
from fake_portone.ledger import Ledger
from fake_portone.live import Live
from fake_portone.views import Overview
from fake_portone.webhooks import Post, Webhooks
from fake_portone.windows import Windows

_OTHER_STORE_ID = "store-ffffffff-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class FakePortOneSettings:
    """One account. Without ``webhook_url`` only a payment's own notice URLs are told.

    ``speed``: how many seconds of retries, delays and key lifetimes pass in a real one. ``seed`` decides every fault
    with a probability, and the retries' jitter.
    """

    api_secret: str = DEFAULT_API_SECRET
    store_id: str = DEFAULT_STORE_ID
    webhook_secret: str = DEFAULT_WEBHOOK_SECRET
    webhook_url: str | None = None
    speed: float = 60.0
    seed: int = 0

    def __repr__(self) -> str:
        return f"<FakePortOneSettings of {self.store_id}>"


class FakePortOne:
    """The fake. Served by ``app``, or used in process: ``api`` for the shop, ``buyer`` for everybody else.

    In process, webhooks are sent while ``running``; ``app`` sees to that by itself. ``post`` sends them elsewhere than
    over HTTP.
    """

    def __init__(
        self, settings: FakePortOneSettings, *, clock: FakeClock | None = None, post: Post | None = None
    ) -> None:
        self._settings = settings
        self._background = Background()
        self.clock = clock or FakeClock(speed=settings.speed)
        self.live = Live()
        self.faults = Faults(settings.seed, changed=self.live.tell)
        self.webhooks = Webhooks(
            url=settings.webhook_url,
            secret=settings.webhook_secret,
            clock=self.clock,
            faults=self.faults,
            seed=settings.seed,
            post=post,
            changed=self.live.delivered,
        )
        self.ledger = Ledger(
            clock=self.clock,
            seed=settings.seed,
            announce=self.webhooks.announce,
            kept=self.live.kept,
            wake=lambda at: self._background.spawn(self._complete_at(at)),
        )
        self.buyer = Buyer(self.ledger, self.faults, _OTHER_STORE_ID)
        self.api = PortOneApi(
            secret=settings.api_secret,
            ledger=self.ledger,
            webhooks=self.webhooks,
            faults=self.faults,
            clock=self.clock,
            background=self._background,
        )

    @property
    def store_id(self) -> str:
        """The store whose account this is."""
        return self._settings.store_id

    @property
    def api_secret(self) -> str:
        """The secret that its API asks for."""
        return self._settings.api_secret

    def app(self) -> Starlette:
        """PortOne's API, the control API, the window and the fake's page: an ASGI application that runs the fake."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            async with self.running():
                yield

        return Starlette(
            routes=self._routes(),
            lifespan=lifespan,
            middleware=[Middleware(OneSpelling)],
            exception_handlers=EXCEPTION_HANDLERS,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send webhooks until the context is left; then everything under way is ended at once."""
        async with self.webhooks.running():
            try:
                yield
            finally:
                await self._background.close()

    def _routes(self) -> list[Route]:
        windows = Windows(
            buyer=self.buyer, ledger=self.ledger, faults=self.faults, api=self.api, background=self._background
        )
        overview = Overview(
            ledger=self.ledger,
            buyer=self.buyer,
            webhooks=self.webhooks,
            faults=self.faults,
            clock=self.clock,
            live=self.live,
        )
        return [
            *rest_routes(self.api),
            *people_routes(self.buyer, self.ledger, self.api),
            *record_routes(self.ledger, self.webhooks),
            *switch_routes(self.faults, self.clock, self.ledger, self.live),
            *window_routes(windows, self.api, self.clock),
            *page_routes(self.live, overview),
        ]

    async def _complete_at(self, moment: float) -> None:
        await self.clock.sleep(moment - self.clock.elapsed())
        self.ledger.complete_due()
