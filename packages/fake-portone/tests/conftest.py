"""A fake PortOne that is really served over HTTP, on a free port of this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.types import ASGIApp

from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock

API_SECRET = "the fake's secret"
STORE_ID = "store-00000000-0000-4000-8000-00000000000a"
WEBHOOK_SECRET = "whsec_pzQGE83cSIRKM4/WH5QY+g=="
PATIENCE = 10.0

Serve = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


class _Server(uvicorn.Server):
    """Says when it is up, stops when it is told to, and leaves the signals to pytest."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self.enough = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def main_loop(self) -> None:
        await self.enough.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _served(app: ASGIApp) -> AsyncIterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = _Server(uvicorn.Config(app, lifespan="on", log_config=None, timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve([sock]))
        try:
            async with asyncio.timeout(PATIENCE):
                await server.up.wait()
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.enough.set()
            await serving


@pytest.fixture
def serve() -> Serve:
    """``async with serve(app) as url``: served until the context is left."""
    return _served


@dataclass(frozen=True, slots=True)
class PortOneServer:
    """The fake, and where it is served."""

    fake: FakePortOne
    url: str


@pytest.fixture
def fake_portone() -> FakePortOne:
    """A fake whose own time stands still until it is pushed on."""
    settings = FakePortOneSettings(api_secret=API_SECRET, store_id=STORE_ID, webhook_secret=WEBHOOK_SECRET)
    return FakePortOne(settings, clock=FakeClock(speed=0))


@pytest.fixture
async def portone_server(fake_portone: FakePortOne, serve: Serve) -> AsyncIterator[PortOneServer]:
    """The same fake, over HTTP."""
    async with serve(fake_portone.app()) as url:
        yield PortOneServer(fake_portone, url)
