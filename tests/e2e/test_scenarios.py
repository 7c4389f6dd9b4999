"""`fake-portone --scenario FILE`, as somebody's CI would run it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

EXAMPLES = Path(__file__).parents[2] / "packages" / "fake-portone" / "scenarios"
STORY = """
title = "An honest buyer"
[[step]]
do = "await_payment"
payment = "ticket"
[[step]]
do = "pay"
payment = "ticket"
[[step]]
do = "expect_payment"
payment = "ticket"
net = {net}
timeout = 1
"""


def webhooks(port: int) -> str:
    return f"http://127.0.0.1:{port}/api/v1/webhooks/portone"


async def test_a_story_that_goes_as_it_should_ends_with_0(
    town: Any, new_database: Callable[..., str], a_free_port: int
) -> None:
    fake = await town.fake(webhooks(a_free_port), "--scenario", str(EXAMPLES / "double-webhook.toml"))
    playing = town.running[-1]
    shop, _ = await town.serve(new_database("sqlite"), fake, a_free_port)
    placed = await shop.place()
    await shop.until(placed, status="COMPLETED")
    assert await playing.ended() == 0, playing.log
    assert f"      ticket is {placed['checkout']['paymentId']}" in playing.log
    assert playing.log.endswith("the story went as it should\n")


async def test_a_story_that_does_not_ends_with_1_and_says_what_was_seen(town: Any, tmp_path: Path) -> None:
    path = tmp_path / "story.toml"
    path.write_text(STORY.format(net=5))
    fake = await town.fake(webhooks(9), "--scenario", str(path))
    playing = town.running[-1]
    await register(town.http, fake.url)
    assert await playing.ended() == 1, playing.log
    assert "step 3 of 3 failed: expect_payment ticket timeout=1.0 net=5\n  wanted: net 5; seen: 70\n" in playing.log
    assert "Transaction.Paid (waiting): ConnectError" in playing.log
    assert "Traceback" not in playing.log


@pytest.mark.parametrize(("net", "code"), [(70, 0), (5, 1)])
async def test_it_stays_to_be_checked_if_it_is_told_to(town: Any, tmp_path: Path, net: int, code: int) -> None:
    path = tmp_path / "story.toml"
    path.write_text(STORY.format(net=net))
    fake = await town.fake(webhooks(9), "--scenario", str(path), "--stay")
    playing = town.running[-1]
    await register(town.http, fake.url)
    async with asyncio.timeout(10):
        while "went as it should" not in playing.log and "failed" not in playing.log:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
    assert (await town.http.get(f"{fake.url}/_fake/ledger")).json()["totals"]["KRW"]["net"] == 70
    assert await playing.terminate() == code, playing.log


async def test_a_story_that_is_stopped_did_not_go_as_it_should(town: Any, tmp_path: Path) -> None:
    path = tmp_path / "story.toml"
    path.write_text(STORY.format(net=70))
    await town.fake(webhooks(9), "--scenario", str(path))
    playing = town.running[-1]
    async with asyncio.timeout(3):
        assert await playing.terminate(signal.SIGINT) == 1, playing.log
    assert "stopped before the story was over" in playing.log


async def test_a_file_that_is_no_story_is_told_so_before_anything_happens(town: Any, tmp_path: Path) -> None:
    path = tmp_path / "story.toml"
    path.write_text(STORY.format(net=70).replace('"pay"', '"payy"'))
    refused = await town.start(*town.fake_portone, "--scenario", str(path))
    assert await refused.ended() == 2
    assert refused.log.startswith(f"error: {path}: step 2 (payy), field `do`: Invalid value 'payy'; there are await")


async def test_staying_is_for_a_story(town: Any) -> None:
    refused = await town.start(*town.fake_portone, "--stay")
    assert await refused.ended() == 2
    assert "--stay goes with --scenario" in refused.log


async def register(http: httpx.AsyncClient, url: str) -> None:
    """What a shop in any language would do."""
    headers = {"Authorization": "PortOne fake-api-secret-for-development"}
    body = {"totalAmount": 70, "currency": "KRW"}
    answer = await http.post(f"{url}/payments/an-order/pre-register", json=body, headers=headers)
    assert answer.is_success, answer.text
