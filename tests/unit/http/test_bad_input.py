"""Whatever a client sends is refused with a problem document that names the field, and never breaks anything."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.money import Money

if TYPE_CHECKING:
    from unit.http.conftest import Shopfront, Toolbox

JSON = {"Content-Type": "application/json"}


def ordering(quantity: bytes = b"1", product: bytes = b'"hall"', more: bytes = b"") -> bytes:
    return b'{"items":[{"productId":%b,"quantity":%b}]%b}' % (product, quantity, more)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        # lax numbers
        (ordering(b'"1"'), "items[0].quantity"),
        (ordering(b"1.0"), "items[0].quantity"),
        (ordering(b"1e0"), "items[0].quantity"),
        (ordering(b"-1"), "items[0].quantity"),
        (ordering(b"0"), "items[0].quantity"),
        (ordering(b"101"), "items[0].quantity"),
        (ordering(b"true"), "items[0].quantity"),
        (ordering(b"null"), "items[0].quantity"),
        (ordering(b"1" * 30), "items[0].quantity"),
        (ordering(b"1" * 5000), "items[0].quantity"),
        (ordering(b"1e999"), "items[0].quantity"),
        # texts
        (ordering(product=b"1"), "items[0].productId"),
        (ordering(product=b'""'), "items[0].productId"),
        (ordering(product=b'"%b"' % (b"a" * 65)), "items[0].productId"),
        (ordering(product=b'"a\\u0000"'), "items[0].productId"),
        (ordering(product=b'"a\\n"'), "items[0].productId"),
        # fields
        (b"{}", "items"),
        (b'{"items":[{"productId":"hall"}]}', "items[0].quantity"),
        (b'{"items":[{"productId":"hall","quantity":1,"price":1}]}', "items[0].price"),
        (ordering(more=b',"amount":710000'), "amount"),
        (b'{"items":[]}', "items"),
        (b'{"items":{}}', "items"),
        (b'{"items":[%b]}' % b",".join([b'{"productId":"hall","quantity":1}'] * 21), "items"),
        (ordering(more=b',"customer":{"name":""}'), "customer.name"),
        (ordering(more=b',"customer":{"name":"%b"}' % (b"a" * 101)), "customer.name"),
        (ordering(more=b',"customer":{"email":"\\u0000"}'), "customer.email"),
        (ordering(more=b',"customer":{"phone":10}'), "customer.phone"),
        (ordering(more=b',"customer":{"address":"Seoul"}'), "customer.address"),
        (ordering(more=b',"customer":null'), "customer"),
        (b"[]", ""),
        (b"null", ""),
        (b'"items"', ""),
        # not JSON
        (b"", ""),
        (b"{", ""),
        (ordering() + b"x", ""),
        (b"\xef\xbb\xbf" + ordering(), ""),
        (ordering().decode().encode("utf-16"), ""),
        (ordering(b"NaN"), ""),
        (ordering(product=b'"\xff"'), ""),
        (ordering(product=b'"\xed\xa0\x80"'), ""),
        (ordering(product=b'"\\ud800"'), ""),
        (ordering(product=b'"\\udc00\\ud800"'), ""),
        (b'{"\\ud800":1}', ""),
        (b"[" * 16000, ""),
        (b'{"items":' * 1700, "items"),
        (b'{"items":[' * 1500, "items[0].items"),
        (b'{"customer":' + b'{"name":' * 1900, "customer.name"),
    ],
)
async def test_a_body_that_cannot_be_taken_is_refused_by_the_name_of_its_field(
    shopfront: Shopfront, body: bytes, field: str
) -> None:
    answer = await shopfront.http.post("/api/v1/orders", content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "/problems/malformed-request"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["errors"][0]["reason"]


async def test_the_reason_says_what_is_wrong(shopfront: Shopfront) -> None:
    answer = await shopfront.http.post("/api/v1/orders", content=ordering(b'"1"'), headers=JSON)
    assert answer.json() == {
        "type": "/problems/malformed-request",
        "title": "Malformed request",
        "status": 400,
        "detail": "The body has a field that cannot be taken.",
        "errors": [{"field": "items[0].quantity", "reason": "Expected `int`, got `str`"}],
    }


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"],
)
async def test_a_body_of_another_type_is_refused(shopfront: Shopfront, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await shopfront.http.post("/api/v1/orders", content=ordering(), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


async def test_a_charset_beside_the_type_does_no_harm(shopfront: Shopfront) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await shopfront.http.post("/api/v1/orders", content=ordering(), headers=headers)).status_code == 201


@pytest.mark.parametrize("key", ["", "a" * 15, "a" * 257, "sixteen char key", "é" * 16, "a" * 16 + "\t"])
async def test_an_idempotency_key_of_another_shape_is_refused(shopfront: Shopfront, key: str) -> None:
    headers = {b"content-type": b"application/json", b"idempotency-key": key.encode()}
    answer = await shopfront.http.post("/api/v1/orders", content=ordering(), headers=headers)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["Idempotency-Key"]


async def test_two_idempotency_keys_are_refused(shopfront: Shopfront) -> None:
    headers = [("content-type", "application/json"), ("idempotency-key", "a" * 16), ("idempotency-key", "a" * 16)]
    answer = await shopfront.http.post("/api/v1/orders", content=ordering(), headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/products", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/api/v1/orders", {"POST", "OPTIONS"}),
        ("PUT", f"/api/v1/orders/{'0' * 32}", {"GET", "HEAD", "OPTIONS"}),
        ("GET", f"/api/v1/orders/{'0' * 32}/cancel", {"POST", "OPTIONS"}),
        ("HEAD", f"/api/v1/orders/{'0' * 32}/events", {"GET", "OPTIONS"}),
        ("GET", "/api/v1/webhooks/portone", {"POST"}),
        ("PATCH", "/health/live", {"GET", "HEAD", "OPTIONS"}),
    ],
)
async def test_a_method_that_an_address_does_not_take_is_refused(
    shopfront: Shopfront, method: str, path: str, allowed: set[str]
) -> None:
    answer = await shopfront.http.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert method == "HEAD" or answer.json()["type"] == "/problems/method-not-allowed"


@pytest.mark.parametrize("path", ["/nope", "/api/v1", "/api/v1/orders/a/b/c", "/api/v1/orders/a%2Fb", "/%00"])
async def test_an_unknown_address_is_a_problem_document_too(shopfront: Shopfront, path: str) -> None:
    answer = await shopfront.http.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


async def chunks(size: int) -> Any:
    for _ in range(size // 1024):
        yield b" " * 1024
    yield b" " * (size % 1024)


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(
    ("path", "most"), [("/api/v1/orders", 16 * 1024), ("/api/v1/webhooks/portone", 64 * 1024)], ids=["api", "webhook"]
)
async def test_one_byte_too_many_is_refused(shopfront: Shopfront, path: str, most: int, *, announced: bool) -> None:
    problems = []
    for size in (most, most + 1):
        content = b" " * size if announced else chunks(size)
        answer = await shopfront.http.post(path, content=content, headers=JSON)
        assert ("content-length" in answer.request.headers) is announced
        problems.append((answer.status_code, answer.json()["type"].removeprefix("/problems/")))
    assert problems[0][0] == 400
    assert problems[1] == (413, "content-too-large")


async def test_an_announced_length_is_refused_before_the_body_is_read(shopfront: Shopfront) -> None:
    read = []

    async def body() -> Any:
        read.append(1)
        yield b" "

    headers = {**JSON, "Content-Length": "16385"}
    assert (await shopfront.http.post("/api/v1/orders", content=body(), headers=headers)).status_code == 413
    assert read == []


RAW = [
    b"POST /api/v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
    b"POST /api/v1/webhooks/portone HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{",
    b"GET /api/v1/orders/\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /api/v1/orders/%ff%00?ticket=%ff%fe&ticket=%ed%a0%80 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /api/v1/products?%ff=\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /api/v1/products HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    b"GET /api/v1/products HTTP/1.1\r\nHost: a\r\nAuthorization: \xff\r\nCookie: \xff=\xfe\r\nOrigin: \xff\r\n\r\n",
    b"GET /api/v1/products HTTP/1.0\r\n\r\n",
    b"POST /api/v1/orders HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/v1/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 1e3\r\n\r\n",
    b"POST /api/v1/orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"BREW /api/v1/products HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("sent", RAW)
async def test_bytes_that_no_decent_client_sends_give_no_5xx(served: str, sent: bytes) -> None:
    host, port = urlsplit(served).hostname, urlsplit(served).port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(sent)
    writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read(64)
    writer.close()
    await writer.wait_closed()
    assert answer == b"" or b"HTTP/1.1 2" in answer or b"HTTP/1.1 4" in answer


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
nearly_an_item = st.fixed_dictionaries(
    {"productId": st.sampled_from(["hall", "vip-1-1", "no"]) | anything, "quantity": st.integers(-2, 200) | anything},
    optional={"price": anything},
)
nearly_an_order = st.fixed_dictionaries(
    {"items": st.lists(nearly_an_item | anything, max_size=3) | anything},
    optional={
        "customer": st.fixed_dictionaries({}, optional={"name": anything, "email": st.text(), "phone": anything})
        | anything,
        "more": anything,
    },
)
order_bodies = st.binary(max_size=200) | nearly_an_order.map(lambda body: json.dumps(body).encode())
headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                b"authorization",
                b"idempotency-key",
                b"content-type",
                b"last-event-id",
                b"origin",
                b"webhook-id",
                b"webhook-timestamp",
                b"webhook-signature",
                b"cookie",
            ]
        ),
        st.binary(max_size=40).map(lambda value: value.translate(None, b"\r\n\0")),
    ),
    max_size=6,
)
patient = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(body=order_bodies, extra=headers)
@patient
async def test_no_order_body_gives_a_5xx(shopfront: Shopfront, body: bytes, extra: list[tuple[bytes, bytes]]) -> None:
    answer = await shopfront.http.post(
        "/api/v1/orders", content=body, headers=[(b"content-type", b"application/json"), *extra]
    )
    assert answer.status_code < 500
    assert answer.status_code == 201 or answer.headers["content-type"] == "application/problem+json"


@given(body=st.binary(max_size=200), extra=headers)
@patient
async def test_no_unsigned_webhook_gives_anything_but_400(
    shopfront: Shopfront, body: bytes, extra: list[tuple[bytes, bytes]]
) -> None:
    answer = await shopfront.http.post("/api/v1/webhooks/portone", content=body, headers=extra)
    assert answer.status_code == 400


@given(body=st.binary(max_size=200) | anything.map(lambda body: json.dumps(body).encode()), number=st.integers(0))
@patient
async def test_no_signed_webhook_gives_a_5xx(shopfront: Shopfront, tools: Toolbox, body: bytes, number: int) -> None:
    signed = tools.signed(body, webhook_id=f"msg_{number}")
    answer = await shopfront.http.post("/api/v1/webhooks/portone", content=body, headers=signed)
    assert answer.status_code in {200, 400}


@given(
    tail=st.sampled_from(["", "/events", "/return", "/verify", "/cancel", "/ticket"]),
    order_id=st.text(min_size=1),
    extra=headers,
)
@patient
async def test_no_path_gives_a_5xx(
    shopfront: Shopfront, tail: str, order_id: str, extra: list[tuple[bytes, bytes]]
) -> None:
    path = "/api/v1/orders/" + "".join(f"%{byte:02x}" for byte in order_id.encode("utf-8", "surrogatepass")) + tail
    for method in ("GET", "POST"):
        answer = await shopfront.http.request(method, path, params={"ticket": order_id}, headers=extra)
        assert answer.status_code in {404, 405}


async def test_nothing_refused_took_any_stock(shopfront: Shopfront) -> None:
    for body in (ordering(b"2", b'"vip-1-1"'), ordering(b"1.0", b'"vip-1-1"')):
        assert (await shopfront.http.post("/api/v1/orders", content=body, headers=JSON)).status_code in {400, 409}
    products = {product.id: product for product in await shopfront.use_cases.list_products()}
    assert next(product for product in products.values() if product.price == Money(355_000, "KRW")).available == 1
