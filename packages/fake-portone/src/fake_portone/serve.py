"""Run a fake PortOne as a server: until a signal comes, or until its story is over."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Generator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any

import uvicorn

from fake_portone.fake import FakePortOne, FakePortOneSettings
from fake_portone.scenario import Player, StoryFailedError
from fake_portone.script import Scenario

_GRACE = 2  # seconds that open requests have to finish once we are told to stop
_WAITING_MOST = 2048  # connections that nobody has taken yet

Tell = Callable[[str], None]
"""Says a line to whoever started the fake."""


class Server(uvicorn.Server):
    """Serves one fake until ``stop``. Signals are left alone: whoever runs it decides when it is over."""

    def __init__(self, fake: FakePortOne, sock: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                fake.app(),
                log_config=None,
                access_log=False,
                lifespan="on",
                ws="none",
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=_GRACE,
            )
        )
        self._fake = fake
        self._socket = sock

    async def run_until_stopped(self) -> None:
        """Serve until ``stop``; raise RuntimeError if the application could not start."""
        await self.serve([self._socket])
        if not self.started:
            raise RuntimeError("the fake could not start; the log above says why")

    def stop(self) -> None:
        """End the streams of open pages, let open requests finish for a moment, and end ``run_until_stopped``."""
        self._fake.live.close()
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave them alone."""
        yield


async def run_fake(
    settings: FakePortOneSettings,
    *,
    host: str,
    port: int,
    tell: Tell,
    scenario: Scenario | None = None,
    stay: bool = False,
) -> int:
    """Serve a fake until a signal comes, or until ``scenario`` was played and it is not to ``stay``.

    The exit code: 0, and 1 where the story did not go as it should or was not played to its end.
    """
    with closing(listen(host, port)) as sock:
        fake, stopping, url = FakePortOne(settings), asyncio.Event(), address(sock)
        with _stop_on_signal(stopping.set):
            server = Server(fake, sock)
            tell(f"a fake PortOne, which moves no money, on {url}; webhooks go to {settings.webhook_url}")
            tell(f"watch it in a browser at {url}/")
            if scenario is None:
                return await _serve(server, stopping, _until_stopped(stopping))
            story = _Story(Player(fake, scenario, tell), tell, stay=stay)
            return await _serve(server, stopping, story.told(stopping))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket at ``host``:``port`` (0: any free one). Raises OSError where that cannot be had."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(_WAITING_MOST)
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


class _Story:
    """A story beside the server: played once, then the server may stop."""

    def __init__(self, player: Player, tell: Tell, *, stay: bool) -> None:
        self._player = player
        self._tell = tell
        self._stay = stay

    async def told(self, stopping: asyncio.Event) -> int:
        """0 if it went as it should; 1 if not, or if the server was stopped before it was over."""
        playing = asyncio.create_task(self._play())
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait((playing, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not playing.done():
                self._tell("stopped before the story was over")
                return 1
            if self._stay:
                await stopped
            return await playing
        finally:
            playing.cancel()
            stopped.cancel()

    async def _play(self) -> int:
        try:
            await self._player.play()
        except StoryFailedError as failed:
            self._tell(str(failed))
            return 1
        return 0


async def _until_stopped(stopping: asyncio.Event) -> int:
    await stopping.wait()
    return 0


async def _serve(server: Server, stopping: asyncio.Event, work: Coroutine[Any, Any, int]) -> int:
    """Serve while ``work`` goes on; what it returned. A part that broke is raised, once the other has ended."""
    serving, working = asyncio.create_task(server.run_until_stopped()), asyncio.create_task(work)
    try:
        await asyncio.wait((serving, working), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.set()
        server.stop()
        _, code = await asyncio.gather(serving, working)
    return code


@contextmanager
def _stop_on_signal(stop: Callable[[], None]) -> Generator[None]:
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
