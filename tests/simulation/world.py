"""One history: a shop in several processes, its buyers, its PortOne, and all that goes wrong, drawn by a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from adapters.persistence.memory import MemoryStore
from application.ports import Store
from bootstrap.settings import FAKE_API_SECRET, FAKE_STORE_ID, FAKE_WEBHOOK_SECRET
from domain.catalog import Product
from domain.ids import OrderId, ProductId
from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock
from fake_portone.faults import CATALOGUE, Fault
from fake_portone.ledger import Status
from fake_portone.webhooks import State
from simulation.judge import Answers, Judge, Property
from simulation.people import PRICES, Buyer, Clerk, Nature, Operator
from simulation.process import NoAnswerError, Process, Trouble
from simulation.story import Story

T = TypeVar("T")

BEGIN = datetime(2026, 1, 1, 9, tzinfo=UTC)
STOCK = {"seat": 2, "programme": 100}
WEBHOOK_URL = "http://shop/webhooks"
_RESTING = 10 * 86_400.0  # seconds in which everything must have come to rest: a virtual account waits a day
_FAULTS = sorted(CATALOGUE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one history is made of."""

    seed: int
    store: str = "memory"
    written: bool = False


class World:
    """Everything there is in one history."""

    def __init__(self, plan: Plan, store: Callable[[], Store]) -> None:
        self.lot = random.Random(plan.seed)  # noqa: S311 - repeatable on purpose
        self._loop = asyncio.get_running_loop()
        self.new_store = store
        self.trouble = Trouble()
        self.story = Story(self.seconds, written=plan.written)
        account = FakePortOneSettings(
            api_secret=FAKE_API_SECRET,
            store_id=FAKE_STORE_ID,
            webhook_secret=FAKE_WEBHOOK_SECRET,
            webhook_url=WEBHOOK_URL,
            seed=plan.seed,
        )
        clock = FakeClock(now=self.now, monotonic=self.seconds, speed=1.0)
        self.fake = FakePortOne(account, clock=clock, post=self._deliver)
        self.judge = Judge(store(), self.fake.ledger, FAKE_STORE_ID, self.story)
        self.processes: list[Process] = []
        self.is_calm = False
        self._started = 0
        self._news = asyncio.Event()
        self._work: set[asyncio.Task[Any]] = set()
        self._operator = Operator(self, "operator")

    # --- time and chance ---

    def seconds(self) -> float:
        """Seconds since this history began."""
        return self._loop.time()

    def now(self) -> datetime:
        """The true time."""
        return BEGIN + timedelta(seconds=self.seconds())

    def new_id(self) -> str:
        """128 bits that the seed decides."""
        return f"{self.lot.getrandbits(128):032x}"

    def delay(self) -> float:
        """How long one step takes, in seconds: mostly nothing, now and then very long."""
        chance = self.lot.random()
        if chance < 0.6:
            return 0.0
        if chance < 0.95:
            return self.lot.random() * 0.005
        return self.lot.random() * (3.0 if self.lot.random() < self.trouble.slow else 0.1)

    # --- the shop ---

    def start(self) -> Process:
        """Start one more process, with a worker in it."""
        self._started += 1
        process = Process(self, f"shop-{self._started}")
        self.processes.append(process)
        process.spawn(process.work())
        process.spawn(process.sweep())
        self.story.tell(process.name, "starts")
        return process

    def alive(self) -> list[Process]:
        """The processes that somebody could reach."""
        self.processes = [process for process in self.processes if not process.dead]
        return self.processes

    async def ask(self, request: Callable[[Process], Coroutine[Any, Any, T]], *, within: float = 40.0) -> T:
        """Send a request to one of the processes. Raises NoAnswerError, and whatever the use case raises."""
        alive = self.alive()
        if not alive:
            raise NoAnswerError
        process = self.lot.choice(alive)
        return await process.ask(request(process), within=within)

    def in_the_world(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do ``work`` whatever becomes of the processes."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    async def committed(self, changed: set[OrderId], heard: Answers) -> None:
        """Tell the judge, and whoever waits for something to be due."""
        await self.judge.committed(changed, heard)
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def until_due(self, process: Process) -> None:
        """Wait until, by the clock of ``process``, an order is to be checked."""
        while True:
            checks = [kept.order.check_at for kept in self.judge.known.values() if kept.order.check_at is not None]
            wait = (min(checks) - process.now()).total_seconds() if checks else None
            if wait is not None and wait <= 0:
                return
            news = self._news
            try:
                async with asyncio.timeout(wait):
                    await news.wait()
            except TimeoutError:
                return

    async def _deliver(self, _url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Bring a webhook to the shop, as PortOne does; the answer's status. Raises where there is no answer."""
        await asyncio.sleep(self.delay())
        try:
            status = await self.ask(lambda process: process.receive(dict(headers), body), within=30.0)
        except NoAnswerError:
            raise ConnectionError from None
        except Exception as error:
            self.judge.broken(Property.FORESEEN, f"a webhook ended in {error!r}")
            raise
        if status == 200:
            await self.judge.acknowledged(headers["webhook-id"])  # type: ignore[arg-type]  # a name is a name
        return status

    # --- the history ---

    async def play(self) -> None:
        """Play this history to its end. Raises ViolationError."""
        async with self.fake.running():
            story = asyncio.create_task(self._play())
            self.judge.verdict.add_done_callback(lambda _: story.cancel())
            await asyncio.wait({story})
        if self.judge.verdict.done():
            raise self.judge.verdict.result()
        story.result()

    async def _play(self) -> None:
        await self._open()
        lasts = self.lot.choice((120.0, 1200.0, 3600.0, 7200.0))
        buyers = [Buyer(self, chr(ord("A") + n)) for n in range(self.lot.choice((1, 1, 2, 2, 3, 4)))]
        people = [*buyers, Clerk(self, "clerk"), Nature(self, "nature")]
        busy = [self.in_the_world(person.live(lasts)) for person in people]
        done, late = await asyncio.wait(busy, timeout=lasts * 3)
        for task in late:
            task.cancel()
        for task in done:
            task.result()
        await self._calm()
        await self._rest()
        await self.judge.rest(stock=STOCK)
        for buyer in buyers:
            buyer.check_followers()
        self.judge.audited(await self.ask(lambda process: process.use_cases.audit_payments()))
        await self._again()

    async def _open(self) -> None:
        async with self.new_store().writing() as unit:
            for name, price in PRICES.items():
                product = Product(id=ProductId(name), name=name, price=price, available=STOCK[name])
                await unit.catalog.put(product)
            await unit.commit()
        for _ in range(self.lot.choice((1, 2, 2, 3))):
            self.start()
        if self.lot.random() < 0.9:  # now and then nothing goes wrong
            self._trouble_ahead()

    def _trouble_ahead(self) -> None:
        lot = self.lot
        self.trouble = Trouble(
            slow=lot.choice((0.0, 0.01, 0.1, 0.5)),
            request_lost=lot.choice((0.0, 0.0, 0.05, 0.2)),
            answer_lost=lot.choice((0.0, 0.05, 0.2, 0.5)),
            commit_refused=lot.choice((0.0, 0.0, 0.02)),
            commit_unknown=lot.choice((0.0, 0.0, 0.02, 0.1)),
            death=lot.choice((0.0, 0.001, 0.005, 0.02)),
        )
        names = lot.sample(_FAULTS, lot.choice((0, 0, 1, 1, 2, 3, 5)))
        faults = [
            Fault(
                name=name,
                probability=lot.choice((0.1, 0.3, 0.7, 1.0)),
                seconds=lot.choice((60.0, 900.0, 3600.0)) if name == "gateway_lag" else None,
            )
            for name in names
        ]
        self.fake.faults.put(faults)
        self.story.tell("seed", f"{self.trouble}; faults: {', '.join(f'{f.name} {f.probability}' for f in faults)}")

    async def _calm(self) -> None:
        """From now on nothing goes wrong, nobody dies, and every open payment is decided."""
        self.is_calm = True
        self.trouble = Trouble()
        self.fake.faults.put([])
        for process in self.alive():
            process.skew, process.paused_until = timedelta(), 0.0
        if not self.alive():
            self.start()
        for payment in self.fake.ledger.payments():
            if payment.status is Status.PAY_PENDING:
                self._decide(payment.id)
        self.story.tell("seed", "calm from now on")

    def _decide(self, payment_id: str) -> None:
        if self.lot.random() < 0.5:
            self.fake.ledger.pay(payment_id)
        else:
            self.fake.ledger.fail(payment_id, "declined in the end")

    async def _rest(self) -> None:
        """Let time pass until nothing is left to do: no order to check, no webhook to deliver."""
        until = self.seconds() + _RESTING
        while self.seconds() < until:
            await asyncio.sleep(600.0)
            await self._operator.answer()
            if self._is_quiet():
                await self._sweep()
                if self._is_quiet():
                    return
        unrested = [self.story.called(k.order.id) for k in self.judge.known.values() if k.order.check_at is not None]
        self.judge.broken(Property.REST, f"{', '.join(unrested) or 'webhooks'}: still at it after ten days of calm")

    def _is_quiet(self) -> bool:
        waiting = any(delivery.state is State.WAITING for delivery in self.fake.webhooks.deliveries)
        return not waiting and all(kept.order.check_at is None for kept in self.judge.known.values())

    async def _sweep(self) -> None:
        """Find what nobody was told of."""
        for _ in range(5):
            if await self.ask(lambda process: process.use_cases.sweep_payments()) is not None:
                return
            await asyncio.sleep(60.0)  # whoever swept last may have died of it, and holds its turn for a while

    async def _again(self) -> None:
        """Deliver every webhook again, in another order: nothing changes."""
        before = self.judge.standing()
        money = {payment.id: self.fake.ledger.balance(payment.id) for payment in self.fake.ledger.payments()}
        deliveries = self.fake.webhooks.deliveries
        self.lot.shuffle(deliveries)
        for delivery in deliveries:
            await self._deliver(delivery.url, self.fake.webhooks.headers_now(delivery), delivery.body)
        await self._rest()
        await self.judge.rest(stock=STOCK)
        after = self.judge.standing()
        for order_id, stood in before.items():
            if after[order_id] != stood:
                self.judge.broken(Property.AGAIN, f"{self.story.called(order_id)}: {stood} became {after[order_id]}")
        if money != {payment.id: self.fake.ledger.balance(payment.id) for payment in self.fake.ledger.payments()}:
            self.judge.broken(Property.AGAIN, "money moved")


def memory_store() -> Callable[[], Store]:
    """Opens one memory, however often it is called."""
    store = MemoryStore()
    return lambda: store
