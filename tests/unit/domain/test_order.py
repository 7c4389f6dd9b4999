"""An order's life, told in sentences: what it hears from the gateway, and what it makes of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import InvalidMoneyError, RefundNotPossibleError
from domain.history import HistoryEntry
from domain.ids import OrderId, PaymentId, ProductId, RefundId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Order, OrderLine, hash_token
from domain.payment import Cancellation, CancellationStatus, Payment, PaymentStatus, Shop
from domain.reconciliation import check_failed, place, reconcile, request_refund
from domain.refund import Refund, RefundStatus
from domain.revision import Reconciliation

T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
EXPIRES = T0 + timedelta(minutes=15)
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
    entries: list[HistoryEntry] = field(default_factory=list)
    refunds: dict[str, Refund] = field(default_factory=dict)
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def at(self, after: float) -> Life:
        self.now = T0 + minutes(after)
        return self

    def hears(self, said: Payment | None, *, give_up: bool = False) -> Reconciliation:
        requested = [refund for refund in self.refunds.values() if refund.status is RefundStatus.REQUESTED]
        return self.keep(
            reconcile(
                self.order, said, shop=SHOP, now=self.now, refund_id=self.new_id(), refunds=requested, give_up=give_up
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
        return self.order.attention

    def failures(self) -> int:
        return self.order.failures

    def check_at(self) -> datetime | None:
        return self.order.check_at

    def rows(self) -> dict[str, tuple[str, int]]:
        return {refund.id: (refund.status.value, refund.amount.minor) for refund in self.refunds.values()}


def placed() -> Life:
    reconciliation = place(
        order_id=OrderId("a" * 32),
        payment_id=PaymentId("p" * 32),
        token_hash=hash_token("the buyer's token"),
        lines=[
            OrderLine(product_id=ProductId("vip"), name="VIP 1열 1번", quantity=1, price=krw(600)),
            OrderLine(product_id=ProductId("r"), name="R석", quantity=2, price=krw(200)),
        ],
        now=T0,
        expires_at=EXPIRES,
    )
    return Life(order=reconciliation.order, entries=list(reconciliation.entries))


def completed() -> Life:
    life = placed().at(1)
    life.hears(payment(PAID))
    return life


def expired() -> Life:
    life = placed().at(15)
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


def test_an_order_expires_at_its_time_and_not_a_moment_before() -> None:
    life = placed().at(15)
    life.now -= timedelta(microseconds=1)
    life.hears(None)
    assert life.standing() == ("PENDING", None, 0, 0)
    life.at(15).hears(None)
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)


def test_an_order_whose_money_may_be_moving_outlives_its_time() -> None:
    life = placed().at(60)
    life.hears(payment(PaymentStatus.PAY_PENDING))
    assert life.standing() == ("PENDING", None, 0, 0)
    life.at(61).hears(payment(PAID, at=61))
    assert life.standing() == ("COMPLETED", None, 0, 0)


def test_an_issued_account_keeps_the_order_alive_until_its_own_time_and_is_then_closed() -> None:
    life = placed().at(60)
    waiting = payment(PaymentStatus.VIRTUAL_ACCOUNT_ISSUED, deposit_due=T0 + minutes(120))
    assert not life.hears(waiting).close_account
    assert life.standing() == ("PENDING", None, 0, 0)
    assert life.at(120).hears(waiting).close_account
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)


def test_an_issued_account_without_a_time_of_its_own_has_the_orders() -> None:
    life = placed().at(15)
    assert life.hears(payment(PaymentStatus.VIRTUAL_ACCOUNT_ISSUED)).close_account
    assert life.standing() == ("CANCELLED", "EXPIRED", 0, 0)


def test_an_account_that_is_still_open_is_asked_to_be_closed_at_each_later_check() -> None:
    life = placed().at(15)
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
    assert life.at(7).hears(stale) == Reconciliation(order=life.order), why


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
    life = placed().at(15)
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
    assert dict(life.entries[-1].data) == {
        "refund": "r2",
        "amount": 300,
        "currency": "KRW",
        "reason": "the buyer asked",
        "failure": "the gateway could not carry it out",
    }
    assert life.order.check_at is None


def test_a_failed_refund_asks_for_a_person_though_another_succeeded_in_the_same_record() -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.asks_back(200)
    life.at(3).hears(payment(ALL_BACK, at=3, cancelled=500))
    assert life.standing() == ("CANCELLED", "REFUNDED", 500, 500)
    ends = (ours("r2", CancellationStatus.FAILED, 300), ours("r3", CancellationStatus.SUCCEEDED, 200))
    life.at(4).hears(payment(PARTLY, at=4, cancelled=700, cancellations=ends))
    assert life.rows() == {"r2": ("FAILED", 300), "r3": ("SUCCEEDED", 200), "r5": ("REQUESTED", 300)}
    assert life.attention() == "a refund failed; it is asked for again"


def test_one_failed_refund_does_not_flag_another_that_is_on_its_way() -> None:
    life = completed().at(2)
    life.asks_back(300)
    life.asks_back(200)
    life.at(3).hears(payment(PAID, at=1, updated=3, cancellations=(ours("r2", CancellationStatus.FAILED, 300),)))
    assert life.rows() == {"r2": ("FAILED", 300), "r3": ("REQUESTED", 200)}
    assert life.standing() == ("COMPLETED", None, 0, 200)
    assert life.attention() is None


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
    with pytest.raises(InvalidMoneyError):
        request_refund(
            completed().order, Money(1, "USD"), refund_id=RefundId("r9"), reason="", requested_by="merchant", now=T0
        )


@pytest.mark.parametrize("life", [placed(), expired(), late_money()])
def test_only_a_completed_order_can_be_refunded_by_the_merchant(life: Life) -> None:
    life.order = replace(life.order, captured=krw(1000), owed=krw(0))
    assert life.order.refundable == krw(1000)
    with pytest.raises(RefundNotPossibleError, match="only a COMPLETED order"):
        life.asks_back(1)


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
    assert (life.entries[-1].at, dict(life.entries[-1].data)) == (life.now, {"why": life.attention()})
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
    life = placed().at(15)
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


# --- history ---------------------------------------------------------------------------------------------------


def test_the_history_is_numbered_from_one_without_gaps_and_each_entry_tells_the_state_after_it() -> None:
    life = placed().at(1)
    life.hears(payment(PARTLY, cancelled=100))
    life.at(2).asks_back(300)
    life.at(3).hears(
        payment(PARTLY, at=3, cancelled=400, cancellations=(ours("r2", CancellationStatus.SUCCEEDED, 300),))
    )
    life.at(4).hears(payment(ALL_BACK, at=4))
    told = [
        (entry.seq, entry.kind.value, entry.status.value, entry.refunded.minor, entry.at - T0) for entry in life.entries
    ]
    assert told == [
        (1, "placed", "PENDING", 0, minutes(0)),
        (2, "payment_observed", "PENDING", 100, minutes(1)),
        (3, "completed", "COMPLETED", 100, minutes(1)),
        (4, "refund_requested", "COMPLETED", 100, minutes(2)),
        (5, "payment_observed", "COMPLETED", 400, minutes(3)),
        (6, "refund_succeeded", "COMPLETED", 400, minutes(3)),
        (7, "payment_observed", "COMPLETED", 1000, minutes(4)),
        (8, "cancelled", "CANCELLED", 1000, minutes(4)),
    ]
    assert life.order.seq == 8
    assert life.entries[-1].reason is CancelReason.REFUNDED
    assert dict(life.entries[3].data) == {
        "refund": "r2",
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
    life = placed().at(15)
    assert [life.hears(said).restock for said in (None, None, payment(PAID, at=16), payment(ALL_BACK, at=17))] == [
        True,
        False,
        False,
        False,
    ]
    assert life.order.status is OrderStatus.CANCELLED
