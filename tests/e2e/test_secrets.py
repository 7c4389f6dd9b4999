"""Secrets and a customer's data, planted wherever they can enter, are found in no log, answer, stream or column."""

from __future__ import annotations

import base64
import json
from typing import Any

from sqlalchemy import text

from adapters.persistence.sql import create_engine

PHONE, EMAIL, NAME = "010-9876-5432", "canary@customer.example", "김카나리아"
API_SECRET = "canary-api-secret-0123456789"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"canary webhook secret").decode()
KEY = "canary-idempotency-key-31415926"
ELSEWHERE = "canary-value-in-odd-places"


async def test_what_was_planted_is_found_nowhere(town: Any, database_url: str, a_free_port: int) -> None:
    fake = await town.fake(
        f"http://127.0.0.1:{a_free_port}/api/v1/webhooks/portone",
        *("--speed", "600", "--api-secret", API_SECRET, "--webhook-secret", WEBHOOK_SECRET),
    )
    secrets = {"PORTONE_API_SECRET": API_SECRET, "PORTONE_WEBHOOK_SECRETS": WEBHOOK_SECRET}
    shop, process = await town.serve(database_url, fake, a_free_port, **secrets)
    answers: list[str] = []

    async def ask(method: str, path: str, **more: Any) -> Any:
        answer = await town.http.request(method, f"{shop.url}{path}", **more)
        answers.append(f"{dict(answer.headers)} {answer.text}")
        return answer

    body = {
        "items": [{"productId": "vip-1-1", "quantity": 1}],
        "customer": {"name": NAME, "email": EMAIL, "phone": PHONE},
    }
    placed = (await town.http.post(f"{shop.url}/api/v1/orders", json=body, headers={"Idempotency-Key": KEY})).json()
    assert placed["checkout"]["customer"]["phoneNumber"] == PHONE, "the payment window is the one place it goes to"
    token, order_id = placed["token"], placed["order"]["id"]
    bearer = {"Authorization": f"Bearer {token}"}
    ticket = (await town.http.post(f"{shop.url}/api/v1/orders/{order_id}/ticket", headers=bearer)).json()["ticket"]

    await ask("POST", "/api/v1/orders", json=body | {"note": ELSEWHERE})
    await ask("POST", "/api/v1/orders", content=json.dumps(body)[:-9], headers={"Content-Type": "application/json"})
    await ask("POST", "/api/v1/orders", json=body | {"items": [{"productId": "x", "quantity": PHONE}]})
    await ask("GET", f"/api/v1/orders/{order_id}?token={token}&phone={PHONE}")
    await ask("GET", f"/api/v1/orders/{order_id}", headers={"Authorization": f"Basic {ELSEWHERE}", "Cookie": ELSEWHERE})
    await ask("GET", f"/api/v1/orders/{order_id}", headers=bearer | {"X-Forwarded-For": ELSEWHERE})
    await ask("POST", "/api/v1/webhooks/portone", json={"data": PHONE}, headers={"webhook-signature": ELSEWHERE})
    pay = {"customer": {"fullName": NAME, "phoneNumber": PHONE, "email": EMAIL}} | {
        name: placed["checkout"][name] for name in ("storeId", "channelKey", "orderName", "totalAmount", "currency")
    }
    url = f"{fake.url}/_fake/payments/{placed['checkout']['paymentId']}/pay"
    paid = await town.http.post(url, json=pay)
    if paid.status_code == 400:  # the fake records no customer of its own
        pay.pop("customer")
        paid = await town.http.post(url, json=pay)
    assert paid.is_success, paid.text
    await shop.until(placed, status="COMPLETED")
    await ask("POST", f"/api/v1/orders/{order_id}/verify", headers=bearer, content=PHONE)
    await ask("POST", f"/api/v1/orders/{order_id}/cancel", headers=bearer)
    await ask("GET", f"/api/v1/orders/{order_id}/events?ticket={ticket}")
    await ask("GET", f"/api/v1/orders/{order_id}/events?ticket={ELSEWHERE}")
    await ask("GET", "/health/ready")
    await ask("GET", "/schema")
    assert await process.terminate() == 0

    planted = (PHONE, EMAIL, NAME, API_SECRET, WEBHOOK_SECRET, KEY, ELSEWHERE, token, ticket)
    sinks = {"log": process.log, "answers": "\n".join(answers), "columns": await columns(database_url)}
    found = [(value, sink) for sink, content in sinks.items() for value in planted if value in content]
    assert found == []
    assert order_id in sinks["log"], "the log does say which order it was about"
    assert '"status":"COMPLETED"' in sinks["answers"], "the stream was read"
    assert order_id in sinks["columns"], "the columns were read"


async def columns(database_url: str) -> str:
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        tables = ("orders", "history", "refunds", "webhooks", "products", "placements", "orphans", "sweeps")
        rows = [row for table in tables for row in (await connection.execute(text(f"SELECT * FROM {table}"))).all()]  # noqa: S608 - constants
    await engine.dispose()
    return repr(rows)
