"""The windows that the list of changes is cut into, by a gateway that is asked for pages and notes each question."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from application.changes import Batch, Changes, Window
from application.errors import GatewayUnavailableError, ListIncompleteError
from application.ports import PAGED_MOST, ChangedPage, PaymentGateway
from application.seen import Seen
from domain.money import Money
from domain.payment import Payment, PaymentStatus

START = datetime(2026, 11, 25, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
SPAN = Window(since=START, until=START + DAY)


def payment(number: int, cancelled: int = 0) -> Payment:
    return Payment(
        id=f"{number:06d}",
        status=PaymentStatus.PAID,
        said="PAID",
        total=Money(1_000, "KRW"),
        cancelled=Money(cancelled, "KRW"),
        store_id="s",
        channel_type="LIVE",
    )


class Gateway:
    """Lists so many payments, each at its moment; ``sort`` and ``count`` may do otherwise than one would think."""

    def __init__(self, moments: Sequence[datetime]) -> None:
        self.payments = [(at, payment(number)) for number, at in enumerate(moments)]
        self.asked: list[tuple[datetime, datetime, int]] = []
        self.count: Callable[[int], int] = lambda total: total
        self.sort: Callable[[list[Payment]], list[Payment]] = lambda found: found

    async def changed_page(
        self, store_id: str, since: datetime, until: datetime, *, number: int, size: int
    ) -> ChangedPage:
        assert store_id == "s"
        assert (number + 1) * size <= PAGED_MOST
        self.asked.append((since, until, number))
        found = self.sort([payment for at, payment in self.payments if since <= at <= until])
        return ChangedPage(payments=found[number * size : (number + 1) * size], total=self.count(len(found)))

    async def read(self, span: Window = SPAN, *, size: int = 10) -> list[Batch]:
        changes = Changes(cast("PaymentGateway", self), "s", span, size=size)
        return [batch async for batch in changes.batches()]


def evenly(count: int, over: timedelta = DAY) -> list[datetime]:
    return [START + over * number / count for number in range(count)]


def names(batches: Sequence[Batch]) -> list[str]:
    return [payment.id for batch in batches for payment in batch.payments]


async def test_what_fits_one_page_is_one_question() -> None:
    gateway = Gateway(evenly(9))
    (batch,) = await gateway.read()
    assert (len(batch.payments), batch.ends, batch.lacks, batch.window) == (9, True, None, SPAN)
    assert gateway.asked == [(START, START + DAY, 0)]


async def test_nothing_is_one_question_and_an_empty_batch_that_ends_the_window() -> None:
    gateway = Gateway([])
    assert await gateway.read() == [Batch(window=SPAN, payments=[], ends=True)]
    assert await gateway.read(Window(since=START, until=START)) != []


@pytest.mark.parametrize(("count", "pages"), [(10, 2), (11, 2), (19, 2), (20, 3), (100, 11)])
async def test_pages_are_read_by_number_until_one_is_not_full(count: int, pages: int) -> None:
    gateway = Gateway(evenly(count))
    batches = await gateway.read()
    assert [number for _, _, number in gateway.asked] == list(range(pages))
    assert [batch.ends for batch in batches] == [False] * (pages - 1) + [True]
    assert len(names(batches)) == count


async def test_a_window_of_more_than_ten_pages_is_halved_and_quiet_ones_grow_again() -> None:
    gateway = Gateway([*evenly(300, timedelta(hours=3)), *(START + timedelta(hours=23) for _ in range(3))])
    batches = await gateway.read()
    windows = [batch.window for batch in batches if batch.ends]
    assert sorted(names(batches)) == [f"{number:06d}" for number in range(303)]
    assert [windows[0].since, windows[-1].until] == [START, START + DAY]
    assert all(before.until == after.since for before, after in itertools.pairwise(windows))
    assert max(window.width for window in windows) > 2 * min(window.width for window in windows)
    assert len(windows) < 12


async def test_a_window_begins_a_second_early_for_nobody_says_whether_its_ends_belong_to_it() -> None:
    gateway = Gateway(evenly(150))
    batches = await gateway.read()
    middle = START + DAY / 2
    assert gateway.asked[0] == (START, START + DAY, 0)
    assert {since for since, _, _ in gateway.asked[1:]} == {START, middle - SECOND}
    assert len(names(batches)) == len(set(names(batches))) == 150, "and what is listed twice is shown once"


async def test_a_record_that_comes_again_otherwise_is_shown_again() -> None:
    gateway = Gateway(evenly(150))
    at = START + DAY / 2 - SECOND / 2
    gateway.payments[7] = (at, payment(7))
    changes = Changes(cast("PaymentGateway", gateway), "s", SPAN, size=10)
    seen: list[Payment] = []
    async for batch in changes.batches():
        seen += [one for one in batch.payments if one.id == "000007"]
        if seen:
            gateway.payments[7] = (at, payment(7, cancelled=1))
    assert seen == [payment(7), payment(7, cancelled=1)]


async def test_of_more_than_anybody_may_page_through_at_one_moment_all_that_can_be_read_is_and_it_is_said() -> None:
    gateway = Gateway([START + DAY / 3] * (PAGED_MOST + 1))
    batches = await gateway.read(size=6_000)
    assert len(names(batches)) == PAGED_MOST
    lacks, *_ = [batch.lacks for batch in batches if batch.lacks is not None]
    assert "60,001 payments changed" in str(lacks)
    assert "lists 60,000" in str(lacks)
    assert batches[-1].window.until == START + DAY


async def test_a_window_fuller_than_anybody_may_page_through_is_halved() -> None:
    gateway = Gateway(evenly(70_000))
    batches = await gateway.read(size=30_000)
    assert len(names(batches)) == 70_000
    assert not [batch for batch in batches if batch.lacks]


async def test_what_shifts_from_page_to_page_is_read_again_and_then_in_narrower_windows() -> None:
    lot = random.Random(1)  # noqa: S311 - repeatable, not secret
    gateway = Gateway(evenly(90))
    gateway.sort = lambda found: lot.sample(found, len(found))
    batches = await gateway.read()
    assert set(names(batches)) == {f"{number:06d}" for number in range(90)}
    assert not [batch for batch in batches if batch.lacks]


@pytest.mark.parametrize("more", [1, -1])
async def test_a_page_that_is_not_what_its_count_says_is_read_twice_and_then_it_is_said(more: int) -> None:
    gateway = Gateway(evenly(5))
    gateway.count = lambda total: total + more
    batches = await gateway.read()
    assert len(gateway.asked) == 2
    assert len(names(batches)) == 5, "what there is is handed out all the same, once"
    assert [batch.ends for batch in batches] == [False, False, True]
    said = f"the gateway says that {5 + more} payments changed from 2026-11-25 00:00:00 to 2026-11-26 00:00:00 UTC"
    assert isinstance(batches[-1].lacks, ListIncompleteError)
    assert str(batches[-1].lacks) == f"{said}, and lists 5"


async def test_a_count_that_was_wrong_once_is_forgotten() -> None:
    gateway = Gateway(evenly(5))
    wrong = iter([4])
    gateway.count = lambda total: next(wrong, total)
    assert [batch.lacks for batch in await gateway.read()] == [None, None]


async def test_one_that_leaves_while_pages_are_read_hides_no_other() -> None:
    gateway = Gateway(evenly(50))
    page = gateway.changed_page

    async def one_leaves(*asked: Any, **more: Any) -> ChangedPage:
        found = await page(*asked, **more)
        if len(gateway.payments) > 45:
            gateway.payments.pop(0)
        return found

    gateway.changed_page = one_leaves  # type: ignore[method-assign]
    assert {f"{number:06d}" for number in range(5, 50)} <= set(names(await gateway.read()))


async def test_those_that_come_while_pages_are_read_are_shown_and_nothing_is_lacking() -> None:
    gateway = Gateway(evenly(50))
    page = gateway.changed_page

    async def one_comes(*asked: Any, **more: Any) -> ChangedPage:
        found = await page(*asked, **more)
        gateway.payments.append((START + DAY, payment(len(gateway.payments))))
        return found

    gateway.changed_page = one_comes  # type: ignore[method-assign]
    batches = await gateway.read()
    assert not [batch for batch in batches if batch.lacks]
    assert len(names(batches)) >= 50


async def test_a_gateway_that_is_gone_is_raised_after_what_came_before() -> None:
    gateway = Gateway(evenly(50))
    page = gateway.changed_page
    seen: list[str] = []

    async def gone_at_last(*asked: Any, number: int, size: int) -> ChangedPage:
        if number == 3:
            raise GatewayUnavailableError("gone")
        return await page(*asked, number=number, size=size)

    gateway.changed_page = gone_at_last  # type: ignore[method-assign,assignment]

    async def read() -> None:
        async for batch in Changes(cast("PaymentGateway", gateway), "s", SPAN, size=10).batches():
            seen.extend(one.id for one in batch.payments)

    with pytest.raises(GatewayUnavailableError):
        await read()
    assert len(seen) == 30


# --- what was seen ------------------------------------------------------------------------------------------------


def test_what_was_seen_is_known_and_nothing_else() -> None:
    seen = Seen()
    for number in range(30_000):
        assert f"{number}" not in seen
        seen.add(f"{number}")
        seen.add(f"{number}")
    assert all(f"{number}" in seen for number in range(30_000))
    assert not [number for number in range(30_000, 60_000) if f"{number}" in seen]


class FewSeen(Seen):
    _PLACES_MOST = 2**12


def test_it_forgets_only_what_is_long_ago() -> None:
    seen = FewSeen()
    for number in range(100_000):
        seen.add(f"{number}")
        if number % 1_000 == 0:
            assert all(f"{old}" in seen for old in range(max(0, number - 2_000), number + 1))
    assert "0" not in seen
