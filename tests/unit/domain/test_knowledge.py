"""Which of two views of one payment knows more, told as a table: what was seen, what comes now, and by which stamps."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.ids import OrderId, PaymentId, ProductId
from domain.knowledge import came_back, knows_less
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Observed, Order, OrderLine
from domain.payment import Payment, PaymentStatus
from domain.reconciliation import place

T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
VIEWS = {  # by what cannot go back, the least first; those of one attempt by how far it has got
    "READY": 0,
    "PAY_PENDING": 0,
    "VIRTUAL_ACCOUNT_ISSUED": 0,
    "FAILED": 0,
    "PAID": 0,
    "PARTIAL_CANCELLED 300": 300,
    "PARTIAL_CANCELLED 400": 400,
    "CANCELLED": 1000,
}
ATTEMPT = ("READY", "PAY_PENDING", "VIRTUAL_ACCOUNT_ISSUED", "FAILED")
EARLIER, SAME, LATER = -1, 0, 1


def krw(minor: int) -> Money:
    return Money(minor, "KRW")


def stamp(seconds: int | None) -> datetime | None:
    return None if seconds is None else T0 + timedelta(seconds=seconds)


def payment(view: str, *, changed: int | None = 0, updated: int | None = 0, attempt: str | None = "first") -> Payment:
    status = PaymentStatus(view.split(maxsplit=1)[0])
    return Payment(
        id="p" * 32,
        status=status,
        said=status.value,
        total=krw(1000),
        cancelled=krw(VIEWS[view]),
        store_id="store",
        channel_type="LIVE",
        attempt=attempt,
        changed_at=stamp(changed),
        updated_at=stamp(updated),
    )


def unseen() -> Order:
    line = OrderLine(product_id=ProductId("vip"), name="VIP", quantity=1, price=krw(1000))
    return place(
        order_id=OrderId("a" * 32),
        payment_id=PaymentId("p" * 32),
        token_hash="0" * 64,
        lines=[line],
        now=T0,
        expires_at=T0 + timedelta(minutes=15),
    ).order


def having_seen(view: str, *, attempt: str | None = "first") -> Order:
    """An order whose last record was this one, with both stamps at T0."""
    said = view.split(maxsplit=1)[0]
    observed = Observed(said=said, attempt=attempt, changed_at=T0, updated_at=T0)
    if view in ATTEMPT:
        return replace(unseen(), observed=observed)
    status = OrderStatus.CANCELLED if said == "CANCELLED" else OrderStatus.COMPLETED
    reason = CancelReason.REFUNDED if said == "CANCELLED" else None
    return replace(
        unseen(), observed=observed, status=status, reason=reason, captured=krw(1000), refunded=krw(VIEWS[view])
    )


@pytest.mark.parametrize(("theirs", "ours"), list(itertools.product(VIEWS, VIEWS)))
@pytest.mark.parametrize("dated", [EARLIER, SAME, LATER, None])
def test_what_cannot_go_back_decides_first_and_stamps_only_where_it_says_nothing(
    theirs: str, ours: str, dated: int | None
) -> None:
    order, record = having_seen(ours), payment(theirs, changed=dated, updated=dated)
    names = list(VIEWS)
    if names.index(theirs) > names.index(ours):
        expected = False  # it knows more, whatever its stamps say: they are of several clocks
    elif theirs in ATTEMPT and ours in ATTEMPT and theirs != ours:
        expected = True  # less of one attempt, whatever its stamps say
    else:
        expected = dated == EARLIER
    assert knows_less(record, order) is expected


@pytest.mark.parametrize(("theirs", "ours"), list(itertools.product(ATTEMPT, ATTEMPT)))
@pytest.mark.parametrize("dated", [EARLIER, SAME, LATER, None])
def test_of_two_attempts_only_stamps_can_tell(theirs: str, ours: str, dated: int | None) -> None:
    record = payment(theirs, changed=dated, updated=dated, attempt="second")
    assert knows_less(record, having_seen(ours)) is (dated == EARLIER)


def test_after_money_came_back_a_record_that_shows_it_gone_again_is_no_older_one_whatever_its_stamps() -> None:
    gone = having_seen("CANCELLED")
    assert gone.observed is not None
    back = replace(gone, observed=replace(gone.observed, said="PARTIAL_CANCELLED", went_back=300))
    assert not knows_less(payment("CANCELLED", changed=EARLIER, updated=EARLIER), back)
    assert not knows_less(payment("PARTIAL_CANCELLED 400", changed=EARLIER, updated=EARLIER), back)
    assert knows_less(payment("PARTIAL_CANCELLED 300", changed=EARLIER, updated=EARLIER), back)
    assert knows_less(payment("PAID", changed=EARLIER, updated=EARLIER), back)


def test_an_order_that_saw_nothing_knows_nothing() -> None:
    assert not any(knows_less(payment(view, changed=-3600, updated=-3600), unseen()) for view in VIEWS)


@pytest.mark.parametrize(
    ("changed", "updated", "is_older", "why"),
    [
        (-1, -1, True, "its status changed earlier"),
        (-1, 9, True, "its status changed earlier, whenever it was updated"),
        (0, -1, True, "its status changed then too, but it was updated earlier"),
        (None, -1, True, "only the update is dated, and it is earlier"),
        (-1, None, True, "only the change is dated, and it is earlier"),
        (1, -1, False, "its status changed later, whenever it was updated"),
        (0, 1, False, "its status changed then too, and it was updated later"),
        (0, 0, False, "it is the very record"),
        (0, None, False, "nothing tells that it is older"),
        (None, None, False, "it is not dated at all"),
    ],
)
def test_where_only_stamps_can_tell_the_change_counts_before_the_update(
    changed: int | None, updated: int | None, *, is_older: bool, why: str
) -> None:
    for same in ("PAID", "PARTIAL_CANCELLED 300", "CANCELLED", "READY"):
        assert knows_less(payment(same, changed=changed, updated=updated), having_seen(same)) is is_older, why


def test_a_word_nobody_knows_is_older_by_its_stamps_alone() -> None:
    strange = replace(payment("PAID"), status=PaymentStatus.UNKNOWN, said="NEW")
    for view in VIEWS:
        assert not knows_less(strange, having_seen(view))
        assert knows_less(replace(strange, changed_at=stamp(-1)), having_seen(view))
        seen_strange = replace(having_seen(view), observed=Observed(said="NEW", attempt="first", changed_at=T0))
        assert not knows_less(payment(view), seen_strange)


@pytest.mark.parametrize(
    ("theirs", "ours", "changed", "updated", "expected"),
    [
        ("PAID", "CANCELLED", 1, 1, True),
        ("PARTIAL_CANCELLED 300", "PARTIAL_CANCELLED 400", 1, 1, True),
        ("PAID", "PARTIAL_CANCELLED 300", 0, 1, True),  # the status of the whole did not change, its record did
        ("PAID", "PARTIAL_CANCELLED 300", 1, None, True),
        ("PAID", "CANCELLED", 0, 0, False),  # nothing says that it is later
        ("PAID", "CANCELLED", None, None, False),
        ("PAID", "CANCELLED", -1, -1, False),
        ("CANCELLED", "CANCELLED", 1, 1, False),
        ("CANCELLED", "PARTIAL_CANCELLED 300", 1, 1, False),
        ("PAID", "PAID", 1, 1, False),
        ("READY", "CANCELLED", 1, 1, False),  # which took nothing, and says nothing of what went back
    ],
)
def test_money_came_back_only_where_a_later_record_says_that_less_went_back(
    theirs: str, ours: str, changed: int | None, updated: int | None, *, expected: bool
) -> None:
    assert came_back(payment(theirs, changed=changed, updated=updated), having_seen(ours)) is expected


def test_money_of_another_sum_did_not_come_back() -> None:
    other = replace(payment("PAID", changed=1, updated=1), total=krw(900))
    assert not came_back(other, having_seen("CANCELLED"))
    assert not came_back(payment("PAID", changed=1), unseen())
