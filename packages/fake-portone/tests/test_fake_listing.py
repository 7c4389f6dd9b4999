"""Pages of payments are what sorting all of them anew would give, however they are asked for."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock
from fake_portone.ledger import Cancel, Purchase, Status
from fake_portone.listing import Listed, Listing, matching

START = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "secret"


async def test_every_page_of_every_filter_is_the_one_that_sorting_anew_gives() -> None:
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret
    now = START
    clock = FakeClock(now=lambda: now, monotonic=lambda: 0.0)
    settings = FakePortOneSettings(api_secret=SECRET, store_id="a", webhook_secret="whsec_" + "A" * 32)
    fake = FakePortOne(settings, clock=clock)
    ids: list[str] = []
    for _ in range(400):
        now += timedelta(seconds=chance.randrange(60))
        if not ids or chance.random() < 0.3:
            ids.append(f"payment-{len(ids)}")
            store, currency = chance.choice("ab"), chance.choice(["KRW", "USD"])
            kind = chance.choice(["LIVE", "TEST"])
            purchase = Purchase(
                store_id=store, channel_key="c", order_name="n", total=9, currency=currency, channel_type=kind
            )
            fake.ledger.open(ids[-1], purchase)
        name = chance.choice(ids)
        payment = fake.ledger.find(name)
        if payment.status is Status.READY and chance.random() < 0.5:
            fake.ledger.pay(name)
        elif payment.cancellable and chance.random() < 0.3:
            fake.ledger.cancel(name, Cancel(reason="", amount=1))
        listing = a_listing(chance, now)
        page = await fake.api.page(SECRET, listing)
        found = matching([Listed(p, p.status_changed_at) for p in fake.ledger.payments()], listing, now)
        assert page.total == len(found)
        wanted = found[listing.number * listing.size : (listing.number + 1) * listing.size]
        assert [seen.payment for seen in page.items] == wanted, listing


def a_listing(chance: random.Random, now: datetime) -> Listing:
    moments = [None, START, now, now - timedelta(minutes=30), now + timedelta(days=1), START - timedelta(days=91)]
    fields: dict[str, Any] = {
        "number": chance.choice([0, 0, 1, 2, 50]),
        "size": chance.choice([1, 3, 10, 1000]),
        "store_id": chance.choice([None, "a", "b"]),
        "by_creation": chance.random() < 0.4,
        "sort_by_request": chance.random() < 0.4,
        "since": chance.choice(moments),
        "until": chance.choice(moments),
        "statuses": chance.choice([None, frozenset(), frozenset({Status.PAID})]),
        "is_test": chance.choice([None, True, False]),
        "currency": chance.choice([None, "KRW"]),
        "newest_first": chance.random() < 0.5,
    }
    return Listing(**fields)
