"""Everybody at one order at once, in two processes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import pytest
from sqlalchemy import text

from adapters.persistence.engine import create_engine
from adapters.persistence.sql import SqlStore
from application.read_order import ShowOrder
from bootstrap.settings import FAKE_STORE_ID, FAKE_WEBHOOK_SECRET
from domain.ids import OrderId


def signed(payment_id: str) -> tuple[dict[str, str], bytes]:
    """One webhook as PortOne signs it, written down here by its specification."""
    data = {"paymentId": payment_id, "storeId": FAKE_STORE_ID, "transactionId": str(uuid.uuid4())}
    body = json.dumps({"type": "Transaction.Paid", "timestamp": "2026-01-01T00:00:00.000Z", "data": data}).encode()
    webhook_id, timestamp = str(uuid.uuid4()), str(int(time.time()))
    key = base64.b64decode(FAKE_WEBHOOK_SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
    headers = {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    return headers, body


@pytest.mark.proves("Everybody at one order at once makes one transition and one refund")
@pytest.mark.parametrize("tampered", [False, True])
async def test_a_hundred_webhooks_twenty_returns_and_five_workers_make_one_transition(
    town: Any, database_url: str, a_free_port: int, another_free_port: int, *, tampered: bool
) -> None:
    fake = await town.fake("http://127.0.0.1:9/nobody", "--speed", "1")
    shop, first = await town.serve(database_url, fake, a_free_port)
    other, second = await town.serve(database_url, fake, another_free_port)
    workers = [await town.worker(database_url, fake) for _ in range(3)]
    placed = await shop.place()
    await fake.pay(placed, **({"totalAmount": 1_000} if tampered else {}))
    await make_due(database_url)

    headers, body = signed(placed["checkout"]["paymentId"])
    webhooks = [
        town.http.post(f"{at.url}/api/v1/webhooks/portone", content=body, headers=headers) for at in (shop, other) * 50
    ]
    returns = [at.verify(placed) for at in (shop, other) * 10]
    answers = await asyncio.gather(*webhooks, *returns)

    assert {answer.status_code for answer in answers} == {200}
    said = [answer.json()["status"] for answer in answers[:100]]
    assert said.count("duplicate") == 99, said
    wanted = {"status": "CANCELLED", "reason": "MISMATCH"} if tampered else {"status": "COMPLETED"}
    await shop.until(placed, **wanted)
    captured = 1_000 if tampered else 355_000
    ledger = await fake.until(placed, captured=captured, net=0 if tampered else captured)
    assert ledger["cancelled"] == (1_000 if tampered else 0)

    engine = create_engine(database_url)
    record = await ShowOrder(SqlStore(engine))(OrderId(placed["order"]["id"]))
    await engine.dispose()
    kinds = [entry.kind.value for entry in record.history]
    assert kinds.count("completed") + kinds.count("cancelled") == 1, kinds
    assert [entry.seq for entry in record.history] == list(range(1, len(kinds) + 1))
    assert len(record.refunds) == (1 if tampered else 0)
    for process in (first, second, *workers):
        assert process.process.returncode is None, process.log
        assert "Traceback" not in process.log, process.log


async def make_due(database_url: str) -> None:
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE orders SET check_at = 0 WHERE status = 'PENDING'"))
    await engine.dispose()
