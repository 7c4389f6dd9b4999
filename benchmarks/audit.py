"""How much an audit of many payments holds, and how fast it goes through them.

`python benchmarks/audit.py [--payments N] [--orders N] [--broken-off]`

Makes a fake PortOne in this process with so many payments, spread over 90 days, and a SQLite file with an order for
each (or for the latest ``--orders`` of them, the others being nobody's); then audits all of it in full, and with
``--broken-off`` a second time, broken off half way and gone on with. Prints one JSON document: payments a second,
requests, and how much memory the audit itself took (the fake holds its payments in the same process: that is told
apart).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from adapters.persistence.engine import create_engine, migrate
from adapters.persistence.sql import SqlStore
from adapters.portone.fake_gateway import FakePortOneGateway
from application.audit_payments import Audit, AuditPayments, AuditProgress
from application.errors import GatewayUnavailableError
from application.ports import ChangedPage
from domain.payment import Shop
from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock
from fake_portone.ledger import Cancel, Purchase

STORE = "store-00000000-0000-4000-8000-00000000000a"
PRICE = 20_000
DAYS = 90
NOW = datetime(2026, 11, 25, tzinfo=UTC)
PARTLY_BACK = 50  # one payment in so many
COLUMNS = (
    "id, payment_id, token_hash, name, lines, price_minor, price_currency, created_at, expires_at, status, "
    "captured_minor, captured_currency, refunded_minor, refunded_currency, owed_minor, observed_said, "
    "observed_changed_at, by_hand, seq, version, checks, failures"
)


class Counted(FakePortOneGateway):
    """Notes how often it is asked, and may be gone after so many times."""

    requests = 0
    most = 10**9

    async def changed_page(self, *asked: Any, **more: Any) -> ChangedPage:
        self.requests += 1
        if self.requests > self.most:
            raise GatewayUnavailableError("gone")
        return await super().changed_page(*asked, **more)


def resident() -> float:
    """Megabytes of memory this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def fill(fake: FakePortOne, clock: list[datetime], count: int) -> None:
    """So many payments, each at its own moment."""
    purchase = Purchase(store_id=STORE, channel_key="c", order_name="n", total=PRICE, currency="KRW")
    for number in range(count):
        clock[0] = NOW - timedelta(days=DAYS) * (count - number) / count
        fake.ledger.open(name_of(number), purchase)
        fake.ledger.pay(name_of(number))
        if number % PARTLY_BACK == 0:
            fake.ledger.cancel(name_of(number), Cancel(reason="the console", amount=5_000))
    clock[0] = NOW


def name_of(number: int) -> str:
    return f"{number:032x}"


def rows(fake: FakePortOne, numbers: range) -> Iterator[tuple[object, ...]]:
    """An order in line with its payment."""
    epoch, tick = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
    for number in numbers:
        changed = (fake.ledger.find(name_of(number)).status_changed_at - epoch) // tick
        back, said = (5_000, "PARTIAL_CANCELLED") if number % PARTLY_BACK == 0 else (0, "PAID")
        lines = f'[["p","p",1,{PRICE},"KRW"]]'
        yield (
            *(f"{number:031x}f", name_of(number), "0" * 64, "p", lines, PRICE, "KRW", changed - 10**8, changed),
            *("COMPLETED", PRICE, "KRW", back, "KRW", 0, said, changed, 0, 1, 1, 1, 0),
        )


def write_orders(path: Path, fake: FakePortOne, numbers: range) -> None:
    """Straight into the table, without the rules that hold for whoever changes one."""
    with sqlite3.connect(path) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        marks = ", ".join("?" * len(COLUMNS.split(",")))
        database.executemany(f"INSERT INTO orders ({COLUMNS}) VALUES ({marks})", rows(fake, numbers))


async def measure(payments: int, orders: int, folder: Path, *, broken_off: bool) -> dict[str, object]:
    clock = [NOW]

    def seconds_now() -> float:
        return clock[0].timestamp()

    settings = FakePortOneSettings(api_secret="s", store_id=STORE, webhook_secret="c2VjcmV0c2VjcmV0c2VjcmV0")
    fake = FakePortOne(settings, clock=FakeClock(now=lambda: clock[0], monotonic=seconds_now, speed=1.0))
    begun = time.perf_counter()
    fill(fake, clock, payments)
    path = folder / "gyeolje.db"
    engine = create_engine(f"sqlite+aiosqlite:///{path}")
    await migrate(engine)
    write_orders(path, fake, range(payments - orders, payments))
    prepared = time.perf_counter() - begun

    gateway = Counted(fake)
    audit_payments = AuditPayments(
        store=SqlStore(engine),
        gateway=gateway,
        shop=Shop(store_id=STORE, channel_type="LIVE"),
        clock=lambda: clock[0],
    )
    since = NOW - timedelta(days=DAYS + 1)
    await fake_sorts_them(gateway, since)
    gc.collect()
    gc.freeze()  # the fake's payments are not the audit's to go through again and again
    before, told = resident(), list[float]()

    def note(progress: AuditProgress) -> None:
        if progress.payments >= (len(told) + 1) * payments / 10:
            told.append(round(resident() - before, 1))
            print(f"{progress.payments:,} payments, {told[-1]} MB more", file=sys.stderr)

    begun = time.perf_counter()
    audit = await audit_payments(since, None, note, full=True)
    seconds = time.perf_counter() - begun
    found = {
        "payments": audit.payments,
        "orders": orders,
        "prepared in seconds": round(prepared),
        "seconds": round(seconds, 1),
        "payments a second": round(audit.payments / seconds),
        "requests": gateway.requests,
        "clean": audit.is_clean,
        "unlisted": audit.unlisted,
        "balance": msgspec.to_builtins(audit.balances),
        "MB before": round(before),
        "MB more after each tenth": told,
        "MB more at the end": round(resident() - before, 1),
    }
    if broken_off:
        found["the same when gone on with"] = await gone_on_with(audit_payments, gateway, since) == sums(audit)
    await engine.dispose()
    return found


async def fake_sorts_them(gateway: Counted, since: datetime) -> None:
    """The fake sorts its payments when it is first asked, which is no memory of the audit's."""
    await gateway.changed_page(STORE, since, NOW, number=0, size=1)
    gateway.requests = 0


async def gone_on_with(audit_payments: AuditPayments, gateway: Counted, since: datetime) -> object:
    last: list[AuditProgress] = []
    gateway.most, gateway.requests = gateway.requests // 2, 0
    try:
        await audit_payments(since, None, lambda told: last.__setitem__(slice(None), [told]), full=True)
    except GatewayUnavailableError:
        gateway.most = 10**9
    return sums(await audit_payments(resume=last[0].cursor))


def sums(audit: Audit) -> object:
    return (audit.payments, audit.unlisted, audit.balances, audit.counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--payments", type=int, default=50_000)
    parser.add_argument("--orders", type=int, help="how many of them have an order (all)")
    parser.add_argument("--broken-off", action="store_true", help="audit once more, in two parts")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        orders = asked.payments if asked.orders is None else min(asked.orders, asked.payments)
        found = asyncio.run(measure(asked.payments, orders, Path(folder), broken_off=asked.broken_off))
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
