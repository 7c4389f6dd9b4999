"""One history: a shop in several processes, its buyers, its PortOne, and all that goes wrong, drawn by a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from adapters.persistence.memory import MemoryStore
from adapters.portone.fake_gateway import FakePortOneGateway
from application.ports import PaymentGateway, Store
from bootstrap.settings import FAKE_API_SECRET, FAKE_STORE_ID, FAKE_WEBHOOK_SECRET
from domain.catalog import Product
from domain.ids import OrderId, ProductId, WebhookId
from domain.policy import Policy
from domain.schedule import LAGGING, LONGEST
from fake_portone import FakePortOne, FakePortOneSettings
from fake_portone.clock import FakeClock
from fake_portone.faults import CATALOGUE, READINGS, Fault
from simulation.ending import end
from simulation.judge import Answers, Judge
from simulation.people import PRICES, Buyer, Nature
from simulation.process import NoAnswerError, Process, Trouble
from simulation.properties import Property
from simulation.remote import over_rest
from simulation.staff import Clerk, Operator
from simulation.story import Story
from simulation.watch import EVERY, Watch

T = TypeVar("T")

BEGIN = datetime(2026, 1, 1, 9, tzinfo=UTC)
STOCK = {"seat": 2, "programme": 100}
WEBHOOK_URL = "http://shop/webhooks"
_FAULTS = sorted(CATALOGUE.keys() - READINGS)
DRAWN_READINGS = sorted(READINGS)
_NAMELESS = frozenset({"reason_cut", "reason_changed"})
_UNFAIR = frozenset({name for name in CATALOGUE if name.startswith(("gateway_", "unknown_"))} | {"record_vanishes"}) - {
    "unknown_webhook_type",
    "unknown_webhook_fields",
    "unknown_payment_fields",
}
"""Faults under which a check may learn nothing, or something else than is so: then nobody has to be prompt."""
_A_LITTLE_LATE = Fault(name="gateway_lag", seconds=LAGGING.total_seconds() / 3)
REMOTE = 10
"""One history in so many is played through the real client and the fake's REST face."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one history is made of."""

    seed: int
    store: str = "memory"
    written: bool = False


class World:
    """Everything there is in one history."""

    def __init__(self, plan: Plan, store: Callable[[], Store]) -> None:
        self._in_memory = plan.store == "memory"
        self.lot = random.Random(plan.seed)  # noqa: S311 - repeatable on purpose
        self._loop = asyncio.get_running_loop()
        self.wide = random.Random(f"{plan.seed}/wide")  # noqa: S311 - repeatable on purpose
        self.policy = Policy(deposit_within=self.wide.choice((None, timedelta(hours=12), timedelta(days=1))))
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
        self.fake = FakePortOne(account, clock=clock, post=self.deliver)
        self.is_remote = plan.seed % REMOTE == REMOTE - 1
        self.judge = Judge(store(), self.fake.ledger, FAKE_STORE_ID, self.story, self.policy, STOCK)
        self.watch = Watch(self)
        self._unfair_until = 0.0
        self.processes: list[Process] = []
        self.is_calm = False
        self._started = 0
        self._news = asyncio.Event()
        self._work: set[asyncio.Task[Any]] = set()

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

    def fair_since(self) -> float:
        """Since when nothing stands in the way of whoever wants to be prompt."""
        trouble = self.trouble
        lost = trouble.request_lost + trouble.answer_lost + trouble.commit_refused + trouble.commit_unknown
        if lost or trouble.death or self.is_lied_to():
            return self.seconds()
        return self._unfair_until

    def store_takes_everything(self) -> bool:
        """Whether the database has no reason of its own to refuse anything: nobody waits for another in memory."""
        trouble = self.trouble
        never_away = not (trouble.commit_refused or trouble.commit_unknown or trouble.store_down_until)
        return never_away and self._in_memory

    def is_lied_to(self) -> bool:
        """Whether an answer of PortOne's need not say how things are, nor a moment later."""
        on = [fault for fault, _ in self.fake.faults.on()]
        return any(fault.name in _UNFAIR and fault != _A_LITTLE_LATE for fault in on)

    def heard(self, body: bytes) -> None:
        """A process has kept a webhook."""
        told = _told(body)
        self.watch.hear(told.type, told.payment_id, told.cancellation_id)

    def unfair_until(self, seconds: float) -> None:
        """Something stands in the way until then, and once it is out of it whoever waits begins anew."""
        self._unfair_until = max(self._unfair_until, seconds)

    def turned_clock(self) -> None:
        """Some clock is wrong, until it is calm, and what is dated by it stays so."""
        self.unfair_until(float("inf"))
        self.judge.clocks_are_right = False

    def calm(self) -> None:
        """Nothing stands in the way any more, but for what a wrong clock planned: that may be a day and more away."""
        planned = 0.0 if self.judge.clocks_are_right else LONGEST.total_seconds()
        self._unfair_until = self.seconds() + planned

    # --- the shop ---

    def new_gateway(self) -> PaymentGateway:
        """PortOne as a new process reaches it."""
        return over_rest(self.fake) if self.is_remote else FakePortOneGateway(self.fake)

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

    async def deliver(self, _url: str, headers: Mapping[str, str], body: bytes) -> int:
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
            told = _told(body)
            webhook_id = WebhookId(headers["webhook-id"])
            await self.judge.acknowledged(webhook_id, told.payment_id, told.type, self.now())
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
        people = [*buyers, Clerk(self, "clerk"), Nature(self, "nature"), Operator(self, "operator")]
        busy = [self.in_the_world(person.live(lasts)) for person in people]
        watching = self.in_the_world(self._watch())
        done, late = await asyncio.wait(busy, timeout=lasts * 3)
        for task in (*late, watching):
            task.cancel()
        for task in done:
            task.result()
        await end(self, buyers)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self.watch.go_round()

    async def _open(self) -> None:
        async with self.new_store().writing() as unit:
            for name, price in PRICES.items():
                product = Product(id=ProductId(name), name=name, price=price, capacity=STOCK[name])
                await unit.catalog.put(product)
            await unit.commit()
        for _ in range(self.lot.choice((1, 2, 2, 3))):
            self.start()
        if self.lot.random() < 0.9:  # now and then nothing goes wrong
            self._trouble_ahead()
        if self.wide.random() < 0.3:  # and now and then nothing is lost, and nobody dies by chance
            self.trouble = Trouble(slow=self.trouble.slow)
            on = [fault for fault, _ in self.fake.faults.on()]
            late = [_A_LITTLE_LATE] if self.wide.random() < 0.5 else []
            self.fake.faults.put([fault for fault in on if fault.name not in _UNFAIR] + late)

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
        faults = [Fault(name=name, probability=lot.choice((0.1, 0.3, 0.7, 1.0))) for name in names]
        lag = self.wide.choice((60.0, 900.0, 3600.0))
        self._put([replace(fault, seconds=lag) if fault.name == "gateway_lag" else fault for fault in faults])

    def _put(self, faults: list[Fault]) -> None:
        """The faults of this history, and beside them, drawn apart, some that read PortOne's documents otherwise."""
        wide = self.wide
        readings = wide.sample(DRAWN_READINGS, wide.choice((0, 0, 1, 1, 2, 4)))
        faults += [Fault(name=name, probability=wide.choice((0.3, 0.7, 1.0, 1.0))) for name in readings]
        self.fake.faults.put(faults)
        self.judge.names_are_kept = not _NAMELESS.intersection(readings)
        self.story.tell("seed", f"{self.trouble}; faults: {', '.join(f'{f.name} {f.probability}' for f in faults)}")


class _Told(msgspec.Struct, frozen=True, rename="camel"):
    payment_id: str | None = None
    cancellation_id: str | None = None


class _Webhook(msgspec.Struct, frozen=True):
    type: str = ""
    data: _Told = _Told()


@dataclass(frozen=True, slots=True)
class Told:
    """What a webhook says, as far as the judge holds the shop to it."""

    type: str = ""
    payment_id: str | None = None
    cancellation_id: str | None = None


def _told(body: bytes) -> Told:
    try:
        said = msgspec.json.decode(body, type=_Webhook)
    except msgspec.MsgspecError:  # a form
        return Told()
    return Told(said.type, said.data.payment_id, said.data.cancellation_id)


def memory_store() -> Callable[[], Store]:
    """Opens one memory, however often it is called."""
    store = MemoryStore()
    return lambda: store
