"""The webhooks the fake sends: PortOne's bodies of version 2024-04-25, its signature, its retries.

Source: developers.portone.io, integration/webhook; standard-webhooks, spec/standard-webhooks.md. Where PortOne is
silent we assume: any 2xx is success, ``webhook-timestamp`` is the moment of the attempt, and ``webhook-id`` belongs
to the event and the URL.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from urllib.parse import urlencode

import httpx
import msgspec

from fake_portone.clock import Background, FakeClock
from fake_portone.faults import Faults
from fake_portone.ledger import Happening, RefusedError, name_of

WAITS = (0.0, 60.0, 240.0, 960.0, 3840.0, 15360.0)
"""Seconds before each attempt, of which a random part is waited: the first and PortOne's five retries."""

UNKNOWN_TYPE = "Transaction.SomethingNew"
_STRANGERS_SECRET = "whsec_" + base64.b64encode(b"a secret nobody gave the shop").decode()
_FORM = "application/x-www-form-urlencoded"
_TOLD_IN_2024_01_01 = frozenset(
    {"Ready", "Paid", "VirtualAccountIssued", "PartialCancelled", "Cancelled", "Failed", "PayPending", "CancelPending"}
)
_TIMEOUT = 30.0
_RESENT_MOST = 10  # PortOne has a limit and does not say which

_ANSWER_MOST = 2048
_AT_ONCE = 50  # httpx's pool checks every waiting request whenever one ends: let none wait there


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered: the HTTP status, and how the body begins."""

    status: int
    text: str = ""


Post = Callable[[str, Mapping[str, str], bytes], Awaitable[Answer | int]]
"""Send a body with headers to a URL; the answer, or its HTTP status alone. Any exception is an attempt that failed."""


class State(StrEnum):
    """How a delivery stands."""

    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    EXHAUSTED = "exhausted"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, with its headers: ``status`` is what the receiver answered, ``error`` why it did not."""

    at: datetime
    status: int | None
    error: str | None
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and HTTPStatus(200) <= self.status < HTTPStatus(300)


@dataclass(slots=True, eq=False)
class Delivery:
    """One webhook for one URL, and what became of it. A ``forged`` one is a stranger's, who tries once."""

    id: str
    type: str
    payment_id: str
    payment_status: str
    url: str
    body: bytes
    content_type: str = "application/json"
    forged: bool = False
    state: State = State.WAITING
    attempts: list[Attempt] = field(default_factory=list)
    resent: int = 0
    tried: asyncio.Event = field(default_factory=asyncio.Event)


def sign(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` of this message under a secret, with its ``whsec_`` or without."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = hmac.new(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(signed.digest()).decode()


def wait_before(attempt: int, seed: int, webhook_id: str) -> float:
    """Seconds before attempt number ``attempt`` (from 0): PortOne's wait, with full jitter."""
    return WAITS[attempt] * random.Random(f"{seed}/{webhook_id}/{attempt}").random()  # noqa: S311 - repeatable on purpose


class Webhooks:
    """Sends what happens to whoever should hear of it, while ``running``; what happens before is sent then."""

    def __init__(
        self,
        *,
        url: str | None,
        secret: str,
        clock: FakeClock,
        faults: Faults,
        seed: int = 0,
        post: Post | None = None,
        changed: Callable[[Delivery], None] = lambda _: None,
    ) -> None:
        self._url = url
        self._secret = secret
        self._clock = clock
        self._faults = faults
        self._seed = seed
        self._post = post
        self._changed = changed
        self._tasks: Background | None = None
        self._unsent: list[tuple[Delivery, float]] = []
        self._deliveries: list[Delivery] = []
        self._overtakers: dict[str, asyncio.Event] = {}

    @property
    def deliveries(self) -> list[Delivery]:
        """Every webhook there was reason for, the oldest first."""
        return list(self._deliveries)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send until the context is left; then stop at once."""
        async with AsyncExitStack() as stack:
            if self._post is None:
                one_each = httpx.Limits(max_keepalive_connections=0)  # an idle connection may just be closing
                client = httpx.AsyncClient(timeout=_TIMEOUT, limits=one_each, trust_env=False, follow_redirects=False)
                self._post = _over_http(await stack.enter_async_context(client))
                stack.callback(self._forget_client)
            self._tasks = Background()
            stack.push_async_callback(self._stop, self._tasks)
            unsent, self._unsent = self._unsent, []
            for delivery, delay in unsent:
                self._launch(delivery, delay)
            yield

    def announce(self, happening: Happening) -> None:
        """Tell the shop what happened, unless a fault has it otherwise."""
        kind = f"Transaction.{happening.type}"
        labels = (happening.payment.id, kind)
        if self._faults.fires("unknown_webhook_type", *labels):
            for delivery in self._address(happening, UNKNOWN_TYPE):
                self._launch(delivery)
        if self._faults.fires("webhook_forged", *labels):
            for delivery in self._address(happening, "Transaction.Paid", forged=True):
                self._launch(delivery)
        for delivery in self._address(happening, kind):
            self._rewrite(delivery, happening)
            if self._faults.fires("webhook_dropped", *labels):
                delivery.state = State.DROPPED
                self._changed(delivery)
                continue
            late = self._faults.fires("webhook_delayed", *labels)
            held = (
                None if happening.payment.id in self._overtakers else self._faults.fires("webhook_reordered", *labels)
            )
            if held:
                self._overtakers[happening.payment.id] = asyncio.Event()
            delay = (late.seconds if late else 0.0) + (held.seconds if held else 0.0)
            for _ in range(2 if self._faults.fires("webhook_duplicated", *labels) else 1):
                self._launch(delivery, delay, self._overtakers[happening.payment.id] if held else None)

    def find(self, webhook_id: str) -> Delivery:
        """The webhook of this id."""
        for delivery in self._deliveries:
            if delivery.id == webhook_id:
                return delivery
        raise RefusedError("WEBHOOK_NOT_FOUND", "there is no such webhook", HTTPStatus.NOT_FOUND)

    def resend(self, payment_id: str, webhook_id: str | None) -> Delivery:
        """Send one webhook of this payment again by hand: the latest, or the one of this id."""
        of_payment = [d for d in self._deliveries if d.payment_id == payment_id and webhook_id in (None, d.id)]
        if not of_payment:
            raise RefusedError("WEBHOOK_NOT_FOUND", "no such webhook of this payment", HTTPStatus.NOT_FOUND)
        delivery = of_payment[-1]
        if delivery.resent >= _RESENT_MOST:
            raise RefusedError(
                "MAX_WEBHOOK_RETRY_COUNT_REACHED", f"it was resent {_RESENT_MOST} times", HTTPStatus.BAD_REQUEST
            )
        delivery.resent += 1
        self._launch(delivery)
        return delivery

    async def tried(self, payment_id: str) -> None:
        """Wait until every webhook of this payment that is on its way was tried once."""
        for delivery in self._deliveries:
            if self._tasks is not None and delivery.payment_id == payment_id and delivery.state is State.WAITING:
                await delivery.tried.wait()

    def _address(self, happening: Happening, kind: str, *, forged: bool = False) -> list[Delivery]:
        """One delivery for each URL: the payment's own notice URLs in place of the configured one."""
        configured = (self._url,) if self._url else ()
        told = "forged" if forged else kind
        deliveries = [
            Delivery(
                id=name_of(self._seed, happening.payment.id, told, happening.at.isoformat(), number),
                type=kind,
                payment_id=happening.payment.id,
                payment_status=happening.payment.status,
                url=url,
                body=_body(kind, happening),
                forged=forged,
            )
            for number, url in enumerate(happening.payment.purchase.notice_urls or configured)
        ]
        self._deliveries += deliveries
        for delivery in deliveries:
            self._changed(delivery)
        return deliveries

    def _rewrite(self, delivery: Delivery, happening: Happening) -> None:
        """Give a webhook the body that a fault has it have."""
        fires, labels = self._faults.fires, (delivery.payment_id, delivery.type)
        if fires("unknown_webhook_fields", *labels):
            said = msgspec.json.decode(delivery.body)
            new = {"somethingNew": {"status": "PAID", "items": [1, None]}}
            delivery.body = msgspec.json.encode(said | new | {"data": said["data"] | new})
        if happening.type not in _TOLD_IN_2024_01_01:
            return
        fields = {
            "payment_id": happening.payment.id,
            "tx_id": happening.payment.transaction_id,
            "status": happening.type,
        }
        if fires("webhook_2024_01_01", *labels):
            delivery.body = msgspec.json.encode(fields)
        if fires("webhook_2024_01_01_form", *labels):
            delivery.body, delivery.content_type = urlencode(fields).encode(), _FORM

    def _launch(self, delivery: Delivery, delay: float = 0.0, overtaker: asyncio.Event | None = None) -> None:
        if self._tasks is None:
            self._unsent.append((delivery, delay))
        else:
            self._tasks.spawn(self._deliver(delivery, delay, overtaker))

    async def _deliver(self, delivery: Delivery, delay: float, overtaker: asyncio.Event | None) -> None:
        if overtaker is not None:
            await self._overtaken(delivery.payment_id, overtaker, delay)
        elif delay:
            await self._clock.sleep(delay)
        for number in range(len(WAITS)):
            await self._clock.sleep(wait_before(number, self._seed, delivery.id))
            attempt = await self._attempt(delivery)
            delivery.attempts.append(attempt)
            delivery.tried.set()
            if overtaker is None and delivery.payment_id in self._overtakers:
                self._overtakers[delivery.payment_id].set()
            is_last = attempt.succeeded or delivery.forged or number == len(WAITS) - 1
            if attempt.succeeded:
                delivery.state = State.SUCCEEDED
            elif is_last:
                delivery.state = State.EXHAUSTED
            self._changed(delivery)
            if is_last:
                return

    async def _overtaken(self, payment_id: str, overtaker: asyncio.Event, most: float) -> None:
        """Wait for the next webhook to have gone first, and for so long at most."""
        waits = [asyncio.ensure_future(overtaker.wait()), asyncio.ensure_future(self._clock.sleep(most))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            self._overtakers.pop(payment_id, None)

    async def _attempt(self, delivery: Delivery) -> Attempt:
        assert self._post is not None  # noqa: S101 - narrowing: nothing is delivered unless running
        now = self._clock.real()
        headers = self._headers(delivery)
        try:
            answer = await self._post(delivery.url, headers, delivery.body)
        except Exception as error:  # noqa: BLE001 - whatever a receiver does is its own affair, and is written down
            return Attempt(now, None, type(error).__name__, headers)
        if isinstance(answer, int):
            answer = Answer(answer)
        return Attempt(now, answer.status, None, headers, answer.text)

    def headers_now(self, delivery: Delivery) -> dict[str, str]:
        """The headers of an attempt made now, signed by whoever sends it."""
        return self._signed(delivery, _STRANGERS_SECRET if delivery.forged else self._secret)

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        """The same, spoiled where a fault has it so."""
        if delivery.forged:
            return self.headers_now(delivery)
        fires, labels = self._faults.fires, (delivery.payment_id, delivery.type)
        stale = fires("webhook_stale", *labels)
        secret = _STRANGERS_SECRET if fires("webhook_other_secret", *labels) else self._secret
        headers = self._signed(delivery, secret, ago=stale.seconds if stale else 0.0)
        if fires("webhook_signed_twice", *labels):
            other = self._signed(delivery, _STRANGERS_SECRET)["webhook-signature"]
            headers["webhook-signature"] = f"{other} {headers['webhook-signature']}"
        return headers

    def _signed(self, delivery: Delivery, secret: str, *, ago: float = 0.0) -> dict[str, str]:
        timestamp = int(self._clock.real().timestamp() - ago)
        return {
            "content-type": delivery.content_type,
            "user-agent": "gyeolje-fake-portone",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret, delivery.id, timestamp, delivery.body),
        }

    async def _stop(self, tasks: Background) -> None:
        self._tasks = None
        await tasks.close()

    def _forget_client(self) -> None:
        self._post = None


def _over_http(client: httpx.AsyncClient) -> Post:
    places = asyncio.Semaphore(_AT_ONCE)

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        async with places:
            answer = await client.post(url, headers=headers, content=body)
        return Answer(answer.status_code, answer.text[:_ANSWER_MOST])

    return post


def _body(kind: str, happening: Happening) -> bytes:
    data = {
        "storeId": happening.payment.purchase.store_id,
        "paymentId": happening.payment.id,
        "transactionId": happening.payment.transaction_id,
    }
    if happening.cancellation_id is not None:
        data["cancellationId"] = happening.cancellation_id
    at = happening.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"type": kind, "timestamp": at, "data": data})
