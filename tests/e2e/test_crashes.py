"""Death at every step between a webhook's arrival and its answer. The fake's ledger is the judge."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

SERVICE = Path(__file__).with_name("crashing_service.py")


def steps() -> tuple[str, ...]:
    """The list in the service itself, read without running it."""
    for node in ast.parse(SERVICE.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "STEPS":
            return tuple(ast.literal_eval(node.value))
    raise AssertionError("no STEPS")


@pytest.mark.parametrize("step", steps())
async def test_no_payment_is_lost_when_the_service_dies(
    step: str, database_url: str, town: Any, a_free_port: int
) -> None:
    webhook_url = f"http://127.0.0.1:{a_free_port}/api/v1/webhooks/portone"
    fake = await town.fake(webhook_url, "--speed", "600")
    shop, first = await town.serve(database_url, fake, a_free_port, "--no-worker")
    placed = await shop.place()
    await first.kill()
    command = (sys.executable, str(SERVICE), str(a_free_port), step)
    dying = await town.start(*command, **town.variables(database_url, fake))
    await town.answers(f"{shop.url}/health/ready", dying)

    await fake.pay(placed)

    assert await dying.ended() == -9, dying.log
    await town.serve(database_url, fake, a_free_port)
    order = await shop.until(placed, status="COMPLETED")
    assert order["refunded"] == {"amount": 0, "currency": "KRW"}
    record = await fake.record(placed)
    assert (record["status"], record["net"]) == ("PAID", 355_000)
