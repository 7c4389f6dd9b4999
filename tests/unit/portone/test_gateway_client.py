"""The gateway client over its own transport, against a server that says exactly the bytes a test wants said."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from adapters.portone.gateway import Patience, PortOneGateway
from adapters.portone.transport import ANSWER_MOST, CONNECTIONS_MOST, OneOriginTransport, gateway_client
from application.errors import (
    GatewayBusyError,
    GatewayDeniedError,
    GatewayError,
    GatewayRefusedError,
    GatewayUnavailableError,
    Refusal,
    UnreadableRecordError,
)
from application.ports import CancelPayment, ChangedPage, RefundAccount
from domain.ids import PaymentId, RefundId
from domain.money import Money
from domain.payment import UNREADABLE, Cancellation, CancellationStatus, Payment, PaymentStatus

OURS = PaymentId("0123456789abcdef0123456789abcdef")
REFUND = RefundId("fedcba9876543210fedcba9876543210")
KEY = "fedcba9876543210fedcba9876543210-2"
SECRET = "an-api-secret-that-must-not-be-seen"
HASTE = Patience(connect=1, ask=0.1, asking=0.5, change=0.1, pauses=(0.001, 0.001))

RECORD: dict[str, object] = {
    "status": "PAID",
    "id": OURS,
    "transactionId": "55451513-9763-4a7a-bb43-78a4c65be843",
    "merchantId": "merchant-1",
    "storeId": "store-1",
    "version": "V2",
    "requestedAt": "2024-04-25T09:59:00Z",
    "updatedAt": "2024-04-25T10:00:00.5Z",
    "statusChangedAt": "2024-04-25T19:00:00+09:00",
    "orderName": "VIP 1열 1번",
    "amount": {"total": 71000, "taxFree": 0, "vat": 6455, "discount": 1000, "paid": 70000, "cancelled": 0},
    "currency": "KRW",
    "customer": {"name": "홍길동", "phoneNumber": "01012345678"},
    "channel": {"type": "LIVE", "key": "channel-key-1", "pgProvider": "KAKAOPAY", "pgMerchantId": "CA00000000"},
    "method": {"type": "PaymentMethodEasyPay", "provider": "KAKAOPAY"},
    "paidAt": "2024-04-25T10:00:00Z",
}
DONE: dict[str, object] = {
    "status": "SUCCEEDED",
    "id": "0cdd91e9-4e7c-44a3-a72e-1a6511800001",
    "totalAmount": 30000,
    "taxFreeAmount": 0,
    "vatAmount": 2727,
    "reason": f"[{REFUND}] sold out",
    "requestedAt": "2024-04-25T11:00:00Z",
}

Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def says(status: int, body: object, kind: str = "application/json", extra: bytes = b"") -> bytes:
    """A whole HTTP answer."""
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    length = b"content-type: %b\r\ncontent-length: %d\r\n" % (kind.encode(), len(content))
    return b"HTTP/1.1 %d X\r\n%b%b\r\n%b" % (status, length, extra, content)


HTML = b"<html><h1>Bad Gateway</h1></html>"
PAID = says(200, RECORD)


@dataclass(frozen=True)
class Asked:
    """One request as it arrived, and over which connection."""

    line: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass
class Server:
    """Says the entries of its script one after the other, the last one for ever."""

    script: list[bytes | Say] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    open_most: int = 0
    port: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def will(self, *script: bytes | Say) -> None:
        self.script = list(script)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.open_most = max(self.open_most, self.open)
        number = self.connections
        try:
            while not writer.is_closing():
                self.asked.append(await read_request(reader, number))
                say = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if isinstance(say, bytes):
                    writer.write(say)
                else:
                    await say(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            self.open -= 1
            writer.close()


async def read_request(reader: asyncio.StreamReader, connection: int) -> Asked:
    line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value for name, value in (entry.split(": ", 1) for entry in fields)}
    return Asked(line, headers, await reader.readexactly(int(headers.get("content-length", "0"))), connection)


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side goes."""
    await reader.read(1)
    raise ConnectionError


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def then_close(words: bytes) -> Say:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.close()

    return say


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    serving = Server()
    tasks: list[asyncio.Task[None]] = []

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.get_running_loop().create_task(serving.serve(reader, writer)))

    listening = await asyncio.start_server(begin, "127.0.0.1", 0)
    serving.port = listening.sockets[0].getsockname()[1]
    yield serving
    listening.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway_client(server.url) as speaking:
        yield speaking


@pytest.fixture
def gateway(client: httpx.AsyncClient) -> PortOneGateway:
    return PortOneGateway(client, api_secret=SECRET, store_id="store-1", patience=HASTE)


def the_cancel(amount: int = 30000, *, reason: str = "sold out", **more: Any) -> CancelPayment:
    return CancelPayment(
        payment_id=OURS,
        store_id="store-2",
        refund_id=REFUND,
        key=KEY,
        amount=Money(amount, "KRW"),
        tax_free=Money(more.pop("tax_free", 0), "KRW"),
        left=Money(71000, "KRW"),
        reason=reason,
        **more,
    )


# --- get ----------------------------------------------------------------------------------------------------------


async def test_a_payment_is_asked_for_in_our_store_with_the_secret(gateway: PortOneGateway, server: Server) -> None:
    server.will(PAID)
    await gateway.get(OURS)
    assert [asked.line for asked in server.asked] == [f"GET /payments/{OURS}?storeId=store-1 HTTP/1.1"]
    assert server.asked[0].headers == {
        "host": f"127.0.0.1:{server.port}",
        "authorization": f"PortOne {SECRET}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "gyeolje",
    }


async def test_a_record_becomes_a_payment(gateway: PortOneGateway, server: Server) -> None:
    server.will(PAID)
    assert await gateway.get(OURS) == Payment(
        id=OURS,
        status=PaymentStatus.PAID,
        said="PAID",
        total=Money(71000, "KRW"),
        cancelled=Money(0, "KRW"),
        store_id="store-1",
        channel_type="LIVE",
        attempt="55451513-9763-4a7a-bb43-78a4c65be843",
        changed_at=datetime(2024, 4, 25, 10, 0, tzinfo=UTC),
        updated_at=datetime(2024, 4, 25, 10, 0, 0, 500000, tzinfo=UTC),
        paid=Money(70000, "KRW"),
        tax_free=Money(0, "KRW"),
    )


async def test_a_payment_of_another_store_is_found_at_the_second_asking(
    gateway: PortOneGateway, server: Server
) -> None:
    server.will(says(404, {"type": "PAYMENT_NOT_FOUND"}), says(200, {**RECORD, "storeId": "store-2"}))
    payment = await gateway.get(OURS)
    assert payment is not None
    assert payment.store_id == "store-2"
    assert [asked.line for asked in server.asked] == [
        f"GET /payments/{OURS}?storeId=store-1 HTTP/1.1",
        f"GET /payments/{OURS} HTTP/1.1",
    ]


async def test_only_the_gateways_own_word_says_that_there_is_no_payment(
    gateway: PortOneGateway, server: Server
) -> None:
    server.will(says(404, {"type": "PAYMENT_NOT_FOUND", "message": "..."}))
    assert await gateway.get(OURS) is None


@pytest.mark.parametrize(
    "words",
    [
        says(404, HTML, "text/html"),
        says(404, b'{"type":"PAYMENT_NOT_FOUND"}', "text/plain"),
        says(404, {"type": "STORE_NOT_FOUND"}),
        says(404, {}),
        says(404, b""),
        says(200, {"type": "PAYMENT_NOT_FOUND"}),
        says(400, {"type": "INVALID_REQUEST"}),
        says(429, {"type": "TOO_MANY_REQUESTS"}),
        says(500, b"", "text/plain"),
        says(502, HTML, "text/html"),
        says(503, {"type": "MAINTENANCE"}),
        says(200, HTML, "text/html; charset=utf-8"),
        says(200, json.dumps(RECORD).encode(), "text/html"),
        says(200, json.dumps(RECORD).encode()[:-20]),
        says(200, b""),
        says(200, b"null"),
        says(200, b"[" * 100_000),
        says(200, b'{"method":' + b"[" * 100_000),
        says(200, b'{"status":"\xff"}'),
        says(204, b""),
        says(301, PAID, extra=b"location: http://127.0.0.1:9/\r\n"),
        says(302, RECORD, extra=b"location: /\r\n"),
        says(200, gzip.compress(json.dumps(RECORD).encode()), extra=b"content-encoding: gzip\r\n"),
        says(200, {**RECORD, "id": "another0000000000000000000000000"}),
        says(200, {**RECORD, "customData": "x" * 2**20}),
        PAID[:-20].replace(b"content-length", b"x-length"),
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 2**18 + b"\r\n",
        PAID + PAID,
        PAID + b"more",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        b"220 mail.example.com ESMTP\r\n",
        b"\x16\x03\x01\x00\xff",
        then_close(b""),
        then_close(PAID[:-1]),
        then_close(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + json.dumps(RECORD).encode()),
        reset,
        hang,
    ],
)
async def test_an_answer_that_cannot_be_used_is_no_answer(
    gateway: PortOneGateway, server: Server, words: bytes | Say
) -> None:
    server.will(words)
    with pytest.raises(GatewayUnavailableError):
        await gateway.get(OURS)


@pytest.mark.parametrize("trouble", [says(503, b""), says(200, HTML, "text/html"), close, reset, hang])
async def test_asking_is_tried_again_twice(gateway: PortOneGateway, server: Server, trouble: bytes | Say) -> None:
    server.will(trouble, trouble, PAID)
    assert await gateway.get(OURS) is not None
    assert len(server.asked) == 3


async def test_asking_is_tried_three_times_and_no_more(gateway: PortOneGateway, server: Server) -> None:
    server.will(says(503, b""))
    with pytest.raises(GatewayUnavailableError):
        await gateway.get(OURS)
    assert len(server.asked) == 3


async def test_all_tries_together_have_a_deadline(client: httpx.AsyncClient, server: Server) -> None:
    server.will(hang)
    patience = Patience(connect=1, ask=0.2, asking=0.3, change=1, pauses=(60, 60))
    impatient = PortOneGateway(client, api_secret=SECRET, store_id="store-1", patience=patience)
    with pytest.raises(GatewayUnavailableError):
        await asyncio.wait_for(impatient.get(OURS), 5)


async def test_asking_in_another_store_has_no_deadline_of_its_own(client: httpx.AsyncClient, server: Server) -> None:
    async def not_found_in_the_end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(says(404, {"type": "PAYMENT_NOT_FOUND"}))

    server.will(not_found_in_the_end)
    patience = Patience(connect=1, ask=1, asking=0.5, change=1)
    with pytest.raises(GatewayUnavailableError):
        await PortOneGateway(client, api_secret=SECRET, store_id="store-1", patience=patience).get(OURS)


async def test_an_answer_that_drips_in_for_ever_is_cut_off(gateway: PortOneGateway, server: Server) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.01)
        raise ConnectionError

    server.will(drip)
    with pytest.raises(GatewayUnavailableError):
        await asyncio.wait_for(gateway.get(OURS), 5)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [{"type": "UNAUTHORIZED"}, HTML])
async def test_refused_credentials_are_told_at_once(
    gateway: PortOneGateway, server: Server, status: int, body: object
) -> None:
    server.will(says(status, body))
    with pytest.raises(GatewayDeniedError):
        await gateway.get(OURS)
    with pytest.raises(GatewayDeniedError):
        await gateway.cancel(the_cancel())
    assert len(server.asked) == 2


async def test_a_gateway_that_is_not_there_is_unavailable() -> None:
    listening = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    async with gateway_client(f"http://127.0.0.1:{port}") as client:
        nowhere = PortOneGateway(client, api_secret=SECRET, store_id="store-1", patience=HASTE)
        with pytest.raises(GatewayUnavailableError):
            await nowhere.get(OURS)
        with pytest.raises(GatewayUnavailableError):
            await nowhere.cancel(the_cancel())


async def test_a_gateway_without_the_tls_it_should_have_is_unavailable(server: Server) -> None:
    server.will(PAID)
    async with gateway_client(f"https://127.0.0.1:{server.port}") as client:
        secure = PortOneGateway(client, api_secret=SECRET, store_id="store-1", patience=HASTE)
        with pytest.raises(GatewayUnavailableError):
            await secure.get(OURS)
    assert server.asked == []


# --- cancel -------------------------------------------------------------------------------------------------------


async def test_a_partial_cancel_is_sent_with_its_key_and_what_we_think_is_left(
    gateway: PortOneGateway, server: Server
) -> None:
    server.will(says(200, {"cancellation": DONE}))
    cancellation = await gateway.cancel(the_cancel())
    assert cancellation == Cancellation(
        id="0cdd91e9-4e7c-44a3-a72e-1a6511800001",
        status=CancellationStatus.SUCCEEDED,
        amount=Money(30000, "KRW"),
        reason=f"[{REFUND}] sold out",
        requested_at=datetime(2024, 4, 25, 11, 0, tzinfo=UTC),
    )
    (asked,) = server.asked
    assert asked.line == f"POST /payments/{OURS}/cancel HTTP/1.1"
    assert asked.headers["idempotency-key"] == f'"{KEY}"'
    assert asked.headers["authorization"] == f"PortOne {SECRET}"
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == {
        "storeId": "store-2",
        "amount": 30000,
        "reason": f"[{REFUND}] sold out",
        "requester": "ADMIN",
        "currentCancellableAmount": 71000,
    }


async def test_a_full_cancel_names_no_amount(gateway: PortOneGateway, server: Server) -> None:
    server.will(says(200, {"cancellation": DONE}))
    await gateway.cancel(the_cancel(71000, by_customer=True))
    assert json.loads(server.asked[0].body) == {
        "storeId": "store-2",
        "reason": f"[{REFUND}] sold out",
        "requester": "CUSTOMER",
        "currentCancellableAmount": 71000,
    }


async def test_a_cancel_names_the_part_that_goes_back_untaxed_and_the_account_it_goes_to(
    gateway: PortOneGateway, server: Server
) -> None:
    server.will(says(200, {"cancellation": DONE}))
    account = RefundAccount(bank="KAKAO", number="3333-01-0000000", holder="김")
    await gateway.cancel(the_cancel(tax_free=5000, account=account))
    assert json.loads(server.asked[0].body) == {
        "storeId": "store-2",
        "amount": 30000,
        "taxFreeAmount": 5000,
        "reason": f"[{REFUND}] sold out",
        "requester": "ADMIN",
        "currentCancellableAmount": 71000,
        "refundAccount": {"bank": "KAKAO", "number": "3333-01-0000000", "holderName": "김"},
    }


async def test_a_long_reason_is_cut_behind_the_refund_it_is_for(gateway: PortOneGateway, server: Server) -> None:
    server.will(says(200, {"cancellation": DONE}))
    await gateway.cancel(the_cancel(reason="매진 " * 1000))
    reason = json.loads(server.asked[0].body)["reason"]
    assert reason.startswith(f"[{REFUND}] 매진 매진")
    assert len(reason) == 200


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("SUCCEEDED", CancellationStatus.SUCCEEDED),
        ("REQUESTED", CancellationStatus.REQUESTED),
        ("FAILED", CancellationStatus.FAILED),
        ("SOMETHING_NEW", CancellationStatus.UNKNOWN),
    ],
)
async def test_an_accepted_cancel_says_how_far_it_got(
    gateway: PortOneGateway, server: Server, word: str, status: CancellationStatus
) -> None:
    server.will(says(200, {"cancellation": {**DONE, "status": word}}))
    assert (await gateway.cancel(the_cancel())).status is status


@pytest.mark.parametrize(
    ("http", "code", "kind"),
    [
        (400, "INVALID_REQUEST", Refusal.MALFORMED),
        (404, "PAYMENT_NOT_FOUND", Refusal.LATER),
        (409, "PAYMENT_NOT_PAID", Refusal.LATER),
        (409, "PAYMENT_ALREADY_CANCELLED", Refusal.LATER),
        (409, "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN", Refusal.MOVED),
        (409, "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT", Refusal.MOVED),
        (409, "CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT", Refusal.TAX_PART),
        (409, "CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT", Refusal.TAX_PART),
        (409, "SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT", Refusal.TAX_PART),
        (409, "MAX_CANCEL_COUNT_REACHED", Refusal.NEVER),
        (409, "NEGATIVE_PROMOTION_ADJUSTED_CANCEL_AMOUNT", Refusal.NEVER),
        (409, "PROMOTION_DISCOUNT_RETAIN_OPTION_SHOULD_NOT_BE_CHANGED", Refusal.NEVER),
        (409, "SOMETHING_NEW", Refusal.LATER),
    ],
)
async def test_a_cancel_the_gateway_refuses_was_definitely_not_done_and_its_word_says_what_follows(
    gateway: PortOneGateway, server: Server, http: int, code: str, kind: Refusal
) -> None:
    server.will(says(http, {"type": code, "message": "결제 홍길동"}))
    with pytest.raises(GatewayRefusedError) as refused:
        await gateway.cancel(the_cancel())
    assert (refused.value.code, refused.value.kind) == (code, kind)
    assert "홍길동" not in str(refused.value)


async def test_a_cancel_that_is_still_under_way_is_busy(gateway: PortOneGateway, server: Server) -> None:
    server.will(says(409, {"type": "IDEMPOTENCY_OUTSTANDING_REQUEST"}))
    with pytest.raises(GatewayBusyError):
        await gateway.cancel(the_cancel())


@pytest.mark.parametrize(
    "words",
    [
        says(502, {"type": "PG_PROVIDER", "pgCode": "-1", "pgMessage": "..."}),
        says(500, {"type": "INTERNAL"}),
        says(502, HTML, "text/html"),
        says(409, HTML, "text/html"),
        says(409, {"message": "no type"}),
        says(408, {"type": "TIMEOUT"}),
        says(429, {"type": "TOO_MANY_REQUESTS"}),
        says(200, HTML, "text/html"),
        says(200, {}),
        says(200, {"cancellation": {**DONE, "totalAmount": "30000"}}),
        says(200, {"cancellation": {**DONE, "totalAmount": -1}}),
        says(200, {"cancellation": DONE})[:-9],
        says(307, {"cancellation": DONE}, extra=b"location: /\r\n"),
        close,
        reset,
        hang,
    ],
)
async def test_a_cancel_without_a_usable_answer_is_unknown_and_sent_once(
    gateway: PortOneGateway, server: Server, words: bytes | Say
) -> None:
    server.will(words, says(200, {"cancellation": DONE}))
    with pytest.raises(GatewayUnavailableError):
        await gateway.cancel(the_cancel())
    assert len(server.asked) == 1


# --- the rest -----------------------------------------------------------------------------------------------------


async def test_a_sum_is_registered_before_the_payment(gateway: PortOneGateway, server: Server) -> None:
    server.will(says(200, {}))
    await gateway.pre_register(OURS, Money(71000, "KRW"), Money.zero("KRW"))
    (asked,) = server.asked
    assert asked.line == f"POST /payments/{OURS}/pre-register HTTP/1.1"
    assert json.loads(asked.body) == {"storeId": "store-1", "totalAmount": 71000, "currency": "KRW"}


async def test_the_untaxed_part_of_a_sum_is_registered_with_it(gateway: PortOneGateway, server: Server) -> None:
    server.will(says(200, {}))
    await gateway.pre_register(OURS, Money(71000, "KRW"), Money(20000, "KRW"))
    assert json.loads(server.asked[0].body)["taxFreeAmount"] == 20000


async def test_no_sum_is_registered_for_what_is_paid(gateway: PortOneGateway, server: Server) -> None:
    server.will(says(409, {"type": "ALREADY_PAID"}))
    with pytest.raises(GatewayRefusedError, match="ALREADY_PAID"):
        await gateway.pre_register(OURS, Money(71000, "KRW"), Money.zero("KRW"))


async def test_a_proxys_page_does_not_register_a_sum(gateway: PortOneGateway, server: Server) -> None:
    server.will(says(200, HTML, "text/html"))
    with pytest.raises(GatewayUnavailableError):
        await gateway.pre_register(OURS, Money(71000, "KRW"), Money.zero("KRW"))


@pytest.mark.parametrize(("store", "where"), [("store 1&x", "?storeId=store%201%26x"), (None, "")])
async def test_a_virtual_account_is_closed_where_it_was_opened(
    gateway: PortOneGateway, server: Server, store: str | None, where: str
) -> None:
    server.will(says(200, {"closedAt": "2024-04-25T11:00:00Z"}))
    await gateway.close_virtual_account(OURS, store)
    assert server.asked[0].line == f"POST /payments/{OURS}/virtual-account/close{where} HTTP/1.1"


async def test_no_account_is_closed_where_none_waits(gateway: PortOneGateway, server: Server) -> None:
    server.will(says(409, {"type": "PAYMENT_NOT_WAITING_FOR_DEPOSIT"}))
    with pytest.raises(GatewayRefusedError, match="PAYMENT_NOT_WAITING_FOR_DEPOSIT"):
        await gateway.close_virtual_account(OURS, "store-1")


async def test_the_secret_and_the_buyer_are_in_no_error_text_log_or_repr(
    client: httpx.AsyncClient, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = PortOneGateway(client, api_secret=SECRET, store_id="store-1", patience=HASTE)
    server.will(PAID, says(200, {**RECORD, "amount": "홍길동"}), says(401, RECORD), close)
    told = [repr(gateway), repr(vars(gateway)), repr(client.__dict__)]
    for _ in range(4):
        try:
            await gateway.get(OURS)
        except GatewayError as error:
            told += [repr(error), repr(error.__cause__)]
    told += [record.getMessage() for record in caplog.records]
    assert len(told) > 6
    assert not [text for text in told if SECRET in text or "홍길동" in text or "01012345678" in text]


# --- what changed -------------------------------------------------------------------------------------------------

BEGIN, END = datetime(2024, 4, 25, tzinfo=UTC), datetime(2024, 4, 26, tzinfo=UTC)


def changed(number: int, at: datetime, **more: object) -> dict[str, object]:
    return {**RECORD, "id": f"payment{number}", "statusChangedAt": at.isoformat(), **more}


async def listed(gateway: PortOneGateway, number: int = 0, size: int = 100) -> ChangedPage:
    return await gateway.changed_page("store-1", BEGIN, END, number=number, size=size)


def page_of(*items: object, total: object = None) -> bytes:
    count = len(items) if total is None else total
    return says(200, {"items": list(items), "page": {"number": 0, "size": 100, "totalCount": count}})


async def test_what_changed_is_asked_for_by_store_time_of_change_and_page(
    gateway: PortOneGateway, server: Server
) -> None:
    server.will(page_of(changed(1, BEGIN), changed(2, END), total=302))
    page = await listed(gateway, 3, 50)
    assert ([payment.id for payment in page.payments], page.total) == (["payment1", "payment2"], 302)
    path = urlsplit(server.asked[-1].line.split(" ")[1])
    assert path.path == "/payments"
    assert json.loads(parse_qs(path.query)["requestBody"][0]) == {
        "page": {"number": 3, "size": 50},
        "filter": {
            "storeId": "store-1",
            "timestampType": "STATUS_CHANGED_AT",
            "from": "2024-04-25T00:00:00Z",
            "until": "2024-04-26T00:00:00Z",
            "sortBy": "STATUS_CHANGED_AT",
            "sortOrder": "ASC",
        },
    }


async def test_nothing_changed_is_an_empty_page(gateway: PortOneGateway, server: Server) -> None:
    server.will(page_of())
    assert await listed(gateway) == ChangedPage(payments=[], total=0)


async def test_a_listed_record_that_cannot_be_read_keeps_its_place_as_unknown(
    gateway: PortOneGateway, server: Server
) -> None:
    unnamed = {"status": "PAID"}
    server.will(
        page_of(
            changed(1, BEGIN),
            changed(2, BEGIN, amount={"sum": "?"}),
            unnamed,
            5,
            changed(3, BEGIN, status="PENDING"),
        )
    )
    told = [(payment.id, payment.status, payment.said) for payment in (await listed(gateway)).payments]
    assert told[:2] == [
        ("payment1", PaymentStatus.PAID, "PAID"),
        ("payment2", PaymentStatus.UNKNOWN, UNREADABLE),
    ]
    assert told[4:] == [("payment3", PaymentStatus.PAY_PENDING, "PENDING")]
    named = {name for name, status, said in told[2:4] if (status, said) == (PaymentStatus.UNKNOWN, UNREADABLE)}
    assert len(named) == 2, "each by a name of its own"
    assert all(name.startswith("unreadable-") for name in named)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"items": 5, "page": {"totalCount": 1}},
        {"items": []},
        {"items": [], "page": {}},
        {"items": [], "page": {"totalCount": "1"}},
        {"items": [], "page": {"totalCount": -1}},
        {"items": [], "page": {"totalCount": None}},
    ],
)
async def test_a_page_without_payments_or_without_their_count_is_no_answer(
    gateway: PortOneGateway, server: Server, body: object
) -> None:
    server.will(says(200, body))
    with pytest.raises(GatewayUnavailableError):
        await listed(gateway)


async def test_a_record_that_cannot_be_read_is_told_apart_from_no_answer(
    gateway: PortOneGateway, server: Server
) -> None:
    server.will(says(200, {**RECORD, "id": OURS, "amount": {"sum": "?"}}))
    with pytest.raises(UnreadableRecordError):
        await gateway.get(OURS)


async def test_a_page_may_be_longer_than_a_record(gateway: PortOneGateway, server: Server) -> None:
    server.will(page_of(*(changed(number, BEGIN, webhooks=["x" * 20_000]) for number in range(80))))
    assert len((await listed(gateway)).payments) == 80


# --- the transport ------------------------------------------------------------------------------------------------


async def test_requests_one_after_the_other_share_a_connection(gateway: PortOneGateway, server: Server) -> None:
    server.will(PAID)
    for _ in range(3):
        await gateway.get(OURS)
    assert [asked.connection for asked in server.asked] == [1, 1, 1]


@pytest.mark.parametrize(
    "words",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + PAID,
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 102 X\r\n\r\n" + PAID,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(json.dumps(RECORD)), json.dumps(RECORD).encode()),
        says(200, RECORD, extra=b"content-encoding: identity\r\n"),
        says(200, RECORD, extra=b"set-cookie: a=b\r\n"),
        says(200, RECORD, extra=b"connection: close\r\n"),
        PAID.replace(b"HTTP/1.1", b"HTTP/1.0"),
        then_close(says(200, RECORD, extra=b"connection: close\r\n")),
        then_close(PAID),
    ],
)
async def test_every_way_to_say_a_whole_answer_is_understood_again_and_again(
    gateway: PortOneGateway, server: Server, words: bytes | Say
) -> None:
    server.will(words)
    assert await gateway.get(OURS) == await gateway.get(OURS) == await gateway.get(OURS)
    assert all("cookie" not in asked.headers for asked in server.asked)


async def test_an_answer_may_come_byte_by_byte(gateway: PortOneGateway, server: Server) -> None:
    async def spell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in PAID:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    server.will(spell)
    assert await gateway.get(OURS) is not None


async def test_a_connection_that_closes_just_then_costs_a_get_one_more_try_and_leaves_a_cancel_unknown(
    gateway: PortOneGateway, server: Server
) -> None:
    server.will(PAID, close, PAID, close)
    await gateway.get(OURS)
    assert await gateway.get(OURS) is not None
    with pytest.raises(GatewayUnavailableError):
        await gateway.cancel(the_cancel())
    assert [asked.line.split(" ")[0] for asked in server.asked] == ["GET", "GET", "GET", "POST"]


async def test_bytes_that_nobody_asked_for_are_never_taken_for_the_next_answer(
    gateway: PortOneGateway, server: Server
) -> None:
    async def answer_and_later_something_else(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PAID)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(says(200, {**RECORD, "status": "CANCELLED"}))

    server.will(answer_and_later_something_else, PAID)
    await gateway.get(OURS)
    await asyncio.wait_for(server.left.wait(), 5)
    payment = await gateway.get(OURS)
    assert payment is not None
    assert payment.status is PaymentStatus.PAID
    assert server.asked[-1].connection == 2


async def test_a_request_that_is_given_up_takes_its_connection_with_it(gateway: PortOneGateway, server: Server) -> None:
    asked = asyncio.Event()

    async def hang_and_tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await hang(reader, writer)

    server.will(hang_and_tell, PAID)
    task = asyncio.create_task(gateway.get(OURS))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.left.wait(), 5)
    assert await gateway.get(OURS) is not None
    assert [asked.connection for asked in server.asked] == [1, 2]


async def test_there_are_never_more_connections_than_allowed(client: httpx.AsyncClient, server: Server) -> None:
    patient = PortOneGateway(client, api_secret=SECRET, store_id="store-1")
    server.will(PAID)
    payments = await asyncio.gather(*(patient.get(OURS) for _ in range(3 * CONNECTIONS_MOST)))
    assert len(payments) == 192
    assert server.open_most <= 64


async def test_a_change_does_not_wait_for_ever_for_a_free_connection(
    client: httpx.AsyncClient, gateway: PortOneGateway, server: Server
) -> None:
    server.will(hang)
    others = [asyncio.create_task(client.get("/x", timeout=60)) for _ in range(CONNECTIONS_MOST)]
    await asyncio.sleep(0)
    with pytest.raises(GatewayUnavailableError):
        await asyncio.wait_for(gateway.cancel(the_cancel()), 5)
    assert all(asked.line.startswith("GET") for asked in server.asked)
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def test_a_closed_client_leaves_nothing_open_and_answers_nobody(server: Server) -> None:
    asked = asyncio.Event()

    async def hang_and_tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await hang(reader, writer)

    client = gateway_client(server.url)
    gateway = PortOneGateway(client, api_secret=SECRET, store_id="store-1", patience=Patience(pauses=()))
    server.will(PAID, hang_and_tell)
    await gateway.get(OURS)
    waiting = asyncio.create_task(gateway.get(OURS))
    await asked.wait()
    await client.aclose()
    for late in (waiting, gateway.get(OURS)):
        with pytest.raises(GatewayUnavailableError):
            await late
    await asyncio.wait_for(server.left.wait(), 5)
    assert server.connections == 1


async def test_the_secret_goes_to_no_other_origin(client: httpx.AsyncClient, server: Server) -> None:
    for elsewhere in ("http://127.0.0.1:9/", f"https://127.0.0.1:{server.port}/", "http://example.com/"):
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get(elsewhere)
    assert server.connections == 0


async def test_no_header_can_smuggle_another(client: httpx.AsyncClient, server: Server) -> None:
    server.will(PAID)
    for smuggled in ("a\r\nx-more: b", "a\nx-more: b", "a\rx"):
        with pytest.raises(httpx.LocalProtocolError):
            await client.get("/", headers={"x-one": smuggled})
    assert server.asked == []


async def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.will(PAID)
    async with gateway_client(server.url) as client:
        assert (await client.get("/x")).json()["id"] == OURS


async def test_a_request_may_allow_a_longer_answer(client: httpx.AsyncClient, server: Server) -> None:
    server.will(says(200, b"x" * 2**20))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/x")
    assert len((await client.get("/x", extensions={ANSWER_MOST: 2**21})).content) == 2**20


@pytest.mark.parametrize("late", [hang, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhalf"])
async def test_a_read_time_out_bounds_the_whole_answer(
    client: httpx.AsyncClient, server: Server, late: bytes | Say
) -> None:
    server.will(late)
    with pytest.raises(httpx.ReadTimeout):
        await client.get("/x", timeout=0.05)
    await asyncio.wait_for(server.left.wait(), 5)


@pytest.mark.parametrize("end", [close, reset, then_close(PAID[:-1])])
async def test_the_end_of_a_connection_is_noticed_at_once(client: httpx.AsyncClient, server: Server, end: Say) -> None:
    server.will(end)
    with pytest.raises(httpx.RemoteProtocolError):
        await asyncio.wait_for(client.get("/x", timeout=60), 5)


async def test_a_connection_is_not_used_again_once_its_server_called_it_closed(
    gateway: PortOneGateway, server: Server
) -> None:
    server.will(says(200, RECORD, extra=b"connection: close\r\n"))
    await gateway.get(OURS)
    await gateway.get(OURS)
    assert [asked.connection for asked in server.asked] == [1, 2]


async def test_a_connection_that_was_idle_for_too_long_is_not_used_again(server: Server) -> None:
    server.will(PAID)
    async with httpx.AsyncClient(
        base_url=server.url, transport=OneOriginTransport(httpx.URL(server.url), idle_most=0)
    ) as client:
        await client.get("/x")
        await client.get("/x")
        await asyncio.wait_for(server.left.wait(), 5)
    assert [asked.connection for asked in server.asked] == [1, 2]


async def test_when_a_transport_is_closed_so_are_its_connections(server: Server) -> None:
    server.will(PAID)
    transport = OneOriginTransport(httpx.URL(server.url))
    await transport.handle_async_request(httpx.Request("GET", server.url))
    assert len(transport._open) == 1
    await transport.aclose()
    assert transport._open == set()
