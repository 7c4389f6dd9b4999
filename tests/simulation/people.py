"""Who makes a history: buyers honest and not, and nature. Who works in the shop stands in ``staff``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from application.follow_order import OrderEvent
from application.place_order import Placed, PlaceOrderCommand
from domain.ids import ProductId
from domain.money import Money
from fake_portone.ledger import Purchase
from simulation.person import Person

if TYPE_CHECKING:
    from simulation.process import Process
    from simulation.world import World

PRICES = {"seat": Money(355_000, "KRW"), "programme": Money(20_000, "KRW")}
_OTHER_STORE = "store-ffffffff-0000-4000-8000-000000000000"


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
        self.act("opens the window", lambda: self.world.fake.buyer.open(placed.order.payment_id, purchase))
        await asyncio.sleep(lot.random() * 60.0)
        for _ in range(lot.choice((0, 0, 0, 1, 2))):
            self.act("fails to pay", lambda: self.world.fake.buyer.fail(placed.order.payment_id))
            await asyncio.sleep(lot.random() * 60.0)
        if lot.random() < 0.1:
            self.act("has to wait for the approval", lambda: self.world.fake.buyer.pend(placed.order.payment_id))
            await asyncio.sleep(lot.choice((10.0, 600.0, 5000.0)) * lot.random())
        self.act("pays", lambda: self.world.fake.buyer.pay(placed.order.payment_id, purchase))

    async def _use_account(self, placed: Placed) -> None:
        lot = self.world.lot
        purchase = self._asked_for(placed)
        await asyncio.sleep(lot.random() * 600.0)
        self.act("asks for an account", lambda: self.world.fake.buyer.issue_account(placed.order.payment_id, purchase))
        if lot.random() < 0.8:
            await asyncio.sleep(lot.choice((60.0, 3600.0, 86_000.0, 90_000.0)) * lot.random())
            self.act("deposits", lambda: self.world.fake.buyer.deposit(placed.order.payment_id))

    async def _walk_away(self, placed: Placed) -> None:
        if self.world.lot.random() < 0.5:
            purchase = self._asked_for(placed)
            self.act("opens the window", lambda: self.world.fake.buyer.open(placed.order.payment_id, purchase))
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
        self.world.unfair_until(self.world.seconds())

    async def _pause(self) -> None:
        for process in self.world.alive()[:1]:
            process.paused_until = self.world.seconds() + self.world.lot.choice((5.0, 100.0, 400.0))
            self.world.unfair_until(process.paused_until)
            self.tell(f"stops {process.name} until {process.paused_until:.0f} s")

    async def _turn_clock(self) -> None:
        for process in self.world.alive()[:1]:
            process.skew = timedelta(seconds=self.world.lot.choice((-86_400, -600, -200, 3, 200, 600, 86_400)))
            self.world.turned_clock()
            self.tell(f"turns the clock of {process.name} by {process.skew}")

    async def _take_store(self) -> None:
        self.world.trouble.store_down_until = self.world.seconds() + self.world.lot.choice((1.0, 30.0, 600.0))
        self.world.unfair_until(self.world.trouble.store_down_until)
        self.tell(f"takes the database away until {self.world.trouble.store_down_until:.0f} s")

    async def _take_gateway(self) -> None:
        self.world.trouble.gateway_down_until = self.world.seconds() + self.world.lot.choice((5.0, 60.0, 1800.0))
        self.world.unfair_until(self.world.trouble.gateway_down_until)
        self.tell(f"takes PortOne away until {self.world.trouble.gateway_down_until:.0f} s")
