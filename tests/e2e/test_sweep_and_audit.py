"""`gyeolje sweep`, `gyeolje orphans` and `gyeolje audit` as an operator runs them, and the worker's own sweeps."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import pytest

NOBODY = "http://127.0.0.1:9/nobody"  # where webhooks go, and get lost
PRICE = 20_000


async def command(town: Any, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """The exit code of a command, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *town.gyeolje,
        *arguments,
        cwd=town.folder,
        env={"PYTHONWARNINGS": "error", "COLUMNS": "200"} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def as_json(town: Any, *arguments: str, **environment: str) -> Any:
    code, out, err = await command(town, *arguments, "--json", **environment)
    assert code == 0, err
    return json.loads(out)


async def refund_in_console(fake: Any, placed: Any, **body: Any) -> None:
    url = f"{fake.url}/_fake/payments/{placed['checkout']['paymentId']}/cancel"
    assert (await fake.http.post(url, json=body)).is_success


async def pay_for_nothing(fake: Any, placed: Any, payment_id: str) -> None:
    stranger = {"checkout": placed["checkout"] | {"paymentId": payment_id}}
    await fake.pay(stranger)


@pytest.mark.proves("a sweep finds every payment that differs from its order")
async def test_what_no_webhook_told_of_is_swept_up_and_audited(town: Any, database_url: str, a_free_port: int) -> None:
    fake = await town.fake(NOBODY)
    shop, _ = await town.serve(database_url, fake, a_free_port, GYEOLJE_SWEEP_EVERY="0")
    variables = town.variables(database_url, fake)
    paid, refunded, partly = [await shop.place("programme") for _ in range(3)]
    for placed in (paid, refunded, partly):
        await fake.pay(placed)
        await shop.verify(placed)
    await refund_in_console(fake, refunded)
    await refund_in_console(fake, partly, amount=5_000)
    await pay_for_nothing(fake, paid, "nobodys-payment")
    assert (await shop.order(refunded))["status"] == "COMPLETED"

    code, told, _ = await command(town, "audit", **variables)
    assert code == 1
    assert "UNEXPLAINED" in told
    assert refunded["order"]["id"] in told
    assert told.endswith("something is unexplained\n")

    swept = await as_json(town, "sweep", **variables)
    assert (swept["payments"], swept["differing"], swept["orphans"], swept["knownOrphans"]) == (4, 2, 1, 0)
    assert set(swept["orders"]) == {refunded["order"]["id"], partly["order"]["id"]}
    await shop.until(refunded, status="CANCELLED", reason="REFUNDED")
    await shop.until(partly, refunded={"amount": 5_000, "currency": "KRW"})

    code, told, _ = await command(town, "sweep", "--since", "1h", **variables)
    assert code == 0
    assert "every order is in line with its payment" in told
    assert "1 payment without an order, 0 of them new" in told
    (orphan,) = (await as_json(town, "orphans", "list", **variables))["items"]
    assert (orphan["paymentId"], orphan["said"], orphan["captured"]["amount"]) == ("nobodys-payment", "PAID", PRICE)
    assert "nobodys-payment" in (await command(town, "orphans", "list", **variables))[1]
    _, listed, _ = await command(town, "orders", "list", **variables)
    assert all(len(line) > 80 for line in listed.splitlines()), "nothing is folded where no screen is"
    assert refunded["order"]["id"] in listed

    audited = await as_json(town, "audit", "--since", "1h", **variables)
    assert audited["balances"]["KRW"] == {
        "captured": 4 * PRICE,
        "completed": 2 * PRICE - 5_000,
        "refunded": PRICE + 5_000,
        "owed": 0,
        "byHand": 0,
        "unreconciled": 0,
        "orphaned": PRICE,
        "unexplained": 0,
    }
    code, told, _ = await command(town, "audit", **variables)
    assert code == 0
    assert "ORPHANED" in told
    assert told.endswith("nothing is unexplained\n")


async def test_what_cannot_be_reached_is_one_sentence_with_how_far_it_got(town: Any, new_database: Any) -> None:
    database_url = new_database("sqlite")
    variables = {
        "GYEOLJE_GATEWAY": "fake",
        "GYEOLJE_DATABASE_URL": database_url,
        "PORTONE_API_URL": "http://127.0.0.1:9",
    }
    for name, got_to in (("sweep", "nothing was swept yet"), ("audit", "it had not got to anything")):
        code, out, err = await command(town, name, **variables)
        assert (code, out) == (1, "")
        assert err.startswith("error: no answer from the gateway")
        assert got_to in err
        assert len(err.splitlines()) == 1
        away = variables | {"GYEOLJE_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:9/none"}
        code, out, err = await command(town, name, **away)
        assert (code, out, len(err.splitlines())) == (1, "", 1)


async def test_a_sweep_that_is_interrupted_lets_go_and_is_gone_on_with(town: Any, new_database: Any) -> None:
    database_url = new_database("sqlite")
    fake = await town.fake(NOBODY)
    await fake.faults({"name": "gateway_slow", "seconds": 60, "match": "list"})  # it will not be waited for
    variables = town.variables(database_url, fake)
    sweeping = await town.start(*town.gyeolje, "sweep", **variables)
    async with asyncio.timeout(20):
        asked = 0
        while not asked:
            asked = (await fake.http.get(f"{fake.url}/_fake/faults")).json()["on"][0]["fired"]
            await asyncio.sleep(0.02)
    code = await sweeping.terminate(signal.SIGINT)

    assert code != 0
    assert "stopped; nothing was swept yet" in sweeping.log
    assert "Traceback" not in sweeping.log
    await fake.faults()
    assert (await as_json(town, "sweep", **variables))["payments"] == 0


async def test_the_worker_sweeps_by_itself(town: Any, new_database: Any, a_free_port: int) -> None:
    database_url = new_database("sqlite")
    fake = await town.fake(NOBODY)
    shop, process = await town.serve(database_url, fake, a_free_port, GYEOLJE_SWEEP_EVERY="1")
    placed = await shop.place("programme")
    await fake.pay(placed)
    await shop.verify(placed)
    await refund_in_console(fake, placed)
    await shop.until(placed, status="CANCELLED", reason="REFUNDED")
    async with asyncio.timeout(4):
        assert await process.terminate() == 0, process.log
