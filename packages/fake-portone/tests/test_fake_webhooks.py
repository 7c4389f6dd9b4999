from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest

from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock
from fake_portone.faults import Fault
from fake_portone.ledger import Cancel, Purchase, RefusedError
from fake_portone.webhooks import WAITS, sign, wait_before

SECRET = "whsec_pzQGE83cSIRKM4/WH5QY+g=="
URL = "http://shop.example/webhooks"
TICKET = Purchase(store_id="store-a", channel_key="channel-a", order_name="VIP", total=71_000, currency="KRW")
REAL_NOW = datetime(2024, 4, 25, 12, tzinfo=UTC)
CANCELLED = (
    '{"type": "Transaction.Cancelled", "timestamp": "2024-04-25T10:00:00.000Z", "data": {"paymentId": '
    '"example-payment-id", "transactionId": "55451513-9763-4a7a-bb43-78a4c65be843", "cancellationId": '
    '"0cdd91e9-4e7c-44a3-a72e-1a6511826c2b", "storeId": "store-ae356798-3d20-4969-b739-14c6b0e1a667"}}'
)


@dataclass
class Sent:
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> str:
        return str(json.loads(self.body)["type"]).removeprefix("Transaction.")


@dataclass
class Receiver:
    """Whoever gets the webhooks: it keeps them, and answers as it is told to."""

    answer: Callable[[Sent], int] = lambda _: 200
    got: list[Sent] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        await self.open.wait()
        sent = Sent(url, dict(headers), body)
        self.got.append(sent)
        return self.answer(sent)

    @property
    def types(self) -> list[str]:
        return [sent.type for sent in self.got]


@pytest.fixture
def receiver() -> Receiver:
    receiver = Receiver()
    receiver.open.set()
    return receiver


@pytest.fixture
async def fake(receiver: Receiver) -> AsyncIterator[FakePortOne]:
    """A fake whose time stands still: a retry comes only when time is pushed on."""
    settings = FakePortOneSettings(api_secret="s", store_id="store-a", webhook_secret=SECRET, webhook_url=URL)
    fake = FakePortOne(settings, clock=FakeClock(now=lambda: REAL_NOW, speed=0), post=receiver)
    async with fake.running():
        yield fake


async def reconciled() -> None:
    """Everything that can happen without time passing has happened."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("secret", "webhook_id", "timestamp", "payload", "signature"),
    [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            '{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1649367553,
            '{"email":"test@example.com","username":"test_user"}',
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (
            "pzQGE83cSIRKM4/WH5QY+g==",
            "dummy-webhook-id",
            1714039200,
            '{"test":"test payload"}',
            "v1,AMuZERspSjUAnx8CvPtk1FoKRwbyI5Dg3Uj9585DiMQ=",
        ),
        (
            "pzQGE83cSIRKM4/WH5QY+g==",
            "dummy-webhook-id",
            1714039200,
            '{"test": "test payload"}',
            "v1,biCzhirtjwCx//SL+e8vdtfIoZcMb+s/nmNPFxdeEew=",
        ),
        (SECRET, "dummy-webhook-id", 1714039200, CANCELLED, "v1,pZ+jUSFKc6laAd3vj3OlWbQ/sisbsYvjAhjsocp++7w="),
    ],
)
def test_messages_are_signed_as_the_public_vectors_say(
    secret: str, webhook_id: str, timestamp: int, payload: str, signature: str
) -> None:
    assert sign(secret, webhook_id, timestamp, payload.encode()) == signature


async def test_a_webhook_is_thin_and_signed(fake: FakePortOne, receiver: Receiver) -> None:
    fake.buyer.pay("p", TICKET)
    await reconciled()
    ready, paid = receiver.got
    payment = fake.ledger.find("p")
    assert paid.url == URL
    assert json.loads(ready.body)["type"] == "Transaction.Ready"
    assert json.loads(paid.body) == {
        "type": "Transaction.Paid",
        "timestamp": payment.updated_at.strftime("%Y-%m-%dT%H:%M:%S.") + "000Z",
        "data": {"storeId": "store-a", "paymentId": "p", "transactionId": payment.transaction_id},
    }
    assert paid.headers["content-type"] == "application/json"
    assert paid.headers["webhook-timestamp"] == str(int(REAL_NOW.timestamp()))
    assert paid.headers["webhook-signature"] == sign(
        SECRET, paid.headers["webhook-id"], int(REAL_NOW.timestamp()), paid.body
    )
    assert ready.headers["webhook-id"] != paid.headers["webhook-id"]


async def test_everything_that_happens_is_told(fake: FakePortOne, receiver: Receiver) -> None:
    fake.buyer.open("p", TICKET)
    fake.buyer.fail("p")
    fake.buyer.pend("p")
    fake.buyer.issue_account("p")
    fake.buyer.deposit("p")
    fake.buyer.cancel_in_console("p", 1_000)
    fake.buyer.cancel_in_console("p")
    await reconciled()
    assert receiver.types == [
        "Ready",
        "Failed",
        "Ready",
        "PayPending",
        "VirtualAccountIssued",
        "Paid",
        "PartialCancelled",
        "Cancelled",
    ]
    cancelled = [json.loads(sent.body)["data"].get("cancellationId") for sent in receiver.got]
    assert cancelled == [None] * 6 + [c.id for c in fake.ledger.find("p").cancellations]


async def test_notice_urls_replace_the_configured_one(fake: FakePortOne, receiver: Receiver) -> None:
    urls = ("http://a.example/", "http://b.example/")
    fake.buyer.open("p", replace(TICKET, notice_urls=urls))
    await reconciled()
    assert sorted(sent.url for sent in receiver.got) == list(urls)
    assert len({sent.headers["webhook-id"] for sent in receiver.got}) == 2


async def test_a_refused_webhook_comes_again_five_times_under_one_id(fake: FakePortOne, receiver: Receiver) -> None:
    receiver.answer = lambda _: 503
    fake.buyer.open("p", TICKET)
    await reconciled()
    for expected, wait in enumerate(WAITS[1:], start=2):
        assert len(receiver.got) == expected - 1
        fake.clock.set(advance=wait)
        await reconciled()
        assert len(receiver.got) == expected
    fake.clock.set(advance=10 * WAITS[-1])
    await reconciled()
    (delivery,) = fake.webhooks.deliveries
    assert (len(receiver.got), delivery.state) == (6, "exhausted")
    assert {sent.headers["webhook-id"] for sent in receiver.got} == {delivery.id}
    assert [attempt.status for attempt in delivery.attempts] == [503] * 6
    assert len({sent.body for sent in receiver.got}) == 1


@pytest.mark.parametrize(
    ("status", "state"), [(200, "succeeded"), (204, "succeeded"), (301, "waiting"), (400, "waiting")]
)
async def test_only_2xx_is_success(fake: FakePortOne, receiver: Receiver, status: int, state: str) -> None:
    receiver.answer = lambda _: status
    fake.buyer.open("p", TICKET)
    await reconciled()
    assert [delivery.state for delivery in fake.webhooks.deliveries] == [state]


async def test_a_receiver_that_breaks_is_a_failed_attempt(fake: FakePortOne, receiver: Receiver) -> None:
    def broken(_: Sent) -> int:
        raise ConnectionResetError

    receiver.answer = broken
    fake.buyer.open("p", TICKET)
    await reconciled()
    (delivery,) = fake.webhooks.deliveries
    assert [(a.status, a.error) for a in delivery.attempts] == [(None, "ConnectionResetError")]
    assert delivery.state == "waiting"


async def test_each_webhook_comes_over_a_connection_of_its_own_for_an_idle_one_may_just_be_closing() -> None:
    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await reader.read(1)  # whatever comes next, nobody is there any more
        writer.close()

    async with await asyncio.start_server(answer_one, "127.0.0.1", 0) as shop:
        url = "http://{}:{}".format(*shop.sockets[0].getsockname())
        fake = FakePortOne(
            FakePortOneSettings(api_secret="s", store_id="store-a", webhook_secret=SECRET, webhook_url=url),
            clock=FakeClock(now=lambda: REAL_NOW, speed=0),
        )
        async with fake.running(), asyncio.timeout(5):
            fake.buyer.open("p", TICKET)
            await fake.webhooks.tried("p")
            fake.buyer.fail("p")
            await fake.webhooks.tried("p")
    assert [[(a.status, a.error) for a in d.attempts] for d in fake.webhooks.deliveries] == [
        [(200, None)],
        [(200, None)],
    ]


def test_waits_have_full_jitter_and_repeat_by_seed() -> None:
    waits = [wait_before(5, 0, f"webhook-{n}") for n in range(200)]
    assert waits == [wait_before(5, 0, f"webhook-{n}") for n in range(200)]
    assert waits != [wait_before(5, 1, f"webhook-{n}") for n in range(200)]
    assert min(waits) < 1_500
    assert 14_000 < max(waits) < 15_360
    assert wait_before(0, 0, "webhook") == 0


async def test_what_happens_before_it_runs_is_told_once_it_does(receiver: Receiver) -> None:
    settings = FakePortOneSettings(api_secret="s", store_id="store-a", webhook_secret=SECRET, webhook_url=URL)
    fake = FakePortOne(settings, post=receiver)
    fake.buyer.open("p", TICKET)
    async with fake.running():
        await reconciled()
    assert receiver.types == ["Ready"]


async def test_without_a_url_nothing_is_sent(receiver: Receiver) -> None:
    fake = FakePortOne(FakePortOneSettings(api_secret="s", store_id="store-a", webhook_secret=SECRET), post=receiver)
    async with fake.running():
        fake.buyer.pay("p", TICKET)
        await reconciled()
    assert (receiver.got, fake.webhooks.deliveries) == ([], [])


async def test_by_hand_a_webhook_comes_again_under_its_id(fake: FakePortOne, receiver: Receiver) -> None:
    fake.buyer.pay("p", TICKET)
    await reconciled()
    fake.webhooks.resend("p", None)
    fake.webhooks.resend("p", receiver.got[0].headers["webhook-id"])
    await reconciled()
    assert receiver.types == ["Ready", "Paid", "Paid", "Ready"]
    assert receiver.got[2].headers["webhook-id"] == receiver.got[1].headers["webhook-id"]
    with pytest.raises(RefusedError) as refused:
        fake.webhooks.resend("p", "no such webhook")
    assert refused.value.kind == "WEBHOOK_NOT_FOUND"


async def test_by_hand_it_comes_again_ten_times_and_no_more(fake: FakePortOne, receiver: Receiver) -> None:
    fake.buyer.open("p", TICKET)
    for _ in range(10):
        fake.webhooks.resend("p", None)
    with pytest.raises(RefusedError) as refused:
        fake.webhooks.resend("p", None)
    assert (refused.value.kind, refused.value.status) == ("MAX_WEBHOOK_RETRY_COUNT_REACHED", 400)
    await reconciled()
    assert len(receiver.got) == 11


# --- faults ---


async def test_dropped_is_never_sent(fake: FakePortOne, receiver: Receiver) -> None:
    fake.faults.put([Fault("webhook_dropped", match="Transaction.Paid")])
    fake.buyer.pay("p", TICKET)
    await reconciled()
    fake.clock.set(advance=100_000)
    await reconciled()
    assert receiver.types == ["Ready"]
    assert [delivery.state for delivery in fake.webhooks.deliveries] == ["succeeded", "dropped"]


async def test_duplicated_is_sent_twice_under_one_id(fake: FakePortOne, receiver: Receiver) -> None:
    fake.faults.put([Fault("webhook_duplicated", match="Transaction.Paid")])
    fake.buyer.pay("p", TICKET)
    await reconciled()
    assert receiver.types == ["Ready", "Paid", "Paid"]
    assert receiver.got[1].headers["webhook-id"] == receiver.got[2].headers["webhook-id"]


async def test_delayed_is_sent_later_and_signed_then(fake: FakePortOne, receiver: Receiver) -> None:
    fake.faults.put([Fault("webhook_delayed", seconds=30, match="Transaction.Ready")])
    fake.buyer.pay("p", TICKET)
    await reconciled()
    assert receiver.types == ["Paid"]
    fake.clock.set(advance=30)
    await reconciled()
    assert receiver.types == ["Paid", "Ready"]


async def test_reordered_lets_the_next_one_go_first(fake: FakePortOne, receiver: Receiver) -> None:
    fake.faults.put([Fault("webhook_reordered")])
    fake.buyer.open("p", TICKET)
    await reconciled()
    assert receiver.types == []
    fake.buyer.pay("p")
    await reconciled()
    assert receiver.types == ["Paid", "Ready"]


async def test_reordered_does_not_wait_for_ever(fake: FakePortOne, receiver: Receiver) -> None:
    fake.faults.put([Fault("webhook_reordered", seconds=30)])
    fake.buyer.open("p", TICKET)
    await reconciled()
    fake.clock.set(advance=30)
    await reconciled()
    assert receiver.types == ["Ready"]


async def test_an_unknown_type_goes_along_with_the_known_one(fake: FakePortOne, receiver: Receiver) -> None:
    fake.faults.put([Fault("unknown_webhook_type", match="Transaction.Paid")])
    fake.buyer.pay("p", TICKET)
    await reconciled()
    assert receiver.types == ["Ready", "SomethingNew", "Paid"]
    assert len({sent.headers["webhook-id"] for sent in receiver.got}) == 3


@pytest.mark.parametrize(("faults", "answered"), [([], True), ([Fault("webhook_before_answer")], False)])
async def test_the_answer_may_have_to_wait_for_the_webhook(
    fake: FakePortOne, receiver: Receiver, faults: list[Fault], *, answered: bool
) -> None:
    fake.buyer.pay("p", TICKET)
    await reconciled()
    fake.faults.put(faults)
    receiver.open.clear()
    asking = asyncio.create_task(fake.api.cancel("s", "p", Cancel(reason=""), None))
    await reconciled()
    assert asking.done() is answered
    receiver.open.set()
    await asking
    await reconciled()
    assert receiver.types == ["Ready", "Paid", "Cancelled"]


async def test_a_requested_cancellation_is_told_of_when_it_is_done_though_nobody_asks(
    fake: FakePortOne, receiver: Receiver
) -> None:
    fake.buyer.pay("p", TICKET)
    fake.faults.put([Fault("cancel_requested", seconds=60)])
    await fake.api.cancel("s", "p", Cancel(reason=""), None)
    await reconciled()
    assert receiver.types == ["Ready", "Paid", "CancelPending"]
    fake.clock.set(advance=60)
    await reconciled()
    assert receiver.types == ["Ready", "Paid", "CancelPending", "Cancelled"]


async def test_as_in_a_rotation_another_secrets_signature_comes_before_the_right_one(
    fake: FakePortOne, receiver: Receiver
) -> None:
    fake.faults.put([Fault("webhook_signed_twice")])
    fake.buyer.open("p", TICKET)
    await reconciled()
    (sent,) = receiver.got
    other, right = sent.headers["webhook-signature"].split(" ")
    assert right == signed_at(sent, REAL_NOW)
    assert other.startswith("v1,")
    assert other != right


async def test_a_webhook_under_another_secret_is_signed_aright_when_it_comes_again(
    fake: FakePortOne, receiver: Receiver
) -> None:
    fake.faults.put([Fault("webhook_other_secret", times=1)])
    receiver.answer = lambda sent: 200 if sent.headers["webhook-signature"] == signed_at(sent, REAL_NOW) else 400
    fake.buyer.open("p", TICKET)
    await reconciled()
    fake.clock.set(advance=WAITS[1])
    await reconciled()
    assert [attempt.status for attempt in fake.webhooks.deliveries[0].attempts] == [400, 200]


async def test_a_stale_webhook_is_dated_and_signed_in_the_past(fake: FakePortOne, receiver: Receiver) -> None:
    fake.faults.put([Fault("webhook_stale")])
    fake.buyer.open("p", TICKET)
    await reconciled()
    (sent,) = receiver.got
    past = REAL_NOW - timedelta(seconds=600)
    assert sent.headers["webhook-timestamp"] == str(int(past.timestamp()))
    assert sent.headers["webhook-signature"] == signed_at(sent, past)


async def test_a_stranger_says_paid_once_and_signs_it_wrongly(fake: FakePortOne, receiver: Receiver) -> None:
    fake.faults.put([Fault("webhook_forged", match="Transaction.Ready")])
    receiver.answer = lambda sent: 200 if sent.headers["webhook-signature"] == signed_at(sent, REAL_NOW) else 400
    fake.buyer.open("p", TICKET)
    await reconciled()
    fake.clock.set(advance=10 * WAITS[-1])
    await reconciled()
    assert receiver.types == ["Paid", "Ready"]
    assert [(d.type, d.forged, d.state) for d in fake.webhooks.deliveries] == [
        ("Transaction.Paid", True, "exhausted"),
        ("Transaction.Ready", False, "succeeded"),
    ]
    fake.buyer.pay("p")
    await reconciled()
    forged, _, paid = receiver.got
    assert forged.headers["webhook-id"] != paid.headers["webhook-id"]


@pytest.mark.parametrize(
    ("fault", "content_type", "read"),
    [
        ("webhook_2024_01_01", "application/json", json.loads),
        ("webhook_2024_01_01_form", "application/x-www-form-urlencoded", lambda body: dict(parse_qsl(body.decode()))),
    ],
)
async def test_bodies_may_be_of_the_old_version(
    fake: FakePortOne, receiver: Receiver, fault: str, content_type: str, read: Callable[[bytes], dict[str, str]]
) -> None:
    fake.faults.put([Fault(fault)])
    fake.buyer.open("p", TICKET)
    await reconciled()
    (sent,) = receiver.got
    payment = fake.ledger.find("p")
    assert read(sent.body) == {"payment_id": "p", "tx_id": payment.transaction_id, "status": "Ready"}
    assert sent.headers["content-type"] == content_type
    assert sent.headers["webhook-signature"] == signed_at(sent, REAL_NOW)


async def test_what_the_old_version_has_no_word_for_comes_in_the_new_one(fake: FakePortOne, receiver: Receiver) -> None:
    fake.faults.put([Fault("webhook_2024_01_01", match="Transaction.DisputeCreated")])
    fake.buyer.pay("p", TICKET)
    fake.ledger.dispute("p", "never bought it")
    await reconciled()
    assert receiver.types == ["Ready", "Paid", "DisputeCreated"]


async def test_fields_nobody_has_heard_of_stand_beside_the_known_ones(fake: FakePortOne, receiver: Receiver) -> None:
    fake.buyer.open("p", TICKET)
    fake.faults.put([Fault("unknown_webhook_fields")])
    fake.buyer.fail("p")
    await reconciled()
    plain, strange = (json.loads(sent.body) for sent in receiver.got)
    assert set(strange) - set(plain) == {"somethingNew"}
    assert set(strange["data"]) - set(plain["data"]) == {"somethingNew"}
    assert strange["data"] | plain["data"] == strange["data"]


def signed_at(sent: Sent, at: datetime) -> str:
    return sign(SECRET, sent.headers["webhook-id"], int(at.timestamp()), sent.body)
