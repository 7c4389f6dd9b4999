"""The ticket for the way back: it tells in any browser whether it is paid, for a while, and opens nothing else."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from application.errors import OrderNotFoundError
from application.tickets import IssueTicket, RedeemTicket
from domain.lifecycle import OrderStatus


def ticket_of(placed: Any) -> str:
    query = parse_qs(urlsplit(placed.checkout.redirect_url).query)
    assert query["order"] == [placed.order.id]
    [ticket] = query["ticket"]
    return str(ticket)


async def test_whoever_comes_back_elsewhere_learns_whether_it_is_paid(world: Any) -> None:
    placed, given_up = await world.place(), await world.place(("programme", 1))
    assert await world.read_return(placed.order.id, ticket_of(placed)) is OrderStatus.PENDING
    world.pay(placed)
    await world.webhook(placed)
    assert await world.read_return(placed.order.id, ticket_of(placed)) is OrderStatus.COMPLETED
    await world.cancel_order(given_up.order.id, given_up.token)
    assert await world.read_return(given_up.order.id, ticket_of(given_up)) is OrderStatus.CANCELLED


async def test_it_is_good_for_an_hour_past_the_orders_time(world: Any) -> None:
    placed = await world.place()
    world.pass_time(minutes=75)
    await world.read_return(placed.order.id, ticket_of(placed))
    world.pass_time(seconds=1)
    with pytest.raises(OrderNotFoundError):
        await world.read_return(placed.order.id, ticket_of(placed))


async def test_it_opens_one_order_only(world: Any) -> None:
    placed, other = await world.place(), await world.place(("programme", 1))
    with pytest.raises(OrderNotFoundError):
        await world.read_return(other.order.id, ticket_of(placed))


async def test_it_is_no_ticket_for_the_stream_and_the_streams_is_none_for_the_way_back(world: Any) -> None:
    placed = await world.place()
    with pytest.raises(OrderNotFoundError):
        await RedeemTicket(world.store, world.now)(placed.order.id, ticket_of(placed))
    streams = await IssueTicket(world.read_order, world.now)(placed.order.id, placed.token)
    with pytest.raises(OrderNotFoundError):
        await world.read_return(placed.order.id, streams)


@pytest.mark.parametrize("alter", ["", ".", "9999999999.", "{}x", "9{}", "\ud800", "é.{}", "²2.{}"])
async def test_one_that_was_altered_is_none(world: Any, alter: str) -> None:
    placed = await world.place()
    with pytest.raises(OrderNotFoundError):
        await world.read_return(placed.order.id, alter.format(ticket_of(placed)))


async def test_an_order_placed_again_with_its_key_has_the_same_way_back(world: Any) -> None:
    first = await world.place(key="a key that is hard to guess")
    world.pass_time(seconds=30)
    again = await world.place(key="a key that is hard to guess")
    assert again.checkout.redirect_url == first.checkout.redirect_url
