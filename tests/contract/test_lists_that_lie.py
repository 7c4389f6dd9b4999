"""A list of changes may filter, sort, stamp, lag and count otherwise than we think: all is seen, or it is said.

The real client asks; a PortOne made up here answers, in each way that its documents do not exclude.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx
import pytest

from adapters.persistence.memory import MemoryStore
from adapters.portone import wire
from adapters.portone.gateway import Patience, PortOneGateway
from application.audit_payments import Audit, AuditPayments
from application.errors import ListIncompleteError
from application.sweep_payments import SweepPayments, Swept
from application.transact import record
from domain.audit import Balance, FindingKind
from domain.ids import OrderId, PaymentId, ProductId, RefundId
from domain.money import Money
from domain.order import Order, OrderLine
from domain.payment import Shop
from domain.reconciliation import place, reconcile
from domain.sweep import AGAIN, AGAIN_EVERY, MARGIN

STORE_ID = "store-00000000-0000-4000-8000-00000000000a"
SHOP = Shop(store_id=STORE_ID, channel_type="LIVE")
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
PRICE = 10_000
SECOND = timedelta(seconds=1)


@dataclass(slots=True)
class Row:
    """One payment: when it happened, what its record says of that, when the list filters and sorts it, and shows it."""

    number: int
    at: datetime
    stamp: datetime | None = None
    filed: datetime | None = None
    shown_from: datetime | None = None
    cancelled: int = 0

    @property
    def id(self) -> str:
        return f"{self.number:032d}"

    @property
    def filed_at(self) -> datetime:
        return self.filed or self.at

    def json(self) -> dict[str, object]:
        stamp = (self.stamp or self.at).isoformat()
        parts = [{"id": "c", "status": "SUCCEEDED", "totalAmount": self.cancelled, "reason": "the console"}]
        return {
            "id": self.id,
            "status": "PARTIAL_CANCELLED" if self.cancelled else "PAID",
            "transactionId": self.id,
            "storeId": STORE_ID,
            "channel": {"type": "LIVE"},
            "amount": {"total": PRICE, "paid": PRICE, "cancelled": self.cancelled},
            "currency": "KRW",
            "statusChangedAt": stamp,
            "updatedAt": stamp,
            "cancellations": parts if self.cancelled else [],
        }


@dataclass(slots=True)
class Lister:
    """PortOne's list, and single records. ``order`` sorts what matches, ``count`` names it, ``lists`` leaves out."""

    rows: list[Row]
    order: Callable[[Row], Any] = lambda row: (row.filed_at, row.number)
    count: Callable[[int], int] = lambda total: total
    lists: Callable[[Row], bool] = lambda _: True
    between: Callable[[Lister], None] = lambda _: None
    inclusive: bool = True
    asked: int = 0
    now: datetime = NOW
    pages: list[int] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        path = request.url.path
        if path != "/payments":
            (row,) = [row for row in self.rows if row.id == unquote(path.rpartition("/")[2])]
            return httpx.Response(200, json=row.json())
        query = json.loads(parse_qs(request.url.query.decode())["requestBody"][0])
        page, wanted = query["page"], query["filter"]
        since, until = (datetime.fromisoformat(wanted[name]) for name in ("from", "until"))
        matching = sorted((row for row in self.rows if self._matches(row, since, until)), key=self.order)
        first = page["number"] * page["size"]
        items = [row.json() for row in matching[first : first + page["size"]] if self.lists(row)]
        total = self.count(len(matching))
        self.pages.append(total)
        self.between(self)
        return httpx.Response(200, json={"items": items, "page": page | {"totalCount": total}})

    def _matches(self, row: Row, since: datetime, until: datetime) -> bool:
        if row.shown_from is not None and self.now < row.shown_from:
            return False
        return since <= row.filed_at <= until if self.inclusive else since < row.filed_at < until


@asynccontextmanager
async def gateway_over(lister: Lister) -> AsyncIterator[PortOneGateway]:
    transport = httpx.MockTransport(lister.answer)
    async with httpx.AsyncClient(transport=transport, base_url="https://portone.example") as client:
        yield PortOneGateway(client, api_secret="secret", store_id=STORE_ID, patience=Patience(pauses=()))


async def audited(lister: Lister) -> Audit:
    async with gateway_over(lister) as gateway:
        return await AuditPayments(store=MemoryStore(), gateway=gateway, shop=SHOP, clock=lambda: NOW)()


def a_thousand(apart: timedelta = timedelta(minutes=10)) -> list[Row]:
    return [Row(number, NOW - 1_001 * apart + number * apart) for number in range(1_000)]


def stamped_by_another_clock(rows: list[Row]) -> Lister:
    """Filed by when it was paid, stamped two seconds later."""
    for row in rows:
        row.stamp = row.at + 2 * SECOND
    return Lister(rows)


def told_late(rows: list[Row]) -> Lister:
    """One in a hundred was told of late: it is filed by when it happened, and stamped two days later."""
    for row in rows[20::100]:
        row.stamp = row.at + timedelta(days=2)
    return Lister(rows)


def in_whole_seconds(rows: list[Row]) -> Lister:
    for row in rows:
        row.stamp = row.at.replace(microsecond=0)
    return Lister(rows)


def stamped_at_random(rows: list[Row]) -> Lister:
    lot = random.Random(1)  # noqa: S311 - repeatable, not secret
    for row in rows:
        row.stamp = NOW - timedelta(seconds=lot.randrange(3_000_000))
    return Lister(rows)


def newest_first(rows: list[Row]) -> Lister:
    return Lister(rows, order=lambda row: (-row.filed_at.timestamp(), row.number))


def sorted_by_name(rows: list[Row]) -> Lister:
    return Lister(rows, order=lambda row: row.number * 7_919 % 1_000)


def sorted_anew_each_time(rows: list[Row]) -> Lister:
    lot = random.Random(2)  # noqa: S311 - repeatable, not secret
    return Lister(rows, order=lambda _: lot.random())


def without_its_ends(rows: list[Row]) -> Lister:
    return Lister(rows, inclusive=False)


def all_in_one_second(rows: list[Row]) -> Lister:
    for row in rows:
        row.at = NOW - timedelta(hours=1)
    return Lister(rows)


def leaving_one_out(rows: list[Row]) -> Lister:
    return Lister(rows, lists=lambda row: row.number != 500)


def leaving_most_out(rows: list[Row]) -> Lister:
    return Lister(rows, lists=lambda row: row.number % 5 == 0)


def counting_one_more(rows: list[Row]) -> Lister:
    return Lister(rows, count=lambda total: total + 1)


def counting_less(rows: list[Row]) -> Lister:
    return Lister(rows, count=lambda total: total // 5)


def moving_while_it_is_read(rows: list[Row]) -> Lister:
    """With every page that is read, one payment changes: it leaves its place, and its successors move up."""
    lot = iter(range(0, 1_000, 3))

    def one_more(lister: Lister) -> None:
        number = next(lot, None)
        if number is not None:
            lister.rows[number].at = lister.rows[number].stamp = NOW - SECOND + timedelta(milliseconds=number)

    return Lister(rows, between=one_more)


ALL_SEEN = {
    lie.__name__: lie
    for lie in (
        Lister,
        stamped_by_another_clock,
        told_late,
        in_whole_seconds,
        stamped_at_random,
        newest_first,
        sorted_by_name,
        sorted_anew_each_time,
        without_its_ends,
        all_in_one_second,
        moving_while_it_is_read,
    )
}
TOLD = {lie.__name__: lie for lie in (leaving_one_out, leaving_most_out, counting_one_more, counting_less)}


APART = [timedelta(minutes=10), SECOND, timedelta(milliseconds=10)]


@pytest.mark.proves("however the list of changes lies, an audit sees every payment, or says that it does not")
@pytest.mark.parametrize("apart", APART, ids=str)
@pytest.mark.parametrize("name", ALL_SEEN)
async def test_an_audit_sees_every_payment(name: str, apart: timedelta) -> None:
    audit = await audited(ALL_SEEN[name](a_thousand(apart)))
    if (name, apart) == ("sorted_anew_each_time", APART[-1]):  # two pages in one second: no window is narrow enough
        assert audit.counts[FindingKind.INCOMPLETE]
        return
    assert audit.payments == 1_000
    assert audit.balances["KRW"] == Balance(captured=1_000 * PRICE, orphaned=1_000 * PRICE)
    assert audit.is_clean


@pytest.mark.proves("however the list of changes lies, an audit sees every payment, or says that it does not")
@pytest.mark.parametrize("apart", APART, ids=str)
@pytest.mark.parametrize("name", TOLD)
async def test_an_audit_says_where_the_list_is_not_what_its_count_says(name: str, apart: timedelta) -> None:
    audit = await audited(TOLD[name](a_thousand(apart)))
    assert not audit.is_clean
    assert audit.counts[FindingKind.INCOMPLETE] == len(audit.findings) - audit.counts[FindingKind.ORPHANED]
    left_out = {"leaving_one_out": 1, "leaving_most_out": 800}.get(name, 0)
    assert audit.payments == 1_000 - left_out, "and the rest was gone through"


@pytest.mark.proves("however the list of changes lies, a sweep sees every payment, or says that it does not")
@pytest.mark.parametrize("apart", APART, ids=str)
@pytest.mark.parametrize("name", [*ALL_SEEN, *TOLD])
async def test_a_sweep_sees_every_payment_or_says_that_it_does_not(name: str, apart: timedelta) -> None:
    shop = SweptShop((ALL_SEEN | TOLD)[name](a_thousand(apart)))
    if name in TOLD or (name, apart) == ("sorted_anew_each_time", APART[-1]):
        with pytest.raises(ListIncompleteError):
            await shop.sweep(NOW - timedelta(days=30))
        return
    await shop.sweep(NOW - timedelta(days=30))
    assert len(await shop.orphans()) == 1_000


# --- what comes late, or without any change of its time -----------------------------------------------------------


class SweptShop:
    """A shop, its clock, and the sweeps of its worker."""

    def __init__(self, lister: Lister) -> None:
        self.lister = lister
        self.store = MemoryStore()
        self.ids = iter(f"{number:032x}" for number in range(1_000_000))

    def now(self) -> datetime:
        return self.lister.now

    async def sweep(self, since: datetime | None = None, *, again: timedelta = AGAIN) -> Swept:
        async with gateway_over(self.lister) as gateway:
            swept = await SweepPayments(
                store=self.store,
                gateway=gateway,
                shop=SHOP,
                clock=self.now,
                new_id=lambda: next(self.ids),
                again=again,
            )(since)
        assert swept is not None
        return swept

    async def audit(self) -> Audit:
        async with gateway_over(self.lister) as gateway:
            return await AuditPayments(store=self.store, gateway=gateway, shop=SHOP, clock=self.now)()

    async def orphans(self) -> set[str]:
        async with self.store.reading() as unit:
            return {orphan.payment_id for orphan in await unit.orphans.page(limit=10_000)}

    async def order(self, row: Row) -> Order:
        async with self.store.reading() as unit:
            order = await unit.orders.by_payment(row.id)
        assert order is not None
        return order

    async def sell(self, row: Row) -> None:
        """An order for this payment, reconciled by what its record says now."""
        placing = place(
            order_id=OrderId(f"{row.number:032x}"),
            payment_id=PaymentId(row.id),
            token_hash=f"{row.number:064x}",
            lines=[OrderLine(product_id=ProductId("p"), name="p", quantity=1, price=Money(PRICE, "KRW"))],
            now=row.at,
            expires_at=row.at + timedelta(minutes=15),
        )
        payment = wire.read_payment(json.dumps(row.json()).encode())
        paid = reconcile(placing.order, payment, shop=SHOP, now=row.at, refund_id=RefundId("r"))
        async with self.store.writing() as unit:
            await unit.history.append(placing.entries)
            await unit.orders.add(placing.order)
            await record(unit, placing.order, paid)
            await unit.commit()


def late(number: int) -> Row:
    """Paid, and dated, an hour from now, and listed four hours after that."""
    return Row(number, NOW + timedelta(hours=1), shown_from=NOW + timedelta(hours=5))


async def test_what_is_listed_hours_after_its_time_is_found_when_the_last_days_are_swept_again() -> None:
    shop = SweptShop(Lister([late(7)]))
    found_at = None
    for minutes in range(0, 13 * 60, 10):
        shop.lister.now = NOW + timedelta(minutes=minutes)
        await shop.sweep()
        if found_at is None and await shop.orphans():
            found_at = shop.lister.now
    assert found_at is not None
    assert timedelta(hours=5) <= found_at - NOW <= timedelta(hours=5) + AGAIN_EVERY + timedelta(minutes=10)


async def test_more_that_went_back_without_any_change_of_its_time_is_found_when_the_last_days_are_swept_again() -> None:
    row = Row(7, NOW - timedelta(hours=1), cancelled=1_000)
    shop = SweptShop(Lister([row]))
    await shop.sell(row)
    assert (await shop.sweep()).differing == 0
    row.cancelled = 2_000
    shop.lister.now = NOW + timedelta(hours=5)
    assert (await shop.sweep()).differing == 0, "its time is not new, and the last days are not swept again yet"
    shop.lister.now = NOW + timedelta(hours=6)
    assert (await shop.sweep()).differing == 1
    assert (await shop.order(row)).check_at == shop.now()


async def test_a_paid_order_that_is_in_no_list_is_checked_by_itself_and_seen_by_an_audit() -> None:
    rows = a_thousand(timedelta(seconds=40))
    shop = SweptShop(Lister([row for row in rows if row.number != 500]))
    for row in (rows[499], rows[500], rows[501]):
        await shop.sell(row)
    swept = await shop.sweep()
    assert (swept.again, swept.unlisted, swept.differing) == (True, 1, 0)
    assert [(await shop.order(row)).check_at for row in rows[499:502]] == [None, NOW, None]

    shop.lister.rows = rows
    shop.lister.lists = lambda row: row.number != 500
    shop.lister.count = lambda total: total - 1 if total > 1 else total
    audit = await shop.audit()
    assert audit.balances["KRW"].completed == 3 * PRICE
    assert audit.unlisted == 1


async def test_nothing_is_swept_again_where_nobody_wants_it() -> None:
    shop = SweptShop(Lister([]))
    await shop.sell(Row(7, NOW - timedelta(hours=1)))
    swept = await shop.sweep(again=timedelta(0))
    assert (swept.again, swept.unlisted) == (False, 0)
    assert (await shop.sweep(again=timedelta(days=1))).unlisted == 1


async def test_of_many_paid_orders_that_are_in_no_list_some_are_checked_each_time_and_others_the_next() -> None:
    rows = a_thousand(timedelta(seconds=40))[:600]
    shop = SweptShop(Lister([]))
    for row in rows:
        await shop.sell(row)
    due: list[set[int]] = []
    for times in range(2):
        shop.lister.now = NOW + times * AGAIN_EVERY
        assert (await shop.sweep()).unlisted == 600
        due.append({row.number for row in rows if (await shop.order(row)).check_at == shop.now()})
    assert len(due[0]) == 200
    assert len(due[1] - due[0]) > 50


async def test_a_window_that_does_not_add_up_holds_the_point_back_and_the_rest_is_swept() -> None:
    rows = a_thousand(timedelta(minutes=5))
    shop = SweptShop(Lister(rows, lists=lambda row: row.number != 990))
    with pytest.raises(ListIncompleteError, match=r"the gateway says that .* payments changed from .* and lists"):
        await shop.sweep()
    assert {rows[989].id, rows[991].id, rows[999].id} <= await shop.orphans()
    async with shop.store.reading() as unit:
        reached = (await unit.sweeps.read()).reached
    assert reached is not None
    assert reached <= rows[990].at

    shop.lister.lists = lambda _: True
    await shop.sweep()
    assert rows[990].id in await shop.orphans()
    async with shop.store.reading() as unit:
        assert (await unit.sweeps.read()).reached == NOW - MARGIN


async def test_a_window_that_never_adds_up_holds_nobody_up_for_ever() -> None:
    rows = a_thousand(timedelta(minutes=5))
    shop = SweptShop(Lister(rows, count=lambda total: total + 1))
    for days in range(6):
        shop.lister.now = NOW + timedelta(days=days)
        with pytest.raises(ListIncompleteError):
            await shop.sweep()
    async with shop.store.reading() as unit:
        reached = (await unit.sweeps.read()).reached
    assert reached is not None
    assert reached > NOW
    assert len(await shop.orphans()) >= 999
