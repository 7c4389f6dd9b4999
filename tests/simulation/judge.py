"""The judge: holds what the shop committed and answered against the fake's ledger, and believes nothing else.

It knows the prices that buyers were promised, what PortOne's ledger holds, every answer PortOne gave and every answer
the shop gave. What an order says of itself is what is judged, never what it is judged by.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from application.audit_payments import Audit
from application.follow_order import OrderEvent
from application.ports import CancelPayment, Store
from application.refund_order import RefundOrderCommand
from domain.attention import AttentionKind
from domain.audit import FindingKind
from domain.ids import OrderId, RefundId, WebhookId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Order
from domain.payment import Payment, PaymentStatus
from domain.policy import Policy
from domain.refund import Refund, RefundStatus, Sent
from fake_portone.ledger import CAPTURED, Balance, Ledger, PaymentRecord, RefusedError, Status
from simulation.given_back import GivenBack
from simulation.kept import Kept, read
from simulation.properties import Property, ViolationError
from simulation.story import Story

Answers = dict[str, Payment | None]
answers: ContextVar[Answers] = ContextVar("answers")
"""What the gateway answered to whoever is at work here, by payment: the last answer to each."""

_EDGES = {
    (OrderStatus.PENDING, OrderStatus.COMPLETED),
    (OrderStatus.PENDING, OrderStatus.CANCELLED),
    (OrderStatus.COMPLETED, OrderStatus.CANCELLED),
}


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
    policy: Policy
    stock: Mapping[str, int]
    names_are_kept: bool = True
    clocks_are_right: bool = True
    known: dict[OrderId, Kept] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    verdict: asyncio.Future[ViolationError] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    carried_out: set[RefundId] = field(default_factory=set)
    to_accounts: dict[OrderId, dict[str, RefundOrderCommand]] = field(default_factory=dict)
    _promises: dict[OrderId, _Promise] = field(default_factory=dict)
    _placed_by: dict[str, OrderId] = field(default_factory=dict)
    _acknowledged: set[WebhookId] = field(default_factory=set)
    _refunds: set[tuple[OrderId, RefundId]] = field(default_factory=set)
    _intents: dict[OrderId, set[str]] = field(default_factory=dict)
    _answered: dict[tuple[OrderId, str], RefundId] = field(default_factory=dict)
    _keys: dict[str, tuple[object, ...]] = field(default_factory=dict)
    _written_down: dict[RefundId, set[tuple[object, ...]]] = field(default_factory=dict)  # what was committed, in words
    _refusals: Counter[RefundId] = field(default_factory=Counter)
    _asked_in_vain: int = 0
    _given_back: GivenBack = field(default_factory=GivenBack)
    _seen: dict[str, Payment] = field(default_factory=dict)  # the last record by which an order was reconciled
    _announced: dict[str, datetime] = field(default_factory=dict)  # since when webhooks tell of money
    _said_paid: set[str] = field(default_factory=set)

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
        if command.account is not None:
            self.to_accounts.setdefault(command.order_id, {})[command.idempotency_key] = command

    def refunding(self, command: RefundOrderCommand, refund: Refund) -> None:
        """Somebody was told that this refund will be carried out."""
        self.counts["refunds asked for"] += 1
        self._refunds.add((refund.order_id, refund.id))
        if self._answered.setdefault((command.order_id, command.idempotency_key), refund.id) != refund.id:
            self.broken(Property.ONCE, f"one Idempotency-Key made two refunds of {self.story.called(refund.order_id)}")

    async def committed(self, changed: set[OrderId], heard: Answers) -> None:
        """Somebody committed a change to these orders, having heard these answers."""
        for order_id in sorted(changed):
            kept = await read(self.store, order_id)
            if kept is None:
                continue  # another check of it is under way
            before = self.known.get(order_id)
            self.known[order_id] = kept
            for refund in kept.refunds:
                if refund.sent is not None:
                    self._written_down.setdefault(refund.id, set()).add(_words(refund.sent))
            self._judge_step(before, kept, heard)
            answer, seen = heard.get(kept.order.payment_id), kept.order.observed
            if isinstance(answer, Payment) and seen is not None and seen.is_of(answer):  # and not only that it failed
                self._seen[kept.order.payment_id] = answer
        self._judge_held()

    def cancelling(self, cancel: CancelPayment) -> None:
        """Somebody sends a request to give money back."""
        kept = self._kept_of(cancel.payment_id)
        refund = next((r for r in kept.refunds if r.id == cancel.refund_id), None) if kept else None
        if refund is None:
            self.broken(Property.ONCE, f"{cancel.amount} is asked back without a committed refund")
        elif _words(cancel) not in self._written_down.get(refund.id, ()):  # by whoever asks, or by another before
            self.broken(Property.AMOUNTS, f"{_words(cancel)} is asked, and {refund.sent} was committed")
        elif self._keys.setdefault(cancel.key, (refund.id, *_words(cancel))) != (refund.id, *_words(cancel)):
            self.broken(Property.AMOUNTS, f"one key asked {self._keys[cancel.key]}, and then {_words(cancel)}")
        elif refund.amount < cancel.amount or cancel.amount != min(refund.amount, cancel.left):
            self.broken(Property.AMOUNTS, f"{cancel.amount} of {cancel.left} is asked back for one of {refund.amount}")

    def gave_back(self, payment_id: str) -> None:
        """The gateway was asked to give money back, and may have."""
        kept = self._kept_of(payment_id)
        record = self.record(payment_id)
        if kept is not None and record is not None:
            self._complain(self._given_back.meet(record, kept.refunds))

    def answered(self, refund_id: RefundId) -> None:
        """Somebody heard from the gateway that this refund was carried out."""
        self.carried_out.add(refund_id)

    def asked_in_vain(self, code: str) -> None:
        """The gateway will never do what was asked, as it was asked."""
        self._asked_in_vain += 1
        if self._asked_in_vain > _IN_VAIN_MOST:
            self.broken(Property.FINAL, f"{_IN_VAIN_MOST} requests were refused for good, the last with {code}")

    def refused(self, refund_id: RefundId, code: str) -> None:
        """The gateway refused this refund for good."""
        self._refusals[refund_id] += 1
        if self._refusals[refund_id] > _REFUSALS_MOST:
            self.broken(Property.FINAL, f"refund {refund_id} was refused with {code}, and asked for again and again")

    async def leased(self, orders: Sequence[Order], now: datetime) -> None:
        """Somebody has taken these orders to check them, as they were stored then."""
        for order in orders:
            kept = await read(self.store, order.id)
            at = kept.order.check_at if kept is not None and kept.order.version == order.version else None
            if at is not None and at <= now:
                self.broken(Property.ALONE, f"{self.story.called(order.id)} is being checked, and is due all the same")

    def is_completed(self, payment_id: str | None) -> bool:
        """Whether the order of this payment is COMPLETED by now."""
        kept = self._kept_of(payment_id)
        return kept is not None and kept.order.status is OrderStatus.COMPLETED

    def _kept_of(self, payment_id: str | None) -> Kept | None:
        """The order of this payment, as it was committed last."""
        return next((kept for kept in self.known.values() if kept.order.payment_id == payment_id), None)

    def heard(self, payment_id: str, answer: object) -> None:
        """A webhook of an order that was COMPLETED when it came was handled by this answer of the gateway's."""
        kept = self._kept_of(payment_id)
        if kept is None or answer is not None or kept.order.status is not OrderStatus.COMPLETED:
            return
        asks = kept.order.attention
        if not kept.was_asked(AttentionKind.CONTRADICTION) and not (asks is not None and asks.stays):
            name = self.story.called(kept.order.id)
            self.broken(Property.SILENT, f"{name} is COMPLETED, the gateway knew of no payment, and nobody was asked")

    async def acknowledged(self, webhook_id: WebhookId, payment_id: str | None, kind: str, now: datetime) -> None:
        """The shop answered 200 to this webhook."""
        self._acknowledged.add(webhook_id)
        if kind in _TELL_OF_MONEY and payment_id is not None:
            self._announced.setdefault(payment_id, now)
            if kind == "Transaction.Paid":
                self._said_paid.add(payment_id)
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
        if _standing(order) == _standing(was) and _moment(order) < _moment(was):
            self.broken(Property.FORWARD, f"{order.observed} was applied after {was.observed}")
        if was.status is not order.status:
            self._judge_edge(was, order, heard, last.at)
        if order.refunded.minor < was.refunded.minor or order.seq < was.seq:
            self.broken(Property.FORWARD, f"{was.refunded} had gone back, and now {order.refunded}")

    def _judge_edge(self, was: Order, order: Order, heard: Answers, at: datetime) -> None:
        self.counts[f"{order.status} {order.reason or ''}".strip()] += 1
        if (was.status, order.status) not in _EDGES:
            self.broken(Property.FORWARD, f"{was.status} became {order.status}")
        record = self.record(order.payment_id)
        name = self.story.called(order.id)
        answer = heard.get(order.payment_id, _NOT_ASKED)
        if order.status is OrderStatus.COMPLETED:
            if record is None or record.status not in CAPTURED or not self._matches(order, record):
                self.broken(Property.PAID, f"{name} is COMPLETED, and the ledger holds {record}")
        elif order.reason is CancelReason.MISMATCH:
            if record is None or self._matches(order, record):
                self.broken(Property.ASKED, f"{name} was refused as a mismatch, and the ledger holds {record}")
        elif order.reason in _MONEY_WENT_BACK:
            said = isinstance(answer, Payment) and answer.status is PaymentStatus.CANCELLED
            if not said and (record is None or record.status is not Status.CANCELLED):
                self.broken(Property.ASKED, f"{name} is {order.reason}, and the ledger holds {record}")
            by_network = record is not None and any(c.trigger == "CHARGEBACK" for c in record.cancellations)
            if order.reason is CancelReason.CHARGED_BACK and not by_network:
                self.broken(Property.ASKED, f"{name} is {order.reason}, and nobody charged it back: {record}")
        else:
            self._judge_given_up(order, answer, at, name)

    def _judge_given_up(self, order: Order, answer: object, at: datetime, name: str) -> None:
        """Nobody paid, as far as the shop could know: it had asked, and waited for as long as it must."""
        if answer is _NOT_ASKED or (isinstance(answer, Payment) and answer.status.value in _IS_MONEY):
            self.broken(Property.ASKED, f"{name} is {order.reason}, and the gateway had said {answer}")
        if order.reason is not CancelReason.EXPIRED:
            if isinstance(answer, Payment) and answer.status is PaymentStatus.PAY_PENDING:
                self.broken(Property.ASKED, f"{name} was given up by its buyer, and its payment was under way")
            return
        until = self._given_up_from(order, answer)
        if at < until:
            self.broken(Property.ANNOUNCED, f"{name} expired at {at}, {until - at} before its time: {answer}")
        since = self._announced.get(order.payment_id)
        was_told = order.payment_id in self._said_paid and self.clocks_are_right
        if since is not None and was_told and at < since + self.policy.announced_most - _SLACK:
            self.broken(Property.ANNOUNCED, f"{name} expired at {at}, and webhooks told of its money since {since}")

    def _given_up_from(self, order: Order, answer: object) -> datetime:
        """The earliest moment at which it may be given up, by what the gateway had said of its payment."""
        seen = self._seen.get(order.payment_id)
        last = answer if isinstance(answer, Payment) and not _has_forgotten(answer, seen) else seen
        first_hold: timedelta | None = getattr(self.policy, "first_hold", None)
        if last is None and first_hold is not None and not isinstance(answer, Payment):
            return min(order.expires_at, order.created_at + first_hold)
        if last is not None and last.status is PaymentStatus.PAY_PENDING:
            return order.expires_at + self.policy.pending_most
        if last is not None and last.waits_for_deposit and self.policy.deposit_within is not None:
            bound = order.created_at + self.policy.deposit_within
            return max(order.expires_at, min(last.deposit_due or bound, bound))
        return order.expires_at + min((order.expires_at - order.created_at) / 10, self.policy.grace_most)

    def _judge_held(self) -> None:
        """Never is more sold and held than there is."""
        for product, there_are in self.stock.items():
            if (held := self._held()[product]) > there_are:
                self.broken(Property.STOCK, f"{held} of {there_are} {product} are sold or held")

    # --- once all is at rest ---

    async def rest(self) -> None:
        """Nothing goes wrong any more, time has passed, and every question is answered: judge all that there is."""
        await self.read_all()
        for kept in self.known.values():
            self._judge_rest(kept)
        for webhook_id in sorted(self._acknowledged):
            if not await self._is_kept(webhook_id):
                self.broken(Property.DURABLE, f"webhook {webhook_id} was answered 200, and is gone")
        for order_id, refund_id in self._refunds:
            if refund_id not in [refund.id for refund in self.known[order_id].refunds]:
                self.broken(Property.DURABLE, f"refund {refund_id} was promised, and is gone")
        await self._judge_stock()

    async def read_all(self) -> None:
        """Read every order as it is stored."""
        for order_id in list(self.known):
            kept = await read(self.store, order_id)
            if kept is None:
                self.broken(Property.REST, "an order cannot be read although nobody is at work")
                return
            self.known[order_id] = kept

    def asked(self) -> bool:
        """Nothing goes wrong any more and time has passed: whatever is not as it should be asks a person about it.

        Whether anything is so that an audit has to name it.
        """
        misplaced = False
        for kept in self.known.values():
            order, record = kept.order, self.record(kept.order.payment_id)
            is_wrong = record is not None and record.status in CAPTURED and self._is_misplaced(kept, record)
            unfinished = order.check_at is not None or order.status is OrderStatus.PENDING or order.owed
            name = self.story.called(order.id)
            if record is not None and order.refunded.minor > self.balance(record.id).cancelled:
                if not kept.was_asked(AttentionKind.MONEY_CAME_BACK):
                    self.broken(Property.TOLD, f"{name} says {order.refunded} went back, and nobody was told otherwise")
            elif (unfinished or is_wrong) and order.attention is None:
                self.broken(Property.SILENT, f"{name} is {order.status}, owes {order.owed}: {record}; nobody is asked")
            misplaced |= is_wrong
        return misplaced

    def audited(self, audit: Audit, *, wrong: bool) -> None:
        """Somebody asked for an audit of all that there was, while something was ``wrong``, or nothing."""
        captured = {currency: balance.captured for currency, balance in self.ledger.totals().items()}
        found = {currency: balance.captured for currency, balance in audit.balances.items() if balance.captured}
        if wrong:
            self.counts["audits that have something to say"] += 1
        if wrong and audit.is_clean:
            self.broken(Property.AUDITED, f"something is wrong, and the audit says {audit}")
        if not wrong and found != captured:
            self.broken(Property.AUDITED, f"{captured} was captured, and the audit says {audit}")
        if not wrong and not audit.is_clean and not self._given_back.stays_to_be_told:
            said = "; ".join(finding.why for finding in audit.findings)
            self.broken(Property.AUDITED, f"nothing is wrong, and the audit says: {said}")

    def found(self, orphans: Sequence[str], audit: Audit, stranger: str) -> None:
        """A payment that no order is for must be listed, and named by the audit."""
        if stranger not in orphans:
            self.broken(Property.KEPT, f"nobody was told of {stranger}, a payment without an order")
        if not any(f.kind is FindingKind.ORPHANED and f.payment_id == stranger for f in audit.findings):
            self.broken(Property.AUDITED, f"the audit does not name {stranger}, a payment without an order")

    def standing(self) -> dict[OrderId, tuple[object, ...]]:
        """Where everything stands, to be compared after everything was delivered again."""
        return {order_id: kept.standing for order_id, kept in self.known.items()}

    def _judge_rest(self, kept: Kept) -> None:
        order = kept.order
        name = self.story.called(order.id)
        record = self.record(order.payment_id)
        if order.check_at is not None or order.status is OrderStatus.PENDING or order.owed or order.attention:
            asks = f"asks {order.attention}, is checked {order.check_at}"
            self.broken(Property.REST, f"{name} is {order.status}, owes {order.owed}, {asks}")
        if record is None or record.status not in CAPTURED:
            if order.status is OrderStatus.COMPLETED:
                self.broken(Property.PAID, f"{name} is COMPLETED without money: {record}")
            if record is not None and record.status is Status.VIRTUAL_ACCOUNT_ISSUED:
                self.broken(Property.KEPT, f"{name} is {order.reason}, and its account takes money still")
            return
        self._judge_money(kept, record, name)

    def _judge_money(self, kept: Kept, record: PaymentRecord, name: str) -> None:
        order, balance = kept.order, self.balance(record.id)
        if order.status is OrderStatus.COMPLETED:
            if not self._matches(order, record) or not balance.net:
                self.broken(Property.PAID, f"{name} is COMPLETED, and the ledger holds {record}")
        elif balance.net:
            self.broken(Property.KEPT, f"{name} is {order.reason}, and {balance.net} was kept: {record}")
        if order.refunded.minor != balance.cancelled:
            self.broken(Property.KEPT, f"{name} says {order.refunded} went back; {balance.cancelled} did")
        self._complain(self._given_back.meet(record, kept.refunds))
        self._complain(self._given_back.ended(kept.refunds, names_are_kept=self.names_are_kept))
        asked = [refund for refund in kept.refunds if refund.requested_by != "gyeolje"]
        if len(asked) > len(self._intents.get(order.id, ())):
            self.broken(Property.ONCE, f"{name} has {len(asked)} refunds for {len(self._intents[order.id])} intents")
        if kept.asks_after_refusal:
            self.broken(Property.FINAL, f"{name} was refused its refund for good, and asked for it again by itself")
        if kept.was_completed and any(refund.requested_by == "gyeolje" for refund in kept.refunds):
            self.broken(Property.KEPT, f"{name} was completed, and then given back without being asked to")

    def _is_misplaced(self, kept: Kept, record: PaymentRecord) -> bool:
        """Whether money of this payment is where it should not be, and on nobody's list of what is to be done."""
        order, balance = kept.order, self.balance(record.id)
        if order.captured is None or order.refunded.minor != balance.cancelled:
            return bool(balance.net)
        if order.status is OrderStatus.COMPLETED:
            return not self._matches(order, record)
        return balance.net > order.owed.minor

    async def _judge_stock(self) -> None:
        held = self._held()
        async with self.store.reading() as unit:
            left = {product.id: product.available for product in await unit.catalog.products()}
        for product, there_were in self.stock.items():
            if left[product] != there_were - held[product]:  # type: ignore[index]
                self.broken(Property.STOCK, f"of {there_were} {product}, {held[product]} are held and {left} are left")

    def _held(self) -> Counter[str]:
        """What is sold or held; what was handed out and charged back is not on the shelf."""
        held: Counter[str] = Counter()
        for kept in self.known.values():
            order = kept.order
            gone = order.reason is CancelReason.CHARGED_BACK or (
                order.reason is CancelReason.REFUNDED and not self.policy.restock_cancelled
            )
            if order.status is not OrderStatus.CANCELLED or gone:
                held.update({line.product_id: line.quantity for line in order.lines})
        return held

    def _matches(self, order: Order, record: PaymentRecord) -> bool:
        promise = self._promises.get(order.id)
        price = promise.price if promise else order.price
        asked = record.purchase
        return (record.id, asked.store_id, asked.channel_type, asked.total, asked.currency, asked.tax_free) == (
            order.payment_id,
            self.store_id,
            "LIVE",
            price.minor,
            price.currency,
            order.tax_free.minor,
        )

    def record(self, payment_id: str) -> PaymentRecord | None:
        """The ledger's record of this payment."""
        try:
            return self.ledger.find(payment_id)
        except RefusedError:
            return None

    def balance(self, payment_id: str) -> Balance:
        """What was taken and went back for this payment, by the ledger's book."""
        return self.ledger.balance(payment_id)

    def _complain(self, complaints: Iterator[tuple[Property, str]]) -> None:
        for which, what in complaints:
            self.broken(which, what)

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


def _has_forgotten(answer: Payment, seen: Payment | None) -> bool:
    """Whether this answer says less of the same attempt than the one before."""
    return seen is not None and answer.attempt == seen.attempt and answer.status is PaymentStatus.READY


def _standing(order: Order) -> tuple[object, ...]:
    """What comes before any date: two records that agree in it are ordered by theirs."""
    said = order.observed
    return (order.captured, order.refunded, said and said.said, said and said.attempt)


_NOT_ASKED = "nothing"
_IS_MONEY = {"PAID", "PARTIAL_CANCELLED", "CANCELLED", "UNKNOWN"}
_TELL_OF_MONEY = {"Transaction.Paid", "Transaction.VirtualAccountIssued", "Transaction.PayPending"}
_MONEY_WENT_BACK = {CancelReason.REFUNDED, CancelReason.PAYMENT_CANCELLED, CancelReason.CHARGED_BACK}
_IN_VAIN_MOST = 100  # of all the orders of a history
_REFUSALS_MOST = 4  # of one refund: several processes may ask at once
_SLACK = timedelta(minutes=2)  # between a commit and the answer that tells of it
