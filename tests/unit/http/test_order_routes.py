"""The buyer's routes, as a client sees them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from application.errors import GatewayDeniedError, GatewayUnavailableError
from application.put_product import PutProductCommand
from domain.ids import ProductId, WebhookId
from domain.money import Money
from domain.payment import PaymentStatus
from domain.webhook_event import WebhookEvent

if TYPE_CHECKING:
    from unit.http.conftest import Shopfront, Toolbox

KEY = "a-key-of-my-own-0001"
UNKNOWN = "0123456789abcdef0123456789abcdef"


async def test_products_are_listed_with_price_and_what_is_left(shopfront: Shopfront) -> None:
    answer = await shopfront.http.get("/api/v1/products")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["items"][-1] == {
        "id": "hall",
        "name": "스탠딩",
        "price": {"amount": 99000, "currency": "KRW"},
        "available": None,
    }
    assert {item["id"]: item["available"] for item in answer.json()["items"]}["vip-1-1"] == 1


async def test_placing_answers_with_the_order_its_token_and_the_payment_windows_arguments(shopfront: Shopfront) -> None:
    body = {
        "items": [{"productId": "hall", "quantity": 2}],
        "customer": {"name": "홍길동", "email": "hong@example.com", "phone": "010-0000-0000"},
    }
    answer = await shopfront.http.post("/api/v1/orders", json=body)
    assert answer.status_code == 201
    said = answer.json()
    order = said["order"]
    assert set(said) == {"order", "token", "checkout"}
    assert order == {
        "id": order["id"],
        "paymentId": order["paymentId"],
        "name": "스탠딩",
        "status": "PENDING",
        "reason": None,
        "price": {"amount": 198000, "currency": "KRW"},
        "refunded": {"amount": 0, "currency": "KRW"},
        "items": [
            {"productId": "hall", "name": "스탠딩", "quantity": 2, "price": {"amount": 99000, "currency": "KRW"}}
        ],
        "createdAt": order["createdAt"],
        "expiresAt": order["expiresAt"],
        "lastAttempt": None,
    }
    back = said["checkout"]["redirectUrl"]
    assert re.fullmatch(rf"https://shop\.example/\?order={order['id']}&ticket=[0-9]{{10}}\.[0-9a-f]{{64}}", back)
    assert said["checkout"] == {
        "storeId": "store-test",
        "channelKey": "channel-key-test",
        "paymentId": order["paymentId"],
        "orderName": "스탠딩",
        "totalAmount": 198000,
        "currency": "KRW",
        "payMethod": "EASY_PAY",
        "redirectUrl": back,
        "customer": {"fullName": "홍길동", "email": "hong@example.com", "phoneNumber": "010-0000-0000"},
    }
    assert order["createdAt"].endswith("Z")


async def test_a_checkout_without_a_customer_or_untaxed_part_has_no_such_field(shopfront: Shopfront) -> None:
    assert {"customer", "taxFreeAmount"} & (await shopfront.place())["checkout"].keys() == set()


async def test_the_untaxed_part_of_what_is_bought_goes_to_the_window(shopfront: Shopfront) -> None:
    book = PutProductCommand(id=ProductId("book"), name="책", price=Money(20_000, "KRW"), tax_free=True)
    await shopfront.use_cases.put_product(book)
    items = [{"productId": "book", "quantity": 2}, {"productId": "hall", "quantity": 1}]
    said = (await shopfront.http.post("/api/v1/orders", json={"items": items})).json()
    assert (said["checkout"]["totalAmount"], said["checkout"]["taxFreeAmount"]) == (139_000, 40_000)


async def test_what_costs_nothing_is_completed_and_has_no_checkout(shopfront: Shopfront) -> None:
    ticket = PutProductCommand(id=ProductId("invitation"), name="초대권", price=Money(0, "KRW"), capacity=1)
    await shopfront.use_cases.put_product(ticket)
    placed = await shopfront.place("invitation")
    assert (placed["order"]["status"], placed["order"]["reason"], placed["checkout"]) == ("COMPLETED", None, None)
    assert shopfront.gateway.asked == []
    assert (await shopfront.verify(placed))["status"] == "COMPLETED"


async def test_an_order_beyond_the_limits_says_which_limit(shopfront: Shopfront) -> None:
    answer = await shopfront.http.post("/api/v1/orders", json={"items": [{"productId": "hall", "quantity": 11}]})
    assert answer.json() == {
        "type": "/problems/beyond-limits",
        "title": "Beyond the limits of an order",
        "status": 409,
        "detail": "one order takes at most 10 of 'hall'",
    }


async def test_an_order_that_is_over_is_answered_to_its_key_without_a_checkout(
    shopfront: Shopfront, tools: Toolbox
) -> None:
    placed = await shopfront.place(**{"Idempotency-Key": KEY})
    await shopfront.http.post(f"/api/v1/orders/{placed['order']['id']}/cancel", headers=tools.bearer(placed))
    again = await shopfront.place(**{"Idempotency-Key": KEY})
    assert (again["order"]["status"], again["checkout"]) == ("CANCELLED", None)
    assert again["token"] == placed["token"]


async def test_a_last_attempt_that_failed_is_told_and_forgotten_once_another_is_made(
    shopfront: Shopfront, tools: Toolbox
) -> None:
    placed = await shopfront.place()
    shopfront.pays(placed)
    payments, payment_id = shopfront.gateway.payments, placed["order"]["paymentId"]
    paid = payments[payment_id]
    for second, (status, told) in enumerate((("FAILED", "failed"), ("READY", None), ("FAILED", "failed"))):
        at = paid.changed_at + timedelta(seconds=second) if paid.changed_at else None
        said: dict[str, Any] = {"said": status, "attempt": f"attempt-{second}", "changed_at": at, "updated_at": at}
        payments[payment_id] = replace(paid, status=PaymentStatus(status), **said)
        await shopfront.use_cases.handle_webhook_event(
            WebhookEvent(
                id=WebhookId(f"msg_{second}"),
                type="Transaction.Failed",
                payment_id=payment_id,
                store_id=payments[payment_id].store_id,
                occurred_at=at,
            )
        )
        shown = await shopfront.http.get(f"/api/v1/orders/{placed['order']['id']}", headers=tools.bearer(placed))
        assert shown.json()["lastAttempt"] == told
    payments[payment_id] = replace(paid, attempt="attempt-9")
    assert (await shopfront.verify(placed))["lastAttempt"] is None


async def test_the_ticket_of_the_way_back_tells_whether_it_is_paid_and_nothing_else(
    shopfront: Shopfront, tools: Toolbox
) -> None:
    paid, left, given_up = [await shopfront.place() for _ in range(3)]
    shopfront.pays(paid)
    await shopfront.verify(paid)
    await shopfront.http.post(f"/api/v1/orders/{given_up['order']['id']}/cancel", headers=tools.bearer(given_up))
    for placed, status in ((paid, "paid"), (left, "open"), (given_up, "not_paid")):
        ticket = parse_qs(urlsplit(placed["checkout"]["redirectUrl"]).query)["ticket"][0]
        at = f"/api/v1/orders/{placed['order']['id']}/return"
        answer = await shopfront.http.get(at, params={"ticket": ticket})
        assert (answer.status_code, answer.json()) == (200, {"status": status})
        assert answer.headers["cache-control"] == "no-store"
        for wrong in ({}, {"ticket": ""}, {"ticket": ticket[:-1]}, {"ticket": placed["token"]}):
            refused = await shopfront.http.get(at, params=wrong, headers=tools.bearer(placed))
            assert (refused.status_code, refused.json()["type"]) == (404, "/problems/order-not-found")
        assert (
            await shopfront.http.get(at.replace("/return", "/events"), params={"ticket": ticket})
        ).status_code == 404


async def test_the_same_idempotency_key_places_one_order(shopfront: Shopfront) -> None:
    body = {"items": [{"productId": "vip-1-1", "quantity": 1}]}
    first = await shopfront.http.post("/api/v1/orders", json=body, headers={"Idempotency-Key": KEY})
    again = await shopfront.http.post("/api/v1/orders", json=body, headers={"Idempotency-Key": KEY})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


async def test_an_idempotency_key_with_another_body_is_refused(shopfront: Shopfront) -> None:
    await shopfront.place("hall", **{"Idempotency-Key": KEY})
    body = {"items": [{"productId": "hall", "quantity": 2}]}
    answer = await shopfront.http.post("/api/v1/orders", json=body, headers={"Idempotency-Key": KEY})
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/idempotency-key-reused"


@pytest.mark.parametrize(
    ("items", "status", "slug"),
    [
        ([{"productId": "no-such", "quantity": 1}], 404, "product-not-found"),
        ([{"productId": "vip-1-1", "quantity": 2}], 409, "sold-out"),
        ([{"productId": "hall", "quantity": 1}, {"productId": "poster", "quantity": 1}], 422, "order-not-placeable"),
        ([{"productId": "dear", "quantity": 10}, {"productId": "hall", "quantity": 1}], 422, "invalid-amount"),
        ([{"productId": "hall", "quantity": 11}], 409, "beyond-limits"),
        ([{"productId": "hall", "quantity": 6}, {"productId": "hall", "quantity": 5}], 409, "beyond-limits"),
    ],
)
async def test_what_cannot_be_ordered_is_refused_and_says_why(
    shopfront: Shopfront, items: list[Any], status: int, slug: str
) -> None:
    answer = await shopfront.http.post("/api/v1/orders", json={"items": items})
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_paid_order_is_completed_when_its_buyer_comes_back(shopfront: Shopfront, tools: Toolbox) -> None:
    placed = await shopfront.place()
    shopfront.pays(placed)
    assert (await shopfront.verify(placed))["status"] == "COMPLETED"
    answer = await shopfront.http.get(f"/api/v1/orders/{placed['order']['id']}", headers=tools.bearer(placed))
    assert answer.json()["status"] == "COMPLETED"


async def test_verifying_while_the_gateway_is_down_answers_with_the_order_as_it_stands(shopfront: Shopfront) -> None:
    placed = await shopfront.place()
    shopfront.gateway.trouble = GatewayUnavailableError("HTML came back")
    assert (await shopfront.verify(placed))["status"] == "PENDING"


async def test_an_order_is_given_up(shopfront: Shopfront, tools: Toolbox) -> None:
    placed = await shopfront.place("vip-1-1")
    answer = await shopfront.http.post(f"/api/v1/orders/{placed['order']['id']}/cancel", headers=tools.bearer(placed))
    assert (answer.status_code, answer.json()["status"], answer.json()["reason"]) == (200, "CANCELLED", "ABANDONED")
    assert (await shopfront.place("vip-1-1"))["order"]["status"] == "PENDING"


async def test_a_paid_order_cannot_be_given_up(shopfront: Shopfront, tools: Toolbox) -> None:
    placed = await shopfront.place()
    shopfront.pays(placed)
    answer = await shopfront.http.post(f"/api/v1/orders/{placed['order']['id']}/cancel", headers=tools.bearer(placed))
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/order-not-cancellable")


@pytest.mark.parametrize(
    ("trouble", "slug"),
    [
        (GatewayUnavailableError("<html>secret upstream page"), "gateway-unavailable"),
        (GatewayDeniedError("secret upstream words"), "gateway-denied"),
    ],
)
async def test_a_gateway_that_cannot_say_leaves_the_order_and_none_of_its_words_get_out(
    shopfront: Shopfront, tools: Toolbox, trouble: GatewayUnavailableError | GatewayDeniedError, slug: str
) -> None:
    placed = await shopfront.place()
    shopfront.gateway.trouble = trouble
    answer = await shopfront.http.post(f"/api/v1/orders/{placed['order']['id']}/cancel", headers=tools.bearer(placed))
    assert (answer.status_code, answer.json()["type"]) == (503, f"/problems/{slug}")
    assert int(answer.headers["retry-after"]) > 0
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer  {token}",
        "Bearer {token} ",
        "Bearer {token} {token}",
        "Bearer {token}x",
        "Basic {token}",
        "{token}",
        "Bearer {other}",
        "Bearer " + "é" * 64,
        "Bearer " + "a" * 5000,
    ],
)
@pytest.mark.parametrize(
    ("method", "tail"), [("GET", ""), ("POST", "/verify"), ("POST", "/cancel"), ("POST", "/ticket"), ("GET", "/events")]
)
async def test_without_its_token_an_order_is_unknown(
    shopfront: Shopfront, method: str, tail: str, header: str | None
) -> None:
    placed, other = await shopfront.place(), await shopfront.place()
    headers = {}
    if header is not None:
        headers[b"authorization"] = header.format(token=placed["token"], other=other["token"]).encode()
    forbidden, unknown, odd = [
        await shopfront.http.request(method, f"/api/v1/orders/{order_id}{tail}", headers=headers)
        for order_id in (placed["order"]["id"], UNKNOWN, "A" * 9)
    ]
    assert forbidden.status_code == 404
    assert forbidden.json()["type"] == "/problems/order-not-found"
    assert forbidden.content == unknown.content == odd.content
    assert forbidden.headers == unknown.headers == odd.headers


async def test_two_authorization_headers_are_none(shopfront: Shopfront) -> None:
    placed = await shopfront.place()
    header = ("Authorization", f"Bearer {placed['token']}")
    answer = await shopfront.http.get(f"/api/v1/orders/{placed['order']['id']}", headers=[header, header])
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "order_id", ["x", "%00", "%ff%fe", "%ed%a0%80", "..", "a" * 3000, UNKNOWN.upper(), UNKNOWN + "0", "%EC%A3%BC"]
)
async def test_ids_that_are_none_of_ours_are_unknown_orders(shopfront: Shopfront, order_id: str) -> None:
    answer = await shopfront.http.get(f"/api/v1/orders/{order_id}")
    assert answer.status_code == 404


async def test_a_ticket_opens_the_stream_of_its_order_only(shopfront: Shopfront, tools: Toolbox) -> None:
    placed, other = await shopfront.place(), await shopfront.place()
    shopfront.pays(placed)
    await shopfront.verify(placed)
    at = f"/api/v1/orders/{placed['order']['id']}"
    answer = await shopfront.http.post(f"{at}/ticket", headers=tools.bearer(placed))
    assert answer.json()["expiresIn"] == 60
    ticket = answer.json()["ticket"]
    assert "event: snapshot" in (await shopfront.http.get(f"{at}/events", params={"ticket": ticket})).text
    for path, altered in (
        (f"/api/v1/orders/{other['order']['id']}/events", ticket),
        (f"{at}/events", ticket[:-1] + ("0" if ticket[-1] != "0" else "1")),
        (f"{at}/events", ""),
        (f"{at}/events", "9" * 400),
        (f"{at}/events", "９９９.\ud55c"),
    ):
        refused = await shopfront.http.get(path, params={"ticket": altered}, headers=tools.bearer(placed))
        assert (refused.status_code, refused.json()["type"]) == (404, "/problems/order-not-found")


async def test_head_answers_as_get_does_without_a_body(shopfront: Shopfront, tools: Toolbox) -> None:
    placed = await shopfront.place()
    path = f"/api/v1/orders/{placed['order']['id']}"
    got = await shopfront.http.get(path, headers=tools.bearer(placed))
    head = await shopfront.http.head(path, headers=tools.bearer(placed))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
