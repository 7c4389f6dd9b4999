"""Run the fake PortOne as a server of its own."""

from __future__ import annotations

import asyncio
import socket

import rich_click as click
from rich.console import Console

from adapters.http.serving import Server, address, listen, run_together
from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.scenario import Player, StoryFailedError
from fake_portone.script import Scenario


async def run_fake(
    *,
    host: str,
    port: int,
    api_secret: str,
    store_id: str,
    webhook_url: str,
    webhook_secret: str,
    speed: float,
    seed: int,
    scenario: Scenario | None = None,
    stay: bool = False,
) -> int:
    """Serve a fake PortOne until a signal comes, or until ``scenario`` was played and it is not to ``stay``.

    The exit code: 0, and 1 where the story did not go as it should or was not played to its end.
    """
    sock = listen(host, port)
    settings = FakePortOneSettings(
        api_secret=api_secret,
        store_id=store_id,
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
        speed=speed,
        seed=seed,
    )
    console = Console(stderr=True)
    console.print(
        f"[bold]a fake PortOne[/bold], which moves no money, on {address(sock)}; webhooks go to {webhook_url}\n"
        f"watch it in a browser at {address(sock)}/"
    )
    fake = FakePortOne(settings)
    if scenario is None:
        await run_together([_FakeServer(fake, sock)], [])
        return 0
    story = _Story(Player(fake, scenario, _tell), stay=stay)
    await run_together([_FakeServer(fake, sock)], [story])
    return 0 if story.went_well else 1


class _Story:
    """A story beside the server: played once, then the server may stop."""

    def __init__(self, player: Player, *, stay: bool) -> None:
        self._player = player
        self._stay = stay
        self.went_well = False

    async def __call__(self, stopping: asyncio.Event) -> None:
        playing = asyncio.create_task(self._play())
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait((playing, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not playing.done():
                _tell("stopped before the story was over")
            elif self._stay:
                await stopped
        finally:
            playing.cancel()
            stopped.cancel()
        if playing.done():
            await playing

    async def _play(self) -> None:
        try:
            await self._player.play()
        except StoryFailedError as failed:
            _tell(str(failed))
        else:
            self.went_well = True


def _tell(line: str) -> None:
    click.echo(line, err=True)


def fake_server(settings: FakePortOneSettings, sock: socket.socket) -> Server:
    """A server of the fake on ``sock``."""
    return _FakeServer(FakePortOne(settings), sock)


class _FakeServer(Server):
    """Ends the streams of open pages first: a server that stops waits for whatever is under way."""

    def __init__(self, fake: FakePortOne, sock: socket.socket) -> None:
        super().__init__(fake.app(), [sock])
        self._fake = fake

    def stop(self) -> None:
        self._fake.live.close()
        super().stop()
