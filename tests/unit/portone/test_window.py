"""What the browser hands to PortOne's payment window."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from adapters.portone.window import PortOneWindow
from application.ports import Checkout, Customer, PaymentWindow
from domain.ids import OrderId, PaymentId, ProductId
from domain.money import Money
from domain.order import Order, OrderLine

NOW = datetime(2024, 4, 25, 10, tzinfo=UTC)
window: PaymentWindow = PortOneWindow(
    store_id="store-1", channel_key="channel-key-1", public_url="https://shop.example.com/"
)


def an_order(name: str = "VIP 1열 1번 외 1건") -> Order:
    price = Money(710000, "KRW")
    return Order(
        id=OrderId("fedcba9876543210fedcba9876543210"),
        payment_id=PaymentId("0123456789abcdef0123456789abcdef"),
        token_hash="0" * 64,
        name=name,
        lines=(OrderLine(product_id=ProductId("vip"), name=name, quantity=1, price=price),),
        price=price,
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=15),
        refunded=Money.zero("KRW"),
        owed=Money.zero("KRW"),
    )


def test_the_window_gets_the_orders_payment_its_price_and_the_way_back() -> None:
    assert window(an_order(), None, "a.ticket") == Checkout(
        store_id="store-1",
        channel_key="channel-key-1",
        payment_id=PaymentId("0123456789abcdef0123456789abcdef"),
        order_name="VIP 1열 1번 외 1건",
        total_amount=710000,
        currency="KRW",
        pay_method="EASY_PAY",
        redirect_url="https://shop.example.com/?order=fedcba9876543210fedcba9876543210&ticket=a.ticket",
        customer=None,
    )


def test_nothing_is_said_of_untaxed_parts_where_there_are_none() -> None:
    assert window(an_order(), None, "t").tax_free_amount is None


def test_the_window_is_told_how_much_of_the_price_is_untaxed() -> None:
    book = OrderLine(product_id=ProductId("b"), name="책", quantity=2, price=Money(20_000, "KRW"), tax_free=True)
    order = an_order()
    assert window(replace(order, lines=(*order.lines, book)), None, "t").tax_free_amount == 40_000


def named(first: str, others: str = "") -> str:
    """What the window calls an order of ``first`` and ``others``."""
    line = OrderLine(product_id=ProductId("vip"), name=first, quantity=1, price=Money(1, "KRW"))
    return window(replace(an_order(first + others), lines=(line,)), None, "t").order_name


@pytest.mark.parametrize(
    ("first", "others", "shown"),
    [
        ("가" * 100, "", "가" * 100),
        ("가" * 101, "", "가" * 99 + "…"),
        ("가" * 95, " 외 2건", "가" * 95 + " 외 2건"),
        ("가" * 96, " 외 2건", "가" * 94 + "… 외 2건"),
        ("\U0001f3ab" * 300, " 외 19건", "\U0001f3ab" * 93 + "… 외 19건"),
        ("가 " * 60, " 외 2건", "가 " * 46 + "가… 외 2건"),
    ],
)
def test_a_long_order_name_loses_of_its_first_thing_and_never_how_many_others_there_are(
    first: str, others: str, shown: str
) -> None:
    assert named(first, others) == shown
    assert len(shown) <= 100, "characters, as KakaoPay counts them"


@pytest.mark.parametrize(
    ("customer", "told"),
    [
        (
            Customer(name="홍길동", email="a@example.com", phone="01012345678"),
            {"fullName": "홍길동", "email": "a@example.com", "phoneNumber": "01012345678"},
        ),
        (Customer(phone="01012345678"), {"phoneNumber": "01012345678"}),
        (Customer(name=""), None),
        (Customer(), None),
    ],
)
def test_the_window_is_told_of_the_buyer_what_the_buyer_gave(customer: Customer, told: dict[str, str] | None) -> None:
    assert window(an_order(), customer, "t").customer == told
