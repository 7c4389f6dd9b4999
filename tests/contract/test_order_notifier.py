"""What the port promises of an order notifier, held against every adapter of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest

from adapters.notify.in_process import InProcessNotifier
from application.errors import TooManyStreamsError
from application.ports import OrderNotifier
from domain.ids import OrderId

ONE, OTHER = OrderId("1" * 32), OrderId("2" * 32)

NewNotifier = Callable[[int, int], OrderNotifier]


@pytest.fixture(params=["in process"])
def new_notifier(request: pytest.FixtureRequest) -> NewNotifier:
    """Makes a notifier of each kind: ``new_notifier(per_order, in_all)``."""
    kinds: dict[str, NewNotifier] = {
        "in process": lambda per_order, in_all: InProcessNotifier(per_order=per_order, in_all=in_all)
    }
    return kinds[request.param]


@pytest.fixture
def notifier(new_notifier: NewNotifier) -> OrderNotifier:
    return new_notifier(8, 100)


async def test_publishing_notifies_every_follower_of_the_order(notifier: OrderNotifier) -> None:
    with notifier.subscribe(ONE) as first, notifier.subscribe(ONE) as second:
        await notifier.publish(ONE)
        assert await first.wait(5)
        assert await second.wait(5)


async def test_a_follower_that_waits_is_woken_at_once(notifier: OrderNotifier) -> None:
    with notifier.subscribe(ONE) as subscription:
        waiting = asyncio.create_task(subscription.wait(30))
        await asyncio.sleep(0)
        started = monotonic()
        await notifier.publish(ONE)
        assert await waiting
    assert monotonic() - started < 5


async def test_a_notification_before_the_wait_is_not_lost(notifier: OrderNotifier) -> None:
    with notifier.subscribe(ONE) as subscription:
        await notifier.publish(ONE)
        await asyncio.sleep(0)
        assert await subscription.wait(5)


async def test_notifications_since_the_last_wait_wake_once(notifier: OrderNotifier) -> None:
    with notifier.subscribe(ONE) as subscription:
        await notifier.publish(ONE)
        await notifier.publish(ONE)
        assert await subscription.wait(5)
        assert not await subscription.wait(0.01)


async def test_without_news_the_wait_ends_in_time(notifier: OrderNotifier) -> None:
    with notifier.subscribe(ONE) as subscription:
        started = monotonic()
        assert not await subscription.wait(0.02)
    assert 0.015 < monotonic() - started < 5


async def test_a_wait_of_no_time_tells_whether_there_was_news(notifier: OrderNotifier) -> None:
    with notifier.subscribe(ONE) as subscription:
        assert not await subscription.wait(0)
        await notifier.publish(ONE)
        assert await subscription.wait(0)


async def test_other_orders_are_not_notified(notifier: OrderNotifier) -> None:
    with notifier.subscribe(ONE) as subscription:
        await notifier.publish(OTHER)
        assert not await subscription.wait(0.01)


async def test_publishing_to_nobody_does_nothing(notifier: OrderNotifier) -> None:
    await notifier.publish(ONE)


async def test_publishing_never_waits_for_a_follower(notifier: OrderNotifier) -> None:
    with notifier.subscribe(ONE):
        async with asyncio.timeout(5):
            for _ in range(1000):
                await notifier.publish(ONE)


async def test_one_follower_too_many_of_an_order_is_refused(new_notifier: NewNotifier) -> None:
    notifier = new_notifier(2, 100)
    with notifier.subscribe(ONE), notifier.subscribe(ONE):
        with pytest.raises(TooManyStreamsError), notifier.subscribe(ONE):
            pass
        with notifier.subscribe(OTHER):
            pass
    with notifier.subscribe(ONE), notifier.subscribe(ONE):
        pass


async def test_one_follower_too_many_of_the_process_is_refused(new_notifier: NewNotifier) -> None:
    notifier = new_notifier(2, 2)
    with (
        notifier.subscribe(ONE),
        notifier.subscribe(OTHER),
        pytest.raises(TooManyStreamsError),
        notifier.subscribe(OTHER),
    ):
        pass
    with notifier.subscribe(OTHER), notifier.subscribe(OTHER):
        pass


async def test_leaving_frees_the_place_whatever_happened_inside(new_notifier: NewNotifier) -> None:
    notifier = new_notifier(1, 1)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="inside"), notifier.subscribe(ONE):
            raise RuntimeError("inside")


async def test_a_subscription_that_is_never_entered_takes_no_place(new_notifier: NewNotifier) -> None:
    notifier = new_notifier(1, 1)
    never_entered = [notifier.subscribe(ONE) for _ in range(3)]
    with notifier.subscribe(ONE):
        assert len(never_entered) == 3


async def test_a_follower_that_is_cancelled_while_it_waits_frees_its_place(new_notifier: NewNotifier) -> None:
    notifier = new_notifier(1, 1)
    entered = asyncio.Event()

    async def follow() -> None:
        with notifier.subscribe(ONE) as subscription:
            entered.set()
            await subscription.wait(30)

    following = asyncio.create_task(follow())
    await entered.wait()
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    with notifier.subscribe(ONE):
        pass


async def test_closing_notifies_everybody_for_the_last_time(notifier: OrderNotifier) -> None:
    was_closing = notifier.closing
    with notifier.subscribe(ONE) as one, notifier.subscribe(OTHER) as other:
        waiting = asyncio.create_task(one.wait(30))
        await asyncio.sleep(0)
        notifier.close()
        assert await waiting
        assert await other.wait(5)
    assert (was_closing, notifier.closing) == (False, True)


async def test_publishing_after_the_close_still_raises_nothing(notifier: OrderNotifier) -> None:
    notifier.close()
    notifier.close()
    await notifier.publish(ONE)
    assert notifier.closing
