"""The untaxed part of an order, and of the payment for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.decision import mismatches
from domain.ids import OrderId, PaymentId, ProductId
from domain.money import Money
from domain.order import Order, OrderLine
from domain.payment import Payment, PaymentStatus, Shop
from domain.reconciliation import place

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SHOP = Shop(store_id="store-1", channel_type="LIVE")


def won(minor: int) -> Money:
    return Money(minor, "KRW")


def ordered(*lines: OrderLine) -> Order:
    return place(
        order_id=OrderId("o"),
        payment_id=PaymentId("0" * 32),
        token_hash="",
        lines=lines,
        now=NOW,
        expires_at=NOW + timedelta(minutes=15),
    ).order


SEAT = OrderLine(product_id=ProductId("seat"), name="seat", quantity=1, price=won(132_000))
BOOK = OrderLine(product_id=ProductId("book"), name="book", quantity=2, price=won(20_000), tax_free=True)
MIXED = ordered(SEAT, BOOK)


def paid(order: Order, tax_free: Money | None) -> Payment:
    return Payment(
        id=order.payment_id,
        status=PaymentStatus.PAID,
        said="PAID",
        total=order.price,
        cancelled=won(0),
        store_id=SHOP.store_id,
        channel_type=SHOP.channel_type,
        tax_free=tax_free,
    )


def test_the_untaxed_part_is_the_sum_of_the_lines_without_tax() -> None:
    assert [ordered(*lines).tax_free for lines in ((SEAT,), (BOOK,), (SEAT, BOOK))] == [
        won(0),
        won(40_000),
        won(40_000),
    ]


@pytest.mark.parametrize(
    ("declared", "differs"), [(40_000, ()), (0, ("tax",)), (39_999, ("tax",)), (172_000, ("tax",))]
)
def test_a_payment_that_declares_another_untaxed_part_is_another_payment(
    declared: int, differs: tuple[str, ...]
) -> None:
    assert mismatches(MIXED, paid(MIXED, won(declared)), SHOP) == differs


def test_a_taxed_order_is_not_to_be_declared_untaxed() -> None:
    taxed = ordered(SEAT)
    assert mismatches(taxed, paid(taxed, won(0)), SHOP) == ()
    assert mismatches(taxed, paid(taxed, won(1)), SHOP) == ("tax",)


def test_a_record_that_does_not_tell_its_untaxed_part_is_not_held_against_the_buyer() -> None:
    assert mismatches(MIXED, paid(MIXED, None), SHOP) == ()


def test_another_currency_is_named_once() -> None:
    dollars = replace(paid(MIXED, Money(40_000, "USD")), total=Money(MIXED.price.minor, "USD"))
    assert mismatches(MIXED, dollars, SHOP) == ("currency",)
