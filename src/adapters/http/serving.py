"""Serve an ASGI application with uvicorn until somebody says stop. Signals are the process's business."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import uvicorn
from litestar.types import ASGIApp

from adapters.http.connections import CONNECTIONS_MOST, BoundedConnection

_TICKS_A_SECOND = 10
_OTHER_FILES = 256  # database, gateway, and what a process has open anyway
_GRACE = 2  # seconds that open requests have to finish once we are told to stop


class Server(uvicorn.Server):
    """A uvicorn server that somebody else stops: by ``stop``, never by a signal of its own.

    ``before_stop`` ends what would hold the stop up, such as open event streams: connections are drained after it.
    """

    def __init__(
        self, app: ASGIApp, sockets: Sequence[socket.socket], *, before_stop: Callable[[], None] | None = None
    ) -> None:
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
        self._before_stop = before_stop

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
        if self._before_stop is not None:
            self._before_stop()
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
