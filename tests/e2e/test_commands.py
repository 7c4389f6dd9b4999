"""The commands a newcomer types."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import httpx
import pytest


async def test_one_command_plays_a_purchase(town: Any) -> None:
    printed = await town.run("demo", "--once")
    assert "VIP 1열 1번 at 355,000 KRW" in printed
    assert "completed: COMPLETED" in printed
    assert "the ledger balances" in printed


async def test_the_demo_serves_until_ctrl_c_and_stops_cleanly_with_a_stream_open(town: Any, a_free_port: int) -> None:
    demo = await town.start(*town.gyeolje, "demo", "--port", str(a_free_port))
    url = f"http://127.0.0.1:{a_free_port}"
    await town.answers(f"{url}/health/ready", demo)
    shop = town.shop(url)
    placed = await shop.place()
    events = f"{url}/api/v1/orders/{placed['order']['id']}/events"
    async with town.http.stream("GET", events, headers={"Authorization": f"Bearer {placed['token']}"}) as stream:
        lines = stream.aiter_lines()
        while not (await anext(lines)).startswith("data:"):
            pass
        async with asyncio.timeout(3):
            assert await demo.terminate(signal.SIGINT) == 0, demo.log
    assert "Traceback" not in demo.log


async def test_several_processes_serve_one_address(town: Any, database_url: str, a_free_port: int) -> None:
    fake = await town.fake(f"http://127.0.0.1:{a_free_port}/api/v1/webhooks/portone", "--speed", "600")
    shop, process = await town.serve(database_url, fake, a_free_port, "--workers", "3")
    placed = [await shop.place("programme") for _ in range(12)]
    for one in placed:
        await fake.pay(one)
    for one in placed:
        await shop.until(one, status="COMPLETED")
    async with asyncio.timeout(4):
        assert await process.terminate() == 0, process.log
    with pytest.raises(httpx.TransportError):
        await shop.order(placed[0])


async def test_production_refuses_what_it_must(town: Any) -> None:
    refused = await town.start(*town.gyeolje, "serve", GYEOLJE_ENV="production", GYEOLJE_GATEWAY="fake")
    assert await refused.ended() == 1
    assert "GYEOLJE_GATEWAY=fake takes no money" in refused.log
    fake = await town.start(*town.fake_portone, GYEOLJE_ENV="production")
    assert await fake.ended() == 1
    assert "does not run there" in fake.log


async def test_every_failure_that_can_be_foreseen_is_one_sentence(town: Any, a_free_port: int) -> None:
    unset = await town.start(*town.gyeolje, "serve")
    assert await unset.ended() == 1
    assert unset.log.startswith("error: GYEOLJE_GATEWAY is not set: say `portone`, or `fake`")
    variables = {"GYEOLJE_GATEWAY": "fake", "GYEOLJE_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:9/none"}
    unreachable = await town.start(*town.gyeolje, "serve", "--port", str(a_free_port), **variables)
    assert await unreachable.ended() == 1
    assert "Traceback" not in unreachable.log
    assert "error: " in unreachable.log


async def test_products_are_put_and_listed(town: Any, database_url: str) -> None:
    variables = {"GYEOLJE_GATEWAY": "fake", "GYEOLJE_DATABASE_URL": database_url}
    await town.run("products", "put", "tea", "--name", "차", "--price", "4500", "--stock", "3", **variables)
    listed = json.loads(await town.run("products", "list", "--json", **variables))
    price = {"amount": 4500, "currency": "KRW"}
    tea = {"id": "tea", "name": "차", "price": price, "taxFree": False, "available": 3, "stock": 3, "held": 0}
    assert listed == {"items": [tea]}


NEVER = [
    (("x" * 65, "--price", "1000"), "1 to 64 characters"),
    (("a", "--price", "1000", "--name", " "), "a name that buyers can see"),
    (("a", "--price", "1000", "--name", "a\x1b[2J"), "control characters"),
    (("a", "--price", "-1"), "is not a whole number of minor units"),
    (("a", "--price", "99"), "100 to 2,000,000 KRW"),
    (("a", "--price", "2000001"), "100 to 2,000,000 KRW"),
    (("a", "--price", str(10**15)), "100 to 2,000,000 KRW"),
    (("a", "--price", str(10**16), "--currency", "JPY"), "is not a whole number of minor units"),
    (("a", "--price", "1000", "--currency", "won"), "is not a three-letter currency code"),
    (("a", "--price", "1000", "--stock", str(2**63)), "from 0 to 9223372036854775807"),
    (("a", "--price", "1000", "--stock", "-1"), "from 0 to 9223372036854775807"),
    (("a", "--price", "1000", "--stock", "1", "--unlimited"), "not both"),
]


async def test_what_could_never_be_bought_is_refused_in_one_sentence_and_not_kept(town: Any, database_url: str) -> None:
    variables = {"GYEOLJE_GATEWAY": "fake", "GYEOLJE_DATABASE_URL": database_url}
    for said, sentence in NEVER:
        named = said if "--name" in said else (*said, "--name", "a")
        refused = await town.start(*town.gyeolje, "products", "put", *named, **variables)
        assert (await refused.ended(), refused.log.count("\n")) == (2, 1), refused.log
        assert refused.log.startswith("error: ")
        assert sentence in refused.log
    assert json.loads(await town.run("products", "list", "--json", **variables)) == {"items": []}


LIVE = {
    "GYEOLJE_ENV": "production",
    "GYEOLJE_GATEWAY": "portone",
    "GYEOLJE_PUBLIC_URL": "https://shop.example",
    "PORTONE_API_SECRET": "a-real-api-secret",
    "PORTONE_STORE_ID": "store-1",
    "PORTONE_CHANNEL_KEY": "channel-key-1",
    "PORTONE_WEBHOOK_SECRETS": "whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
}


async def test_keys_are_made_listed_and_revoked(town: Any, database_url: str) -> None:
    development = {"GYEOLJE_GATEWAY": "fake", "GYEOLJE_DATABASE_URL": database_url}
    production = LIVE | {"GYEOLJE_DATABASE_URL": database_url}
    create = ("keys", "create", "결제 서버", "--scope", "orders:read")
    test = (await town.run(*create, **development)).strip()
    live = (await town.run(*create, "--expires-in-days", "30", **production)).strip()
    assert (test[:9], live[:9]) == ("gyj_test_", "gyj_live_")
    await town.run("keys", "revoke", test.split("_")[2], **production)

    printed = await town.run("keys", "list", "--json", **production)
    listed = [(key["id"], key["name"], key["kind"], key["state"]) for key in json.loads(printed)["items"]]
    assert listed == [
        (live.split("_")[2], "결제 서버", "live", "live"),
        (test.split("_")[2], "결제 서버", "test", "revoked"),
    ]
    assert not [key for key in (test, live) if key.split("_")[3][:64] in printed]


async def test_a_key_that_nobody_may_have_is_refused_in_one_sentence(town: Any, database_url: str) -> None:
    production = LIVE | {"GYEOLJE_DATABASE_URL": database_url}
    for said, sentence in (
        (("create", "web", "--scope", "orders:read", "--test"), "a test key is refused in production"),
        (("create", "a\x1b[2J", "--scope", "orders:read"), "has control characters"),
        (("create", "web", "--scope", "everything"), "is no scope"),
        (("create", "web"), "at least one scope"),
        (("revoke", "0" * 32), "there is no API key of this id"),
    ):
        refused = await town.start(*town.gyeolje, "keys", *said, **production)
        assert (await refused.ended(), refused.log.count("\n")) == (2, 1), refused.log
        assert refused.log.startswith("error: ")
        assert sentence in refused.log
    assert json.loads(await town.run("keys", "list", "--json", **production)) == {"items": []}


async def test_the_limits_in_force_are_told_and_can_be_set(town: Any, database_url: str) -> None:
    variables = town.variables(database_url, await town.fake("http://127.0.0.1:9/nobody"))
    assert "100 to 2,000,000 KRW" in await town.run("doctor", **variables)
    dear = ("products", "put", "a", "--name", "a", "--price", "3000000")
    await town.run(*dear, GYEOLJE_LIMITS="KRW=100-5000000", **variables)
    await town.run(*dear, GYEOLJE_LIMITS="none", **variables)
    refused = await town.start(*town.gyeolje, *dear, **variables)
    assert await refused.ended() == 2


async def test_migrating_twice_changes_nothing(town: Any, empty_database_url: str) -> None:
    variables = {"GYEOLJE_GATEWAY": "fake", "GYEOLJE_DATABASE_URL": empty_database_url}
    for _ in range(2):
        assert await town.run("migrate", **variables) == "the schema is up to date\n"
