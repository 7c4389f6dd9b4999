"""Random lives of an order beside a ledger that knows PortOne's rules and nothing of ours. The ledger is the judge."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.history import HistoryEntry
from domain.ids import OrderId, PaymentId, ProductId, RefundId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Order, OrderLine
from domain.payment import Cancellation, CancellationStatus, Payment, PaymentStatus, Shop
from domain.policy import Policy
from domain.reconciliation import check_failed, end_attention, place, reconcile, request_refund
from domain.refund import Refund, RefundStatus
from domain.revision import Reconciliation

T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
PRICE = 1000
HONEST = ("KRW", PRICE, "store-ours", "LIVE")
PURCHASES = st.sampled_from(
    [
        *[HONEST] * 8,
        ("KRW", 900, "store-ours", "LIVE"),
        ("KRW", 1100, "store-ours", "LIVE"),
        ("USD", PRICE, "store-ours", "LIVE"),
        ("KRW", PRICE, "store-theirs", "LIVE"),
        ("KRW", PRICE, "store-ours", "TEST"),
    ]
)
COURSES = st.sampled_from(["SUCCEEDED", "SUCCEEDED", "REQUESTED", "FAILED"])
AMOUNTS = st.integers(1, 1200)
RARELY = st.sampled_from([False] * 19 + [True])  # else most walks are over before anybody paid
EXPIRES = T0 + timedelta(minutes=15)
POLICY = Policy(deposit_within=timedelta(hours=2))
CHARGEBACK = "chargeback"


@dataclass
class Ledger:
    """One payment at the gateway: what it is, what it was, and what went back."""

    status: str | None = None
    purchase: tuple[str, int, str, str] = HONEST
    attempts: int = 0
    ticks: int = 0
    deposit_due: datetime | None = None
    changed: int = 0
    cancellations: list[tuple[str, str, int, str]] = field(default_factory=list)  # id, status, amount, reason
    most_cancelled: int = 0
    disputed: bool = False
    bounced: bool = False
    dishonest: bool = False
    unknown_status: bool = False
    unknown_channel: bool = False
    records: list[Payment] = field(default_factory=list)

    def move(self, status: str | None = None) -> None:
        self.ticks += 1
        if status is not None:
            self.status, self.changed = status, self.ticks
        self.records.append(self.record())

    def open(self, purchase: tuple[str, int, str, str]) -> None:
        self.attempts += 1
        self.purchase, self.deposit_due = purchase, None
        self.dishonest |= purchase != HONEST
        self.move("READY")

    def cancel(self, reason: str, amount: int, course: str) -> None:
        assert 0 < amount <= self.cancellable
        self.cancellations.append((f"c{len(self.cancellations)}", course, amount, reason))
        self.after_cancelling(course)

    def end(self, position: int, course: str) -> None:
        name, _, amount, reason = self.cancellations[position]
        self.cancellations[position] = (name, course, amount, reason)
        self.after_cancelling(course)

    def after_cancelling(self, course: str) -> None:
        if course == "SUCCEEDED":
            self.most_cancelled = max(self.most_cancelled, self.cancelled)
            self.move("CANCELLED" if self.cancelled == self.captured else "PARTIAL_CANCELLED")
        else:
            self.move()

    def bounce(self, position: int) -> None:
        """Money that went back comes again: a refund bounced, a dispute was won."""
        name, _, amount, reason = self.cancellations[position]
        self.cancellations[position] = (name, "FAILED", amount, reason)
        self.bounced = True
        self.move("PARTIAL_CANCELLED" if self.cancelled else "PAID")

    @property
    def captured(self) -> int:
        return self.purchase[1] if self.status in ("PAID", "PARTIAL_CANCELLED", "CANCELLED") else 0

    @property
    def cancelled(self) -> int:
        return sum(amount for _, status, amount, _ in self.cancellations if status == "SUCCEEDED")

    @property
    def cancellable(self) -> int:
        requested = sum(amount for _, status, amount, _ in self.cancellations if status == "REQUESTED")
        return self.captured - self.cancelled - requested

    @property
    def gone(self) -> list[int]:
        return [position for position, entry in enumerate(self.cancellations) if entry[1] == "SUCCEEDED"]

    @property
    def thinking(self) -> list[int]:
        return [position for position, entry in enumerate(self.cancellations) if entry[1] == "REQUESTED"]

    def record(self) -> Payment:
        assert self.status is not None
        currency, total, store, channel = self.purchase
        return Payment(
            id="p" * 32,
            status=PaymentStatus(self.status),
            said=self.status,
            total=Money(total, currency),
            cancelled=Money(self.cancelled, currency),
            store_id=store,
            channel_type=channel,
            attempt=f"attempt-{self.attempts}",
            changed_at=T0 + timedelta(milliseconds=self.changed),
            updated_at=T0 + timedelta(milliseconds=self.ticks),
            deposit_due=self.deposit_due if self.status == "VIRTUAL_ACCOUNT_ISSUED" else None,
            cancellations=tuple(
                Cancellation(
                    id=name,
                    status=CancellationStatus(status),
                    amount=Money(amount, currency),
                    reason=reason,
                    charged_back=reason == CHARGEBACK,
                )
                for name, status, amount, reason in self.cancellations
            ),
            disputed=self.disputed,
        )

    def says(self) -> Payment | None:
        if self.status is None:
            return None
        if self.unknown_status:
            return replace(self.record(), status=PaymentStatus.UNKNOWN, said="SOMETHING_NEW")
        return replace(self.record(), channel_type="SANDBOX") if self.unknown_channel else self.record()


class Walk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.ledger = Ledger()
        self.entries: list[HistoryEntry] = []
        self.refunds: dict[str, Refund] = {}
        self.ids = 0
        self.restocked = 0
        self.heard_undated = False
        placed = place(
            order_id=OrderId("a" * 32),
            payment_id=PaymentId("p" * 32),
            token_hash="0" * 64,
            lines=[OrderLine(product_id=ProductId("vip"), name="VIP", quantity=1, price=Money(PRICE, "KRW"))],
            now=T0,
            expires_at=EXPIRES,
        )
        self.order = placed.order
        self.entries += placed.entries

    # --- what others do ---

    @initialize(
        purchase=PURCHASES,
        status=st.sampled_from([None, "READY", "PAID", "PAID"]),
        unknown_channel=st.sampled_from([False, False, True]),
    )
    def the_buyer_may_have_begun(
        self, purchase: tuple[str, int, str, str], status: str | None, *, unknown_channel: bool
    ) -> None:
        self.ledger.unknown_channel = unknown_channel
        if status is not None:
            self.ledger.open(purchase)
        if status == "PAID":
            self.ledger.move(status)

    @precondition(lambda self: self.ledger.status in (None, "READY", "FAILED"))
    @rule(purchase=PURCHASES)
    def the_buyer_opens_the_window(self, purchase: tuple[str, int, str, str]) -> None:
        self.ledger.open(purchase)

    @precondition(lambda self: self.ledger.status in ("READY", "PAY_PENDING", "VIRTUAL_ACCOUNT_ISSUED"))
    @rule()
    def the_money_is_taken(self) -> None:
        self.ledger.move("PAID")

    @precondition(lambda self: self.ledger.status in ("READY", "PAY_PENDING", "VIRTUAL_ACCOUNT_ISSUED"))
    @rule()
    def the_attempt_fails(self) -> None:
        self.ledger.move("FAILED")

    @precondition(lambda self: self.ledger.status == "READY")
    @rule(status=st.sampled_from(["PAY_PENDING", "VIRTUAL_ACCOUNT_ISSUED"]), hours=st.integers(0, 3))
    def the_attempt_takes_its_time(self, status: str, hours: int) -> None:
        self.ledger.deposit_due = self.now + timedelta(hours=hours) if hours else None
        self.ledger.move(status)

    @precondition(lambda self: self.ledger.cancellable > 0)
    @rule(amount=AMOUNTS, course=COURSES)
    def somebody_cancels_in_the_console(self, amount: int, course: str) -> None:
        self.ledger.cancel("console", min(amount, self.ledger.cancellable), course)

    @precondition(lambda self: self.ledger.captured)
    @rule()
    def the_buyer_denies_it_or_comes_round(self) -> None:
        self.ledger.disputed = not self.ledger.disputed
        self.ledger.move()

    @precondition(lambda self: self.ledger.disputed and self.ledger.cancellable > 0)
    @rule(whole=st.booleans())
    def the_card_network_takes_it_back(self, *, whole: bool) -> None:
        self.ledger.disputed = False
        self.ledger.cancel(CHARGEBACK, self.ledger.cancellable if whole else 1, "SUCCEEDED")

    @precondition(lambda self: self.ledger.gone)
    @rule(data=st.data())
    def money_comes_back(self, data: st.DataObject) -> None:
        self.ledger.bounce(data.draw(st.sampled_from(self.ledger.gone)))

    @precondition(lambda self: self.ledger.thinking)
    @rule(course=st.sampled_from(["SUCCEEDED", "FAILED"]))
    def the_bank_makes_up_its_mind(self, course: str) -> None:
        self.ledger.end(self.ledger.thinking[0], course)

    @rule(word=st.sampled_from(["unknown_status", "unknown_channel"]))
    def the_gateway_learns_or_forgets_a_word(self, word: str) -> None:
        setattr(self.ledger, word, not getattr(self.ledger, word))

    @rule(seconds=st.sampled_from([1, 1, 30, 30, 30, 300, 1200, 7200]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # --- what we do ---

    @rule(give_up=RARELY, on_schedule=st.booleans())
    def we_check(self, *, give_up: bool, on_schedule: bool) -> None:
        self.hear(self.ledger.says(), give_up=give_up, on_schedule=on_schedule)

    @precondition(lambda self: self.ledger.records)
    @rule(data=st.data(), dated=st.booleans(), give_up=RARELY, on_schedule=st.booleans())
    def an_old_record_arrives(self, data: st.DataObject, *, dated: bool, give_up: bool, on_schedule: bool) -> None:
        record = data.draw(st.sampled_from(self.ledger.records))
        seen, before = self.order.observed, self.order
        if not dated:
            record = replace(record, changed_at=None, updated_at=None)
            self.heard_undated = True
        reconciliation = self.hear(record, give_up=give_up, on_schedule=on_schedule)
        if on_schedule and self.order.captured is None:
            return
        tells_more = record.captured is not None and (
            before.captured is None or record.went_back.minor > _went_back(before)
        )
        if (
            seen is not None
            and seen.updated_at is not None
            and record.updated_at
            and record.updated_at < seen.updated_at
            and not tells_more
        ):
            assert reconciliation.is_stale
            assert told(self.order) == told(before)
            assert on_schedule or self.order == before

    @precondition(lambda self: self.order.status is OrderStatus.PENDING)
    @rule(data=st.data(), stored=st.booleans())
    def a_signed_webhook_announces_money(self, data: st.DataObject, *, stored: bool) -> None:
        """The record shows it, or it lags, or it is not asked for at all."""
        record = data.draw(st.sampled_from([None, *self.ledger.records]))
        if stored:
            announced = self.order.announced_at or self.now
            self.order = replace(self.order, announced_at=announced).check_by(self.now)
            return
        self.hear(record, announces_more=record is None or record.captured is None)

    @precondition(lambda self: self.order.attention)
    @rule()
    def a_person_answers(self) -> None:
        self.keep(end_attention(self.order, by="operator", note="", now=self.now))

    @rule()
    def a_check_fails(self) -> None:
        self.keep(check_failed(self.order, "time-out", self.now))

    @precondition(lambda self: self.order.status is OrderStatus.COMPLETED and self.order.refundable)
    @rule(amount=AMOUNTS)
    def the_merchant_asks_money_back(self, amount: int) -> None:
        wanted = Money(min(amount, self.order.refundable.minor), self.order.refundable.currency)
        self.keep(
            request_refund(
                self.order, wanted, refund_id=self.new_id(), reason="wish", requested_by="merchant", now=self.now
            )
        )

    @precondition(lambda self: self.order.owed)
    @rule(course=COURSES)
    def we_carry_out_what_is_owed(self, course: str) -> None:
        self.carry_out(course)

    # --- how it is done, and what must hold at each step ---

    def carry_out(self, course: str) -> None:
        record = self.ledger.says()
        if record is None or record.captured is None:
            return
        for refund in self.requested():
            shown = refund.found_in(record) is not None
            if not shown and refund.amount.minor <= self.ledger.cancellable:
                self.ledger.cancel(f"[{refund.id}] wish", refund.amount.minor, course)
            record = self.ledger.record()
        self.hear(record, on_schedule=True)

    def hear(
        self,
        said: Payment | None,
        *,
        give_up: bool = False,
        on_schedule: bool = False,
        announces_more: bool | None = None,
    ) -> Reconciliation:
        reconciliation = self.keep(
            self.reconciled(said, give_up=give_up, on_schedule=on_schedule, announces_more=announces_more)
        )
        again = self.reconciled(said, give_up=give_up, on_schedule=False, announces_more=announces_more)
        assert (again.order, again.entries, again.refunds, again.restock) == (self.order, (), (), False)
        assert again.is_stale or again.close_account == reconciliation.close_account
        due = self.reconciled(said, give_up=give_up, on_schedule=True, announces_more=announces_more)
        assert told(due.order) == told(again.order) or due.order.reason is CancelReason.EXPIRED
        if not again.is_stale:
            own = replace(self.order, checks=due.order.checks, check_at=due.order.check_at)
            assert due == replace(again, order=own)
        elif due.is_stale:
            assert (due.refunds, due.restock, due.close_account) == ((), False, False)
        return reconciliation

    def reconciled(
        self, said: Payment | None, *, give_up: bool, on_schedule: bool, announces_more: bool | None
    ) -> Reconciliation:
        return reconcile(
            self.order,
            said,
            shop=Shop(store_id="store-ours", channel_type="LIVE"),
            now=self.now,
            policy=POLICY,
            refund_id=self.new_id(),
            refunds=self.requested(),
            give_up=give_up,
            on_schedule=on_schedule,
            announces_more=announces_more,
        )

    def keep(self, reconciliation: Reconciliation) -> Reconciliation:
        before, after = self.order, reconciliation.order
        assert (before.status, after.status) in {
            *((status, status) for status in OrderStatus),
            (OrderStatus.PENDING, OrderStatus.COMPLETED),
            (OrderStatus.PENDING, OrderStatus.CANCELLED),
            (OrderStatus.COMPLETED, OrderStatus.CANCELLED),
        }
        assert before.reason in (None, after.reason)
        assert before.captured in (None, after.captured)
        assert before.refunded.minor <= after.refunded.minor
        if after.status is not before.status and after.reason is CancelReason.EXPIRED:
            assert self.now >= EXPIRES + timedelta(seconds=30)
            assert before.announced_at is None or self.now >= before.announced_at + timedelta(minutes=30)
        assert reconciliation.entries or told(before) == told(after)
        if reconciliation.entries:
            last = reconciliation.entries[-1]
            assert (last.status, last.reason, last.refunded) == (after.status, after.reason, after.refunded)
        self.order = after
        self.entries += reconciliation.entries
        self.refunds |= {refund.id: refund for refund in reconciliation.refunds}
        self.restocked += reconciliation.restock
        return reconciliation

    def requested(self) -> list[Refund]:
        return [refund for refund in self.refunds.values() if refund.status is RefundStatus.REQUESTED]

    def new_id(self) -> RefundId:
        self.ids += 1
        return RefundId(f"r{self.ids}")

    @invariant()
    def no_more_goes_back_than_was_taken(self) -> None:
        captured = self.order.captured or Money.zero(self.order.refunded.currency)
        assert captured >= self.order.refunded + self.order.owed
        assert self.order.owed.minor == sum(refund.amount.minor for refund in self.requested())
        assert self.order.refunded.minor <= self.ledger.most_cancelled
        assert captured.minor in (0, self.ledger.captured)

    @invariant()
    def the_history_is_whole(self) -> None:
        assert [entry.seq for entry in self.entries] == list(range(1, self.order.seq + 1))
        ranks = [
            (OrderStatus.PENDING, OrderStatus.COMPLETED, OrderStatus.CANCELLED).index(e.status) for e in self.entries
        ]
        assert ranks == sorted(ranks)
        gone = [entry.refunded.minor for entry in self.entries]
        assert gone == sorted(gone)
        transitions = [entry.kind for entry in self.entries if entry.kind in ("completed", "cancelled")]
        assert len(transitions) == len(set(transitions))
        is_disputed = False
        for entry in self.entries:
            if entry.kind in ("payment_disputed", "dispute_ended"):
                assert is_disputed is (entry.kind == "dispute_ended")
                is_disputed = not is_disputed
            elif entry.kind == "attention_ended" and entry.data["kind"] == "disputed":
                is_disputed = False  # a person has seen to it: if it is said again, it is news again

    @invariant()
    def goods_go_only_to_those_who_paid_for_them(self) -> None:
        if any(entry.kind == "completed" for entry in self.entries):
            assert self.ledger.captured == PRICE
            assert self.ledger.purchase == HONEST

    @invariant()
    def stock_comes_back_once_with_every_cancelled_order_but_what_the_network_took_back(self) -> None:
        charged_back = self.order.reason is CancelReason.CHARGED_BACK
        assert self.restocked == (self.order.status is OrderStatus.CANCELLED and not charged_back)
        assert (self.order.reason is not None) is (self.order.status is OrderStatus.CANCELLED)

    @invariant()
    def what_is_not_done_is_checked_again(self) -> None:
        if self.order.status is OrderStatus.PENDING or self.order.owed:
            assert self.order.check_at is not None

    def teardown(self) -> None:
        self.the_gateway_comes_to_rest()
        self.hear(self.ledger.says())
        checks = 0
        while self.order.check_at is not None or self.order.attention is not None:
            if self.order.attention is not None and self.order.attention.stays:
                self.a_person_answers()
            assert self.order.check_at is not None, "it asks for a person, and nobody would ever see that it is over"
            self.now = max(self.now, self.order.check_at)
            if self.hear(self.ledger.says(), on_schedule=True).close_account:
                self.ledger.move("FAILED")
            if self.order.owed:
                self.carry_out("SUCCEEDED")
            checks += 1
            assert checks < 60, "this order never comes to rest"
        self.judge()

    def the_gateway_comes_to_rest(self) -> None:
        self.ledger.unknown_status = self.ledger.unknown_channel = self.ledger.disputed = False
        while self.ledger.thinking:
            self.ledger.end(self.ledger.thinking[0], "SUCCEEDED")
        if self.ledger.status == "PAY_PENDING":
            self.ledger.move("FAILED")

    def judge(self) -> None:
        """Every won belongs to one COMPLETED order, or went back."""
        order, ledger = self.order, self.ledger
        assert order.status is not OrderStatus.PENDING
        assert (order.owed.minor, order.attention) == (0, None)
        assert (order.captured.minor if order.captured else 0) == ledger.captured
        if order.refunded.minor != ledger.cancelled:
            assert ledger.bounced
            assert ledger.cancelled < order.refunded.minor <= ledger.most_cancelled
            asked = {entry.data.get("kind") for entry in self.entries if entry.kind == "attention"}
            assert "money_came_back" in asked or self.heard_undated  # nobody can say which of the two is later
        else:  # what came back is for a person to give back again
            kept = ledger.captured - ledger.cancelled
            assert (kept > 0) is (order.status is OrderStatus.COMPLETED)
        if order.reason is CancelReason.REFUNDED:
            assert any(entry.kind == "completed" for entry in self.entries)
        if order.reason is CancelReason.MISMATCH:
            assert ledger.dishonest


def _went_back(order: Order) -> int:
    """How much the record said had gone back by which the order was reconciled last."""
    seen = order.observed
    return order.refunded.minor if seen is None or seen.went_back is None else seen.went_back


def told(order: Order) -> tuple[object, ...]:
    return (order.status, order.reason, order.captured, order.refunded, order.owed)


TestRandomWalks = Walk.TestCase
TestRandomWalks.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
