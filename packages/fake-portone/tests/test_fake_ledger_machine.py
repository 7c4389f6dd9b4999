"""Anything may happen to payments in any order; the money still adds up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock
from fake_portone.faults import Fault
from fake_portone.ledger import Cancel, Purchase, RefusedError, Status

CAPTURED = {Status.PAID, Status.PARTIAL_CANCELLED, Status.CANCELLED}
NEXT = {
    None: set(Status) - {Status.PARTIAL_CANCELLED, Status.CANCELLED},
    Status.READY: set(Status) - {Status.PARTIAL_CANCELLED, Status.CANCELLED},
    Status.PAY_PENDING: set(Status) - {Status.PARTIAL_CANCELLED, Status.CANCELLED},
    Status.VIRTUAL_ACCOUNT_ISSUED: set(Status) - {Status.PARTIAL_CANCELLED, Status.CANCELLED},
    Status.FAILED: set(Status) - {Status.PARTIAL_CANCELLED, Status.CANCELLED},
    Status.PAID: {Status.PAID, Status.PARTIAL_CANCELLED, Status.CANCELLED},
    Status.PARTIAL_CANCELLED: {Status.PARTIAL_CANCELLED, Status.CANCELLED},
    Status.CANCELLED: {Status.CANCELLED},
}
ids = st.sampled_from(["p", "p", "q"])
sums = st.integers(1, 6)
purchases = st.builds(
    Purchase,
    store_id=st.sampled_from(["a", "b"]),
    channel_key=st.just("channel"),
    order_name=st.just("VIP"),
    total=sums,
    currency=st.sampled_from(["KRW", "USD"]),
)
cancels = st.builds(Cancel, reason=st.just("why"), amount=st.none() | sums)
guarded_cancels = st.builds(
    Cancel, reason=st.just("why"), amount=st.none() | sums, expected_left=sums, store_id=st.sampled_from([None, "a"])
)
courses = st.sampled_from(
    [
        [],
        [Fault("cancel_failed")],
        [Fault("cancel_requested", seconds=100)],
        [Fault("cancel_requested_then_failed", seconds=100)],
    ]
)


async def nobody_listens(url: str, headers: Mapping[str, str], body: bytes) -> int:
    raise AssertionError("there is no URL to send anything to")


class Payments(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        clock = FakeClock(now=lambda: datetime(2024, 4, 25, tzinfo=UTC), monotonic=lambda: 0.0)
        self.loop = asyncio.new_event_loop()
        account = FakePortOneSettings(api_secret="s", store_id="a", webhook_secret="c2VjcmV0")
        self.fake = FakePortOne(account, clock=clock, post=nobody_listens)
        self.running = AsyncExitStack()
        self.loop.run_until_complete(self.running.enter_async_context(self.fake.running()))
        self.seen: dict[str, Status] = {}
        self.captures: dict[str, int] = {}
        self.answers: dict[str, Any] = {}

    def teardown(self) -> None:
        self.loop.run_until_complete(self.running.aclose())
        self.loop.close()

    def attempt(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except RefusedError as refused:
            return refused.kind

    @rule(payment_id=ids, purchase=purchases)
    def open(self, payment_id: str, purchase: Purchase) -> None:
        self.attempt(lambda: self.fake.buyer.open(payment_id, purchase))

    @rule(payment_id=ids, act=st.sampled_from(["pay", "fail", "pend", "issue_account", "deposit"]))
    def buyer_acts(self, payment_id: str, act: str) -> None:
        paid_before = self.captures.get(payment_id)
        became = self.attempt(lambda: getattr(self.fake.buyer, act)(payment_id))
        if not isinstance(became, str) and became.status is Status.PAID:
            assert paid_before is None
            self.captures[payment_id] = became.purchase.total

    @rule(payment_id=ids, purchase=purchases)
    def buyer_pays(self, payment_id: str, purchase: Purchase) -> None:
        self.open(payment_id, purchase)
        self.buyer_acts(payment_id, "pay")

    @rule(payment_id=ids)
    def close_account(self, payment_id: str) -> None:
        self.attempt(lambda: self.fake.ledger.close_account(payment_id, None))

    @rule(payment_id=ids, amount=st.none() | sums)
    def cancel_in_console(self, payment_id: str, amount: int | None) -> None:
        self.attempt(lambda: self.fake.buyer.cancel_in_console(payment_id, amount))

    @rule(payment_id=ids, cancel=cancels, course=courses)
    def cancel(self, payment_id: str, cancel: Cancel, course: list[Fault]) -> None:
        self.fake.faults.put(course)
        self.ask(payment_id, cancel, None)

    @rule(payment_id=ids, cancel=cancels | guarded_cancels, key=st.sampled_from(["first", "second"]))
    def cancel_with_a_key(self, payment_id: str, cancel: Cancel, key: str) -> None:
        self.fake.faults.put([])
        before = self.fake.ledger.payments()
        answer = self.ask(payment_id, cancel, key)
        if key in self.answers:
            assert answer == self.answers[key]
            assert self.fake.ledger.payments() == before
        self.answers[key] = answer

    @rule(seconds=st.sampled_from([1, 100]))
    def time_passes(self, seconds: int) -> None:
        self.fake.clock.set(advance=seconds)

    @rule()
    def keys_are_forgotten(self) -> None:
        self.time_passes(3 * 3600)
        self.answers.clear()

    def ask(self, payment_id: str, cancel: Cancel, key: str | None) -> Any:
        asked = self.fake.api.cancel("s", payment_id, cancel, key)
        return self.attempt(lambda: self.loop.run_until_complete(asked))

    @invariant()
    def never_more_back_than_was_taken(self) -> None:
        for payment in self.fake.ledger.payments():
            balance = self.fake.ledger.balance(payment.id)
            assert 0 <= balance.cancelled <= balance.captured
            assert balance.captured == self.captures.get(payment.id, 0)

    @invariant()
    def the_book_and_the_records_agree(self) -> None:
        for payment in self.fake.ledger.payments():
            balance = self.fake.ledger.balance(payment.id)
            assert (balance.captured, balance.cancelled) == (payment.captured, payment.cancelled)
            assert (payment.status is Status.CANCELLED) == (balance.captured > 0 == balance.net)
            assert payment.cancellable >= 0

    @invariant()
    def statuses_only_go_where_they_may(self) -> None:
        for payment in self.fake.ledger.payments():
            assert payment.status in NEXT[self.seen.get(payment.id)]
            self.seen[payment.id] = payment.status
            assert payment.requested_at <= payment.status_changed_at <= payment.updated_at


TestPayments = Payments.TestCase
TestPayments.settings = settings(max_examples=400, stateful_step_count=30, deadline=None)
