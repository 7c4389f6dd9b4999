"""What one request to the gateway costs, by transport: CPU time in this process, and throughput at 16 at once.

The server is another process that says one fixed record, so it is never what is measured. Prints JSON; the ratios hold
from machine to machine, the absolute figures do not. Run: python benchmarks/gateway_transport.py
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue

import httpx
import uvloop
from httpx_aiohttp import AiohttpTransport

from adapters.portone.gateway import PortOneGateway
from adapters.portone.transport import gateway_client
from domain.ids import PaymentId

PAYMENT = PaymentId("0123456789abcdef0123456789abcdef")
REQUESTS, AT_ONCE, ROUNDS = 4_000, 16, 3
RECORD = json.dumps(
    {
        "status": "PAID",
        "id": PAYMENT,
        "transactionId": "55451513-9763-4a7a-bb43-78a4c65be843",
        "storeId": "store-ae356798-3d20-4969-b739-14c6b0e1a667",
        "updatedAt": "2024-04-25T10:00:00Z",
        "statusChangedAt": "2024-04-25T10:00:00Z",
        "orderName": "VIP 1열 1번",
        "amount": {"total": 71000, "taxFree": 0, "vat": 6455, "discount": 0, "paid": 71000, "cancelled": 0},
        "currency": "KRW",
        "customer": {"name": "a", "email": "a@example.com"},
        "channel": {"type": "LIVE", "key": "channel-key", "pgProvider": "KAKAOPAY", "pgMerchantId": "CA00000000"},
        "method": {"type": "PaymentMethodEasyPay", "provider": "KAKAOPAY"},
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(RECORD), RECORD)


class Stub(asyncio.Protocol):
    """Says the same record to every request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        *requests, self.rest = (self.rest + data).split(b"\r\n\r\n")
        self.transport.write(ANSWER * len(requests))  # type: ignore[attr-defined]


def serve(port: SimpleQueue[int]) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(forever())


def clients(base_url: str) -> dict[str, Callable[[], httpx.AsyncClient]]:
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    return {
        "httpx": lambda: httpx.AsyncClient(base_url=base_url),
        "httpx, tuned": lambda: httpx.AsyncClient(base_url=base_url, trust_env=False, limits=limits),
        "httpx over aiohttp": lambda: httpx.AsyncClient(
            base_url=base_url, trust_env=False, transport=AiohttpTransport(trust_env=False, limits=limits)
        ),
        "ours": lambda: gateway_client(base_url),
    }


async def measure(client: httpx.AsyncClient) -> tuple[float, float]:
    """CPU seconds and wall seconds for one ``PortOneGateway.get``, the best of some rounds."""
    gateway = PortOneGateway(client, api_secret="x" * 86, store_id="store-ae356798-3d20-4969-b739-14c6b0e1a667")

    async def ask(times: int) -> None:
        for _ in range(times):
            await gateway.get(PAYMENT)

    async def round_of(requests: int) -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(ask(requests // AT_ONCE) for _ in range(AT_ONCE)))
        return (time.process_time() - cpu) / requests, (time.perf_counter() - wall) / requests

    await round_of(REQUESTS // 10)
    rounds = [await round_of(REQUESTS) for _ in range(ROUNDS)]
    return min(cpu for cpu, _ in rounds), min(wall for _, wall in rounds)


async def compare(port: int) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    base: tuple[float, float] | None = None
    for name, new_client in clients(f"http://127.0.0.1:{port}").items():
        async with new_client() as client:
            cpu, wall = await measure(client)
        base = base or (cpu, wall)
        figures[name] = {
            "cpu_microseconds": round(cpu * 1e6),
            "requests_per_second": round(1 / wall),
            "times_less_cpu": round(base[0] / cpu, 2),
            "times_more_requests": round(base[1] / wall, 2),
        }
    return figures


def main() -> None:
    context = multiprocessing.get_context("spawn")
    port: SimpleQueue[int] = context.SimpleQueue()
    server = context.Process(target=serve, args=(port,), daemon=True)
    server.start()
    try:
        print(json.dumps(uvloop.run(compare(port.get())), indent=2))
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
