"""Refunds and cancellations, one to one: by id, else by tag and sum; and each way in which one of them stands alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from domain.ids import OrderId, RefundId
from domain.matching import unmatched
from domain.money import Money
from domain.payment import Cancellation, CancellationStatus, Payment, PaymentStatus
from domain.refund import Refund, RefundStatus, Sent

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
A, B = "a" * 32, "b" * 32
DONE, UNDER_WAY, UNDONE = CancellationStatus.SUCCEEDED, CancellationStatus.REQUESTED, CancellationStatus.FAILED


def krw(minor: int) -> Money:
    return Money(minor, "KRW")


def refund(
    minor: int = 300,
    status: RefundStatus = RefundStatus.SUCCEEDED,
    *,
    name: str = A,
    known_as: str | None = None,
    sent: int | None = None,
) -> Refund:
    asked = None
    if sent is not None:
        asked = Sent(key="k", amount=krw(sent), tax_free=krw(0), left=krw(1000), gone=krw(0), at=NOW)
    return Refund(
        id=RefundId(name),
        order_id=OrderId("0" * 32),
        amount=krw(minor),
        reason="",
        requested_by="me",
        requested_at=NOW,
        status=status,
        cancellation_id=known_as,
        sent=asked,
    )


def cancellation(
    minor: int = 300, status: CancellationStatus = DONE, *, tag: str | None = A, name: str = "c1"
) -> Cancellation:
    reason = f"[{tag}] changed their mind" if tag is not None else "the console"
    return Cancellation(id=name, status=status, amount=krw(minor), reason=reason)


def told(refunds: list[Refund], cancellations: list[Cancellation], *, cancelled: int | None = None) -> list[str]:
    went_back = sum(c.amount.minor for c in cancellations if c.status is DONE) if cancelled is None else cancelled
    payment = Payment(
        id="p",
        status=PaymentStatus.PARTIAL_CANCELLED,
        said="PARTIAL_CANCELLED",
        total=krw(1000),
        cancelled=krw(went_back),
        store_id="s",
        channel_type="LIVE",
        cancellations=tuple(cancellations),
    )
    return [f"{one.amount}: {one.why}" for one in unmatched(refunds, payment)]


@pytest.mark.parametrize(
    ("refunds", "cancellations"),
    [
        ([], []),
        ([], [cancellation(tag=None)]),
        ([refund()], [cancellation()]),
        ([refund(known_as="c1")], [cancellation(tag=None)]),
        ([refund(known_as="c1")], [cancellation(tag="cut")]),
        ([refund(known_as="gone")], [cancellation()]),
        ([refund(sent=200)], [cancellation(200)]),
        ([refund(), refund(name=B)], [cancellation(name="c1"), cancellation(tag=B, name="c2")]),
        ([refund(known_as="c2"), refund(name=B, known_as="c1")], [cancellation(tag=None), cancellation(name="c2")]),
        ([refund()], [cancellation(status=UNDONE, name="c0"), cancellation()]),
        ([refund()], [cancellation(999, status=UNDONE, name="c0"), cancellation()]),
        ([refund(status=RefundStatus.REQUESTED)], []),
        ([refund(status=RefundStatus.REQUESTED)], [cancellation()]),
        ([refund(status=RefundStatus.REQUESTED)], [cancellation(status=UNDER_WAY)]),
        ([refund(status=RefundStatus.FAILED)], []),
        ([refund(status=RefundStatus.FAILED)], [cancellation(status=UNDONE)]),
        ([refund(status=RefundStatus.REFUSED)], []),
        ([refund(status=RefundStatus.WITHDRAWN)], [cancellation(tag=None)]),
        ([], [cancellation(tag="no refund of ours")]),
        ([], [cancellation(tag=A, status=UNDONE)]),
    ],
)
def test_what_is_each_others_or_moved_nothing_is_not_told(
    refunds: list[Refund], cancellations: list[Cancellation]
) -> None:
    assert told(refunds, cancellations) == []


IS = f"refund {A} of 300 KRW is"


@pytest.mark.parametrize(
    ("refunds", "cancellations", "why"),
    [
        ([refund()], [], [f"300 KRW: {IS} SUCCEEDED, and the gateway lists no such cancellation"]),
        (
            [refund()],
            [cancellation(tag=None)],
            [f"300 KRW: {IS} SUCCEEDED, and the gateway lists no such cancellation"],
        ),
        ([refund()], [cancellation(status=UNDONE)], [f"300 KRW: {IS} SUCCEEDED, and its cancellation is FAILED"]),
        ([refund()], [cancellation(status=UNDER_WAY)], [f"300 KRW: {IS} SUCCEEDED, and its cancellation is REQUESTED"]),
        (
            [refund(status=RefundStatus.FAILED)],
            [cancellation()],
            [f"300 KRW: {IS} FAILED, and its cancellation is SUCCEEDED"],
        ),
        (
            [refund(status=RefundStatus.WITHDRAWN)],
            [cancellation()],
            [f"300 KRW: {IS} WITHDRAWN, and its cancellation is SUCCEEDED"],
        ),
        (
            [refund(known_as="c1")],
            [cancellation(700)],
            [f"300 KRW: {IS} SUCCEEDED, and its cancellation is of 700 KRW"],
        ),
        (
            [refund(status=RefundStatus.REQUESTED, known_as="c1")],
            [cancellation(700, UNDER_WAY)],
            [f"300 KRW: {IS} REQUESTED, and its cancellation is of 700 KRW"],
        ),
        (
            [refund()],
            [cancellation(), cancellation(name="c2")],
            [f"300 KRW: a second cancellation of 300 KRW quotes refund {A}"],
        ),
        (
            [refund()],
            [cancellation(), cancellation(status=UNDER_WAY, name="c2")],
            [f"300 KRW: a second cancellation of 300 KRW quotes refund {A}"],
        ),
        (
            [refund()],
            [cancellation(), cancellation(301, name="c2")],
            [f"301 KRW: a cancellation of 301 KRW quotes refund {A}, which is of 300 KRW"],
        ),
        (
            [refund(status=RefundStatus.REQUESTED)],
            [cancellation(301)],
            [f"301 KRW: a cancellation of 301 KRW quotes refund {A}, which is of 300 KRW"],
        ),
        (
            [refund(sent=200)],
            [cancellation()],
            [
                f"300 KRW: {IS} SUCCEEDED, and the gateway lists no such cancellation",
                f"300 KRW: a cancellation of 300 KRW quotes refund {A}, which is of 200 KRW",
            ],
        ),
        (
            [refund(), refund(name=B)],
            [cancellation(tag=f"{A}] [{B}")],
            [f"300 KRW: refund {B} of 300 KRW is SUCCEEDED, and the gateway lists no such cancellation"],
        ),
        ([], [cancellation()], ["300 KRW: a cancellation of 300 KRW quotes a refund that we do not know"]),
    ],
)
def test_what_stands_on_one_side_alone_is_told_with_its_sum(
    refunds: list[Refund], cancellations: list[Cancellation], why: list[str]
) -> None:
    assert told(refunds, cancellations) == why


def test_refunds_of_more_than_went_back_are_told_where_each_has_its_cancellation() -> None:
    refunds = [refund(known_as="c1"), refund(name=B, known_as="c2")]
    cancellations = [cancellation(), cancellation(tag=B, name="c2")]
    assert told(refunds, cancellations, cancelled=600) == []
    assert told(refunds, cancellations, cancelled=599) == [
        "1 KRW: refunds of 600 KRW are SUCCEEDED, and 599 KRW went back"
    ]
