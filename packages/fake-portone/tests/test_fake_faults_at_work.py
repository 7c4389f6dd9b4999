"""What each fault of the API, the buyer, the console and the card network does; the webhooks' are tested elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.api import Spoiled, SpoiledError
from fake_portone.clock import FakeClock
from fake_portone.faults import Fault
from fake_portone.ledger import Cancel, Cancelled, PaymentRecord, Purchase, RefusedError, Status
from fake_portone.shapes import payment_json

TICKET = Purchase(store_id="store-a", channel_key="channel-a", order_name="VIP", total=71_000, currency="KRW")
TOLD = replace(TICKET, notice_urls=("http://127.0.0.1:9/",))
NOON = datetime(2024, 4, 25, 12, tzinfo=UTC)
KEY = "a-key-of-16-characters"


@pytest.fixture
async def fake() -> AsyncIterator[FakePortOne]:
    """A fake whose time stands still until it is pushed on, and that nobody listens to."""
    settings = FakePortOneSettings(api_secret="s", store_id="store-a", webhook_secret="c2VjcmV0c2VjcmV0c2VjcmV0")
    fake = FakePortOne(settings, clock=FakeClock(now=lambda: NOON, speed=0))
    async with fake.running():
        yield fake


def types(fake: FakePortOne) -> list[str]:
    """What the shop would be told: there is an address for it, and nobody there."""
    return [delivery.type.removeprefix("Transaction.") for delivery in fake.webhooks.deliveries]


async def read(fake: FakePortOne, payment_id: str = "p") -> PaymentRecord:
    return (await fake.api.get("s", payment_id, None)).payment


async def cancel(fake: FakePortOne, amount: int | None = None, key: str | None = KEY) -> Cancelled:
    return await fake.api.cancel("s", "p", Cancel(reason="late", amount=amount), key)


@pytest.mark.parametrize(
    ("fault", "how"), [("gateway_429", Spoiled.TOO_MANY_REQUESTS), ("gateway_reset", Spoiled.LOST)]
)
async def test_a_request_that_was_turned_away_was_not_carried_out_and_may_come_again(
    fake: FakePortOne, fault: str, how: Spoiled
) -> None:
    fake.buyer.pay("p", TICKET)
    fake.faults.put([Fault(fault, times=1)])
    with pytest.raises(SpoiledError) as spoiled:
        await cancel(fake)
    assert (spoiled.value.how, fake.ledger.balance("p").net) == (how, 71_000)
    await cancel(fake)
    assert fake.ledger.balance("p").net == 0


async def test_a_right_secret_may_be_refused(fake: FakePortOne) -> None:
    fake.buyer.pay("p", TICKET)
    fake.faults.put([Fault("gateway_401", times=1)])
    with pytest.raises(RefusedError) as refused:
        await read(fake)
    assert (refused.value.kind, refused.value.status) == ("UNAUTHORIZED", 401)
    assert (await read(fake)).status is Status.PAID


async def test_a_lagging_record_is_the_one_of_so_many_seconds_ago(fake: FakePortOne) -> None:
    fake.faults.put([Fault("gateway_lag", seconds=60)])
    fake.buyer.open("p", TICKET)
    with pytest.raises(RefusedError, match="no such payment"):
        await read(fake)
    fake.clock.set(advance=60)
    assert (await read(fake)).status is Status.READY
    fake.buyer.pay("p")
    assert (await read(fake)).status is Status.READY
    fake.clock.set(advance=59)
    assert (await read(fake)).status is Status.READY
    fake.clock.set(advance=1)
    assert (await read(fake)).status is Status.PAID


async def test_a_payment_has_fields_nobody_has_heard_of_and_all_the_known_ones(fake: FakePortOne) -> None:
    fake.buyer.pay("p", TICKET)
    plain = payment_json((await fake.api.get("s", "p", None)).payment)
    fake.faults.put([Fault("unknown_payment_fields")])
    seen = await fake.api.get("s", "p", None)
    strange = payment_json(seen.payment, seen.said, strange=seen.strange)
    assert set(strange) - set(plain) == {"somethingNew"}
    assert set(strange["amount"]) - set(plain["amount"]) == {"somethingNew"}
    assert {name: value for name, value in strange.items() if name in plain and name != "amount"} == {
        name: value for name, value in plain.items() if name != "amount"
    }


@pytest.mark.parametrize(("fault", "net"), [("cancel_502", 71_000), ("cancel_done_502", 61_000)])
async def test_behind_a_502_a_cancel_was_or_was_not_carried_out_and_its_key_tells_which(
    fake: FakePortOne, fault: str, net: int
) -> None:
    fake.buyer.pay("p", TICKET)
    fake.faults.put([Fault(fault, times=1)])
    with pytest.raises(SpoiledError) as spoiled:
        await cancel(fake, 10_000)
    assert spoiled.value.how is Spoiled.PG_ERROR
    assert fake.ledger.balance("p").net == net
    await cancel(fake, 10_000)
    assert fake.ledger.balance("p").net == 61_000


async def test_an_outstanding_cancel_is_not_carried_out_and_needs_a_key(fake: FakePortOne) -> None:
    fake.buyer.pay("p", TICKET)
    fake.faults.put([Fault("cancel_outstanding")])
    with pytest.raises(RefusedError) as refused:
        await cancel(fake)
    assert refused.value.kind == "IDEMPOTENCY_OUTSTANDING_REQUEST"
    await cancel(fake, key=None)
    assert fake.ledger.balance("p").net == 0


async def test_a_refused_cancel_stays_refused_under_its_key(fake: FakePortOne) -> None:
    fake.buyer.pay("p", TICKET)
    fake.faults.put([Fault("cancel_refused", times=1)])
    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            await cancel(fake)
        assert (refused.value.kind, refused.value.status) == ("MAX_CANCEL_COUNT_REACHED", 409)
    fake.clock.set(advance=3 * 3600)
    await cancel(fake)
    assert fake.ledger.balance("p").net == 0


@pytest.mark.parametrize(
    ("fault", "first"), [("approval_late", Status.READY), ("approval_pending", Status.PAY_PENDING)]
)
async def test_an_approval_may_take_its_time(fake: FakePortOne, fault: str, first: Status) -> None:
    fake.faults.put([Fault(fault, seconds=100)])
    assert fake.buyer.pay("p", TICKET).status is first
    fake.clock.set(advance=99)
    assert (await read(fake)).status is first
    fake.clock.set(advance=1)
    assert (await read(fake)).status is Status.PAID


@pytest.mark.parametrize(("closed", "status"), [(False, Status.PAID), (True, Status.FAILED)])
async def test_a_late_deposit_arrives_if_the_account_is_still_open(
    fake: FakePortOne, status: Status, *, closed: bool
) -> None:
    fake.buyer.issue_account("p", TICKET)
    fake.faults.put([Fault("deposit_late", seconds=100)])
    assert fake.buyer.deposit("p").status is Status.VIRTUAL_ACCOUNT_ISSUED
    if closed:
        await fake.api.close_account("s", "p", None, None)
    fake.clock.set(advance=100)
    assert (await read(fake)).status is status


async def test_points_pay_a_tenth_and_the_total_stays(fake: FakePortOne) -> None:
    fake.faults.put([Fault("paid_with_points")])
    fake.buyer.pay("p", TICKET)
    amount = payment_json(await read(fake))["amount"]
    assert (amount["total"], amount["discount"], amount["paid"]) == (71_000, 7_100, 63_900)
    await cancel(fake)
    assert fake.ledger.balance("p").net == 0


@pytest.mark.parametrize(
    ("fault", "status", "net", "trigger"),
    [
        ("console_cancel", Status.CANCELLED, 0, "CONSOLE"),
        ("console_cancel_part", Status.PARTIAL_CANCELLED, 35_500, "CONSOLE"),
        ("charged_back", Status.CANCELLED, 0, "CHARGEBACK"),
    ],
)
async def test_others_give_the_money_back_some_time_after_it_was_paid(
    fake: FakePortOne, fault: str, status: Status, net: int, trigger: str
) -> None:
    fake.faults.put([Fault(fault, seconds=100)])
    fake.buyer.pay("p", TICKET)
    fake.clock.set(advance=99)
    assert (await read(fake)).status is Status.PAID
    fake.clock.set(advance=1)
    payment = await read(fake)
    assert (payment.status, fake.ledger.balance("p").net) == (status, net)
    assert [c.trigger for c in payment.cancellations] == [trigger]


async def test_what_others_would_cancel_may_be_cancelled_before(fake: FakePortOne) -> None:
    fake.faults.put([Fault("console_cancel", seconds=100), Fault("charged_back", seconds=100)])
    fake.buyer.pay("p", TICKET)
    await cancel(fake)
    fake.clock.set(advance=100)
    assert len((await read(fake)).cancellations) == 1


async def test_a_dispute_comes_and_goes_and_moves_no_money(fake: FakePortOne) -> None:
    fake.faults.put([Fault("disputed", seconds=100)])
    fake.buyer.pay("p", TOLD)
    seen: list[list[dict[str, Any]]] = []
    for _ in range(3):
        seen.append(payment_json(await read(fake))["disputes"])
        fake.clock.set(advance=100)
    assert [[dispute["status"] for dispute in disputes] for disputes in seen] == [[], ["UNRESOLVED"], ["RESOLVED"]]
    assert types(fake) == ["Ready", "Paid", "DisputeCreated", "DisputeResolved"]
    assert fake.ledger.balance("p").net == 71_000


async def test_what_takes_its_time_happens_though_nobody_asks(fake: FakePortOne) -> None:
    fake.faults.put([Fault("console_cancel", seconds=100)])
    fake.buyer.pay("p", TOLD)
    fake.clock.set(advance=100)
    async with asyncio.timeout(10):
        while len(types(fake)) < 3:  # noqa: ASYNC110 - nothing is asked that might bring it about
            await asyncio.sleep(0)
    assert types(fake) == ["Ready", "Paid", "Cancelled"]


async def test_requests_are_counted_whatever_became_of_them(fake: FakePortOne) -> None:
    fake.buyer.pay("p", TICKET)
    fake.faults.put([Fault("gateway_5xx", times=1), Fault("cancel_answer_lost", times=1)])
    for _ in range(2):
        with pytest.raises(SpoiledError):
            await cancel(fake)
    await cancel(fake)
    await read(fake)
    assert [fake.api.requests(operation, "p") for operation in ("cancel", "get", "pre_register")] == [3, 1, 0]
