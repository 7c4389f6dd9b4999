"""Secrets and a customer's data, planted wherever they can enter, are found in no log, answer, stream or column."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from adapters.persistence.engine import create_engine

if TYPE_CHECKING:
    from proof import Cases

PHONE, EMAIL, NAME = "010-9876-5432", "canary@customer.example", "김카나리아"
API_SECRET = "canary-api-secret-0123456789"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"canary webhook secret").decode()
KEY = "canary-idempotency-key-31415926"
ELSEWHERE = "canary-value-in-odd-places"


@pytest.mark.proves("Secrets and personal data are found nowhere")
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
        tables = ("orders", "history", "refunds", "webhooks", "products", "placements", "orphans", "sweeps", "api_keys")
        rows = [row for table in tables for row in (await connection.execute(text(f"SELECT * FROM {table}"))).all()]  # noqa: S608 - constants
    await engine.dispose()
    return repr(rows)


PASSWORD = "canary-database-password"
AWAY = f"postgresql+asyncpg://gyeolje:{PASSWORD}@127.0.0.1:1/gyeolje"
COMMANDS = [
    ["serve", "--port", "0"],
    ["worker"],
    ["migrate"],
    ["doctor"],
    ["doctor", "--json"],
    ["orders", "list"],
    ["orders", "show", "0" * 32],
    ["orphans", "list"],
    ["products", "list"],
    ["keys", "list"],
    ["keys", "revoke", "0" * 32],
    ["sweep"],
    ["audit", "--json"],
]
IN_SHORT = [["worker"], ["doctor"], ["sweep"]]
WRONG = {
    "nothing": {},
    "the database is away": {"GYEOLJE_DATABASE_URL": AWAY},
    "a webhook secret is no base64": {"PORTONE_WEBHOOK_SECRETS": f"{WEBHOOK_SECRET},whsec_{ELSEWHERE}!"},
    "an API secret with a line break": {"PORTONE_API_SECRET": f"{API_SECRET}\r\nX-Other: {ELSEWHERE}"},
}
BEFORE_ANYTHING_IS_ASKED = {"the database is away", "a webhook secret is no base64"}


@pytest.mark.proves("Secrets and personal data are found nowhere")
@pytest.mark.parametrize("wrong", WRONG)
async def test_no_command_shows_a_secret_whatever_is_wrong(
    town: Any, tmp_path: Path, wrong: str, cases: Cases, *, full: bool
) -> None:
    fake: Any = SimpleNamespace(url="http://127.0.0.1:9")
    if wrong not in BEFORE_ANYTHING_IS_ASKED:
        fake = await town.fake("http://127.0.0.1:9/", "--api-secret", "another secret than the service has")
    database = f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    secrets = {"PORTONE_API_SECRET": API_SECRET, "PORTONE_WEBHOOK_SECRETS": WEBHOOK_SECRET}
    variables = town.variables(database, fake) | secrets | WRONG[wrong]
    lasting = {"serve", "worker"}

    async def said_by(command: list[str]) -> str:
        process = await asyncio.create_subprocess_exec(
            *town.gyeolje,
            *command,
            cwd=tmp_path,
            env={"COLUMNS": "400", "PYTHONWARNINGS": "error"} | variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        if command[0] in lasting and wrong not in BEFORE_ANYTHING_IS_ASKED:
            process_said = b""
            assert process.stdout is not None
            async with asyncio.timeout(30):
                while b"serving" not in process_said and b"working" not in process_said:
                    line = await process.stdout.readline()
                    process_said += line
                    if not line:
                        break
            if process.returncode is None:
                process.terminate()
            return (process_said + (await process.communicate())[0]).decode()
        async with asyncio.timeout(60):
            return (await process.communicate())[0].decode()

    turns = asyncio.Semaphore(2)

    async def in_turn(command: list[str]) -> str:
        async with turns:
            return await said_by(command)

    await said_by(["migrate"])
    commands = COMMANDS if full else IN_SHORT
    answers = dict(zip(map(" ".join, commands), await asyncio.gather(*map(in_turn, commands)), strict=True))
    planted = (API_SECRET, WEBHOOK_SECRET, WEBHOOK_SECRET.removeprefix("whsec_"), ELSEWHERE, PASSWORD)
    for command, said in answers.items():
        cases.run += 1
        assert said, command
        assert "Traceback" not in said, said
        assert [value for value in planted if value in said] == [], command
