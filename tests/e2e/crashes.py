"""One case of the crash matrix: a flow whose service fails at one step, in one way, and what comes after.

Real processes: the fake, and services forked by ``crashing_service`` with a database that no other case uses meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bootstrap.settings import FAKE_CHANNEL_KEY, FAKE_STORE_ID
from e2e.crashing_service import MATRIX, STEPS, Failure
from e2e.judge import Bench, Evidence, followed, violations

PRODUCT, PRICE, STOCK = "standing", 132_000, 500
PART = 30_000
PATIENCE = 40.0
_DATABASES = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Case:
    """A flow, the step after which it fails, how, and on which database."""

    flow: str
    step: str
    failure: Failure
    database: str

    def __str__(self) -> str:
        return f"{self.flow} / {self.step} / {self.failure} / {self.database}"


def every_case() -> list[Case]:
    """The whole matrix."""
    pairs = [(flow, step) for flow, steps in STEPS.items() for step in steps]
    return [Case(*pair, failure, database) for pair in pairs for failure in MATRIX for database in _DATABASES]


def slice_for_ci() -> list[Case]:
    """Every step killed once, the databases taking turns, and every sixth step failing in each other way."""
    pairs = [(flow, step) for flow, steps in STEPS.items() for step in steps]
    chosen = [Case(*pair, Failure.KILLED, _DATABASES[n % 2]) for n, pair in enumerate(pairs)]
    chosen += [
        Case(flow, steps[-1], Failure.HUNG, database) for flow, steps in STEPS.items() for database in _DATABASES
    ]
    for offset, failure in enumerate((Failure.RAISED, Failure.CANCELLED, Failure.HUNG)):
        chosen += [Case(*pair, failure, _DATABASES[n % 2]) for n, pair in enumerate(pairs[offset::6])]
    return list(dict.fromkeys(chosen))


def sleeps(*, full: bool) -> list[Case]:
    """A process that sleeps while no transaction is open, and on PostgreSQL also in the midst of one.

    SQLite's one writer cannot be helped along while it sleeps with its lock; PostgreSQL ends such a session.
    """
    chosen = []
    for flow, steps in STEPS.items():
        holds = 0
        for step in steps:
            what = step.partition(" (")[0]
            holds += (what == "unit begun") - (what == "committed")
            if not holds:
                chosen += [Case(flow, step, Failure.PAUSED, database) for database in _DATABASES]
            elif what == "commit asked":
                chosen.append(Case(flow, step, Failure.PAUSED, "postgresql"))
    few = {("check", "cancel asked"), ("check", "gateway answered"), ("webhook of another sum", "gateway answered")}
    few |= {("check", f"commit asked ({n})") for n in (3, 4, 5)}  # what will be asked, its answer, the record after it
    return [case for case in chosen if full or (case.flow, case.step) in few]


# --- processes -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Service:
    """One forked service."""

    http: httpx.AsyncClient
    url: str
    log: Path
    pid: int = 0
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def tell(self, what: str, **said: Any) -> Any:
        answer = await self.http.post(f"{self.url}/_crash/{what}", json=said)
        answer.raise_for_status()
        return answer.json()

    async def up(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self.ended.done():
                with suppress(httpx.TransportError):
                    if (await self.http.get(f"{self.url}/health/ready")).is_success:
                        return
                await asyncio.sleep(0.02)
        raise AssertionError(f"a service did not start:\n{self.log.read_text()}")

    @property
    def is_paused(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].startswith("T")

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self.pid and not self.ended.done():
            os.kill(self.pid, 9)


class Nursery:
    """Forks services; see ``crashing_service``."""

    def __init__(self, process: asyncio.subprocess.Process, http: httpx.AsyncClient, folder: Path) -> None:
        self._process = process
        self._http = http
        self._folder = folder
        self._unborn: dict[str, Service] = {}
        self._born: dict[int, Service] = {}
        self._listening = asyncio.create_task(self._listen())

    def service(self, port: int, environment: Mapping[str, str]) -> Service:
        """A new service at ``port``, which is not up yet."""
        name = uuid.uuid4().hex
        service = Service(self._http, f"http://127.0.0.1:{port}", self._folder / f"{name}.log")
        self._unborn[name] = service
        wanted = {"name": name, "port": port, "environment": dict(environment), "log": str(service.log)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
        return service

    async def close(self) -> None:
        """End it; its services die with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "started" in said:
                service = self._unborn.pop(said["name"])
                service.pid = said["started"]
                self._born[service.pid] = service
            else:
                self._born.pop(said["ended"]).ended.set_result(said["code"])


@asynccontextmanager
async def nursery(http: httpx.AsyncClient, folder: Path) -> AsyncIterator[Nursery]:
    """A running nursery; what its services write is in ``folder``."""
    tests = str(Path(__file__).parents[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GYEOLJE_", "PORTONE_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "e2e.crashing_service",
        env=kept | {"PYTHONWARNINGS": "error", "PYTHONPATH": tests},
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    running = Nursery(process, http, folder)
    try:
        yield running
    finally:
        await running.close()


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that nobody else is given, held without listening: it refuses while no service listens."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        yield int(sock.getsockname()[1])


# --- one case ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Trial:
    """One case, from its preparation to its verdict."""

    case: Case
    nursery: Nursery
    http: httpx.AsyncClient
    fake_url: str
    database_url: str
    port: int
    other_port: int
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    placed: Any = None
    before: set[str] = field(default_factory=set)
    services: list[Service] = field(default_factory=list)

    @property
    def bench(self) -> Bench:
        return Bench(self.http, self.fake_url, self.database_url)

    @property
    def _sleeps(self) -> bool:
        """Whether the service will go on from where it stopped, when others have done its work."""
        return self.case.failure in {Failure.HUNG, Failure.PAUSED}

    async def run(self) -> list[str]:
        """Let it fail, let everything come to rest, and judge."""
        try:
            return await self._run(await self._service(self.port))
        except Exception as error:  # noqa: BLE001 - one case's trouble is its own verdict
            lines = [line for service in self.services for line in service.log.read_text().splitlines()[-12:]]
            return ["\n    ".join((f"{type(error).__name__}: {error}", *lines))]
        finally:
            for service in self.services:
                service.kill()
                await service.ended

    async def _run(self, service: Service) -> list[str]:
        self.before = await self.bench.order_ids()
        await self._prepare(service)
        acting = asyncio.create_task(self._act(service))
        await self._struck(service)
        healthy = service
        if self.case.failure is Failure.KILLED:
            assert await service.ended == -9, service.log.read_text()
            healthy = await self._service(self.port)
        elif self._sleeps:
            healthy = await self._service(self.other_port)
        await healthy.tell("work")
        if not self._sleeps:
            await _over(acting)
        await self._finish(healthy)
        if self._sleeps:
            await self._rest()
            service.wake()
            await service.tell("release")
            await service.tell("work")
            await self._until(lambda: service.tell("state"), lambda state: bool(state["over"]))
            await _over(acting)
        found = await self._verdict(healthy)
        if self.case.failure is not Failure.KILLED:
            found += await self._nothing_is_leaked(service)
        return found

    async def _prepare(self, service: Service) -> None:
        """Everything that comes before the flow, unharmed."""
        flow = self.case.flow
        if flow != "place":
            self.placed = await self._place(service)
        if flow in {"refund", "check"}:
            await self._pay()
            await self._completed(service)
            await self._until(self._deliveries, lambda deliveries: all(d["state"] == "succeeded" for d in deliveries))
        await service.tell("arm", flow=flow, step=self.case.step, failure=self.case.failure)
        if flow == "check":
            for key in ("first", "second"):
                await self._refund(service, key)

    async def _act(self, service: Service) -> None:
        """The flow, which may end without an answer."""
        with suppress(httpx.TransportError):
            match self.case.flow:
                case "place":
                    await self._post_order(service)
                case "refund":
                    await self._refund(service)
                case "check":
                    await service.tell("work")
                case _:
                    await self._pay(PRICE // 2 if self.case.flow.endswith("another sum") else PRICE)

    async def _struck(self, service: Service) -> None:
        """Wait until the step was reached."""
        async with asyncio.timeout(PATIENCE):
            while not service.ended.done():
                if self.case.failure is Failure.PAUSED:
                    if service.is_paused:
                        return
                    await asyncio.sleep(0.02)
                    continue
                with suppress(httpx.TransportError):
                    if (state := await service.tell("state"))["struck"]:
                        steps = STEPS[self.case.flow]
                        expected = steps[: steps.index(self.case.step) + 1]
                        assert tuple(state["struck"])[: len(expected)] == expected, state["struck"]
                        return
                await asyncio.sleep(0.02)

    async def _finish(self, service: Service) -> None:
        """What buyers and operators do who got no answer: the same again, until there is one."""
        if self.case.flow == "place":
            self.placed = await self._place(service)
            again = await self._place(service)
            assert again["order"]["id"] == self.placed["order"]["id"], "one Idempotency-Key placed two orders"
            assert again["token"] == self.placed["token"], "one Idempotency-Key has two tokens"
            await self._pay()
        if self.case.flow == "refund":
            await self._refund(service)
            await self._refund(service)
        await self._rest()

    async def _refund(self, service: Service, key: str = "first") -> None:
        said = {"order": self.placed["order"]["id"], "amount": PART, "key": key}
        await self.http.post(f"{service.url}/_crash/refund", json=said)

    async def _verdict(self, service: Service) -> list[str]:
        order_id, payment_id = self.placed["order"]["id"], self.placed["checkout"]["paymentId"]
        await self.bench.calm([order_id], [payment_id], patience=PATIENCE)
        evidence = await self._evidence(service)
        found = violations(evidence)
        found += self._is_as_meant(evidence)
        before = await self.bench.everything([order_id])
        found += await self.bench.deliver_again([payment_id])
        await self._rest()
        if (after := await self.bench.everything([order_id])) != before:
            found.append(f"delivering everything again changed {before} to {after}")
        found += violations(await self._evidence())
        return found

    def _is_as_meant(self, evidence: Evidence) -> list[str]:
        order = evidence.orders[0]
        another_sum = self.case.flow.endswith("another sum")
        back = {"check": 2 * PART, "refund": PART}.get(self.case.flow, PRICE // 2 if another_sum else 0)
        wanted = ("CANCELLED" if another_sum else "COMPLETED", PRICE // 2 if another_sum else PRICE, back)
        assert order.balance is not None
        found = order.record["order"]["status"], order.balance["captured"], order.balance["cancelled"]
        return [] if found == wanted else [f"{wanted} was meant, and {found} came of it"]

    async def _nothing_is_leaked(self, service: Service) -> list[str]:
        """The service that failed goes on as before: it answers, and holds no connection."""
        if service.ended.done():
            return [f"the service ended with {service.ended.result()}"]
        await self._until(lambda: service.tell("state"), lambda state: state["checkedOut"] == 0)
        ready = await self.http.get(f"{service.url}/health/ready")
        return [] if ready.is_success else [f"the service is not ready any more: {ready.text}"]

    # --- what a case is made of ---

    async def _service(self, port: int) -> Service:
        environment = {
            "GYEOLJE_GATEWAY": "fake",
            "GYEOLJE_DATABASE_URL": self.database_url,
            "GYEOLJE_PUBLIC_URL": "http://127.0.0.1:8000",
            "PORTONE_API_URL": self.fake_url,
        }
        service = self.nursery.service(port, environment)
        self.services.append(service)
        await service.up()
        return service

    async def _post_order(self, service: Service) -> httpx.Response:
        body = {"items": [{"productId": PRODUCT, "quantity": 1}]}
        return await self.http.post(f"{service.url}/api/v1/orders", json=body, headers={"Idempotency-Key": self.key})

    async def _place(self, service: Service) -> Any:
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self._post_order(service)
                if answer.status_code == 201:
                    return answer.json()
                assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.1)

    async def _pay(self, amount: int = PRICE) -> None:
        said = {
            "storeId": FAKE_STORE_ID,
            "channelKey": FAKE_CHANNEL_KEY,
            "orderName": self.placed["checkout"]["orderName"],
            "totalAmount": amount,
            "currency": "KRW",
            "noticeUrls": [f"http://127.0.0.1:{self.port}/api/v1/webhooks/portone"],
        }
        url = f"{self.fake_url}/_fake/payments/{self.placed['checkout']['paymentId']}/pay"
        answer = await self.http.post(url, json=said)
        assert answer.is_success, answer.text

    async def _completed(self, service: Service) -> None:
        url = f"{service.url}/api/v1/orders/{self.placed['order']['id']}"
        headers = {"Authorization": f"Bearer {self.placed['token']}"}
        await self._until(lambda: self.http.get(url, headers=headers), lambda a: a.json()["status"] == "COMPLETED")

    async def _deliveries(self) -> list[Any]:
        every = (await self.http.get(f"{self.fake_url}/_fake/deliveries")).json()["deliveries"]
        return [one for one in every if one["payment"] == self.placed["checkout"]["paymentId"]]

    async def _rest(self) -> None:
        await self.bench.rest([self.placed["order"]["id"]], patience=PATIENCE)

    async def _evidence(self, service: Service | None = None) -> Evidence:
        ours = sorted(await self.bench.order_ids() - self.before)
        seen = {}
        if service is not None:
            order_id, token = self.placed["order"]["id"], self.placed["token"]
            seen[order_id] = [await followed(self.http, service.url, order_id, token)]
        return await self.bench.evidence(ours, intended=1, stock={PRODUCT: STOCK}, followed=seen)

    async def _until(self, ask: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> None:
        found: Any = None
        try:
            async with asyncio.timeout(PATIENCE):
                while not wanted(found := await ask()):  # noqa: ASYNC110 - another process's doing
                    await asyncio.sleep(0.08)
        except TimeoutError:
            raise AssertionError(f"it never came to pass; at last there was {found}") from None


async def _over(acting: asyncio.Task[None]) -> None:
    """Wait until the flow has ended, whatever it answered: what it did is judged by what it left."""
    async with asyncio.timeout(PATIENCE):
        await acting


# --- many cases at once --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Arena:
    """Where cases are tried: one fake, one nursery, and databases that are used by one case after the other.

    ``unexplained`` is what the audit of one of them could not explain.
    """

    nursery: Nursery
    http: httpx.AsyncClient
    fake_url: str
    new_database: Callable[[str], str]
    at_once: int = 4  # on each database
    unexplained: list[str] = field(default_factory=list)

    async def try_all(self, cases: list[Case]) -> dict[Case, list[str]]:
        """What is wrong with each case; none, if all is well."""
        found: dict[Case, list[str]] = {}

        async def one_after_the_other(waiting: Iterator[Case], database_url: str) -> None:
            with reserved_port() as port, reserved_port() as other_port:
                for case in waiting:
                    trial = Trial(case, self.nursery, self.http, self.fake_url, database_url, port, other_port)
                    found[case] = await trial.run()
                    if found[case]:
                        database_url = self.new_database(case.database)  # that one may never come to rest
                self.unexplained += await Bench(self.http, self.fake_url, database_url).audit()

        async with asyncio.TaskGroup() as group:
            for database in _DATABASES:
                waiting = iter([case for case in cases if case.database == database])
                for _ in range(min(self.at_once, sum(case.database == database for case in cases))):
                    group.create_task(one_after_the_other(waiting, self.new_database(database)))
        return found


def told(found: Mapping[Case, list[str]]) -> str:
    """The cases in which something is wrong, for whoever reads the failure."""
    wrong = [f"{case}\n" + "\n".join(f"  - {one}" for one in what) for case, what in found.items() if what]
    return "\n".join(itertools.chain([f"{len(wrong)} of {len(found)} cases:"], wrong))
