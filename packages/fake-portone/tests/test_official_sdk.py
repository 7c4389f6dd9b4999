"""Proof that the fake has PortOne's shape: PortOne's own SDK, pointed at it over HTTP, understands all that it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from portone_server_sdk import webhook
from portone_server_sdk.common import PageInput
from portone_server_sdk.errors import (
    AlreadyPaidError,
    CancelAmountExceedsCancellableAmountError,
    CancellableAmountConsistencyBrokenError,
    CancelTaxFreeAmountExceedsCancellableTaxFreeAmountError,
    InvalidRequestError,
    MaxWebhookRetryCountReachedError,
    PaymentAlreadyCancelledError,
    PaymentNotFoundError,
    PaymentNotPaidError,
    PaymentNotWaitingForDepositError,
    PortOneError,
    SumOfPartsExceedsCancelAmountError,
    UnauthorizedError,
    WebhookNotFoundError,
)
from portone_server_sdk.payment import (
    CancelledPayment,
    FailedPayment,
    FailedPaymentCancellation,
    PaidPayment,
    PartialCancelledPayment,
    Payment,
    PaymentClient,
    PaymentFilterInput,
    PaymentMethodVirtualAccount,
    PayPendingPayment,
    ReadyPayment,
    RequestedPaymentCancellation,
    SucceededPaymentCancellation,
    VirtualAccountIssuedPayment,
)

from fake_portone import FakePortOne
from fake_portone.buyer import Buyer
from fake_portone.faults import Fault
from fake_portone.ledger import Purchase

SECRET = "the fake's secret"
STORE = "store-00000000-0000-4000-8000-00000000000a"
WEBHOOK_SECRET = "whsec_pzQGE83cSIRKM4/WH5QY+g=="
TICKET = Purchase(store_id=STORE, channel_key="channel-key", order_name="VIP 1열 1번", total=71_000, currency="KRW")


@dataclass(frozen=True)
class Server:
    fake: FakePortOne
    url: str

    @property
    def buyer(self) -> Buyer:
        return self.fake.buyer


@pytest.fixture
async def server(portone_server: Any) -> Server:
    return Server(portone_server.fake, portone_server.url)


NewClient = Callable[[str], PaymentClient]


@pytest.fixture(scope="module")
def sdk() -> PaymentClient:
    """Making one takes half a second, most of it for the clients of other products within."""
    return PaymentClient(secret="", base_url="")


@pytest.fixture
async def new_client(sdk: PaymentClient, server: Server) -> AsyncIterator[NewClient]:
    """A client with this secret, on a connection of this test's own."""
    async with httpx.AsyncClient(trust_env=False) as http:

        def new(secret: str) -> PaymentClient:
            client = copy(sdk)
            client._secret, client._base_url, client._async_client = secret, server.url, http
            return client

        yield new


@pytest.fixture
async def client(new_client: NewClient) -> PaymentClient:
    return new_client(SECRET)


def opened(buyer: Buyer) -> None:
    buyer.open("p", TICKET)


def paid(buyer: Buyer) -> None:
    buyer.pay("p", TICKET)


def deposited(buyer: Buyer) -> None:
    buyer.issue_account("p", TICKET)
    buyer.deposit("p")


def partly_cancelled(buyer: Buyer) -> None:
    buyer.pay("p", TICKET)
    buyer.cancel_in_console("p", 30_000)


def cancelled(buyer: Buyer) -> None:
    partly_cancelled(buyer)
    buyer.cancel_in_console("p")


# --- get ---


@pytest.mark.parametrize(
    ("happens", "kind", "status"),
    [
        (opened, ReadyPayment, "READY"),
        (lambda buyer: buyer.pend("p", TICKET), PayPendingPayment, "PAY_PENDING"),
        (lambda buyer: buyer.issue_account("p", TICKET), VirtualAccountIssuedPayment, "VIRTUAL_ACCOUNT_ISSUED"),
        (lambda buyer: buyer.fail("p", TICKET), FailedPayment, "FAILED"),
        (paid, PaidPayment, "PAID"),
        (deposited, PaidPayment, "PAID"),
        (partly_cancelled, PartialCancelledPayment, "PARTIAL_CANCELLED"),
        (cancelled, CancelledPayment, "CANCELLED"),
    ],
)
async def test_a_payment_of_every_status_is_read_as_what_it_is(
    server: Server, client: PaymentClient, happens: Callable[[Buyer], object], kind: type, status: str
) -> None:
    happens(server.buyer)
    payment = await client.get_payment_async(payment_id="p")
    assert type(payment) is kind
    assert isinstance(payment, kind)
    raw = await get(server, "/payments/p")
    assert raw.json()["status"] == status


async def test_the_fields_of_a_paid_payment_arrive(server: Server, client: PaymentClient) -> None:
    paid(server.buyer)
    payment = await client.get_payment_async(payment_id="p")
    assert isinstance(payment, PaidPayment)
    assert payment.channel is not None
    assert (payment.id, payment.store_id, payment.order_name) == ("p", STORE, "VIP 1열 1번")
    assert (payment.amount.total, payment.amount.paid, payment.amount.vat) == (71_000, 71_000, 6_455)
    assert (payment.currency, payment.channel.type, payment.channel.key) == ("KRW", "LIVE", "channel-key")
    assert payment.transaction_id == server.fake.ledger.find("p").transaction_id


async def test_a_virtual_account_arrives_with_the_time_it_is_due(server: Server, client: PaymentClient) -> None:
    server.buyer.issue_account("p", TICKET)
    payment = await client.get_payment_async(payment_id="p")
    assert isinstance(payment, VirtualAccountIssuedPayment)
    assert isinstance(payment.method, PaymentMethodVirtualAccount)
    account = server.fake.ledger.find("p").account
    assert account is not None
    assert payment.method.account_number == account.number
    assert payment.method.expired_at is not None


async def test_a_payment_nobody_knows_is_not_found(client: PaymentClient) -> None:
    assert type(await refused(client.get_payment_async(payment_id="nobody's"))) is PaymentNotFoundError


async def test_a_wrong_secret_is_unauthorized(new_client: NewClient) -> None:
    error = await refused(new_client("wrong").get_payment_async(payment_id="p"))
    assert type(error) is UnauthorizedError


async def test_a_payment_id_with_everything_in_it_is_found(server: Server, client: PaymentClient) -> None:
    server.buyer.open("주문 1번?&#%", TICKET)
    payment = await client.get_payment_async(payment_id="주문 1번?&#%")
    assert isinstance(payment, ReadyPayment)
    assert payment.id == "주문 1번?&#%"


# --- list ---


async def test_pages_come_newest_first_with_how_many_there_are(server: Server, client: PaymentClient) -> None:
    for number in range(5):
        server.buyer.pay(f"p{number}", TICKET)
    page = await client.get_payments_async(page=PageInput(number=1, size=2))
    assert ids(page.items) == ["p2", "p1"]
    assert (page.page.number, page.page.size, page.page.total_count) == (1, 2, 5)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (PaymentFilterInput(status=["PAID"]), ["paid"]),
        (PaymentFilterInput(status=["PENDING", "READY"]), ["pending", "ready"]),
        (PaymentFilterInput(store_id="another store"), ["elsewhere"]),
        (PaymentFilterInput(is_test=True), ["test"]),
        (PaymentFilterInput(currency="USD"), ["dollars"]),
        (PaymentFilterInput(sort_order="ASC", status=["READY", "PAID"]), ["ready", "paid"]),
        (PaymentFilterInput(sort_by="REQUESTED_AT", status=["READY", "PAID"]), ["paid", "ready"]),
        (PaymentFilterInput(from_="2100-01-01T00:00:00Z"), []),
        (PaymentFilterInput(until="2020-01-01T00:00:00Z"), []),
        (PaymentFilterInput(timestamp_type="CREATED_AT", until="2020-01-01T00:00:00Z"), []),
    ],
)
async def test_filters_and_orders_are_those_of_the_document(
    server: Server, client: PaymentClient, wanted: PaymentFilterInput, found: list[str]
) -> None:
    buyer = server.buyer
    buyer.open("ready", TICKET)
    buyer.pay("paid", TICKET)
    buyer.pend("pending", TICKET)
    buyer.fail("test", replace(TICKET, channel_type="TEST"))
    buyer.fail("dollars", replace(TICKET, currency="USD"))
    buyer.fail("elsewhere", replace(TICKET, store_id="another store"))
    assert ids((await client.get_payments_async(filter=wanted)).items) == found


async def test_creation_and_change_are_different_times(server: Server, client: PaymentClient) -> None:
    server.buyer.open("first", TICKET)
    server.buyer.open("second", TICKET)
    server.buyer.pay("first")
    since = server.fake.ledger.find("second").requested_at.isoformat()
    by_change = await client.get_payments_async(filter=PaymentFilterInput(from_=since))
    by_creation = await client.get_payments_async(filter=PaymentFilterInput(from_=since, timestamp_type="CREATED_AT"))
    assert ids(by_change.items) == ["first", "second"]
    assert ids(by_creation.items) == ["second"]


@pytest.mark.parametrize("page", [PageInput(number=6, size=10_000), PageInput(number=-1), PageInput(size=0)])
async def test_a_page_that_portone_does_not_give_is_an_invalid_request(client: PaymentClient, page: PageInput) -> None:
    assert type(await refused(client.get_payments_async(page=page))) is InvalidRequestError


# --- cancel ---


async def test_a_full_cancel(server: Server, client: PaymentClient) -> None:
    paid(server.buyer)
    answer = await client.cancel_payment_async(payment_id="p", reason="고객 요청", requester="CUSTOMER")
    assert isinstance(answer.cancellation, SucceededPaymentCancellation)
    assert (answer.cancellation.total_amount, answer.cancellation.reason) == (71_000, "고객 요청")
    assert isinstance(await client.get_payment_async(payment_id="p"), CancelledPayment)


async def test_partial_cancels(server: Server, client: PaymentClient) -> None:
    paid(server.buyer)
    await client.cancel_payment_async(payment_id="p", reason="a", amount=30_000, current_cancellable_amount=71_000)
    await client.cancel_payment_async(payment_id="p", reason="b", amount=1_000, current_cancellable_amount=41_000)
    payment = await client.get_payment_async(payment_id="p")
    assert isinstance(payment, PartialCancelledPayment)
    assert payment.amount.cancelled == 31_000
    amounts = [c.total_amount for c in payment.cancellations if isinstance(c, SucceededPaymentCancellation)]
    assert amounts == [30_000, 1_000]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("cancel_failed", FailedPaymentCancellation), ("cancel_requested", RequestedPaymentCancellation)],
)
async def test_a_cancellation_may_fail_or_take_its_time(
    server: Server, client: PaymentClient, fault: str, kind: type
) -> None:
    paid(server.buyer)
    server.fake.faults.put([Fault(fault)])
    answer = await client.cancel_payment_async(payment_id="p", reason="a")
    assert type(answer.cancellation) is kind
    payment = await client.get_payment_async(payment_id="p")
    assert isinstance(payment, PaidPayment)
    assert payment.cancellations is not None
    assert [type(c) for c in payment.cancellations] == [kind]


@pytest.mark.parametrize(
    ("happens", "asked", "kind"),
    [
        (opened, {}, PaymentNotPaidError),
        (cancelled, {}, PaymentAlreadyCancelledError),
        (paid, {"amount": 71_001}, CancelAmountExceedsCancellableAmountError),
        (paid, {"current_cancellable_amount": 1}, CancellableAmountConsistencyBrokenError),
        (paid, {"amount": 100, "vat_amount": 101}, SumOfPartsExceedsCancelAmountError),
        (paid, {"tax_free_amount": 1}, CancelTaxFreeAmountExceedsCancellableTaxFreeAmountError),
        (paid, {"amount": 0}, InvalidRequestError),
        (paid, {"amount": -1}, InvalidRequestError),
        (paid, {"vat_amount": -1}, InvalidRequestError),
        (lambda _: None, {}, PaymentNotFoundError),
    ],
)
async def test_a_refused_cancel_is_the_sdks_own_error(
    server: Server,
    client: PaymentClient,
    happens: Callable[[Buyer], object],
    asked: dict[str, Any],
    kind: type[PortOneError],
) -> None:
    happens(server.buyer)
    before = server.fake.ledger.totals()
    assert type(await refused(client.cancel_payment_async(payment_id="p", reason="a", **asked))) is kind
    assert server.fake.ledger.totals() == before


# --- the others ---


async def test_pre_registration(server: Server, client: PaymentClient) -> None:
    await client.pre_register_payment_async(payment_id="p", total_amount=71_000, currency="KRW")
    assert server.fake.ledger.registered("p") == (71_000, "KRW")
    paid(server.buyer)
    error = await refused(client.pre_register_payment_async(payment_id="p", total_amount=1, currency="KRW"))
    assert type(error) is AlreadyPaidError


async def test_closing_a_virtual_account(server: Server, client: PaymentClient) -> None:
    server.buyer.issue_account("p", TICKET)
    assert (await client.close_virtual_account_async(payment_id="p")).closed_at
    error = await refused(client.close_virtual_account_async(payment_id="p"))
    assert type(error) is PaymentNotWaitingForDepositError


async def test_resending_a_webhook(server: Server, client: PaymentClient) -> None:
    server.buyer.open("quiet", TICKET)
    assert type(await refused(client.resend_webhook_async(payment_id="quiet"))) is WebhookNotFoundError
    server.buyer.open("p", replace(TICKET, notice_urls=("http://127.0.0.1:1/",)))
    (delivery,) = server.fake.webhooks.deliveries
    for _ in range(10):
        answer = await client.resend_webhook_async(payment_id="p", webhook_id=delivery.id)
        assert (answer.webhook.id, answer.webhook.url) == (delivery.id, "http://127.0.0.1:1/")
    error = await refused(client.resend_webhook_async(payment_id="p"))
    assert type(error) is MaxWebhookRetryCountReachedError


# --- Idempotency-Key, which the SDK cannot send ---


async def test_the_same_key_gives_the_same_bytes(server: Server) -> None:
    paid(server.buyer)
    answers = [await cancel(server, '"a-key-of-sixteen"', amount=1_000) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert server.fake.ledger.balance("p").cancelled == 1_000


@pytest.mark.parametrize(
    "key", ['"too short"', "unquoted-but-long-enough", '"' + "x" * 257 + '"', '"a-key-of-"sixteen"']
)
async def test_a_key_that_is_no_quoted_string_is_an_invalid_request(server: Server, key: str) -> None:
    paid(server.buyer)
    answer = await cancel(server, key, amount=1_000)
    assert (answer.status_code, answer.json()["type"]) == (400, "INVALID_REQUEST")
    assert server.fake.ledger.balance("p").cancelled == 0


async def test_a_key_whose_request_is_under_way_is_outstanding(server: Server) -> None:
    paid(server.buyer)
    server.fake.faults.put([Fault("gateway_slow", seconds=0.5, times=1)])
    first = asyncio.create_task(cancel(server, '"a-key-of-sixteen"', amount=1_000))
    async with asyncio.timeout(10):
        while server.fake.faults.on()[0][1] == 0:  # noqa: ASYNC110 - faults notify nobody
            await asyncio.sleep(0.001)
    second = await cancel(server, '"a-key-of-sixteen"', amount=1_000)
    assert (second.status_code, second.json()["type"]) == (409, "IDEMPOTENCY_OUTSTANDING_REQUEST")
    assert (await first).status_code == 200


# --- webhooks ---


@dataclass
class Shop:
    """A receiver of webhooks, as small as one can be."""

    got: asyncio.Queue[tuple[Mapping[str, str], str]] = field(default_factory=asyncio.Queue)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.got.put_nowait((headers, body.decode()))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def test_webhooks_verify_and_are_recognised(server: Server, serve: Any) -> None:
    shop = Shop()
    async with serve(shop) as url:
        buyer, told = server.buyer, replace(TICKET, notice_urls=(f"{url}/webhooks",))
        buyer.open("p", told)
        buyer.fail("p")
        buyer.pend("p")
        buyer.issue_account("p")
        buyer.deposit("p")
        buyer.cancel_in_console("p", 1_000)
        server.fake.faults.put([Fault("cancel_requested", seconds=60)])
        account = {"bank": "KAKAO", "number": "3333010000000", "holderName": "a"}
        assert (await cancel(server, '"a-key-of-sixteen"', refundAccount=account)).status_code == 200
        server.fake.clock.set(advance=60)
        got: list[object] = []
        async with asyncio.timeout(10):
            while len(got) < 9:
                headers, body = await shop.got.get()
                got.append(webhook.verify(WEBHOOK_SECRET, body, headers))
                assert headers["content-type"] == "application/json"
    assert sorted(type(event).__name__.removeprefix("WebhookTransaction") for event in got) == [
        "CancelledCancelPending",
        "CancelledCancelled",
        "CancelledPartialCancelled",
        "Failed",
        "Paid",
        "PayPending",
        "Ready",
        "Ready",
        "VirtualAccountIssued",
    ]


async def test_a_type_nobody_has_heard_of_still_verifies(server: Server, serve: Any) -> None:
    shop = Shop()
    async with serve(shop) as url:
        server.fake.faults.put([Fault("unknown_webhook_type", times=1)])
        server.buyer.open("p", replace(TICKET, notice_urls=(url,)))
        async with asyncio.timeout(10):
            messages = [await shop.got.get() for _ in range(2)]
    events = [webhook.verify(WEBHOOK_SECRET, body, headers) for headers, body in messages]
    assert any(isinstance(event, dict) for event in events)
    assert {json.loads(body)["type"] for _, body in messages} == {"Transaction.Ready", "Transaction.SomethingNew"}


# --- bad input ---


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"reason":1}', b"{}", b'{"reason":"\\ud800"}'],
)
async def test_a_body_that_makes_no_sense_is_an_invalid_request(server: Server, body: bytes) -> None:
    paid(server.buyer)
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        answer = await http.post("/payments/p/cancel", content=body, headers={"authorization": f"PortOne {SECRET}"})
    assert (answer.status_code, answer.json()["type"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("body", ["{", "[]", '{"filter":{"colour":"red"}}', '{"page":{"size":"10"}}', "\udcff"])
async def test_a_filter_that_makes_no_sense_is_an_invalid_request(server: Server, body: str) -> None:
    query = body.encode("utf-8", "surrogateescape")
    answer = await get(server, "/payments", requestBody=query)
    assert (answer.status_code, answer.json()["type"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("path", ["/nothing", "/payments/p/nothing", "/payments/a%2Fb/cancel"])
async def test_a_path_that_is_not_there_says_so_as_portone_would(server: Server, path: str) -> None:
    answer = await get(server, path)
    assert answer.status_code in (404, 405)
    assert set(answer.json()) == {"type", "message"}


async def get(server: Server, path: str, **query: str | bytes) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        return await http.get(path, params=query, headers={"authorization": f"PortOne {SECRET}"})


async def cancel(server: Server, key: str, **asked: object) -> httpx.Response:
    headers = {"authorization": f"PortOne {SECRET}", "idempotency-key": key}
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        return await http.post("/payments/p/cancel", json={"reason": "a", **asked}, headers=headers)


async def refused(asked: Any) -> PortOneError:
    with pytest.raises(PortOneError) as error:
        await asked
    return error.value


def ids(payments: list[Payment]) -> list[str]:
    return [payment.id for payment in payments if not isinstance(payment, dict)]
