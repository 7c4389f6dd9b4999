"""Run the fake PortOne as a server of its own."""

from __future__ import annotations

import socket

from rich.console import Console

from adapters.portone.fake import FakePortOne, FakePortOneSettings
from bootstrap.serving import Server, address, listen, run_together


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
) -> None:
    """Serve a fake PortOne until a signal comes."""
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
    await run_together([fake_server(settings, sock)], [])


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
