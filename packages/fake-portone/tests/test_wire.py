"""What the fake answers to requests that no route of its own decides: other paths, methods, sizes and spellings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

SECRET = {"authorization": "PortOne the fake's secret"}
WINDOW = {
    "storeId": "store-a",
    "channelKey": "channel-a",
    "orderName": "VIP",
    "totalAmount": 71_000,
    "currency": "KRW",
}
MIB = 2**20


@pytest.fixture
async def http(portone_server: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=portone_server.url, trust_env=False, headers=SECRET) as http:
        yield http


def reason_of(size: int) -> bytes:
    """A request to cancel of so many bytes."""
    around = len(b'{"reason":""}')
    return b'{"reason":"%b"}' % (b"x" * (size - around))


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), 65_536):
        yield body[begin : begin + 65_536]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize(
    "path", ["/nothing", "/payments/p/nothing", "/_fake", "/_fake/static/dashboard.html", "/schema"]
)
async def test_a_path_that_is_not_served_is_not_found(http: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, answer.json()) == (404, {"type": "NOT_FOUND", "message": "Not Found"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/payments"),
        ("DELETE", "/payments/p"),
        ("GET", "/payments/p/cancel"),
        ("POST", "/_fake/ledger"),
        ("PATCH", "/_fake/faults"),
        ("GET", "/_fake/window"),
        ("PUT", "/"),
    ],
)
async def test_a_method_that_is_not_served_is_not_allowed(http: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await http.request(method, path)
    refused = {"type": "METHOD_NOT_ALLOWED", "message": "Method Not Allowed"}
    assert (answer.status_code, answer.json()) == (405, refused)


@pytest.mark.parametrize("path", ["/", "/payments", "/payments/p", "/_fake/ledger"])
async def test_head_is_no_get(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.head(path)).status_code == 405


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/payments/p", "GET, OPTIONS"),
        ("/payments/p/cancel", "OPTIONS, POST"),
        ("/_fake/faults", "DELETE, GET, OPTIONS, PUT"),
    ],
)
async def test_options_names_the_methods_of_a_path(http: httpx.AsyncClient, path: str, allowed: str) -> None:
    answer = await http.options(path)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, allowed, b"")


@pytest.mark.parametrize("path", ["//_fake//ledger", "/_fake/ledger/", "/_fake/ledger///"])
async def test_slashes_too_many_make_no_other_path(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(httpx.URL(str(http.base_url)).copy_with(raw_path=path.encode()))
    assert (answer.status_code, set(answer.json())) == (200, {"payments", "totals"})


async def test_an_encoded_slash_is_part_of_no_payment_id(http: httpx.AsyncClient) -> None:
    assert (await http.get("/payments/a%2Fb")).json()["type"] == "NOT_FOUND"


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_of_a_mebibyte_is_read_and_one_byte_more_is_not(http: httpx.AsyncClient, announced: bool) -> None:
    sizes = {}
    for size in (MIB, MIB + 1):
        body = reason_of(size)
        answer = await http.post("/payments/p/cancel", content=body if announced else in_pieces(body))
        sizes[size - MIB] = (answer.status_code, answer.json()["type"])
    assert sizes == {0: (404, "PAYMENT_NOT_FOUND"), 1: (413, "REQUEST_ENTITY_TOO_LARGE")}


async def test_where_the_address_says_something_twice_the_first_counts(http: httpx.AsyncClient) -> None:
    await http.post("/_fake/payments/p/pay", json=WINDOW)
    right_first = await http.get("/payments/p?storeId=store-a&storeId=store-b")
    wrong_first = await http.get("/payments/p?storeId=store-b&storeId=store-a")
    assert (right_first.status_code, wrong_first.status_code) == (200, 404)


async def test_an_answer_that_is_lost_ends_within_its_body(http: httpx.AsyncClient) -> None:
    await http.put("/_fake/faults", json=[{"name": "gateway_reset", "times": 1}])
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get("/payments/p")
    assert (await http.get("/payments/p")).status_code == 404


async def test_an_answer_that_is_cut_short_is_whole_for_http_and_broken_for_json(http: httpx.AsyncClient) -> None:
    await http.post("/_fake/payments/p/pay", json=WINDOW)
    await http.put("/_fake/faults", json=[{"name": "gateway_truncated", "times": 1}])
    answer = await http.get("/payments/p")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError, match="Unterminated string"):
        answer.json()


async def test_a_defect_of_the_fake_is_a_500_that_says_so_in_its_log(
    http: httpx.AsyncClient, portone_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    portone_server.fake.ledger._book.capture("p", 1)
    answer = await http.post("/_fake/payments/p/pay", json=WINDOW)
    assert (answer.status_code, answer.json()) == (500, {"status_code": 500, "detail": "Internal Server Error"})
    assert "p would be paid twice" in caplog.text


async def test_a_caller_who_goes_away_before_the_end_of_the_body_is_no_defect(
    portone_server: Any, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    address = httpx.URL(portone_server.url)
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"POST /payments/p/cancel HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    await http.get("/_fake/ledger")
    writer.close()
    await writer.wait_closed()
    await http.get("/_fake/ledger")
    assert caplog.text == ""
