"""A purchase between real processes, with the variables of the documentation and nothing else."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import pytest

from adapters.persistence.engine import create_engine
from adapters.persistence.sql import SqlStore
from application.read_order import OrderRecord, ShowOrder
from domain.ids import OrderId

HONEST = {"status": "COMPLETED", "reason": None}


async def record_of(database_url: str, placed: Any) -> OrderRecord:
    engine = create_engine(database_url)
    try:
        return await ShowOrder(SqlStore(engine))(OrderId(placed["order"]["id"]))
    finally:
        await engine.dispose()


@pytest.fixture
async def place(database_url: str, town: Any, a_free_port: int) -> Any:
    """The service and the fake, each a process, on each database."""
    fake = await town.fake(f"http://127.0.0.1:{a_free_port}/api/v1/webhooks/portone", "--speed", "600")
    shop, process = await town.serve(database_url, fake, a_free_port)
    return shop, fake, process


async def test_a_buyer_pays_and_the_webhook_completes_the_order(place: Any, database_url: str) -> None:
    shop, fake, _ = place
    placed = await shop.place()
    assert placed["order"]["price"] == {"amount": 355_000, "currency": "KRW"}
    await fake.pay(placed)
    await shop.until(placed, **HONEST)
    assert (await fake.record(placed))["net"] == 355_000
    record = await record_of(database_url, placed)
    kinds = [entry.kind.value for entry in record.history]
    assert kinds[0] == "placed"
    assert kinds.count("completed") == 1
    assert kinds[-1] == "completed"
    assert record.order.check_at is None


@pytest.mark.parametrize(
    ("tampered", "differs"),
    [
        ({"totalAmount": 1_000}, ["amount"]),
        ({"currency": "USD"}, ["currency"]),
        ({"storeId": "store-11111111-1111-4111-8111-111111111111"}, ["store"]),
        ({"channelType": "TEST"}, ["channel"]),
    ],
)
@pytest.mark.parametrize("lost_answer", [False, True])
async def test_a_tampered_payment_never_completes_an_order_and_goes_back_in_full(
    place: Any, database_url: str, tampered: dict[str, Any], differs: list[str], *, lost_answer: bool
) -> None:
    shop, fake, _ = place
    if lost_answer:
        await fake.faults({"name": "cancel_answer_lost", "times": 1})
    placed = await shop.place()
    await fake.pay(placed, **tampered)
    await shop.verify(placed)
    await shop.until(placed, status="CANCELLED", reason="MISMATCH")
    back = await fake.until(placed, net=0)
    assert back["captured"] == back["cancelled"] == tampered.get("totalAmount", 355_000)
    async with asyncio.timeout(20):
        while (record := await record_of(database_url, placed)).order.owed:  # noqa: ASYNC110 - another process's rows
            await asyncio.sleep(0.1)
    assert [refund.status.value for refund in record.refunds] == ["SUCCEEDED"]
    cancelled = next(entry for entry in record.history if entry.kind.value == "cancelled")
    assert cancelled.data["differs"] == differs
    products = (await shop.http.get(f"{shop.url}/api/v1/products")).json()["items"]
    assert next(item for item in products if item["id"] == "vip-1-1")["available"] == 1


async def test_a_webhook_that_meets_a_dead_gateway_is_kept_and_the_order_completes_later(place: Any) -> None:
    shop, fake, _ = place
    placed = await shop.place()
    await fake.faults({"name": "gateway_5xx", "times": 6})
    await fake.pay(placed)
    await shop.until(placed, **HONEST)
    assert (await fake.record(placed))["net"] == 355_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_service_cleanly_with_a_stream_open(place: Any, number: signal.Signals) -> None:
    shop, _, process = place
    placed = await shop.place()
    url = f"{shop.url}/api/v1/orders/{placed['order']['id']}/events"
    async with shop.http.stream("GET", url, headers={"Authorization": f"Bearer {placed['token']}"}) as stream:
        lines = stream.aiter_lines()
        while not (await anext(lines)).startswith("data:"):
            pass
        async with asyncio.timeout(3):
            assert await process.terminate(number) == 0, process.log
        assert [line async for line in lines if line.startswith("data:")] == []


async def test_the_command_line_shows_the_order(place: Any, database_url: str, town: Any) -> None:
    shop, fake, _ = place
    placed = await shop.place()
    await fake.pay(placed)
    await shop.until(placed, **HONEST)
    variables = town.variables(database_url, fake)
    shown = json.loads(await town.run("orders", "show", placed["order"]["id"], "--json", **variables))
    assert set(shown) == {"order", "history", "refunds"}
    assert shown["order"]["status"] == "COMPLETED"
    assert shown["history"][0]["seq"] == 1
    listed = json.loads(await town.run("orders", "list", "--json", **variables))
    assert [order["id"] for order in listed["items"]] == [placed["order"]["id"]]
    found = json.loads(await town.run("doctor", "--json", **variables))
    assert all(finding["ok"] for finding in found), found
