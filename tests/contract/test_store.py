"""The port ``Store``, sentence by sentence, over memory, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from adapters.notify.in_process import InProcessNotifier
from application.errors import ConflictError, ProductNotFoundError, SoldOutError, StoreUnavailableError
from application.ports import PlacedBefore, Store, UnitOfWork
from application.refund_order import RefundOrder, RefundOrderCommand
from application.transact import keep as keep_all
from application.transact import record
from domain.api_key import ApiKey, KeyKind, Scope
from domain.attention import Attention, AttentionKind
from domain.catalog import Product
from domain.history import HistoryEntry, HistoryKind
from domain.ids import ApiKeyId, OrderId, PaymentId, ProductId, RefundId, WebhookId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Observed, Order, OrderLine
from domain.payment import Payment, PaymentStatus, Shop
from domain.reconciliation import place as placing
from domain.reconciliation import reconcile, request_refund
from domain.refund import Need, Refund, RefundStatus, Sent
from domain.revision import Reconciliation
from domain.schedule import LONGEST
from domain.sweep import Orphan, Sweep
from domain.webhook_event import WebhookEvent

T = TypeVar("T")
NewStore = Callable[..., Store]

Find = Callable[[UnitOfWork, Order], Awaitable[Order | None]]

NOBODY: Any = None  # whoever is not asked
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
SHOP = Shop(store_id="store-1", channel_type="LIVE")
SEAT = OrderLine(product_id=ProductId("vip-1-1"), name="VIP 1열 1번", quantity=1, price=Money(355_000, "KRW"))


def placed(number: int = 1, *, line: OrderLine = SEAT, at: datetime = NOW) -> Reconciliation:
    return placing(
        order_id=OrderId(f"{number:032x}"),
        payment_id=PaymentId(f"{number:032d}"),
        token_hash=f"{number:064x}",
        lines=[line],
        now=at,
        expires_at=at + timedelta(minutes=15),
    )


def payment(order: Order, status: PaymentStatus = PaymentStatus.PAID, **fields: Any) -> Payment:
    said: dict[str, Any] = {
        "id": order.payment_id,
        "status": status,
        "said": status.value,
        "total": order.price,
        "cancelled": Money.zero(order.price.currency),
        "store_id": "store-1",
        "channel_type": "LIVE",
    }
    return Payment(**(said | fields))


def reconciled(order: Order, seen: Payment | None = None, refunds: Sequence[Refund] = ()) -> Reconciliation:
    refund_id = RefundId(f"refund-{order.seq}-{order.id}")
    return reconcile(order, seen or payment(order), shop=SHOP, now=NOW, refund_id=refund_id, refunds=refunds)


async def keep(unit: UnitOfWork, reconciliation: Reconciliation) -> None:
    await unit.history.append(reconciliation.entries)
    await unit.orders.add(reconciliation.order)


async def write(store: Store, *steps: Callable[[UnitOfWork], Awaitable[object]]) -> None:
    async with store.writing() as unit:
        for step in steps:
            await step(unit)
        await unit.commit()


async def place(store: Store, number: int = 1, *, line: OrderLine = SEAT, at: datetime = NOW) -> Order:
    reconciliation = placed(number, line=line, at=at)
    async with store.writing() as unit:
        await keep(unit, reconciliation)
        await unit.commit()
    return reconciliation.order


async def change(store: Store, order: Order, reconciliation: Reconciliation) -> Order:
    async with store.writing() as unit:
        stored = await record(unit, order, reconciliation)
        await unit.commit()
    return stored


async def ask(store: Store, question: Callable[[UnitOfWork], Awaitable[T]]) -> T:
    async with store.reading() as unit:
        return await question(unit)


async def read(store: Store, order: Order) -> Order:
    found = await ask(store, lambda unit: unit.orders.by_id(order.id))
    assert found is not None
    return found


# --- the unit of work -------------------------------------------------------------------------------------------


async def test_what_was_committed_is_there(store: Store) -> None:
    order = await place(store)

    assert await read(store, order) == order


async def test_leaving_without_commit_undoes_everything(store: Store) -> None:
    order = await place(store, 1)
    event = WebhookEvent(id=WebhookId("msg_1"), type="Transaction.Paid", payment_id=None, store_id=None)
    async with store.writing() as unit:
        await keep(unit, placed(2))
        await record(unit, order, reconciled(order))
        await unit.inbox.add(event, outcome="reconciled", received_at=NOW)
        await unit.catalog.put(Product(id=ProductId("p"), name="p", price=Money(1, "KRW")))

    async with store.reading() as unit:
        assert await unit.orders.by_id(OrderId(f"{2:032x}")) is None
        assert await unit.orders.by_id(order.id) == order
        assert [entry.seq for entry in await unit.history.of_order(order.id)] == [1]
        assert not await unit.inbox.seen(event.id)
        assert await unit.catalog.products() == []


async def test_leaving_by_an_error_undoes_everything(store: Store) -> None:
    async def fail(_: UnitOfWork) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write(store, lambda unit: keep(unit, placed()), fail)

    assert await ask(store, lambda unit: unit.orders.by_id(placed().order.id)) is None


async def test_nobody_sees_what_is_not_committed(store: Store) -> None:
    async with store.writing() as unit:
        await keep(unit, placed())
        assert await unit.orders.by_id(placed().order.id) == placed().order
        assert await ask(store, lambda other: other.orders.by_id(placed().order.id)) is None
        await unit.commit()

    assert await ask(store, lambda unit: unit.orders.by_id(placed().order.id)) == placed().order


async def test_each_read_of_a_reading_unit_sees_what_is_committed_by_then(store: Store) -> None:
    order = await place(store)
    async with store.reading() as unit:
        assert await unit.orders.by_id(order.id) == order
        stored = await change(store, order, reconciled(order))
        assert await unit.orders.by_id(order.id) == stored


async def test_a_reading_unit_waits_for_no_writing_one(store: Store) -> None:
    order = await place(store)
    async with store.writing() as unit:
        await unit.orders.by_id(order.id)
        async with asyncio.timeout(2):
            assert await read(store, order) == order


async def test_a_writing_unit_waits_for_no_reading_one(store: Store) -> None:
    order = await place(store)
    async with store.reading() as unit:
        await unit.orders.by_id(order.id)
        async with asyncio.timeout(2):
            await change(store, order, reconciled(order))


async def test_a_reading_unit_refuses_to_commit_and_to_write(store: Store) -> None:
    order = await place(store)
    refund = Refund(
        id=RefundId("r"), order_id=order.id, amount=order.price, reason="", requested_by="gyeolje", requested_at=NOW
    )
    event = WebhookEvent(id=WebhookId("msg_1"), type="Transaction.Paid", payment_id=None, store_id=None)
    key = PlacedBefore(key_hash="k", order_id=order.id, fingerprint="f", salt="s")
    entry = replace(placed().entries[0], seq=2)
    writes: list[Callable[[UnitOfWork], Awaitable[object]]] = [
        lambda unit: unit.commit(),
        lambda unit: unit.orders.add(placed(2).order),
        lambda unit: unit.orders.save(order),
        lambda unit: unit.orders.lease_due(NOW, NOW, 1),
        lambda unit: unit.refunds.save(refund),
        lambda unit: unit.history.append([entry]),
        lambda unit: unit.inbox.add(event, outcome="reconciled", received_at=NOW),
        lambda unit: unit.catalog.put(Product(id=ProductId("p"), name="p", price=Money(1, "KRW"))),
        lambda unit: unit.catalog.hold(ProductId("p"), 1),
        lambda unit: unit.catalog.release(ProductId("p"), 1),
        lambda unit: unit.placements.add(key),
        lambda unit: unit.orphans.keep([orphan("p")]),
        lambda unit: unit.sweeps.save(Sweep()),
        lambda unit: unit.api_keys.add(api_key(1)),
        lambda unit: unit.api_keys.revoke(ApiKeyId("k"), NOW),
        lambda unit: unit.api_keys.note_use(ApiKeyId("k"), NOW),
    ]
    for write in writes:
        with pytest.raises(RuntimeError, match="only an open writing unit can write"):
            await ask(store, write)

    assert await read(store, order) == order
    assert await ask(store, lambda unit: unit.catalog.products()) == []


async def test_a_unit_in_which_a_step_failed_cannot_be_committed(store: Store) -> None:
    order = await place(store)
    stored = await change(store, order, reconciled(order))
    async with store.writing() as unit:
        await unit.catalog.put(Product(id=ProductId("p"), name="p", price=Money(1, "KRW")))
        with pytest.raises(ConflictError):
            await unit.orders.save(order)
        with pytest.raises(ConflictError, match="cannot be committed"):
            await unit.commit()

    assert await read(store, order) == stored
    assert await ask(store, lambda unit: unit.catalog.products()) == []


async def test_a_unit_has_a_deadline(new_store: NewStore) -> None:
    store = new_store(seconds=0.2)
    order = await place(store)
    with pytest.raises(StoreUnavailableError, match="not done in time"):
        await write(store, lambda unit: unit.orders.by_id(order.id), lambda _: asyncio.Event().wait())

    assert (await change(store, order, reconciled(order))).status is OrderStatus.COMPLETED


async def test_a_unit_that_waits_for_another_has_a_deadline(new_store: NewStore) -> None:
    store, hasty = new_store(), new_store(seconds=0.2)
    order = await place(store)

    async def also() -> None:
        async with hasty.writing() as unit:
            await unit.orders.by_id(order.id)

    async with store.writing() as unit:
        await unit.orders.by_id(order.id)
        with pytest.raises(StoreUnavailableError):
            await asyncio.create_task(also())
        await record(unit, order, reconciled(order))
        await unit.commit()

    assert (await read(store, order)).status is OrderStatus.COMPLETED


async def test_the_store_answers_a_check(store: Store) -> None:
    await store.check()


# --- orders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "captured"),
    [
        (Money(355_000, "KRW"), Money(355_000, "KRW")),
        (Money(1_599, "USD"), Money(1_599, "USD")),
        (Money(9_800, "JPY"), Money(9_801, "JPY")),
        (Money(355_000, "KRW"), Money(25_099, "USD")),
        (Money(10**15, "KRW"), Money(10**15, "JPY")),
    ],
    ids=str,
)
async def test_every_field_of_an_order_comes_back_as_it_was(store: Store, price: Money, captured: Money) -> None:
    line = OrderLine(product_id=ProductId("p-2"), name='좌석 "A"\\ \U0001f3ab', quantity=1, price=price)
    order = await place(store, line=line)
    full = replace(
        reconciled(order, payment(order, total=captured, cancelled=Money(100, captured.currency))).order,
        observed=Observed(
            said="SOMETHING_NEW",
            attempt="tx-1",
            changed_at=NOW,
            updated_at=NOW - timedelta(seconds=1),
            went_back=100,
            deposit_due=NOW + timedelta(days=3),
            disputed=True,
        ),
        announced_at=NOW - timedelta(microseconds=3),
        attention=Attention(kind=AttentionKind.DISPUTED, why="a person, please: 확인", since=NOW - timedelta(days=1)),
        by_hand=True,
        check_at=NOW + timedelta(microseconds=1),
        checks=3,
        failures=2,
    )
    stored = await change(
        store,
        order,
        replace(reconciled(order, payment(order, total=captured, cancelled=Money(100, captured.currency))), order=full),
    )

    found = await read(store, order)
    assert found == replace(full, version=1) == stored
    assert found.captured == captured
    assert [field.name for field in fields(found) if getattr(found, field.name) is None] == (
        ["reason"] if price == captured else []
    )
    assert found.observed is not None
    assert all(getattr(found.observed, field.name) is not None for field in fields(found.observed))
    assert found.attention is not None
    assert type(found.attention.kind) is AttentionKind
    assert type(found.payment_id) is PaymentId
    assert type(found.status) is OrderStatus
    assert found.created_at.utcoffset() == timedelta(0)


async def test_every_kind_of_question_and_every_reason_comes_back_as_it_was(store: Store) -> None:
    for number, kind in enumerate(AttentionKind):
        order = await place(store, number)
        asked = replace(order, attention=Attention(kind=kind, why="because", since=NOW))
        stored = await change(store, order, Reconciliation(order=asked))
        assert await read(store, order) == stored == replace(asked, version=1)
    for number, reason in enumerate(CancelReason, start=100):
        order = await place(store, number)
        stored = await change(store, order, cancelled_for(order, reason))
        assert (await read(store, order)).reason is stored.reason is reason


def cancelled_for(order: Order, reason: CancelReason) -> Reconciliation:
    entry = HistoryEntry(
        order_id=order.id,
        seq=2,
        kind=HistoryKind.CANCELLED,
        at=NOW,
        status=OrderStatus.CANCELLED,
        reason=reason,
        refunded=order.refunded,
    )
    ended = replace(order, status=OrderStatus.CANCELLED, reason=reason, seq=2)
    return Reconciliation(order=ended, entries=(entry,))


@pytest.mark.parametrize("nothing", [Money(0, "KRW"), Money(0, "USD")], ids=str)
async def test_nothing_is_a_number_and_comes_back_in_its_currency(store: Store, nothing: Money) -> None:
    order = await place(store)
    stored = await change(store, order, reconciled(order, payment(order, total=nothing, cancelled=nothing)))

    found = await read(store, order)
    assert found == stored
    assert (found.captured, found.refunded, found.owed) == (nothing, nothing, nothing)
    assert (found.status, found.reason) == (OrderStatus.CANCELLED, CancelReason.MISMATCH)


async def test_an_order_that_costs_nothing_begins_completed(store: Store) -> None:
    order = await place(store, line=replace(SEAT, price=Money(0, "KRW")))

    assert await read(store, order) == order
    assert (order.status, order.captured) == (OrderStatus.COMPLETED, Money(0, "KRW"))


async def test_an_order_of_several_lines_keeps_them_in_order(store: Store) -> None:
    lines = (
        OrderLine(product_id=ProductId("b"), name="둘", quantity=2, price=Money(10, "KRW")),
        OrderLine(product_id=ProductId("a"), name="하나", quantity=1, price=Money(0, "KRW")),
        OrderLine(product_id=ProductId("c"), name="셋", quantity=3, price=Money(5, "KRW"), held=3, tax_free=True),
    )
    reconciliation = placing(
        order_id=OrderId("o"),
        payment_id=PaymentId("A" * 32),
        token_hash="t",
        lines=lines,
        now=NOW,
        expires_at=NOW,
    )
    async with store.writing() as unit:
        await keep(unit, reconciliation)
        await unit.commit()

    assert (await read(store, reconciliation.order)).lines == lines


async def test_an_order_whose_history_was_not_appended_first_cannot_be_kept(store: Store) -> None:
    async with store.writing() as unit:
        with pytest.raises(StoreUnavailableError, match="refused: a change has its history entry"):
            await unit.orders.add(placed().order)
        with pytest.raises(StoreUnavailableError, match="cannot be committed"):
            await unit.commit()

    assert await ask(store, lambda unit: unit.orders.by_id(placed().order.id)) is None


async def test_a_history_without_its_order_cannot_be_committed(store: Store) -> None:
    with pytest.raises(StoreUnavailableError, match="refused: everything belongs to an order"):
        await write(store, lambda unit: unit.history.append(placed().entries))

    assert await ask(store, lambda unit: unit.history.of_order(placed().order.id)) == []


async def test_a_second_order_for_one_payment_is_a_conflict(store: Store) -> None:
    order = await place(store, 1)
    other = placed(2)
    twin = replace(other, order=replace(other.order, payment_id=order.payment_id))
    with pytest.raises(ConflictError):
        await write(store, lambda unit: keep(unit, twin))


async def test_a_saved_order_has_the_next_version(store: Store) -> None:
    order = await place(store)
    await change(store, order, reconciled(order))

    assert (await read(store, order)).version == order.version + 1


async def test_saving_an_order_that_was_saved_by_anybody_since_is_a_conflict(store: Store) -> None:
    order = await place(store)
    stored = await change(store, order, reconciled(order))
    async with store.writing() as unit:
        with pytest.raises(ConflictError):
            await unit.orders.save(order.check_by(NOW))

    assert await read(store, order) == stored


async def test_saving_an_order_that_was_never_added_is_a_conflict(store: Store) -> None:
    async with store.writing() as unit:
        with pytest.raises(ConflictError):
            await unit.orders.save(placed().order)


async def test_there_is_no_order_of_an_unknown_id(store: Store) -> None:
    await place(store)

    assert await ask(store, lambda unit: unit.orders.by_id(OrderId("unknown"))) is None


async def test_an_order_is_found_by_its_payment(store: Store) -> None:
    order = await place(store, 1)
    await place(store, 2)

    assert await ask(store, lambda unit: unit.orders.by_payment(order.payment_id)) == order


@pytest.mark.parametrize("text", ["", "unknown", "a\x00b", "\ud800", "결제", "x" * 100_000, "' OR 1=1 --", "%"])
async def test_any_text_may_be_asked_for(store: Store, text: str) -> None:
    await place(store)
    for unit_of in (store.reading, store.writing):
        async with unit_of() as unit:
            assert await unit.orders.by_payment(text) is None
            assert await unit.orders.by_id(OrderId(text)) is None
            assert await unit.history.of_order(OrderId(text)) == []
            assert await unit.refunds.of_order(OrderId(text)) == []
            assert not await unit.inbox.seen(WebhookId(text))
            assert await unit.placements.by_key(text) is None


@pytest.mark.parametrize(
    "find",
    [
        lambda unit, order: unit.orders.by_id(order.id),
        lambda unit, order: unit.orders.by_payment(order.payment_id),
    ],
    ids=["by_id", "by_payment"],
)
async def test_in_a_writing_unit_an_order_is_held_until_the_unit_ends(new_store: NewStore, find: Find) -> None:
    first, second = new_store(), new_store()
    order = await place(first)

    async def also() -> Order | None:
        async with second.writing() as unit:
            return await find(unit, order)

    async with first.writing() as unit:
        await find(unit, order)
        waiting = asyncio.create_task(also())
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        stored = await record(unit, order, reconciled(order))
        await unit.commit()

    assert await waiting == stored


async def test_of_ten_units_that_read_decide_and_write_one_order_at_once_exactly_one_wins(new_store: NewStore) -> None:
    stores = [new_store(), new_store()]
    order = await place(stores[0])
    together = asyncio.Barrier(10)

    async def reconcile(store: Store) -> bool:
        await together.wait()
        async with store.writing() as unit:
            current = await unit.orders.by_id(order.id)
            assert current is not None
            if current.status is not OrderStatus.PENDING:
                return False
            await record(unit, current, reconciled(current))
            await unit.commit()
            return True

    assert sorted(await asyncio.gather(*(reconcile(stores[n % 2]) for n in range(10)))) == [False] * 9 + [True]
    assert [e.kind.value for e in await ask(stores[0], lambda unit: unit.history.of_order(order.id))] == [
        "placed",
        "payment_observed",
        "completed",
    ]


async def test_of_ten_units_that_save_what_they_read_before_exactly_one_wins(new_store: NewStore) -> None:
    stores = [new_store(), new_store()]
    order = await place(stores[0])
    together = asyncio.Barrier(10)

    async def reconcile(store: Store) -> bool:
        seen = await read(store, order)
        await together.wait()
        try:
            await change(store, seen, reconciled(seen))
        except ConflictError:
            return False
        return True

    assert sorted(await asyncio.gather(*(reconcile(stores[n % 2]) for n in range(10)))) == [False] * 9 + [True]
    assert (await read(stores[0], order)).version == 1


async def test_leases_go_to_at_most_so_many_the_longest_due_first(store: Store) -> None:
    for number, minutes in [(1, 3), (2, 9), (3, 6), (4, 0)]:
        await place(store, number, at=NOW - timedelta(minutes=minutes))
    until = NOW + timedelta(seconds=90)
    async with store.writing() as unit:
        leased = await unit.orders.lease_due(NOW, until, 2)
        await unit.commit()

    assert [order.id for order in leased] == [f"{2:032x}", f"{3:032x}"]
    assert [(order.check_at, order.version) for order in leased] == [(until, 1), (until, 1)]
    assert [await read(store, order) for order in leased] == list(leased)


async def test_an_order_is_due_at_its_very_moment_and_not_before_it(store: Store) -> None:
    order = await place(store)
    due = order.check_at
    assert due is not None
    moment = timedelta(microseconds=1)
    async with store.writing() as unit:
        assert await unit.orders.due_count(due - moment) == 0
        assert await unit.orders.lease_due(due - moment, due + moment, 10) == []
        assert await unit.orders.due_count(due) == 1
        assert [leased.id for leased in await unit.orders.lease_due(due, due + moment, 10)] == [order.id]


async def test_an_order_that_a_wrong_clock_planned_to_check_too_far_away_is_due_now(store: Store) -> None:
    moment = timedelta(microseconds=1)
    usual = await place(store, 1, at=NOW - timedelta(hours=1))
    for number, away in ((2, LONGEST), (3, LONGEST + moment), (4, timedelta(days=365))):
        order = await place(store, number)
        await change(store, order, Reconciliation(order=replace(order, check_at=NOW + away)))
    assert await ask(store, lambda unit: unit.orders.due_count(NOW)) == 3
    async with store.writing() as unit:
        leased = await unit.orders.lease_due(NOW, NOW + moment, 10)
        await unit.commit()

    assert [int(order.id, 16) for order in leased] == [int(usual.id, 16), 3, 4]
    assert {order.check_at for order in leased} == {NOW + moment}
    assert await ask(store, lambda unit: unit.orders.due_count(NOW)) == 0


async def test_an_order_at_rest_is_never_due(store: Store) -> None:
    order = await place(store)
    await change(store, order, reconciled(order))
    async with store.writing() as unit:
        assert await unit.orders.due_count(NOW + timedelta(days=365)) == 0
        assert await unit.orders.lease_due(NOW + timedelta(days=365), NOW, 10) == []


async def test_a_leased_order_is_due_again_once_its_lease_is_over(store: Store) -> None:
    order = await place(store, at=NOW - timedelta(hours=1))
    until = NOW + timedelta(seconds=90)
    async with store.writing() as unit:
        await unit.orders.lease_due(NOW, until, 10)
        await unit.commit()
    async with store.writing() as unit:
        assert await unit.orders.lease_due(NOW, until, 10) == []
        assert [leased.id for leased in await unit.orders.lease_due(until, until, 10)] == [order.id]


async def test_two_callers_never_lease_one_order(new_store: NewStore) -> None:
    stores = [new_store(), new_store()]
    for number in range(30):
        await place(stores[0], number, at=NOW - timedelta(hours=1))
    together = asyncio.Barrier(6)

    async def lease(store: Store) -> list[OrderId]:
        await together.wait()
        async with store.writing() as unit:
            leased = await unit.orders.lease_due(NOW, NOW + timedelta(seconds=90), 10)
            await unit.commit()
            return [order.id for order in leased]

    taken = [one for some in await asyncio.gather(*(lease(stores[n % 2]) for n in range(6))) for one in some]
    assert len(taken) == len(set(taken))
    assert len(taken) >= 10


async def test_a_lease_makes_a_slower_save_a_conflict(store: Store) -> None:
    order = await place(store, at=NOW - timedelta(hours=1))
    async with store.writing() as unit:
        await unit.orders.lease_due(NOW, NOW + timedelta(seconds=90), 10)
        await unit.commit()

    with pytest.raises(ConflictError):
        await change(store, order, reconciled(order))


async def test_pages_begin_with_the_newest_and_go_on_without_gap_or_repetition(store: Store) -> None:
    for number in range(1, 8):
        await place(store, number, at=NOW + timedelta(seconds=number // 2))
    newest = [f"{number:032x}" for number in (7, 6, 5, 4, 3, 2, 1)]
    seen: list[str] = []
    before = None
    while page := await ask(store, lambda unit: unit.orders.page(before=before, limit=3)):  # noqa: B023 - awaited at once
        seen += [order.id for order in page]
        before = (page[-1].created_at, page[-1].id)

    assert seen == newest


async def test_pages_hold_what_matches(store: Store) -> None:
    orders = [await place(store, number, at=NOW + timedelta(seconds=number)) for number in range(1, 5)]
    await change(store, orders[0], reconciled(orders[0]))
    await change(store, orders[1], reconciled(orders[1], payment(orders[1], PaymentStatus.UNKNOWN, said="NEW")))
    wrong = reconciled(orders[2], payment(orders[2], store_id="another"))
    asked = Attention(kind=AttentionKind.CHECKS_FAIL, why="check", since=NOW)
    await change(store, orders[2], replace(wrong, order=replace(wrong.order, attention=asked)))

    async def ids(**matching: Any) -> list[int]:
        found = await ask(store, lambda unit: unit.orders.page(**matching))
        return [int(order.id, 16) for order in found]

    assert await ids() == [4, 3, 2, 1]
    assert await ids(status=OrderStatus.PENDING) == [4, 2]
    assert await ids(status=OrderStatus.COMPLETED) == [1]
    assert await ids(status=OrderStatus.CANCELLED) == [3]
    assert await ids(attention=True) == [3, 2]
    assert await ids(attention=True, status=OrderStatus.PENDING) == [2]
    assert await ids(attention=True, before=(orders[2].created_at, orders[2].id)) == [2]
    assert await ids(status=OrderStatus.COMPLETED, attention=True) == []


# --- refunds ----------------------------------------------------------------------------------------------------


async def owing(store: Store, number: int = 1, *, line: OrderLine = SEAT) -> tuple[Order, Refund]:
    """A completed order of which half is owed back."""
    order = await place(store, number, line=line)
    order = await change(store, order, reconciled(order))
    asked = request_refund(
        order,
        Money(order.price.minor // 2, order.price.currency),
        refund_id=RefundId(f"refund-{number}"),
        reason="마음이 바뀜",
        requested_by="operator",
        now=NOW,
    )
    return await change(store, order, asked), asked.refunds[0]


@pytest.mark.parametrize("currency", ["KRW", "USD", "JPY"])
async def test_every_field_of_a_refund_comes_back_as_it_was(store: Store, currency: str) -> None:
    order, refund = await owing(store, line=replace(SEAT, price=Money(1_599, currency)))
    assert await ask(store, lambda unit: unit.refunds.of_order(order.id)) == [refund]

    sent = Sent(
        key="refund-1-7",
        amount=Money(798, currency),
        tax_free=Money(0, currency),
        left=Money(1_598, currency),
        gone=Money(1, currency),
        at=NOW - timedelta(microseconds=1),
        times=7,
    )
    under_way = replace(refund, sent=sent).answered("cancellation-1")
    refused = under_way.refused("카드사 거절", Need.ACCOUNT, NOW + timedelta(microseconds=1))
    for kept in (under_way, refused):
        async with store.writing() as unit:
            await unit.refunds.save(kept)
            await unit.commit()
        assert await ask(store, lambda unit: unit.refunds.of_order(order.id)) == [kept]

    (found,) = await ask(store, lambda unit: unit.refunds.of_order(order.id))
    assert found.amount == Money(799, currency)
    assert found.sent == sent
    assert (type(found.status), type(found.needs)) == (RefundStatus, Need)
    assert all(getattr(found, field.name) is not None for field in fields(found))


@pytest.mark.parametrize("needs", [None, *Need])
async def test_every_end_of_a_refund_comes_back_as_it_was_and_is_its_last(store: Store, needs: Need | None) -> None:
    ends: dict[RefundStatus, Callable[[Refund], Refund]] = {
        RefundStatus.SUCCEEDED: lambda refund: refund.succeeded(NOW),
        RefundStatus.FAILED: lambda refund: refund.failed("no", NOW),
        RefundStatus.REFUSED: lambda refund: refund.refused("no", needs or Need.NOTHING, NOW),
        RefundStatus.WITHDRAWN: lambda refund: refund.withdrawn(NOW),
    }
    assert set(ends) == set(RefundStatus) - {RefundStatus.REQUESTED}
    for number, end in enumerate(ends.values()):
        order, refund = await owing(store, number)
        ended = end(replace(refund, needs=needs))
        await write(store, lambda unit: unit.refunds.save(ended))  # noqa: B023 - awaited at once
        assert await ask(store, lambda unit: unit.refunds.of_order(order.id)) == [ended]  # noqa: B023 - awaited at once
        with pytest.raises(StoreUnavailableError, match="refused: a refund ends once"):
            await write(store, lambda unit: unit.refunds.save(refund.succeeded(NOW + timedelta(1))))  # noqa: B023 - the same


async def test_what_was_asked_of_the_gateway_is_kept_and_replaced_while_the_order_stays_as_it_is(store: Store) -> None:
    order, refund = await owing(store)
    first = Sent(
        key="k1",
        amount=refund.amount,
        tax_free=Money(5, "KRW"),
        left=order.price,
        gone=Money(0, "KRW"),
        at=NOW,
    )
    async with store.writing() as unit:
        current = await unit.orders.by_id(order.id)
        assert current is not None
        stored = await keep_all(unit, current, Reconciliation(order=current, refunds=(replace(refund, sent=first),)))
        await unit.commit()
    assert stored.version == order.version + 1
    assert (await ask(store, lambda unit: unit.refunds.of_order(order.id)))[0].sent == first
    with pytest.raises(ConflictError):
        await write(store, lambda unit: unit.orders.save(order))


async def test_saving_a_refund_replaces_the_one_of_its_id(store: Store) -> None:
    order, refund = await owing(store)
    done = refund.succeeded(NOW)
    async with store.writing() as unit:
        await unit.refunds.save(refund)
        await unit.refunds.save(done)
        await unit.refunds.save(done)
        await unit.commit()

    assert await ask(store, lambda unit: unit.refunds.of_order(order.id)) == [done]


async def test_the_refunds_of_an_order_come_the_oldest_first_and_none_of_another(store: Store) -> None:
    order, first = await owing(store, 1)
    _, other = await owing(store, 2)
    asked = request_refund(
        order, None, refund_id=RefundId("a"), reason="rest", requested_by="operator", now=NOW + timedelta(seconds=1)
    )
    await change(store, order, asked)

    assert await ask(store, lambda unit: unit.refunds.of_order(order.id)) == [first, asked.refunds[0]]
    assert await ask(store, lambda unit: unit.refunds.of_order(other.order_id)) == [other]


async def test_two_full_refunds_asked_for_at_once_are_one(new_store: NewStore) -> None:
    stores = [new_store(), new_store()]
    order = await place(stores[0])
    order = await change(stores[0], order, reconciled(order))
    together = asyncio.Barrier(2)

    async def refund(store: Store, name: str) -> bool:
        seen = await read(store, order)
        asked = request_refund(seen, None, refund_id=RefundId(name), reason="", requested_by="operator", now=NOW)
        await together.wait()
        try:
            await change(store, seen, asked)
        except ConflictError:
            return False
        return True

    assert sorted(await asyncio.gather(refund(stores[0], "a"), refund(stores[1], "b"))) == [False, True]
    assert len(await ask(stores[0], lambda unit: unit.refunds.of_order(order.id))) == 1


@pytest.mark.parametrize("amount", [None, Money(1, "KRW")])
async def test_a_refund_asked_for_ten_times_at_once_with_one_key_is_one(
    new_store: NewStore, amount: Money | None
) -> None:
    stores = [new_store(), new_store()]
    order = await place(stores[0])
    order = await change(stores[0], order, reconciled(order))
    command = RefundOrderCommand(
        order_id=order.id, amount=amount, reason="", requested_by="operator", idempotency_key="once"
    )
    ask_back = [
        RefundOrder(store, InProcessNotifier(), lambda: NOW, gateway=NOBODY, carry_out_refunds=NOBODY)
        for store in stores
    ]

    refunds = await asyncio.gather(*(ask_back[n % 2](command) for n in range(10)))

    assert await ask(stores[0], lambda unit: unit.refunds.of_order(order.id)) == refunds[:1]
    assert refunds == refunds[:1] * 10


# --- history ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("currency", ["KRW", "USD", "JPY"])
async def test_every_field_of_an_entry_comes_back_as_it_was(store: Store, currency: str) -> None:
    order = await place(store)
    data = {
        "said": "말",
        "n": 10**15,
        "no": None,
        "yes": True,
        "part": 0.5,
        "differs": ["amount", "통화"],
        "odd": "a\x00\ud800",
    }
    entry = HistoryEntry(
        order_id=order.id,
        seq=2,
        kind=HistoryKind.CANCELLED,
        at=NOW + timedelta(microseconds=7),
        status=OrderStatus.CANCELLED,
        reason=CancelReason.MISMATCH,
        refunded=Money(12_345, currency),
        data=data,
    )
    async with store.writing() as unit:
        await unit.history.append([entry])
        await unit.commit()

    (found,) = await ask(store, lambda unit: unit.history.of_order(order.id, after=1))
    assert found == entry
    assert (type(found.kind), type(found.status), type(found.reason)) == (HistoryKind, OrderStatus, CancelReason)


async def test_entries_come_in_order_after_a_number_and_never_those_of_another_order(store: Store) -> None:
    order, other = await place(store, 1), await place(store, 2)
    await change(store, order, reconciled(order))

    async def numbers(order_id: OrderId, after: int = 0) -> list[int]:
        entries = await ask(store, lambda unit: unit.history.of_order(order_id, after=after))
        assert all(entry.order_id == order_id for entry in entries)
        return [entry.seq for entry in entries]

    assert await numbers(order.id) == [1, 2, 3]
    assert await numbers(order.id, after=1) == [2, 3]
    assert await numbers(order.id, after=3) == []
    assert await numbers(order.id, after=10**30) == []
    assert await numbers(other.id) == [1]


async def test_appending_an_entry_that_is_there_already_is_a_conflict(store: Store) -> None:
    order = await place(store)
    entries = reconciled(order).entries
    await change(store, order, reconciled(order))
    with pytest.raises(ConflictError):
        async with store.writing() as unit:
            await unit.history.append(entries)

    assert len(await ask(store, lambda unit: unit.history.of_order(order.id))) == 3


async def test_the_history_takes_no_gap(store: Store) -> None:
    order = await place(store)
    with pytest.raises(StoreUnavailableError, match="refused: the history has no gaps"):
        async with store.writing() as unit:
            await unit.history.append([replace(reconciled(order).entries[0], seq=3)])


async def test_appending_nothing_is_nothing(store: Store) -> None:
    async with store.writing() as unit:
        await unit.history.append([])
        await unit.commit()


# --- inbox ------------------------------------------------------------------------------------------------------


def event(name: str = "msg_1", **fields: Any) -> WebhookEvent:
    said: dict[str, Any] = {"type": "Transaction.Paid", "payment_id": "p", "store_id": "store-1", "occurred_at": NOW}
    return WebhookEvent(id=WebhookId(name), **(said | fields))


async def test_an_event_is_kept_once_for_ever(store: Store) -> None:
    assert not await ask(store, lambda unit: unit.inbox.seen(WebhookId("msg_1")))
    for expected in (True, False):
        async with store.writing() as unit:
            assert await unit.inbox.add(event(), outcome="reconciled", received_at=NOW) is expected
            await unit.commit()

    assert await ask(store, lambda unit: unit.inbox.seen(WebhookId("msg_1")))
    assert not await ask(store, lambda unit: unit.inbox.seen(WebhookId("msg_2")))


async def test_an_event_seen_before_fails_nothing_else_in_its_unit(store: Store) -> None:
    order = await place(store)
    async with store.writing() as unit:
        assert await unit.inbox.add(event(), outcome="reconciled", received_at=NOW)
        assert not await unit.inbox.add(event(), outcome="reconciled", received_at=NOW)
        await record(unit, order, reconciled(order))
        await unit.commit()

    assert (await read(store, order)).status is OrderStatus.COMPLETED


async def test_of_ten_copies_of_an_event_that_come_at_once_exactly_one_is_kept(new_store: NewStore) -> None:
    stores = [new_store(), new_store()]
    together = asyncio.Barrier(10)

    async def receive(store: Store) -> bool:
        await together.wait()
        async with store.writing() as unit:
            kept = await unit.inbox.add(event(), outcome="reconciled", received_at=NOW)
            await unit.commit()
            return kept

    assert sorted(await asyncio.gather(*(receive(stores[n % 2]) for n in range(10)))) == [False] * 9 + [True]


async def test_an_event_may_say_anything_or_nothing(store: Store) -> None:
    odd = event("msg_\ud800\x00", type="새\x00 type \udfff", payment_id="\x00", store_id=None, occurred_at=None)
    for expected in (True, False):
        async with store.writing() as unit:
            assert await unit.inbox.add(odd, outcome="ignored", received_at=NOW) is expected
            await unit.commit()

    assert await ask(store, lambda unit: unit.inbox.seen(odd.id))


# --- catalogue --------------------------------------------------------------------------------------------------


async def stock(store: Store, *products: Product) -> None:
    async with store.writing() as unit:
        for product in products:
            await unit.catalog.put(product)
        await unit.commit()


def product(
    name: str = "p",
    *,
    capacity: int | None = None,
    held: int = 0,
    price: Money = SEAT.price,
    tax_free: bool = False,
) -> Product:
    return Product(id=ProductId(name), name=name, price=price, capacity=capacity, held=held, tax_free=tax_free)


async def kept_products(store: Store) -> list[Product]:
    return list(await ask(store, lambda unit: unit.catalog.products()))


async def held(store: Store, quantity: int, name: str = "p") -> Product:
    async with store.writing() as unit:
        taken = await unit.catalog.hold(ProductId(name), quantity)
        await unit.commit()
    return taken


async def released(store: Store, quantity: int, name: str = "p") -> None:
    async with store.writing() as unit:
        await unit.catalog.release(ProductId(name), quantity)
        await unit.commit()


async def test_products_come_back_as_they_were_by_name(store: Store) -> None:
    kept = [
        product("나", price=Money(9_800, "JPY"), capacity=0),
        product("b", price=Money(1_599, "USD"), tax_free=True),
        product("B", price=Money(0, "KRW"), capacity=2**63 - 1),
        product("가", capacity=1),
    ]
    await stock(store, *kept)

    assert await kept_products(store) == [kept[2], kept[1], kept[3], kept[0]]
    async with store.reading() as unit:
        assert [await unit.catalog.by_id(one.id) for one in kept] == kept


@pytest.mark.parametrize("name", ["unknown", "a\x00b", "\ud800"])
async def test_there_is_no_product_of_an_id_that_none_has(store: Store, name: str) -> None:
    await stock(store, product())
    assert await ask(store, lambda unit: unit.catalog.by_id(ProductId(name))) is None


async def test_putting_a_product_replaces_the_one_of_its_id_but_for_what_is_held(store: Store) -> None:
    await stock(store, product(capacity=3))
    await held(store, 2)
    other = Product(id=ProductId("p"), name="new", price=Money(2, "USD"), capacity=7, tax_free=True)
    await stock(store, replace(other, held=5))

    assert await kept_products(store) == [replace(other, held=2)]


async def test_nothing_is_held_of_a_new_product(store: Store) -> None:
    await stock(store, product(capacity=3, held=2))
    assert await kept_products(store) == [product(capacity=3)]


async def test_a_product_that_is_read_to_be_changed_is_held_meanwhile(store: Store) -> None:
    await stock(store, product(capacity=10))
    together = asyncio.Barrier(10)

    async def one_more() -> None:
        await together.wait()
        while True:
            try:
                async with store.writing() as unit:
                    now = await unit.catalog.by_id(ProductId("p"))
                    assert now is not None
                    assert now.capacity is not None
                    await unit.catalog.put(replace(now, capacity=now.capacity + 1))
                    await unit.commit()
            except ConflictError:
                continue
            return

    await asyncio.gather(*(one_more() for _ in range(10)))
    assert await kept_products(store) == [product(capacity=20)]


async def test_holding_takes_off_what_is_available_and_tells_the_product_as_it_is_then(store: Store) -> None:
    await stock(store, product(capacity=5))
    async with store.writing() as unit:
        first = await unit.catalog.hold(ProductId("p"), 2)
        second = await unit.catalog.hold(ProductId("p"), 3)
        await unit.commit()

    assert (first, first.available) == (product(capacity=5, held=2), 3)
    assert (second, second.available) == (product(capacity=5, held=5), 0)
    assert await kept_products(store) == [product(capacity=5, held=5)]


async def test_a_product_without_limit_can_always_be_held_and_nothing_is_written_for_it(store: Store) -> None:
    await stock(store, product())
    async with store.writing() as unit:
        assert await unit.catalog.hold(ProductId("p"), 10**30) == product()
        await unit.commit()

    assert await kept_products(store) == [product()]


@pytest.mark.parametrize("quantity", [3, 2**63, 10**30])
async def test_more_than_is_left_is_sold_out_and_nothing_is_taken(store: Store, quantity: int) -> None:
    await stock(store, product(capacity=2))
    async with store.writing() as unit:
        with pytest.raises(SoldOutError):
            await unit.catalog.hold(ProductId("p"), quantity)
        await unit.commit()

    assert await kept_products(store) == [product(capacity=2)]


async def test_nothing_is_left_where_less_than_what_is_held_is_for_sale(store: Store) -> None:
    await stock(store, product(capacity=5))
    await held(store, 3)
    await stock(store, product(capacity=1))
    with pytest.raises(SoldOutError):
        await held(store, 1)
    await released(store, 2)
    with pytest.raises(SoldOutError):
        await held(store, 1)
    await released(store, 1)
    assert await held(store, 1) == product(capacity=1, held=1)


@pytest.mark.parametrize("name", ["unknown", "a\x00b", "\ud800"])
async def test_a_product_that_is_not_there_cannot_be_held(store: Store, name: str) -> None:
    await stock(store, product())
    async with store.writing() as unit:
        with pytest.raises(ProductNotFoundError):
            await unit.catalog.hold(ProductId(name), 1)


async def test_releasing_lets_go_of_what_was_held(store: Store) -> None:
    await stock(store, product(capacity=5))
    await held(store, 4)
    await released(store, 3)
    assert await kept_products(store) == [product(capacity=5, held=1)]


async def test_no_more_is_let_go_of_than_is_held(store: Store) -> None:
    await stock(store, product(capacity=5))
    await held(store, 2)
    await released(store, 3)
    assert await kept_products(store) == [product(capacity=5)]


async def test_what_was_held_is_let_go_of_whether_or_not_there_is_a_limit_by_then(store: Store) -> None:
    await stock(store, product(capacity=5))
    await held(store, 4)
    await stock(store, product())
    await held(store, 7)
    await released(store, 3)
    await stock(store, product(capacity=5))
    assert await kept_products(store) == [product(capacity=5, held=1)], "no unit was made up, and none was lost"


async def test_a_product_that_is_gone_stays_gone_when_released(store: Store) -> None:
    await stock(store, product())
    await released(store, 3)
    await released(store, 3, "gone")
    assert await kept_products(store) == [product()]


async def test_stock_is_never_negative(store: Store) -> None:
    with pytest.raises(StoreUnavailableError, match="refused: stock is never negative"):
        await stock(store, product(capacity=-1))


@pytest.mark.parametrize("wanting", [10, 20])
async def test_of_all_who_want_the_last_seat_exactly_one_gets_it(new_store: NewStore, wanting: int) -> None:
    stores = [new_store(), new_store()]
    await stock(stores[0], product(capacity=1))
    together = asyncio.Barrier(wanting)

    async def hold(store: Store) -> bool:
        await together.wait()
        try:
            await held(store, 1)
        except SoldOutError:
            return False
        return True

    won = await asyncio.gather(*(hold(stores[n % 2]) for n in range(wanting)))
    assert sorted(won) == [False] * (wanting - 1) + [True]
    assert await kept_products(stores[0]) == [product(capacity=1, held=1)]


# --- placements -------------------------------------------------------------------------------------------------


async def place_with_key(store: Store, number: int, key: str) -> PlacedBefore:
    reconciliation = placed(number)
    remembered = PlacedBefore(
        key_hash=key, order_id=reconciliation.order.id, fingerprint=f"f{number}", salt=f"s{number}"
    )
    async with store.writing() as unit:
        await keep(unit, reconciliation)
        await unit.placements.add(remembered)
        await unit.commit()
    return remembered


async def test_a_key_tells_what_it_placed(store: Store) -> None:
    remembered = await place_with_key(store, 1, "k1")

    assert await ask(store, lambda unit: unit.placements.by_key("k1")) == remembered
    assert await ask(store, lambda unit: unit.placements.by_key("k2")) is None


async def test_a_key_that_is_remembered_already_is_a_conflict(store: Store) -> None:
    remembered = await place_with_key(store, 1, "k1")
    with pytest.raises(ConflictError):
        await place_with_key(store, 2, "k1")

    assert await ask(store, lambda unit: unit.placements.by_key("k1")) == remembered
    assert await ask(store, lambda unit: unit.orders.by_id(placed(2).order.id)) is None


async def test_of_ten_orders_placed_at_once_with_one_key_exactly_one_is_kept(new_store: NewStore) -> None:
    stores = [new_store(), new_store()]
    together = asyncio.Barrier(10)

    async def attempt(number: int) -> bool:
        await together.wait()
        try:
            await place_with_key(stores[number % 2], number, "k1")
        except ConflictError:
            return False
        return True

    assert sorted(await asyncio.gather(*(attempt(number) for number in range(10)))) == [False] * 9 + [True]
    assert len(await ask(stores[0], lambda unit: unit.orders.page())) == 1


# --- orphans, and the sweep that finds them ---------------------------------------------------------------------


async def test_the_orders_of_many_payments_come_by_payment_without_those_that_have_none(store: Store) -> None:
    orders = [await place(store, number) for number in range(1, 5)]
    await change(store, orders[0], reconciled(orders[0]))
    asked = [orders[0].payment_id, "unknown", orders[2].payment_id, "a\x00b", "\ud800", orders[2].payment_id, "가"]

    found = await ask(store, lambda unit: unit.orders.by_payments(asked))
    assert found == {order.payment_id: await read(store, order) for order in (orders[0], orders[2])}
    assert await ask(store, lambda unit: unit.orders.by_payments([])) == {}


async def test_the_orders_of_five_hundred_payments_are_asked_for_at_once(store: Store) -> None:
    async with store.writing() as unit:
        for number in range(500):
            await keep(unit, placed(number))
        await unit.commit()

    found = await ask(store, lambda unit: unit.orders.by_payments([f"{n:032d}" for n in range(500)]))
    assert [int(name) for name in sorted(found)] == list(range(500))


async def test_asking_for_the_orders_of_payments_holds_none_of_them(new_store: NewStore) -> None:
    store, other = new_store(), new_store()
    order = await place(store)
    async with store.reading() as unit:
        await unit.orders.by_payments([order.payment_id])
        async with asyncio.timeout(2):
            await change(other, order, reconciled(order))


async def test_orders_of_which_anything_was_captured_come_by_when_they_moved(store: Store) -> None:
    moved = {1: 5, 2: 3, 3: 3, 4: 9, 5: 0, 6: 1}
    for number, minutes in moved.items():
        order = await place(store, number, at=NOW - timedelta(days=number))
        changed_at = NOW + timedelta(minutes=minutes)
        await change(store, order, reconciled(order, payment(order, changed_at=changed_at)))
    untimed = await place(store, 7, at=NOW + timedelta(minutes=2))
    await change(store, untimed, reconciled(untimed))
    unpaid = await place(store, 8, at=NOW + timedelta(minutes=2))
    await change(store, unpaid, reconciled(unpaid, payment(unpaid, PaymentStatus.READY)))
    seen: list[int] = []
    after = None
    since, until = NOW + timedelta(minutes=1), NOW + timedelta(minutes=5)
    while page := await ask(
        store,
        lambda unit: unit.orders.captured_between(since, until, after=after, limit=2),  # noqa: B023 - awaited at once
    ):
        seen += [int(order.id, 16) for order in page]
        after = (page[-1].moved_at, page[-1].id)

    assert seen == [6, 7, 2, 3, 1]
    (last,) = await ask(store, lambda unit: unit.orders.captured_between(until, until))
    assert last == await read(store, last)


async def test_orders_that_owe_or_ask_for_a_person_come_the_oldest_first_and_no_others(store: Store) -> None:
    """Two placed at one moment, one that both owes and asks, one at rest, one that was never paid."""
    asks = Attention(kind=AttentionKind.DISPUTED, why="see to it", since=NOW)
    kept: dict[int, Order] = {}
    for number, days in {1: 5, 2: 3, 3: 3, 4: 9, 5: 0, 6: 1, 7: 2}.items():
        order = await place(store, number, at=NOW - timedelta(days=days))
        if number not in (6, 7):
            order = await change(store, order, reconciled(order))
        kept[number] = order
    for number in (1, 3, 5):
        asked = request_refund(
            kept[number],
            Money(1, "KRW"),
            refund_id=RefundId(f"{number}" * 32),
            reason="",
            requested_by="me",
            now=NOW,
        )
        kept[number] = await change(store, kept[number], asked)
    for number in (2, 5, 7):
        kept[number] = await change(store, kept[number], Reconciliation(order=replace(kept[number], attention=asks)))
    seen: list[int] = []
    after = None
    while page := await ask(store, lambda unit: unit.orders.unfinished(after=after, limit=2)):  # noqa: B023 - awaited at once
        seen += [int(order.id, 16) for order in page]
        after = (page[-1].created_at, page[-1].id)

    assert seen == [1, 2, 3, 7, 5]
    (first,) = await ask(store, lambda unit: unit.orders.unfinished(limit=1))
    assert first == await read(store, first)


async def test_when_the_first_order_was_placed_is_known_and_nothing_where_there_is_none(store: Store) -> None:
    assert await ask(store, lambda unit: unit.orders.first_placed_at()) is None
    for number, days in enumerate((1, 3, 2)):
        await place(store, number, at=NOW - timedelta(days=days))
    assert await ask(store, lambda unit: unit.orders.first_placed_at()) == NOW - timedelta(days=3)


async def test_the_refunds_of_many_orders_come_by_order_the_oldest_first_without_those_that_have_none(
    store: Store,
) -> None:
    orders = [await place(store, number) for number in range(4)]
    for number, order in enumerate(orders[:3]):
        paid = await change(store, order, reconciled(order))
        for nth, minutes in enumerate((2, 1)):
            asked = request_refund(
                paid,
                Money(1, "KRW"),
                refund_id=RefundId(f"{number}{nth}" * 16),
                reason="",
                requested_by="me",
                now=NOW + timedelta(minutes=minutes),
            )
            paid = await change(store, paid, asked)

    wanted = [orders[0].id, orders[2].id, orders[3].id, OrderId("none")]
    found = await ask(store, lambda unit: unit.refunds.of_orders(wanted))
    one_by_one = {name: await ask(store, lambda unit: unit.refunds.of_order(name)) for name in wanted[:2]}  # noqa: B023 - awaited at once
    assert {name: list(refunds) for name, refunds in found.items()} == one_by_one
    assert [refund.id[:2] for refund in found[orders[0].id]] == ["01", "00"]
    assert await ask(store, lambda unit: unit.refunds.of_orders([])) == {}


def orphan(payment_id: str, **fields: Any) -> Orphan:
    said: dict[str, Any] = {
        "store_id": "store-1",
        "said": "PARTIAL_CANCELLED",
        "captured": Money(5_000, "KRW"),
        "cancelled": Money(1_000, "KRW"),
        "changed_at": NOW - timedelta(microseconds=1),
        "first_seen_at": NOW,
        "last_seen_at": NOW + timedelta(microseconds=1),
    }
    return Orphan(payment_id=payment_id, **(said | fields))


async def keep_orphans(store: Store, *orphans: Orphan) -> int:
    async with store.writing() as unit:
        new = await unit.orphans.keep(orphans)
        await unit.commit()
    return new


async def test_every_field_of_an_orphan_comes_back_as_it_was(store: Store) -> None:
    kept = [
        orphan("b", captured=Money(10**15, "USD"), cancelled=Money(0, "USD")),
        orphan("a", store_id=None, said="새 말", changed_at=None),
    ]
    assert await keep_orphans(store, *kept) == 2

    assert await ask(store, lambda unit: unit.orphans.page()) == kept


async def test_an_orphan_seen_again_is_replaced_but_for_when_it_was_first_seen(store: Store) -> None:
    later = NOW + timedelta(days=1)
    again = orphan("a", said="CANCELLED", cancelled=Money(5_000, "KRW"), first_seen_at=later, last_seen_at=later)
    assert await keep_orphans(store, orphan("a")) == 1
    assert await keep_orphans(store, again, orphan("b"), orphan("c")) == 2
    assert await keep_orphans(store) == 0

    found = {one.payment_id: one for one in await ask(store, lambda unit: unit.orphans.page())}
    assert found["a"] == replace(again, first_seen_at=NOW)
    assert set(found) == {"a", "b", "c"}


async def test_an_orphan_may_be_named_anything(store: Store) -> None:
    odd = orphan("\x00 \ud800 주문", said="\x00", store_id="\udfff")
    assert [await keep_orphans(store, odd) for _ in range(2)] == [1, 0]

    assert len(await ask(store, lambda unit: unit.orphans.page())) == 1


async def test_pages_of_orphans_begin_with_the_one_first_seen_last_and_go_on_without_gap_or_repetition(
    store: Store,
) -> None:
    await keep_orphans(store, *(orphan(f"p{n}", first_seen_at=NOW + timedelta(seconds=n // 2)) for n in range(1, 8)))
    seen: list[str] = []
    before = None
    while page := await ask(store, lambda unit: unit.orphans.page(before=before, limit=3)):  # noqa: B023 - awaited at once
        seen += [one.payment_id for one in page]
        before = (page[-1].first_seen_at, page[-1].payment_id)

    assert seen == ["p7", "p6", "p5", "p4", "p3", "p2", "p1"]


async def save_sweep(store: Store, sweep: Sweep) -> Sweep:
    async with store.writing() as unit:
        stored = await unit.sweeps.save(sweep)
        await unit.commit()
    return stored


async def test_the_sweep_begins_new_and_every_field_of_it_comes_back_as_it_was(store: Store) -> None:
    assert await ask(store, lambda unit: unit.sweeps.read()) == Sweep()
    again_at = NOW - timedelta(microseconds=1)
    sweep = Sweep(reached=NOW, again_at=again_at, holder="me", held_until=NOW + timedelta(microseconds=1))
    stored = await save_sweep(store, sweep)

    assert stored == replace(sweep, version=1) == await ask(store, lambda unit: unit.sweeps.read())
    assert await save_sweep(store, stored.released()) == Sweep(reached=NOW, again_at=again_at, version=2)


async def test_a_sweep_that_somebody_saved_since_it_was_read_is_a_conflict(store: Store) -> None:
    stored = await save_sweep(store, Sweep(reached=NOW))
    with pytest.raises(ConflictError):
        await save_sweep(store, Sweep(holder="late", held_until=NOW))

    assert await ask(store, lambda unit: unit.sweeps.read()) == stored


async def test_of_ten_who_take_the_sweep_at_once_exactly_one_gets_it(new_store: NewStore) -> None:
    stores = [new_store(), new_store()]
    together = asyncio.Barrier(10)

    async def take(store: Store, name: str) -> bool:
        sweep = await ask(store, lambda unit: unit.sweeps.read())
        await together.wait()
        try:
            await save_sweep(store, sweep.held_by(name, NOW))
        except ConflictError:
            return False
        return True

    assert sorted(await asyncio.gather(*(take(stores[n % 2], str(n)) for n in range(10)))) == [False] * 9 + [True]
    assert (await ask(stores[0], lambda unit: unit.sweeps.read())).version == 1


# --- API keys ---------------------------------------------------------------------------------------------------


def api_key(number: int, **fields: Any) -> ApiKey:
    said: dict[str, Any] = {
        "id": ApiKeyId(f"{number:032x}"),
        "name": "web",
        "kind": KeyKind.LIVE,
        "hash": f"{number:064x}",
        "scopes": frozenset({Scope.ORDERS_READ}),
        "created_at": NOW,
    }
    return ApiKey(**(said | fields))


async def add_keys(store: Store, *keys: ApiKey) -> None:
    async with store.writing() as unit:
        for key in keys:
            await unit.api_keys.add(key)
        await unit.commit()


async def revoke(store: Store, key: ApiKey, at: datetime) -> ApiKey | None:
    async with store.writing() as unit:
        revoked = await unit.api_keys.revoke(key.id, at)
        await unit.commit()
    return revoked


async def note_use(store: Store, key: ApiKey, hour: datetime) -> None:
    await write(store, lambda unit: unit.api_keys.note_use(key.id, hour))


async def kept_keys(store: Store) -> list[ApiKey]:
    return list(await ask(store, lambda unit: unit.api_keys.keys()))


async def test_every_field_of_an_api_key_comes_back_as_it_was(store: Store) -> None:
    instant = timedelta(microseconds=1)
    kept = [
        api_key(1, kind=KeyKind.TEST, scopes=frozenset(Scope)),
        api_key(
            2, name="결제 서버", expires_at=NOW + instant, revoked_at=NOW - instant, last_used_at=NOW + 2 * instant
        ),
        *(api_key(3 + n, scopes=frozenset({scope})) for n, scope in enumerate(Scope)),
    ]
    await add_keys(store, *kept)

    async with store.reading() as unit:
        assert [await unit.api_keys.by_id(one.id) for one in kept] == kept


async def test_api_keys_come_the_newest_first_the_expired_and_the_revoked_among_them(store: Store) -> None:
    later = NOW + timedelta(microseconds=1)
    kept = [
        api_key(2, created_at=later, revoked_at=NOW),
        api_key(1, created_at=later, expires_at=later + timedelta(days=1)),
        api_key(4),
        api_key(3),
    ]
    assert await kept_keys(store) == []
    await add_keys(store, kept[3], kept[1], kept[0], kept[2])

    assert await kept_keys(store) == kept


@pytest.mark.parametrize("text", ["", "unknown", "a\x00b", "\ud800", "x" * 100_000, "' OR 1=1 --", "%"])
async def test_there_is_no_api_key_of_an_id_that_none_has(store: Store, text: str) -> None:
    key = api_key(1)
    nobody = replace(key, id=ApiKeyId(text))
    await add_keys(store, key)

    assert await ask(store, lambda unit: unit.api_keys.by_id(nobody.id)) is None
    assert await revoke(store, nobody, NOW) is None
    await note_use(store, nobody, NOW)
    assert await kept_keys(store) == [key]


async def test_a_second_api_key_of_one_id_is_a_conflict(store: Store) -> None:
    key = api_key(1)
    await add_keys(store, key)
    with pytest.raises(ConflictError):
        await add_keys(store, api_key(2), replace(key, hash="f" * 64, scopes=frozenset(Scope)))

    assert await kept_keys(store) == [key]


async def test_an_api_key_is_revoked_once_and_nothing_else_of_it_changes(store: Store) -> None:
    key, other = api_key(1, expires_at=NOW + timedelta(days=1), last_used_at=NOW), api_key(2)
    await add_keys(store, key, other)
    revoked = replace(key, revoked_at=NOW + timedelta(hours=1))

    assert await revoke(store, key, NOW + timedelta(hours=1)) == revoked
    assert await revoke(store, key, NOW + timedelta(hours=2)) == revoked
    assert await kept_keys(store) == [other, revoked]


async def test_the_use_of_an_api_key_is_noted_and_nothing_else_of_it_changes(store: Store) -> None:
    key, other = api_key(1, expires_at=NOW + timedelta(days=1), revoked_at=NOW), api_key(2)
    await add_keys(store, key, other)
    for hour in (NOW, NOW, NOW + timedelta(hours=1), NOW - timedelta(hours=1)):
        await note_use(store, key, hour)
        assert await kept_keys(store) == [other, replace(key, last_used_at=hour)]


async def test_ten_who_revoke_an_api_key_while_ten_use_it_lose_nothing_of_each_other(new_store: NewStore) -> None:
    stores = [new_store(), new_store()]
    key = api_key(1)
    await add_keys(stores[0], key)
    together = asyncio.Barrier(20)

    async def end(number: int) -> datetime | None:
        await together.wait()
        revoked = await revoke(stores[number % 2], key, NOW + timedelta(seconds=number))
        assert revoked is not None
        return revoked.revoked_at

    async def use(number: int) -> None:
        await together.wait()
        await note_use(stores[number % 2], key, NOW)

    told, _ = await asyncio.gather(
        asyncio.gather(*(end(number) for number in range(10))), asyncio.gather(*(use(number) for number in range(10)))
    )
    assert len(set(told)) == 1, "all are told of the one revocation that counts"
    assert await kept_keys(stores[0]) == [replace(key, revoked_at=told[0], last_used_at=NOW)]


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"scopes": frozenset()}, "an API key may do something"),
        ({"expires_at": NOW}, "an API key expires after it was made"),
        ({"expires_at": NOW - timedelta(days=1)}, "an API key expires after it was made"),
    ],
)
async def test_no_api_key_breaks_a_rule(store: Store, changed: dict[str, Any], rule: str) -> None:
    with pytest.raises(StoreUnavailableError, match=f"refused: {rule}"):
        await add_keys(store, api_key(1, **changed))

    assert await kept_keys(store) == []


# --- rules that no order may break ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"status": OrderStatus.PENDING}, "an order never moves back"),
        ({"price": Money(355_001, "KRW")}, "an order keeps its identity"),
        ({"name": "another"}, "an order keeps its identity"),
        ({"lines": ()}, "an order keeps its identity"),
        ({"token_hash": "another"}, "an order keeps its identity"),
        ({"captured": None, "refunded": Money(0, "KRW"), "owed": Money(0, "KRW")}, "what was captured never changes"),
        ({"refunded": Money(999, "KRW")}, "what went back stays back"),
        ({"refunded": Money(1_001, "KRW")}, "a change has its history entry"),
        ({"owed": Money(1, "KRW")}, "a change has its history entry"),
        ({"seq": 3}, "a change has its history entry"),
        ({"seq": 5}, "a change has its history entry"),
        ({"reason": CancelReason.EXPIRED}, "a change has its history entry"),
        ({"status": OrderStatus.CANCELLED, "reason": CancelReason.REFUNDED}, "a change has its history entry"),
    ],
    ids=str,
)
async def test_no_save_breaks_a_rule(store: Store, changed: dict[str, Any], rule: str) -> None:
    order = await place(store)
    partly = payment(order, PaymentStatus.PARTIAL_CANCELLED, cancelled=Money(1_000, "KRW"))
    paid = await change(store, order, reconciled(order))
    stored = await change(store, paid, reconciled(paid, partly))
    assert (stored.status, stored.seq) == (OrderStatus.COMPLETED, 4)
    async with store.writing() as unit:
        with pytest.raises(StoreUnavailableError, match=f"refused: {rule}"):
            await unit.orders.save(replace(stored, **changed))

    assert await read(store, order) == stored


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"reason": None}, "a CANCELLED order has a reason, and no other has"),
        ({"status": OrderStatus.COMPLETED, "reason": None}, "a COMPLETED order was paid in full"),
        ({"owed": Money(355_001, "USD")}, "no more goes back than was captured"),
        ({"refunded": Money(0, "KRW"), "owed": Money(0, "KRW")}, "money goes back in the currency it came in"),
    ],
    ids=str,
)
async def test_no_order_is_in_a_state_that_cannot_be(store: Store, changed: dict[str, Any], rule: str) -> None:
    order = await place(store)
    dollars = payment(order, total=Money(355_000, "USD"), cancelled=Money(0, "USD"))
    reconciliation = reconciled(order, dollars)
    assert reconciliation.order.reason is CancelReason.MISMATCH
    wrong = replace(reconciliation.order, **changed)
    last = replace(reconciliation.entries[-1], status=wrong.status, reason=wrong.reason, refunded=wrong.refunded)
    async with store.writing() as unit:
        await unit.history.append([*reconciliation.entries[:-1], last])
        with pytest.raises(StoreUnavailableError, match=f"refused: {rule}"):
            await unit.orders.save(wrong)

    assert await read(store, order) == order


async def test_an_order_begins_pending(store: Store) -> None:
    order = placed().order
    done = reconciled(order)
    with pytest.raises(StoreUnavailableError, match="refused: an order begins PENDING"):
        await write(
            store,
            lambda unit: unit.history.append([*placed().entries, *done.entries]),
            lambda unit: unit.orders.add(done.order),
        )


async def test_every_edge_of_the_lifecycle_can_be_gone(store: Store) -> None:
    order = await place(store, 1)
    completed = await change(store, order, reconciled(order))
    back = payment(order, PaymentStatus.CANCELLED, cancelled=order.price)
    refunded = await change(store, completed, reconciled(completed, back))
    other = await place(store, 2)
    gone = await change(store, other, reconcile(other, None, shop=SHOP, now=NOW, refund_id=RefundId("r"), give_up=True))

    assert [(o.status.value, o.reason) for o in (completed, refunded, gone)] == [
        ("COMPLETED", None),
        ("CANCELLED", CancelReason.REFUNDED),
        ("CANCELLED", CancelReason.ABANDONED),
    ]


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"id": "r2", "amount": Money(1, "KRW")}, "a refund is owed by its order"),
        (
            {"id": "r2", "amount": Money(1, "KRW"), "status": RefundStatus.FAILED, "ended_at": NOW},
            "a refund begins REQUESTED",
        ),
        ({"id": "r2", "amount": Money(0, "KRW")}, "a refund gives something back"),
        ({"amount": Money(1, "KRW")}, "a refund keeps its identity"),
        ({"reason": "another"}, "a refund keeps its identity"),
        ({"requested_by": "another"}, "a refund keeps its identity"),
        ({"ended_at": NOW}, "a refund that has ended says when"),
        ({"status": RefundStatus.SUCCEEDED}, "a refund that has ended says when"),
    ],
    ids=str,
)
async def test_no_refund_breaks_a_rule(store: Store, changed: dict[str, Any], rule: str) -> None:
    order, refund = await owing(store)
    async with store.writing() as unit:
        with pytest.raises(StoreUnavailableError, match=f"refused: {rule}"):
            await unit.refunds.save(replace(refund, **changed))

    assert await ask(store, lambda unit: unit.refunds.of_order(order.id)) == [refund]


@pytest.mark.parametrize("again", [RefundStatus.REQUESTED, RefundStatus.SUCCEEDED])
async def test_a_refund_ends_once(store: Store, again: RefundStatus) -> None:
    _, refund = await owing(store)
    async with store.writing() as unit:
        await unit.refunds.save(refund.failed("no", NOW))
        await unit.commit()
    other = replace(refund, status=again, ended_at=None if again is RefundStatus.REQUESTED else NOW)
    async with store.writing() as unit:
        with pytest.raises(StoreUnavailableError, match="refused: a refund ends once"):
            await unit.refunds.save(other)


async def test_a_refund_belongs_to_an_order(store: Store) -> None:
    refund = Refund(
        id=RefundId("r"), order_id=OrderId("x"), amount=Money(1, "KRW"), reason="", requested_by="", requested_at=NOW
    )
    with pytest.raises(StoreUnavailableError, match="refused: everything belongs to an order"):
        await write(store, lambda unit: unit.refunds.save(refund))


async def test_a_placement_belongs_to_an_order(store: Store) -> None:
    remembered = PlacedBefore(key_hash="k", order_id=OrderId("x"), fingerprint="f", salt="s")
    with pytest.raises(StoreUnavailableError, match="refused: everything belongs to an order"):
        await write(store, lambda unit: unit.placements.add(remembered))
