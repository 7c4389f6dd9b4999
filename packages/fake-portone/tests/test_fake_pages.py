"""The fake's payment window and its own page, as the browser's scripts use them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock
from fake_portone.webhooks import Answer, sign

SECRET = "whsec_pzQGE83cSIRKM4/WH5QY+g=="
SHOP = "http://shop.example:8000"
REQUEST = {
    "paymentId": "p",
    "storeId": "store-a",
    "channelKey": "channel-a",
    "orderName": "VIP 1열 1번",
    "totalAmount": 71_000,
    "currency": "CURRENCY_KRW",
    "redirectUrl": "http://shop.example:8000/?order=7&x=%20a#top",
}
PATIENCE = 10.0

Serve = Callable[[Any], Any]


@dataclass
class Receiver:
    """The shop's webhook endpoint: it keeps the types of what it gets."""

    types: list[str] = field(default_factory=list)

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.types.append(json.loads(body)["type"].removeprefix("Transaction."))
        return Answer(400, '{"title": "The signature does not verify"}')


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def fake(receiver: Receiver) -> FakePortOne:
    """A fake whose own time stands still until it is pushed on."""
    settings = FakePortOneSettings(
        api_secret="s", store_id="store-a", webhook_secret=SECRET, webhook_url="http://shop.example/it's"
    )
    return FakePortOne(settings, clock=FakeClock(speed=0), post=receiver)


@asynccontextmanager
async def asking(serve: Serve, fake: FakePortOne) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve(fake.app()) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as http,
    ):
        yield http


@pytest.fixture
async def http(serve: Serve, fake: FakePortOne) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(serve, fake) as http:
        yield http


async def opened(http: httpx.AsyncClient, origin: str = SHOP, **more: Any) -> str:
    """The path of a new window."""
    answer = await http.post("/_fake/window", json=REQUEST | more, headers={"origin": origin})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["path"])


async def choose(http: httpx.AsyncClient, path: str, choice: str, **more: Any) -> Any:
    answer = await http.post(f"{path}/choose", json={"choice": choice} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


async def became(http: httpx.AsyncClient, payment_id: str = "p") -> Any:
    answer = await http.get(f"/payments/{payment_id}", headers={"authorization": "PortOne s"})
    return answer.json()


@asynccontextmanager
async def following(http: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """The events of the fake's stream, as (name, data)."""
    async with asyncio.timeout(PATIENCE), http.stream("GET", "/_fake/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()

        async def events() -> AsyncIterator[tuple[str, Any]]:
            name = ""
            async for line in lines:
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                if line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))

        yield events()


# --- the stand-in and its window ---


async def test_any_page_may_load_the_stand_in_and_open_a_window(http: httpx.AsyncClient) -> None:
    script = await http.get("/_fake/browser-sdk.js")
    asked = await http.options(
        "/_fake/window", headers={"origin": SHOP, "access-control-request-headers": "content-type"}
    )
    done = await http.post("/_fake/window", json=REQUEST, headers={"origin": SHOP})
    assert script.headers["content-type"].startswith("text/javascript")
    assert "window.PortOne" in script.text
    assert (asked.status_code, asked.headers["access-control-allow-headers"]) == (204, "content-type")
    assert {a.headers["access-control-allow-origin"] for a in (script, asked, done)} == {"*"}


async def test_opening_a_window_makes_the_payment_ready(http: httpx.AsyncClient) -> None:
    await opened(http)
    payment = await became(http)
    assert (payment["status"], payment["amount"]["total"], payment["currency"]) == ("READY", 71_000, "KRW")


async def test_a_window_shows_what_was_asked_for_and_its_address_does_not(http: httpx.AsyncClient) -> None:
    path = await opened(http, locale="EN_US")
    session = (await http.get(f"{path}/session")).json()
    assert "71000" not in path
    assert {name: session[name] for name in ("orderName", "totalAmount", "currency", "channelType", "locale")} == {
        "orderName": "VIP 1열 1번",
        "totalAmount": 71_000,
        "currency": "KRW",
        "channelType": "LIVE",
        "locale": "EN_US",
    }


@pytest.mark.parametrize(
    ("origin", "ancestors"),
    [(SHOP, SHOP), ("null", "'none'"), ("http://a; script-src *", "'none'"), ("", "'none'")],
)
async def test_only_the_page_that_opened_a_window_may_frame_it(
    http: httpx.AsyncClient, origin: str, ancestors: str
) -> None:
    page = await http.get(await opened(http, origin))
    policy = page.headers["content-security-policy"].split("; ")
    assert "script-src 'self'" in policy
    assert policy[-1] == f"frame-ancestors {ancestors}"


async def test_a_window_that_is_not_there_is_a_page_that_says_so(http: httpx.AsyncClient) -> None:
    page = await http.get("/_fake/window/nothing")
    session = await http.get("/_fake/window/nothing/session")
    chosen = await http.post("/_fake/window/nothing/choose", json={"choice": "approve"})
    assert (page.status_code, page.headers["content-type"][:9]) == (404, "text/html")
    assert (session.status_code, chosen.status_code) == (404, 404)
    assert session.json()["type"] == "WINDOW_NOT_FOUND"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"redirectUrl": "javascript:alert(1)"}, "redirectUrl"),
        ({"redirectUrl": "/back"}, "redirectUrl"),
        ({"totalAmount": "71000"}, "totalAmount"),
        ({"paymentId": ""}, "paymentId"),
        ({"channelKey": None}, "channelKey"),
        ({"customer": {"fullName": "홍길동"}}, "customer"),
    ],
)
async def test_a_window_that_makes_no_sense_is_refused_where_the_page_can_read_why(
    http: httpx.AsyncClient, more: dict[str, Any], named: str
) -> None:
    answer = await http.post("/_fake/window", json=REQUEST | more)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (400, "*")
    assert named in answer.json()["message"]


async def test_what_was_paid_opens_no_window(http: httpx.AsyncClient) -> None:
    await choose(http, await opened(http), "approve")
    answer = await http.post("/_fake/window", json=REQUEST)
    assert (answer.status_code, answer.json()["type"]) == (409, "ALREADY_PAID")


# --- what a person chooses ---


@pytest.mark.parametrize(
    ("choice", "status", "pg_code"),
    [
        ("approve", "PAID", None),
        ("decline", "FAILED", "DECLINED"),
        ("close", "READY", "USER_CANCEL"),
        ("pending", "PAY_PENDING", None),
        ("virtual_account", "VIRTUAL_ACCOUNT_ISSUED", None),
    ],
)
async def test_each_choice_ends_so(http: httpx.AsyncClient, choice: str, status: str, pg_code: str | None) -> None:
    result = await choose(http, await opened(http), choice)
    payment = await became(http)
    assert payment["status"] == status
    assert (result["transactionType"], result["paymentId"]) == ("PAYMENT", "p")
    assert result["txId"] == payment["transactionId"]
    assert (result.get("code"), result.get("pgCode")) == ("FAILURE_TYPE_PG" if pg_code else None, pg_code)


async def test_a_second_choice_changes_nothing(http: httpx.AsyncClient) -> None:
    path = await opened(http)
    first = await choose(http, path, "close")
    assert await choose(http, path, "approve") == first
    assert (await became(http))["status"] == "READY"


async def test_a_declined_payment_is_paid_in_the_next_window(http: httpx.AsyncClient) -> None:
    declined = await choose(http, await opened(http), "decline")
    approved = await choose(http, await opened(http), "approve")
    assert declined["txId"] != approved["txId"]
    assert (await became(http))["status"] == "PAID"


async def test_of_two_windows_for_one_payment_only_one_pays(http: httpx.AsyncClient, fake: FakePortOne) -> None:
    paths = [await opened(http), await opened(http)]
    results = [await choose(http, path, "approve") for path in paths]
    assert [result.get("code") for result in results] == [None, "PaymentAlreadyPaid"]
    assert fake.ledger.balance("p").captured == 71_000


async def test_a_dishonest_browser_pays_what_it_likes(http: httpx.AsyncClient) -> None:
    lies = {"totalAmount": 100, "currency": "USD", "storeId": "store-b", "channelType": "TEST", "channelKey": "mine"}
    await choose(http, await opened(http), "approve", **lies)
    payment = await became(http)
    assert (payment["status"], payment["amount"]["total"], payment["currency"]) == ("PAID", 100, "USD")
    assert payment["storeId"] == "store-b"
    assert (payment["channel"]["type"], payment["channel"]["key"]) == ("TEST", "mine")


async def test_a_payment_may_be_approved_after_its_window_was_closed(http: httpx.AsyncClient) -> None:
    async with following(http) as events:
        await anext(events)
        result = await choose(http, await opened(http), "approve_after_close", seconds=0.01)
        async for _, state in events:
            if state["payments"] and state["payments"][-1]["status"] == "PAID":
                break
    assert result["pgCode"] == "USER_CANCEL"


async def test_money_comes_into_an_account_later(http: httpx.AsyncClient) -> None:
    async with following(http) as events:
        await anext(events)
        await choose(http, await opened(http), "virtual_account", seconds=0.01)
        async for _, state in events:
            if state["payments"] and state["payments"][-1]["status"] == "PAID":
                break
    assert (await became(http))["method"]["type"] == "PaymentMethodVirtualAccount"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"choice": "steal"}, "choice"),
        ({"choice": "approve", "seconds": 1}, "seconds"),
        ({"choice": "approve_after_close", "seconds": -1}, "seconds"),
        ({"choice": "approve", "webhook": "sometimes"}, "webhook"),
        ({"choice": "approve", "totalAmount": 0}, "totalAmount"),
        ({}, "choice"),
    ],
)
async def test_a_choice_that_makes_no_sense_leaves_the_window_open(
    http: httpx.AsyncClient, body: dict[str, Any], named: str
) -> None:
    path = await opened(http)
    refused = await http.post(f"{path}/choose", json=body)
    assert (refused.status_code, named in refused.json()["message"]) == (400, True)
    assert (await choose(http, path, "approve"))["paymentId"] == "p"


# --- the way back ---


async def test_a_redirect_carries_the_result_beside_what_was_in_the_address(http: httpx.AsyncClient) -> None:
    path = await opened(http)
    answer = await http.post(f"{path}/choose", json={"choice": "decline"})
    url, result = answer.json()["returnUrl"], answer.json()["result"]
    assert url.startswith("http://shop.example:8000/?order=7&x=%20a&transactionType=PAYMENT&")
    assert url.endswith("#top")
    assert dict(parse_qsl(urlsplit(url).query)) == {"order": "7", "x": " a"} | result


async def test_a_window_that_is_over_still_knows_the_way_back(http: httpx.AsyncClient) -> None:
    path = await opened(http, redirectUrl="http://shop.example/back")
    result = await choose(http, path, "approve")
    session = (await http.get(f"{path}/session")).json()
    assert session["result"] == result
    assert session["returnUrl"] == f"http://shop.example/back?transactionType=PAYMENT&txId={result['txId']}&paymentId=p"


# --- the webhook's fate ---


@pytest.mark.parametrize(
    ("fate", "fault"),
    [
        ("twice", {"name": "webhook_duplicated", "match": "p"}),
        ("late", {"name": "webhook_delayed", "seconds": 120.0, "match": "p"}),
        ("never", {"name": "webhook_dropped", "match": "p"}),
        ("before_return", {"name": "webhook_before_answer", "match": "p"}),
    ],
)
async def test_the_webhooks_fate_is_a_fault_of_this_payment_beside_the_others(
    http: httpx.AsyncClient, fate: str, fault: dict[str, Any]
) -> None:
    others = [{"name": "webhook_dropped", "match": "q"}, {"name": "cancel_failed", "match": "p"}]
    await http.put("/_fake/faults", json=others)
    await choose(http, await opened(http), "approve", webhook=fate, webhookSeconds=120)
    on = (await http.get("/_fake/faults")).json()["on"]
    assert on == [*(other | {"fired": 0} for other in others), fault | {"fired": 1}]


async def test_the_next_window_decides_anew(http: httpx.AsyncClient) -> None:
    await choose(http, await opened(http), "decline", webhook="never")
    await choose(http, await opened(http), "approve")
    assert (await http.get("/_fake/faults")).json()["on"] == []


async def test_a_webhook_may_come_before_the_return(http: httpx.AsyncClient, receiver: Receiver) -> None:
    await choose(http, await opened(http), "approve", webhook="before_return")
    assert receiver.types == ["Ready", "Paid"]


# --- the fake's own page ---


async def test_the_page_runs_its_own_scripts_and_styles_only(http: httpx.AsyncClient) -> None:
    page = await http.get("/")
    files = [await http.get(f"/_fake/static/{name}") for name in ("dashboard.js", "window.js", "fake.css")]
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert page.headers["content-security-policy"].endswith("frame-ancestors 'none'")
    assert [file.headers["content-type"].split(";")[0] for file in files] == [
        "text/javascript",
        "text/javascript",
        "text/css",
    ]
    assert not any("innerHTML" in text for text in (page.text, *(file.text for file in files)))


async def test_the_stream_begins_with_everything_and_goes_on_with_what_changes(http: httpx.AsyncClient) -> None:
    path = await opened(http)
    async with following(http) as events:
        name, first = await anext(events)
        await choose(http, path, "approve", totalAmount=100)
        changes = [await anext(events)]
        while not changes[-1][1]["payments"]:
            changes.append(await anext(events))
    (before,), (after,) = first["payments"], changes[-1][1]["payments"]
    assert (name, changes[-1][0]) == ("snapshot", "change")
    assert (before["status"], before["attempts"], before["total"]) == ("READY", 1, 71_000)
    assert (after["status"], after["attempts"], after["total"]) == ("PAID", 2, 100)
    assert [step["status"] for step in after["trail"]] == ["READY", "READY", "PAID"]
    assert changes[-1][1]["totals"] == {"KRW": {"captured": 100, "cancelled": 0, "net": 100}}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/_fake/faults", [{"name": "gateway_5xx"}]),
        ("POST", "/_fake/clock", {"advance": 60}),
    ],
)
async def test_the_stream_tells_of_faults_and_of_time(
    http: httpx.AsyncClient, method: str, path: str, body: Any
) -> None:
    async with following(http) as events:
        await anext(events)
        await http.request(method, path, json=body)
        _, state = await anext(events)
    told = (bool(state["faults"]["on"]), state["clock"]["advanced"])
    assert told == {"PUT": (True, 0.0), "POST": (False, 60.0)}[method]


async def test_streams_end_when_the_fake_is_told_to_stop(http: httpx.AsyncClient, fake: FakePortOne) -> None:
    async with following(http) as events:
        await anext(events)
        fake.live.close()
        assert [name async for name, _ in events if name == "snapshot"] == []


async def test_a_webhook_is_shown_as_it_was_sent_and_answered(http: httpx.AsyncClient, fake: FakePortOne) -> None:
    await opened(http)
    (delivery,) = fake.webhooks.deliveries
    async with asyncio.timeout(PATIENCE):
        await delivery.tried.wait()
    shown = (await http.get(f"/_fake/deliveries/{delivery.id}")).json()
    (attempt,) = shown["attempts"]
    headers = attempt["headers"]
    timestamp = int(headers["webhook-timestamp"])
    assert headers["webhook-signature"] == sign(SECRET, delivery.id, timestamp, shown["body"].encode())
    assert (attempt["status"], attempt["answer"]) == (400, '{"title": "The signature does not verify"}')


async def test_what_a_real_server_answers_to_a_webhook_is_kept(serve: Serve) -> None:
    settings = FakePortOneSettings(api_secret="s", store_id="store-a", webhook_secret=SECRET)
    fake = FakePortOne(settings, clock=FakeClock(speed=0))
    async with asking(serve, fake) as http:
        await opened(http, noticeUrls=[f"{http.base_url}/nothing-here"])
        (delivery,) = fake.webhooks.deliveries
        async with asyncio.timeout(PATIENCE):
            await delivery.tried.wait()
    (attempt,) = delivery.attempts
    assert (attempt.status, attempt.answer) == (404, '{"type":"NOT_FOUND","message":"Not Found"}')


async def test_a_webhook_can_be_sent_by_hand_in_a_shell(http: httpx.AsyncClient, fake: FakePortOne) -> None:
    await opened(http)
    (delivery,) = fake.webhooks.deliveries
    shown = (await http.get(f"/_fake/deliveries/{delivery.id}")).json()
    assert shown["curl"].startswith("curl -i -X POST -H 'content-type: application/json'")
    assert f"-H 'webhook-signature: {shown['headersNow']['webhook-signature']}'" in shown["curl"]
    assert shown["curl"].endswith(f"--data-raw '{shown['body']}' 'http://shop.example/it'\"'\"'s'")


async def test_a_webhook_is_sent_again_from_the_page(
    http: httpx.AsyncClient, fake: FakePortOne, receiver: Receiver
) -> None:
    await opened(http)
    (delivery,) = fake.webhooks.deliveries
    async with asyncio.timeout(PATIENCE):
        await delivery.tried.wait()
    delivery.tried.clear()
    resent = await http.post(f"/_fake/deliveries/{delivery.id}/resend")
    async with asyncio.timeout(PATIENCE):
        await delivery.tried.wait()
    assert (resent.status_code, receiver.types) == (200, ["Ready", "Ready"])


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/resend")])
async def test_a_webhook_that_is_not_there_is_not_found(http: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await http.request(method, f"/_fake/deliveries/nothing{path}")
    assert (answer.status_code, answer.json()["type"]) == (404, "WEBHOOK_NOT_FOUND")
