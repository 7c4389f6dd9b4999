"""Everything in one process, speaking real HTTP to one another; and one purchase, told step by step."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from adapters.cli.orders import print_record
from adapters.http.buyer.page import BUILT
from adapters.http.serving import address, listen
from bootstrap import service
from bootstrap.container import Container
from bootstrap.settings import Settings, read_settings
from domain.ids import OrderId
from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.serve import Server
from gyeolje_demo.samples import SAMPLE_PRODUCTS, load_samples

_PATIENCE = 20.0  # seconds one step of the purchase may take
_console = Console(highlight=False)


class DemoFailedError(RuntimeError):
    """The purchase did not end as it must."""


async def run_demo(host: str, port: int) -> int:
    """Run everything until Ctrl-C."""
    with _place(host, port, port + 1) as place:
        built = "" if (BUILT / "index.html").is_file() else "   (not built: `make page` builds it, with Node)"
        _console.print(f"shop page   {place.shop}/{built}")
        _console.print(f"shop API   {place.shop}/api/v1/products   (described at {place.shop}/schema)")
        _console.print(f"fake PortOne   {place.fake}/")
        _console.print(f"orders are kept in {place.database} until you stop this with Ctrl-C")
        await place.run(asyncio.Event())
    return 0


async def play_once() -> int:
    """Buy one ticket over real HTTP on free ports; 0 only if the order is COMPLETED and the ledger balances."""
    with _place("127.0.0.1", 0, 0) as place:
        stopping = asyncio.Event()
        running = asyncio.create_task(place.run(stopping))
        buying = asyncio.create_task(_buy(place.shop, place.fake))
        try:
            await asyncio.wait((running, buying), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                buying.cancel()
                await running
                raise DemoFailedError("the service stopped before the purchase was over")
            order_id = await buying
        finally:
            stopping.set()
            await running
        container = Container(settings=place.settings)
        async with service.opened(container):
            print_record(await container.use_cases().show_order(OrderId(order_id)))
    _console.print("[bold green]paid, reconciled, and the ledger balances[/bold green]")
    return 0


class _Place:
    """Two listening sockets and a database file, and everything that runs on them."""

    def __init__(self, host: str, shop_port: int, fake_port: int, database: Path) -> None:
        self._shop_socket = listen(host, shop_port)
        try:
            self._fake_socket = listen(host, fake_port)
        except OSError:
            self._shop_socket.close()
            raise
        self.shop = address(self._shop_socket)
        self.fake = address(self._fake_socket)
        self.database = database
        self.settings: Settings = read_settings(
            {},
            GYEOLJE_GATEWAY="fake",
            GYEOLJE_DATABASE_URL=f"sqlite+aiosqlite:///{database}",
            GYEOLJE_PUBLIC_URL=self.shop,
            PORTONE_API_URL=self.fake,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        container = Container(settings=self.settings)
        async with service.opened(container):
            await load_samples(container.use_cases())
        await service.serve(
            Container(settings=self.settings),
            self._shop_socket,
            with_worker=True,
            beside=[Server(self._fake(), self._fake_socket)],
            stopping=stopping,
        )

    def _fake(self) -> FakePortOne:
        settings = self.settings
        return FakePortOne(
            FakePortOneSettings(
                api_secret=settings.api_secret.reveal(),
                store_id=settings.store_id,
                webhook_url=self.shop + settings.webhook_path,
                webhook_secret=settings.webhook_secrets[0].reveal(),
                speed=60.0,
                seed=0,
            )
        )

    def close(self) -> None:
        self._shop_socket.close()
        self._fake_socket.close()


@contextmanager
def _place(host: str, shop_port: int, fake_port: int) -> Iterator[_Place]:
    with tempfile.TemporaryDirectory(prefix="gyeolje-demo-") as folder:
        place = _Place(host, shop_port, fake_port, Path(folder) / "gyeolje.db")
        try:
            yield place
        finally:
            place.close()


async def _buy(shop: str, fake: str) -> str:
    """One purchase, as a browser and its buyer make it; the order's id."""
    async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE) as http:
        await _until_ready(http, shop)
        products = await _ask(http, "GET", f"{shop}/api/v1/products")
        seat = next(item for item in products["items"] if item["id"] == SAMPLE_PRODUCTS[0].id)
        price = f"{seat['price']['amount']:,} {seat['price']['currency']}"
        _console.print(f"1. the shop sells [bold]{seat['name']}[/bold] at {price}; {seat['available']} left")

        body = {"items": [{"productId": seat["id"], "quantity": 1}]}
        placed = await _ask(http, "POST", f"{shop}/api/v1/orders", json=body)
        order, checkout = placed["order"], placed["checkout"]
        _console.print(f"2. order {order['id']} is {order['status']}; its seat is held")

        following = asyncio.create_task(_follow(http, shop, order["id"], placed["token"]))
        opened = {
            "storeId": checkout["storeId"],
            "channelKey": checkout["channelKey"],
            "orderName": checkout["orderName"],
            "totalAmount": checkout["totalAmount"],
            "currency": checkout["currency"],
        }
        paid = await _ask(http, "POST", f"{fake}/_fake/payments/{checkout['paymentId']}/pay", json=opened)
        _console.print(f"3. the buyer approves {checkout['totalAmount']:,} in the payment window: {paid['status']}")

        last = await asyncio.wait_for(following, _PATIENCE)
        _console.print(f"4. a signed webhook came, PortOne was asked, and the stream told: {last['order']['status']}")
        ledger = await _ask(http, "GET", f"{fake}/_fake/ledger")
        _check(last["order"], ledger)
        _console.print(f"5. the fake's ledger: {json.dumps(ledger['totals'])}")
        return str(order["id"])


async def _until_ready(http: httpx.AsyncClient, shop: str) -> None:
    """The socket listens from the start, so the first answer comes as soon as the application is up."""
    await _ask(http, "GET", f"{shop}/health/ready")


async def _ask(http: httpx.AsyncClient, method: str, url: str, **options: Any) -> Any:
    answer = await http.request(method, url, **options)
    if answer.is_error:
        raise DemoFailedError(f"{method} {url} answered {answer.status_code}: {answer.text[:500]}")
    return answer.json()


async def _follow(http: httpx.AsyncClient, shop: str, order_id: str, token: str) -> Any:
    """The last event of the order's stream, which ends by itself once the order is reconciled."""
    headers = {"Authorization": f"Bearer {token}"}
    last: Any = None
    async with http.stream("GET", f"{shop}/api/v1/orders/{order_id}/events", headers=headers) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                last = json.loads(line.removeprefix("data:"))
                _console.print(f"   · {last['kind']}: {last['order']['status']}", style="dim")
    return last


def _check(order: Any, ledger: Any) -> None:
    if order["status"] != "COMPLETED":
        raise DemoFailedError(f"the order is {order['status']}, not COMPLETED")
    net = sum(payment["net"] for payment in ledger["payments"])
    if net != order["price"]["amount"]:
        raise DemoFailedError(f"the ledger holds {net}, and the order is worth {order['price']['amount']}")
