"""The judge: holds what the shop committed and answered against the fake's ledger, and believes nothing else.

It knows the prices that buyers were promised, what PortOne's ledger holds, every answer PortOne gave and every answer
the shop gave. What an order says of itself is what is judged, never what it is judged by.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from application.audit_payments import Audit
from application.follow_order import OrderEvent
from application.ports import CancelPayment, Store
from application.refund_order import RefundOrderCommand
from domain.history import HistoryEntry
from domain.ids import OrderId, RefundId, WebhookId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Order
from domain.payment import Payment
from domain.refund import Refund, RefundStatus, Sent
from fake_portone.ledger import CAPTURED, CancelStatus, Ledger, PaymentRecord, RefusedError, Status
from simulation.story import Story


class Property(StrEnum):
    """What must hold in every history."""

    PAID = "COMPLETED only with a matching payment in the gateway's ledger"
    KEPT = "every captured won is on one completed order, or went back"
    ONCE = "one intent to give money back, at most one cancellation"
    ASKED = "no buyer is turned away before the gateway was asked"
    DURABLE = "what was acknowledged is never lost"
    FORWARD = "no order moves back, and every change has its history"
    REST = "every order comes to rest once faults stop"
    FOLLOWED = "every follower sees every change, in order"
    AGAIN = "delivering everything again changes nothing"
    AUDITED = "the audit explains every captured won"
    STOCK = "what is on hold is held once"
    FORESEEN = "nothing happens that nobody foresaw"


class ViolationError(AssertionError):
    """A property did not hold."""

    def __init__(self, broken: Property, what: str) -> None:
        super().__init__(f"{broken.value}: {what}")
        self.property = broken
        self.what = what


DEPOSIT_WITHIN = timedelta(hours=12)  # how long this shop holds goods for a virtual account: half of what PortOne does

Answers = dict[str, Payment | None]
answers: ContextVar[Answers] = ContextVar("answers")
"""What the gateway answered to whoever is at work here, by payment: the last answer to each."""

_EDGES = {
    (OrderStatus.PENDING, OrderStatus.COMPLETED),
    (OrderStatus.PENDING, OrderStatus.CANCELLED),
    (OrderStatus.COMPLETED, OrderStatus.CANCELLED),
}


@dataclass(frozen=True, slots=True)
class Kept:
    """All that the store holds of one order."""

    order: Order
    history: Sequence[HistoryEntry]
    refunds: Sequence[Refund]

    @property
    def standing(self) -> tuple[object, ...]:
        """What delivering anything again must not change."""
        order = self.order
        return (order.status, order.reason, order.captured, order.refunded, order.owed, order.seq, len(self.refunds))


@dataclass(slots=True)
class _Promise:
    """What a buyer was promised."""

    price: Money
    items: Mapping[str, int]


@dataclass(slots=True)
class Judge:
    """Says so at the first property that does not hold: ``verdict`` is set then."""

    store: Store
    ledger: Ledger
    store_id: str
    story: Story
    known: dict[OrderId, Kept] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    verdict: asyncio.Future[ViolationError] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _promises: dict[OrderId, _Promise] = field(default_factory=dict)
    _placed_by: dict[str, OrderId] = field(default_factory=dict)
    _acknowledged: set[WebhookId] = field(default_factory=set)
    _refunds: set[tuple[OrderId, RefundId]] = field(default_factory=set)
    _intents: dict[OrderId, set[str]] = field(default_factory=dict)
    _answered: dict[str, RefundId] = field(default_factory=dict)
    _keys: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def broken(self, which: Property, what: str) -> None:
        """A property does not hold."""
        self.story.tell("judge", f"BROKEN: {which.value}: {what}")
        if not self.verdict.done():
            self.verdict.set_result(ViolationError(which, what))

    # --- while it happens ---

    def promised(self, key: str, order: Order, price: Money, items: Mapping[str, int]) -> None:
        """A buyer was told that this order was placed."""
        first = self._placed_by.setdefault(key, order.id)
        if first != order.id:
            self.broken(Property.DURABLE, f"one Idempotency-Key placed both {first} and {order.id}")
        if order.price != price:
            self.broken(Property.PAID, f"{price} was ordered, and {order.price} is the order's price")
        if order.id not in self.known:
            self.broken(Property.DURABLE, "an order was shown to its buyer and is not stored")
        self._promises[order.id] = _Promise(price, items)

    def asking_back(self, command: RefundOrderCommand) -> None:
        """Somebody asks for a refund, for the first time or again."""
        self._intents.setdefault(command.order_id, set()).add(command.idempotency_key)

    def refunding(self, command: RefundOrderCommand, refund: Refund) -> None:
        """Somebody was told that this refund will be carried out."""
        self.counts["refunds asked for"] += 1
        self._refunds.add((refund.order_id, refund.id))
        if self._answered.setdefault(command.idempotency_key, refund.id) != refund.id:
            self.broken(Property.ONCE, f"one Idempotency-Key made two refunds of {self.story.called(refund.order_id)}")

    async def committed(self, changed: set[OrderId], heard: Answers) -> None:
        """Somebody committed a change to these orders, having heard these answers."""
        for order_id in sorted(changed):
            kept = await self._read(order_id)
            if kept is None:
                continue  # another check of it is under way
            before = self.known.get(order_id)
            self.known[order_id] = kept
            self._judge_step(before, kept, heard)

    def cancelling(self, cancel: CancelPayment) -> None:
        """Somebody sends a request to give money back."""
        kept = next((k for k in self.known.values() if k.order.payment_id == cancel.payment_id), None)
        refund = next((r for r in kept.refunds if r.id == cancel.refund_id), None) if kept else None
        if refund is None or refund.amount != cancel.amount:
            self.broken(Property.ONCE, f"{cancel.amount} is asked back without a committed refund of that sum")
        elif refund.sent is None or _words(refund.sent) != _words(cancel):
            self.broken(Property.ONCE, f"{_words(cancel)} is asked, and {refund.sent} was committed")
        if self._keys.setdefault(cancel.key, (cancel.refund_id, *_words(cancel))) != (
            cancel.refund_id,
            *_words(cancel),
        ):
            self.broken(Property.ONCE, f"one key asked {self._keys[cancel.key]}, and then {_words(cancel)}")

    def gave_back(self, payment_id: str) -> None:
        """The gateway was asked to give money back, and may have."""
        for refund_id, done in self._ours(payment_id).items():
            if done > 1:
                self.broken(Property.ONCE, f"refund {refund_id} was carried out {done} times")

    async def acknowledged(self, webhook_id: WebhookId) -> None:
        """The shop answered 200 to this webhook."""
        self._acknowledged.add(webhook_id)
        if not await self._is_kept(webhook_id):
            self.broken(Property.DURABLE, "a webhook was answered 200 before it was stored")

    def followed(self, events: Sequence[OrderEvent], order_id: OrderId, *, to_the_end: bool) -> None:
        """A follower saw these events, over however many connections."""
        if any(later.seq != event.seq + 1 for event, later in pairwise(events)):
            self.broken(Property.FOLLOWED, f"{[event.seq for event in events]} were seen")
        told = {entry.seq: entry for entry in self.known[order_id].history}
        for event in events:
            entry = told[event.seq]
            if (event.order.status, event.order.refunded) != (entry.status, entry.refunded):
                self.broken(Property.FOLLOWED, f"event {event.seq} said {event.order.status}, not {entry.status}")
        if to_the_end and (not events or events[-1].order.status is OrderStatus.PENDING):
            self.broken(Property.FOLLOWED, "the stream ended before the order did")

    def _judge_step(self, before: Kept | None, now: Kept, heard: Answers) -> None:
        order, last = now.order, now.history[-1]
        if [entry.seq for entry in now.history] != list(range(1, order.seq + 1)):
            self.broken(Property.FORWARD, f"{order.seq} changes, {len(now.history)} entries")
        if (last.status, last.reason, last.refunded) != (order.status, order.reason, order.refunded):
            self.broken(Property.FORWARD, f"the history ends with {last.status}, and the order is {order.status}")
        owed = sum(r.amount.minor for r in now.refunds if r.status is RefundStatus.REQUESTED)
        if owed != order.owed.minor:
            self.broken(Property.KEPT, f"{order.owed} is owed, and refunds for {owed} are to be done")
        was = before.order if before else None
        if self.story.written and (was is None or was.seq != order.seq):
            kinds = ", ".join(entry.kind.value for entry in now.history[was.seq if was else 0 :])
            self.story.tell("store", f"{self.story.called(order.id)} is {order.status} ({kinds})")
        if was is None:
            return
        if _moment(order) < _moment(was):
            self.broken(Property.FORWARD, f"{order.observed} was applied after {was.observed}")
        if was.status is not order.status:
            self._judge_edge(was, order, heard, last.at)
        if order.refunded.minor < was.refunded.minor or order.seq < was.seq:
            self.broken(Property.FORWARD, f"{was.refunded} had gone back, and now {order.refunded}")

    def _judge_edge(self, was: Order, order: Order, heard: Answers, at: datetime) -> None:
        self.counts[f"{order.status} {order.reason or ''}".strip()] += 1
        if (was.status, order.status) not in _EDGES:
            self.broken(Property.FORWARD, f"{was.status} became {order.status}")
        record = self._record(order.payment_id)
        name = self.story.called(order.id)
        if order.status is OrderStatus.COMPLETED:
            if record is None or record.status not in CAPTURED or not self._matches(order, record):
                self.broken(Property.PAID, f"{name} is COMPLETED, and the ledger holds {record}")
        elif order.reason in (CancelReason.EXPIRED, CancelReason.ABANDONED):
            self._judge_given_up(was, order, heard.get(order.payment_id, _NOT_ASKED), at)
        else:
            self._judge_refused(order, record, heard.get(order.payment_id))

    def _judge_refused(self, order: Order, record: PaymentRecord | None, answer: Payment | None) -> None:
        """It ended because of a payment: then the ledger has, or the gateway said, just that."""
        name = self.story.called(order.id)
        if order.reason is CancelReason.MISMATCH:
            taken = record is not None and record.status in CAPTURED and not self._matches(order, record)
            if not taken and not self._is_about_something_else(order, answer):
                self.broken(Property.ASKED, f"{name} was refused as a mismatch, and the ledger holds {record}")
            return
        if record is None or record.status is not Status.CANCELLED:
            self.broken(Property.ASKED, f"{name} is {order.reason}, and the ledger holds {record}")
        elif order.reason is CancelReason.CHARGED_BACK and all(c.trigger != "CHARGEBACK" for c in record.cancellations):
            self.broken(Property.ASKED, f"{name} is {order.reason}, and nobody charged it back: {record}")

    def _judge_given_up(self, was: Order, order: Order, answer: Payment | str | None, at: datetime) -> None:
        """It ended because nobody paid: then the gateway was asked, said so, and what was told of had its time."""
        name, said = self.story.called(order.id), answer.status.value if isinstance(answer, Payment) else None
        under_way = said == "PAY_PENDING" and order.reason is CancelReason.ABANDONED
        if answer == _NOT_ASKED or said in _MAY_BE_MONEY or under_way:
            self.broken(Property.ASKED, f"{name} is {order.reason}, and the gateway had said {answer}")
        until = _waits_until(was, answer if isinstance(answer, Payment) else None)
        if order.reason is CancelReason.EXPIRED and at < until:
            self.broken(Property.ASKED, f"{name} expired at {at}, {until - at} before its time")
        if order.reason is CancelReason.ABANDONED and was.announced_at is not None:
            self.broken(Property.ASKED, f"{name} was given up, and its payment had been announced")

    def _is_about_something_else(self, order: Order, answer: Payment | None) -> bool:
        """Whether what the gateway said is about to be paid is not what was ordered."""
        if answer is None or answer.status.value not in ("VIRTUAL_ACCOUNT_ISSUED", "PAY_PENDING"):
            return False
        said = (answer.id, answer.store_id, answer.channel_type, answer.total)
        return said != (order.payment_id, self.store_id, "LIVE", order.price)

    # --- once all is at rest ---

    async def rest(self, *, stock: Mapping[str, int]) -> None:
        """Nothing goes wrong any more and time has passed: judge all that there is."""
        for order_id in list(self.known):
            kept = await self._read(order_id)
            if kept is None:
                self.broken(Property.REST, "an order cannot be read although nobody is at work")
                return
            self.known[order_id] = kept
            self._judge_rest(kept)
        for payment in self.ledger.payments():
            if self._order_of(payment) is None:
                self.broken(Property.KEPT, f"a payment without an order: {payment}")
        for webhook_id in sorted(self._acknowledged):
            if not await self._is_kept(webhook_id):
                self.broken(Property.DURABLE, f"webhook {webhook_id} was answered 200, and is gone")
        for order_id, refund_id in self._refunds:
            if refund_id not in [refund.id for refund in self.known[order_id].refunds]:
                self.broken(Property.DURABLE, f"refund {refund_id} was promised, and is gone")
        await self._judge_stock(stock)

    def audited(self, audit: Audit) -> None:
        """Somebody asked for an audit of all that there was."""
        captured = {currency: balance.captured for currency, balance in self.ledger.totals().items()}
        found = {currency: balance.captured for currency, balance in audit.balances.items() if balance.captured}
        if not audit.is_clean or found != captured:
            self.broken(Property.AUDITED, f"{captured} was captured, and the audit says {audit}")

    def standing(self) -> dict[OrderId, tuple[object, ...]]:
        """Where everything stands, to be compared after everything was delivered again."""
        return {order_id: kept.standing for order_id, kept in self.known.items()}

    def _judge_rest(self, kept: Kept) -> None:
        order = kept.order
        name = self.story.called(order.id)
        record = self._record(order.payment_id)
        if order.check_at is not None or order.status is OrderStatus.PENDING or order.owed:
            self.broken(Property.REST, f"{name} is {order.status}, owes {order.owed}, is checked {order.check_at}")
        if record is None or record.status not in CAPTURED:
            if order.status is OrderStatus.COMPLETED:
                self.broken(Property.PAID, f"{name} is COMPLETED without money: {record}")
            return
        self._judge_money(kept, record, name)

    def _judge_money(self, kept: Kept, record: PaymentRecord, name: str) -> None:
        order, balance = kept.order, self.ledger.balance(record.id)
        if order.status is OrderStatus.COMPLETED:
            if not self._matches(order, record) or not balance.net:
                self.broken(Property.PAID, f"{name} is COMPLETED, and the ledger holds {record}")
        elif balance.net:
            self.broken(Property.KEPT, f"{name} is {order.reason}, and {balance.net} was kept: {record}")
        if order.refunded.minor != balance.cancelled:
            self.broken(Property.KEPT, f"{name} says {order.refunded} went back; {balance.cancelled} did")
        ours = self._ours(record.id)
        for refund in kept.refunds:
            if refund.status is not RefundStatus.REQUESTED and ours[refund.id] != (
                refund.status is RefundStatus.SUCCEEDED
            ):
                self.broken(Property.ONCE, f"refund {refund.id} {refund.status}, done {ours[refund.id]} times")
        asked = [refund for refund in kept.refunds if refund.requested_by != "gyeolje"]
        if len(asked) > len(self._intents.get(order.id, ())):
            self.broken(Property.ONCE, f"{name} has {len(asked)} refunds for {len(self._intents[order.id])} intents")
        if set(ours) - {refund.id for refund in kept.refunds}:
            self.broken(Property.ONCE, f"{name} has cancellations that no refund asked for")
        self._judge_refused_for_good(kept, name)
        if any(refund.requested_by == "gyeolje" for refund in kept.refunds) and any(
            entry.kind.value == "completed" for entry in kept.history
        ):
            self.broken(Property.KEPT, f"{name} was completed, and then given back without being asked to")

    def _judge_refused_for_good(self, kept: Kept, name: str) -> None:
        by_itself = {refund.id for refund in kept.refunds if refund.requested_by == "gyeolje"}
        kinds = [(entry.kind.value, entry.data.get("refund")) for entry in kept.history]
        refused = next((n for n, (kind, _) in enumerate(kinds) if kind == "refund_refused"), len(kinds))
        if any(kind == "refund_requested" and refund in by_itself for kind, refund in kinds[refused:]):
            self.broken(Property.ONCE, f"{name} was refused its refund for good, and asked for it again by itself")

    async def _judge_stock(self, stock: Mapping[str, int]) -> None:
        held: Counter[str] = Counter()
        for kept in self.known.values():
            if kept.order.status is not OrderStatus.CANCELLED or kept.order.reason is CancelReason.CHARGED_BACK:
                held.update({line.product_id: line.quantity for line in kept.order.lines})
        async with self.store.reading() as unit:
            left = {product.id: product.available for product in await unit.catalog.products()}
        for product, there_were in stock.items():
            if left[product] != there_were - held[product]:  # type: ignore[index]
                self.broken(Property.STOCK, f"of {there_were} {product}, {held[product]} are held and {left} are left")

    def _matches(self, order: Order, record: PaymentRecord) -> bool:
        promise = self._promises.get(order.id)
        price = promise.price if promise else order.price
        asked = record.purchase
        return (record.id, asked.store_id, asked.channel_type, asked.total, asked.currency) == (
            order.payment_id,
            self.store_id,
            "LIVE",
            price.minor,
            price.currency,
        )

    def _ours(self, payment_id: str) -> Counter[str]:
        """How often each of our refunds of this payment was carried out, or is about to be."""
        record = self._record(payment_id)
        asked = [c for c in record.cancellations if c.trigger == "API"] if record else []
        return Counter(c.reason[1:33] for c in asked if c.status is not CancelStatus.FAILED)

    def _order_of(self, payment: PaymentRecord) -> Order | None:
        return next((k.order for k in self.known.values() if k.order.payment_id == payment.id), None)

    def _record(self, payment_id: str) -> PaymentRecord | None:
        try:
            return self.ledger.find(payment_id)
        except RefusedError:
            return None

    async def _read(self, order_id: OrderId) -> Kept | None:
        """The order as it is committed; None where its parts were read on both sides of a commit."""
        async with self.store.reading() as unit:
            order = await unit.orders.by_id(order_id)
            if order is None:
                return None
            history, refunds = await unit.history.of_order(order_id), await unit.refunds.of_order(order_id)
            again = await unit.orders.by_id(order_id)
        return Kept(order, history, refunds) if again == order else None

    async def _is_kept(self, webhook_id: WebhookId) -> bool:
        async with self.store.reading() as unit:
            return await unit.inbox.seen(webhook_id)


def _moment(order: Order) -> datetime:
    """As of when the gateway's record was that was applied last."""
    seen = order.observed
    return (seen and (seen.updated_at or seen.changed_at)) or datetime.min.replace(tzinfo=UTC)


def _words(asked: Sent | CancelPayment) -> tuple[object, ...]:
    """What the gateway is asked under one key."""
    return (asked.key, asked.amount, asked.tax_free, asked.left)


def _waits_until(was: Order, answer: Payment | None) -> datetime:
    """Until when, at least, an unpaid order waits: by what the gateway said, by what was seen before and announced."""
    said = answer.status.value if answer else was.observed.said if was.observed else None
    until = was.expires_at + min((was.expires_at - was.created_at) / 10, timedelta(seconds=30))
    if said == "VIRTUAL_ACCOUNT_ISSUED":
        due = answer.deposit_due if answer else was.observed.deposit_due if was.observed else None
        until = max(until, min(due or datetime.max.replace(tzinfo=UTC), was.created_at + DEPOSIT_WITHIN))
    if said == "PAY_PENDING":
        until = max(until, was.expires_at + timedelta(hours=24))
    if was.announced_at is not None:
        until = max(until, was.announced_at + timedelta(minutes=30))
    return until


_NOT_ASKED = "nothing"
_MAY_BE_MONEY = {"PAID", "PARTIAL_CANCELLED", "CANCELLED", "UNKNOWN"}
