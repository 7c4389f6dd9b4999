"""Real processes: the service and the fake as somebody would start them, and a buyer who speaks HTTP to both."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from stock import stock

GYEOLJE = (str(Path(sys.executable).with_name("gyeolje")),)
FAKE_PORTONE = (str(Path(sys.executable).with_name("fake-portone")),)
PATIENCE = 30.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass(slots=True)
class Process:
    """One started command; everything it writes to standard error is kept."""

    process: asyncio.subprocess.Process
    said: list[str] = field(default_factory=list)
    reading: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.said.append(line.decode())

    @property
    def log(self) -> str:
        return "".join(self.said)

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.ended()

    async def terminate(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        if self.reading is not None:
            await self.reading
        return code


@dataclass(slots=True)
class Shop:
    """The service, seen by a buyer."""

    http: httpx.AsyncClient
    url: str

    async def place(self, product: str = "vip-1-1", quantity: int = 1, **headers: str) -> Any:
        body = {"items": [{"productId": product, "quantity": quantity}]}
        answer = await self.http.post(f"{self.url}/api/v1/orders", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def order(self, placed: Any) -> Any:
        answer = await self.http.get(f"{self.url}/api/v1/orders/{placed['order']['id']}", headers=bearer(placed))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def verify(self, placed: Any) -> httpx.Response:
        url = f"{self.url}/api/v1/orders/{placed['order']['id']}/verify"
        return await self.http.post(url, headers=bearer(placed))

    async def until(self, placed: Any, **wanted: Any) -> Any:
        """The order once it stands as ``wanted``; asked again and again, for that is what is observed."""
        order: Any = None
        async with asyncio.timeout(PATIENCE):
            while order is None or any(order[name] != value for name, value in wanted.items()):
                try:
                    order = await self.order(placed)
                except httpx.TransportError:
                    continue
                await asyncio.sleep(0.05)
        return order


@dataclass(slots=True)
class PortOne:
    """The fake, seen by whoever plays the buyer at PortOne's payment window, and by the judge."""

    http: httpx.AsyncClient
    url: str

    async def pay(self, placed: Any, **tampered: Any) -> httpx.Response:
        asked = placed["checkout"]
        fields = ("storeId", "channelKey", "orderName", "totalAmount", "taxFreeAmount", "currency")
        body = {name: asked[name] for name in fields if name in asked} | tampered
        answer = await self.http.post(f"{self.url}/_fake/payments/{asked['paymentId']}/pay", json=body)
        assert answer.is_success, answer.text
        return answer

    async def faults(self, *faults: Mapping[str, Any]) -> None:
        answer = await self.http.put(f"{self.url}/_fake/faults", json=list(faults))
        assert answer.is_success, answer.text

    async def record(self, placed: Any) -> Any:
        answer = await self.http.get(f"{self.url}/_fake/ledger")
        payments = {payment["id"]: payment for payment in answer.json()["payments"]}
        return payments[placed["checkout"]["paymentId"]]

    async def until(self, placed: Any, **wanted: Any) -> Any:
        record: Any = None
        async with asyncio.timeout(PATIENCE):
            while record is None or any(record[name] != value for name, value in wanted.items()):
                record = await self.record(placed)
                await asyncio.sleep(0.05)
        return record

    async def deliveries(self) -> list[Any]:
        return list((await self.http.get(f"{self.url}/_fake/deliveries")).json()["deliveries"])


def bearer(placed: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {placed['token']}"}


@dataclass(slots=True)
class Town:
    """Where the processes of one test live."""

    http: httpx.AsyncClient
    folder: Path
    running: list[Process] = field(default_factory=list)
    gyeolje: tuple[str, ...] = GYEOLJE
    fake_portone: tuple[str, ...] = FAKE_PORTONE

    def shop(self, url: str) -> Shop:
        return Shop(self.http, url)

    async def start(self, *command: str, **environment: str) -> Process:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GYEOLJE_", "PORTONE_"))}
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=kept | {"PYTHONWARNINGS": "error"} | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        started = Process(process)
        started.reading = asyncio.create_task(started.listen())
        self.running.append(started)
        return started

    async def fake(self, webhook_url: str, *options: str) -> PortOne:
        port = free_port()
        command = (*FAKE_PORTONE, "--port", str(port), "--webhook-url", webhook_url, *options)
        process = await self.start(*command)
        url = f"http://127.0.0.1:{port}"
        await self.answers(f"{url}/_fake/ledger", process)
        return PortOne(self.http, url)

    async def serve(
        self, database_url: str, fake: PortOne, port: int, *options: str, **more: str
    ) -> tuple[Shop, Process]:
        """The service, with something to sell."""
        await stock(database_url)
        variables = self.variables(database_url, fake) | more
        process = await self.start(*GYEOLJE, "serve", "--port", str(port), *options, **variables)
        url = f"http://127.0.0.1:{port}"
        await self.answers(f"{url}/health/ready", process)
        return Shop(self.http, url), process

    async def run(self, *arguments: str, **environment: str) -> str:
        """What a command that ends by itself printed."""
        process = await asyncio.create_subprocess_exec(
            *GYEOLJE,
            *arguments,
            cwd=self.folder,
            env={"PYTHONWARNINGS": "error"} | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def worker(self, database_url: str, fake: PortOne) -> Process:
        return await self.start(*GYEOLJE, "worker", **self.variables(database_url, fake))

    def variables(self, database_url: str, fake: PortOne) -> dict[str, str]:
        return {
            "GYEOLJE_GATEWAY": "fake",
            "GYEOLJE_DATABASE_URL": database_url,
            "GYEOLJE_PUBLIC_URL": "http://127.0.0.1:8000",
            "PORTONE_API_URL": fake.url,
        }

    async def answers(self, url: str, process: Process) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                assert process.process.returncode is None, process.log
                try:
                    if (await self.http.get(url)).is_success:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.05)


@asynccontextmanager
async def town_in(folder: Path) -> AsyncIterator[Town]:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE, limits=limits) as http:
        town = Town(http, folder)
        try:
            yield town
        finally:
            for process in town.running:
                await process.kill()


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_works() -> None:
    """Whoever started us in the background may have us ignore SIGINT, and the processes we start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with town_in(tmp_path) as town:
        yield town


@pytest.fixture
def a_free_port() -> int:
    return free_port()


@pytest.fixture
def another_free_port() -> int:
    return free_port()
