"""Run ASGI applications and background work in one event loop, and end all of it cleanly on the first signal."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn
from litestar.types import ASGIApp

from adapters.http.connections import CONNECTIONS_MOST, BoundedConnection

_TICKS_A_SECOND = 10
_OTHER_FILES = 256  # database, gateway, and what a process has open anyway
_GRACE = 2  # seconds that open requests have to finish once we are told to stop

Background = Callable[[asyncio.Event], Awaitable[None]]
"""Work beside the servers; it ends soon after its event is set."""


class Server(uvicorn.Server):
    """A uvicorn server that somebody else stops: by ``stop``, never by a signal of its own."""

    def __init__(self, app: ASGIApp, sockets: Sequence[socket.socket]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="on",
                http=BoundedConnection,
                ws="none",
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=_GRACE,
            )
        )
        self._sockets = list(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Beside uvicorn's own care, once a second: drop the connections of clients that stall."""
        if counter % _TICKS_A_SECOND == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedConnection):
                    connection.drop_if_stalled(now)
        return await super().on_tick(counter)

    async def run_until_stopped(self) -> None:
        """Serve until ``stop``; raise RuntimeError if the application could not start."""
        _allow_files(CONNECTIONS_MOST + _OTHER_FILES)
        await self.serve(self._sockets)
        if not self.started:
            raise RuntimeError("the application could not start; the log above says why")

    def stop(self) -> None:
        """Take no new connection, let open requests finish for a moment, then return from ``run_until_stopped``."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone: there may be several servers, and their end is one decision."""
        yield


def _allow_files(wanted: int) -> None:
    """Let this process open as many files, or as many as it may: many systems begin with 1024, sockets included."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not everywhere

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket at ``host``:``port`` (0: any free one). Raises OSError where that cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def address(sock: socket.socket) -> str:
    """The http address of a listening socket, as a client on this machine reaches it."""
    host, port = sock.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - recognised, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


@contextmanager
def stop_on_signal(stop: Callable[[], None]) -> Generator[None]:
    """Call ``stop`` in the event loop at every SIGINT or SIGTERM while the context is open."""
    loop = asyncio.get_running_loop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def run_together(
    servers: Sequence[Server], background: Sequence[Background], *, stopping: asyncio.Event | None = None
) -> None:
    """Run everything until ``stopping`` is set, a signal comes, or one part ends; then stop all of it and return.

    A part that broke is raised, once the others have ended.
    """
    stop = stopping or asyncio.Event()
    with stop_on_signal(stop.set):
        parts = [asyncio.create_task(server.run_until_stopped()) for server in servers]
        parts += [asyncio.create_task(_run(work, stop)) for work in background]
        told = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((told, *parts), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            told.cancel()
            for server in servers:
                server.stop()
            ended = await asyncio.gather(*parts, return_exceptions=True)
    for end in ended:
        if isinstance(end, Exception):
            raise end


async def _run(work: Background, stopping: asyncio.Event) -> None:
    await work(stopping)
