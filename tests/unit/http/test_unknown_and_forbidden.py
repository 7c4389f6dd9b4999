"""Whoever lacks an order's token learns nothing of it, not even that there is one."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from domain.ids import OrderId

if TYPE_CHECKING:
    import httpx

    from proof import Cases
    from unit.http.conftest import Shopfront, Toolbox

ROUTES = [
    ("GET", ""),
    ("HEAD", ""),
    ("POST", "/verify"),
    ("POST", "/cancel"),
    ("POST", "/ticket"),
    ("GET", "/return"),
    ("GET", "/events"),
]
Credentials = tuple[list[tuple[str, str]], str]  # headers and query


def seen(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """All that a client can compare."""
    return answer.status_code, sorted(answer.headers.raw), answer.content


def ticket_of(token: str, order_id: str, expires: int) -> str:
    """A ticket as the service would stamp it, had it been asked for."""
    key = hashlib.sha256(token.encode()).hexdigest().encode()
    return f"{expires}.{hmac.new(key, f'stream.{order_id}.{expires}'.encode(), hashlib.sha256).hexdigest()}"


def bearer(token: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {token}")]


def wrong_credentials(mine: Any, theirs: Any, ticket: str) -> Iterator[tuple[str, Credentials]]:
    """Everything that does not open ``theirs``, of which some opens ``mine``."""
    token, their_id, now = theirs["token"], theirs["order"]["id"], int(time.time())
    yield "none", ([], "")
    yield "another order's token", (bearer(mine["token"]), "")
    yield "an empty token", (bearer(""), "")
    yield "a token of the wrong shape", (bearer("x"), "")
    yield "a token cut short", (bearer(token[:-1]), "")
    yield "a token with more behind it", (bearer(token + "0"), "")
    yield "a token in capitals", (bearer(token.upper()), "")
    yield "its hash", (bearer(hashlib.sha256(token.encode()).hexdigest()), "")
    yield "another scheme", ([("Authorization", f"Basic {token}")], "")
    yield "no scheme", ([("Authorization", token)], "")
    yield "two tokens, one of them right", (bearer(mine["token"]) + bearer(token), "")
    yield "the token in a cookie", ([("Cookie", f"token={token}")], "")
    yield "the token in the query", ([], f"?token={token}&access_token={token}")
    yield "the token as a ticket", ([], f"?ticket={token}")
    yield "an empty ticket", ([], "?ticket=")
    yield "a ticket of the wrong shape", ([], "?ticket=%00.%ff")
    yield "two tickets", ([], f"?ticket={ticket}&ticket={ticket}")
    yield "another order's ticket", ([], f"?ticket={ticket}")
    yield "another order's ticket and token", (bearer(mine["token"]), f"?ticket={ticket}")
    yield "an expired ticket", ([], f"?ticket={ticket_of(token, their_id, now - 1)}")
    yield "a ticket whose time was put off", ([], f"?ticket={now + 60}.{ticket_of(token, their_id, now - 1)[-64:]}")
    yield "a ticket stamped with another token", ([], f"?ticket={ticket_of(mine['token'], their_id, now + 60)}")


async def ticket_for(shopfront: Shopfront, placed: Any) -> str:
    return str(await shopfront.use_cases.issue_ticket(OrderId(placed["order"]["id"]), placed["token"]))


@pytest.mark.proves("Unknown and forbidden orders answer alike")
@pytest.mark.parametrize("state", ["pending", "completed", "cancelled"])
async def test_a_forbidden_order_answers_exactly_as_no_order(shopfront: Shopfront, cases: Cases, state: str) -> None:
    """Every route × every wrong credential: the same status, headers and bytes for an order and for none."""
    mine, theirs = await shopfront.place(), await shopfront.place()
    await bring(shopfront, theirs, state)
    unknown = "0123456789abcdef" * 2
    ticket = await ticket_for(shopfront, mine)
    before = await shopfront.history(theirs)
    for (method, tail), (name, (headers, query)) in itertools.product(ROUTES, wrong_credentials(mine, theirs, ticket)):
        answers = []
        for order_id in (theirs["order"]["id"], unknown):
            async with asyncio.timeout(10):  # a stream that opens does not end
                at = f"/api/v1/orders/{order_id}{tail}{query}"
                answers.append(seen(await shopfront.http.request(method, at, headers=headers)))
        cases.run += 1
        assert answers[0] == answers[1], (method, tail, name)
        assert answers[0][0] == 404, (method, tail, name)
        assert theirs["order"]["id"].encode() not in answers[0][2]
    assert await shopfront.history(theirs) == before, "nothing was done to it"


async def bring(shopfront: Shopfront, placed: Any, state: str) -> None:
    if state == "completed":
        shopfront.pays(placed)
        await shopfront.verify(placed)
    elif state == "cancelled":
        await shopfront.use_cases.cancel_order(OrderId(placed["order"]["id"]), placed["token"])


ODD: list[Callable[[str], str]] = [
    lambda name: name.upper(),
    lambda name: name[:-1],
    lambda name: name + "0",
    lambda name: f"{name}%00",
    lambda name: f"{name}%20",
    lambda name: f"%20{name}",
    lambda name: f"{name}%0a",
    lambda name: f"{name}%2e",
    lambda name: f".%2f{name}",
    lambda name: f"..%2forders%2f{name}",
    lambda name: f"%2e%2e%2forders%2f{name}",
    lambda name: f"x%2f..%2f{name}",
    lambda name: f"{name}%2f..",
    lambda name: f"{name};a=b",
    lambda name: f"{name}%3fa",
    lambda name: f"{name}%23",
    lambda name: "".join(chr(ord(sign) + 0xFEE0) for sign in name),
    lambda name: f"{name[:16]}\u200b{name[16:]}",
    lambda name: f"{name}%ff",
    lambda name: f"{name}%ed%a0%80",
    lambda name: f"{name}'--",
    lambda _: "*",
    lambda _: "..",
    lambda _: "%2e%2e",
    lambda _: "null",
    lambda _: "-1",
    lambda _: "9" * 4000,
]


@pytest.mark.proves("Unknown and forbidden orders answer alike")
async def test_an_id_has_one_spelling_and_its_token_opens_no_other(
    shopfront: Shopfront, tools: Toolbox, cases: Cases
) -> None:
    placed = await shopfront.place()
    for spell, (method, tail) in itertools.product(ODD, ROUTES):
        path = f"/api/v1/orders/{spell(placed['order']['id'])}{tail}"
        answer = await shopfront.http.request(method, path, headers=tools.bearer(placed))
        cases.run += 1
        assert answer.status_code == 404, (path, answer.status_code)
    assert await shopfront.history(placed) == ["placed"]


@pytest.mark.proves("Unknown and forbidden orders answer alike")
@pytest.mark.parametrize("state", ["pending", "completed", "cancelled"])
async def test_nothing_seen_with_one_orders_token_depends_on_another_order(
    shopfront: Shopfront, tools: Toolbox, cases: Cases, state: str
) -> None:
    mine = await shopfront.place()

    async def all_i_see() -> list[object]:
        at = f"/api/v1/orders/{mine['order']['id']}"
        answers: list[object] = [seen(await shopfront.http.get(at, headers=tools.bearer(mine)))]
        answers.append(seen(await shopfront.http.post(f"{at}/verify", headers=tools.bearer(mine))))
        order = await shopfront.use_cases.read_order(OrderId(mine["order"]["id"]), mine["token"])
        following = shopfront.use_cases.follow_order(order)
        answers.append(await anext(following))
        await following.aclose()
        return answers

    before = await all_i_see()
    for _ in range(5):
        await bring(shopfront, await shopfront.place(), state)
        cases.run += 1
        assert await all_i_see() == before


@pytest.mark.proves("Unknown and forbidden orders answer alike")
async def test_a_ticket_is_good_until_its_time_and_not_a_second_longer(
    shopfront: Shopfront, tools: Toolbox, cases: Cases
) -> None:
    placed = await shopfront.place()
    await bring(shopfront, placed, "cancelled")  # so that its stream ends
    at, now = f"/api/v1/orders/{placed['order']['id']}/events", int(time.time())
    for seconds, status in ((60, 200), (10, 200), (-2, 404), (-3600, 404)):
        ticket = ticket_of(placed["token"], placed["order"]["id"], now + seconds)
        cases.run += 1
        assert (await shopfront.http.get(at, params={"ticket": ticket})).status_code == status


@pytest.mark.proves("Unknown and forbidden orders answer alike")
async def test_no_two_orders_have_anything_to_guess_from(shopfront: Shopfront, cases: Cases) -> None:
    placed = [await shopfront.place() for _ in range(200)]
    cases.run += len(placed)
    ids, payments = ([one["order"][name] for one in placed] for name in ("id", "paymentId"))
    for told in (ids, payments, [one["token"] for one in placed]):
        assert len(set(told)) == len(told)
        assert all(len(name) >= 32 for name in told), "128 bits in hexadecimal at least"
        for place in range(32):
            assert len({name[place] for name in told}) >= 14, "every place takes every digit, so none counts"
