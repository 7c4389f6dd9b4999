"""A bad network between the service and PortOne, and a gateway that does not know us any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.crashes import Nursery, Service, nursery, reserved_port
from e2e.fault_proxy import FaultProxy, Toxic
from e2e.judge import Bench, violations

PRICE, HALF = 132_000, 66_000
OPERATIONS = ("get", "cancel", "webhook")
_MATCHED: dict[str, Callable[[bytes], bool]] = {
    "get": lambda line: line.startswith(b"GET /payments/"),
    "cancel": lambda line: line.startswith(b"POST /payments/") and b"/cancel" in line,
    "webhook": lambda line: line.startswith(b"POST /api/v1/webhooks/portone"),
}
PATIENCE = 200.0


@pytest.fixture
async def ground(town: Any, tmp_path: Path) -> AsyncIterator[tuple[Nursery, Any]]:
    fake = await town.fake("http://127.0.0.1:9/nobody", "--speed", "2000")
    async with nursery(town.http, tmp_path) as born:
        yield born, fake


async def spoilt(
    toxic: Toxic, operation: str, database_url: str, ground: tuple[Nursery, Any], *, full: bool
) -> list[str]:
    """One order for what it costs and one for another sum, with answers to ``operation`` spoilt."""
    born, fake = ground
    async with AsyncExitStack() as stack:
        port = stack.enter_context(reserved_port())
        target = port if operation == "webhook" else int(fake.url.rpartition(":")[2])
        times, seconds = (1, 65.0) if full else (3, 2.5)  # longer than any limit of ours, once; or briefly, thrice
        proxy = FaultProxy(target, toxic, _MATCHED[operation], times, seconds)
        await stack.enter_async_context(proxy.running())
        variables = {
            "GYEOLJE_GATEWAY": "fake",
            "GYEOLJE_DATABASE_URL": database_url,
            "PORTONE_API_URL": fake.url if operation == "webhook" else proxy.url,
        }
        service = born.service(port, variables)
        stack.callback(service.kill)
        await service.up()
        await service.tell("work")
        notices = proxy.url if operation == "webhook" else service.url
        placed = [await place(service) for _ in range(2)]
        for one, sum_ in zip(placed, (PRICE, HALF), strict=True):
            await fake.pay(one, totalAmount=sum_, noticeUrls=[f"{notices}/api/v1/webhooks/portone"])
        bench = Bench(fake.http, fake.url, database_url)
        return await judged(bench, placed, proxy)


async def place(service: Service) -> Any:
    body = {"items": [{"productId": "standing", "quantity": 1}]}
    answer = await service.http.post(f"{service.url}/api/v1/orders", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def judged(bench: Bench, placed: list[Any], proxy: FaultProxy) -> list[str]:
    payments = {one["checkout"]["paymentId"] for one in placed}
    await bench.rest(patience=PATIENCE)
    await bench.calm([one["order"]["id"] for one in placed], payments, patience=PATIENCE)
    evidence = await bench.evidence(intended=2, stock={"standing": 500})
    found = violations(evidence) + await bench.audit()
    status = {order.record["order"]["id"]: order.record["order"]["status"] for order in evidence.orders}
    said = [status[one["order"]["id"]] for one in placed]
    if said != ["COMPLETED", "CANCELLED"]:
        found.append(f"the orders became {said}")
    if not proxy.spoilt:
        found.append("nothing was spoilt")
    before = await bench.everything(status)
    found += await bench.deliver_again(payments)
    await bench.rest(patience=PATIENCE)
    if await bench.everything(status) != before:
        found.append("delivering everything again changed something")
    return found


@pytest.mark.proves("No money is lost on a bad network to PortOne")
async def test_a_bad_network_to_the_gateway_loses_nothing(
    ground: tuple[Nursery, Any], new_database: Any, cases: Any, *, full: bool
) -> None:
    kinds = ("sqlite", "postgresql")
    scenarios = [(toxic, operation) for toxic in Toxic for operation in OPERATIONS]
    chosen = [(*one, kinds[n % 2]) for n, one in enumerate(scenarios)]
    if full:
        chosen = [(*one, kind) for one in scenarios for kind in kinds]
    limit = asyncio.Semaphore(15 if full else 5)

    async def one(toxic: Toxic, operation: str, kind: str) -> list[str]:
        url = new_database(kind)
        async with limit:
            return await spoilt(toxic, operation, url, ground, full=full)

    async with asyncio.TaskGroup() as group:
        tasks = {scenario: group.create_task(one(*scenario)) for scenario in chosen}
    found = {scenario: task.result() for scenario, task in tasks.items() if task.result()}
    cases.run += len(tasks)
    cases.violated += len(found)
    assert not found, found


@pytest.mark.proves("No money is lost while the gateway refuses our secret")
async def test_a_gateway_that_refuses_our_secret_changes_nothing_until_it_takes_it_again(
    database_url: str, town: Any, a_free_port: int
) -> None:
    fake = await town.fake(f"http://127.0.0.1:{a_free_port}/api/v1/webhooks/portone", "--speed", "2000")
    shop, process = await town.serve(database_url, fake, a_free_port)
    placed = [await shop.place("standing") for _ in range(2)]
    await fake.faults({"name": "gateway_401"})
    for one, sum_ in zip(placed, (PRICE, HALF), strict=True):
        await fake.pay(one, totalAmount=sum_)
    bench = Bench(town.http, fake.url, database_url)

    async with asyncio.timeout(PATIENCE):
        while not all(order.record["order"]["attention"] for order in (await evidence_of(bench)).orders):
            await bench.make_due()
            await asyncio.sleep(0.3)

    for order in (await evidence_of(bench)).orders:
        assert order.record["order"]["status"] == "PENDING"
        assert [entry["kind"] for entry in order.record["history"]] == ["placed", "attention"]
        assert "credentials" in order.record["order"]["attention"]
        assert order.balance is not None
        assert order.balance["cancelled"] == 0
        assert set(order.acknowledged) <= set(order.kept)
    assert "credentials" in process.log
    assert (await shop.verify(placed[0])).json()["status"] == "PENDING"

    await fake.faults()
    await bench.rest(patience=PATIENCE)
    evidence = await evidence_of(bench)
    assert violations(evidence) == []
    assert await bench.audit() == []
    assert {order.record["order"]["status"] for order in evidence.orders} == {"COMPLETED", "CANCELLED"}
    assert [order.record["order"]["attention"] for order in evidence.orders] == [None, None]


async def evidence_of(bench: Bench) -> Any:
    return await bench.evidence(intended=2, stock={"standing": 500})


async def test_the_proxy_passes_on_what_it_does_not_spoil(town: Any) -> None:
    fake = await town.fake("http://127.0.0.1:9/nobody")
    port = int(fake.url.rpartition(":")[2])
    proxy = FaultProxy(port, Toxic.TRUNCATION, lambda line: b"/_fake/ledger" in line, 1, 0)
    async with proxy.running():
        assert (await town.http.get(f"{proxy.url}/_fake/deliveries")).json() == {"deliveries": []}
        with pytest.raises(httpx.RemoteProtocolError):
            await town.http.get(f"{proxy.url}/_fake/ledger")
        assert (await town.http.get(f"{proxy.url}/_fake/ledger")).is_success
