"""One process of the shop: the real wiring, on ports where anything may happen between one await and the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack, suppress
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from dependency_injector import providers

from application.errors import (
    GatewayError,
    GatewayRefusedError,
    GatewayUnavailableError,
    Refusal,
    StoreUnavailableError,
    WebhookRefusedError,
)
from application.follow_order import FollowOrder, Pace
from application.handle_webhook_event import WebhookOutcome
from application.ports import CancelPayment, ChangedPage, PaymentGateway, Store, UnitOfWork
from bootstrap.container import Container
from bootstrap.settings import read_settings
from domain.ids import OrderId, PaymentId
from domain.money import Money
from domain.order import Order
from domain.payment import Cancellation, CancellationStatus, Payment
from simulation.judge import answers
from simulation.properties import Property

if TYPE_CHECKING:
    from application.use_cases import UseCases
    from simulation.world import World

T = TypeVar("T")
_CONTAINER = Container(
    settings=read_settings({"GYEOLJE_GATEWAY": "fake"})
)  # copied providers cost more than reset ones
PACE = Pace(heartbeat=60.0, catch_up=60.0, lifetime=1800.0)


class NoAnswerError(Exception):
    """Whoever asked a process got no answer: it died, or took too long."""


@dataclass(slots=True)
class Trouble:
    """How likely each step goes wrong in one history, and until when the world is worse than that."""

    slow: float = 0.01
    request_lost: float = 0.0
    answer_lost: float = 0.0
    commit_refused: float = 0.0
    commit_unknown: float = 0.0
    death: float = 0.0
    store_down_until: float = 0.0
    gateway_down_until: float = 0.0


class Process:
    """A process: its tasks, its clock, and its own instances of everything that the container makes."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.dead = False
        self.paused_until = 0.0
        self.skew = timedelta()
        self._tasks: set[asyncio.Task[Any]] = set()
        store = _Store(self, world.new_store())
        with ExitStack() as wired:
            wired.enter_context(_CONTAINER.clock.override(providers.Object(self.now)))
            wired.enter_context(_CONTAINER.new_id.override(providers.Object(world.new_id)))
            wired.enter_context(_CONTAINER.store.override(providers.Object(store)))
            wired.enter_context(_CONTAINER.policy.override(providers.Object(world.policy)))
            gateway = _Gateway(self, world.new_gateway())
            wired.enter_context(_CONTAINER.gateway.override(providers.Object(gateway)))
            _CONTAINER.reset_singletons()
            self.webhook_reader = _CONTAINER.webhook_reader()
            self.use_cases: UseCases = _CONTAINER.use_cases()
            self.follow = FollowOrder(store, _CONTAINER.notifier(), PACE)

    def now(self) -> datetime:
        """What this process takes the time to be."""
        return self.world.now() + self.skew

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do ``work`` in this process; it ends where the process does."""
        context = copy_context()
        context.run(answers.set, {})
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def ask(self, work: Coroutine[Any, Any, T], *, within: float = 40.0) -> T:
        """Have ``work`` done here and wait for the answer. Raises NoAnswerError; the work may go on all the same."""
        if self.dead:
            work.close()
            raise NoAnswerError
        task = self.spawn(work)
        await asyncio.wait({task}, timeout=within)
        if not task.done() or task.cancelled():
            raise NoAnswerError
        return task.result()

    def die(self) -> None:
        """End at once, wherever everything is; nothing of it reaches the world any more."""
        self.world.story.tell(self.name, "dies")
        self.world.judge.counts["deaths"] += 1
        self.dead = True
        for task in self._tasks:
            task.cancel()

    async def step(self) -> None:
        """Between two awaits: time passes, and the process may sleep through it, or die."""
        world = self.world
        if self.dead:
            raise asyncio.CancelledError
        if world.trouble.death and world.lot.random() < world.trouble.death:
            self.die()
            raise asyncio.CancelledError
        if delay := world.delay():
            await asyncio.sleep(delay)
        while (left := self.paused_until - world.seconds()) > 0:  # noqa: ASYNC110 - it may be stopped again meanwhile
            await asyncio.sleep(left)

    async def receive(self, headers: dict[str, str], body: bytes) -> int:
        """Receive a webhook, as the HTTP face does; the status it answers."""
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        try:
            event = self.webhook_reader(raw, body)
        except WebhookRefusedError:
            return 400
        was_completed = self.world.judge.is_completed(event.payment_id)
        try:
            outcome = await self.use_cases.handle_webhook_event(event)
        except StoreUnavailableError:
            return 503
        self.world.judge.counts[f"webhooks {outcome}"] += 1
        if outcome is not WebhookOutcome.DUPLICATE:  # that it was heard before, when it may not have been true yet
            self.world.heard(body)
        if was_completed and outcome is WebhookOutcome.RECONCILED and event.payment_id in answers.get():
            self.world.judge.heard(event.payment_id, answers.get()[event.payment_id])
        if self.world.story.written:
            about = f"{event.type} of {self.world.story.called(event.payment_id)}"
            self.world.story.tell(self.name, f"webhook {about}: {outcome}")
        return 200

    async def work(self) -> None:
        """Check whatever is due, as the worker does."""
        world = self.world
        while True:
            await world.until_due(self)
            await asyncio.sleep(world.lot.random())
            answers.get().clear()
            try:
                checks = await self.use_cases.check_due_orders()
            except StoreUnavailableError:
                await asyncio.sleep(5.0)
                continue
            for checked in checks:
                if checked.error is not None and not isinstance(checked.error, StoreUnavailableError):
                    world.judge.broken(Property.FORESEEN, f"a check broke: {checked.error!r}")

    async def sweep(self) -> None:
        """Sweep now and then, as the worker does."""
        while True:
            await asyncio.sleep(1800.0 * (0.5 + self.world.lot.random()))
            with suppress(StoreUnavailableError, GatewayError):  # one of them: the list does not add up
                await self.use_cases.sweep_payments()
            if self.world.is_calm:
                return  # what is left is swept by whoever waits for the end

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits gets it too


class _Store(Store):
    """The store as one process reaches it."""

    def __init__(self, process: Process, inner: Store) -> None:
        self._process = process
        self._inner = inner

    def reading(self) -> UnitOfWork:
        return _Unit(self._process, self._inner.reading())

    def writing(self) -> UnitOfWork:
        return _Unit(self._process, self._inner.writing())

    async def check(self) -> None:
        await self._inner.check()


class _Unit:
    """A unit of work, step by step. What it changes is noted, for the judge to read after the commit."""

    def __init__(self, process: Process, inner: UnitOfWork) -> None:
        self._process = process
        self._inner = inner
        self.changed: set[OrderId] = set()
        self.leased: list[Order] = []
        self.leased_at = process.now()

    async def __aenter__(self) -> Self:
        await self._process.step()
        if self._process.world.seconds() < self._process.world.trouble.store_down_until:
            raise StoreUnavailableError("the database is down")
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)

    async def commit(self) -> None:
        world = self._process.world
        await self._process.step()
        if world.lot.random() < world.trouble.commit_refused:
            raise StoreUnavailableError("the database went away before the commit")
        await self._inner.commit()
        await asyncio.shield(world.in_the_world(world.committed(self.changed, dict(answers.get()))))
        await world.judge.leased(self.leased, self.leased_at)
        if world.lot.random() < world.trouble.commit_unknown:
            world.judge.counts["commits done and not confirmed"] += 1
            raise StoreUnavailableError("the database went away during the commit")
        await self._process.step()

    def __getattr__(self, name: str) -> Any:
        return _Table(self._process, getattr(self._inner, name), self)


class _Table:
    """One repository of a unit, step by step."""

    def __init__(self, process: Process, inner: Any, unit: _Unit) -> None:
        self._process = process
        self._inner = inner
        self._unit = unit

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        call = getattr(self._inner, name)

        async def stepping(*args: Any, **named: Any) -> Any:
            await self._process.step()
            result = await call(*args, **named)
            if name in ("add", "save") and hasattr(args[0], "payment_id") and hasattr(args[0], "check_at"):
                self._unit.changed.add(args[0].id)
            elif name == "save" and hasattr(args[0], "order_id"):
                self._unit.changed.add(args[0].order_id)
            elif name == "lease_due":
                self._unit.changed.update(order.id for order in result)
                self._unit.leased.extend(result)
                self._unit.leased_at = args[0]
            return result

        return stepping


class _Gateway(PaymentGateway):
    """PortOne as one process reaches it, over a network that loses requests and answers."""

    def __init__(self, process: Process, inner: PaymentGateway) -> None:
        self._process = process
        self._inner = inner

    async def get(self, payment_id: PaymentId) -> Payment | None:
        payment = await self._call("asks for", payment_id, lambda: self._inner.get(payment_id))
        answers.get()[payment_id] = payment
        return payment

    async def cancel(self, cancel: CancelPayment) -> Cancellation:
        judge = self._process.world.judge
        judge.counts["cancellations asked for"] += 1

        async def asked() -> Cancellation:
            judge.cancelling(cancel)
            try:
                return await self._inner.cancel(cancel)
            finally:
                judge.gave_back(cancel.payment_id)

        try:
            done = await self._call(f"asks back {cancel.amount} of", cancel.payment_id, asked)
        except GatewayRefusedError as refused:
            if refused.kind not in (Refusal.LATER, Refusal.MOVED):
                judge.asked_in_vain(refused.code)
            if refused.kind in (Refusal.NEVER, Refusal.TAX_PART):
                judge.refused(cancel.refund_id, refused.code)
            raise
        if done.status is CancellationStatus.SUCCEEDED:
            judge.answered(cancel.refund_id)
        return done

    async def pre_register(self, payment_id: PaymentId, total: Money, tax_free: Money) -> None:
        registering = lambda: self._inner.pre_register(payment_id, total, tax_free)  # noqa: E731 - one line of many
        await self._call(f"registers {total} for", payment_id, registering)

    async def close_virtual_account(self, payment_id: PaymentId, store_id: str | None) -> None:
        await self._call(
            "closes the account of", payment_id, lambda: self._inner.close_virtual_account(payment_id, store_id)
        )

    async def changed_page(
        self, store_id: str, since: datetime, until: datetime, *, number: int, size: int
    ) -> ChangedPage:
        await self._process.step()
        page = await self._inner.changed_page(store_id, since, until, number=number, size=size)
        await self._process.step()
        return page

    async def _call(self, what: str, payment_id: PaymentId, ask: Callable[[], Awaitable[T]]) -> T:
        world = self._process.world
        await self._process.step()
        if world.seconds() < world.trouble.gateway_down_until or world.lot.random() < world.trouble.request_lost:
            raise GatewayUnavailableError("the request did not get through")
        try:
            answer = await ask()
        except Exception as error:
            self._tell(what, payment_id, error)
            raise
        self._tell(what, payment_id, answer)
        if world.lot.random() < world.trouble.answer_lost:
            world.judge.counts["answers lost"] += 1
            self._tell("never hears the answer about", payment_id, "lost")
            raise GatewayUnavailableError("the answer did not get through")
        await self._process.step()
        return answer

    def _tell(self, what: str, payment_id: PaymentId, answer: object) -> None:
        story = self._process.world.story
        if story.written:
            said = answer.said if isinstance(answer, Payment) else getattr(answer, "status", answer or "none")
            story.tell(self._process.name, f"{what} {story.called(payment_id)}: {said}")
