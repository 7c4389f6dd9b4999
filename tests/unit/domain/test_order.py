"""An order's life, told in sentences: what it hears from the gateway, and what it makes of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import InvalidMoneyError, NothingToAnswerError, RefundNotPossibleError
from domain.history import HistoryEntry
from domain.ids import OrderId, PaymentId, ProductId, RefundId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Order, OrderLine, hash_token
from domain.payment import Cancellation, CancellationStatus, Payment, PaymentStatus, Shop
from domain.policy import Policy
from domain.reconciliation import (
    check_failed,
    doubt_refund,
    end_attention,
    place,
    reconcile,
    refuse_refund,
    request_refund,
    withdraw_refund,
)
from domain.refund import Need, Refund, RefundStatus, Sent
from domain.revision import Reconciliation

T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
EXPIRES = T0 + timedelta(minutes=15)
OVER = 15.5  # minutes: the buyer's time, and the grace of half a minute before the goods go back on sale
SHOP = Shop(store_id="store-ours", channel_type="LIVE")
PAID, PARTLY, ALL_BACK = PaymentStatus.PAID, PaymentStatus.PARTIAL_CANCELLED, PaymentStatus.CANCELLED


def krw(minor: int) -> Money:
    return Money(minor, "KRW")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def payment(
    status: PaymentStatus,
    *,
    at: float | None = 1,
    updated: float | None = None,
    total: int = 1000,
    currency: str = "KRW",
    cancelled: int = 0,
    cancellations: tuple[Cancellation, ...] = (),
    **other: object,
) -> Payment:
    """What the gateway says; ``at`` and ``updated`` in minutes after the order was placed."""
    usual = Payment(
        id="p" * 32,
        status=status,
        said=status.value,
        total=Money(total, currency),
        cancelled=Money(total if status is ALL_BACK and not cancelled else cancelled, currency),
        store_id="store-ours",
        channel_type="LIVE",
        attempt="attempt-1",
        changed_at=None if at is None else T0 + minutes(at),
        updated_at=T0 + minutes(updated) if updated is not None else None if at is None else T0 + minutes(at),
        cancellations=cancellations,
    )
    return replace(usual, **other)  # type: ignore[arg-type]


def ours(refund_id: str, status: CancellationStatus, amount: int = 1000) -> Cancellation:
    """A cancellation that carries our refund's id, as PortOne gives our reason back."""
    return Cancellation(id=f"c-{refund_id}-{status}", status=status, amount=krw(amount), reason=f"[{refund_id}] bye")


@dataclass
class Life:
    """An order as it is kept: with its refunds, its history, and a clock. Ids of refunds are r1, r2, …"""

    order: Order
    now: datetime = T0
    policy: Policy = field(default_factory=Policy)
    entries: list[HistoryEntry] = field(default_factory=list)
    refunds: dict[str, Refund] = field(default_factory=dict)
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def at(self, after: float) -> Life:
        self.now = T0 + minutes(after)
        return self

    def hears(
        self,
        said: Payment | None,
        *,
        give_up: bool = False,
        announces_more: bool | None = None,
        on_schedule: bool = False,
    ) -> Reconciliation:
        requested = [refund for refund in self.refunds.values() if refund.status is RefundStatus.REQUESTED]
        return self.keep(
            reconcile(
                self.order,
                said,
                shop=SHOP,
                now=self.now,
                policy=self.policy,
                refund_id=self.new_id(),
                refunds=requested,
                give_up=give_up,
                announces_more=announces_more,
                on_schedule=on_schedule,
            )
        )

    def asks_back(self, amount: int | None) -> Reconciliation:
        return self.keep(
            request_refund(
                self.order,
                None if amount is None else krw(amount),
                refund_id=self.new_id(),
                reason="the buyer asked",
                requested_by="merchant",
                now=self.now,
            )
        )

    def is_answered(self, note: str = "seen to") -> Reconciliation:
        return self.keep(end_attention(self.order, by="operator:kim", note=note, now=self.now))

    def is_refused(self, refund_id: str, code: str = "NO", needs: Need = Need.NOTHING) -> Reconciliation:
        return self.keep(refuse_refund(self.order, self.refunds[refund_id], code, needs, self.now))

    def withdraws(self, refund_id: str) -> Reconciliation:
        return self.keep(withdraw_refund(self.order, self.refunds[refund_id], by="operator:kim", now=self.now))

    def doubts(self, refund_id: str) -> Reconciliation:
        return self.keep(doubt_refund(self.order, self.refunds[refund_id], self.now))

    def has_sent(self, refund_id: str) -> None:
        """The gateway was asked for this refund."""
        refund = self.refunds[refund_id]
        sent = Sent(key=refund_id, amount=refund.amount, tax_free=krw(0), left=krw(1000), gone=krw(0), at=self.now)
        self.refunds[refund_id] = replace(refund, sent=sent)

    def fails_to_check(self, why: str = "time-out") -> Reconciliation:
        return self.keep(check_failed(self.order, why, self.now))

    def keep(self, reconciliation: Reconciliation) -> Reconciliation:
        self.order = reconciliation.order
        self.entries += reconciliation.entries
        self.refunds |= {refund.id: refund for refund in reconciliation.refunds}
        return reconciliation

    def new_id(self) -> RefundId:
        return RefundId(f"r{next(self.ids)}")

    @property
    def kinds(self) -> list[str]:
        return [entry.kind.value for entry in self.entries]

    def standing(self) -> tuple[str, str | None, int, int]:
        order = self.order
        return order.status.value, order.reason and order.reason.value, order.refunded.minor, order.owed.minor

    def attention(self) -> str | None:
        return None if self.order.attention is None else self.order.attention.why

    def asks(self) -> str | None:
        return None if self.order.attention is None else self.order.attention.kind.value

    def failures(self) -> int:
        return self.order.failures

    def check_at(self) -> datetime | None:
        return self.order.check_at

    def announced_at(self) -> datetime | None:
        return self.order.announced_at

    def rows(self) -> dict[str, tuple[str, int]]:
        return {refund.id: (refund.status.value, refund.amount.minor) for refund in self.refunds.values()}


def placed(*, lives: float = 15, policy: Policy | None = None) -> Life:
    reconciliation = place(
        order_id=OrderId("a" * 32),
        payment_id=PaymentId("p" * 32),
        token_hash=hash_token("the buyer's token"),
        lines=[
            OrderLine(product_id=ProductId("vip"), name="VIP 1열 1번", quantity=1, price=krw(600)),
            OrderLine(product_id=ProductId("r"), name="R석", quantity=2, price=krw(200)),
        ],
        now=T0,
        expires_at=T0 + minutes(lives),
    )
    return Life(order=reconciliation.order, entries=list(reconciliation.entries), policy=policy or Policy())


def completed() -> Life:
    life = placed().at(1)
    life.hears(payment(PAID))
    return life


def expired() -> Life:
    life = placed().at(OVER)
    life.hears(None)
    return life


def late_money() -> Life:
    """EXPIRED, then paid all the same: 1000 are owed back under the id r2."""
    life = expired().at(16)
    life.hears(payment(PAID, at=16))
    assert life.rows() == {"r2": ("REQUESTED", 1000)}
    return life


# --- placing ---------------------------------------------------------------------------------------------------


def test_an_order_costs_the_sum_of_its_lines_and_is_named_for_the_first_of_them() -> None:
    life = placed()
    assert (life.order.price, life.order.name) == (krw(1000), "VIP 1열 1번 외 1건")
    assert life.standing() == ("PENDING", None, 0, 0)
    assert life.order.refundable == krw(0)
    assert [(entry.seq, entry.kind.value, dict(entry.data)) for entry in life.entries] == [
        (1, "placed", {"price": 1000, "currency": "KRW"})
    ]


def test_an_order_of_one_line_bears_its_name_alone() -> None:
    order = place(
        order_id=OrderId("a" * 32),
        payment_id=PaymentId("p" * 32),
        token_hash="",
        lines=[OrderLine(product_id=ProductId("r"), name="R석", quantity=2, price=krw(200))],
        now=T0,
        expires_at=EXPIRES,
    ).order
    assert (order.name, order.price) == ("R석", krw(400))


def test_lines_in_two_currencies_are_no_order() -> None:
    line = OrderLine(product_id=ProductId("a"), name="A", quantity=1, price=krw(1))
    with pytest.raises(InvalidMoneyError):
        place(
            order_id=OrderId("a" * 32),
            payment_id=PaymentId("p" * 32),
            token_hash="",
            lines=[line, replace(line, price=Money(1, "USD"))],
            now=T0,
            expires_at=EXPIRES,
        )


def test_only_the_buyers_token_is_admitted() -> None:
    order = placed().order
    assert order.admits("the buyer's token")
    assert not any(order.admits(token) for token in ("", "the buyer's token ", order.token_hash, "\ud800"))


# --- paying ----------------------------------------------------------------------------------------------------


def test_a_matching_payment_completes_the_order_and_it_is_at_rest() -> None:
    life = completed()
    assert life.standing() == ("COMPLETED", None, 0, 0)
    assert life.kinds == ["placed", "payment_observed", "completed"]
    assert (life.order.captured, life.order.check_at) == (krw(1000), None)


def test_a_failed_attempt_is_never_the_end() -> None:
    life = placed().at(1)
    life.hears(payment(PaymentStatus.FAILED))
    life.at(2).hears(payment(PaymentStatus.READY, at=2, attempt="attempt-2"))
    life.at(3).hears(payment(PAID, at=3, attempt="attempt-2"))
    assert life.standing() == ("COMPLETED", None, 0, 0)
    assert [entry.data.get("attempt") for entry in life.entries] == [None, "attempt-1", "attempt-2", "attempt-2", None]


def test_a_payment_refunded_in_part_before_we_heard_of_it_completes_the_order() -> None:
    life = placed().at(1)
    life.hears(payment(PARTLY, cancelled=300))
    assert life.standing() == ("COMPLETED", None, 300, 0)


@pytest.mark.parametrize(
    ("lives", "grace"), [(1, 6), (3, 18), (5, 30), (15, 30), (60 * 24, 30)]
)  # minutes, and seconds: a tenth of them, half a minute at most
def test_an_order_is_given_up_a_moment_of_grace_after_its_time_and_not_a_moment_before(lives: int, grace: int) -> None:
    life = placed(lives=lives).at(lives)
    life.now += timedelta(seconds=grace, microseconds=-1)
    life.hears(None)
    assert life.standing() == ("PENDING", None, 0, 0)
    life.now += timedelta(microseconds=1)
    life.hears(None)
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)


def test_what_is_paid_within_the_grace_completes_the_order() -> None:
    life = placed().at(15.4)
    life.hears(payment(PaymentStatus.READY))
    life.hears(payment(PAID, at=15.4))
    assert life.standing() == ("COMPLETED", None, 0, 0)


def test_an_order_whose_money_may_be_moving_outlives_its_time() -> None:
    life = placed().at(60)
    life.hears(payment(PaymentStatus.PAY_PENDING))
    assert life.standing() == ("PENDING", None, 0, 0)
    life.at(61).hears(payment(PAID, at=61))
    assert life.standing() == ("COMPLETED", None, 0, 0)


def test_an_issued_account_keeps_the_order_alive_until_its_own_time_and_is_then_closed() -> None:
    life = placed(policy=Policy(deposit_within=minutes(180))).at(60)
    waiting = payment(PaymentStatus.VIRTUAL_ACCOUNT_ISSUED, deposit_due=T0 + minutes(120))
    assert not life.hears(waiting).close_account
    assert life.standing() == ("PENDING", None, 0, 0)
    assert not life.at(120.4).hears(waiting).close_account
    assert life.at(120.5).hears(waiting).close_account
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)


@pytest.mark.parametrize(
    ("deposit_within", "due", "until"),
    [
        (None, None, 15),
        (None, 60 * 24 * 3650, 15),  # asked for by the browser, and never offered
        (60, 60 * 24 * 3650, 60),
        (60, None, 60),
        (60, 30, 30),
        (60, 5, 15),  # the order's own time is the least
        (10, 60, 15),
    ],
)
def test_an_issued_account_holds_stock_no_longer_than_the_shop_says(
    deposit_within: float | None, due: float | None, until: float
) -> None:
    policy = Policy(deposit_within=None if deposit_within is None else minutes(deposit_within))
    life = placed(policy=policy).at(until + 0.49)
    issued = payment(PaymentStatus.VIRTUAL_ACCOUNT_ISSUED, deposit_due=None if due is None else T0 + minutes(due))
    assert not life.hears(issued).close_account
    assert life.standing() == ("PENDING", None, 0, 0)
    reconciliation = life.at(until + 0.5).hears(issued)
    assert (reconciliation.close_account, reconciliation.restock) == (True, True)
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)


def test_an_account_that_is_still_open_is_asked_to_be_closed_at_each_later_check() -> None:
    life = placed().at(OVER)
    issued = payment(PaymentStatus.VIRTUAL_ACCOUNT_ISSUED)
    life.hears(issued)
    assert life.at(18).hears(issued).close_account
    assert not life.at(34).hears(payment(PaymentStatus.FAILED, at=34)).close_account


# --- the buyer gives up ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "close"),
    [
        (None, False),
        (PaymentStatus.READY, False),
        (PaymentStatus.FAILED, False),
        (PaymentStatus.VIRTUAL_ACCOUNT_ISSUED, True),
    ],
)
@pytest.mark.parametrize("after", [1, 20])
def test_the_buyer_can_give_up_an_order_for_which_no_money_moves(
    status: PaymentStatus | None, after: int, *, close: bool
) -> None:
    life = placed().at(after)
    reconciliation = life.hears(None if status is None else payment(status), give_up=True)
    assert life.standing() == ("CANCELLED", "ABANDONED", 0, 0)
    assert (reconciliation.restock, reconciliation.close_account) == (True, close)


@pytest.mark.parametrize(
    ("said", "standing"),
    [
        (payment(PaymentStatus.PAY_PENDING), ("PENDING", None, 0, 0)),
        (payment(PaymentStatus.UNKNOWN, said="NEW"), ("PENDING", None, 0, 0)),
        (payment(PAID), ("COMPLETED", None, 0, 0)),
        (payment(PARTLY, cancelled=400), ("COMPLETED", None, 400, 0)),
        (payment(PAID, store_id="theirs"), ("CANCELLED", "MISMATCH", 0, 1000)),
        (payment(ALL_BACK), ("CANCELLED", "PAYMENT_CANCELLED", 1000, 0)),
    ],
)
def test_giving_up_counts_only_where_no_money_can_be_on_its_way(
    said: Payment, standing: tuple[str, str | None, int, int]
) -> None:
    life = placed().at(1)
    life.hears(said, give_up=True)
    assert life.standing() == standing


@pytest.mark.parametrize("life", [completed(), expired()])
def test_giving_up_an_order_that_is_no_longer_pending_changes_nothing(life: Life) -> None:
    before = life.standing()
    assert not life.hears(None if life.order.captured is None else payment(PAID), give_up=True).entries
    assert life.standing() == before


# --- old, equal and contradicting observations -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("stale", "why"),
    [
        (payment(PAID, at=4), "its status changed earlier"),
        (payment(PAID, at=4, updated=9), "its status changed earlier, whenever it was updated"),
        (payment(PAID, at=5, updated=5.5), "its status changed then too, but it was updated earlier"),
        (payment(PAID, at=None, updated=5.5), "only the update is dated, and it is earlier"),
        (payment(PaymentStatus.UNKNOWN, said="NEW", at=4), "an old word we do not know is old too"),
        (payment(PAID, at=4, total=900), "an old contradiction is old too"),
    ],
)
def test_an_observation_older_than_the_last_one_changes_nothing_at_all(stale: Payment, why: str) -> None:
    life = completed().at(6)
    life.hears(payment(PARTLY, at=5, updated=6, cancelled=300))
    life.order = replace(life.order, check_at=T0 + minutes(8))
    assert life.at(7).hears(stale) == Reconciliation(order=life.order, is_stale=True), why


@pytest.mark.parametrize(
    "newer",
    [
        payment(PARTLY, at=6, updated=1, cancelled=400),
        payment(PARTLY, at=5, updated=7, cancelled=400),
        payment(PARTLY, at=5, updated=6, cancelled=400),
        payment(PARTLY, at=None, cancelled=400),
    ],
)
def test_an_observation_that_is_newer_or_not_known_to_be_older_is_applied(newer: Payment) -> None:
    life = completed().at(6)
    life.hears(payment(PARTLY, at=5, updated=6, cancelled=300))
    life.at(8).hears(newer)
    assert life.standing() == ("COMPLETED", None, 400, 0)


def test_an_old_ready_never_moves_a_completed_order_back() -> None:
    life = completed().at(2)
    assert not life.hears(payment(PaymentStatus.READY, at=0.5)).entries
    assert life.standing() == ("COMPLETED", None, 0, 0)
    assert life.attention() is None


def test_a_stale_observation_does_not_let_the_buyer_give_up() -> None:
    life = placed().at(3)
    life.hears(payment(PaymentStatus.PAY_PENDING, at=3))
    life.hears(payment(PaymentStatus.READY, at=2), give_up=True)
    assert life.standing() == ("PENDING", None, 0, 0)


@pytest.mark.parametrize(
    "said",
    [
        payment(PAID),
        payment(PARTLY, cancelled=300),
        payment(ALL_BACK),
        payment(PAID, at=None),
        payment(PAID, total=900),
        payment(PAID, channel_type=None),
    ],
)
def test_reconciling_again_with_the_same_record_changes_nothing_more(said: Payment) -> None:
    life = placed().at(1)
    life.hears(said)
    once = life.order
    assert life.hears(said) == Reconciliation(
        order=replace(once, checks=life.order.checks, check_at=life.order.check_at)
    )
    assert once.check_at is not None or life.order == once


def test_what_went_back_stays_back_whatever_an_undated_record_says() -> None:
    life = completed().at(2)
    life.hears(payment(PARTLY, at=2, cancelled=600))
    life.at(3).hears(payment(PARTLY, at=None, cancelled=100))
    assert life.standing() == ("COMPLETED", None, 600, 0)


def test_what_went_back_is_not_asked_back_a_second_time_by_a_record_that_forgets_it() -> None:
    life = completed().at(2)
    life.hears(payment(ALL_BACK, at=2))
    life.at(3).hears(payment(PAID, at=None))
    assert life.standing() == ("CANCELLED", "REFUNDED", 1000, 0)
    assert life.rows() == {}


def test_no_more_counts_as_gone_back_than_was_taken() -> None:
    life = completed().at(2)
    life.hears(payment(ALL_BACK, at=2, cancelled=1100))
    assert life.standing() == ("CANCELLED", "REFUNDED", 1000, 0)


@pytest.mark.parametrize(
    "other",
    [
        payment(PAID, at=2, total=900),
        payment(PARTLY, at=2, total=900, cancelled=100),
        payment(ALL_BACK, at=2, total=900),
        payment(PAID, at=2, total=1100),
        payment(PAID, at=2, currency="USD"),
    ],
)
def test_an_order_that_captured_one_sum_and_hears_of_another_is_left_and_flagged(other: Payment) -> None:
    life = completed().at(2)
    life.hears(other)
    assert life.standing() == ("COMPLETED", None, 0, 0)
    assert life.order.captured == krw(1000)
    assert "said 1000 KRW before" in (life.attention() or "")
    life.at(3).hears(payment(PAID, at=3))
    assert life.attention() is None


def test_a_cancelled_order_is_not_flagged_by_the_sum_of_an_attempt_that_took_nothing() -> None:
    life = late_money().at(17)
    life.hears(payment(PaymentStatus.FAILED, at=17, total=500))
    assert life.attention() is None


# --- money back, decided by others -----------------------------------------------------------------------------


def test_a_console_cancel_in_part_and_then_in_full_is_followed() -> None:
    life = completed().at(2)
    life.hears(payment(PARTLY, at=2, cancelled=300))
    assert life.standing() == ("COMPLETED", None, 300, 0)
    life.at(3).hears(payment(PARTLY, at=2, updated=3, cancelled=400))
    assert life.standing() == ("COMPLETED", None, 400, 0)
    reconciliation = life.at(4).hears(payment(ALL_BACK, at=4))
    assert life.standing() == ("CANCELLED", "REFUNDED", 1000, 0)
    assert (reconciliation.restock, reconciliation.refunds, life.order.check_at) == (True, (), None)
    assert life.kinds[2:] == ["completed", "payment_observed", "payment_observed", "payment_observed", "cancelled"]


def test_a_payment_cancelled_before_we_completed_the_order_cancels_it_with_nothing_owed() -> None:
    life = placed().at(1)
    assert life.hears(payment(ALL_BACK)).restock
    assert life.standing() == ("CANCELLED", "PAYMENT_CANCELLED", 1000, 0)
    assert life.order.check_at is None


# --- money back, decided by us ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [CancelReason.EXPIRED, CancelReason.ABANDONED])
def test_late_money_is_refunded_in_full(reason: CancelReason) -> None:
    life = placed().at(OVER)
    life.hears(None, give_up=reason is CancelReason.ABANDONED)
    reconciliation = life.at(20).hears(payment(PAID, at=20))
    assert life.standing() == ("CANCELLED", reason.value, 0, 1000)
    (refund,) = reconciliation.refunds
    assert (refund.amount, refund.requested_by, refund.reason) == (krw(1000), "gyeolje", f"order {reason.value}")
    assert not reconciliation.restock
    life.at(21).hears(payment(ALL_BACK, at=21, cancellations=(ours("r2", CancellationStatus.SUCCEEDED),)))
    assert life.standing() == ("CANCELLED", reason.value, 1000, 0)
    assert life.rows() == {"r2": ("SUCCEEDED", 1000)}
    assert life.order.check_at is None


def test_of_late_money_that_went_back_in_part_the_rest_is_refunded() -> None:
    life = expired().at(16)
    life.hears(payment(PARTLY, at=16, cancelled=400))
    assert life.standing() == ("CANCELLED", "EXPIRED", 400, 600)


def test_money_of_a_mismatch_goes_back_in_the_currency_it_came_in() -> None:
    life = placed().at(1)
    reconciliation = life.hears(payment(PAID, currency="USD"))
    assert (life.order.owed, life.order.refunded) == (Money(1000, "USD"), Money(0, "USD"))
    assert reconciliation.refunds[0].amount == Money(1000, "USD")
    cancelled = next(entry for entry in life.entries if entry.kind == "cancelled")
    assert dict(cancelled.data) == {"reason": "MISMATCH", "differs": ["currency"]}


def test_a_mismatch_names_every_field_that_differs() -> None:
    life = placed().at(1)
    life.hears(payment(PAID, total=900, id="q" * 32, store_id=None, channel_type="TEST"))
    cancelled = next(entry for entry in life.entries if entry.kind == "cancelled")
    assert cancelled.data["differs"] == ["id", "store", "channel", "amount"]


def test_our_refund_stays_owed_while_the_bank_is_thinking() -> None:
    life = late_money().at(17)
    thinking = payment(PAID, at=16, updated=17, cancellations=(ours("r2", CancellationStatus.REQUESTED),))
    assert not life.hears(thinking).entries
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 1000)
    assert life.order.check_at is not None


@pytest.mark.parametrize("word", [CancellationStatus.UNKNOWN, CancellationStatus.REQUESTED])
def test_a_cancellation_that_has_not_ended_ends_no_refund(word: CancellationStatus) -> None:
    life = late_money().at(17)
    life.hears(payment(PAID, at=17, cancellations=(ours("r2", word),)))
    assert life.rows() == {"r2": ("REQUESTED", 1000)}


def test_a_failed_refund_of_money_we_must_not_keep_is_asked_for_again_under_a_new_id() -> None:
    life = late_money().at(17)
    failed = payment(PAID, at=16, updated=17, cancellations=(ours("r2", CancellationStatus.FAILED),))
    reconciliation = life.hears(failed)
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 1000)
    assert life.rows() == {"r2": ("FAILED", 1000), "r3": ("REQUESTED", 1000)}
    assert [entry.kind.value for entry in reconciliation.entries] == ["refund_failed", "refund_requested", "attention"]
    assert life.attention() == "a refund failed; it is asked for again"
    assert not life.hears(failed).entries
    life.at(18).hears(payment(ALL_BACK, at=18, cancellations=(ours("r3", CancellationStatus.SUCCEEDED),)))
    assert life.standing() == ("CANCELLED", "EXPIRED", 1000, 0)
    assert life.attention() is None


def test_a_cancellation_only_our_own_call_told_of_counts_like_one_in_the_record() -> None:
    life = late_money().at(17)
    told = ours("r2", CancellationStatus.FAILED)
    life.hears(payment(PAID, at=16).including(told))
    assert life.rows() == {"r2": ("FAILED", 1000), "r3": ("REQUESTED", 1000)}
    listed = payment(PAID, cancellations=(told,))
    assert listed.including(told) is listed


@pytest.mark.parametrize("newest_first", [False, True])
def test_one_success_among_several_cancellations_of_a_refund_is_what_counts(*, newest_first: bool) -> None:
    life = completed().at(2)
    life.asks_back(300)
    twice = (ours("r2", CancellationStatus.SUCCEEDED, 300), ours("r2", CancellationStatus.FAILED, 300))
    life.at(3).hears(payment(PARTLY, at=3, cancelled=300, cancellations=twice[:: -1 if newest_first else 1]))
    assert life.rows() == {"r2": ("SUCCEEDED", 300)}


def test_a_refund_that_somebody_else_made_impossible_fails_and_nothing_is_owed() -> None:
    life = late_money().at(17)
    by_console = Cancellation(id="c", status=CancellationStatus.SUCCEEDED, amount=krw(1000), reason="console")
    life.hears(payment(ALL_BACK, at=17, cancellations=(by_console,)))
    assert life.standing() == ("CANCELLED", "EXPIRED", 1000, 0)
    assert life.rows() == {"r2": ("FAILED", 1000)}
    assert life.refunds["r2"].failure == "less than this is left at the gateway"
    assert (life.check_at(), life.attention()) == (None, None)


def test_a_refund_that_somebody_else_made_too_large_is_asked_for_again_as_far_as_money_is_left() -> None:
    life = late_money().at(17)
    life.hears(payment(PARTLY, at=17, cancelled=400))
    assert life.standing() == ("CANCELLED", "EXPIRED", 400, 600)
    assert life.rows() == {"r2": ("FAILED", 1000), "r3": ("REQUESTED", 600)}


# --- money back, decided by the merchant -----------------------------------------------------------------------


def test_a_merchants_refund_is_owed_until_the_gateways_record_shows_it() -> None:
    life = completed().at(2)
    (refund,) = life.asks_back(300).refunds
    assert (refund.amount, refund.requested_by, refund.status) == (krw(300), "merchant", RefundStatus.REQUESTED)
    assert (refund.requested_at, refund.ended_at, refund.failure) == (life.now, None, None)
    assert life.standing() == ("COMPLETED", None, 0, 300)
    assert life.order.check_at == life.now
    life.at(3).hears(
        payment(PARTLY, at=3, cancelled=300, cancellations=(ours("r2", CancellationStatus.SUCCEEDED, 300),))
    )
    assert life.standing() == ("COMPLETED", None, 300, 0)
    assert life.kinds[-3:] == ["refund_requested", "payment_observed", "refund_succeeded"]
    assert life.order.check_at is None


def test_a_merchants_refund_in_full_ends_in_a_cancelled_order() -> None:
    life = completed().at(2)
    life.asks_back(None)
    assert life.standing() == ("COMPLETED", None, 0, 1000)
    life.at(3).hears(payment(ALL_BACK, at=3, cancellations=(ours("r2", CancellationStatus.SUCCEEDED),)))
    assert life.standing() == ("CANCELLED", "REFUNDED", 1000, 0)
    assert life.kinds[-3:] == ["payment_observed", "refund_succeeded", "cancelled"]


def test_a_merchants_refund_that_fails_is_not_asked_for_again() -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.at(3).hears(payment(PAID, at=1, updated=3, cancellations=(ours("r2", CancellationStatus.FAILED, 300),)))
    assert life.standing() == ("COMPLETED", None, 0, 0)
    assert life.rows() == {"r2": ("FAILED", 300)}
    assert life.refunds["r2"].ended_at == life.now
    assert life.refunds["r2"].failure == "the gateway could not carry it out"
    assert dict(life.entries[-2].data) == {
        "refund": "r2",
        "amount": 300,
        "currency": "KRW",
        "reason": "the buyer asked",
        "failure": "the gateway could not carry it out",
    }
    assert (life.asks(), life.attention()) == (
        "refund_refused",
        "a refund that was asked for failed; ask again if it is still wanted",
    )
    assert life.order.check_at is None


def test_a_failed_refund_asks_for_a_person_though_another_succeeded_in_the_same_record() -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.asks_back(200)
    ends = (ours("r2", CancellationStatus.FAILED, 300), ours("r3", CancellationStatus.SUCCEEDED, 200))
    life.at(4).hears(payment(PARTLY, at=4, cancelled=200, cancellations=ends))
    assert life.rows() == {"r2": ("FAILED", 300), "r3": ("SUCCEEDED", 200)}
    assert life.attention() == "a refund that was asked for failed; ask again if it is still wanted"


def test_a_failed_refund_of_late_money_asks_for_a_person_though_another_succeeded_in_the_same_record() -> None:
    life = late_money()
    life.order = replace(life.order, owed=krw(500))  # as if the 1000 had been asked back in two parts
    life.refunds = {
        name: replace(life.refunds["r2"], id=RefundId(name), amount=krw(sum_))
        for name, sum_ in (("first", 300), ("second", 200))
    }
    ends = (ours("first", CancellationStatus.FAILED, 300), ours("second", CancellationStatus.SUCCEEDED, 200))
    life.at(17).hears(payment(PARTLY, at=17, cancelled=200, cancellations=ends))
    assert life.rows() == {"first": ("FAILED", 300), "second": ("SUCCEEDED", 200), "r3": ("REQUESTED", 800)}
    assert life.attention() == "a refund failed; it is asked for again"


def test_a_failed_refund_asks_for_a_person_though_another_is_on_its_way() -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.asks_back(200)
    life.at(3).hears(payment(PAID, at=1, updated=3, cancellations=(ours("r2", CancellationStatus.FAILED, 300),)))
    assert life.rows() == {"r2": ("FAILED", 300), "r3": ("REQUESTED", 200)}
    assert life.standing() == ("COMPLETED", None, 0, 200)
    assert life.asks() == "refund_refused"


def test_several_refunds_are_bounded_by_what_is_left_when_the_console_was_faster() -> None:
    life = completed().at(2)
    life.asks_back(500)
    life.asks_back(400)
    by_console = Cancellation(id="c", status=CancellationStatus.SUCCEEDED, amount=krw(400), reason="console")
    working = ours("r3", CancellationStatus.REQUESTED, 400)
    life.at(3).hears(payment(PARTLY, at=3, cancelled=400, cancellations=(by_console, working)))
    assert life.rows() == {"r2": ("FAILED", 500), "r3": ("REQUESTED", 400)}
    assert life.standing() == ("COMPLETED", None, 400, 400)


@pytest.mark.parametrize("amount", [0, 601])
def test_more_than_is_left_or_nothing_cannot_be_asked_back(amount: int) -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.at(3).hears(payment(PARTLY, at=3, cancelled=100))
    assert life.order.refundable == krw(600)
    with pytest.raises(RefundNotPossibleError, match=f"^{amount} KRW was asked back and 600 KRW can be refunded$"):
        life.asks_back(amount)
    life.asks_back(600)
    assert life.standing() == ("COMPLETED", None, 100, 900)
    with pytest.raises(RefundNotPossibleError):
        life.asks_back(None)


def test_money_cannot_be_asked_back_in_another_currency() -> None:
    with pytest.raises(RefundNotPossibleError, match=r"^1 USD was asked back and 1000 KRW can be refunded$"):
        request_refund(
            completed().order, Money(1, "USD"), refund_id=RefundId("r9"), reason="", requested_by="merchant", now=T0
        )


def test_an_order_that_is_not_decided_yet_cannot_be_refunded_by_the_merchant() -> None:
    life = placed()
    life.order = replace(life.order, captured=krw(1000))
    assert life.order.refundable == krw(1000)
    with pytest.raises(RefundNotPossibleError, match=r"^the order is PENDING; only one that was paid can be refunded$"):
        life.asks_back(1)


@pytest.mark.parametrize("life", [expired(), late_money()])
def test_of_a_cancelled_order_only_what_is_neither_back_nor_on_its_way_can_be_asked_back(life: Life) -> None:
    with pytest.raises(RefundNotPossibleError, match=r"^1 KRW was asked back and 0 KRW can be refunded$"):
        life.asks_back(1)
    life.order = replace(life.order, captured=krw(1000), owed=krw(0))  # after a refund that was refused for good
    life.asks_back(1000)
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 1000)


# --- asking for a person ---------------------------------------------------------------------------------------


def test_a_status_we_do_not_know_asks_for_a_person_until_it_is_gone() -> None:
    life = completed().at(2)
    life.hears(payment(PaymentStatus.UNKNOWN, at=2, said="ON_THE_MOON"))
    assert life.standing() == ("COMPLETED", None, 0, 0)
    assert "'ON_THE_MOON'" in (life.attention() or "")
    assert life.order.check_at is not None
    assert not life.at(4).hears(payment(PaymentStatus.UNKNOWN, at=2, said="ON_THE_MOON")).entries
    life.at(5).hears(payment(PAID, at=5))
    assert (life.attention(), life.check_at()) == (None, None)


def test_a_channel_of_a_type_we_do_not_know_neither_completes_nor_refunds_and_asks_for_a_person() -> None:
    life = placed().at(1)
    life.hears(payment(PAID, channel_type="SANDBOX"))
    assert life.standing() == ("PENDING", None, 0, 0)
    assert life.attention() == "paid over a channel of type 'SANDBOX', which this version does not know"
    assert life.order.check_at is not None
    life.at(60).hears(payment(PAID, at=2))
    assert life.standing() == ("COMPLETED", None, 0, 0)
    assert (life.attention(), life.check_at()) == (None, None)


def test_a_long_word_for_a_channel_is_cut() -> None:
    life = placed().at(1)
    life.hears(payment(PAID, channel_type="X" * 65))
    assert life.attention() == f"paid over a channel of type '{'X' * 64}', which this version does not know"


def test_another_sum_goes_back_whatever_the_type_of_its_channel() -> None:
    life = placed().at(1)
    life.hears(payment(PAID, total=900, channel_type="SANDBOX"))
    assert life.standing() == ("CANCELLED", "MISMATCH", 0, 900)


def test_a_payment_that_vanished_asks_for_a_person_and_moves_nothing() -> None:
    life = completed().at(2)
    life.hears(None)
    assert life.standing() == ("COMPLETED", None, 0, 0)
    assert life.attention() == "completed, but the gateway says that it knows no such payment"


def test_a_payment_that_turns_out_to_be_another_after_all_asks_for_a_person_and_names_the_fields() -> None:
    life = completed().at(2)
    life.hears(payment(PAID, at=2, store_id="theirs", channel_type="TEST"))
    assert life.standing() == ("COMPLETED", None, 0, 0)
    assert life.attention() == "completed, but the payment differs in store, channel"


def test_checks_that_keep_failing_ask_for_a_person_once_and_a_check_that_works_takes_it_back() -> None:
    life = placed()
    for _ in range(5):
        life.fails_to_check()
    assert life.attention() is None
    life.at(9).fails_to_check("time-out")
    assert life.attention() == "checking has kept failing: time-out"
    asked = {"kind": "checks_fail", "why": life.attention()}
    assert (life.entries[-1].at, dict(life.entries[-1].data)) == (life.now, asked)
    life.fails_to_check("refused")
    assert life.kinds == ["placed", "attention"]
    life.hears(None)
    assert (life.attention(), life.failures()) == (None, 0)


def test_a_refund_the_gateway_keeps_refusing_asks_for_a_person_though_reading_works() -> None:
    life = late_money()
    delays = []
    for _ in range(9):
        life.hears(payment(PAID, at=16))
        life.fails_to_check("the gateway refused: MAX_CANCEL_COUNT_REACHED")
        assert life.order.check_at is not None
        delays.append(life.order.check_at - life.now)
        life.now = life.order.check_at
    assert delays[-1] > minutes(4)
    assert delays == sorted(delays)
    assert life.attention() == "checking has kept failing: the gateway refused: MAX_CANCEL_COUNT_REACHED"
    assert life.kinds.count("attention") == 1
    life.hears(payment(ALL_BACK, at=30, cancellations=(ours("r2", CancellationStatus.SUCCEEDED),)))
    assert (life.attention(), life.failures(), life.check_at()) == (None, 0, None)


def test_an_account_that_cannot_be_closed_asks_for_a_person_though_reading_works() -> None:
    life = placed().at(OVER)
    for _ in range(6):
        assert life.hears(payment(PaymentStatus.VIRTUAL_ACCOUNT_ISSUED)).close_account
        life.fails_to_check("refused")
    assert life.attention() == "checking has kept failing: refused"
    life.hears(payment(PaymentStatus.VIRTUAL_ACCOUNT_ISSUED))
    assert life.attention() is not None
    life.hears(payment(PaymentStatus.FAILED, at=16))
    assert (life.attention(), life.failures()) == (None, 0)


def test_a_failed_check_changes_nothing_but_its_own_bookkeeping() -> None:
    life = late_money()
    before = life.order
    reconciliation = life.fails_to_check()
    assert reconciliation == Reconciliation(order=replace(before, failures=1, check_at=life.order.check_at))


# --- what is seen or announced does not expire unasked, and not for ever ----------------------------------------

PENDING_, ISSUED = PaymentStatus.PAY_PENDING, PaymentStatus.VIRTUAL_ACCOUNT_ISSUED
READY, FAILED = PaymentStatus.READY, PaymentStatus.FAILED


@pytest.mark.parametrize("said", [None, payment(READY, at=1), payment(FAILED, at=1)])
def test_what_a_signed_webhook_announced_is_waited_for_half_an_hour_and_not_longer(said: Payment | None) -> None:
    life = placed().at(14)
    life.hears(said, announces_more=True)
    life.at(20).hears(said, announces_more=True)  # told again: the half hour counts from the first time
    life.at(44.4).hears(said)
    assert life.standing() == ("PENDING", None, 0, 0)
    life.at(44.5).hears(said)
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)


def test_the_buyer_cannot_give_up_what_was_announced() -> None:
    life = placed().at(1)
    life.hears(payment(READY), announces_more=True, give_up=True)
    assert life.standing() == ("PENDING", None, 0, 0)
    life.hears(payment(PAID, at=2), announces_more=False)
    assert (life.standing(), life.order.announced_at) == (("COMPLETED", None, 0, 0), None)


def test_an_announcement_that_the_record_shows_is_over() -> None:
    life = placed().at(14)
    life.hears(payment(READY), announces_more=True)
    assert life.announced_at() == life.now
    life.at(15).hears(payment(ISSUED, at=15), announces_more=False)
    assert life.announced_at() is None
    life.at(OVER).hears(payment(ISSUED, at=15))
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)


def test_what_is_announced_beside_a_record_that_is_ignored_is_remembered() -> None:
    life = placed().at(2)
    life.hears(payment(PENDING_, at=2))
    reconciliation = life.at(3).hears(payment(READY, at=1), announces_more=True)
    assert (reconciliation.is_stale, reconciliation.entries) == (True, ())
    assert life.announced_at() == life.now


def test_an_order_is_checked_exactly_when_an_announcement_is_no_longer_waited_for() -> None:
    life = placed().at(14)
    life.hears(None, announces_more=True, on_schedule=True)
    while life.order.status is OrderStatus.PENDING:
        assert life.order.check_at is not None
        life.now = life.order.check_at
        life.hears(None, on_schedule=True)
    assert life.now == T0 + minutes(44.5)


@pytest.mark.parametrize(
    ("seen", "policy", "until"),
    [
        (payment(PENDING_), Policy(), 15 + 24 * 60),
        (payment(PENDING_), Policy(pending_most=minutes(30)), 45),
        (payment(ISSUED, deposit_due=T0 + minutes(40)), Policy(deposit_within=minutes(60)), 40),
        (payment(ISSUED), Policy(deposit_within=minutes(60)), 60),
        (payment(ISSUED, deposit_due=T0 + minutes(40)), Policy(), 15),
        (payment(READY), Policy(deposit_within=minutes(60)), 15),
        (payment(FAILED), Policy(deposit_within=minutes(60)), 15),
    ],
)
def test_a_payment_that_was_seen_does_not_vanish_by_one_answer_that_knows_nothing_of_it(
    seen: Payment, policy: Policy, until: float
) -> None:
    life = placed(policy=policy).at(1)
    life.hears(seen)
    life.at(until + 0.49).hears(None)
    assert life.standing() == ("PENDING", None, 0, 0)
    life.at(until + 0.5).hears(None)
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)


def test_the_buyer_cannot_give_up_a_payment_that_was_under_way_and_vanished() -> None:
    life = placed().at(1)
    life.hears(payment(PENDING_))
    life.hears(None, give_up=True)
    assert life.standing() == ("PENDING", None, 0, 0)


def test_a_payment_that_is_under_way_past_its_time_asks_a_person_and_ends_after_a_day() -> None:
    life = placed().at(15.4)
    life.hears(payment(PENDING_))
    assert life.asks() is None
    life.at(OVER).hears(payment(PENDING_))
    assert (life.asks(), life.attention()) == (
        "pending_long",
        "its time is up, and the gateway still says that the payment is under way",
    )
    life.at(60 * 24 + 14.9).hears(payment(PENDING_))
    assert (life.standing(), life.kinds.count("attention")) == (("PENDING", None, 0, 0), 1)
    assert life.at(60 * 24 + 15).hears(payment(PENDING_)).restock
    assert (life.standing(), life.asks()) == (("CANCELLED", "EXPIRED", 0, 0), None)


@pytest.mark.parametrize(
    ("news", "standing"),
    [(payment(PAID, at=20), ("COMPLETED", None, 0, 0)), (payment(FAILED, at=20), ("CANCELLED", "EXPIRED", 0, 0))],
)
def test_a_payment_under_way_that_comes_to_its_end_asks_nobody_any_more(
    news: Payment, standing: tuple[str, str | None, int, int]
) -> None:
    life = placed().at(16)
    life.hears(payment(PENDING_))
    assert life.asks() == "pending_long"
    life.at(20).hears(news)
    assert (life.standing(), life.asks()) == (standing, None)


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        ({"total": 1}, "amount"),
        ({"channel_type": "TEST"}, "channel"),
        ({"channel_type": None}, "channel"),
        ({"store_id": "theirs"}, "store"),
    ],
)
def test_an_account_for_something_else_than_what_was_ordered_is_closed_at_once(
    other: dict[str, object], differs: str
) -> None:
    life = placed(policy=Policy(deposit_within=minutes(60))).at(1)
    reconciliation = life.hears(payment(ISSUED, deposit_due=T0 + minutes(60), **other))  # type: ignore[arg-type]
    assert life.standing() == ("CANCELLED", "MISMATCH", 0, 0)
    assert (reconciliation.close_account, reconciliation.restock, reconciliation.refunds) == (True, True, ())
    assert life.entries[-1].data["differs"] == [differs]
    life.at(2).hears(payment(PAID, at=2, **other))  # type: ignore[arg-type]
    assert life.order.owed == life.order.captured == krw(int(str(other.get("total", 1000))))


def test_a_payment_under_way_for_something_else_has_the_buyers_time_and_no_more() -> None:
    life = placed().at(15.4)
    life.hears(payment(PENDING_, total=1))
    assert life.standing() == ("PENDING", None, 0, 0)
    life.at(OVER).hears(payment(PENDING_, total=1))
    assert life.standing() == ("CANCELLED", "MISMATCH", 0, 0)


@pytest.mark.parametrize(("status", "until"), [(ISSUED, 60.5), (PENDING_, 24 * 60 + 15)])
def test_over_a_channel_nobody_can_judge_an_unpaid_order_asks_a_person_and_ends_in_its_time_all_the_same(
    status: PaymentStatus, until: float
) -> None:
    life = placed(policy=Policy(deposit_within=minutes(60))).at(until - 0.1)
    life.hears(payment(status, channel_type="SANDBOX"))
    assert (life.standing(), life.asks()) == (("PENDING", None, 0, 0), "unknown_channel")
    life.at(until).hears(payment(status, channel_type="SANDBOX"))
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)


# --- a record that knows less, at a check that was due ----------------------------------------------------------


def test_a_record_that_is_ignored_at_a_due_check_counts_and_after_a_few_a_person_is_asked() -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.hears(payment(PARTLY, at=2, cancelled=100))
    for times in range(1, 7):
        assert life.asks() is None
        reconciliation = life.hears(payment(PAID, at=1), on_schedule=True)
        assert (reconciliation.is_stale, life.failures()) == (True, times)
        assert life.order.check_at is not None
        assert life.order.check_at > life.now
    assert (life.asks(), life.attention()) == (
        "checks_fail",
        "checking has kept failing: the gateway's record knows less than it did before",
    )
    life.hears(
        payment(ALL_BACK, at=3, cancellations=(ours("r2", CancellationStatus.SUCCEEDED, 300),)), on_schedule=True
    )
    assert (life.asks(), life.failures()) == (None, 0)


def test_an_order_at_rest_is_not_woken_by_a_record_that_knows_less() -> None:
    life = completed().at(2)
    before = life.order
    assert life.hears(payment(PAID, at=0.5), on_schedule=True) == Reconciliation(order=before, is_stale=True)


@pytest.mark.parametrize(
    ("seen", "until"),
    [(PENDING_, 24 * 60 + 15.5), (ISSUED, 60.5), (FAILED, OVER)],
)
def test_no_unpaid_order_waits_for_ever_for_a_record_that_never_catches_up(seen: PaymentStatus, until: float) -> None:
    life = placed(policy=Policy(deposit_within=minutes(60))).at(1)
    life.hears(payment(seen))
    lagging = payment(READY, at=1)
    life.at(until - 0.01).hears(lagging, on_schedule=True)
    assert life.standing() == ("PENDING", None, 0, 0)
    life.at(until).hears(lagging)  # somebody asked in between, which ends nothing
    assert life.standing() == ("PENDING", None, 0, 0)
    assert life.hears(lagging, on_schedule=True).restock
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)
    checks = 0
    while (due := life.check_at()) is not None and checks < 10:
        life.now = due
        life.hears(lagging, on_schedule=True)
        checks += 1
    assert (life.failures(), life.asks()) == (0, None)
    assert (life.check_at() is None) is (seen is not ISSUED), "an account that nobody saw closed may take money still"


# --- what a person has to see to --------------------------------------------------------------------------------


def came_apart() -> Life:
    """COMPLETED, but a part of the money went back before anybody saw it."""
    life = placed().at(1)
    life.hears(payment(PARTLY, cancelled=300))
    return life


def test_a_part_that_went_back_first_asks_a_person_before_goods_go_out() -> None:
    life = came_apart()
    assert life.standing() == ("COMPLETED", None, 300, 0)
    assert (life.asks(), life.attention()) == (
        "part_gone_first",
        "300 KRW went back before the order was completed: see to it before goods go out",
    )
    assert life.order.attention is not None
    assert life.order.attention.since == life.now


def test_what_only_a_person_ends_stays_until_it_is_answered() -> None:
    life = came_apart()
    for said in (payment(PARTLY, cancelled=300), payment(PARTLY, at=2, cancelled=300), None, payment(READY, at=3)):
        life.at(4).hears(said)
        life.fails_to_check()
        assert life.asks() == "part_gone_first"
    life.at(5).is_answered("the buyer keeps the rest")
    assert (life.asks(), life.order.check_at) == (None, life.now)
    assert life.kinds[-1] == "attention_ended"
    answered = {"kind": "part_gone_first", "by": "operator:kim", "note": "the buyer keeps the rest"}
    assert dict(life.entries[-1].data) == answered
    life.hears(payment(PARTLY, at=2, cancelled=300), on_schedule=True)
    assert (life.asks(), life.check_at()) == (None, None)


def test_what_only_a_person_ends_is_not_lost_behind_another_such_question() -> None:
    life = came_apart().at(2)
    by_network = Cancellation(
        id="c", status=CancellationStatus.SUCCEEDED, amount=krw(700), reason="fraud", charged_back=True
    )
    first = life.attention()
    life.hears(payment(ALL_BACK, at=2, cancellations=(by_network,)))
    assert (life.asks(), life.attention()) == ("part_gone_first", f"{first}; the card network took the money back")
    assert life.entries[-1].data == {"kind": "charged_back", "why": "the card network took the money back"}
    assert not life.hears(payment(ALL_BACK, at=2, cancellations=(by_network,))).entries


def test_an_order_that_asks_nothing_cannot_be_answered() -> None:
    with pytest.raises(NothingToAnswerError):
        completed().is_answered()


def test_what_is_still_wrong_is_asked_again_after_it_was_answered() -> None:
    life = completed().at(2)
    life.hears(payment(PAID, at=2, store_id="theirs"))
    life.is_answered()
    assert life.asks() is None
    life.hears(payment(PAID, at=2, store_id="theirs"), on_schedule=True)
    assert life.asks() == "different_payment"


@pytest.mark.parametrize(
    "strange",
    [None, payment(READY, at=3), payment(PAID, at=3, total=900), payment(PAID, at=3, store_id="theirs")],
)
def test_a_flag_that_one_strange_answer_raised_is_taken_back_by_the_next_and_asked_after_until_then(
    strange: Payment | None,
) -> None:
    life = completed().at(3)
    life.hears(strange)
    assert life.asks() in ("contradiction", "different_payment")
    assert life.order.check_at is not None
    assert minutes(0.9) <= life.order.check_at - life.now <= minutes(1.1)
    life.now = life.order.check_at
    life.hears(payment(PAID, at=4), on_schedule=True)
    assert (life.asks(), life.check_at()) == (None, None)


@pytest.mark.parametrize(
    "strange", [payment(READY, at=3), payment(PAID, at=3, total=900), payment(PaymentStatus.UNKNOWN, at=3, said="NEW")]
)
def test_a_strange_answer_of_another_clock_does_not_make_the_true_record_an_old_one(strange: Payment) -> None:
    life = completed().at(3)
    life.hears(strange)
    assert life.asks() is not None
    life.at(4).hears(payment(PAID, at=1), on_schedule=True)
    assert (life.asks(), life.check_at()) == (None, None)


def test_a_strange_answer_that_stays_is_checked_ever_less_often_and_never_forgotten() -> None:
    life = completed().at(3)
    life.hears(None)
    for _ in range(20):
        assert life.order.check_at is not None
        life.now = life.order.check_at
        life.hears(None, on_schedule=True)
    assert life.order.check_at is not None
    assert minutes(54) <= life.order.check_at - life.now <= minutes(66)
    assert (life.asks(), life.kinds.count("attention")) == ("contradiction", 1)


# --- charged back, disputed, come back --------------------------------------------------------------------------


def charged_back(status: PaymentStatus, amount: int, at: float) -> Payment:
    by_network = Cancellation(
        id="c", status=CancellationStatus.SUCCEEDED, amount=krw(amount), reason="fraud", charged_back=True
    )
    return payment(status, at=at, cancelled=amount, cancellations=(by_network,))


def test_a_chargeback_cancels_the_order_asks_a_person_and_puts_nothing_back_on_sale() -> None:
    life = completed().at(2)
    reconciliation = life.hears(charged_back(ALL_BACK, 1000, 2))
    assert life.standing() == ("CANCELLED", "CHARGED_BACK", 1000, 0)
    assert (reconciliation.restock, life.check_at()) == (False, None)
    assert (life.asks(), life.attention()) == ("charged_back", "the card network took the money back")
    assert not life.hears(charged_back(ALL_BACK, 1000, 2)).entries


def test_a_chargeback_of_a_part_asks_a_person_once_for_each_part() -> None:
    life = completed().at(2)
    life.hears(charged_back(PARTLY, 300, 2))
    assert (life.standing(), life.asks()) == (("COMPLETED", None, 300, 0), "charged_back")
    life.is_answered()
    life.at(3).hears(charged_back(PARTLY, 300, 2), on_schedule=True)
    assert (life.asks(), life.check_at()) == (None, None)
    life.at(4).hears(charged_back(PARTLY, 500, 4))
    assert (life.standing(), life.asks()) == (("COMPLETED", None, 500, 0), "charged_back")


@pytest.mark.parametrize("restock", [True, False])
def test_goods_of_an_order_cancelled_in_the_console_go_back_on_sale_as_the_shop_says(*, restock: bool) -> None:
    life = placed(policy=Policy(restock_cancelled=restock)).at(1)
    life.hears(payment(PAID))
    assert life.at(2).hears(payment(ALL_BACK, at=2)).restock is restock
    assert life.standing() == ("CANCELLED", "REFUNDED", 1000, 0)


@pytest.mark.parametrize("restock", [True, False])
def test_goods_that_were_never_handed_out_always_go_back_on_sale(*, restock: bool) -> None:
    for said in (payment(ALL_BACK), payment(PAID, total=900), charged_back(ALL_BACK, 1000, 1)):
        assert placed(policy=Policy(restock_cancelled=restock)).at(1).hears(said).restock
    life = placed(policy=Policy(restock_cancelled=restock)).at(OVER)
    assert life.hears(None).restock


def test_a_dispute_is_told_and_flagged_while_it_lasts_and_its_end_is_told() -> None:
    life = completed().at(2)
    life.hears(payment(PAID, at=1, updated=2, disputed=True))
    assert (life.kinds[-2:], life.asks()) == (["payment_disputed", "attention"], "disputed")
    assert life.attention() == "the buyer denies the payment: answer at the payment provider"
    assert not life.at(3).hears(payment(PAID, at=1, updated=2, disputed=True)).entries
    assert not life.hears(payment(PAID, at=1, updated=3)).entries, "a record that does not say ends none"
    assert life.asks() == "disputed"
    life.at(4).hears(payment(PAID, at=1, updated=4, disputed=False))
    assert (life.kinds[-1], life.asks()) == ("dispute_ended", None)
    assert life.standing() == ("COMPLETED", None, 0, 0)


def test_a_payment_that_is_disputed_when_it_is_first_seen_is_flagged_at_once() -> None:
    life = placed().at(1)
    life.hears(payment(PAID, disputed=True))
    assert (life.standing(), life.asks()) == (("COMPLETED", None, 0, 0), "disputed")
    assert not life.hears(payment(PAID, disputed=True)).entries


@pytest.mark.parametrize("said", [payment(READY, at=3), payment(PaymentStatus.UNKNOWN, at=3, said="NEW")])
def test_a_record_that_shows_no_money_ends_no_dispute(said: Payment) -> None:
    life = completed().at(2)
    life.hears(payment(PAID, at=2, disputed=True))
    life.at(3).hears(said)
    assert "dispute_ended" not in life.kinds
    life.at(4).hears(payment(PAID, at=4, disputed=False))
    assert life.kinds.count("dispute_ended") == 1


def test_a_dispute_that_was_lost_is_a_chargeback() -> None:
    life = completed().at(2)
    life.hears(payment(PAID, at=2, disputed=True))
    life.at(3).hears(charged_back(ALL_BACK, 1000, 3))
    assert (life.standing(), life.asks()) == (("CANCELLED", "CHARGED_BACK", 1000, 0), "charged_back")
    assert life.kinds[-3:] == ["payment_observed", "cancelled", "attention"]


@pytest.mark.parametrize(
    ("gone", "back", "standing", "told"),
    [
        (payment(ALL_BACK, at=2), payment(PAID, at=3), ("CANCELLED", "REFUNDED", 1000, 0), "0 KRW"),
        (
            payment(ALL_BACK, at=2),
            payment(PARTLY, at=3, cancelled=400),
            ("CANCELLED", "REFUNDED", 1000, 0),
            "400 KRW",
        ),
        (payment(PARTLY, at=2, cancelled=400), payment(PAID, at=3), ("COMPLETED", None, 400, 0), "0 KRW"),
    ],
)
def test_money_that_came_back_asks_a_person_and_is_not_sent_again_by_itself(
    gone: Payment, back: Payment, standing: tuple[str, str | None, int, int], told: str
) -> None:
    life = completed().at(2)
    life.hears(gone)
    reconciliation = life.at(3).hears(back)
    assert (life.standing(), reconciliation.refunds) == (standing, ())
    assert (life.asks(), life.attention()) == (
        "money_came_back",
        f"the gateway says that {told} went back, and said {standing[2]} KRW before",
    )
    assert not life.at(4).hears(back, on_schedule=True).entries
    assert (life.asks(), life.rows()) == ("money_came_back", {})


def test_a_record_from_before_money_went_back_is_no_money_that_came_back() -> None:
    life = completed().at(2)
    life.hears(payment(ALL_BACK, at=2))
    assert life.at(3).hears(payment(PAID, at=1)).is_stale
    life.hears(payment(PAID, at=2))
    assert life.asks() is None


# --- refunds that do not go as asked -----------------------------------------------------------------------------


def test_a_refund_that_hangs_beyond_what_was_promised_asks_a_person_until_it_is_done() -> None:
    life = late_money()
    thinking = payment(PAID, at=16, cancellations=(ours("r2", CancellationStatus.REQUESTED),))
    life.at(16 + 24 * 60 - 0.1).hears(thinking, on_schedule=True)
    assert life.asks() is None
    life.at(16 + 24 * 60).hears(thinking, on_schedule=True)
    assert (life.asks(), life.attention()) == (
        "refund_late",
        "1000 KRW is owed back for longer than promised: see the payment provider's console",
    )
    assert life.order.check_at is not None
    assert not life.at(16 + 25 * 60).hears(thinking, on_schedule=True).entries
    life.at(16 + 26 * 60).hears(
        payment(ALL_BACK, at=16 + 26 * 60, cancellations=(ours("r2", CancellationStatus.SUCCEEDED),))
    )
    assert (life.asks(), life.rows()) == (None, {"r2": ("SUCCEEDED", 1000)})


def test_the_promise_is_the_shops() -> None:
    life = completed()
    life.policy = Policy(refund_promise=minutes(5))
    life.asks_back(300)
    life.at(5.9).hears(payment(PAID), on_schedule=True)
    assert life.asks() is None
    life.at(6).hears(payment(PAID), on_schedule=True)
    assert life.asks() == "refund_late"


def test_a_refund_that_was_late_and_is_done_says_nothing_of_another_that_is_not_late() -> None:
    life = completed()
    life.policy = Policy(refund_promise=minutes(5))
    life.asks_back(300)
    life.at(10).asks_back(200)
    done = (ours("r2", CancellationStatus.SUCCEEDED, 300),)
    life.hears(payment(PARTLY, at=10, cancelled=300, cancellations=done), on_schedule=True)
    assert life.rows() == {"r2": ("SUCCEEDED", 300), "r3": ("REQUESTED", 200)}
    assert life.asks() is None


@pytest.mark.parametrize(
    ("needs", "help_"),
    [
        (Need.ACCOUNT, "; name the buyer's account and ask again"),
        (Need.TAX_PART, "; divide it otherwise into taxed and untaxed and ask again"),
        (Need.NOTHING, "; give it back outside the gateway, and say so"),
    ],
)
def test_a_refund_refused_for_good_ends_frees_its_sum_and_says_what_is_needed(needs: Need, help_: str) -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.at(3).is_refused("r2", "WHY", needs)
    refund = life.refunds["r2"]
    assert (refund.status, refund.failure, refund.needs, refund.ended_at) == (
        RefundStatus.REFUSED,
        "WHY",
        needs,
        life.now,
    )
    assert (life.standing(), life.order.refundable) == (("COMPLETED", None, 0, 0), krw(1000))
    assert life.kinds[-2:] == ["refund_refused", "attention"]
    assert (life.asks(), life.attention()) == (
        "refund_refused",
        f"the gateway refuses a refund of 300 KRW: WHY{help_}",
    )
    life.hears(payment(PAID), on_schedule=True)
    assert (life.asks(), life.check_at()) == ("refund_refused", None)
    life.asks_back(300)
    assert (life.standing(), life.asks()) == (("COMPLETED", None, 0, 300), None)
    answered = {"kind": "refund_refused", "by": "merchant", "note": "asked back anew"}
    assert dict(life.entries[-1].data) == answered


def test_money_we_must_not_keep_is_not_asked_back_again_and_again_where_it_was_refused() -> None:
    life = late_money().at(17)
    life.is_refused("r2")
    for at in (18, 19):
        life.at(at).hears(payment(PAID, at=at), on_schedule=True)
        assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)
    assert (life.asks(), life.check_at()) == ("refund_refused", None)
    life.at(20).is_answered("it went back by hand")
    assert life.order.check_at == life.now
    life.hears(payment(PAID, at=19), on_schedule=True)
    assert (life.standing(), life.asks(), life.check_at()) == (("CANCELLED", "EXPIRED", 0, 0), None, None)
    life.asks_back(None)
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 1000)
    assert [status for status, _ in life.rows().values()] == ["REFUSED", "REQUESTED"]


def test_a_part_that_is_asked_back_anew_does_not_make_a_person_forget_the_rest_that_must_not_be_kept() -> None:
    life = late_money().at(17)
    life.is_refused("r2")
    life.asks_back(300)
    done = (ours("r3", CancellationStatus.SUCCEEDED, 300),)
    life.at(18).hears(payment(PARTLY, at=18, cancelled=300, cancellations=done), on_schedule=True)
    assert (life.standing(), life.asks(), life.check_at()) == (
        ("CANCELLED", "EXPIRED", 300, 0),
        "refund_refused",
        None,
    )
    life.asks_back(None)
    assert (life.standing(), life.asks()) == (("CANCELLED", "EXPIRED", 300, 700), None)


@pytest.mark.parametrize("ends", ["withdrawn", "failed"])
def test_money_that_must_not_be_kept_is_not_forgotten_where_the_refund_asked_for_by_hand_comes_to_nothing(
    ends: str,
) -> None:
    life = late_money().at(17)
    life.is_refused("r2")
    life.at(18).asks_back(None)
    assert life.asks() is None
    if ends == "withdrawn":
        life.withdraws("r3")
    else:
        failed = (ours("r3", CancellationStatus.FAILED),)
        life.at(19).hears(payment(PAID, at=16, updated=19, cancellations=failed), on_schedule=True)
    assert (life.standing(), life.asks()) == (("CANCELLED", "EXPIRED", 0, 0), "refund_refused")


def test_money_that_must_not_be_kept_is_asked_back_anew_once_a_refund_of_it_was_withdrawn() -> None:
    life = late_money().at(17)
    life.has_sent("r2")
    life.at(18).doubts("r2")
    life.at(19).withdraws("r2")
    assert life.check_at() == life.now
    life.hears(payment(PAID, at=16), on_schedule=True)
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 1000)


def test_a_refund_is_withdrawn_before_the_gateway_is_asked() -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.at(3).withdraws("r2")
    assert life.rows() == {"r2": ("WITHDRAWN", 300)}
    assert (life.standing(), life.kinds[-1]) == (("COMPLETED", None, 0, 0), "refund_withdrawn")
    assert (life.order.refundable, life.asks()) == (krw(1000), None)
    life.hears(payment(PAID), on_schedule=True)
    assert life.check_at() is None


def test_a_refund_that_the_gateway_was_asked_for_cannot_be_withdrawn() -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.has_sent("r2")
    with pytest.raises(RefundNotPossibleError, match="it may be done at any moment"):
        life.withdraws("r2")


@pytest.mark.parametrize("status", [status for status in RefundStatus if status is not RefundStatus.REQUESTED])
def test_a_refund_that_is_at_its_end_cannot_be_withdrawn(status: RefundStatus) -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.refunds["r2"] = replace(life.refunds["r2"], status=status)
    with pytest.raises(RefundNotPossibleError, match=f"^this refund is {status}: there is nothing to withdraw$"):
        life.withdraws("r2")


def test_a_refund_of_which_nobody_can_tell_whether_it_was_done_asks_a_person_who_may_withdraw_it() -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.has_sent("r2")
    life.at(3).doubts("r2")
    assert (life.asks(), life.attention()) == (
        "refund_unclear",
        "a refund of 300 KRW may have been carried out: a cancellation of that sum names nobody",
    )
    assert life.standing() == ("COMPLETED", None, 0, 300)
    assert not life.at(4).doubts("r2").entries
    life.at(5).withdraws("r2")
    assert (life.asks(), life.rows()) == (None, {"r2": ("WITHDRAWN", 300)})
    assert life.kinds[-2:] == ["refund_withdrawn", "attention_ended"]
    assert life.standing() == ("COMPLETED", None, 0, 0)


def test_of_two_refunds_in_doubt_both_are_asked_about_and_not_by_turns() -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.asks_back(400)
    for _ in range(3):
        life.doubts("r2")
        life.doubts("r3")
    assert life.kinds.count("attention") == 2
    assert "300 KRW" in (life.attention() or "")
    assert "400 KRW" in (life.attention() or "")


def test_a_refund_that_is_late_and_whose_checks_fail_asks_once_and_not_by_turns() -> None:
    life = late_money()
    for _ in range(100):
        life.hears(payment(PAID, at=16), on_schedule=True)
        life.fails_to_check("the gateway refused: SOMETHING_NEW")
        life.now += minutes(30)
    asked = [entry.data["kind"] for entry in life.entries if entry.kind == "attention"]
    assert asked == ["checks_fail", "refund_late"]


@pytest.mark.parametrize("said", [None, payment(READY, at=20), payment(PAID, at=16)])
def test_a_refund_is_late_whatever_the_record_says_or_is_silent_of(said: Payment | None) -> None:
    life = late_money().at(16 + 24 * 60)
    life.hears(said, on_schedule=True)
    assert life.asks() == "refund_late"


def test_a_refund_for_which_too_little_is_left_is_done_by_the_cancellation_of_its_sum_that_names_nobody() -> None:
    life = completed().at(2)
    life.asks_back(600)
    life.has_sent("r2")
    cut = Cancellation(id="c", status=CancellationStatus.SUCCEEDED, amount=krw(600), reason="[r", requested_at=life.now)
    life.at(3).hears(payment(PARTLY, at=3, cancelled=600, cancellations=(cut,)))
    assert life.rows() == {"r2": ("SUCCEEDED", 600)}
    assert life.asks() is None


# --- nothing is a number ------------------------------------------------------------------------------------------


def test_an_order_that_costs_nothing_is_completed_at_once_and_asks_the_gateway_nothing() -> None:
    reconciliation = place(
        order_id=OrderId("a" * 32),
        payment_id=PaymentId("p" * 32),
        token_hash="",
        lines=[OrderLine(product_id=ProductId("r"), name="R석", quantity=2, price=krw(0))],
        now=T0,
        expires_at=EXPIRES,
    )
    order = reconciliation.order
    assert (order.status, order.captured, order.check_at) == (OrderStatus.COMPLETED, krw(0), None)
    assert [entry.kind.value for entry in reconciliation.entries] == ["placed", "completed"]
    assert reconciliation.entries[-1].status is OrderStatus.COMPLETED
    life = Life(order=order)
    assert not life.at(20).hears(None).entries
    assert (life.standing(), life.asks(), life.check_at()) == (("COMPLETED", None, 0, 0), None, None)
    with pytest.raises(RefundNotPossibleError):
        life.asks_back(None)


def test_a_payment_of_nothing_in_another_currency_is_a_mismatch_of_which_nothing_goes_back() -> None:
    life = placed().at(1)
    reconciliation = life.hears(payment(PAID, total=0, currency="USD"))
    assert (life.order.status, life.order.reason) == (OrderStatus.CANCELLED, CancelReason.MISMATCH)
    assert (life.order.captured, life.order.refunded, life.order.owed) == (
        Money(0, "USD"),
        Money(0, "USD"),
        Money(0, "USD"),
    )
    assert (reconciliation.refunds, life.check_at()) == ((), None)
    assert not life.at(2).hears(payment(PAID, total=0, currency="USD")).entries
    life.at(3).hears(payment(PAID, at=3, total=5, currency="USD"))
    assert life.asks() == "contradiction"


# --- history ---------------------------------------------------------------------------------------------------


def test_the_history_is_numbered_from_one_without_gaps_and_each_entry_tells_the_state_after_it() -> None:
    life = completed().at(1)
    life.hears(payment(PARTLY, cancelled=100))
    life.at(2).asks_back(300)
    life.at(3).hears(
        payment(PARTLY, at=3, cancelled=400, cancellations=(ours("r3", CancellationStatus.SUCCEEDED, 300),))
    )
    life.at(4).hears(payment(ALL_BACK, at=4))
    told = [
        (entry.seq, entry.kind.value, entry.status.value, entry.refunded.minor, entry.at - T0) for entry in life.entries
    ]
    assert told == [
        (1, "placed", "PENDING", 0, minutes(0)),
        (2, "payment_observed", "PENDING", 0, minutes(1)),
        (3, "completed", "COMPLETED", 0, minutes(1)),
        (4, "payment_observed", "COMPLETED", 100, minutes(1)),
        (5, "refund_requested", "COMPLETED", 100, minutes(2)),
        (6, "payment_observed", "COMPLETED", 400, minutes(3)),
        (7, "refund_succeeded", "COMPLETED", 400, minutes(3)),
        (8, "payment_observed", "COMPLETED", 1000, minutes(4)),
        (9, "cancelled", "CANCELLED", 1000, minutes(4)),
    ]
    assert life.order.seq == 9
    assert life.entries[-1].reason is CancelReason.REFUNDED
    assert dict(life.entries[4].data) == {
        "refund": "r3",
        "amount": 300,
        "currency": "KRW",
        "reason": "the buyer asked",
    }


def test_what_the_gateway_says_is_written_down_with_the_sums() -> None:
    life = placed().at(1)
    life.hears(payment(PARTLY, cancelled=100))
    assert dict(life.entries[1].data) == {
        "status": "PARTIAL_CANCELLED",
        "total": 1000,
        "cancelled": 100,
        "currency": "KRW",
        "attempt": "attempt-1",
    }


def test_the_gateways_words_are_cut_short_before_they_are_written_down() -> None:
    life = placed().at(1)
    life.hears(payment(PaymentStatus.UNKNOWN, said="X" * 500, attempt="Y" * 500))
    observed, attention = life.entries[1:]
    assert observed.data["status"] == "X" * 64
    assert observed.data["attempt"] == "Y" * 64
    assert "X" * 65 not in str(attention.data["why"])


def test_stock_goes_back_on_sale_once_when_an_order_is_cancelled() -> None:
    life = placed().at(OVER)
    assert [life.hears(said).restock for said in (None, None, payment(PAID, at=16), payment(ALL_BACK, at=17))] == [
        True,
        False,
        False,
        False,
    ]
    assert life.order.status is OrderStatus.CANCELLED
