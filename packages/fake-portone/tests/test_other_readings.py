"""Each fault that takes another reading of what PortOne's documents say, or leave open: it does what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.api import SpoiledError
from fake_portone.clock import FakeClock
from fake_portone.faults import CATALOGUE, READINGS, Fault
from fake_portone.ledger import Cancel, Cancelled, CancelStatus, PaymentRecord, Purchase, RefusedError, Status
from fake_portone.listing import Listing
from fake_portone.shapes import cancellation_json, payment_json

TICKET = Purchase(store_id="store-a", channel_key="channel-a", order_name="VIP", total=71_000, currency="KRW")
TOLD = replace(TICKET, notice_urls=("http://127.0.0.1:9/",))
NOON = datetime(2024, 4, 25, 12, 0, 0, 345_678, tzinfo=UTC)
TAG = "[0123456789abcdef0123456789abcdef] late"


@pytest.fixture
async def fake() -> AsyncIterator[FakePortOne]:
    """A fake whose time stands still until it is pushed on, and that nobody listens to."""
    settings = FakePortOneSettings(api_secret="s", store_id="store-a", webhook_secret="c2VjcmV0c2VjcmV0c2VjcmV0")
    fake = FakePortOne(settings, clock=FakeClock(now=lambda: NOON, speed=0))
    async with fake.running():
        yield fake


async def read(fake: FakePortOne, payment_id: str = "p") -> PaymentRecord:
    return (await fake.api.get("s", payment_id, None)).payment


async def listed(fake: FakePortOne, **asked: object) -> tuple[list[str], int]:
    page = await fake.api.page("s", Listing(**{"newest_first": False, **asked}))  # type: ignore[arg-type]
    return [seen.payment.id for seen in page.items], page.total


async def cancel(fake: FakePortOne, amount: int | None = None, **said: object) -> Cancelled:
    return await fake.api.cancel("s", "p", Cancel(reason=TAG, amount=amount, **said), None)  # type: ignore[arg-type]


def net(fake: FakePortOne) -> int:
    return fake.ledger.balance("p").net


def paid(fake: FakePortOne, *faults: Fault, purchase: Purchase = TICKET) -> PaymentRecord:
    fake.faults.put(faults)
    return fake.buyer.pay("p", purchase)


def types(fake: FakePortOne) -> list[str]:
    return [delivery.type.removeprefix("Transaction.") for delivery in fake.webhooks.deliveries]


def test_the_readings_are_faults_of_the_catalogue() -> None:
    assert set(CATALOGUE) >= READINGS


async def test_dates_may_be_cut_to_whole_seconds(fake: FakePortOne) -> None:
    paid(fake, Fault("stamps_in_seconds"))
    await cancel(fake, 1000)
    seen = await read(fake)
    dates = [
        seen.requested_at,
        seen.updated_at,
        seen.status_changed_at,
        seen.paid_at,
        seen.cancellations[0].requested_at,
    ]
    assert dates == [NOON.replace(microsecond=0)] * 5


async def test_paid_may_be_dated_before_the_failure_that_it_followed(fake: FakePortOne) -> None:
    fake.faults.put([Fault("paid_dated_early", seconds=60)])
    fake.buyer.open("p", TICKET)
    fake.clock.set(advance=1000)
    failed_at = fake.buyer.fail("p", TICKET).status_changed_at
    fake.clock.set(advance=1000)
    opened_at = fake.ledger.open("p", TICKET).status_changed_at
    seen = fake.buyer.pay("p")
    assert seen.status_changed_at == seen.paid_at == opened_at - timedelta(seconds=60)
    assert failed_at < opened_at


async def test_of_many_payments_dated_early_some_are_updated_early_too(fake: FakePortOne) -> None:
    fake.faults.put([Fault("paid_dated_early")])
    seen = [fake.buyer.pay(f"p{number}", TICKET) for number in range(20)]
    assert {payment.updated_at == payment.status_changed_at for payment in seen} == {True, False}


async def test_a_cancel_may_be_dated_before_the_payment(fake: FakePortOne) -> None:
    before = paid(fake, Fault("cancelled_dated_early", seconds=5))
    await cancel(fake)
    seen = await read(fake)
    assert (seen.status, seen.status_changed_at) == (Status.CANCELLED, before.status_changed_at - timedelta(seconds=5))
    assert seen.updated_at > before.updated_at


async def test_a_second_cancel_of_a_part_may_leave_the_date(fake: FakePortOne) -> None:
    paid(fake, Fault("second_part_cancel_unstamped"))
    await cancel(fake, 1000)
    first = await read(fake)
    fake.clock.set(advance=10)
    await cancel(fake, 1000)
    second = await read(fake)
    assert (second.cancelled, second.status_changed_at) == (2000, first.status_changed_at)
    assert second.updated_at > first.updated_at
    await cancel(fake)
    assert (await read(fake)).status_changed_at > first.status_changed_at


async def test_the_list_may_go_by_earlier_approval_times(fake: FakePortOne) -> None:
    at = paid(fake, Fault("list_by_approval_time", seconds=2)).status_changed_at
    assert await listed(fake, since=at) == ([], 0)
    assert await listed(fake, since=at - timedelta(seconds=2), until=at - timedelta(seconds=1)) == (["p"], 1)


async def test_the_list_may_be_late(fake: FakePortOne) -> None:
    fake.faults.put([Fault("list_late", seconds=60)])
    fake.buyer.open("p", TICKET)
    assert await listed(fake) == ([], 0)
    fake.clock.set(advance=60)
    fake.buyer.pay("p")
    assert (await read(fake)).status is Status.PAID
    assert [seen.payment.status for seen in (await fake.api.page("s", Listing())).items] == [Status.READY]
    fake.clock.set(advance=60)
    assert [seen.payment.status for seen in (await fake.api.page("s", Listing())).items] == [Status.PAID]


async def test_the_list_may_be_in_no_order_of_time(fake: FakePortOne) -> None:
    for name in ("b", "c", "a"):
        fake.buyer.pay(name, TICKET)
    assert await listed(fake) == (["b", "c", "a"], 3)
    fake.faults.put([Fault("list_unsorted")])
    assert await listed(fake) == (["a", "b", "c"], 3)


async def test_the_list_may_lack_a_payment_or_count_one_too_few(fake: FakePortOne) -> None:
    fake.buyer.pay("a", TICKET)
    fake.buyer.pay("b", TICKET)
    fake.faults.put([Fault("list_short_count")])
    seen = [await listed(fake) for _ in range(20)]
    assert {(len(items), total) for items, total in seen} == {(1, 2), (2, 1)}


async def test_a_record_vanishes_only_once_it_was_read(fake: FakePortOne) -> None:
    paid(fake, Fault("record_vanishes", times=1))
    assert (await read(fake)).status is Status.PAID
    with pytest.raises(RefusedError, match="no such payment"):
        await read(fake)
    assert (await read(fake)).status is Status.PAID


@pytest.mark.parametrize(("fault", "shown"), [("reason_cut", TAG[:10]), ("reason_changed", "고객 요청")])
async def test_reasons_may_come_back_otherwise(fake: FakePortOne, fault: str, shown: str) -> None:
    paid(fake, Fault(fault))
    answer = await cancel(fake, 1000)
    seen = payment_json(await read(fake))["cancellations"]
    assert [answer.reason, *(c["reason"] for c in seen)] == [shown, shown]
    assert fake.ledger.find("p").cancellations[0].reason == TAG


@pytest.mark.parametrize(
    ("fault", "told"), [("cancel_undone", ["Cancelled", "Paid"]), ("cancel_bounces", ["Cancelled"])]
)
async def test_what_went_back_may_come_back(fake: FakePortOne, fault: str, told: list[str]) -> None:
    paid(fake, Fault(fault, seconds=100), purchase=TOLD)
    await cancel(fake)
    before = await read(fake)
    assert (before.status, net(fake)) == (Status.CANCELLED, 0)
    fake.clock.set(advance=100)
    after = await read(fake)
    assert (after.status, net(fake)) == (Status.PAID, 71_000)
    assert [c.status for c in after.cancellations] == [CancelStatus.FAILED]
    assert payment_json(after)["amount"]["cancelled"] == 0
    assert types(fake)[2:] == told
    await cancel(fake, 1000)
    assert net(fake) == 70_000


async def test_a_part_that_comes_back_leaves_the_other(fake: FakePortOne) -> None:
    paid(fake, Fault("cancel_bounces", seconds=100, times=1))
    await cancel(fake, 1000)
    await cancel(fake, 500)
    fake.clock.set(advance=100)
    assert ((await read(fake)).status, net(fake)) == (Status.PARTIAL_CANCELLED, 70_500)


async def test_a_cancel_may_be_refused_for_good(fake: FakePortOne) -> None:
    paid(fake, Fault("cancel_period_over"))
    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            await cancel(fake)
        assert (refused.value.kind, refused.value.status) == ("CANCEL_PERIOD_OVER", 409)
    fake.buyer.cancel_in_console("p")
    assert net(fake) == 0


async def test_the_shops_deposit_may_be_lacking(fake: FakePortOne) -> None:
    paid(fake, Fault("cancel_deposit_lacking"))
    for _ in range(2):
        with pytest.raises(SpoiledError):
            await cancel(fake)
    assert net(fake) == 71_000


async def test_a_cancel_may_need_its_tax_parts(fake: FakePortOne) -> None:
    paid(fake, Fault("cancel_needs_tax_part"))
    with pytest.raises(RefusedError) as refused:
        await cancel(fake, 11_000)
    assert refused.value.kind == "CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT"
    await cancel(fake, 11_000, tax_free=0, vat=1000)
    assert net(fake) == 60_000


async def test_a_cancellation_may_be_requested_for_ever(fake: FakePortOne) -> None:
    paid(fake, Fault("cancel_requested_for_ever"))
    assert (await cancel(fake)).status is CancelStatus.REQUESTED
    fake.clock.set(advance=10**7)
    assert ([c.status for c in (await read(fake)).cancellations], net(fake)) == ([CancelStatus.REQUESTED], 71_000)


async def test_the_console_may_quote_a_refund_with_another_sum(fake: FakePortOne) -> None:
    paid(fake, Fault("console_cancel_quotes_refund", times=1))
    with pytest.raises(RefusedError) as refused:
        await cancel(fake, 10_000, expected_left=71_000)
    assert refused.value.kind == "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN"
    seen = (await read(fake)).cancellations
    assert [(c.amount, c.reason, c.trigger) for c in seen] == [(5_000, TAG, "CONSOLE")]


async def test_nothing_may_be_captured_by_fault_only(fake: FakePortOne) -> None:
    with pytest.raises(RefusedError, match="totalAmount"):
        fake.buyer.open("p", replace(TICKET, total=0))
    seen = payment_json(paid(fake, Fault("zero_amount_capture")))
    assert (seen["status"], seen["amount"]["total"], seen["amount"]["paid"]) == ("PAID", 0, 0)
    with pytest.raises(RefusedError):
        await cancel(fake)
    assert fake.ledger.totals() == {}


async def test_the_browser_may_choose_an_account_for_ten_years(fake: FakePortOne) -> None:
    seen = paid(fake, Fault("account_by_browser"))
    assert seen.status is Status.VIRTUAL_ACCOUNT_ISSUED
    assert seen.account is not None
    assert seen.account.due - seen.account.issued_at == timedelta(days=3650)


@pytest.mark.parametrize(("honest", "asked"), [(0, 35_500), (1000, 0)])
async def test_the_browser_may_ask_for_another_untaxed_part(fake: FakePortOne, honest: int, asked: int) -> None:
    seen = paid(fake, Fault("tax_free_by_browser"), purchase=replace(TICKET, tax_free=honest))
    assert payment_json(seen)["amount"]["taxFree"] == asked


async def test_only_what_the_buyer_paid_may_be_cancellable(fake: FakePortOne) -> None:
    paid(fake, Fault("discount_limits_cancel"))
    for said in ({"expected_left": 71_000}, {"amount": 70_000}):
        with pytest.raises(RefusedError):
            await cancel(fake, **said)
    await cancel(fake, 3_900, expected_left=63_900)
    last = await cancel(fake, expected_left=60_000)
    seen = await read(fake)
    assert (seen.status, net(fake)) == (Status.CANCELLED, 0)
    assert payment_json(seen)["amount"]["cancelled"] == 63_900
    assert cancellation_json(last)["easyPayDiscountAmount"] == 7_100


async def test_an_approval_may_be_pending_for_ever(fake: FakePortOne) -> None:
    assert paid(fake, Fault("pending_for_ever")).status is Status.PAY_PENDING
    fake.clock.set(advance=10**7)
    assert (await read(fake)).status is Status.PAY_PENDING


async def test_some_faults_are_a_payments_own_and_drawn_once_for_each(fake: FakePortOne) -> None:
    fake.faults.put([Fault("stamps_in_seconds", probability=0.5)])
    names = [f"p{number}" for number in range(20)]
    for name in names:
        fake.buyer.pay(name, TICKET)
    seen = [[(await read(fake, name)).updated_at.microsecond == 0 for name in names] for _ in range(2)]
    assert seen[0] == seen[1]
    assert set(seen[0]) == {True, False}
    assert fake.faults.on()[0][1] == seen[0].count(True)


# --- what was too kind before ---


async def test_a_deposit_goes_back_to_a_named_account_only(fake: FakePortOne) -> None:
    fake.buyer.issue_account("p", TICKET)
    fake.buyer.deposit("p")
    with pytest.raises(RefusedError, match="refundAccount") as refused:
        await cancel(fake)
    assert (refused.value.kind, refused.value.status) == ("INVALID_REQUEST", 400)
    await cancel(fake, 1000, to_account=True)
    fake.buyer.cancel_in_console("p")
    assert net(fake) == 0


async def test_what_is_paid_after_an_account_was_closed_needs_none(fake: FakePortOne) -> None:
    fake.buyer.issue_account("p", TICKET)
    await fake.api.close_account("s", "p", None, None)
    assert payment_json(fake.buyer.pay("p"))["method"]["type"] == "PaymentMethodEasyPay"
    await cancel(fake)
    assert net(fake) == 0


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"amount": 10_000, "tax_free": 8_000, "vat": 3_000}, "SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT"),
        ({"amount": 50_000, "tax_free": 31_000}, "CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT"),
        ({"amount": 42_000}, "CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT"),
        ({"amount": 10_000, "vat": 5_000}, "CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT"),
    ],
)
async def test_untaxed_and_taxed_parts_are_compared(fake: FakePortOne, said: dict[str, int], kind: str) -> None:
    fake.buyer.pay("p", replace(TICKET, tax_free=30_000))
    with pytest.raises(RefusedError) as refused:
        await cancel(fake, **said)
    assert refused.value.kind == kind


async def test_untaxed_parts_add_up(fake: FakePortOne) -> None:
    fake.buyer.pay("p", replace(TICKET, tax_free=30_000))
    await cancel(fake, 10_000, tax_free=10_000)
    await cancel(fake, 61_000, tax_free=20_000)
    assert payment_json(await read(fake))["amount"]["cancelledTaxFree"] == 30_000
