"""What the browser hands to PortOne's payment window."""

from __future__ import annotations

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
    assert window(an_order(), None) == Checkout(
        store_id="store-1",
        channel_key="channel-key-1",
        payment_id=PaymentId("0123456789abcdef0123456789abcdef"),
        order_name="VIP 1열 1번 외 1건",
        total_amount=710000,
        currency="KRW",
        pay_method="EASY_PAY",
        redirect_url="https://shop.example.com/?order=fedcba9876543210fedcba9876543210",
        customer=None,
    )


def test_a_long_order_name_is_cut_to_what_kakaopay_takes() -> None:
    assert window(an_order("가" * 101), None).order_name == "가" * 100


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
    assert window(an_order(), customer).customer == told
