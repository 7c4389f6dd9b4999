from __future__ import annotations

import asyncio
from typing import Any

import pytest

from application.errors import (
    IdempotencyKeyReusedError,
    OrderNotPlaceableError,
    ProductNotFoundError,
    SoldOutError,
)
from application.place_order import PlaceOrderCommand
from application.ports import Customer
from application.put_product import PutProductCommand
from application.refund_order import RefundOrderCommand
from domain.errors import BeyondLimitsError
from domain.ids import ProductId
from domain.lifecycle import CancelReason, OrderStatus
from domain.limits import Limits
from domain.money import Money
from fake_portone.faults import Fault

KEY = "0b3b6d4e-5e0a-4f43-9d9e-6b1d0a8a1f00"


async def test_the_server_prices_the_order_and_the_checkout_is_that_price(world: Any) -> None:
    placed = await world.place(("seat", 1), ("programme", 2))
    assert placed.order.price == Money(395_000, "KRW")
    assert placed.order.name == "VIP 1열 1번 외 1건"
    assert placed.checkout.total_amount == 395_000
    assert placed.checkout.currency == "KRW"
    assert placed.checkout.payment_id == placed.order.payment_id
    assert placed.order.status is OrderStatus.PENDING
    assert world.fake.ledger.registered(placed.order.payment_id) == (395_000, "KRW")


async def test_one_product_named_twice_is_one_line(world: Any) -> None:
    placed = await world.place(("programme", 1), ("programme", 2))
    assert [(line.product_id, line.quantity) for line in placed.order.lines] == [("programme", 3)]


async def test_placing_holds_the_stock_and_the_last_one_is_sold_once(world: Any) -> None:
    results = await asyncio.gather(*(world.place() for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(result, SoldOutError) for result in results) == 19
    assert await world.available("seat") == 0


async def test_nothing_is_held_where_one_of_several_products_is_missing(world: Any) -> None:
    with pytest.raises(ProductNotFoundError):
        await world.place(("seat", 1), ("no such thing", 1))
    assert await world.available("seat") == 1


async def test_two_currencies_cannot_be_one_order(world: Any) -> None:
    with pytest.raises(OrderNotPlaceableError, match="different currencies"):
        await world.place(("seat", 1), ("poster", 1))
    assert await world.available("poster") == 9


async def test_what_costs_nothing_is_completed_at_once_and_no_gateway_is_asked(world: Any) -> None:
    placed = await world.place(("free", 2), key=KEY)
    assert (placed.order.status, placed.checkout) == (OrderStatus.COMPLETED, None)
    assert (placed.order.check_at, placed.order.captured) == (None, Money(0, "KRW"))
    record = await world.show_order(placed.order.id)
    assert [entry.kind for entry in record.history] == ["placed", "completed"]
    assert world.fake.ledger.heard_of() == []
    again = await world.place(("free", 2), key=KEY)
    assert (again.replayed, again.token, again.checkout) == (True, placed.token, None)


async def test_what_costs_nothing_beside_what_costs_something_is_paid_for_as_usual(world: Any) -> None:
    placed = await world.place(("free", 1), ("programme", 1))
    assert (placed.order.status, placed.checkout.total_amount) == (OrderStatus.PENDING, 20_000)


async def test_a_line_remembers_what_it_held_which_is_nothing_where_there_was_no_limit(world: Any) -> None:
    placed = await world.place(("seat", 1), ("programme", 2))
    assert [(line.quantity, line.held) for line in placed.order.lines] == [(1, 1), (2, 0)]


async def test_untaxed_parts_reach_the_window_and_the_gateway(world: Any) -> None:
    book = PutProductCommand(id=ProductId("book"), name="책", price=Money(20_000, "KRW"), tax_free=True)
    await world.put_product(book)
    placed = await world.place(("seat", 1), ("book", 2))
    assert placed.order.tax_free == Money(40_000, "KRW")
    assert placed.checkout.tax_free_amount == 40_000
    assert world.fake.ledger.registered_tax_free(placed.order.payment_id) == 40_000
    world.pay(placed)
    await world.webhook(placed)
    assert (await world.show_order(placed.order.id)).order.status is OrderStatus.COMPLETED


@pytest.mark.parametrize("amount", [1, 354_999, 355_001, 394_999, 395_000])
async def test_what_goes_back_of_an_order_with_untaxed_parts_is_divided_so_that_the_gateway_does_it(
    world: Any, amount: int
) -> None:
    book = PutProductCommand(id=ProductId("book"), name="책", price=Money(20_000, "KRW"), tax_free=True)
    await world.put_product(book)
    placed = await world.place(("seat", 1), ("book", 2))
    world.pay(placed)
    await world.webhook(placed)
    for number, sum_ in enumerate((amount, 395_000 - amount)):
        if sum_:
            command = RefundOrderCommand(
                order_id=placed.order.id,
                amount=Money(sum_, "KRW"),
                reason="asked",
                requested_by="a test",
                idempotency_key=f"refund-{number}",
            )
            await world.refund_order(command)
            await world.rest(placed)
    record = world.fake.ledger.find(placed.order.payment_id)
    assert (record.cancelled, record.cancelled_tax_free) == (395_000, 40_000)


@pytest.mark.parametrize("tax_free", [0, 39_999, 40_001])
async def test_who_declares_another_untaxed_part_than_the_orders_gets_all_of_it_back(world: Any, tax_free: int) -> None:
    book = PutProductCommand(id=ProductId("book"), name="책", price=Money(20_000, "KRW"), tax_free=True)
    await world.put_product(book)
    placed = await world.place(("seat", 1), ("book", 2))
    world.pay(placed, tax_free=tax_free)
    await world.webhook(placed)
    record = await world.rest(placed)
    assert (record.order.status, record.order.reason) == (OrderStatus.CANCELLED, CancelReason.MISMATCH)
    assert [entry.data["differs"] for entry in record.history if entry.kind == "cancelled"] == [["tax"]]
    assert world.fake.ledger.balance(placed.order.payment_id).net == 0


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([("programme", 4)], "at most 3 of 'programme'"),
        ([("programme", 2), ("programme", 2)], "at most 3 of 'programme'"),
        ([("programme", 3), ("free", 2)], "at most 4 units, and these are 5"),
    ],
)
async def test_one_order_holds_no_more_units_than_the_shop_lets_it(
    new_world: Any, items: list[tuple[str, int]], sentence: str
) -> None:
    world = await new_world(limits=Limits(product_units=3, order_units=4))
    with pytest.raises(BeyondLimitsError, match=sentence):
        await world.place(*items)
    assert (await world.place(("programme", 3), ("free", 1))).order.price == Money(60_000, "KRW")


@pytest.mark.parametrize(("quantity", "fits"), [(1, True), (100, True), (101, False)])
async def test_no_order_is_placed_that_the_payment_provider_would_not_take(
    new_world: Any, quantity: int, *, fits: bool
) -> None:
    amounts = ((Money(100, "KRW"), Money(2_000_000, "KRW")),)
    world = await new_world(limits=Limits(amounts=amounts, product_units=1000, order_units=1000))
    if fits:
        assert (await world.place(("programme", quantity))).order.status is OrderStatus.PENDING
        return
    with pytest.raises(BeyondLimitsError, match=r"an order of 2,020,000 KRW .* 100 to 2,000,000 KRW"):
        await world.place(("programme", quantity))


async def test_nothing_is_held_by_an_order_beyond_the_limits(new_world: Any) -> None:
    world = await new_world(limits=Limits(amounts=((Money(100, "KRW"), Money(350_000, "KRW")),)))
    with pytest.raises(BeyondLimitsError):
        await world.place(("seat", 1))
    assert await world.available("seat") == 1


async def test_limits_in_one_currency_say_nothing_of_another(new_world: Any) -> None:
    world = await new_world(limits=Limits(amounts=((Money(10_000, "KRW"), Money(350_000, "KRW")),)))
    assert (await world.place(("poster", 1))).order.price == Money(999, "USD")


async def test_nobody_is_led_to_pay_for_an_order_that_is_over(world: Any) -> None:
    placed = await world.place(key=KEY)
    await world.cancel_order(placed.order.id, placed.token)
    again = await world.place(key=KEY)
    assert (again.order.id, again.token, again.checkout) == (placed.order.id, placed.token, None)


async def test_nobody_is_led_to_pay_for_an_order_that_is_paid(world: Any) -> None:
    placed = await world.place(key=KEY)
    world.pay(placed)
    await world.webhook(placed)
    assert (await world.place(key=KEY)).checkout is None


async def test_nobody_is_led_to_pay_for_an_order_whose_time_is_up(world: Any) -> None:
    placed = await world.place(key=KEY)
    world.pass_time(minutes=15)
    again = await world.place(key=KEY)
    assert (again.order.status, again.checkout) == (OrderStatus.PENDING, None)
    assert placed.checkout is not None


async def test_the_same_key_and_request_is_the_same_order_and_token(world: Any) -> None:
    first = await world.place(key=KEY)
    again = await world.place(key=KEY)
    assert again.replayed
    assert not first.replayed
    assert (again.order, again.token, again.checkout) == (first.order, first.token, first.checkout)
    assert await world.available("seat") == 0


async def test_another_key_is_another_order(world: Any) -> None:
    first, second = [await world.place(("programme", 1), key=key) for key in (KEY, KEY[::-1])]
    assert first.order.id != second.order.id
    assert not second.replayed
    assert (await world.place(("programme", 1), key=KEY)).order == first.order


async def test_the_payment_window_is_told_the_customer_again_when_the_order_was_placed_before(world: Any) -> None:
    customer = Customer(name="홍길동")
    first, again = [await world.place(key=KEY, customer=customer) for _ in range(2)]
    assert again.checkout == first.checkout
    assert again.checkout.customer == {"fullName": "홍길동"}


async def test_a_token_takes_the_key_and_what_was_drawn_for_its_order_and_neither_alone_is_enough(
    new_world: Any,
) -> None:
    world, same_draws = await new_world(), await new_world()
    first = await world.place(("programme", 1), key=KEY)
    other_key = await same_draws.place(("programme", 1), key=KEY[::-1])
    assert first.order.id == other_key.order.id, "both worlds draw the same"
    assert first.token != other_key.token
    other_draw = await new_world()
    other_draw.new_id()
    assert (await other_draw.place(("programme", 1), key=KEY)).token != first.token


async def test_a_key_used_by_twenty_clicks_at_once_places_one_order(world: Any) -> None:
    placed = await asyncio.gather(*(world.place(key=KEY) for _ in range(20)))
    assert {(p.order.id, p.token) for p in placed} == {(placed[0].order.id, placed[0].token)}
    assert sum(not p.replayed for p in placed) == 1


@pytest.mark.parametrize("change", [{"items": ("seat", 2)}, {"items": ("programme", 1)}, {"customer": "A"}])
async def test_the_same_key_with_another_request_is_refused(world: Any, change: dict[str, Any]) -> None:
    await world.place(key=KEY)
    customer = Customer(name=change["customer"]) if "customer" in change else None
    with pytest.raises(IdempotencyKeyReusedError):
        await world.place(change.get("items", ("seat", 1)), key=KEY, customer=customer)


async def test_without_a_key_every_request_is_an_order_with_a_token_of_its_own(world: Any) -> None:
    first, second = await world.place(("programme", 1)), await world.place(("programme", 1))
    assert first.order.id != second.order.id
    assert first.token != second.token
    assert first.order.admits(first.token)
    assert not first.order.admits(second.token)


async def test_who_names_neither_key_nor_customer_gets_an_order_of_its_own_and_a_window_without_a_name(
    world: Any,
) -> None:
    command = PlaceOrderCommand(items=((ProductId("programme"), 1),))
    first, second = await world.place_order(command), await world.place_order(command)
    assert (first.order.id != second.order.id, second.replayed) == (True, False)
    assert first.checkout.customer is None


async def test_the_customer_reaches_the_payment_window_and_nothing_that_is_kept(world: Any) -> None:
    customer = Customer(name="홍길동", email="hong@example.com", phone="01012345678")
    placed = await world.place(customer=customer, key=KEY)
    assert placed.checkout.customer == {
        "fullName": "홍길동",
        "email": "hong@example.com",
        "phoneNumber": "01012345678",
    }
    kept = repr(world.store._kept)
    assert "01012345678" not in kept
    assert "hong@example.com" not in kept
    assert KEY not in kept
    assert placed.token not in kept


@pytest.mark.parametrize("fault", ["gateway_5xx", "gateway_html", "gateway_truncated"])
async def test_a_gateway_in_trouble_does_not_keep_an_order_from_being_placed(world: Any, fault: str) -> None:
    world.faults(Fault(name=fault))
    assert (await world.place()).order.status is OrderStatus.PENDING
