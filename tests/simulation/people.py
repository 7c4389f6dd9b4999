"""Who makes a history: buyers honest and not, a clerk who refunds, a console where somebody cancels, and nature."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from application.answer_attention import AnswerAttentionCommand
from application.errors import (
    GatewayError,
    OrderNotFoundError,
    SoldOutError,
    StoreUnavailableError,
)
from application.follow_order import OrderEvent
from application.place_order import Placed, PlaceOrderCommand
from application.refund_order import RefundOrderCommand, WithdrawRefundCommand
from domain.errors import OrderNotCancellableError, RefundNotPossibleError
from domain.ids import OrderId, ProductId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order
from domain.refund import Need
from fake_portone.ledger import Purchase, RefusedError
from simulation.judge import Property
from simulation.process import NoAnswerError

if TYPE_CHECKING:
    from application.use_cases import UseCases
    from simulation.process import Process
    from simulation.world import World

PRICES = {"seat": Money(355_000, "KRW"), "programme": Money(20_000, "KRW")}
_FORESEEN = (
    NoAnswerError,
    StoreUnavailableError,
    GatewayError,
    SoldOutError,
    OrderNotFoundError,
    OrderNotCancellableError,
    RefundNotPossibleError,
)
_OTHER_STORE = "store-ffffffff-0000-4000-8000-000000000000"


class Person:
    """Somebody with a life of their own."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name

    async def live(self, seconds: float) -> None:
        """Do what they do, in about so many seconds."""
        raise NotImplementedError

    def tell(self, what: str) -> None:
        """Add to the story."""
        self.world.story.tell(self.name, what)

    async def trying(self, what: str, request: Callable[[], Awaitable[object]]) -> bool:
        """Whether ``request`` was answered well; what is foreseen is told, anything else broken."""
        try:
            await request()
        except _FORESEEN as error:
            self.tell(f"{what}: {str(error) or type(error).__name__}")
            return False
        except Exception as error:  # noqa: BLE001 - exactly this is judged
            self.world.judge.broken(Property.FORESEEN, f"{what} ended in {error!r}")
            return False
        return True


class Buyer(Person):
    """Buys something once, in one of the ways that people and their browsers have."""

    def __init__(self, world: World, letter: str) -> None:
        super().__init__(world, f"buyer {letter}")
        self._letter = letter
        self._placed: Placed | None = None
        self._events: list[OrderEvent] = []
        self._stream_ended = False

    async def live(self, seconds: float) -> None:
        lot = self.world.lot
        await asyncio.sleep(lot.random() * seconds * 0.3)
        placed = await self._place()
        if placed is None:
            return
        self._placed = placed
        if placed.checkout is None:
            self.tell("finds that the order is over")
            return
        beside = []
        if lot.random() < 0.3:
            beside.append(self.world.in_the_world(self._follow(placed)))
        if lot.random() < 0.15:
            beside.append(self.world.in_the_world(self._give_up(placed)))
        course = lot.choices((self._pay, self._use_account, self._walk_away), weights=(8, 2, 1))[0]
        await course(placed)
        for _ in range(lot.choice((0, 1, 1, 2, 3))):
            beside.append(self.world.in_the_world(self._verify(placed)))  # noqa: PERF401 - begun one by one
        if beside:
            _, late = await asyncio.wait(beside, timeout=7200.0)
            for task in late:
                task.cancel()

    def check_followers(self) -> None:
        """Judge what this buyer's browser was told."""
        if self._placed is not None and self._events:
            self.world.judge.followed(self._events, self._placed.order.id, to_the_end=self._stream_ended)

    async def _place(self) -> Placed | None:
        lot = self.world.lot
        items = {"programme": lot.choice((1, 2))} if lot.random() < 0.5 else {"seat": 1}
        if lot.random() < 0.2:
            items = {"seat": 1, "programme": 1}
        key = self.world.new_id()
        command = PlaceOrderCommand(
            items=tuple((ProductId(name), count) for name, count in items.items()), idempotency_key=key
        )
        placed: list[Placed] = []

        async def place() -> None:
            answer = await self.world.ask(lambda process: process.use_cases.place_order(command))
            self.world.story.name(self._letter, answer.order.id, answer.order.payment_id)
            price = Money(sum(PRICES[name].minor * count for name, count in items.items()), "KRW")
            self.world.judge.promised(key, answer.order, price, items)
            self.tell(f"has placed {self._letter} for {answer.order.price}")
            placed.append(answer)

        for _ in range(5):
            await self.trying("places an order", place)
            if placed and lot.random() < 0.9:  # now and then the answer is lost after all, and it is asked again
                return placed[-1]
            await asyncio.sleep(lot.random() * 10.0)
        return placed[-1] if placed else None

    async def _pay(self, placed: Placed) -> None:
        lot = self.world.lot
        purchase = self._asked_for(placed)
        await asyncio.sleep(lot.choice((5.0, 30.0, 30.0, 300.0, 300.0, 870.0, 1000.0, 3000.0)) * lot.random() * 1.2)
        self._act("opens the window", lambda: self.world.fake.buyer.open(placed.order.payment_id, purchase))
        await asyncio.sleep(lot.random() * 60.0)
        for _ in range(lot.choice((0, 0, 0, 1, 2))):
            self._act("fails to pay", lambda: self.world.fake.buyer.fail(placed.order.payment_id))
            await asyncio.sleep(lot.random() * 60.0)
        if lot.random() < 0.1:
            self._act("has to wait for the approval", lambda: self.world.fake.buyer.pend(placed.order.payment_id))
            await asyncio.sleep(lot.choice((10.0, 600.0, 5000.0)) * lot.random())
        self._act("pays", lambda: self.world.fake.buyer.pay(placed.order.payment_id, purchase))

    async def _use_account(self, placed: Placed) -> None:
        lot = self.world.lot
        purchase = self._asked_for(placed)
        await asyncio.sleep(lot.random() * 600.0)
        self._act("asks for an account", lambda: self.world.fake.buyer.issue_account(placed.order.payment_id, purchase))
        if lot.random() < 0.8:
            await asyncio.sleep(lot.choice((60.0, 3600.0, 86_000.0, 90_000.0)) * lot.random())
            self._act("deposits", lambda: self.world.fake.buyer.deposit(placed.order.payment_id))

    async def _walk_away(self, placed: Placed) -> None:
        if self.world.lot.random() < 0.5:
            purchase = self._asked_for(placed)
            self._act("opens the window", lambda: self.world.fake.buyer.open(placed.order.payment_id, purchase))
        self.tell("walks away")

    def _asked_for(self, placed: Placed) -> Purchase:
        """What this buyer's browser asks the window for: what it was given, or something that suits it better."""
        given = placed.checkout
        assert given is not None
        honest = Purchase(
            store_id=given.store_id,
            channel_key=given.channel_key,
            order_name=given.order_name,
            total=given.total_amount,
            currency=given.currency,
            tax_free=given.tax_free_amount or 0,
        )
        lot = self.world.lot
        if lot.random() < 0.8:
            return honest
        wrong: dict[str, object] = lot.choice(
            [
                {"total": 100},
                {"total": honest.total - 1},
                {"total": honest.total * 2},
                {"currency": "USD"},
                {"store_id": _OTHER_STORE},
                {"channel_type": "TEST"},
            ]
        )
        self.tell(f"tampers: {wrong}")
        return replace(honest, **wrong)  # type: ignore[arg-type]  # fields of a Purchase

    async def _verify(self, placed: Placed) -> None:
        await asyncio.sleep(self.world.lot.random() * 20.0)
        order, token = placed.order.id, placed.token
        await self.trying(
            "verifies", lambda: self.world.ask(lambda process: process.use_cases.verify_payment(order, token))
        )

    async def _give_up(self, placed: Placed) -> None:
        await asyncio.sleep(self.world.lot.choice((10.0, 600.0, 2000.0)) * self.world.lot.random())
        order, token = placed.order.id, placed.token
        if await self.trying(
            "gives up", lambda: self.world.ask(lambda process: process.use_cases.cancel_order(order, token))
        ):
            self.tell("has given up")

    async def _follow(self, placed: Placed) -> None:
        """Follow the order as a browser does: over and over, from where the last connection broke."""

        async def follow(process: Process) -> None:
            after = self._events[-1].seq if self._events else None
            order = await process.use_cases.read_order(placed.order.id, placed.token)
            async for event in process.follow(order, after):
                if event is not None and (event.kind != "snapshot" or not self._events):
                    self._events.append(event)
            self._stream_ended = self._events[-1].order.status != "PENDING"

        for _ in range(20):
            await self.trying("follows", lambda: self.world.ask(follow, within=4000.0))
            if self._stream_ended:
                return
            await asyncio.sleep(self.world.lot.random() * 30.0)

    def _act(self, what: str, do: Callable[[], object]) -> None:
        try:
            do()
        except RefusedError as refused:
            self.tell(f"{what}: PortOne says {refused.kind}")
        else:
            self.tell(what)


class Clerk(Person):
    """Gives money back on request, in the shop or in PortOne's console, as often as it comes to mind."""

    async def live(self, seconds: float) -> None:
        lot = self.world.lot
        for _ in range(lot.choice((0, 1, 2, 4))):
            await asyncio.sleep(lot.random() * seconds * 0.5)
            orders = [kept.order for _, kept in sorted(self.world.judge.known.items())]
            paid = [order for order in orders if order.status is OrderStatus.COMPLETED]
            if not orders:
                continue
            order = lot.choice(paid or orders)
            if lot.random() < 0.6:
                at_once = [self._refund(order) for _ in range(lot.choice((1, 1, 2)))]
                await asyncio.gather(*at_once)
            else:
                self._cancel_in_console(order)

    async def _refund(self, order: Order) -> None:
        command = RefundOrderCommand(
            order_id=OrderId(order.id),
            amount=self._some_of(order),
            reason="sorry",
            requested_by="clerk",
            idempotency_key=self.world.new_id(),
        )
        judge = self.world.judge

        async def refund() -> None:
            judge.asking_back(command)
            refund = await self.world.ask(lambda process: process.use_cases.refund_order(command))
            judge.refunding(command, refund)

        asked = f"refunds {command.amount or 'all'} of {self.world.story.called(order.id)}"
        for _ in range(3):  # whoever hears nothing, or that something is wrong, asks again
            if await self.trying(asked, refund):
                self.tell(asked)
                return
            await asyncio.sleep(self.world.lot.random() * 30.0)

    def _cancel_in_console(self, order: Order) -> None:
        some = self._some_of(order)
        with suppress(RefusedError):
            self.world.fake.buyer.cancel_in_console(order.payment_id, some.minor if some else None)
            self.world.judge.counts["cancelled in the console"] += 1
            self.tell(f"cancels {some or 'all'} of {self.world.story.called(order.id)} in the console")

    def _some_of(self, order: Order) -> Money | None:
        lot = self.world.lot
        if lot.random() < 0.4:
            return None
        return Money(lot.choice((1, 1000, 20_000, order.price.minor // 2 or 1, order.price.minor)), "KRW")


class Operator(Person):
    """Sees to whatever an order asks a person about, once nothing goes wrong any more."""

    async def answer(self) -> None:
        """Answer everything that is asked; what must not be kept and was refused is asked back by hand."""
        for _, kept in sorted(self.world.judge.known.items()):
            order = kept.order
            if order.attention is None or not order.attention.stays:
                continue
            self.world.judge.counts[f"a person is asked: {order.attention.kind}"] += 1
            unclear = [refund for refund in kept.refunds if refund.needs is Need.WORD and refund.ended_at is None]
            for refund in unclear:
                withdraw = WithdrawRefundCommand(order_id=order.id, refund_id=refund.id, by=self.name)
                await self._do("withdraws what is unclear", withdraw, lambda use, asked: use.withdraw_refund(asked))
            if order.status is OrderStatus.CANCELLED and order.refundable and not unclear:
                await self._ask_back(order)
            elif not unclear:
                answer = AnswerAttentionCommand(order_id=order.id, by=self.name, note="seen to")
                await self._do("answers", answer, lambda use, asked: use.answer_attention(asked))

    async def _ask_back(self, order: Order) -> None:
        command = RefundOrderCommand(
            order_id=order.id,
            amount=None,
            reason="it is the buyer's",
            requested_by=self.name,
            idempotency_key=self.world.new_id(),
        )
        self.world.judge.asking_back(command)
        await self._do("asks back", command, lambda use, asked: use.refund_order(asked))

    async def _do(self, what: str, asked: Any, do: Callable[[UseCases, Any], Awaitable[object]]) -> None:
        await self.trying(what, lambda: self.world.ask(lambda process: _done(do(process.use_cases, asked))))
        self.tell(f"{what}: {self.world.story.called(asked.order_id)}")


async def _done(work: Awaitable[object]) -> object:
    return await work


class Nature(Person):
    """Ends processes, stops them for a while, turns their clocks, and takes the database or PortOne away."""

    async def live(self, seconds: float) -> None:
        lot = self.world.lot
        for _ in range(lot.choice((0, 1, 2, 4, 8))):
            await asyncio.sleep(lot.random() * seconds * 0.4)
            await lot.choice((self._end, self._pause, self._turn_clock, self._take_store, self._take_gateway))()
        while True:  # whatever dies by itself is started again
            await asyncio.sleep(lot.random() * 120.0)
            if self.world.seconds() > seconds * 2:
                return
            if len(self.world.alive()) < 1:
                self.world.start()

    async def _end(self) -> None:
        for process in self.world.alive()[:1]:
            process.die()
        await asyncio.sleep(self.world.lot.choice((1.0, 60.0, 900.0)) * self.world.lot.random())
        self.world.start()

    async def _pause(self) -> None:
        for process in self.world.alive()[:1]:
            process.paused_until = self.world.seconds() + self.world.lot.choice((5.0, 100.0, 400.0))
            self.tell(f"stops {process.name} until {process.paused_until:.0f} s")

    async def _turn_clock(self) -> None:
        for process in self.world.alive()[:1]:
            process.skew = timedelta(seconds=self.world.lot.choice((-86_400, -600, -200, 3, 200, 600, 86_400)))
            self.tell(f"turns the clock of {process.name} by {process.skew}")

    async def _take_store(self) -> None:
        self.world.trouble.store_down_until = self.world.seconds() + self.world.lot.choice((1.0, 30.0, 600.0))
        self.tell(f"takes the database away until {self.world.trouble.store_down_until:.0f} s")

    async def _take_gateway(self) -> None:
        self.world.trouble.gateway_down_until = self.world.seconds() + self.world.lot.choice((5.0, 60.0, 1800.0))
        self.tell(f"takes PortOne away until {self.world.trouble.gateway_down_until:.0f} s")
