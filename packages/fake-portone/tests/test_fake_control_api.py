"""The fake's control API, as anybody in any language would use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fake_portone import FakePortOne

WINDOW = {
    "storeId": "store-a",
    "channelKey": "channel-a",
    "orderName": "VIP 1열 1번",
    "totalAmount": 71_000,
    "currency": "KRW",
}


@pytest.fixture
async def http(portone_server: Any) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "PortOne the fake's secret"}
    async with httpx.AsyncClient(base_url=portone_server.url, trust_env=False, headers=headers) as http:
        yield http


async def act(http: httpx.AsyncClient, what: str, body: dict[str, Any] | None = None) -> Any:
    answer = await http.post(f"/_fake/payments/p/{what}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def problem(http: httpx.AsyncClient, method: str, path: str, **options: Any) -> tuple[int, str, str]:
    answer = await http.request(method, path, **options)
    body = answer.json()
    assert set(body) == {"type", "message"}
    return answer.status_code, body["type"], body["message"]


async def test_a_payment_is_opened_and_paid_with_the_same_fields_in_one_attempt(http: httpx.AsyncClient) -> None:
    opened = await act(http, "open", WINDOW)
    paid = await act(http, "pay", WINDOW)
    assert (opened["status"], paid["status"]) == ("READY", "PAID")
    assert paid["transactionId"] == opened["transactionId"]
    assert paid["channel"]["type"] == "LIVE"


async def test_paying_opens_first(http: httpx.AsyncClient) -> None:
    assert (await act(http, "pay", WINDOW))["status"] == "PAID"


async def test_the_browsers_spelling_of_a_currency_is_understood(http: httpx.AsyncClient) -> None:
    assert (await act(http, "open", WINDOW | {"currency": "CURRENCY_USD"}))["currency"] == "USD"


async def test_what_a_dishonest_browser_pays_is_what_is_recorded(http: httpx.AsyncClient) -> None:
    await act(http, "open", WINDOW)
    paid = await act(http, "pay", {"totalAmount": 100, "currency": "USD", "storeId": "store-b", "channelType": "TEST"})
    assert (paid["amount"]["total"], paid["currency"], paid["storeId"]) == (100, "USD", "store-b")
    assert (paid["channel"]["type"], paid["channel"]["key"], paid["orderName"]) == ("TEST", "channel-a", "VIP 1열 1번")


async def test_a_failed_payment_can_be_tried_again(http: httpx.AsyncClient) -> None:
    await act(http, "open", WINDOW)
    failed = await act(http, "fail")
    paid = await act(http, "pay")
    assert (failed["status"], paid["status"]) == ("FAILED", "PAID")
    assert failed["transactionId"] != paid["transactionId"]


async def test_a_pending_payment_is_approved_in_the_same_attempt(http: httpx.AsyncClient) -> None:
    pending = await act(http, "pending", WINDOW)
    paid = await act(http, "pay")
    assert pending["status"] == "PAY_PENDING"
    assert paid["transactionId"] == pending["transactionId"]


async def test_money_can_be_sent_to_an_account(http: httpx.AsyncClient) -> None:
    assert (await act(http, "issue-virtual-account", WINDOW))["status"] == "VIRTUAL_ACCOUNT_ISSUED"
    assert (await act(http, "deposit"))["status"] == "PAID"


async def test_somebody_cancels_in_the_console(http: httpx.AsyncClient) -> None:
    await act(http, "pay", WINDOW)
    partly = await act(http, "cancel", {"amount": 1_000, "reason": "a scratch"})
    wholly = await act(http, "cancel")
    assert (partly["status"], wholly["status"]) == ("PARTIAL_CANCELLED", "CANCELLED")
    assert (partly["cancellations"][0]["trigger"], partly["cancellations"][0]["reason"]) == ("CONSOLE", "a scratch")


async def test_the_ledger_is_the_judge(http: httpx.AsyncClient) -> None:
    await act(http, "pay", WINDOW)
    await act(http, "cancel", {"amount": 1_000})
    await http.post("/_fake/payments/q/open", json=WINDOW)
    assert (await http.get("/_fake/ledger")).json() == {
        "payments": [
            {
                "id": "p",
                "status": "PARTIAL_CANCELLED",
                "currency": "KRW",
                "captured": 71_000,
                "cancelled": 1_000,
                "net": 70_000,
            },
            {"id": "q", "status": "READY", "currency": "KRW", "captured": 0, "cancelled": 0, "net": 0},
        ],
        "totals": {"KRW": {"captured": 71_000, "cancelled": 1_000, "net": 70_000}},
    }


async def test_deliveries_show_each_attempt(http: httpx.AsyncClient, fake_portone: FakePortOne) -> None:
    await act(http, "open", WINDOW | {"noticeUrls": ["http://127.0.0.1:1/"]})
    (delivery,) = fake_portone.webhooks.deliveries
    async with asyncio.timeout(10):
        await delivery.tried.wait()
    (shown,) = (await http.get("/_fake/deliveries")).json()["deliveries"]
    (attempt,) = shown.pop("attempts")
    assert shown == {
        "id": delivery.id,
        "type": "Transaction.Ready",
        "payment": "p",
        "url": "http://127.0.0.1:1/",
        "state": "waiting",
        "forged": False,
    }
    assert (attempt["status"], attempt["error"]) == (None, "ConnectError")


@pytest.mark.parametrize(
    ("fault", "differs"),
    [
        ("amount_tampered", {"total": 35_500}),
        ("currency_tampered", {"currency": "USD"}),
        ("store_tampered", {"store": "store-ffffffff-0000-4000-8000-000000000000"}),
        ("channel_tampered", {"channel": "TEST"}),
    ],
)
async def test_the_browser_may_tamper(http: httpx.AsyncClient, fault: str, differs: dict[str, Any]) -> None:
    await http.put("/_fake/faults", json=[{"name": fault, "times": 1}])
    await act(http, "open", WINDOW)
    paid = await act(http, "pay", WINDOW)
    became = {
        "total": paid["amount"]["total"],
        "currency": paid["currency"],
        "store": paid["storeId"],
        "channel": paid["channel"]["type"],
    }
    assert became == {"total": 71_000, "currency": "KRW", "store": "store-a", "channel": "LIVE"} | differs


async def test_an_attempt_may_fail_before_it_is_paid(http: httpx.AsyncClient, fake_portone: FakePortOne) -> None:
    await http.put("/_fake/faults", json=[{"name": "failed_then_paid"}])
    paid = await act(http, "pay", WINDOW | {"noticeUrls": ["http://127.0.0.1:1/"]})
    assert paid["status"] == "PAID"
    types = [delivery.type for delivery in fake_portone.webhooks.deliveries]
    assert types == ["Transaction.Ready", "Transaction.Failed", "Transaction.Ready", "Transaction.Paid"]


async def test_faults_are_switched_on_shown_and_switched_off(http: httpx.AsyncClient) -> None:
    wanted = [{"name": "gateway_slow", "seconds": 0.0, "times": 3, "match": "get"}]
    put = (await http.put("/_fake/faults", json=wanted)).json()
    await http.get("/payments/p")
    shown = (await http.get("/_fake/faults")).json()
    assert put["on"] == [wanted[0] | {"fired": 0}]
    assert shown["on"] == [wanted[0] | {"fired": 1}]
    kinds = {kind["name"]: kind for kind in shown["catalogue"]}
    assert kinds["gateway_slow"]["seconds"] == 5.0
    assert kinds["gateway_5xx"]["seconds"] is None
    assert (await http.delete("/_fake/faults")).json()["on"] == []


async def test_time_is_pushed_on(http: httpx.AsyncClient) -> None:
    await http.put("/_fake/faults", json=[{"name": "cancel_requested", "seconds": 3_600}])
    await act(http, "pay", WINDOW)
    requested = await http.post("/payments/p/cancel", json={"reason": "a"})
    assert requested.json()["cancellation"]["status"] == "REQUESTED"
    told = (await http.post("/_fake/clock", json={"advance": 3_600, "speed": 2})).json()
    assert (told["speed"], told["advanced"]) == (2.0, 3_600.0)
    assert (await http.get("/payments/p")).json()["status"] == "CANCELLED"


@pytest.mark.parametrize("what", ["pay", "fail", "pending", "issue-virtual-account", "deposit", "cancel"])
async def test_what_was_never_opened_is_not_found(http: httpx.AsyncClient, what: str) -> None:
    status, kind, _ = await problem(http, "POST", f"/_fake/payments/p/{what}")
    assert (status, kind) == (404, "PAYMENT_NOT_FOUND")


@pytest.mark.parametrize("what", ["open", "pay", "fail", "pending", "issue-virtual-account"])
async def test_what_was_paid_is_not_paid_again(http: httpx.AsyncClient, what: str) -> None:
    await act(http, "pay", WINDOW)
    status, kind, _ = await problem(http, "POST", f"/_fake/payments/p/{what}", json=WINDOW)
    assert (status, kind) == (409, "ALREADY_PAID")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "storeId"),
        ({"storeId": "store-a"}, "channelKey, orderName, totalAmount, currency"),
        (WINDOW | {"totalAmount": "71000"}, "totalAmount"),
        (WINDOW | {"totalAmount": 71000.5}, "totalAmount"),
        (WINDOW | {"totalAmount": 0}, "totalAmount"),
        (WINDOW | {"totalAmount": True}, "totalAmount"),
        (WINDOW | {"totalAmount": 10**16}, "totalAmount"),
        (WINDOW | {"currency": "won"}, "currency"),
        (WINDOW | {"currency": "KRW\n"}, "currency"),
        (WINDOW | {"channelType": "live"}, "channelType"),
        (WINDOW | {"noticeUrls": ["ftp://shop"]}, "noticeUrls"),
        (WINDOW | {"noticeUrls": ["http://[::1"]}, "noticeUrls"),
        (WINDOW | {"storeId": ""}, "storeId"),
        (WINDOW | {"payMethod": "EASY_PAY"}, "payMethod"),
    ],
)
async def test_a_window_that_makes_no_sense_is_refused_by_name(
    http: httpx.AsyncClient, body: dict[str, Any], named: str
) -> None:
    status, kind, message = await problem(http, "POST", "/_fake/payments/p/open", json=body)
    assert (status, kind) == (400, "INVALID_REQUEST")
    assert named in message
    assert (await http.get("/_fake/ledger")).json()["payments"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("PUT", "/_fake/faults", b'[{"name":"gateway_on_fire"}]', "gateway_on_fire"),
        ("PUT", "/_fake/faults", b'[{"name":"gateway_slow","chance":1}]', "chance"),
        ("PUT", "/_fake/faults", b'{"name":"gateway_slow"}', "array"),
        ("PUT", "/_fake/faults", b"", "truncated"),
        ("POST", "/_fake/clock", b'{"speed":-1}', "speed"),
        ("POST", "/_fake/clock", b'{"advance":-1}', "forward"),
        ("POST", "/_fake/clock", b'{"advance":1e300}', "forward"),
        ("POST", "/_fake/clock", b'{"tempo":1}', "tempo"),
        ("POST", "/_fake/payments/p/cancel", b'{"amount":0}', "amount"),
        ("POST", "/_fake/payments/p/cancel", b'{"amont":1}', "amont"),
        ("POST", "/_fake/payments/p/pay", b"\xff", "JSON"),
    ],
)
async def test_nonsense_is_refused_by_name(
    http: httpx.AsyncClient, method: str, path: str, body: bytes, named: str
) -> None:
    status, kind, message = await problem(http, method, path, content=body)
    assert (status, kind) == (400, "INVALID_REQUEST")
    assert named in message
