"""What holds for every answer: security headers, CORS by exact origin, one line in the log without anything private."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from structlog.contextvars import bind_contextvars, merge_contextvars
from structlog.testing import capture_logs

from adapters.http.app import HttpSettings
from adapters.persistence.memory import MemoryStore

if TYPE_CHECKING:
    from unit.http.conftest import NewShopfront, Shopfront, Toolbox

ORIGIN = "https://shop.example"
SECURED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "cross-origin-resource-policy": "same-site",
}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/products"),
        ("HEAD", "/api/v1/products"),
        ("OPTIONS", "/api/v1/products"),
        ("POST", "/api/v1/orders"),
        ("DELETE", "/api/v1/orders"),
        ("GET", "/nope"),
        ("POST", "/api/v1/webhooks/portone"),
        ("GET", "/api/v1/webhooks/portone"),
        ("GET", f"/api/v1/orders/{'0' * 32}/events"),
        ("GET", "/health/ready"),
        ("GET", "/schema"),
    ],
)
async def test_every_answer_has_the_security_headers_once(shopfront: Shopfront, method: str, path: str) -> None:
    answer = await shopfront.http.request(method, path)
    for name, value in {**SECURED, "cache-control": "no-store"}.items():
        assert answer.headers.get_list(name) == [value]
    assert not any(name.startswith("access-control-") for name in answer.headers)


@pytest.fixture
async def with_origin(new_shopfront: NewShopfront, fill: Callable[[MemoryStore], Any]) -> Shopfront:
    store = MemoryStore()
    await fill(store)
    return new_shopfront(store=store, settings=HttpSettings(gateway="fake", allowed_origins=(ORIGIN,)))


def preflight(origin: str, method: str = "POST", headers: str = "") -> dict[str, str]:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return asked | ({"Access-Control-Request-Headers": headers} if headers else {})


async def test_a_page_of_an_allowed_origin_may_ask(with_origin: Shopfront) -> None:
    asked = preflight(ORIGIN, headers="authorization, content-type, idempotency-key, last-event-id")
    answer = await with_origin.http.options("/api/v1/orders", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert {"GET", "POST"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    allowed = set(answer.headers["access-control-allow-headers"].lower().split(", "))
    assert {"authorization", "content-type", "idempotency-key", "last-event-id"} <= allowed
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_of_an_allowed_origin_may_read_answers_and_refusals(with_origin: Shopfront) -> None:
    for path in ("/api/v1/products", "/nope", f"/api/v1/orders/{'0' * 32}/events"):
        answer = await with_origin.http.get(path, headers={"Origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "Idempotent-Replayed" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://shop.example.evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shopXexample",
        "https://SHOP.example",
        "null",
        "https://shop.example\n",
    ],
)
async def test_a_page_of_any_other_origin_may_not(with_origin: Shopfront, origin: str) -> None:
    asked = await with_origin.http.options("/api/v1/orders", headers=preflight(origin))
    answer = await with_origin.http.get("/api/v1/products", headers={"Origin": origin})
    assert asked.status_code == 400
    assert "access-control-allow-origin" not in asked.headers
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(("method", "headers"), [("DELETE", ""), ("POST", "x-other")])
async def test_an_allowed_page_may_not_ask_for_more(with_origin: Shopfront, method: str, headers: str) -> None:
    answer = await with_origin.http.options("/api/v1/orders", headers=preflight(ORIGIN, method, headers))
    assert answer.status_code == 400


def test_an_origin_with_a_star_is_refused() -> None:
    with pytest.raises(ValueError, match="exact"):
        HttpSettings(gateway="fake", allowed_origins=("https://*.example",))


async def test_options_without_an_origin_lists_the_methods(shopfront: Shopfront) -> None:
    answer = await shopfront.http.options("/api/v1/orders")
    assert (answer.status_code, answer.headers["allow"]) == (204, "OPTIONS, POST")


async def test_each_request_is_one_line_with_ids_and_nothing_private(shopfront: Shopfront, tools: Toolbox) -> None:
    private = "010-9999-8888"
    with capture_logs([merge_contextvars]) as lines:
        body = {"items": [{"productId": "hall", "quantity": 1}], "customer": {"name": "홍길동", "phone": private}}
        key = "my-very-own-idempotency-key"
        answer = await shopfront.http.post("/api/v1/orders", json=body, headers={"Idempotency-Key": key})
        placed = answer.json()
        at = f"/api/v1/orders/{placed['order']['id']}"
        ticket = (await shopfront.http.post(f"{at}/ticket", headers=tools.bearer(placed))).json()["ticket"]
        shopfront.pays(placed)
        webhook = b'{"type":"Transaction.Paid","data":{"paymentId":"%b"}}' % placed["order"]["paymentId"].encode()
        signed = tools.signed(webhook)
        await shopfront.http.post("/api/v1/webhooks/portone", content=webhook, headers=signed)
        await shopfront.http.get(f"{at}/events", params={"ticket": ticket})
        await shopfront.http.post("/api/v1/webhooks/portone", content=webhook)
        await shopfront.http.get(f"/{private}", params={"q": private}, headers={"X-Other": private})
    assert [(line["event"], line["method"], line["route"], line["status"]) for line in lines] == [
        ("request", "POST", "/api/v1/orders", 201),
        ("request", "POST", "/api/v1/orders/{order_id}/ticket", 200),
        ("request", "POST", "/api/v1/webhooks/portone", 200),
        ("request", "GET", "/api/v1/orders/{order_id}/events", 200),
        ("request", "POST", "/api/v1/webhooks/portone", 400),
        ("request", "GET", "unknown", 404),
    ]
    order_id, payment_id = placed["order"]["id"], placed["order"]["paymentId"]
    assert [line.get("order") for line in lines] == [order_id, order_id, None, order_id, None, None]
    assert [line.get("payment") for line in lines] == [payment_id, None, payment_id, None, None, None]
    assert [line.get("webhook") for line in lines] == [None, None, "msg_1", None, None, None]
    assert [line.get("refused") for line in lines] == [None, None, None, None, "missing_header", None]
    written = repr(lines)
    for secret in (private, "홍길동", placed["token"], ticket, key, signed["webhook-signature"], "whsec_"):
        assert secret not in written


async def test_probes_are_not_worth_a_line(shopfront: Shopfront) -> None:
    with capture_logs() as lines:
        answer = await shopfront.http.get("/health/ready")
    assert answer.json() == {"status": "ready", "gateway": "fake"}
    assert [line["log_level"] for line in lines] == ["debug"]


async def test_what_one_request_bound_is_not_on_the_next_ones_line(shopfront: Shopfront) -> None:
    bind_contextvars(order="of the request before")
    with capture_logs([merge_contextvars]) as lines:
        await shopfront.http.get("/api/v1/products")
    assert "order" not in lines[0]


async def test_a_server_tells_no_more_than_it_must(served: str) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{served}/nope")
    assert not re.search("litestar|python|traceback", answer.text, re.IGNORECASE)
