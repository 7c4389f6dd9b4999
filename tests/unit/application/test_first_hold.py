"""Nobody holds a shop's stock for nothing: an order whose payment window was never opened is held for a short while."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from application.ports import PaymentGateway
from domain.ids import PaymentId
from domain.lifecycle import CancelReason, OrderStatus
from domain.payment import Payment
from domain.policy import Policy

SHORT = Policy(first_hold=timedelta(minutes=5))


class Forgetful:
    """A gateway that may forget every payment."""

    def __init__(self, gateway: PaymentGateway) -> None:
        self._gateway = gateway
        self.forgets = False

    async def get(self, payment_id: PaymentId) -> Payment | None:
        return None if self.forgets else await self._gateway.get(payment_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)


@pytest.fixture
async def shop(new_world: Any) -> Any:
    return await new_world(policy=SHORT)


async def status(shop: Any, placed: Any) -> tuple[str, str | None]:
    order = (await shop.show_order(placed.order.id)).order
    return order.status, order.reason


async def wait(shop: Any, *, until: float) -> None:
    """Let time pass to so many seconds after the beginning, and check whatever is due meanwhile."""
    while shop.seconds() < until:
        shop.pass_time(seconds=5)
        await shop.check()


async def test_an_order_of_which_the_gateway_never_hears_is_given_up_early_and_its_goods_are_for_sale(
    shop: Any,
) -> None:
    began = shop.seconds()
    placed = await shop.place()
    assert placed.order.expires_at - placed.order.created_at == timedelta(minutes=15), "its own time is told"
    await wait(shop, until=began + 325)
    assert await status(shop, placed) == (OrderStatus.PENDING, None)
    await wait(shop, until=began + 340)
    assert await status(shop, placed) == (OrderStatus.CANCELLED, CancelReason.EXPIRED)
    assert await shop.available("seat") == 1


async def test_once_the_window_was_opened_the_whole_time_counts(shop: Any) -> None:
    began = shop.seconds()
    placed = await shop.place()
    await wait(shop, until=began + 290)
    shop.fake.buyer.open(placed.order.payment_id, shop.purchase(placed))
    await wait(shop, until=began + 920)
    assert await status(shop, placed) == (OrderStatus.PENDING, None)
    await wait(shop, until=began + 940)
    assert await status(shop, placed) == (OrderStatus.CANCELLED, CancelReason.EXPIRED)


@pytest.mark.parametrize("said", ["fail", "open"])
async def test_what_was_seen_once_counts_even_where_the_gateway_forgets_it(new_world: Any, said: str) -> None:
    forgetful: list[Forgetful] = []

    def wrap(gateway: PaymentGateway) -> Any:
        forgetful.append(Forgetful(gateway))
        return forgetful[0]

    shop = await new_world(wrap, policy=SHORT)
    began = shop.seconds()
    placed = await shop.place()
    getattr(shop.fake.buyer, said)(placed.order.payment_id, shop.purchase(placed))
    await wait(shop, until=began + 60)
    forgetful[0].forgets = True
    await wait(shop, until=began + 900)
    assert await status(shop, placed) == (OrderStatus.PENDING, None)


async def test_what_a_webhook_announced_is_waited_for(shop: Any) -> None:
    began = shop.seconds()
    placed = await shop.place()
    await shop.webhook(placed)
    await wait(shop, until=began + 900)
    assert await status(shop, placed) == (OrderStatus.PENDING, None)


async def test_who_pays_after_all_for_an_order_that_was_given_up_early_gets_the_money_back(shop: Any) -> None:
    began = shop.seconds()
    placed = await shop.place()
    await wait(shop, until=began + 340)
    shop.pay(placed)
    await shop.webhook(placed)
    await shop.rest(placed)
    assert await status(shop, placed) == (OrderStatus.CANCELLED, CancelReason.EXPIRED)
    assert shop.fake.ledger.balance(placed.order.payment_id).net == 0


async def test_a_first_hold_beyond_the_orders_own_time_changes_nothing(new_world: Any) -> None:
    shop = await new_world(policy=Policy(first_hold=timedelta(hours=1)))
    began = shop.seconds()
    placed = await shop.place()
    await wait(shop, until=began + 920)
    assert await status(shop, placed) == (OrderStatus.PENDING, None)
    await wait(shop, until=began + 940)
    assert await status(shop, placed) == (OrderStatus.CANCELLED, CancelReason.EXPIRED)


async def test_a_first_hold_of_seconds_is_not_waited_for_as_long_as_for_a_usual_first_check(new_world: Any) -> None:
    shop = await new_world(policy=Policy(first_hold=timedelta(seconds=2)))
    began = shop.seconds()
    placed = await shop.place()
    await wait(shop, until=began + 5)
    assert await status(shop, placed) == (OrderStatus.CANCELLED, CancelReason.EXPIRED)
