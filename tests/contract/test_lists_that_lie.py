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
from adapters.portone.gateway import Patience, PortOneGateway
from application.audit_payments import Audit, AuditPayments
from domain.payment import Shop

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
    """PortOne's list and single records. ``order`` sorts what matches, ``count`` names it, ``lists`` leaves some out."""

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


@pytest.mark.proves("however the list of changes lies, an audit sees every payment, or says that it does not")
@pytest.mark.parametrize("apart", [timedelta(minutes=10), SECOND, timedelta(milliseconds=10)], ids=str)
@pytest.mark.parametrize("name", ALL_SEEN)
async def test_every_payment_is_seen(name: str, apart: timedelta) -> None:
    lister = ALL_SEEN[name](a_thousand(apart))
    audit = await audited(lister)
    assert audit.payments == 1_000
    assert audit.balances["KRW"].captured == 1_000 * PRICE
    assert audit.is_clean


@pytest.mark.proves("however the list of changes lies, an audit sees every payment, or says that it does not")
@pytest.mark.parametrize("apart", [timedelta(minutes=10), SECOND, timedelta(milliseconds=10)], ids=str)
@pytest.mark.parametrize("name", TOLD)
async def test_what_the_list_leaves_out_of_its_own_count_is_said(name: str, apart: timedelta) -> None:
    audit = await audited(TOLD[name](a_thousand(apart)))
    assert not audit.is_clean
