"""A database that the version before made: whatever was under way in it goes on.

``made_by_0002.sql`` holds the statements of that version's own code, one a line: it played a shop with orders in every
state, refunds done, failed and owed, a sweep that died half way, and one order leased by a worker that died.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.notify.in_process import InProcessNotifier
from adapters.persistence.engine import create_engine, migrate
from adapters.persistence.sql import SqlStore
from adapters.portone.fake_gateway import FakePortOneGateway
from application.carry_out_refunds import CarryOutRefunds
from application.check_due_orders import CheckDueOrders
from application.read_order import OrderRecord, ShowOrder
from application.reconcile_order import ReconcileOrder
from application.sweep_payments import SweepPayments
from application.transact import record
from domain.attention import AttentionKind
from domain.history import HistoryKind
from domain.ids import OrderId, PaymentId, ProductId, RefundId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import OrderLine
from domain.payment import Cancellation, CancellationStatus, Payment, PaymentStatus, Shop
from domain.reconciliation import end_attention, place, reconcile, refuse_refund, request_refund, withdraw_refund
from domain.refund import Need, RefundStatus, Sent
from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock
from fake_portone.ledger import Cancel, CancelStatus, Course, Purchase

STATEMENTS = Path(__file__).with_name("made_by_0002.sql")
STORE = "store-1"
LEFT_AT = datetime(2026, 1, 1, 9, 42, tzinfo=UTC)
ORDERS = {
    "expired": 0x04,
    "abandoned": 0x0A,
    "given back: mismatch": 0x10,
    "given back: asked for": 0x19,
    "cancelled in the console": 0x22,
    "completed": 0x27,
    "partly given back": 0x2E,
    "given back at the second try": 0x37,
    "late money, on its way back": 0x44,
    "owed, and never asked for": 0x50,
    "completed, a part owed": 0x57,
    "a status unknown": 0x5E,
    "an attempt failed": 0x65,
    "an account issued": 0x6C,
    "the bank thinks": 0x73,
    "the gateway was away": 0x7A,
    "just placed": 0x7E,
}
RENAMED = {"look_at": "check_at", "looks": "checks", "settled_at": "ended_at"}
NEW = {  # what rows have since, by table
    "orders": {
        "observed_deposit_due",
        "observed_disputed",
        "announced_at",
        "attention_kind",
        "attention_since",
        "by_hand",
    },
    "refunds": {
        "needs",
        "cancellation_id",
        "sent_key",
        "sent_minor",
        "sent_tax_free_minor",
        "sent_left_minor",
        "sent_gone_minor",
        "sent_at",
        "sent_times",
    },
    "sweeps": {"again_at"},
}


@pytest.fixture
async def old(empty_database_url: str) -> AsyncIterator[AsyncEngine]:
    """Each database, as the version before left it."""
    engine = create_engine(empty_database_url)
    await migrate(engine, "0002")
    async with engine.begin() as connection:
        for statement in STATEMENTS.read_text(encoding="utf-8").splitlines():
            await connection.exec_driver_sql(statement)
    yield engine
    await engine.dispose()


async def rows(engine: AsyncEngine) -> dict[str, list[dict[str, Any]]]:
    """Every row there is, by the name of its columns as they are called now."""
    names = ("orders", "refunds", "history", "webhooks", "products", "placements", "orphans", "sweeps")
    found = {}
    await engine.dispose()  # what a connection knows of the schema from before is of no use any more
    async with engine.connect() as connection:
        for name in names:
            kept = [dict(row) for row in (await connection.execute(text(f"SELECT * FROM {name}"))).mappings()]  # noqa: S608 - names of ours
            said = [{RENAMED.get(column, column): value for column, value in row.items()} for row in kept]
            found[name] = sorted(said, key=lambda row: [str(value) for value in row.values()])
    return found


def in_old_words(table: str, row: dict[str, Any], columns: set[str]) -> dict[str, Any]:
    """What the version before could say of a row: none of the newer columns, and of stock only what is left."""
    if table == "orders":
        row = row | {"lines": [line[:5] for line in json.loads(row["lines"])]}
    if table == "products":
        row = row | {"available": None if row["capacity"] is None else row["capacity"] - row["held"]}
    return {column: value for column, value in row.items() if column in columns}


class Later:
    """The shop, its worker and its PortOne, from the moment on at which the old version was stopped."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._now = LEFT_AT + timedelta(seconds=1)
        self._ids = iter(range(10**6, 10**7))
        settings = FakePortOneSettings(api_secret="a-secret", store_id=STORE, webhook_secret="c2VjcmV0c2VjcmV0")
        self.fake = FakePortOne(settings, clock=FakeClock(now=self.now, monotonic=self.seconds, speed=1))
        self.store = SqlStore(engine)
        shop = Shop(store_id=STORE, channel_type="LIVE")
        gateway = FakePortOneGateway(self.fake)
        reconcile = ReconcileOrder(self.store, InProcessNotifier(), self.now, self.new_id, shop)
        self.check_due_orders = CheckDueOrders(
            store=self.store,
            gateway=gateway,
            reconcile=reconcile,
            carry_out_refunds=CarryOutRefunds(self.store, gateway, reconcile, self.now),
            clock=self.now,
        )
        self.sweep_payments = SweepPayments(
            store=self.store, gateway=gateway, shop=shop, clock=self.now, new_id=self.new_id
        )

    def now(self) -> datetime:
        return self._now

    def seconds(self) -> float:
        return self._now.timestamp()

    def new_id(self) -> str:
        return f"{next(self._ids):032x}"

    def pay(self, order: str, total: int = 395_000) -> str:
        payment_id = f"{ORDERS[order] + 1:032x}"
        bought = Purchase(store_id=STORE, channel_key="c", order_name="o", total=total, currency="KRW")
        self.fake.buyer.pay(payment_id, bought)
        return payment_id

    def remember(self) -> None:
        """What PortOne knows of the payments, as it did before."""
        for order in ("completed", "partly given back", "completed, a part owed", "a status unknown"):
            self.pay(order)
        self.pay("the gateway was away")
        self.pay("owed, and never asked for", 3000)
        late = self.pay("late money, on its way back")
        on_its_way = Course(CancelStatus.REQUESTED, CancelStatus.SUCCEEDED, 600)
        self.fake.ledger.cancel(late, Cancel(reason=f"[{0x4A:032x}] order EXPIRED"), on_its_way)

    async def check_for(self, hours: int) -> None:
        """Let so much time pass, and check whatever is due meanwhile."""
        until = self._now + timedelta(hours=hours)
        while self._now < until:
            for checked in await self.check_due_orders():
                assert checked.error is None, checked
            self._now += timedelta(minutes=1)

    async def show(self, order: str) -> OrderRecord:
        return await ShowOrder(self.store)(OrderId(f"{ORDERS[order]:032x}"))


async def test_every_row_is_kept_on_the_way_up_and_on_the_way_down(old: AsyncEngine) -> None:
    before = await rows(old)
    await migrate(old)
    after = await rows(old)
    await migrate(old, "0002")

    added = {name: {column: row.pop(column) for row in after[name] for column in NEW[name]} for name in NEW}
    assert added["refunds"] == dict.fromkeys(NEW["refunds"]), "what was asked of the gateway stood nowhere"
    assert added["sweeps"] == {"again_at": None}, "the last days are swept again at once"
    assert {row["outcome"] for row in before["webhooks"]} == {"settled", "stored"}
    assert {row["outcome"] for row in after["webhooks"]} == {"reconciled", "stored"}
    assert await rows(old) == before
    for name, kept in before.items():
        columns = set(kept[0]) - {"outcome"}
        was = [row | {"lines": json.loads(row["lines"])} if name == "orders" else row for row in kept]
        expected = [{column: row[column] for column in columns} for row in was]
        found = [in_old_words(name, row, columns) for row in after[name]]
        assert [row for row in expected if row not in found] == []
        assert len(found) == len(expected)


async def test_what_a_person_was_asked_about_is_known_by_its_kind_and_since_when(old: AsyncEngine) -> None:
    asked = {row["id"]: row["attention"] for row in (await rows(old))["orders"] if row["attention"] is not None}
    await migrate(old)
    store = SqlStore(old)
    async with store.reading() as unit:
        found = {order.id: order for order in await unit.orders.page(attention=True)}
        told = {
            name: [entry.at for entry in await unit.history.of_order(name) if entry.kind is HistoryKind.ATTENTION]
            for name in found
        }

    assert {name: order.attention.why for name, order in found.items() if order.attention} == asked
    kinds = {order.attention.kind for order in found.values() if order.attention}
    assert kinds == {AttentionKind.UNKNOWN_STATUS}
    for name, order in found.items():
        assert order.attention is not None
        assert order.attention.since == told[name][-1]


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ("a refund failed; it is asked for again", AttentionKind.REFUND_FAILED),
        ("a refund failed; ask again if it is still wanted", AttentionKind.REFUND_FAILED),
        ("looking has kept failing: time-out", AttentionKind.CHECKS_FAIL),
        ("checking has kept failing: time-out", AttentionKind.CHECKS_FAIL),
        ("the gateway says 'NEW', a status this version does not know", AttentionKind.UNKNOWN_STATUS),
        ("paid over a channel of type 'X', which this version does not know", AttentionKind.UNKNOWN_CHANNEL),
        ("completed, but the payment differs in store", AttentionKind.DIFFERENT_PAYMENT),
        ("completed, but the gateway says READY", AttentionKind.CONTRADICTION),
        ("the gateway says it took 1 KRW, and said 2 KRW before", AttentionKind.CONTRADICTION),
        ("written by hand", AttentionKind.CONTRADICTION),
    ],
)
async def test_every_question_of_an_older_version_has_a_kind(old: AsyncEngine, why: str, kind: AttentionKind) -> None:
    async with old.begin() as connection:
        await connection.execute(text("UPDATE orders SET attention = :why WHERE status = 'PENDING'"), {"why": why})
    await migrate(old)
    async with SqlStore(old).reading() as unit:
        orders = await unit.orders.page(status=OrderStatus.PENDING)

    assert orders
    assert {order.attention and (order.attention.kind, order.attention.why) for order in orders} == {(kind, why)}


async def test_what_the_older_version_has_no_word_for_becomes_the_nearest_one_on_the_way_down(old: AsyncEngine) -> None:
    await migrate(old)
    store, shop = SqlStore(old), Later(old)
    names = {name: f"{number:032x}" for name, number in ORDERS.items()}
    charged_back, asked = names["completed"], names["partly given back"]
    await live_on(store, charged_back, asked)
    before = await rows(old)
    assert words(before, "refunds", "status") >= {"REFUSED", "WITHDRAWN", "REQUESTED"}
    assert words(before, "history", "kind") >= NEW_KINDS

    await migrate(old, "0003")
    down = await rows(old)
    assert {row["reason"] for row in down["orders"] if row["id"] == charged_back} == {"REFUNDED"}
    assert "CHARGED_BACK" not in words(down, "history", "reason")
    assert words(down, "refunds", "status") == {"REQUESTED", "SUCCEEDED", "FAILED"}
    assert not words(down, "history", "kind") & NEW_KINDS
    for name in ("orders", "refunds", "history"):
        assert len(down[name]) == len(before[name])
        assert not NEW.get(name, set()) & set(down[name][0])
    for wrong, rule in STILL_REFUSED.items():
        with pytest.raises(Exception, match=rule):
            async with old.begin() as connection:
                await connection.execute(text(wrong))

    await migrate(old)
    for wrong, rule in STILL_REFUSED.items():
        with pytest.raises(Exception, match=rule):
            async with old.begin() as connection:
                await connection.execute(text(wrong))
    shown = [await shop.show(name) for name in ORDERS]
    assert len(shown) == len(ORDERS), "and the newer version reads all of it again"


async def test_orders_that_cost_nothing_keep_the_database_where_it_is(old: AsyncEngine) -> None:
    await migrate(old)
    free = place(
        order_id=OrderId("f" * 32),
        payment_id=PaymentId("f" * 32),
        token_hash="0" * 64,
        lines=[OrderLine(product_id=ProductId("r"), name="R석", quantity=1, price=Money(0, "KRW"))],
        now=LEFT_AT,
        expires_at=LEFT_AT,
    )
    store = SqlStore(old)
    async with store.writing() as unit:
        await unit.history.append(free.entries)
        await unit.orders.add(free.order)
        await unit.commit()
    before = await rows(old)
    with pytest.raises(RuntimeError, match="orders that cost nothing"):
        await migrate(old, "0003")

    assert await rows(old) == before
    await store.check()


STILL_REFUSED = {
    "UPDATE orders SET status = 'PENDING' WHERE status = 'COMPLETED'": "an order never moves back",
    "UPDATE refunds SET ended_at = 1 WHERE status = 'SUCCEEDED'": "a refund ends once",
    "UPDATE history SET kind = 'x'": "the history is only ever added to",
    "DELETE FROM refunds": "a refund is never deleted",
}
NEW_KINDS = {"refund_refused", "refund_withdrawn", "attention_ended", "payment_disputed", "dispute_ended"}


def words(found: dict[str, list[dict[str, Any]]], table: str, column: str) -> set[Any]:
    return {row[column] for row in found[table]}


async def live_on(store: SqlStore, charged_back: str, asked: str) -> None:
    """Bring two orders into states that only the newer version knows."""
    shop = Shop(store_id=STORE, channel_type="LIVE")
    async with store.writing() as unit:
        order = await unit.orders.by_id(OrderId(charged_back))
        assert order is not None
        assert order.captured is not None
        paid = Payment(
            id=order.payment_id,
            status=PaymentStatus.PAID,
            said="PAID",
            total=order.captured,
            cancelled=Money.zero("KRW"),
            store_id=STORE,
            channel_type="LIVE",
            disputed=True,
        )
        by_network = Cancellation(
            id="c",
            status=CancellationStatus.SUCCEEDED,
            amount=order.captured,
            reason="fraud",
            charged_back=True,
        )
        gone = replace(paid, status=PaymentStatus.CANCELLED, said="CANCELLED", cancellations=(by_network,))
        for said in (paid, replace(paid, disputed=False), gone):
            step = reconcile(order, said, shop=shop, now=LEFT_AT, refund_id=RefundId("0" * 32))
            order = await record(unit, order, step)
        assert order.reason is CancelReason.CHARGED_BACK

        order = await unit.orders.by_id(OrderId(asked))
        assert order is not None
        for name in ("refused", "withdrawn", "asked"):
            step = request_refund(
                order, Money(1, "KRW"), refund_id=RefundId(name), reason="", requested_by="shop", now=LEFT_AT
            )
            order = await record(unit, order, step)
            (refund,) = step.refunds
            if name == "refused":
                order = await record(unit, order, refuse_refund(order, refund, "WHY", Need.NOTHING, LEFT_AT))
                order = await record(unit, order, end_attention(order, by="kim", note="", now=LEFT_AT))
            elif name == "withdrawn":
                order = await record(unit, order, withdraw_refund(order, refund, by="kim", now=LEFT_AT))
            else:
                sent = Sent(
                    key=name,
                    amount=refund.amount,
                    tax_free=Money.zero("KRW"),
                    left=refund.amount,
                    gone=Money.zero("KRW"),
                    at=LEFT_AT,
                )
                await unit.refunds.save(replace(refund, sent=sent))
        await unit.commit()


async def test_the_rules_hold_by_their_new_names(old: AsyncEngine) -> None:
    await migrate(old)
    for wrong, rule in {
        "UPDATE refunds SET ended_at = 1 WHERE status = 'SUCCEEDED'": "a refund ends once",
        "UPDATE refunds SET ended_at = NULL WHERE status = 'FAILED'": "a refund",
        "UPDATE orders SET status = 'PENDING' WHERE status = 'COMPLETED'": "an order never moves back",
    }.items():
        with pytest.raises(Exception, match=rule):
            async with old.begin() as connection:
                await connection.execute(text(wrong))


async def test_whatever_was_under_way_goes_on(old: AsyncEngine) -> None:
    await migrate(old)
    shop = Later(old)
    await shop.store.check()
    shop.remember()
    await shop.check_for(hours=60)

    shown = {name: await shop.show(name) for name in ORDERS}
    ended = {name: (record.order.status, record.order.reason) for name, record in shown.items()}
    expired, mismatch = (OrderStatus.CANCELLED, CancelReason.EXPIRED), (OrderStatus.CANCELLED, CancelReason.MISMATCH)
    completed = (OrderStatus.COMPLETED, None)
    assert ended == {
        "expired": expired,
        "abandoned": (OrderStatus.CANCELLED, CancelReason.ABANDONED),
        "given back: mismatch": mismatch,
        "given back: asked for": (OrderStatus.CANCELLED, CancelReason.REFUNDED),
        "cancelled in the console": (OrderStatus.CANCELLED, CancelReason.PAYMENT_CANCELLED),
        "completed": completed,
        "partly given back": completed,
        "given back at the second try": mismatch,
        "late money, on its way back": expired,
        "owed, and never asked for": mismatch,
        "completed, a part owed": completed,
        "a status unknown": completed,
        "an attempt failed": expired,
        "an account issued": expired,
        "the bank thinks": expired,
        "the gateway was away": completed,
        "just placed": expired,
    }
    due = {name for name, record in shown.items() if record.order.check_at}
    assert due == {"an account issued"}, "nobody saw it closed, and the gateway knows nothing of it any more"
    assert {name: record.order.owed.minor for name, record in shown.items() if record.order.owed} == {}
    refunds = [refund for record in shown.values() for refund in record.refunds]
    assert sorted(refund.status for refund in refunds) == [RefundStatus.FAILED] + [RefundStatus.SUCCEEDED] * 7
    given_back = {payment.id: payment.cancelled for payment in shop.fake.ledger.payments() if payment.cancelled}
    assert sorted(given_back.values()) == [3000, 7000, 395_000]


async def test_a_sweep_that_died_under_the_old_version_is_taken_over(old: AsyncEngine) -> None:
    await migrate(old)
    shop = Later(old)
    shop.remember()

    assert await shop.sweep_payments() is None, "its lease is not over"
    await shop.check_for(hours=1)
    swept = await shop.sweep_payments()
    assert swept is not None
    assert swept.payments == 7
