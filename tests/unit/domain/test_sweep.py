"""How far the sweep is, who is at it, and what it notes of a payment without an order: both sides of every bound."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.money import Money
from domain.payment import Payment, PaymentStatus
from domain.sweep import AGAIN_EVERY, AHEAD, FIRST, LEASE, MARGIN, OVERLAP, Orphan, Sweep, orphan

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)
REACHED = NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    ("reached", "start"),
    [
        (None, NOW - FIRST - OVERLAP),
        (REACHED, REACHED - OVERLAP),
        (NOW + TICK, NOW - OVERLAP),
        (NOW + OVERLAP, NOW - OVERLAP),
        (NOW + OVERLAP + TICK, NOW - FIRST - OVERLAP),
    ],
)
def test_a_sweep_begins_some_way_behind_what_was_reached_and_the_first_one_a_week_ago(
    reached: datetime | None, start: datetime
) -> None:
    assert Sweep(reached=reached).start(NOW) == start


@pytest.mark.parametrize(
    ("until", "held"),
    [
        (None, False),
        (NOW, False),
        (NOW + TICK, True),
        (NOW + LEASE, True),
        (NOW + 2 * LEASE, True),
        (NOW + 2 * LEASE + TICK, False),
    ],
)
def test_a_lease_holds_until_it_ends_and_one_of_a_wrong_clock_holds_nobody_up(
    until: datetime | None, *, held: bool
) -> None:
    assert Sweep(holder="somebody", held_until=until).is_held(NOW) is held


def test_a_lease_is_taken_for_two_minutes_and_given_back_whole() -> None:
    free = Sweep(reached=REACHED, version=3)
    taken = free.held_by("me", NOW)
    assert taken == replace(free, holder="me", held_until=NOW + timedelta(minutes=2))
    assert taken.released() == free


@pytest.mark.parametrize(
    ("reached", "since", "joins"),
    [
        (REACHED, REACHED, True),
        (REACHED, REACHED + TICK, False),
        (None, NOW - FIRST, True),
        (None, NOW - FIRST + TICK, False),
        (NOW + OVERLAP, NOW, True),
        (NOW + OVERLAP + TICK, NOW, False),
    ],
)
def test_a_sweep_from_a_chosen_time_joins_where_it_leaves_no_gap(
    reached: datetime | None, since: datetime, *, joins: bool
) -> None:
    assert Sweep(reached=reached).joins(since, NOW) is joins


@pytest.mark.parametrize(
    ("reached", "end", "then"),
    [
        (None, REACHED, REACHED),
        (REACHED, REACHED + TICK, REACHED + TICK),
        (REACHED, REACHED - TICK, REACHED),
        (REACHED, NOW, NOW - MARGIN),
        (REACHED, NOW + timedelta(days=3), NOW - MARGIN),
        (NOW, NOW + timedelta(days=3), NOW),
        (NOW + OVERLAP, NOW, NOW + OVERLAP),
        (NOW + OVERLAP + TICK, NOW, NOW - MARGIN),
    ],
)
def test_the_point_follows_our_windows_never_backwards_and_stays_behind_our_clock(
    reached: datetime | None, end: datetime, then: datetime
) -> None:
    """Backwards only from where no clock but a wrong one can have been."""
    assert Sweep(reached=reached, version=7).past(end, NOW) == Sweep(reached=then, version=7)


@pytest.mark.parametrize(
    ("reached", "end"),
    [
        (None, NOW + AHEAD),
        (REACHED, NOW + AHEAD),
        (NOW + timedelta(days=365), NOW + timedelta(days=365) + AHEAD),
    ],
)
def test_a_sweep_asks_beyond_our_clock_and_beyond_what_it_was(reached: datetime | None, end: datetime) -> None:
    assert Sweep(reached=reached).end(NOW) == end


@pytest.mark.parametrize(
    ("again_at", "due"),
    [
        (None, True),
        (NOW, False),
        (NOW + TICK, True),
        (NOW - AGAIN_EVERY, True),
        (NOW - AGAIN_EVERY + TICK, False),
    ],
)
def test_the_last_days_are_swept_again_every_few_hours_whatever_a_wrong_clock_has_noted(
    again_at: datetime | None, *, due: bool
) -> None:
    sweep = Sweep(reached=REACHED, again_at=again_at, version=7)
    assert sweep.is_again_due(NOW, AGAIN_EVERY) is due
    assert sweep.swept_again(NOW) == Sweep(reached=REACHED, again_at=NOW, version=7)


def stranger(status: PaymentStatus, cancelled: int = 0) -> Payment:
    return Payment(
        id="strange",
        status=status,
        said=f"as told: {status}",
        total=Money(900, "KRW"),
        cancelled=Money(cancelled, "KRW"),
        store_id="store-theirs",
        channel_type="LIVE",
        changed_at=REACHED,
    )


@pytest.mark.parametrize(
    ("status", "cancelled", "captured"),
    [
        (PaymentStatus.PAID, 0, 900),
        (PaymentStatus.PARTIAL_CANCELLED, 400, 900),
        (PaymentStatus.CANCELLED, 900, 900),
        (PaymentStatus.PAY_PENDING, 0, 0),
        (PaymentStatus.VIRTUAL_ACCOUNT_ISSUED, 0, 0),
    ],
)
def test_an_orphan_is_noted_as_the_gateway_told_of_it(status: PaymentStatus, cancelled: int, captured: int) -> None:
    noted = orphan(stranger(status, cancelled), NOW)
    assert noted == Orphan(
        payment_id="strange",
        store_id="store-theirs",
        said=f"as told: {status}",
        captured=Money(captured, "KRW"),
        cancelled=Money(cancelled, "KRW"),
        changed_at=REACHED,
        first_seen_at=NOW,
        last_seen_at=NOW,
    )
    assert noted.left == Money(captured - cancelled, "KRW")


@pytest.mark.parametrize("status", [PaymentStatus.READY, PaymentStatus.FAILED, PaymentStatus.UNKNOWN])
def test_what_took_nothing_is_no_orphan(status: PaymentStatus) -> None:
    assert orphan(stranger(status), NOW) is None
