"""What only a real database can get wrong: statements and commits, stray SQL, outages, cancellation, crashes."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.persistence.engine import create_engine
from adapters.persistence.sql import SqlStore
from application.errors import ConflictError, StoreUnavailableError
from application.ports import UnitOfWork
from application.transact import record
from domain.ids import OrderId, PaymentId, ProductId, RefundId, WebhookId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order, OrderLine
from domain.payment import Payment, PaymentStatus, Shop
from domain.reconciliation import place as placing
from domain.reconciliation import reconcile as reconciling
from domain.reconciliation import request_refund
from domain.revision import Reconciliation
from domain.webhook_event import WebhookEvent

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEAT = OrderLine(product_id=ProductId("vip-1-1"), name="VIP 1열 1번", quantity=1, price=Money(355_000, "KRW"))
PAID = WebhookEvent(id=WebhookId("msg_1"), type="Transaction.Paid", payment_id="0" * 32, store_id="store-1")
PLACED = placing(
    order_id=OrderId("order-1"),
    payment_id=PaymentId("0" * 32),
    token_hash="0" * 64,
    lines=[SEAT],
    now=NOW,
    expires_at=NOW + timedelta(minutes=15),
)


def reconciled(order: Order, **fields: Any) -> Reconciliation:
    said: dict[str, Any] = {"status": PaymentStatus.PAID, "said": "PAID", "cancelled": Money(0, "KRW")}
    payment = Payment(id=order.payment_id, total=order.price, store_id="s", channel_type="LIVE", **(said | fields))
    shop = Shop(store_id="s", channel_type="LIVE")
    return reconciling(order, payment, shop=shop, now=NOW, refund_id=RefundId("refund-1"))


async def place(store: SqlStore) -> Order:
    async with store.writing() as unit:
        await unit.history.append(PLACED.entries)
        await unit.orders.add(PLACED.order)
        await unit.commit()
    return PLACED.order


async def reconcile(store: SqlStore, order: Order, reconciliation: Reconciliation | None = None) -> Order:
    async with store.writing() as unit:
        await unit.inbox.add(PAID, outcome="reconciled", received_at=NOW)
        stored = await record(unit, order, reconciliation or reconciled(order))
        await unit.commit()
    return stored


async def read(store: SqlStore) -> Order:
    async with store.reading() as unit:
        order = await unit.orders.by_payment("0" * 32)
    assert order is not None
    return order


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[tuple[AsyncEngine, SqlStore]]:
    engine = create_engine(url)
    try:
        yield engine, SqlStore(engine, **options)
    finally:
        await engine.dispose()


# --- what it costs ----------------------------------------------------------------------------------------------


async def test_a_fresh_webhook_costs_four_statements_and_one_commit(database_url: str) -> None:
    async with opened(database_url) as (engine, store):
        await place(store)
        told: list[str] = []

        @event.listens_for(engine.sync_engine, "before_cursor_execute")
        def statement(_c: object, _u: object, said: str, _p: object, _x: object, _m: object) -> None:
            told.append(" ".join(said.split()[:3]))

        @event.listens_for(engine.sync_engine, "commit")
        def commit(_: object) -> None:
            told.append("COMMIT")

        await reconcile(store, await read(store))

    told = [said for said in told if not said.startswith("BEGIN")]
    assert [said.partition(",")[0].partition(".")[0] for said in told] == [
        "SELECT orders",
        "INSERT INTO webhooks",
        "INSERT INTO history",
        "UPDATE orders SET",
        "COMMIT",
    ]


async def test_many_history_entries_are_one_statement_to_the_server(database_url: str) -> None:
    async with opened(database_url) as (engine, store):
        order = await place(store)
        sent: list[int] = []

        @event.listens_for(engine.sync_engine, "before_cursor_execute")
        def statement(_c: object, _u: object, said: str, values: Any, _x: object, _m: object) -> None:
            if said.startswith("INSERT INTO history"):
                sent.append(len(values))

        await reconcile(store, order)

    assert sent == [2 * 9]  # one statement with the nine columns of two rows


# --- stray SQL --------------------------------------------------------------------------------------------------


STRAY = [
    ("UPDATE orders SET status = 'PENDING'", "an order never moves back"),
    ("UPDATE orders SET status = 'PAID'", "an order never moves back"),
    ("UPDATE orders SET status = 'CANCELLED', reason = 'REFUNDED'", "a change has its history entry"),
    ("UPDATE orders SET status = 'CANCELLED', reason = 'REFUNDED', seq = 5", "a change has its history entry"),
    ("UPDATE orders SET reason = 'EXPIRED'", "a change has its history entry"),
    ("UPDATE orders SET captured_minor = 1", "what was captured never changes"),
    ("UPDATE orders SET captured_currency = 'USD'", "what was captured never changes"),
    ("UPDATE orders SET captured_minor = NULL, captured_currency = NULL", "what was captured never changes"),
    ("UPDATE orders SET refunded_minor = 0", "what went back stays back"),
    ("UPDATE orders SET refunded_minor = 355000", "a change has its history entry"),
    ("UPDATE orders SET owed_minor = 0", "a change has its history entry"),
    ("UPDATE orders SET seq = 1", "a change has its history entry"),
    ("UPDATE orders SET seq = seq + 1", "a change has its history entry"),
    ("UPDATE orders SET id = 'x'", "an order keeps its identity"),
    ("UPDATE orders SET payment_id = 'x'", "an order keeps its identity"),
    ("UPDATE orders SET price_minor = 1", "an order keeps its identity"),
    ("UPDATE orders SET price_currency = 'USD'", "an order keeps its identity"),
    ("UPDATE orders SET lines = '[]'", "an order keeps its identity"),
    ("UPDATE orders SET name = 'x'", "an order keeps its identity"),
    ("UPDATE orders SET token_hash = 'x'", "an order keeps its identity"),
    ("UPDATE orders SET created_at = 0", "an order keeps its identity"),
    ("DELETE FROM orders", "an order is never deleted"),
    ("UPDATE history SET kind = 'x' WHERE seq = 1", "the history is only ever added to"),
    ("UPDATE history SET seq = 9 WHERE seq = 5", "the history is only ever added to"),
    ("DELETE FROM history", "the history is only ever added to"),
    ("INSERT INTO history VALUES ('order-1', 7, 'x', 0, 'x', 'x', 0, 'KRW', '{}')", "the history has no gaps"),
    ("UPDATE refunds SET minor = 1", "a refund keeps its identity"),
    ("UPDATE refunds SET currency = 'USD'", "a refund keeps its identity"),
    ("UPDATE refunds SET status = 'SUCCEEDED'", "a refund that has ended says when"),
    ("UPDATE refunds SET status = 'DONE', ended_at = 1", "a refund has a known status"),
    ("DELETE FROM refunds", "a refund is never deleted"),
    ("INSERT INTO products VALUES ('p', 'p', 1, 'KRW', -1, 0, 0)", "stock is never negative"),
    ("INSERT INTO products VALUES ('p', 'p', 1, 'KRW', NULL, -1, 0)", "stock is never negative"),
    ("INSERT INTO products VALUES ('p', 'p', -1, 'KRW', 1, 0, 0)", "a price is never negative"),
    ("INSERT INTO placements VALUES ('k', 'nobody', 'f', 's')", "everything belongs to an order"),
]


@pytest.mark.parametrize(("sql", "rule"), STRAY)
async def test_stray_sql_breaks_no_rule(database_url: str, sql: str, rule: str) -> None:
    async with opened(database_url) as (_, store):
        order = await reconcile(store, await place(store))
        async with store.writing() as unit:
            order = await record(unit, order, reconciled(order, cancelled=Money(1_000, "KRW")))
            await unit.commit()
        asked = request_refund(
            order, Money(5_000, "KRW"), refund_id=RefundId("refund-2"), reason="", requested_by="operator", now=NOW
        )
        async with store.writing() as unit:
            stored = await record(unit, order, asked)
            await unit.commit()
        assert (stored.status, stored.seq, stored.refunded.minor, stored.owed.minor) == ("COMPLETED", 5, 1_000, 5_000)
        with pytest.raises(StoreUnavailableError, match=f"^refused: {rule}$"):
            await stray(store, sql)

        assert await read(store) == stored


@pytest.mark.parametrize("table", ["orders", "history", "refunds"])
async def test_no_table_of_money_can_be_emptied(new_database: Any, table: str) -> None:
    async with opened(new_database("postgresql")) as (_, store):
        await place(store)
        with pytest.raises(StoreUnavailableError, match="refused: "):
            await stray(store, f"TRUNCATE {table} CASCADE")


async def test_replacing_an_order_is_deleting_it(new_database: Any) -> None:
    async with opened(new_database("sqlite")) as (_, store):
        await reconcile(store, await place(store))
        await stray(store, "DELETE FROM webhooks")
        with pytest.raises(StoreUnavailableError, match="refused: the history is only ever added to"):
            await stray(store, "REPLACE INTO history SELECT * FROM history WHERE seq = 1")


async def test_checking_later_by_hand_is_allowed(database_url: str) -> None:
    async with opened(database_url) as (_, store):
        await place(store)
        await stray(store, "UPDATE orders SET check_at = 0, attention = 'by hand', failures = 0")

        assert (await read(store)).check_at == datetime(1970, 1, 1, tzinfo=UTC)


async def stray(store: SqlStore, sql: str) -> None:
    async with store.writing() as unit:
        await unit.run(text(sql))
        await unit.commit()


# --- outages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", [SqlStore.reading, SqlStore.writing])
@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite:////no/such/folder/gyeolje.db",
        "postgresql+asyncpg://nobody@/nothing?host=/no/such/folder",
        "postgresql+asyncpg://nobody:secret@127.0.0.1:1/nothing",
    ],
)
async def test_a_database_that_cannot_be_reached_is_unavailable(
    url: str, use: Callable[[SqlStore], UnitOfWork]
) -> None:
    async with opened(url) as (_, store):
        with pytest.raises(StoreUnavailableError) as refusal:
            async with use(store) as unit:
                await unit.orders.due_count(NOW)
        assert "secret" not in str(refusal.value)
        with pytest.raises(StoreUnavailableError):
            await store.check()


async def test_a_database_without_a_schema_does_not_pass_the_check(empty_database_url: str) -> None:
    async with opened(empty_database_url) as (_, store):
        with pytest.raises(StoreUnavailableError, match="no schema"):
            await store.check()


async def test_a_database_with_another_schema_does_not_pass_the_check(database_url: str) -> None:
    async with opened(database_url) as (_, store):
        await stray(store, "UPDATE alembic_version SET version_num = '0000'")
        with pytest.raises(StoreUnavailableError, match="0000"):
            await store.check()


async def test_sqlite_needs_a_file() -> None:
    for url in ("sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:", "sqlite+aiosqlite:///file::memory:?uri=true"):
        with pytest.raises(ValueError, match="path of a file"):
            create_engine(url)


async def test_a_new_sqlite_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "gyeolje.db"
    async with opened(f"sqlite+aiosqlite:///{path}") as (_, store):
        await stray(store, "CREATE TABLE t (a)")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in os.scandir(tmp_path)}

    assert modes == {"gyeolje.db": 0o600, "gyeolje.db-wal": 0o600, "gyeolje.db-shm": 0o600}


async def test_sqlite_keeps_what_it_promises(new_database: Any) -> None:
    pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
    async with opened(new_database("sqlite")) as (engine, _), engine.connect() as connection:
        found = {name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one() for name in pragmas}

    assert found == pragmas


async def test_postgresql_bounds_every_statement(new_database: Any) -> None:
    limits = {"lock_timeout": "2s", "statement_timeout": "5s", "idle_in_transaction_session_timeout": "10s"}
    async with opened(new_database("postgresql")) as (engine, _), engine.connect() as connection:
        found = {name: (await connection.exec_driver_sql(f"SHOW {name}")).scalar_one() for name in limits}

    assert found == limits


async def test_a_statement_that_takes_too_long_is_given_up(new_database: Any) -> None:
    async with opened(new_database("postgresql")) as (_, store):
        async with store.writing() as unit:
            await unit.run(text("SET LOCAL statement_timeout = '50ms'"))
            with pytest.raises(StoreUnavailableError, match="57014"):
                await unit.run(text("SELECT pg_sleep(5)"))
        await place(store)


async def test_a_lock_that_takes_too_long_is_a_conflict(new_database: Any) -> None:
    async with opened(new_database("postgresql")) as (_, store):
        await place(store)
        async with store.writing() as holder, store.writing() as unit:
            await holder.orders.by_id(PLACED.order.id)
            await unit.run(text("SET LOCAL lock_timeout = '50ms'"))
            with pytest.raises(ConflictError):
                await unit.orders.by_id(PLACED.order.id)


async def test_a_deadlock_is_a_conflict_for_one_and_nothing_for_the_other(new_database: Any) -> None:
    async with opened(new_database("postgresql")) as (_, store):
        await place(store)
        first = PLACED.order
        second = replace(first, id=OrderId("order-2"), payment_id=PaymentId("1" * 32))
        async with store.writing() as unit:
            await unit.history.append([replace(PLACED.entries[0], order_id=second.id)])
            await unit.orders.add(second)
            await unit.commit()
        together = asyncio.Barrier(2)

        async def lock(one: Order, other: Order) -> str:
            try:
                async with store.writing() as unit:
                    await unit.orders.by_id(one.id)
                    await together.wait()
                    await unit.orders.by_id(other.id)
            except ConflictError:
                return "conflict"
            return "done"

        assert sorted(await asyncio.gather(lock(first, second), lock(second, first))) == ["conflict", "done"]


async def test_a_changed_schema_under_a_live_pool_is_a_conflict_once(new_database: Any) -> None:
    async with opened(new_database("postgresql")) as (_, store):
        await place(store)
        await read(store)
        async with opened(store_url(store)) as (_, other):
            await stray(other, "ALTER TABLE orders ALTER COLUMN checks TYPE integer")
        with pytest.raises(ConflictError, match="schema changed"):
            await read(store)
        await read(store)


def store_url(store: SqlStore) -> str:
    return store._engine.url.render_as_string(hide_password=False)


async def test_a_connection_lost_in_a_unit_is_a_conflict_and_the_next_unit_has_a_new_one(new_database: Any) -> None:
    async with opened(new_database("postgresql")) as (_, store):
        order = await place(store)
        async with store.writing() as unit:
            pid = (await unit.run(text("SELECT pg_backend_pid()"))).scalar_one()
            await record(unit, order, reconciled(order))
            await kill_backend(store, pid)
            with pytest.raises(ConflictError):
                await unit.orders.by_id(order.id)

        assert await read(store) == order


async def test_a_commit_that_was_not_confirmed_is_not_called_a_conflict(new_database: Any) -> None:
    async with opened(new_database("postgresql")) as (_, store):
        order = await place(store)
        async with store.writing() as unit:
            pid = (await unit.run(text("SELECT pg_backend_pid()"))).scalar_one()
            await record(unit, order, reconciled(order))
            await kill_backend(store, pid)
            with pytest.raises(StoreUnavailableError, match="not known") as lost:
                await unit.commit()
        assert not isinstance(lost.value, ConflictError)

        assert await read(store) == order


async def test_connections_that_died_in_the_pool_are_replaced_unnoticed(new_database: Any) -> None:
    async with opened(new_database("postgresql")) as (engine, store):
        await place(store)
        died = asyncio.Event()
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            assert raw.driver_connection is not None
            raw.driver_connection.add_termination_listener(lambda _: died.set())
            pid = raw.driver_connection.get_server_pid()
        async with opened(store_url(store)) as (_, other):
            await kill_backend(other, pid)
        await asyncio.wait_for(died.wait(), 5)

        assert await read(store) == PLACED.order


async def kill_backend(store: SqlStore, pid: int) -> None:
    async with store.writing() as unit:
        await unit.run(text("SELECT pg_terminate_backend(:pid, 2000)"), {"pid": pid})


async def test_more_units_than_connections_wait_and_then_give_up(new_database: Any) -> None:
    async with opened(new_database("postgresql")) as (engine, store):
        held = [await store.reading().__aenter__() for _ in range(8)]
        with pytest.raises(StoreUnavailableError, match="no database connection was free"):
            await read(store)
        for unit in held:
            await unit.__aexit__(None, None, None)

        assert checked_out(engine) == 0


async def test_another_process_that_writes_too_long_makes_sqlite_unavailable(new_database: Any) -> None:
    async with opened(new_database("sqlite")) as (engine, store):
        await place(store)
        with closing(sqlite3.connect(str(engine.url.database), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="SQLITE_BUSY") as busy:
                await reconcile(store, PLACED.order)
            assert not isinstance(busy.value, ConflictError)
            assert await read(store) == PLACED.order
            other.execute("ROLLBACK")

        assert (await reconcile(store, PLACED.order)).status is OrderStatus.COMPLETED


async def test_a_full_disk_is_unavailable_and_harmless(new_database: Any) -> None:
    async with opened(new_database("sqlite")) as (engine, store):
        order = await place(store)

        @event.listens_for(engine.sync_engine, "checkout")
        def fill(connection: Any, _record: object, _proxy: object) -> None:
            connection.execute("PRAGMA max_page_count = 1")

        with pytest.raises(StoreUnavailableError, match="SQLITE_FULL"):
            await reconcile(store, replace(order), replace(reconciled(order), entries=bulky(order)))
        event.remove(engine.sync_engine, "checkout", fill)

        assert await read(store) == order


def bulky(order: Order) -> tuple[Any, ...]:
    first, *rest = reconciled(order).entries
    return (replace(first, data={"much": "x" * 200_000}), *rest)


async def test_a_file_that_cannot_be_written_is_unavailable_and_can_be_read(new_database: Any) -> None:
    async with opened(new_database("sqlite")) as (engine, store):
        order = await place(store)

        @event.listens_for(engine.sync_engine, "checkout")
        def protect(connection: Any, _record: object, _proxy: object) -> None:
            connection.execute("PRAGMA query_only = ON")

        with pytest.raises(StoreUnavailableError, match="SQLITE_READONLY"):
            await reconcile(store, order)
        assert await read(store) == order


# --- cancellation -----------------------------------------------------------------------------------------------


@types.coroutine
def cancelled_at(work: Coroutine[Any, Any, None], step: int, times: int) -> Generator[Any, Any, None]:
    """Run ``work``, and cancel the task as it waits for the ``step``-th time and the next ``times - 1`` times."""
    waited, answer, error = 0, None, None
    while True:
        try:
            future = work.send(answer) if error is None else work.throw(error)
        except StopIteration:
            return
        waited += 1
        task = asyncio.current_task()
        if step <= waited < step + times and task is not None:
            task.cancel()
        answer, error = None, None
        try:
            answer = yield future
        except BaseException as thrown:  # noqa: BLE001 - handed on
            error = thrown


@pytest.mark.parametrize("times", [1, 2])
async def test_a_unit_cancelled_at_any_moment_is_done_or_undone_and_leaks_nothing(
    database_url: str, times: int
) -> None:
    async with opened(database_url) as (engine, store):
        await place(store)
        step, ended = 0, False
        while not ended:
            step += 1
            before = await read(store)
            after = before.check_by(before.created_at - timedelta(seconds=step))

            async def unit(before: Order = before, after: Order = after) -> None:
                async with store.writing() as unit:
                    await unit.orders.by_id(before.id)
                    await unit.inbox.add(replace(PAID, id=WebhookId(f"m{step}")), outcome="stored", received_at=NOW)  # noqa: B023
                    await unit.orders.save(after)
                    await unit.commit()

            async def interrupted() -> bool:
                try:
                    await cancelled_at(unit(), step, times)  # noqa: B023
                except asyncio.CancelledError:
                    return False
                return True

            ended = await asyncio.create_task(interrupted())
            async with asyncio.timeout(5):
                async with store.writing() as other:
                    found = await other.orders.by_id(before.id)
                    seen = await other.inbox.seen(WebhookId(f"m{step}"))
                    await other.commit()
            assert (found, seen) in [(before, False), (replace(after, version=before.version + 1), True)]
            assert checked_out(engine) == 0
        assert step > 5
        assert await open_transactions(engine) == 0


def checked_out(engine: AsyncEngine) -> int:
    pool: Any = engine.pool
    return int(pool.checkedout())


async def open_transactions(engine: AsyncEngine) -> int:
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(str(engine.url.database), timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
        return 0
    idle = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'")
    async with engine.connect() as connection:
        return int((await connection.execute(idle)).scalar_one())


# --- crashes ----------------------------------------------------------------------------------------------------

_CRASH = """
import asyncio, os, signal, sys
from adapters.persistence.engine import create_engine
from adapters.persistence.sql import SqlStore

async def main(url: str, commits: bool) -> None:
    async with SqlStore(create_engine(url)).writing() as unit:
        order = await unit.orders.by_payment("0" * 32)
        await unit.orders.save(order.check_by(order.created_at))
        if commits:
            await unit.commit()
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(sys.argv[1], sys.argv[2] == "True"))
"""


@pytest.mark.parametrize("commits", [True, False])
async def test_a_crash_keeps_what_was_committed_and_nothing_else(database_url: str, commits: bool) -> None:
    async with opened(database_url) as (_, store):
        order = await place(store)
        command = [sys.executable, "-c", _CRASH, database_url, str(commits)]
        crashed = await asyncio.to_thread(subprocess.run, command, check=False, env=os.environ | {"PYTHONPATH": "src"})
        assert crashed.returncode == -signal.SIGKILL

        found = await read(store)
        assert (found.version, found.check_at) == ((1, order.created_at) if commits else (0, order.check_at))
        assert (await reconcile(store, found)).status is OrderStatus.COMPLETED


def test_the_url_of_a_database_may_hold_its_password() -> None:
    assert create_engine("postgresql+asyncpg://u:p%40ss@127.0.0.1/db").url == make_url(
        "postgresql+asyncpg://u:p%40ss@127.0.0.1/db"
    )
